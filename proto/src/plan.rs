//! A plan, parsed: what cannot be wrong any more.
//!
//! `spec`, `agent`, `step` and `status` have the fields of an `AgentPlan`, `crd` makes the CRD of them. A plan's text goes through
//! `yaml` (dev mode) or comes as JSON (operator, and nodes, which `defaults` spares what goes without saying); `shape`
//! checks it against the CRD's schema, `parse` checks what a schema cannot say, `beside` does so for what is right
//! in a plan that its schema refuses. All that is wrong is said at once, each with the path of its field.

mod agent;
mod beside;
mod crd;
mod defaults;
mod later;
mod parse;
mod pods;
mod quantity;
mod reserved;
mod shape;
mod span;
mod spec;
mod status;
mod step;
#[cfg(test)]
mod tests;
mod yaml;

pub use agent::{Agent, Form};
pub use crd::crd;
pub use pods::{Pods, PullPolicy, Resources};
pub use quantity::Quantity;
pub use spec::{
    AccessMode, AgentPlan, AgentPlanSpec, Durability, Http, Keep, Management, Mode, Recovery, Retention,
    Service, ServiceType, Storage,
};
pub use status::{AgentPlanStatus, DurabilityStatus, SlotsStatus};
pub use yaml::{Checked, Lines, read_yaml};

use crate::address::{Address, Route, Slot, hash_input, slot};
use crate::cel::Program;
use crate::origin::Origin;
use crate::value::{Text, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is wrong in a plan, and where: `spec.agents[0].rules[1].do[0].set.to:12`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{error}", place(at, *line))]
pub struct Error {
    /// The path of a field; empty where the text has no fields.
    pub at: String,
    /// Where it is in the text, if the plan was read from one.
    pub line: Option<u64>,
    pub error: String,
    pub reason: Reason,
}

fn place(at: &str, line: Option<u64>) -> String {
    let line = line.map(|line| format!("line {line}"));
    let parts = [Some(at.to_owned()).filter(|at| !at.is_empty()), line];
    parts.into_iter().flatten().map(|part| part + ": ").collect()
}

/// Why a plan is not accepted; the reason of its condition `Accepted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The plan is right, or may be, in a version of Shoal to come.
    NotSupportedYet,
    InvalidPlan,
}

impl Error {
    pub fn invalid(at: impl Into<String>, error: impl Into<String>) -> Error {
        Error { at: at.into(), line: None, error: error.into(), reason: Reason::InvalidPlan }
    }

    pub fn not_yet(at: impl Into<String>, error: impl Into<String>) -> Error {
        Error { at: at.into(), line: None, error: error.into(), reason: Reason::NotSupportedYet }
    }
}

impl Reason {
    /// One for all errors of a plan: it is invalid if any of them says so.
    pub fn of(errors: &[Error]) -> Reason {
        errors.iter().map(|error| error.reason).max().unwrap_or(Reason::InvalidPlan)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Reason::NotSupportedYet => "NotSupportedYet",
            Reason::InvalidPlan => "InvalidPlan",
        }
    }
}

#[derive(Debug)]
pub struct Plan {
    pub slots: u32,
    pub kinds: Vec<Kind>,
    /// Indexes of the kinds: the first whose route matches an address has it.
    order: Vec<usize>,
    /// The web pages of other hosts that may ask.
    pub origins: Vec<Origin>,
}

/// A kind of agents.
#[derive(Debug)]
pub struct Kind {
    pub route: Route,
    /// The segments of an address that decide its slot; none: the whole address.
    pub partition_by: Vec<usize>,
    /// As the plan lists them, then the built-in Map lane `faults`.
    pub lanes: Vec<Lane>,
    pub timers: Vec<Timer>,
    /// Without a command for so long, an agent ends.
    pub expire_ms: Option<u64>,
    pub rules: Vec<Rule>,
}

/// `xxh3_64(route + "#" + lane)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(pub u64);

impl LaneId {
    pub fn of(route: &str, lane: &str) -> LaneId {
        LaneId(xxhash_rust::xxh3::xxh3_64(format!("{route}#{lane}").as_bytes()))
    }
}

/// `xxh3_64(route + "@" + timer)` without its highest bit; or what ends an agent, or lets entries of a lane go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimerId(pub u64);

impl TimerId {
    /// Ends an agent that has had no command for so long.
    pub const EXPIRE: TimerId = TimerId(0);

    /// Removes entries of a Map lane for their age.
    pub const fn age(lane: LaneId) -> TimerId {
        TimerId(lane.0 | Self::AGE)
    }

    /// What only ids of these have.
    const AGE: u64 = 1 << 63;

    pub const fn is_age(self) -> bool {
        self.0 & Self::AGE != 0
    }

    pub fn of(route: &str, timer: &str) -> TimerId {
        TimerId(xxhash_rust::xxh3::xxh3_64(format!("{route}@{timer}").as_bytes()) & !Self::AGE)
    }
}

#[derive(Debug, Clone)]
pub struct Timer {
    pub name: Text,
    pub id: TimerId,
    pub after_outage: AfterOutage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum AfterOutage {
    /// It fires once for all that it has missed.
    #[default]
    Once,
    /// It fires for each that it has missed, in order.
    Each,
}

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
    /// What waits for each subscriber to a Command or Supply lane.
    pub queue: Queue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LaneKind {
    /// One value.
    Value,
    /// Entries of key and value.
    Map,
    /// Takes commands from clients and agents, and shows them to its watchers.
    Command,
    /// Shows what `emit` puts on it.
    Supply,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Access {
    /// Set a Value, change a Map, command a Command lane.
    ReadWrite,
    /// Get and watch.
    ReadOnly,
    /// The lane does not exist for clients.
    Internal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Schema {
    #[default]
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
    /// An entry that was not changed for so long goes.
    pub age_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    pub items: usize,
    pub overflow: Overflow,
}

impl Queue {
    /// Commands wait for room in it.
    pub fn blocks(&self) -> bool {
        self.overflow == Overflow::Block
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Overflow {
    /// The watcher is told of a gap.
    #[default]
    DropOldest,
    /// Commands that would emit wait for the watcher, for a limited time.
    Block,
    /// The watcher is closed.
    Close,
}

#[derive(Debug)]
pub struct Rule {
    pub on: On,
    pub when: Option<Expr>,
    pub steps: Vec<Step>,
}

/// What runs a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// Index of a Command lane.
    Command(usize),
    /// Index of a timer.
    Timer(usize),
}

#[derive(Debug)]
pub struct Step {
    pub when: Option<Expr>,
    /// It runs once for each element of this.
    pub each: Option<Expr>,
    pub act: Act,
}

/// Lanes are indexes into the kind's.
#[derive(Debug)]
pub enum Act {
    Set {
        lane: usize,
        to: Expr,
    },
    Put {
        lane: usize,
        key: Expr,
        to: Expr,
    },
    Remove {
        lane: usize,
        key: Expr,
    },
    Clear {
        lane: usize,
    },
    Emit {
        lane: usize,
        body: Expr,
    },
    Send {
        agent: Expr,
        lane: Text,
        body: Expr,
    },
    /// With the path of the step.
    Refuse {
        with: Expr,
        code: u16,
        at: String,
    },
    Answer {
        with: Expr,
    },
    /// The timer by its index.
    Schedule {
        timer: usize,
        key: Option<Expr>,
        time: Time,
    },
    Cancel {
        timer: usize,
        key: Option<Expr>,
    },
    End,
}

/// When a timer fires.
#[derive(Debug)]
pub enum Time {
    After(Expr),
    At(Expr),
    Every(Expr),
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
        parse::plan(spec)
    }

    /// `None`: no route matches.
    pub fn find(&self, address: &Address) -> Option<Found> {
        let kind = *self.order.iter().find(|kind| self.kinds[**kind].route.matches(address))?;
        let input = hash_input(address, &self.kinds[kind].partition_by);
        Some(Found { kind, slot: slot(&input, self.slots) })
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

    pub fn timer(&self, name: &str) -> Option<(usize, &Timer)> {
        self.timers.iter().enumerate().find(|(_, timer)| timer.name == name)
    }

    /// The parameters of an address that matches: a record of decoded texts.
    pub fn parameters(&self, address: &Address) -> Value {
        self.route.values(address)
    }
}

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
        if fits { Ok(value) } else { Err(format!("{} is expected, not {}", self.noun(), noun(&value))) }
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

/// What a value is, in a sentence.
pub fn noun(value: &Value) -> &'static str {
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
