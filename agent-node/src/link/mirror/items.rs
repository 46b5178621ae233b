//! The last items of an event lane, for watchers that have not been told them yet.

use super::{Cell, Item, MirrorChange};
use proto::value::Value;
use std::collections::VecDeque;

#[derive(Debug)]
pub struct Items {
    kept: VecDeque<Kept>,
    most: usize,
    /// Items that came since the owner was last asked for them.
    received: u64,
    /// The newest item that was dropped though a watcher may have needed it.
    dropped: Mark,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    order: u64,
    version: u64,
}

#[derive(Debug)]
struct Kept {
    at: Mark,
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
        Items { kept: VecDeque::new(), most: most.max(1), received: 0, dropped: Mark::default() }
    }

    pub fn bound(&mut self, most: usize) {
        self.most = most.max(1);
        self.trim();
    }

    pub fn push(&mut self, value: Value, version: u64, order: u64) {
        self.received += 1;
        let what = What::Event(Cell::new(value));
        self.kept.push_back(Kept { at: Mark { order, version }, what });
        self.trim();
    }

    pub fn gap(&mut self, from: u64, to: u64, order: u64) {
        self.kept.push_back(Kept { at: Mark { order, version: to }, what: What::Gap(from) });
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
        (self.kept, self.dropped) = (VecDeque::new(), Mark::default());
    }

    /// Nobody needs what is not after this order.
    pub fn release(&mut self, order: u64) {
        while self.kept.front().is_some_and(|oldest| oldest.at.order <= order) {
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

    /// The order of the newest item that was dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.order
    }

    /// What happened after `at`; `from` is the first version of which something may be missing there.
    pub fn newer(&self, at: u64, from: u64) -> impl Iterator<Item = Item<'_>> {
        let Mark { order, version } = self.dropped;
        let lost = (order > at).then(|| Item {
            order,
            version,
            said: MirrorChange::Gap(from.min(version), version),
        });
        let begin = self.kept.partition_point(|kept| kept.at.order <= at);
        lost.into_iter().chain(self.kept.range(begin..).map(Kept::item))
    }
}

impl Kept {
    fn item(&self) -> Item<'_> {
        let Mark { order, version } = self.at;
        let said = match &self.what {
            What::Event(cell) => MirrorChange::Event(cell),
            What::Gap(from) => MirrorChange::Gap(*from, version),
        };
        Item { order, version, said }
    }
}
