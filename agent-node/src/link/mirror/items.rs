//! The last items of an event lane, for watchers that have not been told them yet.

use super::{Cell, Item, MirrorChange};
use crate::map::Stamp;
use proto::value::Value;
use std::collections::VecDeque;

#[derive(Debug)]
pub struct Items {
    kept: VecDeque<Kept>,
    most: usize,
    /// Items that came since the owner was last asked for them.
    received: u64,
    /// The newest item that was dropped though a watcher may have needed it.
    dropped: Stamp,
}

#[derive(Debug)]
struct Kept {
    at: Stamp,
    what: What,
}

#[derive(Debug)]
enum What {
    Event(Cell),
    /// What happened from this version up to the mark's never came here.
    Gap(u64),
}

impl Items {
    pub fn new(most: usize) -> Items {
        Items { kept: VecDeque::new(), most: most.max(1), received: 0, dropped: Stamp::default() }
    }

    pub fn bound(&mut self, most: usize) {
        self.most = most.max(1);
        self.trim();
    }

    pub fn push(&mut self, value: Value, at: Stamp) {
        self.received += 1;
        let what = What::Event(Cell::new(value));
        self.kept.push_back(Kept { at, what });
        self.trim();
    }

    pub fn gap(&mut self, from: u64, at: Stamp) {
        self.kept.push_back(Kept { at, what: What::Gap(from) });
        self.trim();
    }

    fn trim(&mut self) {
        while self.kept.len() > self.most
            && let Some(oldest) = self.kept.pop_front()
        {
            self.dropped = oldest.at;
        }
    }

    /// The owner is asked anew, and counts from nothing.
    pub fn recount(&mut self) {
        self.received = 0;
    }

    /// How many items may come in all without any being dropped.
    pub fn limit(&self) -> u64 {
        self.received + self.most.saturating_sub(self.kept.len()) as u64
    }

    /// Everything is void.
    pub fn forget(&mut self) {
        (self.kept, self.dropped) = (VecDeque::new(), Stamp::default());
    }

    /// Nobody needs what is not after this position.
    pub fn release(&mut self, passed: Stamp) {
        while self.kept.front().is_some_and(|oldest| oldest.at <= passed) {
            self.kept.pop_front();
        }
        if self.kept.is_empty() {
            self.kept.shrink_to(self.most.min(8));
        }
    }

    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    /// The position of the newest item that was dropped.
    pub fn dropped(&self) -> Stamp {
        self.dropped
    }

    /// What happened after `at`; `from` is the first version of which something may be missing there.
    pub fn newer(&self, at: Stamp, from: u64) -> impl Iterator<Item = Item<'_>> {
        let dropped = self.dropped;
        let lost = (dropped > at).then(|| Item {
            at: dropped,
            said: MirrorChange::Gap(from.min(dropped.version), dropped.version),
        });
        let begin = self.kept.partition_point(|kept| kept.at <= at);
        lost.into_iter().chain(self.kept.range(begin..).map(Kept::item))
    }
}

impl Kept {
    fn item(&self) -> Item<'_> {
        let said = match &self.what {
            What::Event(cell) => MirrorChange::Event(cell),
            What::Gap(from) => MirrorChange::Gap(*from, self.at.version),
        };
        Item { at: self.at, said }
    }
}
