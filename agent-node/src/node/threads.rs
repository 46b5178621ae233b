//! A shard's thread: events in, records to the log, effects out. While a batch waits for the disk it goes on with what
//! comes.

use crate::lock::lock;
use crate::log::{Appender, Position, Room};
use crate::node::core::{Event, Reply, Watch};
use crate::node::delivery::Delivery;
use crate::node::inbox::End;
use crate::node::life::FailsWithThread;
use crate::refusal::Refusal;
use crate::shard::{Effect, RECORD_MAX, Shard, TIDY_MAX};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const TICK: Duration = Duration::from_secs(1);
/// Counting goes through all slots: it comes so much later than what has changed them.
const COUNT: Duration = Duration::from_millis(50);
/// After so many events, or so many bytes of records, what there is goes to the log.
const BATCH_EVENTS: usize = 512;
const BATCH_BYTES: usize = 256 << 10;
/// So long commands wait for a segment that is being made.
const ROOM: Duration = Duration::from_secs(2);
/// The memory of more events than these is given back when they are done.
const EVENTS_KEPT: usize = 2_048;

pub struct Thread {
    pub index: usize,
    pub shard: Shard<Reply, Watch>,
    pub log: Appender,
    /// The log may have room after it had none yet.
    pub room: mpsc::Receiver<()>,
    pub delivery: Delivery,
    /// Where the last record ends.
    pub appended: Option<Position>,
}

impl Thread {
    /// Until the inbox ends.
    pub fn run(mut self) {
        let core = self.delivery.core.clone();
        let _fails = FailsWithThread(&core.life);
        let inbox = &core.inboxes[self.index];
        let mut events = Vec::new();
        let (mut tick, mut count) = (Instant::now() + TICK, None);
        loop {
            let until = count.map_or(tick, |count: Instant| count.min(tick));
            let end = inbox.take(&mut events, self.unwritten(inbox.position()), until);
            if end == Some(End::Abandon) {
                return;
            }
            let idle = events.is_empty();
            let configured = self.handle(&mut events);
            events.shrink_to(EVENTS_KEPT);
            let now = Instant::now();
            if now >= tick {
                let granted = if self.has_room_to_tidy() { TIDY_MAX } else { 0 };
                self.shard.tick(clock_ms(), granted);
                tick = now + TICK;
            }
            self.write_and_release();
            if configured || count.is_some_and(|count| count <= now) {
                *lock(&core.counts[self.index]) = self.shard.counts();
                count = None;
            } else if !idle {
                count = count.or(Some(now + COUNT));
            }
            if end == Some(End::Drain) && idle && self.unwritten(inbox.position()).is_none() {
                return;
            }
        }
    }

    /// What of the log is not on the disk yet.
    fn unwritten(&self, durable: Position) -> Option<Position> {
        self.appended.filter(|appended| *appended > durable)
    }

    /// Says whether a plan or ring was among them.
    fn handle(&mut self, events: &mut Vec<Event>) -> bool {
        let mut now_ms = clock_ms();
        let (mut in_batch, mut configured) = (0, false);
        for event in events.drain(..) {
            configured |= matches!(event, Event::Configured(_));
            match self.room_for(&event) {
                Ok(()) => self.shard.handle(event, now_ms),
                Err(refusal) => self.shard.refuse(event, &refusal),
            }
            in_batch += 1;
            if in_batch >= BATCH_EVENTS || self.shard.records().buffer().len() >= BATCH_BYTES {
                self.write_and_release();
                (in_batch, now_ms) = (0, clock_ms());
            }
        }
        configured
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

    fn append(&mut self) {
        let records = self.shard.records();
        if records.is_empty() {
            return self.log.release();
        }
        let position = self.log.append(records.heads(), records.buffer());
        self.shard.appended(position);
        self.appended = Some(position);
    }

    fn write_and_release(&mut self) {
        self.append();
        let durable = self.delivery.core.inboxes[self.index].position();
        let mut effects: Vec<Effect<Reply, Watch>> = self.delivery.spare();
        self.shard.release(durable, &mut effects);
        self.delivery.deliver(effects);
    }
}

fn clock_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
