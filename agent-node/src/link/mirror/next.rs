//! An owner's state while it comes, and what becomes of a mirror when it has.

use super::map::{Entries, changes_after};
use super::{BEHIND, Cell, Content, Latest, Mirror, follows};
use crate::link::{Begin, Change, Versioned};
use crate::map::{Map, Stamp};
use proto::value::Value;

#[derive(Debug)]
pub struct Next {
    begin: Begin,
    /// The state of a Map lane.
    map: Map,
    /// The owner's own map, with what it knows of removals.
    is_owners: bool,
    /// The state of any other lane.
    changes: Vec<Versioned>,
}

impl Next {
    pub fn new(begin: Begin, entries: Option<Map>) -> Next {
        let is_owners = entries.is_some();
        let mut map = entries.unwrap_or_default();
        if !is_owners {
            map.keep_all();
        }
        Next { begin, map, is_owners, changes: Vec::new() }
    }

    /// Adds what has come, in the order in which it does.
    pub fn extend(&mut self, changes: Vec<Versioned>) {
        for Versioned { change, version } in changes {
            let stamp = Stamp { version, index: 0 };
            match change {
                Change::Put(key, value) => drop(self.map.put(key, value, stamp)),
                Change::Remove(key) => drop(self.map.strike(&key, stamp)),
                Change::Clear => drop(self.map.clear(stamp)),
                change => self.changes.push(Versioned { change, version }),
            }
        }
    }

    /// All of it has come.
    pub fn finish(&mut self, version: u64) {
        if !self.is_owners {
            self.map.know_from(self.begin.removed.min(version));
        }
    }
}

impl Mirror {
    /// The owner's state has come, as far as it was asked for. Where it follows from what is here, watchers are told what
    /// differs; else what they have is void.
    pub(super) fn replace(&mut self, version: u64, next: Next) {
        let begin = next.begin;
        if self.continues(version, &next) {
            self.base = if self.keeps_items() { 0 } else { self.base.min(begin.changed) };
            self.horizon = self.horizon.max(begin.horizon);
            self.join(version, next);
        } else {
            self.restart(version, next);
        }
        self.version = version;
        self.head = self.head.max(Stamp { version, index: BEHIND });
        self.changed = version;
        (self.whole, self.stale) = (true, false);
    }

    /// Whether the changes between what is here and this state can be told.
    fn continues(&self, version: u64, next: &Next) -> bool {
        let (begin, before) = (next.begin, self.version);
        let is_told = begin.changed <= before && next.map.known_from() <= before;
        // Of items there may be a gap.
        let is_compared = begin.changed == 0 && self.base == 0 || self.keeps_items();
        self.whole && follows(before, version) && before <= version && (is_told || is_compared)
    }

    fn restart(&mut self, version: u64, next: Next) {
        self.era += u32::from(self.whole);
        self.head = Stamp::default();
        (self.base, self.horizon) = (next.begin.changed, next.begin.horizon);
        match &mut self.state {
            Content::Value(latest) => *latest = None,
            Content::Map(entries) => **entries = Entries::begin(next.map),
            Content::Items(items) => {
                let at = Stamp { version, index: BEHIND };
                items.forget(at);
                self.base = 0;
                let from = next.begin.items_from(version);
                return if from < version {
                    items.set_older(from, events(next.changes));
                };
            }
        }
        self.follow_all(next.changes);
    }

    fn join(&mut self, version: u64, next: Next) {
        let before = self.version;
        match &mut self.state {
            Content::Value(latest) => {
                let is_news = |versioned: &Versioned| join_value(latest, versioned, before);
                let changes = next.changes.into_iter().filter(is_news).collect();
                self.follow_all(changes);
            }
            Content::Map(entries) if next.map.known_from() <= before => {
                let since = entries.all().known_from();
                let changes = changes_after(&next.map, before);
                // Of a flush that came in part, some are here.
                let news = changes.into_iter().filter(|versioned| !entries.has(versioned)).collect();
                self.follow_all(news);
                let Content::Map(entries) = &mut self.state else { return };
                entries.join(next.map, next.begin.changed == 0, since);
            }
            Content::Map(entries) => {
                let changes = entries.differ(&next.map, version);
                let removed = |versioned: &Versioned| match &versioned.change {
                    Change::Remove(key) => Some(key.clone()),
                    _ => None,
                };
                let removed: Vec<_> = changes.iter().filter_map(removed).collect();
                self.follow_all(changes);
                let Content::Map(entries) = &mut self.state else { return };
                entries.replace(next.map, removed, version);
            }
            Content::Items(_) => self.join_items(next.begin.items_from(version), next.changes),
        }
    }

    /// Items after the version `from` have come. Those that nobody here was told are new; the others are for who comes back.
    fn join_items(&mut self, from: u64, changes: Vec<Versioned>) {
        let before = self.version;
        let new = changes.partition_point(|versioned| versioned.version <= before);
        let mut older = changes;
        let new = older.split_off(new);
        let is_gap = from > before;
        if is_gap {
            self.head = self.position(from);
        }
        let Content::Items(items) = &mut self.state else { return };
        if from > before {
            items.gap(before + 1, self.head);
        } else if from < before {
            items.set_older(from, events(older));
        }
        let mut at = Stamp::default();
        for (version, value) in events(new) {
            at = if version == at.version { at.next() } else { Stamp { version, index: 1 } };
            // Of a flush that came in part, some are here.
            if is_gap {
                at = self.position(version);
            }
            if at > self.head
                && let Content::Items(items) = &mut self.state
            {
                items.push_missed(value, at);
                self.head = at;
            }
        }
    }

    fn follow_all(&mut self, changes: Vec<Versioned>) {
        for Versioned { change, version } in changes {
            self.follow_one(change, version);
        }
    }
}

fn events(changes: Vec<Versioned>) -> impl Iterator<Item = (u64, Value)> {
    changes.into_iter().filter_map(|Versioned { change, version }| match change {
        Change::Event(value) => Some((version, value)),
        _ => None,
    })
}

/// Whether watchers are to be told of a value. Where it is older than what they have, it is what a mirror that had only
/// what was newer did not know.
fn join_value(latest: &mut Option<Box<Latest>>, told: &Versioned, before: u64) -> bool {
    let Change::Set(value) = &told.change else { return false };
    match latest {
        Some(latest) => latest.at.version != told.version || latest.cell.value() != value,
        None if told.version > before => true,
        None => {
            let at = Stamp { version: told.version, index: 1 };
            *latest = Some(Box::new(Latest { at, cell: Cell::new(value.clone()) }));
            false
        }
    }
}
