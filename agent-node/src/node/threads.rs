//! A shard's thread: events in, records to the log, effects out. While a batch waits for the disk it goes on with what
//! comes. [`turn`](super::turn) decides when it sleeps; the loop here only does what follows.

#[cfg(test)]
mod model;

use crate::lock::lock;
use crate::log::{Appender, Position, Room};
use crate::node::core::{Event, Reply, Watch};
use crate::node::delivery::Delivery;
use crate::node::inbox::{self, Inbox, Turn};
use crate::node::life::FailsWithThread;
use crate::node::monitor::Monitor;
use crate::node::turn::Waits;
use crate::refusal::Refusal;
use crate::shard::{Effect, RECORD_MAX, Shard, TIDY_MAX};
use std::collections::VecDeque;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const TICK: Duration = Duration::from_secs(1);
/// Counting goes through all slots: it comes so much later than what has changed them.
const COUNT: Duration = Duration::from_millis(50);
/// After so many events, or so many bytes of records, what there is goes to the log, and a turn ends.
const BATCH_EVENTS: usize = 512;
const BATCH_BYTES: usize = 256 << 10;
/// So long commands wait for a segment that is being made.
const ROOM: Duration = Duration::from_secs(2);
/// The memory of more events than these is given back when they are done.
const EVENTS_KEPT: usize = 2_048;

/// What is done in a turn.
trait Work<R, W> {
    /// Runs events from the front, not more than a batch.
    fn run(&mut self, events: &mut VecDeque<inbox::Event<R, W>>) -> Ran;
    fn tick(&mut self);
    /// Gives the log what the events and the tick have written.
    fn append(&mut self);
    /// Lets go what depends on nothing past `durable`, and says how far the log must be for the next to leave.
    fn release(&mut self, durable: Position) -> Option<Position>;
    fn count(&mut self);
}

/// What was among the events of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ran {
    Nothing,
    Events,
    /// A plan or a ring, of which others wait to hear that it is in force.
    Configuration,
}

/// Takes turns until the inbox ends.
fn take_turns<R, W, M: Monitor<inbox::State<R, W>>>(inbox: &Inbox<R, W, M>, work: &mut impl Work<R, W>) {
    let mut events = VecDeque::new();
    let (mut tick, mut count) = (inbox.now() + TICK, None);
    let mut waits = Waits { behind: false, release: None, timer: tick };
    while let Some(Turn { durable, now }) = inbox.next_turn(&mut events, &waits) {
        let ran = work.run(&mut events);
        if now >= tick {
            work.tick();
            tick = now + TICK;
        }
        work.append();
        let release = work.release(durable);
        if ran == Ran::Configuration || count.is_some_and(|count: Instant| count <= now) {
            work.count();
            count = None;
        } else if ran == Ran::Events {
            count = count.or(Some(now + COUNT));
        }
        let timer = count.map_or(tick, |count| count.min(tick));
        waits = Waits { behind: !events.is_empty(), release, timer };
    }
}

pub struct Thread {
    pub index: usize,
    pub shard: Shard<Reply, Watch>,
    pub log: Appender,
    /// The log may have room after it had none yet.
    pub room: mpsc::Receiver<()>,
    pub delivery: Delivery,
}

impl Thread {
    /// Until the inbox ends.
    pub fn run(mut self) {
        let core = self.delivery.core.clone();
        let _fails = FailsWithThread(&core.life);
        take_turns(&core.inboxes[self.index], &mut self);
    }

    /// Whatever runs can be written: the blocks for it are on the disk before it does.
    fn room_for(&mut self, event: &Event) -> Result<(), Refusal> {
        let at = match event {
            Event::Command(command) => &command.agent,
            Event::Message(message) => &message.agent,
            _ => return Ok(()),
        };
        let deadline = Instant::now() + ROOM;
        loop {
            let records = self.shard.records();
            match self.log.reserve(records.heads().len() + 1, records.buffer().len() + RECORD_MAX) {
                Room::Granted => return Ok(()),
                Room::Full(full) => return Err(Refusal::full(full.to_string(), at.as_str())),
                Room::Later => {
                    // What has gathered takes the room that was granted for it, and gives back the rest.
                    self.append();
                    let left = deadline.saturating_duration_since(Instant::now());
                    if self.room.recv_timeout(left).is_err() {
                        return Err(Refusal::full("the log has no room yet", at.as_str()));
                    }
                }
            }
        }
    }

    /// What the shard writes of itself waits for a later tick while there is no room.
    fn has_room_to_tidy(&mut self) -> bool {
        let records = self.shard.records();
        let (count, bytes) = (records.heads().len(), records.buffer().len());
        matches!(self.log.reserve_control(count, bytes + TIDY_MAX), Room::Granted)
    }
}

impl Work<Reply, Watch> for Thread {
    fn run(&mut self, events: &mut VecDeque<Event>) -> Ran {
        let now_ms = clock_ms();
        let mut ran = Ran::Nothing;
        for _ in 0..BATCH_EVENTS {
            if self.shard.records().buffer().len() >= BATCH_BYTES {
                break;
            }
            let Some(event) = events.pop_front() else { break };
            match event {
                Event::Configured(_) => ran = Ran::Configuration,
                _ if ran == Ran::Nothing => ran = Ran::Events,
                _ => {}
            }
            match self.room_for(&event) {
                Ok(()) => self.shard.handle(event, now_ms),
                Err(refusal) => self.shard.refuse(event, &refusal),
            }
        }
        if events.is_empty() {
            events.shrink_to(EVENTS_KEPT);
        }
        ran
    }

    fn tick(&mut self) {
        let now_ms = clock_ms();
        let granted = self.shard.has_to_tidy(now_ms) && self.has_room_to_tidy();
        self.shard.tick(now_ms, if granted { TIDY_MAX } else { 0 });
    }

    fn append(&mut self) {
        let records = self.shard.records();
        if records.is_empty() {
            return self.log.release();
        }
        let position = self.log.append(records.heads(), records.buffer());
        self.shard.appended(position);
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

fn clock_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
