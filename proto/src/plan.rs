//! A plan, parsed: what cannot be wrong any more.

use crate::address::{Address, Route, Slot};
use crate::cel::Program;
use crate::value::{Text, Value};

/// What is wrong in a plan, and where: `spec.agents[0].rules[1].do[0].set.to:12`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {error}")]
pub struct Error {
    pub at: String,
    pub error: String,
}

#[derive(Debug)]
pub struct Plan {
    pub replicas: u16,
    pub slots: u32,
    pub kinds: Vec<Kind>,
}

/// A kind of agents.
#[derive(Debug)]
pub struct Kind {
    pub route: Route,
    /// As the plan lists them, then the built-in Map lane `faults`.
    pub lanes: Vec<Lane>,
    pub rules: Vec<Rule>,
}

/// `xxh3_64(route + "#" + lane)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(pub u64);

#[derive(Debug, Clone)]
pub struct Lane {
    pub name: Text,
    pub id: LaneId,
    pub kind: LaneKind,
    pub access: Access,
    pub schema: Schema,
    /// A Value's state before its first change.
    pub initial: Value,
    /// A Map's most entries, and what happens to one more.
    pub retain: Retain,
    /// Of a subscriber to a Command or Supply lane.
    pub queue: Queue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneKind {
    Value,
    Map,
    Command,
    Supply,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    ReadWrite,
    ReadOnly,
    Internal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    Any,
    Bool,
    Int,
    Double,
    Text,
    List,
    Record,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retain {
    pub entries: usize,
    /// The entry changed longest ago goes; otherwise `put` is refused.
    pub evict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    pub items: usize,
    pub overflow: Overflow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    DropOldest,
    Block,
    Close,
}

#[derive(Debug)]
pub struct Rule {
    /// Index of a Command lane.
    pub command: usize,
    pub when: Option<Expr>,
    pub steps: Vec<Step>,
}

#[derive(Debug)]
pub struct Step {
    pub when: Option<Expr>,
    pub act: Act,
}

/// Lanes are indexes into the kind's.
#[derive(Debug)]
pub enum Act {
    Set { lane: usize, to: Expr },
    Put { lane: usize, key: Expr, to: Expr },
    Remove { lane: usize, key: Expr },
    Clear { lane: usize },
    Emit { lane: usize, body: Expr },
    Send { agent: Expr, lane: Text, body: Expr },
}

#[derive(Debug)]
pub struct Expr {
    /// The path of its field in the plan.
    pub at: String,
    pub program: Program,
}

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Index of the kind.
    pub kind: usize,
    pub slot: Slot,
}

impl Plan {
    /// From the plan's `spec` as JSON.
    pub fn parse(spec: &[u8]) -> Result<Plan, Vec<Error>> {
        let _ = spec;
        unimplemented!()
    }

    /// `None`: no route matches.
    pub fn find(&self, address: &Address) -> Option<Found> {
        let _ = address;
        unimplemented!()
    }
}

impl std::fmt::Display for LaneKind {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{self:?}")
    }
}

impl Kind {
    pub fn lane(&self, name: &str) -> Option<(usize, &Lane)> {
        self.lanes.iter().enumerate().find(|(_, lane)| lane.name == name)
    }

    /// The parameters of an address that matches: a record of decoded texts.
    pub fn parameters(&self, address: &Address) -> Value {
        let _ = address;
        unimplemented!()
    }
}

const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

impl Schema {
    /// The value in the form that the lane keeps, or what is wrong with it.
    pub fn admit(self, value: Value) -> Result<Value, String> {
        let fits = matches!(
            (self, &value),
            (Schema::Any, _)
                | (Schema::Bool, Value::Bool(_))
                | (Schema::Int, Value::Int(_))
                | (Schema::Double, Value::Int(_) | Value::Double(_))
                | (Schema::Text, Value::Text(_))
                | (Schema::List, Value::List(_))
                | (Schema::Record, Value::Record(_))
        );
        match value {
            value if fits => Ok(value),
            // Beyond 2^53 a whole number may be stored as a double.
            Value::Double(number)
                if self == Schema::Int && number.fract() == 0.0 && number.abs() < TWO_TO_63 =>
            {
                Ok(Value::Int(number as i64))
            }
            value => Err(format!("{} is expected, not {}", self.noun(), noun(&value))),
        }
    }

    /// What a Value lane without `initial` begins with.
    pub fn initial(self) -> Value {
        match self {
            Schema::Any => Value::Null,
            Schema::Bool => Value::Bool(false),
            Schema::Int | Schema::Double => Value::Int(0),
            Schema::Text => Value::text(""),
            Schema::List => Value::list([]),
            Schema::Record => Value::record([]),
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Schema::Any => "a value",
            Schema::Bool => "a bool",
            Schema::Int => "an integer",
            Schema::Double => "a number",
            Schema::Text => "a text",
            Schema::List => "a list",
            Schema::Record => "a record",
        }
    }
}

fn noun(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Int(_) => "an integer",
        Value::Double(_) => "a double",
        Value::Text(_) => "a text",
        Value::List(_) => "a list",
        Value::Record(_) => "a record",
    }
}
