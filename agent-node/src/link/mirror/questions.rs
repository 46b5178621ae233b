//! What the owner of a lane is asked for the watchers of a mirror: whether all that it has acknowledged until now is told.
//!
//! An attachment is such a question: the state that it begins with answers it. Who comes to a mirror that is attached
//! already waits for the answer to a question that is asked after it came. On the owner's own node nothing is asked: there
//! a change is in the mirror before anybody hears that it was acknowledged.
//!
//! *Guarantees.* At most one question is under way, however many watchers come, and one answer serves all who came before
//! its question was asked.

use crate::broken::{self, Broken};

/// The number of the question that each attachment is. Those that are asked on it follow.
pub const ATTACHMENT: u64 = 1;

/// The numbers here go on from one attachment to the next.
#[derive(Debug, Default)]
pub struct Questions {
    /// Asked on earlier attachments.
    before: u64,
    asked: u64,
    answered: u64,
    attached: bool,
    /// Somebody has come since the last one was asked.
    wanted: bool,
}

impl Questions {
    /// The owner is asked for its state. It answers nothing any more of what it was asked before.
    pub fn attach(&mut self) {
        self.before = self.asked;
        self.asked += 1;
        (self.attached, self.wanted) = (true, false);
    }

    /// Nobody can be asked at present.
    pub fn lose(&mut self) {
        self.attached = false;
    }

    /// A watcher comes. Gives the question whose answer it waits for.
    pub fn come(&mut self, owner_is_here: bool) -> u64 {
        if (owner_is_here || broken::is(Broken::UnaskedSynced)) && self.attached {
            return self.asked;
        }
        self.wanted = true;
        self.asked + 1
    }

    /// The question that is to be asked now, by its number on the attachment.
    pub fn next(&mut self) -> Option<u64> {
        if !self.attached || !self.wanted || self.answered < self.asked {
            return None;
        }
        self.wanted = false;
        self.asked += 1;
        Some(self.asked - self.before)
    }

    /// The owner has answered all up to this number of the attachment; 0: none.
    pub fn answer(&mut self, number: u64) {
        if number > 0 {
            self.answered = self.answered.max(self.before.saturating_add(number).min(self.asked));
        }
    }

    /// The last one that was answered.
    pub fn answered(&self) -> u64 {
        self.answered
    }
}
