//! The committed mirror of one lane on one node, from which all who watch it there are told.
//!
//! Each change has a *position*: the version of its record, and its number among the changes of that version, which the
//! mirror counts as they come. A watcher is a [`Cursor`], which knows up to which position it has been told, and is told
//! what is newer: of a value the latest, of a map the entries and tombstones changed since, of an event lane the items
//! since, or the `gap` where the items are gone. A token is a version: the position behind all of that record.
//!
//! A mirror has all of the lane, or, while those who watch need no more, all that has happened since a version; of a Map
//! it knows from which version on it knows what was removed. Who needs more than that waits, and [`Mirror::lacks`] says
//! for what.
//!
//! *Guarantees.* Whatever updates come between the pieces of a flush: a watcher that was told all holds the owner's
//! state. The watermark (`id`) stands on `synced` and on the last event of a flush that has reached the end, and falls
//! only after `reset`. `synced` comes when all is told that was acknowledged before the watcher came. Memory is bounded by
//! live keys and by the declared queue. *Assumptions.* Updates come in the order in which the owner said them; versions do
//! not fall within them.

mod cell;
mod cursor;
mod items;
mod map;
mod next;
mod questions;
#[cfg(test)]
mod tests;

pub use cell::Cell;
pub use cursor::{Cursor, Start};
pub use questions::ATTACHMENT;

use super::{Begin, Change, Since, Update, Versioned};
use crate::broken::{self, Broken};
use crate::link::{Body, Got};
use crate::map::Stamp;
use cursor::{Phase, Walk};
use items::Items;
use map::Entries;
use next::Next;
use proto::plan::{LaneKind, Queue};
use proto::ring;
use questions::Questions;

#[derive(Debug)]
pub struct Mirror {
    state: Content,
    /// The owner's state has come once, as far as it was asked for.
    whole: bool,
    /// What happened after this version is here; 0: all of the lane is.
    base: u64,
    /// What was removed after a version below this one nobody can say.
    horizon: u64,
    /// The state that replaces this one, as far as it has come.
    next: Option<Box<Next>>,
    /// Everything of the lane up to here is in the mirror.
    version: u64,
    /// When the lane last changed, as far as it is known here: never earlier than it did.
    changed: u64,
    /// No change has a higher position.
    head: Stamp,
    /// Rises when the state follows from nothing: what watchers have is void then.
    era: u32,
    /// No owner can be reached.
    stale: bool,
    /// The owner is this node, and so is asked for items that somebody has missed.
    owner_is_here: bool,
    pub questions: Questions,
}

#[derive(Debug)]
enum Content {
    Value(Option<Box<Latest>>),
    Map(Box<Entries>),
    Items(Box<Items>),
}

#[derive(Debug)]
struct Latest {
    at: Stamp,
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

/// Positions of a version that are left to changes, where a mirror begins with the state of that version.
const BEHIND: u32 = 1 << 31;

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
    at: Stamp,
    said: MirrorChange<'a>,
}

/// Why a watcher can't begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lacks {
    /// The owner has yet to say that it has come so far.
    Answer,
    /// The mirror knows too little.
    State(Since),
}

/// How a watcher begins.
#[derive(Clone, Copy, Debug)]
struct Begun {
    /// What it has is void.
    reset: bool,
    begin: Begin,
    /// It is told what was removed after this version.
    removed: Option<u64>,
}

/// Takes what a cursor is told, and says of each event how many bytes it is.
pub trait Listener {
    /// State follows. What was told before is void if `reset`.
    fn begin(&mut self, reset: bool, begin: Begin);
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
            base: 0,
            horizon: 0,
            next: None,
            version: 0,
            changed: 0,
            head: Stamp::default(),
            era: 0,
            stale: false,
            owner_is_here: false,
            questions: Questions::default(),
        }
    }

    /// The owner's state has come once.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Another one: all positions are void.
    pub fn era(&self) -> u32 {
        self.era
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
        let Update { version, begin, synced, changes, entries, answered } = update;
        self.questions.answer(answered);
        if let Some(begin) = begin {
            self.next = Some(Box::new(Next::new(begin, entries)));
        }
        match self.next.take() {
            Some(mut next) => {
                next.extend(changes);
                if synced {
                    next.finish(version);
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

    /// The next position, of a change of this version. Positions rise, whatever the version is.
    fn position(&self, version: u64) -> Stamp {
        if version > self.head.version {
            return Stamp { version, index: 1 };
        }
        Stamp { version: self.head.version, index: self.head.index + 1 }
    }

    /// A change of another kind than the lane's comes from a plan that differs: it is passed over.
    fn follow_one(&mut self, change: Change, version: u64) {
        let at = self.position(version);
        let taken = match (&mut self.state, change) {
            (Content::Value(latest), Change::Set(value)) => {
                let newest = Latest { at, cell: Cell::new(value) };
                match latest {
                    Some(latest) => **latest = newest,
                    None => *latest = Some(Box::new(newest)),
                }
                true
            }
            (Content::Map(entries), Change::Put(key, value)) => {
                entries.put(key, value, at);
                true
            }
            (Content::Map(entries), Change::Remove(key)) => entries.remove(key, at, self.base == 0),
            (Content::Map(entries), Change::Clear) => {
                entries.clear(at);
                true
            }
            (Content::Items(items), Change::Event(value)) => {
                items.push(value, at);
                true
            }
            _ => false,
        };
        if taken {
            self.head = at;
            self.changed = self.changed.max(version);
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
            if cursor.has_begun() {
                cursor.phase = Phase::Begin(Start::Void);
            }
            cursor.era = self.era;
        }
        if let Content::Map(entries) = &self.state
            && !reaches(entries, cursor)
        {
            cursor.phase = Phase::Begin(Start::Void);
        }
        if let Phase::Begin(start) = cursor.phase {
            let Ok(begun) = self.begins(start, cursor) else { return Told::All };
            if self.keeps_items() && begun.begin.changed == 0 && self.awaits(cursor) {
                // What came before it is on its way, and is not for it.
                return Told::All;
            }
            if begun.reset {
                if budget.is_spent() {
                    return Told::Part;
                }
                budget.spend(0);
            }
            out.begin(begun.reset, begun.begin);
            self.begin(cursor, begun);
        }
        if let (Content::Map(entries), Phase::Syncing(of)) = (&self.state, &mut cursor.phase)
            && let Some(walk) = of
        {
            if walk.tell(entries, budget, out) == Told::Part {
                return Told::Part;
            }
            *of = None;
        }
        match &self.state {
            Content::Value(latest) => {
                let newer = latest.as_ref().filter(|latest| latest.at > cursor.at);
                self.say(newer.map(|latest| latest.item()).into_iter(), cursor, budget, out)
            }
            Content::Map(entries) => self.say(entries.newer(cursor.at, cursor.began), cursor, budget, out),
            Content::Items(items) => self.say(items.newer(cursor.at, cursor.from), cursor, budget, out),
        }
    }

    /// What a watcher that has not begun needs of the owner, beside an answer, to begin.
    pub fn lacks(&self, cursor: &Cursor) -> Option<Since> {
        match cursor.phase {
            Phase::Begin(start) if self.whole => match self.begins(start, cursor) {
                Err(Lacks::State(since)) => Some(since),
                Err(Lacks::Answer) | Ok(_) => None,
            },
            _ => None,
        }
    }

    /// Whether those who need this can begin, or can't whatever the owner is asked for.
    pub fn has(&self, since: Since) -> bool {
        let Since { changed, removed } = since;
        if let Content::Items(items) = &self.state {
            return !self.owner_is_here
                || !self.is_of_this(changed)
                || changed.max(self.horizon) >= items.known_from();
        }
        let has_changes = self.base == 0 || changed > 0 && changed >= self.base;
        has_changes && (removed == 0 || removed < self.horizon || self.tells_removals(removed))
    }

    pub fn set_owner(&mut self, is_here: bool) {
        self.owner_is_here = is_here;
    }

    /// Items are not asked for of other nodes: what is missed is a gap, and who comes back begins anew.
    pub fn asks_for_nothing(&self) -> bool {
        self.keeps_items() && !self.owner_is_here
    }

    /// What goes on from here, where nobody needs more.
    pub fn held(&self) -> Since {
        Since { changed: self.version, removed: self.version }
    }

    fn begins(&self, start: Start, cursor: &Cursor) -> Result<Begun, Lacks> {
        match start {
            Start::Nothing => self.begins_whole(false),
            Start::Void => self.begins_whole(true),
            Start::Token(token) => {
                if follows(token, self.version) && token > self.version && self.awaits(cursor) {
                    return Err(Lacks::Answer);
                }
                if !self.is_known(token) {
                    return self.begins_whole(true);
                }
                let since = Since { changed: token, removed: token };
                if !self.has(since) {
                    let goes_on = self.base == 0 && !self.keeps_items();
                    let changed = if goes_on { self.version } else { token };
                    return Err(Lacks::State(Since { changed, removed: token }));
                }
                let begin = Begin { changed: token, removed: token, horizon: self.horizon };
                Ok(Begun { reset: false, begin, removed: Some(token) })
            }
            Start::Mirror(since) => self.begins_mirror(since),
        }
    }

    fn begins_whole(&self, reset: bool) -> Result<Begun, Lacks> {
        if self.base > 0 {
            return Err(Lacks::State(Since::default()));
        }
        Ok(Begun { reset, begin: Begin::WHOLE, removed: None })
    }

    /// A mirror on another node is told as much of what it asks for as there is. This one has all of the lane.
    fn begins_mirror(&self, since: Since) -> Result<Begun, Lacks> {
        if self.base > 0 {
            return Err(Lacks::State(Since::default()));
        }
        if let Content::Items(items) = &self.state {
            if !self.has(since) {
                return Err(Lacks::State(since));
            }
            let is_known = self.owner_is_here && self.is_of_this(since.changed);
            let changed = if is_known { since.changed.max(items.known_from()) } else { 0 };
            let begin = Begin { changed, removed: u64::MAX, horizon: self.horizon };
            return Ok(Begun { reset: false, begin, removed: None });
        }
        let horizon = self.known_removals().max(self.horizon);
        let changed =
            if self.is_known(since.changed) && since.changed >= horizon { since.changed } else { 0 };
        let removed = self.is_of_this(since.removed).then(|| since.removed.max(horizon));
        let begin = Begin { changed, removed: removed.unwrap_or(u64::MAX), horizon };
        Ok(Begun { reset: false, begin, removed })
    }

    /// Whether what somebody has who was told all up to this version can be continued, here or elsewhere.
    fn is_known(&self, token: u64) -> bool {
        let is_there = match &self.state {
            // What the plan says of a lane that was never set may have changed since.
            Content::Value(latest) => latest.as_ref().is_none_or(|latest| latest.at.version > 0),
            // What is not kept of items is a gap.
            Content::Items(_) => return self.owner_is_here && self.is_of_this(token),
            Content::Map(_) => true,
        };
        is_there && self.is_of_this(token) && token >= self.horizon
    }

    /// Whether it is a version of this history that was reached.
    fn is_of_this(&self, version: u64) -> bool {
        version > 0 && follows(version, self.version) && version <= self.version
    }

    /// From which version on it is known here what was removed.
    fn known_removals(&self) -> u64 {
        match &self.state {
            Content::Map(entries) => entries.all().known_from(),
            Content::Value(_) | Content::Items(_) => 0,
        }
    }

    fn tells_removals(&self, since: u64) -> bool {
        since >= self.known_removals() || broken::is(Broken::UnknownRemovals)
    }

    /// State is told. Of an event lane there is none: what happened since a token is told, or what happens from now on.
    fn begin(&self, cursor: &mut Cursor, begun: Begun) {
        let Begun { begin: Begin { changed, .. }, removed, .. } = begun;
        let walk = || Box::new(Walk::new(changed, removed, self.head));
        cursor.phase = Phase::Syncing(matches!(self.state, Content::Map(_)).then(walk));
        cursor.at = match self.state {
            Content::Value(_) if changed == 0 => Stamp::default(),
            Content::Items(_) if changed == 0 => self.head,
            Content::Value(_) | Content::Items(_) => Stamp::end_of(changed),
            Content::Map(_) => self.head,
        };
        cursor.began = self.head;
        cursor.from = if self.keeps_items() && changed > 0 { changed } else { self.version } + 1;
        cursor.told = 0;
    }

    fn say<'a>(
        &self,
        items: impl Iterator<Item = Item<'a>>,
        cursor: &mut Cursor,
        budget: &mut Budget,
        out: &mut impl Listener,
    ) -> Told {
        if self.keeps_items() && matches!(cursor.phase, Phase::Syncing(_)) && cursor.at >= cursor.began {
            // What is told later comes after it.
            if !self.awaits(cursor) && !Mirror::sync(cursor.from - 1, cursor, budget, out) {
                return Told::Part;
            }
        }
        let mut items = items.peekable();
        while let Some(Item { at, said }) = items.next() {
            if budget.is_spent() {
                return Told::Part;
            }
            let (next, version) = (items.peek(), at.version);
            let complete =
                next.is_none() && cursor.phase == Phase::Following || broken::is(Broken::EagerToken);
            // The rest of the same record may still come.
            cursor.from = match next {
                Some(Item { said: MirrorChange::Gap(from, _), .. }) => version.max(*from).min(version + 1),
                Some(next) if next.at.version == version => version,
                _ => version + 1,
            };
            cursor.at = at;
            let entrys = broken::is(Broken::EntryToken);
            let id = if entrys { Some(version) } else { complete.then_some(self.version) };
            budget.spend(out.change(said, version, id));
        }
        (cursor.at, cursor.from) = (self.head, self.version + 1);
        if matches!(cursor.phase, Phase::Syncing(_)) {
            if self.awaits(cursor) {
                return Told::All;
            }
            if !Mirror::sync(self.version, cursor, budget, out) {
                return Told::Part;
            }
        }
        cursor.told = self.version;
        Told::All
    }

    /// All up to this version has been told. False: there is no room to say so.
    fn sync(id: u64, cursor: &mut Cursor, budget: &mut Budget, out: &mut impl Listener) -> bool {
        if budget.is_spent() {
            return false;
        }
        out.synced(id);
        budget.spend(0);
        (cursor.phase, cursor.told) = (Phase::Following, id);
        true
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
                cursor.has_begun() && cursor.era == self.era && items.dropped() > cursor.at
            }
            Content::Value(_) | Content::Map(_) => false,
        }
    }

    /// Up to which position this watcher needs nothing any more.
    pub fn passed(&self, cursor: &Cursor) -> Stamp {
        match cursor.phase {
            // What it will need may be here already.
            Phase::Begin(start) if start.has_token() => Stamp::default(),
            Phase::Begin(_) => self.head,
            _ if cursor.era != self.era => self.head,
            _ => cursor.at,
        }
    }

    /// All watchers have passed this position. Items of event lanes up to there are let go.
    pub fn release(&mut self, passed: Stamp) {
        if let Content::Items(items) = &mut self.state {
            items.release(passed);
        }
    }

    /// Something is here for those who came back, which is let go when they have been told it.
    pub fn has_older(&self) -> bool {
        matches!(&self.state, Content::Items(items) if items.has_older())
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
            _ if !self.whole || self.base > 0 => return None,
            Content::Value(latest) => {
                let latest = latest.as_ref()?;
                (latest.at.version, Body::Value(latest.cell.value().clone()))
            }
            Content::Map(entries) => (self.changed, Body::Map(entries.all().clone())),
            Content::Items(_) => return None,
        };
        Some(Got { version, not_modified: false, body })
    }
}

/// Whether all is known here that this watcher has not been told.
fn reaches(entries: &Entries, cursor: &Cursor) -> bool {
    match &cursor.phase {
        Phase::Begin(_) => true,
        Phase::Syncing(Some(walk)) if let Some(floor) = walk.floor() => entries.knows_removals(floor),
        Phase::Syncing(_) | Phase::Following => entries.reaches(cursor.at.max(cursor.began)),
    }
}

impl Latest {
    fn item(&self) -> Item<'_> {
        Item { at: self.at, said: MirrorChange::Set(&self.cell) }
    }
}

/// Whether a state at one version can be compared with one at another: both are of one history.
fn follows(older: u64, newer: u64) -> bool {
    older == 0 || ring::history(older) == ring::history(newer) && newer != 0
}
