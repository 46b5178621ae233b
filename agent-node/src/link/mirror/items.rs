//! The last items of an event lane, for watchers that have not been told them yet: those that came here, and, for
//! watchers that came back, those that the owner has told of what was before.

use super::{BEHIND, Cell, Item, MirrorChange};
use crate::map::Stamp;
use proto::value::Value;
use std::collections::VecDeque;

#[derive(Debug)]
pub struct Items {
    /// What was before `kept`, until all have passed it.
    older: Option<Box<Older>>,
    kept: VecDeque<Kept>,
    most: usize,
    /// Beside `most`, for what an attachment has begun with.
    extra: usize,
    /// Items that came since the owner was last asked for them, but for those that the attachment began with.
    received: u64,
    /// The newest item that was dropped though a watcher may have needed it.
    dropped: Stamp,
    /// Everybody who was there had passed this when it was let go.
    released: Stamp,
}

/// What somebody who came back had missed.
#[derive(Debug)]
struct Older {
    /// Everything after this version is here.
    from: u64,
    /// Up to here; what came later is kept.
    to: Stamp,
    items: VecDeque<Kept>,
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
        Items {
            older: None,
            kept: VecDeque::new(),
            most: most.max(1),
            extra: 0,
            received: 0,
            dropped: Stamp::default(),
            released: Stamp::default(),
        }
    }

    pub fn bound(&mut self, most: usize) {
        self.most = most.max(1);
        self.trim();
    }

    pub fn push(&mut self, value: Value, at: Stamp) {
        self.received += 1;
        self.kept.push_back(Kept { at, what: What::Event(Cell::new(value)) });
        self.trim();
    }

    /// An item that an attachment begins with, and nobody here has been told.
    pub fn push_missed(&mut self, value: Value, at: Stamp) {
        self.extra += 1;
        self.kept.push_back(Kept { at, what: What::Event(Cell::new(value)) });
        self.trim();
    }

    pub fn gap(&mut self, from: u64, at: Stamp) {
        self.kept.push_back(Kept { at, what: What::Gap(from) });
        self.trim();
    }

    /// What the owner has told of items after the version `from`. It is here for those who come back, as far as it is before
    /// all that is kept.
    pub fn set_older(&mut self, from: u64, items: impl Iterator<Item = (u64, Value)>) {
        let (mut at, to) = (Stamp::default(), self.dropped.max(self.released));
        let place = |(version, value)| {
            at = if version == at.version { at.next() } else { Stamp { version, index: 1 } };
            Kept { at, what: What::Event(Cell::new(value)) }
        };
        let items = items.map(place).take_while(|kept| kept.at <= to).collect();
        self.older = Some(Box::new(Older { from, to, items }));
    }

    fn trim(&mut self) {
        while self.kept.len() > self.most + self.extra
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

    /// Everything is void; what comes is after this position.
    pub fn forget(&mut self, begin: Stamp) {
        *self = Items { most: self.most, received: self.received, released: begin, ..Items::new(self.most) };
    }

    /// Nobody needs what is not after this position.
    pub fn release(&mut self, passed: Stamp) {
        self.older.take_if(|older| older.to <= passed);
        while self.kept.front().is_some_and(|oldest| oldest.at <= passed) {
            self.released = self.kept.pop_front().map_or(self.released, |oldest| oldest.at);
        }
        if self.kept.len() <= self.most {
            self.extra = 0;
        }
        if self.kept.is_empty() {
            self.kept.shrink_to(self.most.min(8));
        }
    }

    pub fn has_older(&self) -> bool {
        self.older.is_some()
    }

    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    /// The position of the newest item that was dropped.
    pub fn dropped(&self) -> Stamp {
        self.dropped
    }

    /// Everything that happened after this version is here.
    pub fn known_from(&self) -> u64 {
        match &self.older {
            Some(older) if self.dropped <= older.to => older.from,
            _ => self.dropped.max(self.released).version,
        }
    }

    /// What happened after `at`; `from` is the first version of which something may be missing there.
    pub fn newer(&self, at: Stamp, from: u64) -> impl Iterator<Item = Item<'_>> {
        let gap =
            |from: u64, at: Stamp| Item { at, said: MirrorChange::Gap(from.min(at.version), at.version) };
        let older = self.older.as_deref().filter(|older| older.to > at);
        let before = older.filter(|older| older.from > at.version);
        let before = before.map(|older| gap(from, Stamp::end_of(older.from)));
        let missed = older.into_iter().flat_map(move |older| {
            let begin = older.items.partition_point(|kept| kept.at <= at);
            older.items.range(begin..).map(Kept::item)
        });
        let (from, at) = older.map_or((from, at), |older| (from.max(older.next_version()), older.to));
        // What was let go is missed by those only who came back later.
        let gone = self.dropped.max(self.released);
        let lost = (gone > at).then(|| gap(from, gone));
        let begin = self.kept.partition_point(|kept| kept.at <= at);
        before.into_iter().chain(missed).chain(lost).chain(self.kept.range(begin..).map(Kept::item))
    }
}

impl Older {
    /// The first version of which something may be missing behind it: the rest of a record may have been dropped.
    fn next_version(&self) -> u64 {
        self.to.version + u64::from(self.to.index >= BEHIND)
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
