//! What a lane can hold, in one form: equal values are equal in memory, whatever wrote them.

use compact_str::CompactString;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Up to 24 bytes without an allocation.
pub type Text = CompactString;

/// Integers of at most this magnitude have one form, whether they were written with a fraction or not.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A stored value. Clones are cheap: lists and records are shared.
#[derive(Clone, Debug, Default)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    /// Finite, and no whole number of a magnitude up to 2^53: [`Value::number`] makes it so.
    Double(f64),
    Text(Text),
    List(Arc<[Value]>),
    Record(Record),
}

/// Members in order, names unique.
#[derive(Clone, Debug, Default)]
pub struct Record(Arc<[(Text, Value)]>);

impl Value {
    /// The one form of a number; `None` for NaN and infinities, which cannot be stored.
    pub fn number(number: f64) -> Option<Value> {
        if !number.is_finite() {
            None
        } else if number.fract() == 0.0 && number.abs() <= EXACT {
            Some(Value::Int(number as i64))
        } else {
            Some(Value::Double(number))
        }
    }

    pub fn text(text: &str) -> Value {
        Value::Text(Text::new(text))
    }

    /// A record of members whose names are unique.
    pub fn record(members: impl Into<Arc<[(Text, Value)]>>) -> Value {
        Value::Record(Record(members.into()))
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
    pub fn members(&self) -> &[(Text, Value)] {
        &self.0
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, value)| value)
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

/// The order of keys: bool, number, text by bytes, list, record.
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
            (Value::Record(a), Value::Record(b)) => a.0.cmp(&b.0),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

/// Exactly, where a double of that size has no fraction of its own left.
fn compare(int: i64, double: f64) -> Ordering {
    if double >= 9_223_372_036_854_775_808.0 {
        return Ordering::Less;
    }
    if double < -9_223_372_036_854_775_808.0 {
        return Ordering::Greater;
    }
    int.cmp(&(double.trunc() as i64)).then_with(|| 0.0_f64.total_cmp(&(double.fract() + 0.0)))
}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Value::Null => 0_u8.hash(state),
            Value::Bool(value) => value.hash(state),
            // An integer and a double beyond 2^53 may be equal.
            Value::Int(value) => (*value as f64).to_bits().hash(state),
            Value::Double(value) => value.to_bits().hash(state),
            Value::Text(value) => value.as_bytes().hash(state),
            Value::List(values) => values.hash(state),
            Value::Record(record) => record.0.hash(state),
        }
    }
}
