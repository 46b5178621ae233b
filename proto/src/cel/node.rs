//! A compiled expression: a tree in which every name is a place.

use super::function::Function;
use super::val::{Bytes, Kind, List, Map, Val};
use crate::value::{Record, Text, Value};
use regex::Regex;
use std::sync::Arc;

#[derive(Debug)]
pub enum Node {
    Const(Const),
    /// A variable of a macro, counted from the outermost.
    Local(usize),
    Lane(usize),
    DoubleLane(usize),
    MapLane(usize),
    DoubleMapLane(usize),
    Event,
    Item,
    Key,
    Agent,
    Here,
    Sender,
    Now,
    /// Names are texts, ready to ask a lane with.
    Member(Box<Node>, Value),
    OptionalMember(Box<Node>, Value),
    Has(Box<Node>, Value),
    Index(Box<[Node; 2]>),
    OptionalIndex(Box<[Node; 2]>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    If(Box<[Node; 3]>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary(Binary, Box<[Node; 2]>),
    List(Box<[Item]>),
    Map(Box<[Entry]>),
    Walk(Box<Walk>),
    /// `cel.bind`: the second sees the value of the first.
    Bind(Box<[Node; 2]>),
    /// `optMap`, `optFlatMap`: the second sees what is in the first.
    OptionalMap {
        of: Box<[Node; 2]>,
        flat: bool,
    },
    /// `or`, `orValue`: the second is evaluated if nothing is in the first.
    OptionalOr {
        of: Box<[Node; 2]>,
        value: bool,
    },
    /// With a pattern that is known already.
    Matches(Box<Node>, Box<Regex>),
    Call(&'static Function, Box<[Node]>),
}

#[derive(Debug)]
pub enum Const {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Text),
    Bytes(Box<[u8]>),
    List(Arc<[Value]>),
    Record(Record),
    Type(Kind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

#[derive(Debug)]
pub struct Item {
    pub value: Node,
    /// An optional: its value, if it has one.
    pub optional: bool,
}

#[derive(Debug)]
pub struct Entry {
    pub key: Node,
    pub value: Node,
    pub optional: bool,
}

/// A macro over a list or a map.
#[derive(Debug)]
pub struct Walk {
    pub over: Node,
    pub act: Act,
}

#[derive(Debug)]
pub enum Act {
    /// With one variable: each item of a list, or each key of a map.
    Items(Each),
    /// With two variables: index and item of a list, or key and value of a map.
    Pairs(Each),
    Filter(Node),
    SortBy(Node),
    /// `transformMap`: a map with the same keys, or with the indexes of a list.
    Values(Make),
    /// `transformMapEntry`: a map of the entries of the maps that are made.
    Entries(Make),
}

/// What macros with one and with two variables do alike.
#[derive(Debug)]
pub enum Each {
    All(Node),
    Exists(Node),
    ExistsOne(Node),
    List(Make),
}

/// Something new of each, or of those that pass the test.
#[derive(Debug)]
pub struct Make {
    pub test: Option<Node>,
    pub make: Node,
}

impl Const {
    #[inline]
    pub fn val(&self) -> Val<'_> {
        match self {
            Const::Null => Val::Null,
            Const::Bool(value) => Val::Bool(*value),
            Const::Int(value) => Val::Int(*value),
            Const::Uint(value) => Val::Uint(*value),
            Const::Double(value) => Val::Double(*value),
            Const::Text(text) => Val::Str(text),
            Const::Bytes(bytes) => Val::Bytes(Bytes::Const(bytes)),
            Const::List(items) => Val::List(List::Stored(items)),
            Const::Record(record) => Val::Map(Map::Record(record)),
            Const::Type(kind) => Val::Type(*kind),
        }
    }

    /// If it is the same when it is read back.
    pub fn stored(&self) -> Option<Value> {
        match self {
            Const::Null => Some(Value::Null),
            Const::Bool(value) => Some(Value::Bool(*value)),
            Const::Int(value) => Some(Value::Int(*value)),
            Const::Double(value) => Value::number(*value).filter(|number| matches!(number, Value::Double(_))),
            Const::Text(text) => Some(Value::Text(text.clone())),
            Const::List(items) => Some(Value::List(items.clone())),
            Const::Record(record) => Some(Value::Record(record.clone())),
            Const::Uint(_) | Const::Bytes(_) | Const::Type(_) => None,
        }
    }
}

impl Binary {
    pub fn symbol(self) -> &'static str {
        match self {
            Binary::Add => "+",
            Binary::Subtract => "-",
            Binary::Multiply => "*",
            Binary::Divide => "/",
            Binary::Remainder => "%",
            Binary::Equal => "==",
            Binary::NotEqual => "!=",
            Binary::Less => "<",
            Binary::LessOrEqual => "<=",
            Binary::Greater => ">",
            Binary::GreaterOrEqual => ">=",
            Binary::In => "in",
        }
    }
}
