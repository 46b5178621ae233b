//! What is known of a slot that commands were sent to, and when what waits for it may go on.
//!
//! *Guarantees.* A pause ends in this file only, and never without the node that has something to send then standing
//! in [`Due`].

use super::Due;
use std::collections::BTreeSet;

/// A sequence is never this far above the oldest unanswered one of its slot: the owner remembers the highest 1,024.
pub const AHEAD_MAX: u64 = 1_000;

#[derive(Debug, Default)]
pub struct OfSlot {
    /// Who is asked, as long as any is unanswered.
    line: u16,
    unanswered: usize,
    /// How many of them the owner has not answered since they were last sent.
    sent: usize,
    pause: Option<Pause>,
    /// The next command is the first after a pause by `NotOwner`.
    again: bool,
    /// The last own sequence.
    sequence: u64,
    /// Own sequences that are not settled.
    own: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    /// The next own sequence would be too far ahead.
    Ahead,
    /// Nothing goes out until all that was sent is answered; then the ring is looked up again.
    NotOwner { until_ms: u64 },
}

impl OfSlot {
    pub fn line(&self) -> u16 {
        self.line
    }

    pub fn is_settled(&self) -> bool {
        self.unanswered == 0
    }

    /// Something is on its way to the owner.
    pub fn is_under_way(&self) -> bool {
        self.sent > 0
    }

    pub fn is_paused(&self) -> bool {
        self.pause.is_some()
    }

    /// Who waits, waits for an owner, and not for answers to own sequences.
    pub fn waits_for_owner(&self) -> bool {
        self.pause != Some(Pause::Ahead)
    }

    /// One more waits for this owner, unless another is still asked for those before it.
    pub fn submitted(&mut self, owner: u16) {
        if self.unanswered == 0 {
            self.line = owner;
        }
        self.unanswered += 1;
    }

    /// One goes out. Whether it is the first after a pause by `NotOwner`.
    pub fn sent(&mut self) -> bool {
        self.sent += 1;
        std::mem::take(&mut self.again)
    }

    /// The owner has said something of one that was sent.
    pub fn answered(&mut self) {
        self.sent -= 1;
    }

    /// One is answered for good.
    pub fn settled(&mut self, own: Option<u64>, due: &mut Due) {
        self.unanswered -= 1;
        if let Some(own) = own {
            self.own.remove(&own);
        }
        if self.pause == Some(Pause::Ahead) {
            self.go_on(due);
        }
    }

    /// The next own sequence, unless it would be too far ahead: then the slot pauses until one is settled.
    pub fn next_own(&mut self) -> Option<u64> {
        let oldest = self.own.first().copied().unwrap_or(self.sequence + 1);
        if self.sequence + 1 - oldest >= AHEAD_MAX {
            self.pause = Some(Pause::Ahead);
            return None;
        }
        self.sequence += 1;
        self.own.insert(self.sequence);
        Some(self.sequence)
    }

    /// Whoever is asked is not the owner, or will not be: nothing goes out before that time, nor before all that was
    /// sent is answered.
    pub fn pause(&mut self, until_ms: u64) {
        self.pause = Some(Pause::NotOwner { until_ms });
    }

    /// Ends a pause by `NotOwner` whose time has come.
    pub fn look_at_pause(&mut self, now_ms: u64, due: &mut Due) {
        if let Some(Pause::NotOwner { until_ms }) = self.pause
            && self.sent == 0
            && until_ms <= now_ms
        {
            self.again = true;
            self.go_on(due);
        }
    }

    /// Another node is asked from now on; nothing is on its way to the one before.
    pub fn move_to(&mut self, owner: u16, due: &mut Due) {
        self.line = owner;
        self.go_on(due);
    }

    /// The connection to the owner is gone, and what was sent on it may be lost. A new one begins without a pause.
    pub fn disconnected(&mut self) {
        (self.pause, self.again, self.sent) = (None, false, 0);
    }

    /// Whatever it paused for does not count any more.
    pub fn go_on(&mut self, due: &mut Due) {
        self.pause = None;
        due.add(self.line);
    }
}
