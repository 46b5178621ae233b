//! One watched lane of one node: its mirror, and whom to tell that it has changed.

use super::due::Mark;
use super::mirror::{Applied, Mirror, Start};
use super::table::{Number, Owner, Target};
use super::{Question, Since, Update};
use crate::link::Got;
use crate::lock::lock;
use crate::map::Stamp;
use crate::refusal::Refusal;
use proto::plan::{Overflow, Queue};
use std::sync::{Arc, Mutex, MutexGuard};

#[derive(Debug)]
pub struct WatchedLane {
    pub number: Number,
    state: Mutex<WatchState>,
}

#[derive(Debug)]
pub struct WatchState {
    pub mirror: Mirror,
    /// Updates of any other are dropped.
    attachment: u64,
    owner: Owner,
    queue: Queue,
    /// It is no lane for clients.
    internal: bool,
    /// What all links to it end with.
    ended: Option<Box<Refusal>>,
    marks: Vec<Arc<Mark>>,
    /// With a queue that blocks: what the owner was last told by [`Grant`].
    limit: u64,
    /// What the owner was asked for by an attachment that it has not answered.
    asked: Option<Since>,
    /// What those who wait need beside.
    wanted: Option<Since>,
}

/// The owner may tell so many items of an attachment in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    pub attachment: u64,
    pub limit: u64,
}

/// What follows from an update of a lane.
#[derive(Debug, Default)]
pub struct Heard {
    /// The owner's state is whole here now, as it was not before.
    pub whole: bool,
    pub grant: Option<Grant>,
    pub question: Option<Question>,
    /// Somebody needs more of the owner than this attachment has asked for.
    pub wants_more: bool,
}

/// What an attachment asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub since: Since,
    /// With a queue that blocks: so many items may come at first.
    pub limit: Option<u64>,
}

impl WatchedLane {
    pub fn new(number: Number, target: &Target) -> WatchedLane {
        let Target { agent: _, slot: _, lane: _, kind, queue, internal, owner } = *target;
        let mirror = Mirror::new(kind, queue);
        let state = WatchState {
            mirror,
            attachment: 0,
            owner,
            queue,
            internal,
            ended: None,
            marks: Vec::new(),
            limit: 0,
            asked: None,
            wanted: None,
        };
        WatchedLane { number, state: Mutex::new(state) }
    }

    pub fn lock(&self) -> MutexGuard<'_, WatchState> {
        lock(&self.state)
    }

    /// Only what comes with this number counts from now on. Gives what the owner is to be asked for.
    pub fn expect_attachment(&self, attachment: u64, owner: Owner) -> Asked {
        let mut state = self.lock();
        state.mirror.recount();
        state.limit = state.mirror.limit();
        if attachment == 0 {
            state.mirror.questions.lose();
        } else {
            state.mirror.questions.attach();
        }
        state.mirror.set_owner(owner == Owner::Here);
        let moved = state.owner != owner;
        (state.attachment, state.owner) = (attachment, owner);
        if moved {
            state.rouse();
        }
        Asked { since: state.needs(attachment != 0), limit: state.queue.blocks().then_some(state.limit) }
    }

    pub fn update(&self, attachment: u64, update: Update) -> Heard {
        let mut state = self.lock();
        if state.attachment != attachment {
            return Heard::default();
        }
        let is_answer = update.answered > 0;
        let era = state.mirror.era();
        let applied = state.mirror.apply(update);
        if state.mirror.era() != era {
            // Positions begin anew.
            state.marks.iter().for_each(|mark| mark.pass(Stamp::default()));
        }
        if applied != Applied::Nothing {
            state.mark_changed();
        } else if is_answer {
            state.mark_awaiting();
        }
        let whole = applied == Applied::Whole;
        let wants_more = whole && state.wants_more();
        Heard { whole, grant: state.grant(), question: state.question(), wants_more }
    }

    /// Somebody comes to watch; `owner` is the lane's owner by the ring of now. Gives the question that is yet to be
    /// answered before it has been told all that was acknowledged until now.
    pub fn come(&self, owner: Owner, start: Start) -> u64 {
        let mut state = self.lock();
        if !state.mirror.is_whole() {
            state.want(start.needs());
        }
        let is_here = state.owner == Owner::Here && owner == Owner::Here;
        state.mirror.questions.come(is_here)
    }

    /// What the owner is to be asked now.
    pub fn question(&self) -> Option<Question> {
        self.lock().question()
    }

    pub fn stale(&self) {
        let mut state = self.lock();
        state.mirror.stale();
        state.mark_changed();
    }

    pub fn end(&self, refusal: Refusal) {
        let mut state = self.lock();
        state.ended = Some(Box::new(refusal));
        state.rouse();
    }

    /// The plan says something else of it.
    pub fn change(&self, target: &Target) {
        let mut state = self.lock();
        (state.queue, state.internal) = (target.queue, target.internal);
        state.mirror.bound(target.queue);
        state.rouse();
    }

    pub fn join(&self, mark: Arc<Mark>) {
        let mut state = self.lock();
        if state.marks.is_empty() {
            // Most lanes are watched by one stream.
            state.marks.reserve_exact(1);
        }
        state.marks.push(mark);
    }

    pub fn leave(&self, mark: &Arc<Mark>) {
        let mut state = self.lock();
        if let Some(place) = state.marks.iter().position(|other| Arc::ptr_eq(other, mark)) {
            state.marks.swap_remove(place);
        }
    }

    /// Somebody who watched has left.
    pub fn left(&self) -> Option<Grant> {
        self.lock().passed()
    }

    pub fn got(&self) -> Option<Got> {
        self.lock().mirror.got()
    }
}

impl WatchState {
    /// Somebody needs this to begin. True: the owner is to be asked anew, and for that.
    pub fn want(&mut self, since: Since) -> bool {
        self.wanted = Some(self.wanted.map_or(since, |wanted| wanted.and(since)));
        self.attachment != 0 && self.asked.is_none()
    }

    /// What the next attachment asks for: what nobody has answered yet, for all who wait, and what the mirror goes on from.
    fn needs(&mut self, attaches: bool) -> Since {
        let waiting = [self.wanted.take(), self.asked.take()].into_iter().flatten().reduce(Since::and);
        if !attaches {
            self.wanted = waiting;
            return Since::default();
        }
        if self.mirror.asks_for_nothing() {
            self.asked = Some(Since::default());
            return Since::default();
        }
        let held = self.mirror.is_whole().then(|| self.mirror.held());
        let since = waiting.into_iter().chain(held).reduce(Since::and).unwrap_or_default();
        self.asked = Some(since);
        since
    }

    /// The attachment has been answered. Whether those who came meanwhile need another one.
    fn wants_more(&mut self) -> bool {
        self.asked = None;
        self.wanted = self.wanted.take_if(|wanted| !self.mirror.has(*wanted));
        self.wanted.is_some()
    }

    /// Each stream that watches is told once until it looks; what all have passed is let go.
    fn mark_changed(&mut self) {
        for mark in &self.marks {
            mark.set();
        }
        self.release();
    }

    /// The streams look of which a link waits for what the owner has answered.
    fn mark_awaiting(&self) {
        for mark in self.marks.iter().filter(|mark| mark.awaits()) {
            mark.set();
        }
    }

    fn question(&mut self) -> Option<Question> {
        let number = self.mirror.questions.next()?;
        Some(Question { attachment: self.attachment, number })
    }

    /// All streams that watch look at it, also those that wait for credit: their links may have ended.
    fn rouse(&mut self) {
        for mark in &self.marks {
            mark.rouse();
        }
        self.release();
    }

    fn release(&mut self) {
        let passed = self.marks.iter().map(|mark| mark.passed()).min();
        self.mirror.release(passed.unwrap_or(Stamp::end_of(u64::MAX)));
    }

    /// Streams have looked. Where commands may wait for that, nothing else lets go what all have passed.
    pub fn passed(&mut self) -> Option<Grant> {
        if self.queue.blocks() || self.mirror.has_older() {
            self.release();
        }
        self.grant()
    }

    /// What the owner is to be told, once it is worth it.
    fn grant(&mut self) -> Option<Grant> {
        if !self.queue.blocks() || self.attachment == 0 {
            return None;
        }
        let limit = self.mirror.limit();
        if limit < self.limit + (self.queue.items as u64 / 2).max(1) {
            return None;
        }
        self.limit = limit;
        Some(Grant { attachment: self.attachment, limit })
    }

    /// Why a client's link can't go on.
    pub fn ends_client(&self) -> Option<Refusal> {
        let hidden = || Refusal::not_found("the plan has no such lane any more", "");
        self.ended.as_deref().cloned().or_else(|| self.internal.then(hidden))
    }

    /// Why another node's link can't go on.
    pub fn ends_peer(&self) -> Option<Refusal> {
        let elsewhere = || Refusal::elsewhere("");
        self.ended.as_deref().cloned().or_else(|| (self.owner != Owner::Here).then(elsewhere))
    }

    /// A client that falls behind by more than the queue is let go.
    pub fn closes(&self) -> bool {
        self.queue.overflow == Overflow::Close
    }
}
