//! A value while an expression runs: it borrows from lanes, command and program wherever it can.

use super::Entries;
use crate::value::{Record, Text, Value};
use jiff::SignedDuration;
use std::cmp::Ordering;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

/// The tag is as wide as what follows it: with a tag of one byte the compiler copies values in two halves that overlap,
/// which takes twice as long.
#[derive(Clone)]
#[repr(u64)]
pub enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Str(&'a str),
    /// A text that was built and needs no allocation.
    Short(Text),
    /// A longer one, shared: variables of macros are read again and again.
    Long(Rc<Text>),
    Bytes(Bytes<'a>),
    List(List<'a>),
    Map(Map<'a>),
    Time(Moment),
    Span(Span),
    Type(Kind),
    Optional(Option<Rc<Val<'a>>>),
}

#[derive(Clone)]
pub enum Bytes<'a> {
    Const(&'a [u8]),
    Built(Rc<[u8]>),
}

#[derive(Clone)]
pub enum List<'a> {
    Stored(&'a Arc<[Value]>),
    Built(Rc<[Val<'a>]>),
}

#[derive(Clone)]
pub enum Map<'a> {
    Record(&'a Record),
    Lane(&'a dyn Entries),
    /// Whose numbers are read as doubles.
    DoubleLane(&'a dyn Entries),
    /// In key order, keys unique.
    Built(Rc<[(Val<'a>, Val<'a>)]>),
}

/// A timestamp, from 1970 on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub SignedDuration);

/// A duration in nanoseconds: as in other CEL engines, it reaches about 292 years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub i64);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    List,
    Map,
    Time,
    Span,
    Type,
    Optional,
}

impl Kind {
    pub const ALL: [Kind; 13] = [
        Kind::Null,
        Kind::Bool,
        Kind::Int,
        Kind::Uint,
        Kind::Double,
        Kind::Text,
        Kind::Bytes,
        Kind::List,
        Kind::Map,
        Kind::Time,
        Kind::Span,
        Kind::Type,
        Kind::Optional,
    ];

    /// As CEL calls it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Null => "null_type",
            Kind::Bool => "bool",
            Kind::Int => "int",
            Kind::Uint => "uint",
            Kind::Double => "double",
            Kind::Text => "string",
            Kind::Bytes => "bytes",
            Kind::List => "list",
            Kind::Map => "map",
            Kind::Time => "google.protobuf.Timestamp",
            Kind::Span => "google.protobuf.Duration",
            Kind::Type => "type",
            Kind::Optional => "optional_type",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Kind::Null => "null",
            Kind::Time => "timestamp",
            Kind::Span => "duration",
            Kind::Optional => "optional",
            other => other.name(),
        })
    }
}

impl<'a> Val<'a> {
    #[inline]
    pub fn of(value: &'a Value) -> Val<'a> {
        match value {
            Value::Null => Val::Null,
            Value::Bool(value) => Val::Bool(*value),
            Value::Int(value) => Val::Int(*value),
            Value::Double(value) => Val::Double(*value),
            Value::Text(text) => Val::Str(text),
            Value::List(items) => Val::List(List::Stored(items)),
            Value::Record(record) => Val::Map(Map::Record(record)),
        }
    }

    /// A value of a lane whose numbers are doubles.
    #[inline]
    pub fn double_of(value: &'a Value) -> Val<'a> {
        match value {
            Value::Int(value) => Val::Double(*value as f64),
            other => Val::of(other),
        }
    }

    pub fn text(text: Text) -> Val<'a> {
        if text.is_heap_allocated() { Val::Long(Rc::new(text)) } else { Val::Short(text) }
    }

    pub fn list(items: Vec<Val<'a>>) -> Val<'a> {
        Val::List(List::Built(items.into()))
    }

    pub fn bytes(bytes: Vec<u8>) -> Val<'a> {
        Val::Bytes(Bytes::Built(bytes.into()))
    }

    pub fn optional(value: Option<Val<'a>>) -> Val<'a> {
        Val::Optional(value.map(Rc::new))
    }

    pub fn kind(&self) -> Kind {
        match self {
            Val::Null => Kind::Null,
            Val::Bool(_) => Kind::Bool,
            Val::Int(_) => Kind::Int,
            Val::Uint(_) => Kind::Uint,
            Val::Double(_) => Kind::Double,
            Val::Str(_) | Val::Short(_) | Val::Long(_) => Kind::Text,
            Val::Bytes(_) => Kind::Bytes,
            Val::List(_) => Kind::List,
            Val::Map(_) => Kind::Map,
            Val::Time(_) => Kind::Time,
            Val::Span(_) => Kind::Span,
            Val::Type(_) => Kind::Type,
            Val::Optional(_) => Kind::Optional,
        }
    }

    #[inline]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Val::Str(text) => Some(text),
            Val::Short(text) => Some(text),
            Val::Long(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number, as what type it may come.
    pub fn as_whole(&self) -> Option<i128> {
        match self {
            Val::Int(value) => Some((*value).into()),
            Val::Uint(value) => Some((*value).into()),
            // Beyond 2^64 no key and no index is.
            Val::Double(value) if value.fract() == 0.0 && value.abs() <= 2.0_f64.powi(64) => {
                Some(*value as i128)
            }
            _ => None,
        }
    }

    /// What `optional.ofNonZeroValue` takes for nothing.
    pub fn is_zero(&self) -> bool {
        match self {
            Val::Null => true,
            Val::Bool(value) => !value,
            Val::Int(value) => *value == 0,
            Val::Uint(value) => *value == 0,
            Val::Double(value) => *value == 0.0,
            Val::Str(text) => text.is_empty(),
            Val::Short(text) => text.is_empty(),
            Val::Bytes(bytes) => bytes.is_empty(),
            Val::List(list) => list.len() == 0,
            Val::Map(map) => map.len() == 0,
            Val::Span(span) => span.0 == 0,
            Val::Optional(value) => value.is_none(),
            Val::Long(_) | Val::Time(_) | Val::Type(_) => false,
        }
    }
}

impl std::ops::Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Const(bytes) => bytes,
            Bytes::Built(bytes) => bytes,
        }
    }
}

impl<'a> List<'a> {
    pub fn len(&self) -> usize {
        match self {
            List::Stored(items) => items.len(),
            List::Built(items) => items.len(),
        }
    }

    pub fn get(&self, at: usize) -> Option<Val<'a>> {
        match self {
            List::Stored(items) => items.get(at).map(Val::of),
            List::Built(items) => items.get(at).cloned(),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Val<'a>> {
        let list = self.clone();
        (0..self.len()).filter_map(move |at| list.get(at))
    }
}

impl<'a> Map<'a> {
    pub fn len(&self) -> usize {
        match self {
            Map::Record(record) => record.members().len(),
            Map::Lane(entries) | Map::DoubleLane(entries) => entries.len(),
            Map::Built(entries) => entries.len(),
        }
    }

    /// By a name, which is a text.
    #[inline]
    pub fn member(&self, name: &'a Value) -> Option<Val<'a>> {
        match (self, name) {
            (Map::Record(record), Value::Text(name)) => record.get(name).map(Val::of),
            (Map::Record(_), _) => None,
            (Map::Lane(entries), _) => entries.get(name).map(Val::of),
            (Map::DoubleLane(entries), _) => entries.get(name).map(Val::double_of),
            (Map::Built(entries), _) => in_built(entries, &Val::of(name)),
        }
    }

    pub fn get(&self, key: &Val<'a>) -> Option<Val<'a>> {
        match self {
            Map::Record(record) => key.as_text().and_then(|name| record.get(name)).map(Val::of),
            Map::Lane(entries) => lane_key(key).and_then(|key| entries.get(&key)).map(Val::of),
            Map::DoubleLane(entries) => lane_key(key).and_then(|key| entries.get(&key)).map(Val::double_of),
            Map::Built(entries) => in_built(entries, key),
        }
    }

    /// In key order. Of a lane only what has a key that CEL knows.
    pub fn entries(&self) -> Box<dyn Iterator<Item = (Val<'a>, Val<'a>)> + 'a> {
        match self {
            Map::Record(record) => {
                let mut members: Vec<&'a (Text, Value)> = record.members().iter().collect();
                members.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
                Box::new(members.into_iter().map(|(name, value)| (Val::Str(name), Val::of(value))))
            }
            Map::Lane(entries) => Box::new(seen(*entries).map(|(key, value)| (Val::of(key), Val::of(value)))),
            Map::DoubleLane(entries) => {
                Box::new(seen(*entries).map(|(key, value)| (Val::of(key), Val::double_of(value))))
            }
            Map::Built(entries) => {
                let entries = entries.clone();
                Box::new((0..entries.len()).map(move |at| entries[at].clone()))
            }
        }
    }
}

/// The order of a map's keys: bool, number, text by bytes. 1, 1u and 1.0 are one key.
pub fn key_order(a: &Val<'_>, b: &Val<'_>) -> Ordering {
    match (a, b) {
        (Val::Bool(a), Val::Bool(b)) => a.cmp(b),
        _ => match (a.as_text(), b.as_text()) {
            (Some(a), Some(b)) => a.as_bytes().cmp(b.as_bytes()),
            _ => match (a.as_whole(), b.as_whole()) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => rank(a).cmp(&rank(b)),
            },
        },
    }
}

fn rank(key: &Val<'_>) -> u8 {
    match key {
        Val::Bool(_) => 0,
        Val::Int(_) | Val::Uint(_) => 1,
        Val::Str(_) | Val::Short(_) | Val::Long(_) => 2,
        // No key: past all of them, where a search finds nothing.
        _ => 3,
    }
}

fn in_built<'a>(entries: &[(Val<'a>, Val<'a>)], key: &Val<'a>) -> Option<Val<'a>> {
    let at = entries.binary_search_by(|(other, _)| key_order(other, key)).ok()?;
    Some(entries[at].1.clone())
}

fn seen(entries: &dyn Entries) -> impl Iterator<Item = (&Value, &Value)> {
    entries.iter().filter(|(key, _)| matches!(key, Value::Text(_) | Value::Int(_) | Value::Bool(_)))
}

/// `None`: no key that expressions see.
fn lane_key(key: &Val<'_>) -> Option<Value> {
    match key {
        Val::Bool(value) => Some(Value::Bool(*value)),
        other => match other.as_text() {
            Some(text) => Some(Value::text(text)),
            None => Some(Value::Int(other.as_whole()?.try_into().ok()?)),
        },
    }
}

impl Span {
    pub fn of(duration: SignedDuration) -> Option<Span> {
        i64::try_from(duration.as_nanos()).ok().map(Span)
    }

    pub fn duration(self) -> SignedDuration {
        SignedDuration::from_nanos(self.0)
    }
}
