//! The steps of rules, as the plan has them.

use super::agent::{NAME, Step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sets a Value lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Set {
    /// The Value lane.
    #[schemars(length(max = 63), regex(pattern = NAME))]
    pub lane: String,
    /// A CEL expression: the new value.
    #[schemars(length(min = 1, max = 2048))]
    pub to: String,
    /// A CEL expression: whether this step runs. Evaluated just before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub when: Option<String>,
    /// A CEL expression: a list, or a map, which stands for its keys. The step runs once for each element, in order, and
    /// its other expressions see the element as `item`; `when` is evaluated for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub each: Option<String>,
}

/// Sets an entry of a Map lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Put {
    /// The Map lane.
    #[schemars(length(max = 63), regex(pattern = NAME))]
    pub lane: String,
    /// A CEL expression: the entry's key.
    #[schemars(length(min = 1, max = 2048))]
    pub key: String,
    /// A CEL expression: the new value.
    #[schemars(length(min = 1, max = 2048))]
    pub to: String,
    /// A CEL expression: whether this step runs. Evaluated just before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub when: Option<String>,
    /// A CEL expression: a list, or a map, which stands for its keys. The step runs once for each element, in order, and
    /// its other expressions see the element as `item`; `when` is evaluated for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub each: Option<String>,
}

/// Removes an entry of a Map lane; if it is not there, nothing happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Remove {
    /// The Map lane.
    #[schemars(length(max = 63), regex(pattern = NAME))]
    pub lane: String,
    /// A CEL expression: the entry's key.
    #[schemars(length(min = 1, max = 2048))]
    pub key: String,
    /// A CEL expression: whether this step runs. Evaluated just before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub when: Option<String>,
    /// A CEL expression: a list, or a map, which stands for its keys. The step runs once for each element, in order, and
    /// its other expressions see the element as `item`; `when` is evaluated for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub each: Option<String>,
}

/// Removes all entries of a Map lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Clear {
    /// The Map lane.
    #[schemars(length(max = 63), regex(pattern = NAME))]
    pub lane: String,
    /// A CEL expression: whether this step runs. Evaluated just before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub when: Option<String>,
    /// A CEL expression: a list, or a map, which stands for its keys. The step runs once for each element, in order, and
    /// its other expressions see the element as `item`; `when` is evaluated for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub each: Option<String>,
}

/// Puts an item on a Supply lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Emit {
    /// The Supply lane.
    #[schemars(length(max = 63), regex(pattern = NAME))]
    pub lane: String,
    /// A CEL expression.
    #[schemars(length(min = 1, max = 2048))]
    pub body: String,
    /// A CEL expression: whether this step runs. Evaluated just before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub when: Option<String>,
    /// A CEL expression: a list, or a map, which stands for its keys. The step runs once for each element, in order, and
    /// its other expressions see the element as `item`; `when` is evaluated for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub each: Option<String>,
}

/// Sends a message to a Command lane of an agent of this plan, itself included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Send {
    /// A CEL expression: the address of the receiver.
    #[schemars(length(min = 1, max = 2048))]
    pub agent: String,
    /// The Command lane of the receiver.
    #[schemars(length(max = 63), regex(pattern = NAME))]
    pub lane: String,
    /// A CEL expression. Unset: `event`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub body: Option<String>,
    /// A CEL expression: whether this step runs. Evaluated just before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub when: Option<String>,
    /// A CEL expression: a list, or a map, which stands for its keys. The step runs once for each element, in order, and
    /// its other expressions see the element as `item`; `when` is evaluated for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub each: Option<String>,
}

/// Refuses the command: nothing of it takes effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refuse {
    /// A CEL expression: the text that says why. Of it 1,024 bytes are told.
    #[schemars(length(min = 1, max = 2048))]
    pub with: String,
    /// How it is answered: 409 (the agent's state does not allow it), 422 (the command is wrong), 429 (try again later).
    #[serde(default = "refuse_code")]
    #[schemars(extend("enum" = [409, 422, 429]))]
    pub code: i32,
    /// A CEL expression: whether this step runs. Evaluated just before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub when: Option<String>,
    /// A CEL expression: a list, or a map, which stands for its keys. The step runs once for each element, in order, and
    /// its other expressions see the element as `item`; `when` is evaluated for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub each: Option<String>,
}

/// Lets a timer of this agent fire. One that is scheduled already with the same key is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "(has(self.after) ? 1 : 0) + (has(self.at) ? 1 : 0) + (has(self.every) ? 1 : 0) == 1",
    "message": "exactly one of after, at, every is expected"
}]))]
pub struct Schedule {
    /// One of the agent's `timers`.
    #[schemars(length(max = 63), regex(pattern = NAME))]
    pub timer: String,
    /// A CEL expression: which of the timers of this name. Any value that can be the key of a Map lane. Unset: the one
    /// without a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub key: Option<String>,
    /// A CEL expression: a duration. It fires once, when so much time has gone by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub after: Option<String>,
    /// A CEL expression: a timestamp. It fires once, at that time, or at once if that has gone by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub at: Option<String>,
    /// A CEL expression: a duration of at least 100 ms. It fires each time when so much time has gone by, until it is
    /// cancelled or scheduled anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub every: Option<String>,
    /// A CEL expression: whether this step runs. Evaluated just before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub when: Option<String>,
    /// A CEL expression: a list, or a map, which stands for its keys. The step runs once for each element, in order, and
    /// its other expressions see the element as `item`; `when` is evaluated for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub each: Option<String>,
}

/// Lets a timer of this agent not fire any more; if it is not scheduled, nothing happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cancel {
    /// One of the agent's `timers`.
    #[schemars(length(max = 63), regex(pattern = NAME))]
    pub timer: String,
    /// A CEL expression: the key that it was scheduled with. Unset: the one without a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub key: Option<String>,
    /// A CEL expression: whether this step runs. Evaluated just before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub when: Option<String>,
    /// A CEL expression: a list, or a map, which stands for its keys. The step runs once for each element, in order, and
    /// its other expressions see the element as `item`; `when` is evaluated for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub each: Option<String>,
}

/// Ends the agent: its lanes are as in the beginning, and its timers are gone. Steps behind it begin it anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct End {
    /// A CEL expression: whether this step runs. Evaluated just before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub when: Option<String>,
}

fn refuse_code() -> i32 {
    422
}

/// The one member of a step.
#[derive(Clone, Copy)]
pub enum Only<'a> {
    Set(&'a Set),
    Put(&'a Put),
    Remove(&'a Remove),
    Clear(&'a Clear),
    Emit(&'a Emit),
    Send(&'a Send),
    Refuse(&'a Refuse),
    Schedule(&'a Schedule),
    Cancel(&'a Cancel),
    End(&'a End),
    Answer(&'a str),
}

impl Step {
    pub fn only(&self) -> Option<Only<'_>> {
        let Step { set, put, remove, clear, emit, send, refuse, schedule, cancel, end, answer } = self;
        let set = set.as_ref().map(Only::Set);
        set.or(put.as_ref().map(Only::Put))
            .or(remove.as_ref().map(Only::Remove))
            .or(clear.as_ref().map(Only::Clear))
            .or(emit.as_ref().map(Only::Emit))
            .or(send.as_ref().map(Only::Send))
            .or(refuse.as_ref().map(Only::Refuse))
            .or(schedule.as_ref().map(Only::Schedule))
            .or(cancel.as_ref().map(Only::Cancel))
            .or(end.as_ref().map(Only::End))
            .or(answer.as_deref().map(Only::Answer))
    }
}

impl<'a> Only<'a> {
    pub fn name(self) -> &'static str {
        match self {
            Only::Set(_) => "set",
            Only::Put(_) => "put",
            Only::Remove(_) => "remove",
            Only::Clear(_) => "clear",
            Only::Emit(_) => "emit",
            Only::Send(_) => "send",
            Only::Refuse(_) => "refuse",
            Only::Schedule(_) => "schedule",
            Only::Cancel(_) => "cancel",
            Only::End(_) => "end",
            Only::Answer(_) => "answer",
        }
    }

    pub fn when(self) -> Option<&'a str> {
        self.conditions().0
    }

    pub fn each(self) -> Option<&'a str> {
        self.conditions().1
    }

    /// Whether, and for what, it runs.
    fn conditions(self) -> (Option<&'a str>, Option<&'a str>) {
        let (when, each) = match self {
            Only::Set(Set { when, each, .. })
            | Only::Put(Put { when, each, .. })
            | Only::Remove(Remove { when, each, .. })
            | Only::Clear(Clear { when, each, .. })
            | Only::Emit(Emit { when, each, .. })
            | Only::Send(Send { when, each, .. })
            | Only::Refuse(Refuse { when, each, .. })
            | Only::Schedule(Schedule { when, each, .. })
            | Only::Cancel(Cancel { when, each, .. }) => (when, each),
            Only::End(End { when }) => return (when.as_deref(), None),
            Only::Answer(_) => return (None, None),
        };
        (when.as_deref(), each.as_deref())
    }
}
