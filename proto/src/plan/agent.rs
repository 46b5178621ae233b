//! The fields of a kind of agents: its lanes and rules, as the plan has them.

pub use super::step::{Cancel, Clear, Emit, End, Put, Refuse, Remove, Schedule, Send, Set};
use super::{Access, AfterOutage, LaneKind, Overflow, Schema};
use crate::value::Value;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What lanes are called.
pub(super) const NAME: &str = "^[A-Za-z][A-Za-z0-9_]*$";
/// A duration: hours, minutes, seconds.
pub(super) const SPAN: &str = "^([0-9]{1,7}h)?([0-9]{1,9}m)?([0-9]{1,10}s)?$";
pub(super) const ROUTE: &str = "^(/(:[A-Za-z][A-Za-z0-9_]{0,31}|[A-Za-z0-9][A-Za-z0-9._~-]{0,63}))+$";

/// A kind of agents: all whose addresses match its route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "has(self.partitionBy) == has(oldSelf.partitionBy) && (!has(self.partitionBy) || self.partitionBy == oldSelf.partitionBy)",
        "message": "partitionBy cannot change",
        "fieldPath": ".partitionBy"
    },
    {
        "rule": "!has(self.partitionBy) || self.partitionBy.all(p, (self.route + '/').contains('/:' + p + '/'))",
        "message": "partitionBy names parameters of the route",
        "fieldPath": ".partitionBy"
    },
    {
        "rule": "!has(self.rules) || self.rules.all(r, !has(r.command) || self.lanes.exists(l, l.name == r.command && l.type == 'Command'))",
        "message": "command names a Command lane of this agent",
        "fieldPath": ".rules"
    },
    {
        "rule": "!has(self.rules) || self.rules.all(r, !has(r.timer) || (has(self.timers) && self.timers.exists(t, t.name == r.timer)))",
        "message": "timer names one of the timers of this agent",
        "fieldPath": ".rules"
    }
]))]
pub struct Agent {
    /// Segments that are literal or, with a colon, parameters: `/airport/:code`.
    #[schemars(
        length(max = 256),
        regex(pattern = ROUTE),
        extend("x-kubernetes-validations" = [{
            "rule": "!self.matches('^/(console|openapi[.]json|metrics|livez|readyz|healthz|shoal[^/]*)(/|$)')",
            "message": "the first segment is none of console, openapi.json, metrics, livez, readyz, healthz, and does not begin with shoal"
        }])
    )]
    pub route: String,

    /// Only these parameters of the route are hashed, so that agents which share them live together. Unset: the whole
    /// address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "Vec<Parameter>",
        length(min = 1, max = 8),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub partition_by: Option<Vec<String>>,

    /// The agent's state and streams.
    #[schemars(
        length(min = 1, max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub lanes: Vec<LaneSpec>,

    /// An agent that has had no command and no message for so long ends: its lanes are as in the beginning, and its timers
    /// are gone. Hours, minutes and seconds: `720h`, `1h30m`. Unset: it does not end by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 2, max = 32), regex(pattern = SPAN))]
    pub expire: Option<String>,

    /// What its rules can schedule for later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub timers: Vec<TimerSpec>,

    /// What commands and timers do, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub rules: Vec<Rule>,
}

/// The name of a parameter.
#[derive(JsonSchema)]
#[schemars(transparent)]
#[expect(dead_code, reason = "only its schema is used")]
struct Parameter(#[schemars(length(min = 1, max = 32))] String);

/// One named piece of an agent: state (Value, Map) or stream (Command, Supply).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LaneSpec {
    /// A letter, then letters, digits and `_`; expressions and clients name the lane by it.
    #[schemars(length(max = 63), regex(pattern = NAME))]
    pub name: String,

    /// Value (one value), Map (entries of key and value), Command (takes commands from clients and agents, and shows
    /// them to its watchers), Supply (shows what `emit` puts on it).
    #[serde(rename = "type")]
    pub kind: LaneKind,

    /// The value of a Value lane before its first change. Any JSON value of at most 16 KiB.
    #[serde(default, deserialize_with = "null_is_a_value", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_value")]
    pub initial: Option<Value>,

    #[serde(default, skip_serializing_if = "Form::is_any")]
    pub schema: Form,

    /// Which entries a Map lane keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Retain")]
    pub retain: Option<Retain>,

    /// What waits for each subscriber of a Command or Supply lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Queue")]
    pub queue: Option<Queue>,

    /// What clients may do: ReadWrite (set a Value, change a Map, command a Command lane), ReadOnly (get and watch),
    /// Internal (nothing: for them there is no such lane). Unset: ReadWrite for Command lanes, ReadOnly for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Access")]
    pub access: Option<Access>,
}

/// What the lane's values are; of a Map, those of its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Form {
    /// What each value is; a command or a write of anything else is refused.
    #[serde(default, rename = "type")]
    pub kind: Schema,
}

impl Form {
    fn is_any(&self) -> bool {
        self == &Form::default()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Retain {
    /// Beyond it the entry that was changed longest ago goes. Unset: a million, beyond which `put` is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", range(min = 1, max = 1_000_000))]
    pub entries: Option<i32>,

    /// An entry that was not changed for so long goes, as a remove: `24h`, `1h30m`. Unset: none goes for its age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 2, max = 32), regex(pattern = SPAN))]
    pub age: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Queue {
    /// How many items wait for a watcher at most.
    #[serde(default = "queue_items")]
    #[schemars(range(min = 1, max = 65536))]
    pub items: i32,
    /// What happens when it is full: DropOldest (the watcher is told of a gap), Block (commands that would emit wait,
    /// for a limited time), Close (the watcher is closed).
    #[serde(default)]
    pub overflow: Overflow,
}

/// A timer that rules can schedule. An agent has any number of them under one name, each with a key of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TimerSpec {
    /// A letter, then letters, digits and `_`; rules name the timer by it.
    #[schemars(length(max = 63), regex(pattern = NAME))]
    pub name: String,
    /// What one does that is scheduled with `every` and could not fire for longer than that: Once (it fires once for all
    /// that it has missed), Each (it fires for each of them, in order).
    #[serde(default)]
    pub after_outage: AfterOutage,
}

/// What one kind of command, or one timer, does. Either all of it takes effect, or the command is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.command) != has(self.timer)",
    "message": "exactly one of command, timer is expected"
}]))]
pub struct Rule {
    /// The Command lane whose commands run this rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 63), regex(pattern = NAME))]
    pub command: Option<String>,

    /// The timer that runs this rule when it fires. Its expressions see the key that it was scheduled with as `key`, and
    /// the time at which it was due as `event.due`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 63), regex(pattern = NAME))]
    pub timer: Option<String>,

    /// A CEL expression: whether the steps run. Evaluated once, before them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub when: Option<String>,

    /// The steps, in this order; each sees what those before it did.
    #[serde(rename = "do")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub steps: Vec<Step>,
}

/// Exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct Step {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Set")]
    pub set: Option<Set>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Put")]
    pub put: Option<Put>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Remove")]
    pub remove: Option<Remove>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Clear")]
    pub clear: Option<Clear>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Emit")]
    pub emit: Option<Emit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Send")]
    pub send: Option<Send>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Refuse")]
    pub refuse: Option<Refuse>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Schedule")]
    pub schedule: Option<Schedule>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Cancel")]
    pub cancel: Option<Cancel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "End")]
    pub end: Option<End>,
    /// A CEL expression: what the answer to the command has beside the version, at most 1 KiB as JSON. Of the steps that
    /// run for one command, one answers. Nobody hears the answer to a message of an agent, so that it is not evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub answer: Option<String>,
}

fn queue_items() -> i32 {
    1024
}

/// Otherwise serde takes `null` for an absent field.
fn null_is_a_value<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn any_value(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"x-kubernetes-preserve-unknown-fields": true, "nullable": true})
}
