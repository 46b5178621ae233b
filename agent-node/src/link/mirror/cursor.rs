//! How far a watcher has been told a mirror, and how the state is told to it at first.

use super::map::Entries;
use super::{Budget, Cell, Listener, MirrorChange, Told};
use crate::link::Since;
use crate::map::{Stamp, Stamped as _};
use proto::value::Value;

/// How far a watcher has been told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(super) phase: Phase,
    pub(super) era: u32,
    /// It was told that the lane is stale.
    pub(super) stale: bool,
    /// The position up to which it was told.
    pub(super) at: Stamp,
    /// The newest position when it began: what was gone by then, it has never had, or was told by its walk.
    pub(super) began: Stamp,
    /// The first version of which it may miss something.
    pub(super) from: u64,
    /// The watermark that it was given last.
    pub(super) told: u64,
    /// It is `synced` when the owner has answered this question.
    pub(super) awaits: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Begin(Start),
    /// The state is being told; `synced` ends it.
    Syncing(Option<Box<Walk>>),
    Following,
}

/// What a watcher has before it is told anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Nothing,
    /// What it has is void, and it is told so.
    Void,
    /// All of the lane up to this version, which is not 0.
    Token(u64),
    /// It is a mirror on another node.
    Mirror(Since),
}

impl Start {
    /// `from` is the token of a client, if it has one.
    pub fn of_client(from: Option<u64>) -> Start {
        match from {
            None => Start::Nothing,
            Some(0) => Start::Void,
            Some(token) => Start::Token(token),
        }
    }

    /// Whether what happened after a version is due to it.
    pub fn has_token(self) -> bool {
        matches!(self, Start::Token(_) | Start::Mirror(Since { changed: 1.., .. }))
    }

    /// What a mirror that has nothing needs for such a watcher.
    pub fn needs(self) -> Since {
        match self {
            Start::Nothing | Start::Void => Since::default(),
            Start::Token(token) => Since { changed: token, removed: token },
            Start::Mirror(since) => since,
        }
    }
}

impl Cursor {
    /// For a watcher that has nothing.
    pub fn new() -> Cursor {
        Cursor::begin(Start::Nothing)
    }

    pub fn begin(start: Start) -> Cursor {
        Cursor {
            phase: Phase::Begin(start),
            era: 0,
            stale: false,
            at: Stamp::default(),
            began: Stamp::default(),
            from: 0,
            told: 0,
            awaits: 0,
        }
    }

    /// It came when this question was yet to be asked: what was acknowledged before is told with the answer.
    #[must_use]
    pub fn awaiting(self, question: u64) -> Cursor {
        Cursor { awaits: question, ..self }
    }

    /// The watermark that it was given last.
    pub fn told(&self) -> u64 {
        self.told
    }

    /// It was told `synced`.
    pub fn is_synced(&self) -> bool {
        self.phase == Phase::Following
    }

    pub(super) fn has_begun(&self) -> bool {
        !matches!(self.phase, Phase::Begin(_))
    }
}

impl Default for Cursor {
    fn default() -> Self {
        Cursor::new()
    }
}

/// What a watcher is told of a Map at first, in the order of keys: what changes meanwhile comes after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Walk {
    stage: Stage,
    /// The last key that was told.
    at: Option<Value>,
    /// The newest position when the walk began.
    upto: Stamp,
    /// Entries that were changed later than this; `None`: all.
    changed: Option<Stamp>,
    /// Keys that were removed later than this; `None`: none.
    removed: Option<Stamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Cleared,
    Entries,
    Removed,
}

/// How many entries one step of a walk looks at.
const WALK: usize = 1_024;

impl Walk {
    /// Tells what was changed after one version, 0: all of it, and removed after another, as far as that was up to `upto`.
    pub fn new(changed: u64, removed: Option<u64>, upto: Stamp) -> Walk {
        let changed = (changed > 0).then(|| Stamp::end_of(changed));
        Walk { stage: Stage::Cleared, at: None, upto, changed, removed: removed.map(Stamp::end_of) }
    }

    /// From where on it has yet to be told what was removed.
    pub fn floor(&self) -> Option<Stamp> {
        self.removed
    }

    /// Goes on, as far as the budget goes.
    pub fn tell(&mut self, entries: &Entries, budget: &mut Budget, out: &mut impl Listener) -> Told {
        if self.stage == Stage::Cleared {
            let cleared = entries.all().gone().cleared;
            if self.removed.is_some_and(|removed| cleared > removed) && cleared <= self.upto {
                if budget.is_spent() {
                    return Told::Part;
                }
                budget.spend(out.change(MirrorChange::Clear, cleared.version, None));
            }
            self.stage = Stage::Entries;
        }
        let (mut looked, upto) = (0, self.upto);
        if self.stage == Stage::Entries {
            let mut last: Option<&Value> = None;
            for (key, entry) in entries.all().changed(self.at.as_ref(), self.changed) {
                let stamp = entry.stamp();
                if !is_due(looked, stamp <= upto, budget) {
                    self.at = last.cloned().or(self.at.take());
                    return Told::Part;
                }
                if stamp <= upto {
                    let (key, value) = (Cell::new(key.clone()), Cell::new(entry.value.clone()));
                    budget.spend(out.change(MirrorChange::Put(&key, &value), stamp.version, None));
                }
                looked += 1;
                last = Some(key);
            }
            (self.stage, self.at) = (Stage::Removed, None);
        }
        let Some(since) = self.removed else { return Told::All };
        let mut last: Option<&Value> = None;
        for (key, stamp) in entries.all().removed(self.at.as_ref(), since) {
            if !is_due(looked, stamp <= upto, budget) {
                self.at = last.cloned().or(self.at.take());
                return Told::Part;
            }
            if stamp <= upto {
                let key = Cell::new(key.clone());
                budget.spend(out.change(MirrorChange::Remove(&key), stamp.version, None));
            }
            looked += 1;
            last = Some(key);
        }
        Told::All
    }
}

/// Whether a walk may look at one more.
fn is_due(looked: usize, is_told: bool, budget: &Budget) -> bool {
    looked < WALK && !(is_told && budget.is_spent())
}
