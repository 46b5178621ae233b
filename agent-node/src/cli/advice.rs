//! What a person can do about a failure.

use proto::shown::{Exit, Failure};

pub fn of(failure: &Failure) -> &'static str {
    match failure.code {
        _ if failure.outcome_unknown => "Look at the state before you send it again: it may have been done.",
        None if failure.exit == Exit::Unreachable => {
            "Is a node running there? `--at HOST:PORT`, or SHOAL_AT, names where nodes answer."
        }
        Some(400 | 415) => "Mend the address or the body; it was not done.",
        Some(404) => "Compare the address and the lane's name with the plan.",
        Some(405) => {
            "This lane takes no such change from clients: its `type` and `access` in the plan say what it takes."
        }
        Some(406) => "This lane has no state to get: `agent-node watch` shows what comes on it.",
        Some(409) => "It was done before, or another command has its number.",
        Some(413) => "Send less at once.",
        Some(422) => {
            "A rule of the plan refuses it, at the expression that is named; nothing of it was done."
        }
        Some(408 | 429 | 503) => "It was not done: try again soon, or at another node.",
        _ => "The node's log may say more.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_an_advice() {
        let failure = |code| Failure { exit: Exit::Refused, code, ..Failure::unreachable("no") };
        for (failure, expected) in [
            (Failure::unreachable("no"), "Is a node running"),
            (Failure { outcome_unknown: true, ..failure(Some(503)) }, "Look at the state"),
            (failure(Some(400)), "Mend"),
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
            assert!(of(&failure).starts_with(expected), "{failure:?}");
        }
    }
}
