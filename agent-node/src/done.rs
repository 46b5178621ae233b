//! How a command that took effect is answered.

use crate::refusal::Refusal;
use bytes::Bytes;

/// How a command ended.
pub type End = Result<Done, Refusal>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    pub version: u64,
    pub said: Said,
}

/// What the step `answer` of a rule has said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Said {
    #[default]
    Nothing,
    /// As JSON.
    Json(Bytes),
    /// It said something, which is not kept any more.
    Gone,
}

impl Done {
    /// Without an answer of a rule.
    pub fn plain(version: u64) -> Done {
        Done { version, said: Said::Nothing }
    }
}

impl Said {
    /// As protobuf messages have it: the JSON text, and whether it is gone.
    pub fn into_wire(self) -> (Bytes, bool) {
        match self {
            Said::Nothing => (Bytes::new(), false),
            Said::Json(json) => (json, false),
            Said::Gone => (Bytes::new(), true),
        }
    }

    pub fn of_wire(json: Bytes, is_gone: bool) -> Said {
        match (json.is_empty(), is_gone) {
            (_, true) => Said::Gone,
            (true, false) => Said::Nothing,
            (false, false) => Said::Json(json),
        }
    }
}
