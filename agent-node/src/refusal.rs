//! Why something was not done, in the one form in which every way out can say it.

use proto::value::BODY_MAX;

/// Codes are HTTP's: the table in `docs/api.md`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Refusal {
    pub code: u16,
    pub error: String,
    /// The path of a field or rule, the place in the body, or the address.
    pub at: String,
    /// With 503: it may have had its effect. With 409: it may have had it long ago.
    pub outcome_unknown: bool,
    /// With 429 and 503.
    pub retry_after_s: u32,
    /// The step `refuse` of a rule has refused it: nothing of it was done, now or before.
    pub by_rule: bool,
}

/// The place of what is wrong with a body as a whole.
pub const BODY: &str = "body";

/// No address is longer.
const TEXT_MAX: usize = 1_024;

fn short(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        text.shrink_to_fit();
        text.push_str("...");
    }
    text
}

impl Refusal {
    /// Both texts are cut after 1,024 bytes: they may have parts of what was sent.
    pub fn new(code: u16, error: impl Into<String>, at: impl Into<String>) -> Self {
        let (error, at) = (short(error.into()), short(at.into()));
        Self { code, error, at, outcome_unknown: false, retry_after_s: 0, by_rule: false }
    }

    pub fn bad(error: impl Into<String>, at: impl Into<String>) -> Self {
        Self::new(400, error, at)
    }

    /// Something is wrong with all of a command's body, or with its JSON from a byte on.
    pub fn in_body(error: impl Into<String>, byte: usize) -> Self {
        Self::bad(error, if byte == 0 { BODY.to_owned() } else { format!("{BODY}:{byte}") })
    }

    pub fn too_large() -> Self {
        Self::new(413, format!("a body is at most {BODY_MAX} bytes"), BODY)
    }

    pub fn not_found(error: impl Into<String>, at: impl Into<String>) -> Self {
        Self::new(404, error, at)
    }

    /// Something bounded is full; nothing was done.
    pub fn full(error: impl Into<String>, at: impl Into<String>) -> Self {
        Self { retry_after_s: 1, ..Self::new(429, error, at) }
    }

    /// Not now; nothing was done.
    pub fn unavailable(error: impl Into<String>, at: impl Into<String>) -> Self {
        Self { retry_after_s: 1, ..Self::new(503, error, at) }
    }

    /// It may have been done.
    pub fn unknown(error: impl Into<String>, at: impl Into<String>) -> Self {
        Self { outcome_unknown: true, ..Self::unavailable(error, at) }
    }

    /// The step `refuse` at a path of the plan refuses it.
    pub fn by_rule(code: u16, error: impl Into<String>, at: impl Into<String>) -> Self {
        let retry_after_s = u32::from(code == 429);
        Self { by_rule: true, retry_after_s, ..Self::new(code, error, at) }
    }

    /// Another node has the slot; nothing was done. Stays between nodes: whoever asked them looks for the owner.
    pub fn elsewhere(at: impl Into<String>) -> Self {
        Self::new(421, "not the owner", at)
    }

    /// What and where, for a line of text.
    pub fn with_place(&self) -> String {
        if self.at.is_empty() { self.error.clone() } else { format!("{} (at {})", self.error, self.at) }
    }

    /// Whether a command with this sequence was executed before, or, where the outcome is unknown, refused.
    pub fn is_of_repeat(&self) -> bool {
        self.code == 409 && !self.by_rule
    }

    pub fn fate(&self) -> Fate {
        match self.code {
            421 => Fate::Elsewhere,
            408 | 429 | 503 => Fate::Later,
            _ => Fate::Final,
        }
    }
}

/// What another try can come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing else.
    Final,
    /// Something else, here or at another node.
    Later,
    /// Something else, at another node.
    Elsewhere,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_or_left_out() {
        for (refusal, expected) in [
            (Refusal::in_body("no", 0), "no (at body)"),
            (Refusal::in_body("no", 7), "no (at body:7)"),
            (Refusal::unavailable("no", ""), "no"),
        ] {
            assert_eq!(refusal.with_place(), expected);
        }
    }

    #[test]
    fn what_was_sent_is_repeated_in_part() {
        let long = "é".repeat(4_000);
        let refusal = Refusal::bad(format!("unknown parameter {long}"), long.as_str());
        assert_eq!((refusal.error.len(), refusal.at.len()), (TEXT_MAX + 3, TEXT_MAX + 3));
        assert!(refusal.error.starts_with("unknown parameter é") && refusal.at.ends_with("é..."));
        let address = format!("/{}", "a".repeat(TEXT_MAX - 1));
        assert_eq!(Refusal::bad("x", address.as_str()).at, address);
    }
}
