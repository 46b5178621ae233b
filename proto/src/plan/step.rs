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
}

impl Step {
    pub fn only(&self) -> Option<Only<'_>> {
        let Step { set, put, remove, clear, emit, send } = self;
        let set = set.as_ref().map(Only::Set);
        set.or(put.as_ref().map(Only::Put))
            .or(remove.as_ref().map(Only::Remove))
            .or(clear.as_ref().map(Only::Clear))
            .or(emit.as_ref().map(Only::Emit))
            .or(send.as_ref().map(Only::Send))
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
        }
    }

    pub fn when(self) -> Option<&'a str> {
        match self {
            Only::Set(set) => set.when.as_deref(),
            Only::Put(put) => put.when.as_deref(),
            Only::Remove(remove) => remove.when.as_deref(),
            Only::Clear(clear) => clear.when.as_deref(),
            Only::Emit(emit) => emit.when.as_deref(),
            Only::Send(send) => send.when.as_deref(),
        }
    }
}
