//! What a history shows to be broken.

use std::fmt;

/// Which promise is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// What was acknowledged, or seen by somebody, is gone and nothing has overwritten it.
    Lost,
    /// One write has two effects.
    Doubled,
    /// What nobody wrote was seen.
    Phantom,
    /// What was refused, or certainly not done, was seen.
    Refused,
    /// What was not sent yet was seen.
    Early,
    /// A retry is answered by another version, or refused after it was done.
    Retry,
    /// A version is that of two writes, or of none, or falls where it has to rise.
    Version,
    /// A read, or a watch that is `synced`, lacks what was known before it was asked.
    Stale,
    /// A state is none that the lane had at that version.
    State,
    /// What one slot sends another takes effect in another order than it was sent.
    Order,
    /// A watcher was told an event twice, or what it had been told already.
    Duplicate,
    /// A watcher was not told an item, and no `gap` says so.
    Missing,
    /// A watcher was told something in an order in which it did not happen.
    Reorder,
    /// A token says that everything up to it was told, and it was not; or it falls.
    Token,
    /// A watch goes on from a token without what it had been told.
    Resume,
    /// A watcher that is `synced` does not end with the lane's state.
    Diverged,
}

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    /// A sentence that names what happened by its numbers in the history.
    pub text: String,
}

impl Violation {
    pub(crate) fn new(rule: Rule, text: String) -> Violation {
        Violation { rule, text }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.text)
    }
}
