//! A shard's thread: events in, records to the log, effects out. While a batch waits for the disk it goes on with what
//! comes. [`turn`](super::turn) decides when it sleeps; the loop here only does what follows.

#[cfg(test)]
mod model;

use crate::clock;
use crate::lock::lock;
use crate::log::{Appender, Position, Room};
use crate::node::core::{Event, Reply, Watch};
use crate::node::delivery::Delivery;
use crate::node::inbox::{self, Inbox, Load, Turn};
use crate::node::life::FailsWithThread;
use crate::node::monitor::Monitor;
use crate::node::parking::{Parking, Passage};
use crate::node::turn::Waits;
use crate::shard::{self, Effect, RECORD_MAX, Shard, TIDY_MAX, Taken};
use crate::snapshot::{Given, Sink};
use std::collections::VecDeque;
use std::mem;
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_secs(1);
/// How long after a change the counts are made again. Counting visits every slot, so many changes share one count.
const COUNT: Duration = Duration::from_millis(50);
/// After so many events, or so many bytes of records, what there is goes to the log, and a turn ends.
const BATCH_EVENTS: usize = 512;
const BATCH_BYTES: usize = 256 << 10;
/// So many timers fire in a turn at most, so that commands come to their turn beside them.
const BATCH_TIMERS: usize = 128;
/// After so long a timer that found no room in the log asks again.
const FIRE_AGAIN: Duration = Duration::from_millis(100);
/// So much of a snapshot is written in one turn.
const WALK_BYTES: usize = 64 << 10;
/// What the shard writes of itself is mostly in longer records than this.
const TIDY_RECORD: usize = 128;
/// The memory of more events than these is given back when they are done.
const EVENTS_KEPT: usize = 2_048;

/// What is done in a turn.
pub(super) trait Work<R, W> {
    /// Runs what is parked and can go on, then events from the front, not more than a batch.
    fn run(&mut self, events: &mut VecDeque<shard::Event<R, W>>, now: Instant) -> Ran;
    /// What is due each second. Says whether the shard has written something of itself.
    fn tick(&mut self) -> bool;
    /// Gives the log what the events and the tick have written.
    fn append(&mut self);
    /// Tells senders of other slots something that depends on nothing.
    fn tell(&mut self, said: Vec<Taken>);
    /// Goes on with snapshots that were asked for. Whether there is more to do at once.
    fn walk(&mut self) -> bool;
    /// Lets go what depends on nothing past `durable`, and says how far the log must be for the next to leave.
    fn release(&mut self, durable: Position) -> Option<Position>;
    fn count(&mut self);
}

/// What a turn has run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ran {
    any: bool,
    /// A plan or a ring was among it, and others wait to hear that it is in force.
    configuration: bool,
    /// What it took up in the inbox.
    load: Load,
    /// The batch ended before it was known whether more of what is parked can go on.
    behind: bool,
    /// When the oldest that is parked has waited for too long.
    parked_until: Option<Instant>,
    /// When the next timer of an agent is due.
    due: Option<Instant>,
}

/// Takes turns until the inbox ends.
fn take_turns<R, W, M: Monitor<inbox::InboxState<R, W>>>(inbox: &Inbox<R, W, M>, work: &mut impl Work<R, W>) {
    let mut turns = Turns::new(inbox.now());
    while let Some(turn) = inbox.next_turn(&mut turns.events, &turns.waits, mem::take(&mut turns.done)) {
        turns.take(turn, work);
    }
}

/// Where a shard's thread is between two turns.
pub(super) struct Turns<R, W> {
    /// Those that were taken out of the inbox and have not run.
    pub(super) events: VecDeque<shard::Event<R, W>>,
    pub(super) waits: Waits,
    /// What has run in the last turn.
    pub(super) done: Load,
    tick: Instant,
    count: Option<Instant>,
}

impl<R, W> Turns<R, W> {
    pub(super) fn new(now: Instant) -> Turns<R, W> {
        let tick = now + TICK;
        let waits = Waits { behind: false, parked: false, release: None, timer: tick };
        Turns { events: VecDeque::new(), waits, done: Load::default(), tick, count: None }
    }

    pub(super) fn take(&mut self, turn: Turn, work: &mut impl Work<R, W>) {
        let Turn { durable, now, room } = turn;
        if !room.is_empty() {
            work.tell(room);
        }
        let ran = work.run(&mut self.events, now);
        let mut tidied = false;
        if now >= self.tick {
            tidied = work.tick();
            self.tick = now + TICK;
        }
        work.append();
        let walks = work.walk();
        let release = work.release(durable);
        if ran.configuration || self.count.is_some_and(|count| count <= now) {
            work.count();
            self.count = None;
        } else if ran.any || tidied {
            self.count = self.count.or(Some(now + COUNT));
        }
        let timers = [self.count, ran.parked_until, ran.due];
        self.waits = Waits {
            behind: ran.behind || walks || !self.events.is_empty(),
            parked: ran.parked_until.is_some(),
            release,
            timer: timers.into_iter().flatten().fold(self.tick, Instant::min),
        };
        self.done = ran.load;
    }
}

pub struct Thread {
    pub index: usize,
    pub shard: Shard<Reply, Watch>,
    /// It calls the inbox when it may have room after it had none yet.
    pub log: Appender,
    pub parking: Parking<Reply, Watch>,
    pub delivery: Delivery,
    pub snapshots: Sink,
    /// Empty, with the memory that it has already.
    pub pieces: Vec<Given>,
}

impl Thread {
    /// Runs the shard until its inbox ends. A panic ends the node.
    pub fn run(mut self) {
        let core = self.delivery.core.clone();
        let _fails = FailsWithThread(&core.life);
        take_turns(&core.inboxes[self.index], &mut self);
    }

    /// Whether the records that have gathered are enough for a batch.
    fn is_full(&self) -> bool {
        self.shard.records().buffer().len() >= BATCH_BYTES
    }

    fn pass(&mut self, passage: Passage<Reply, Watch>, now_ms: u64, ran: &mut Ran) {
        ran.any = true;
        match passage {
            Passage::Run(event) => {
                ran.configuration |= matches!(event, Event::Configured(_));
                ran.load.add(Load::of(&event));
                self.shard.handle(event, now_ms);
            }
            Passage::Refuse(event, why) => {
                ran.load.add(Load::of(&event));
                self.shard.refuse(event, &why);
            }
            Passage::Parked => {}
        }
    }

    /// Lets timers of agents fire that are due, for each of which there is room in the log. If there is none: when it is
    /// looked for again.
    fn fire(&mut self, now_ms: u64, now: Instant, ran: &mut Ran) -> Option<Instant> {
        for _ in 0..BATCH_TIMERS {
            if self.is_full() || self.shard.next_due().is_none_or(|due_ms| due_ms > now_ms) {
                return None;
            }
            if !matches!(reserve(&mut self.log, &self.shard), Room::Granted) {
                return Some(now + FIRE_AGAIN);
            }
            self.shard.fire(now_ms);
            ran.any = true;
        }
        None
    }

    /// Asks the log for room for one tick of the shard's own records. False: there is none now, and they wait for a later
    /// tick.
    fn reserve_to_tidy(&mut self) -> bool {
        let records = self.shard.records();
        let (count, bytes) = (records.heads().len(), records.buffer().len());
        matches!(self.log.reserve_control(count + TIDY_MAX / TIDY_RECORD, bytes + TIDY_MAX), Room::Granted)
    }
}

/// Asks the log for room for all records that have gathered and for one more, so that a command runs only if its record
/// can be written.
fn reserve(log: &mut Appender, shard: &Shard<Reply, Watch>) -> Room {
    let records = shard.records();
    log.reserve(records.heads().len() + 1, records.buffer().len() + RECORD_MAX)
}

impl Work<Reply, Watch> for Thread {
    fn run(&mut self, events: &mut VecDeque<Event>, now: Instant) -> Ran {
        let (now_ms, mut ran, mut left) = (clock::wall_ms(), Ran::default(), BATCH_EVENTS);
        self.shard.at(self.delivery.core.now_ms());
        ran.behind = true;
        while left > 0 && !self.is_full() {
            let Some(passage) = self.parking.next(now, || reserve(&mut self.log, &self.shard)) else {
                ran.behind = false;
                break;
            };
            left -= 1;
            self.pass(passage, now_ms, &mut ran);
        }
        let retry = self.fire(now_ms, now, &mut ran);
        while left > 0 && !self.is_full() {
            let Some(event) = events.pop_front() else { break };
            left -= 1;
            let passage = self.parking.pass(event, now, || reserve(&mut self.log, &self.shard));
            self.pass(passage, now_ms, &mut ran);
        }
        if events.is_empty() {
            events.shrink_to(EVENTS_KEPT);
        }
        ran.parked_until = self.parking.deadline();
        let next =
            self.shard.next_due().map(|due_ms| now + Duration::from_millis(due_ms.saturating_sub(now_ms)));
        ran.due = retry.or(next);
        ran
    }

    fn tick(&mut self) -> bool {
        let now_ms = clock::wall_ms();
        self.shard.at(self.delivery.core.now_ms());
        let granted = self.shard.has_to_tidy(now_ms) && self.reserve_to_tidy();
        let before = self.shard.records().heads().len();
        self.shard.tick(now_ms, if granted { TIDY_MAX } else { 0 });
        self.shard.records().heads().len() > before
    }

    fn append(&mut self) {
        let records = self.shard.records();
        if records.is_empty() {
            return self.log.release();
        }
        let position = self.log.append(records.heads(), records.buffer());
        self.shard.appended(position);
    }

    fn tell(&mut self, said: Vec<Taken>) {
        self.delivery.deliver(said.into_iter().map(Effect::Taken).collect());
    }

    fn walk(&mut self) -> bool {
        let Some(round) = self.shard.takes_snapshots() else { return false };
        if !self.snapshots.has_room(self.index) {
            return false;
        }
        self.shard.walk(WALK_BYTES, &mut self.pieces);
        self.snapshots.give(self.index, round, &mut self.pieces);
        self.shard.takes_snapshots().is_some()
    }

    fn release(&mut self, durable: Position) -> Option<Position> {
        let mut effects: Vec<Effect<Reply, Watch>> = self.delivery.spare();
        self.shard.release(durable, &mut effects);
        self.delivery.deliver(effects);
        self.shard.held()
    }

    fn count(&mut self) {
        *lock(&self.delivery.core.counts[self.index]) = self.shard.counts();
    }
}
