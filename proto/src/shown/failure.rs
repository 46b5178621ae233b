//! What went wrong with a call, how it is shown, and what a person can do about it.

use super::{Exit, Output};
use std::borrow::Cow;
use std::error::Error as _;
use tonic::{Code, Status};

/// A call that was not answered with what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    pub code: Option<u16>,
    pub error: String,
    pub at: String,
    /// It may have been done.
    pub outcome_unknown: bool,
    /// The step `refuse` of a rule has refused it.
    pub by_rule: bool,
}

impl Failure {
    pub fn unreachable(error: impl Into<String>) -> Failure {
        let error = error.into();
        let at = String::new();
        Failure { exit: Exit::Unreachable, code: None, error, at, outcome_unknown: false, by_rule: false }
    }

    /// What `node` has answered. Its own answers carry HTTP's code; whatever else went wrong is the way to it.
    pub fn of(node: &str, status: &Status) -> Failure {
        let text = |name: &str| status.metadata().get(name).and_then(|value| value.to_str().ok());
        let code = text("shoal-code").and_then(|code| code.parse().ok());
        let lost = matches!(
            status.code(),
            Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded | Code::Internal
        );
        Failure {
            exit: if code.is_none() && lost { Exit::Unreachable } else { Exit::Refused },
            code,
            error: if code.is_none() { on_the_way(node, status) } else { status.message().to_owned() },
            at: text("shoal-at").unwrap_or_default().to_owned(),
            outcome_unknown: code.is_none() && lost || text("shoal-outcome") == Some("unknown"),
            by_rule: text("shoal-refused-by") == Some("rule"),
        }
    }

    /// What `node` has answered to a call that changes nothing.
    pub fn of_read(node: &str, status: &Status) -> Failure {
        Failure { outcome_unknown: false, ..Failure::of(node, status) }
    }

    /// Whether another node, or this one later, may answer otherwise.
    pub fn may_pass(&self) -> bool {
        self.exit == Exit::Unreachable || matches!(self.code, Some(408 | 429 | 503)) && !self.by_rule
    }

    /// For stderr.
    pub fn shown(&self, output: Output) -> String {
        match output {
            Output::Json => {
                let mut object = serde_json::json!({"error": self.error, "at": self.at});
                if let Some(code) = self.code {
                    object["code"] = code.into();
                }
                if self.outcome_unknown {
                    object["outcome"] = "unknown".into();
                }
                if self.by_rule {
                    object["refusedBy"] = "rule".into();
                }
                object.to_string()
            }
            Output::Text => {
                let code = self.code.map(|code| format!("{code}: ")).unwrap_or_default();
                let at: Cow<str> =
                    if self.at.is_empty() { "".into() } else { format!(" (at {})", self.at).into() };
                let unknown = if self.outcome_unknown { "; it may have been done" } else { "" };
                format!("{code}{}{at}{unknown}", self.error)
            }
        }
    }

    /// What a person can do about it; `way`: when no node was reached.
    pub fn advice(&self, way: &'static str) -> &'static str {
        match self.code {
            _ if self.outcome_unknown => "Look at the state before you send it again: it may have been done.",
            None if self.exit == Exit::Unreachable => way,
            Some(429) if self.by_rule => "A rule of the plan refuses the command for now: try again later.",
            _ if self.by_rule => {
                "A rule of the plan refuses the command, as it says; nothing of it was done."
            }
            Some(400 | 415) => "Correct the address or the body; the command was not executed.",
            Some(404) => "Compare the address and the lane's name with the plan.",
            Some(405) => {
                "This lane takes no such change from clients: its `type` and `access` in the plan say what it takes."
            }
            Some(406) => "This lane has no state to get: `watch` shows what comes on it.",
            Some(409) => "The command was executed before, or another command of this client has its number.",
            Some(413) => "Send less at once.",
            Some(422) => {
                "A rule of the plan refuses the command at the expression that is named; nothing of it was done."
            }
            Some(408 | 429 | 503) => "It was not done: try again soon, or at another node.",
            _ => "The node's log may say more.",
        }
    }
}

/// The library's own text says only that something failed; the reason lies deeper.
fn on_the_way(node: &str, status: &Status) -> String {
    let Some(mut deepest) = status.source() else { return format!("{node}: {}", status.message()) };
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    format!("{node} does not answer as a node does: {deepest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_failed_has_no_outcome_to_look_for() {
        let lost = Status::unavailable("gone");
        assert!(Failure::of("pod-0", &lost).outcome_unknown);
        assert!(!Failure::of_read("pod-0", &lost).outcome_unknown);
        assert_eq!(Failure::of("pod-0", &lost).error, "pod-0: gone");
        let broken = Status::from_error(Box::new(std::io::Error::other("no HTTP/2")));
        assert_eq!(Failure::of("pod-0", &broken).error, "pod-0 does not answer as a node does: no HTTP/2");
    }

    #[test]
    fn every_failure_has_an_advice() {
        let failure = |code| Failure { exit: Exit::Refused, code, ..Failure::unreachable("no") };
        for (failure, expected) in [
            (Failure::unreachable("no"), "Ask elsewhere"),
            (Failure { by_rule: true, ..failure(Some(409)) }, "A rule of the plan refuses the command, as"),
            (
                Failure { by_rule: true, ..failure(Some(429)) },
                "A rule of the plan refuses the command for now",
            ),
            (failure(Some(409)), "The command was executed before"),
            (Failure { outcome_unknown: true, ..failure(Some(503)) }, "Look at the state"),
            (failure(Some(400)), "Correct"),
            (failure(Some(404)), "Compare"),
            (failure(Some(405)), "This lane takes"),
            (failure(Some(406)), "This lane has"),
            (failure(Some(413)), "Send less"),
            (failure(Some(422)), "A rule"),
            (failure(Some(429)), "It was not done"),
            (failure(Some(503)), "It was not done"),
            (failure(Some(500)), "The node's log"),
            (failure(None), "The node's log"),
        ] {
            assert!(failure.advice("Ask elsewhere").starts_with(expected), "{failure:?}");
        }
    }
}
