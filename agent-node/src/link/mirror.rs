//! The committed mirror of one lane on one node, from which all who watch it there are told.
//!
//! Changes are numbered as they come, by the mirror itself: that is their *order*. A watcher is a [`Cursor`], which knows
//! up to which order it has been told, and is told what is newer: of a value the latest, of a map the entries and
//! tombstones changed since, of an event lane the items since, or the `gap` where the items are gone.
//!
//! *Guarantees.* Whatever updates come between the pieces of a flush: a watcher that was told all holds the owner's
//! state. The watermark (`id`) stands on `synced` and on the last event of a flush that has reached the end, and falls
//! only after `reset`. `synced` comes when all is told that was acknowledged before the watcher came. Memory is bounded by
//! live keys and by the declared queue. *Assumptions.* Updates come in the order in which the owner said them; versions do
//! not fall within them.

mod cell;
mod items;
mod map;
mod questions;
#[cfg(test)]
mod tests;

pub use cell::Cell;
pub use questions::ATTACHMENT;

use super::{Change, Update, Versioned};
use crate::broken::{self, Broken};
use crate::link::{Body, Got};
use crate::map::{Map, Stamp};
use items::Items;
use map::Entries;
use proto::plan::{LaneKind, Queue};
use proto::ring;
use proto::value::Value;
use questions::Questions;

#[derive(Debug)]
pub struct Mirror {
    state: Content,
    /// The owner's state has been told whole once.
    whole: bool,
    /// The state that replaces this one, as far as it has come.
    next: Option<Box<Next>>,
    /// Everything of the lane up to here is in the mirror.
    version: u64,
    /// When the lane last changed, as far as it is known here: never earlier than it did.
    changed: u64,
    /// The order of the newest change.
    head: u64,
    /// Rises when the state follows from nothing: what watchers have is void then.
    era: u32,
    /// No owner can be reached.
    stale: bool,
    pub questions: Questions,
}

/// An owner's state while it comes.
#[derive(Debug, Default)]
struct Next {
    /// The state of a Map lane.
    entries: Map,
    /// The state of any other lane.
    changes: Vec<Versioned>,
}

#[derive(Debug)]
enum Content {
    Value(Option<Box<Latest>>),
    Map(Box<Entries>),
    Items(Box<Items>),
}

#[derive(Debug)]
struct Latest {
    order: u64,
    version: u64,
    cell: Cell,
}

/// What an update has done to a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// There is nothing new to tell.
    Nothing,
    Changed,
    /// The owner's state is whole in it, for the first time or again.
    Whole,
}

/// How far a watcher has been told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    phase: Phase,
    era: u32,
    /// It was told that the lane is stale.
    stale: bool,
    /// The order up to which it was told.
    at: u64,
    /// The newest order when it began: what was gone by then, it has never had.
    began: u64,
    /// The first version of which it may miss something.
    from: u64,
    /// The watermark that it was given last.
    told: u64,
    /// It is `synced` when the owner has answered this question.
    awaits: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Begin {
        reset: bool,
    },
    /// The state is being told; `synced` ends it.
    Syncing(Option<Box<Walk>>),
    Following,
}

/// The entries of a Map are told in key order, but for those that change meanwhile: they come after the walk.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Walk {
    /// The last key that was told.
    at: Option<Value>,
    /// No entry had a higher version when the walk began.
    version: u64,
}

/// How many entries one step of a walk looks at.
const WALK: usize = 1_024;

/// How far a flush may go.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub events: usize,
    pub bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// There is nothing more at present.
    All,
    /// The budget is spent.
    Part,
}

/// A change as the mirror keeps it.
#[derive(Debug)]
pub enum MirrorChange<'a> {
    Set(&'a Cell),
    Put(&'a Cell, &'a Cell),
    Remove(&'a Cell),
    Clear,
    Event(&'a Cell),
    Gap(u64, u64),
}

#[derive(Debug)]
struct Item<'a> {
    order: u64,
    version: u64,
    said: MirrorChange<'a>,
}

/// Takes what a cursor is told, and says of each event how many bytes it is.
pub trait Listener {
    /// The state follows. What was told before is void if `reset`.
    fn begin(&mut self, reset: bool);
    /// `id` is the watermark, where one is due.
    fn change(&mut self, said: MirrorChange<'_>, version: u64, id: Option<u64>) -> usize;
    fn synced(&mut self, id: u64);
    fn stale(&mut self);
}

impl Budget {
    pub fn is_spent(&self) -> bool {
        self.events == 0 || self.bytes == 0
    }

    fn spend(&mut self, bytes: usize) {
        self.events -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Cursor {
    /// For a watcher that has nothing.
    pub fn new() -> Cursor {
        Cursor {
            phase: Phase::Begin { reset: false },
            era: 0,
            stale: false,
            at: 0,
            began: 0,
            from: 0,
            told: 0,
            awaits: 0,
        }
    }

    /// For a watcher that was told everything up to `token` before. Mirrors can't go on from a token yet: it is told
    /// to drop what it has.
    pub fn resume(token: u64) -> Cursor {
        let _ = token;
        Cursor { phase: Phase::Begin { reset: true }, ..Cursor::new() }
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
}

impl Default for Cursor {
    fn default() -> Self {
        Cursor::new()
    }
}

impl Mirror {
    pub fn new(kind: LaneKind, queue: Queue) -> Mirror {
        let state = match kind {
            LaneKind::Value => Content::Value(None),
            LaneKind::Map => Content::Map(Box::default()),
            LaneKind::Command | LaneKind::Supply => Content::Items(Box::new(Items::new(queue.items))),
        };
        Mirror {
            state,
            whole: false,
            next: None,
            version: 0,
            changed: 0,
            head: 0,
            era: 0,
            stale: false,
            questions: Questions::default(),
        }
    }

    /// How many items of an event lane are kept for watchers from now on.
    pub fn bound(&mut self, queue: Queue) {
        if let Content::Items(items) = &mut self.state {
            items.bound(queue.items);
        }
    }

    /// No owner can be reached. Ends when the state is whole again.
    pub fn stale(&mut self) {
        self.stale = true;
    }

    pub fn apply(&mut self, update: Update) -> Applied {
        let Update { version, first, synced, changes, entries, answered } = update;
        self.questions.answer(answered);
        if first {
            self.next = Some(Box::new(Next { entries: entries.unwrap_or_default(), changes: Vec::new() }));
        }
        match self.next.take() {
            Some(mut next) => {
                next.extend(changes);
                if synced {
                    self.replace(version, *next);
                    return Applied::Whole;
                }
                self.next = Some(next);
                Applied::Nothing
            }
            None if self.whole => self.follow(version, changes),
            None => Applied::Nothing,
        }
    }

    fn follow(&mut self, version: u64, changes: Vec<Versioned>) -> Applied {
        let before = self.head;
        for Versioned { change, version } in changes {
            self.follow_one(change, version);
        }
        self.version = self.version.max(version);
        if self.head == before { Applied::Nothing } else { Applied::Changed }
    }

    /// A change of another kind than the lane's comes from a plan that differs: it is passed over.
    fn follow_one(&mut self, change: Change, version: u64) {
        let order = self.head + 1;
        let taken = match (&mut self.state, change) {
            (Content::Value(latest), Change::Set(value)) => {
                let newest = Latest { order, version, cell: Cell::new(value) };
                match latest {
                    Some(latest) => **latest = newest,
                    None => *latest = Some(Box::new(newest)),
                }
                true
            }
            (Content::Map(entries), Change::Put(key, value)) => {
                entries.put(key, value, version, order);
                true
            }
            (Content::Map(entries), Change::Remove(key)) => entries.remove(&key, version, order),
            (Content::Map(entries), Change::Clear) => {
                entries.clear(version, order);
                true
            }
            (Content::Items(items), Change::Event(value)) => {
                items.push(value, version, order);
                true
            }
            _ => false,
        };
        if taken {
            self.head = order;
            self.changed = self.changed.max(version);
        }
    }

    /// The owner's whole state has come. Where it follows from what is here, watchers are told what differs.
    fn replace(&mut self, version: u64, next: Next) {
        if self.whole && follows(self.version, version) {
            self.differ(version, next);
            self.version = self.version.max(version);
        } else {
            self.era += u32::from(self.whole);
            match &mut self.state {
                Content::Value(latest) => *latest = None,
                Content::Map(entries) => **entries = Entries::begin(next.entries),
                Content::Items(items) => items.forget(),
            }
            for Versioned { change, version } in next.changes {
                self.follow_one(change, version);
            }
            self.version = version;
        }
        self.changed = self.version;
        (self.whole, self.stale) = (true, false);
    }

    fn differ(&mut self, version: u64, next: Next) {
        let changes = match &mut self.state {
            Content::Value(latest) => {
                let is_here = |versioned: &Versioned| match (latest.as_ref(), &versioned.change) {
                    (Some(latest), Change::Set(value)) => {
                        latest.version == versioned.version && latest.cell.value() == value
                    }
                    _ => false,
                };
                next.changes.into_iter().filter(|versioned| !is_here(versioned)).collect()
            }
            Content::Map(entries) => entries.differ(&next.entries, version),
            Content::Items(items) => {
                if version > self.version {
                    self.head += 1;
                    items.gap(self.version + 1, version, self.head);
                }
                Vec::new()
            }
        };
        for Versioned { change, version } in changes {
            self.follow_one(change, version);
        }
    }

    /// Tells what is newer than the cursor, as far as the budget goes.
    pub fn tell(&self, cursor: &mut Cursor, budget: &mut Budget, out: &mut impl Listener) -> Told {
        if self.stale && !cursor.stale {
            if budget.is_spent() {
                return Told::Part;
            }
            out.stale();
            budget.spend(0);
            cursor.stale = true;
        }
        if !self.whole {
            return Told::All;
        }
        if cursor.stale && !self.stale {
            // It is told `synced` again, since there may be nothing else that shows the end of it.
            cursor.stale = false;
            if cursor.phase == Phase::Following {
                cursor.phase = Phase::Syncing(None);
            }
        }
        if cursor.era != self.era {
            if !matches!(cursor.phase, Phase::Begin { .. }) {
                cursor.phase = Phase::Begin { reset: true };
            }
            cursor.era = self.era;
        }
        if let Content::Map(entries) = &self.state
            && !matches!(cursor.phase, Phase::Begin { .. })
            && !entries.reaches(cursor.at, cursor.began)
        {
            cursor.phase = Phase::Begin { reset: true };
        }
        if let Phase::Begin { reset } = cursor.phase {
            if self.keeps_items() && self.awaits(cursor) {
                // What came before it is on its way, and is not for it.
                return Told::All;
            }
            if reset {
                if budget.is_spent() {
                    return Told::Part;
                }
                budget.spend(0);
            }
            out.begin(reset);
            self.begin(cursor);
        }
        if let Content::Map(entries) = &self.state
            && walk(entries, &mut cursor.phase, budget, out) == Told::Part
        {
            return Told::Part;
        }
        match &self.state {
            Content::Value(latest) => {
                let newer = latest.as_ref().filter(|latest| latest.order > cursor.at);
                self.say(newer.map(|latest| latest.item()).into_iter(), cursor, budget, out)
            }
            Content::Map(entries) => self.say(entries.newer(cursor.at, cursor.began), cursor, budget, out),
            Content::Items(items) => self.say(items.newer(cursor.at, cursor.from), cursor, budget, out),
        }
    }

    /// State is told from nothing; of an event lane there is none, what happens from now on is told.
    fn begin(&self, cursor: &mut Cursor) {
        // Entries may be newer than the watermark, where a flush has come in part.
        let walk = || Box::new(Walk { at: None, version: self.version.max(self.changed) });
        cursor.phase = Phase::Syncing(matches!(self.state, Content::Map(_)).then(walk));
        cursor.at = if matches!(self.state, Content::Value(_)) { 0 } else { self.head };
        cursor.began = self.head;
        cursor.from = self.version + 1;
        cursor.told = 0;
    }

    fn say<'a>(
        &self,
        items: impl Iterator<Item = Item<'a>>,
        cursor: &mut Cursor,
        budget: &mut Budget,
        out: &mut impl Listener,
    ) -> Told {
        let mut items = items.peekable();
        while let Some(Item { order, version, said }) = items.next() {
            if budget.is_spent() {
                return Told::Part;
            }
            let next = items.peek();
            let complete =
                next.is_none() && cursor.phase == Phase::Following || broken::is(Broken::EagerToken);
            // The rest of the same record may still come.
            cursor.from =
                if next.is_some_and(|next| next.version == version) { version } else { version + 1 };
            cursor.at = order;
            budget.spend(out.change(said, version, complete.then_some(self.version)));
        }
        (cursor.at, cursor.from) = (self.head, self.version + 1);
        if matches!(cursor.phase, Phase::Syncing(_)) {
            if self.awaits(cursor) {
                return Told::All;
            }
            if budget.is_spent() {
                return Told::Part;
            }
            out.synced(self.version);
            budget.spend(0);
            cursor.phase = Phase::Following;
        }
        cursor.told = self.version;
        Told::All
    }

    /// Whether the owner has yet to answer what this watcher waits for.
    pub fn awaits(&self, cursor: &Cursor) -> bool {
        !self.has_answered(cursor.awaits)
    }

    pub fn has_answered(&self, question: u64) -> bool {
        question <= self.questions.answered()
    }

    /// Whether there is something that this watcher has not been told.
    pub fn has_more(&self, cursor: &Cursor) -> bool {
        let is_new = cursor.era != self.era || cursor.phase != Phase::Following || cursor.at < self.head;
        cursor.stale != self.stale || self.whole && is_new
    }

    /// Whether items have been dropped that this watcher has not been told.
    pub fn overrun(&self, cursor: &Cursor) -> bool {
        match &self.state {
            Content::Items(items) => {
                let begun = !matches!(cursor.phase, Phase::Begin { .. }) && cursor.era == self.era;
                begun && items.dropped() > cursor.at
            }
            Content::Value(_) | Content::Map(_) => false,
        }
    }

    /// Up to which order this watcher needs nothing any more.
    pub fn passed(&self, cursor: &Cursor) -> u64 {
        let begun = !matches!(cursor.phase, Phase::Begin { .. }) && cursor.era == self.era;
        if begun { cursor.at } else { self.head }
    }

    /// All watchers have passed this order. Items of event lanes up to there are let go.
    pub fn release(&mut self, passed: u64) {
        if let Content::Items(items) = &mut self.state {
            items.release(passed);
        }
    }

    /// The owner is asked anew, and counts items from nothing.
    pub fn recount(&mut self) {
        if let Content::Items(items) = &mut self.state {
            items.recount();
        }
    }

    /// How many items of an event lane may come in all without any being dropped.
    pub fn limit(&self) -> u64 {
        match &self.state {
            Content::Items(items) => items.limit(),
            Content::Value(_) | Content::Map(_) => 0,
        }
    }

    pub fn keeps_items(&self) -> bool {
        matches!(self.state, Content::Items(_))
    }

    /// The state, for a read that may be of an older one than the owner's.
    pub fn got(&self) -> Option<Got> {
        let (version, body) = match &self.state {
            _ if !self.whole => return None,
            Content::Value(latest) => {
                let latest = latest.as_ref()?;
                (latest.version, Body::Value(latest.cell.value().clone()))
            }
            Content::Map(entries) => (self.changed, Body::Map(entries.all().clone())),
            Content::Items(_) => return None,
        };
        Some(Got { version, not_modified: false, body })
    }
}

impl Next {
    /// Adds what has come, in the order in which it does.
    fn extend(&mut self, changes: Vec<Versioned>) {
        for Versioned { change, version } in changes {
            let stamp = Stamp { version, index: 0 };
            match change {
                Change::Put(key, value) => drop(self.entries.put(key, value, stamp)),
                Change::Remove(key) => drop(self.entries.remove(&key, stamp)),
                Change::Clear => drop(self.entries.clear(stamp)),
                change => self.changes.push(Versioned { change, version }),
            }
        }
    }
}

/// Goes on with the walk over a Map that a watcher is told at first, if it is not over.
fn walk(entries: &Entries, phase: &mut Phase, budget: &mut Budget, out: &mut impl Listener) -> Told {
    let Phase::Syncing(of) = phase else { return Told::All };
    let Some(walk) = of else { return Told::All };
    let Walk { at, version } = &mut **walk;
    let (mut last, mut told, mut looked) = (None, Told::All, 0);
    for (key, entry) in entries.after(at.as_ref()) {
        let is_due = entry.version() <= *version;
        if looked == WALK || is_due && budget.is_spent() {
            told = Told::Part;
            break;
        }
        if is_due {
            let (key, value) = (Cell::new(key.clone()), Cell::new(entry.value.clone()));
            budget.spend(out.change(MirrorChange::Put(&key, &value), entry.version(), None));
        }
        looked += 1;
        last = Some(key);
    }
    match told {
        Told::All => *of = None,
        Told::Part => *at = last.cloned().or(at.take()),
    }
    told
}

impl Latest {
    fn item(&self) -> Item<'_> {
        Item { order: self.order, version: self.version, said: MirrorChange::Set(&self.cell) }
    }
}

/// Whether a state at one version can be compared with one at another: both are of one history.
fn follows(older: u64, newer: u64) -> bool {
    older == 0 || ring::history(older) == ring::history(newer) && newer != 0
}
