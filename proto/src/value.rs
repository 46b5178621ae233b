//! What a lane can hold, in one form: equal values are equal in memory, whatever wrote them.

mod serial;
#[cfg(test)]
pub(crate) mod tests;

use compact_str::CompactString;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Up to 24 bytes without an allocation.
pub type Text = CompactString;

/// From here on a double is no integer of 64 bits.
const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

/// Lists and records within each other, at most.
pub const DEPTH_MAX: usize = 32;
/// Bytes of a value, or of the body of a command, as JSON.
pub const BODY_MAX: usize = 256 << 10;

/// Records of more members than this have an index: nobody can make lookups slow by sending a large one.
const FEW: usize = 32;

/// A stored value. Clones are cheap: lists and records are shared.
#[derive(Clone, Debug, Default)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    /// Finite, and no integer that fits into 64 bits: [`Value::number`] makes it so.
    Double(f64),
    Text(Text),
    List(Arc<[Value]>),
    Record(Record),
}

/// What an allocation that is shared costs beside its content.
const COUNTS: usize = 16;

fn heap_bytes(text: &Text) -> usize {
    if text.is_heap_allocated() { text.capacity() } else { 0 }
}

/// Members in order, names unique.
#[derive(Clone)]
pub struct Record(Members);

#[derive(Clone)]
enum Members {
    Few(Arc<[(Text, Value)]>),
    Many(Arc<Indexed>),
}

struct Indexed {
    members: Arc<[(Text, Value)]>,
    /// Places in `members`, in the order of the names.
    by_name: Box<[u32]>,
}

impl Value {
    /// The one form of a number: an integer where it is one of 64 bits. `None` for NaN and infinities, which cannot be
    /// stored.
    pub fn number(number: f64) -> Option<Value> {
        if !number.is_finite() {
            None
        } else if number.fract() == 0.0 && (-TWO_TO_63..TWO_TO_63).contains(&number) {
            Some(Value::Int(number as i64))
        } else {
            Some(Value::Double(number))
        }
    }

    pub fn text(text: &str) -> Value {
        Value::Text(Text::new(text))
    }

    /// A record of members whose names are unique, which the caller knows.
    pub fn record(members: impl Into<Arc<[(Text, Value)]>>) -> Value {
        Value::Record(Record::of(members.into()))
    }

    pub fn list(items: impl Into<Arc<[Value]>>) -> Value {
        Value::List(items.into())
    }

    /// How many lists and records lie within each other here.
    pub fn depth(&self) -> usize {
        match self {
            Value::List(items) => 1 + items.iter().map(Value::depth).max().unwrap_or(0),
            Value::Record(record) => {
                1 + record.members().iter().map(|(_, value)| value.depth()).max().unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// What it takes in memory beside its own size, about; what others share is counted whole.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Double(_) => 0,
            Value::Text(text) => heap_bytes(text),
            Value::List(items) => {
                COUNTS + size_of_val(&**items) + items.iter().map(Value::heap_bytes).sum::<usize>()
            }
            Value::Record(record) => {
                let members = record.members();
                let below = |(name, value): &(Text, Value)| heap_bytes(name) + value.heap_bytes();
                COUNTS + size_of_val(members) + members.iter().map(below).sum::<usize>()
            }
        }
    }

    /// The place of its type in the order of keys.
    fn rank(&self) -> u8 {
        match self {
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Int(_) | Value::Double(_) => 2,
            Value::Text(_) => 3,
            Value::List(_) => 4,
            Value::Record(_) => 5,
        }
    }
}

impl Record {
    /// `Err` has the place of the first member whose name stands before it already.
    pub fn new(members: impl Into<Arc<[(Text, Value)]>>) -> Result<Record, usize> {
        let record = Record::of(members.into());
        match record.doubled() {
            Some(place) => Err(place),
            None => Ok(record),
        }
    }

    fn of(members: Arc<[(Text, Value)]>) -> Record {
        if members.len() <= FEW {
            return Record(Members::Few(members));
        }
        let mut by_name: Box<[u32]> = (0..members.len() as u32).collect();
        by_name.sort_by_key(|place| members[*place as usize].0.as_str());
        Record(Members::Many(Arc::new(Indexed { members, by_name })))
    }

    pub fn members(&self) -> &[(Text, Value)] {
        match &self.0 {
            Members::Few(members) => members,
            Members::Many(indexed) => &indexed.members,
        }
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        match &self.0 {
            Members::Few(members) => {
                members.iter().find(|(member, _)| member == name).map(|(_, value)| value)
            }
            Members::Many(indexed) => indexed.get(name),
        }
    }

    fn doubled(&self) -> Option<usize> {
        match &self.0 {
            Members::Few(members) => doubled(members),
            Members::Many(indexed) => indexed.doubled(),
        }
    }
}

/// Names of different marks differ; so most names are compared with none.
fn doubled(members: &[(Text, Value)]) -> Option<usize> {
    let mut seen = 0_u64;
    members.iter().enumerate().find_map(|(place, (name, _))| {
        let mark = mark(name.as_bytes());
        let maybe = seen & mark != 0;
        seen |= mark;
        (maybe && members[..place].iter().any(|(before, _)| before == name)).then_some(place)
    })
}

fn mark(name: &[u8]) -> u64 {
    let byte = |place: usize| name.get(place).map_or(0, |byte| usize::from(*byte));
    let mixed = name.len() * 7 + byte(0) * 5 + byte(name.len() / 2) * 3 + byte(name.len().wrapping_sub(1));
    1 << (mixed & 63)
}

impl Indexed {
    fn name(&self, place: u32) -> &str {
        &self.members[place as usize].0
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let found = self.by_name.binary_search_by(|place| self.name(*place).cmp(name)).ok()?;
        Some(&self.members[self.by_name[found] as usize].1)
    }

    /// The sort was stable: of two of one name, the later is the second.
    fn doubled(&self) -> Option<usize> {
        let pairs = self.by_name.windows(2);
        pairs.filter(|pair| self.name(pair[0]) == self.name(pair[1])).map(|pair| pair[1] as usize).min()
    }
}

impl Default for Record {
    fn default() -> Self {
        Record(Members::Few(Arc::default()))
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map().entries(self.members().iter().map(|(name, value)| (name, value))).finish()
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Value) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The order of keys: bool, number by what it is, text by bytes, list, record.
impl Ord for Value {
    fn cmp(&self, other: &Value) -> Ordering {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Int(a), Value::Int(b)) => a.cmp(b),
            (Value::Double(a), Value::Double(b)) => a.total_cmp(b),
            (Value::Int(a), Value::Double(b)) => compare(*a, *b),
            (Value::Double(a), Value::Int(b)) => compare(*b, *a).reverse(),
            (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Value::List(a), Value::List(b)) => a.cmp(b),
            (Value::Record(a), Value::Record(b)) => a.members().cmp(b.members()),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

/// Exactly, where a double of that size has no fraction of its own left.
fn compare(int: i64, double: f64) -> Ordering {
    if double >= TWO_TO_63 {
        return Ordering::Less;
    }
    if double < -TWO_TO_63 {
        return Ordering::Greater;
    }
    int.cmp(&(double.trunc() as i64)).then_with(|| 0.0_f64.total_cmp(&(double.fract() + 0.0)))
}

/// Equal values have equal hashes.
impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Value::Null => 0_u8.hash(state),
            Value::Bool(value) => value.hash(state),
            Value::Int(value) => value.hash(state),
            Value::Double(value) => value.to_bits().hash(state),
            Value::Text(value) => value.as_bytes().hash(state),
            Value::List(values) => values.hash(state),
            Value::Record(record) => record.members().hash(state),
        }
    }
}
