//! One client's links: what is due is made into events when the client can take them, not before.

use super::groups::{Groups, Teller};
use super::lane::WatchState;
use super::mirror::{Budget, Cell, Cursor, Listener, MirrorChange, Start, Told};
use super::{Begin, Event, EventKind, LinkOutput, Rate, Serving};
use crate::lock::lock;
use crate::refusal::Refusal;
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;
use tokio::time;

/// What one call of `next` gives at most, but for one event that is larger.
const FLUSH: Budget = Budget { events: 512, bytes: 64 << 10 };
/// What an event costs beside its texts.
const EVENT_BYTES: usize = 16;

pub struct Links {
    serving: Serving,
    state: Mutex<LinksState>,
    due: Arc<super::due::Due>,
}

#[derive(Default)]
struct LinksState {
    groups: Groups<u32>,
    /// Links that have ended, by the client or for a reason, and were not said to have.
    closed: Vec<(u32, Option<Refusal>)>,
}

impl Links {
    pub fn new(serving: &Serving) -> Links {
        let state = LinksState::default();
        Links { serving: serving.clone(), due: state.groups.due.clone(), state: Mutex::new(state) }
    }

    /// Opens a link; its number must not be open. `from` is a watermark that an earlier link to the lane gave.
    pub fn open(&self, link: u32, agent: &str, lane: &str, from: Option<u64>, credit: Option<u32>) {
        let mut state = self.lock();
        let start = Start::of_client(from);
        match self.watch(agent, lane, start) {
            Ok((lane, question)) => {
                let cursor = Cursor::begin(start).awaiting(question);
                if !state.groups.open(link, lane.clone(), cursor, credit) {
                    self.serving.leave(&lane);
                }
            }
            Err(refusal) => {
                state.closed.push((link, Some(refusal)));
                self.due.wake();
            }
        }
    }

    fn watch(
        &self,
        agent: &str,
        lane: &str,
        start: Start,
    ) -> Result<(Arc<super::lane::WatchedLane>, u64), Refusal> {
        self.serving.admit_link(agent)?;
        let hidden = || Refusal::not_found(format!("there is no lane {lane}"), agent);
        let watched = self.serving.watch(agent, lane, start, |target| target.internal.then(hidden));
        if watched.is_err() {
            self.serving.count_ended(1);
        }
        watched
    }

    /// The client wants no more of it.
    pub fn close(&self, link: u32) {
        let mut state = self.lock();
        if state.groups.has(link) {
            let lane = state.groups.close(link);
            self.end(lane);
            state.closed.push((link, None));
            self.due.wake();
        }
    }

    pub fn credit(&self, link: u32, events: u32) {
        self.lock().groups.credit(link, events);
    }

    /// Flushes to an open link come no more often from now on.
    pub fn pace(&self, link: u32, rate: Rate) {
        self.lock().groups.pace(link, rate);
    }

    /// A link that has ended and was not said to have, and why.
    pub fn ended(&self) -> Option<(u32, Option<Refusal>)> {
        self.lock().closed.pop()
    }

    /// Waits until some link has something to say and there is room for it, and adds it. May be dropped at any await and
    /// loses nothing.
    pub async fn next(&self, out: &mut Vec<LinkOutput>, room: impl AsyncFn()) {
        let before = out.len();
        loop {
            room().await;
            let turn = self.next_events(out, || time::Instant::now().into_std());
            if out.len() > before {
                return;
            }
            match turn {
                None => self.due.came().await,
                // What came until then is found by looking.
                Some(at) => drop(time::timeout_at(at.into(), self.due.came()).await),
            }
        }
    }

    /// Adds what is due now, as far as one flush goes. Gives the time at which more is, even if nothing changes any more.
    /// The clock is read where links have a rate.
    pub fn next_events(&self, out: &mut Vec<LinkOutput>, clock: impl FnOnce() -> Instant) -> Option<Instant> {
        let mut state = self.lock();
        let LinksState { groups, closed } = &mut *state;
        let before = out.len();
        let (now, mut room) = (groups.has_rates().then(clock), FLUSH);
        let ended = groups.tell_due(now, &mut room, &mut Client { out, closed });
        self.serving.count_delivered(out.len() - before);
        for (_, lane) in ended {
            self.end(lane);
        }
        self.serving.grant(&mut groups.grants);
        self.serving.ask_for_more(&mut groups.wanting);
        out.extend(closed.drain(..).map(|(link, refusal)| LinkOutput::Closed { link, refusal }));
        groups.next_turn()
    }

    /// A link has ended. `lane`: where the stream has no other one to it.
    fn end(&self, lane: Option<Arc<super::lane::WatchedLane>>) {
        self.serving.count_ended(1);
        if let Some(lane) = lane {
            self.serving.leave(&lane);
        }
    }

    fn lock(&self) -> MutexGuard<'_, LinksState> {
        lock(&self.state)
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        let mut state = self.lock();
        self.serving.count_ended(state.groups.len());
        for lane in state.groups.close_all() {
            self.serving.leave(&lane);
        }
    }
}

struct Client<'a> {
    out: &'a mut Vec<LinkOutput>,
    closed: &'a mut Vec<(u32, Option<Refusal>)>,
}

impl Teller<u32> for Client<'_> {
    fn ends(&self, lane: &WatchState) -> Option<Refusal> {
        lane.ends_client()
    }

    fn tell_link(
        &mut self,
        link: u32,
        lane: &WatchState,
        cursor: &mut Cursor,
        budget: &mut Budget,
    ) -> (Told, usize) {
        let before = budget.events;
        let told = lane.mirror.tell(cursor, budget, &mut Events { link, out: self.out });
        (told, before - budget.events)
    }

    fn overrun_ends(&self, lane: &WatchState) -> bool {
        lane.closes()
    }

    fn ended(&mut self, link: u32, refusal: Refusal) {
        self.closed.push((link, Some(refusal)));
    }
}

struct Events<'a> {
    link: u32,
    out: &'a mut Vec<LinkOutput>,
}

impl Events<'_> {
    fn push(&mut self, kind: EventKind, key: Bytes, value: Bytes, id: Option<u64>, gap: (u64, u64)) -> usize {
        let bytes = EVENT_BYTES + key.len() + value.len();
        let event = Event { kind, key, value, id, gap };
        self.out.push(LinkOutput::Event { link: self.link, event });
        bytes
    }

    fn bare(&mut self, kind: EventKind, id: Option<u64>) -> usize {
        self.push(kind, Bytes::new(), Bytes::new(), id, (0, 0))
    }
}

impl Listener for Events<'_> {
    fn begin(&mut self, reset: bool, _begin: Begin) {
        if reset {
            self.bare(EventKind::Reset, None);
        }
    }

    fn change(&mut self, said: MirrorChange<'_>, _version: u64, id: Option<u64>) -> usize {
        let text = |cell: &Cell| cell.text().clone();
        match said {
            MirrorChange::Set(value) => self.push(EventKind::Set, Bytes::new(), text(value), id, (0, 0)),
            MirrorChange::Put(key, value) => self.push(EventKind::Update, text(key), text(value), id, (0, 0)),
            MirrorChange::Remove(key) => self.push(EventKind::Remove, text(key), Bytes::new(), id, (0, 0)),
            MirrorChange::Clear => self.bare(EventKind::Clear, id),
            MirrorChange::Event(value) => self.push(EventKind::Event, Bytes::new(), text(value), id, (0, 0)),
            MirrorChange::Gap(from, to) => {
                self.push(EventKind::Gap, Bytes::new(), Bytes::new(), id, (from, to))
            }
        }
    }

    fn synced(&mut self, id: u64) {
        self.bare(EventKind::Synced, Some(id));
    }

    fn stale(&mut self) {
        self.bare(EventKind::Stale, None);
    }
}
