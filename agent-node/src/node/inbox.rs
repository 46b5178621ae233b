//! A shard's inbox: events from everywhere, taken out whole by the shard's one thread.
//!
//! *Guarantees.* Nobody waits to put something in. Commands and reads have a share, and so have messages of other
//! agents, so that neither keeps the other out; what finds its share full comes back. A share counts what came and has
//! not run: here, taken out, or parked. All else is let in: there is no more of it than links, peers and unacknowledged
//! messages. The thread is woken only when it sleeps, and by the log only when an effect waits for what has come to the
//! disk. It learns how far the log is with its events, once a turn, and decides under the same lock whether to sleep: no
//! word of the log falls between the two.

use crate::log::Position;
use crate::node::monitor::{Blocking, Monitor};
use crate::node::turn::{self, End, Next, Seen, Waits};
use crate::peer::turned_away::TurnedAway;
use crate::shard::{Event, Taken};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::time::Instant;

/// The most commands and reads.
const COMMANDS_MAX: usize = 32_768;
const COMMAND_BYTES_MAX: usize = 64 << 20;
const MESSAGES_MAX: usize = 65_536;

/// How much of the shares something takes up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// And reads.
    pub commands: usize,
    pub command_bytes: usize,
    pub messages: usize,
}

#[derive(Debug)]
pub struct Inbox<R, W, M = Blocking<InboxState<R, W>>> {
    state: M,
    of: PhantomData<fn() -> (R, W)>,
}

/// What is in an inbox.
#[derive(Debug)]
pub struct InboxState<R, W> {
    events: VecDeque<Event<R, W>>,
    /// The load of all that came and has not run, wherever it is.
    load: Load,
    /// How far the log is on the disk.
    durable: Position,
    /// The log may have room again for what is parked.
    room: bool,
    sleeper: Sleeper,
    end: Option<End>,
    /// Messages that found no room.
    turned_away: TurnedAway,
}

/// Whether the thread sleeps, and what of the log wakes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sleeper {
    Awake,
    Asleep { release: Option<Position>, parked: bool },
}

/// What a turn of the thread goes by.
#[derive(Debug)]
pub struct Turn {
    /// How far the log is on the disk, in all of this turn.
    pub durable: Position,
    pub now: Instant,
    /// What senders are to hear whose messages found no room before.
    pub room: Vec<Taken>,
}

impl<R, W, M: Monitor<InboxState<R, W>>> Default for Inbox<R, W, M> {
    fn default() -> Self {
        let state = InboxState {
            events: VecDeque::new(),
            load: Load::default(),
            durable: Position(0),
            room: false,
            sleeper: Sleeper::Awake,
            end: None,
            turned_away: TurnedAway::default(),
        };
        Self { state: M::new(state), of: PhantomData }
    }
}

impl Load {
    pub fn of<R, W>(event: &Event<R, W>) -> Load {
        match event {
            Event::Command(command) => Load { commands: 1, command_bytes: command.body.len(), messages: 0 },
            Event::Read(_) => Load { commands: 1, ..Load::default() },
            Event::Message(_) => Load { messages: 1, ..Load::default() },
            _ => Load::default(),
        }
    }

    pub fn add(&mut self, more: Load) {
        self.commands += more.commands;
        self.command_bytes += more.command_bytes;
        self.messages += more.messages;
    }

    fn sub(&mut self, less: Load) {
        self.commands -= less.commands;
        self.command_bytes -= less.command_bytes;
        self.messages -= less.messages;
    }

    fn fits(&self) -> bool {
        self.commands <= COMMANDS_MAX
            && self.command_bytes <= COMMAND_BYTES_MAX
            && self.messages <= MESSAGES_MAX
    }
}

impl<R, W> InboxState<R, W> {
    fn next(&self, waits: &Waits, now: Instant) -> Next {
        let InboxState { durable, room, end, .. } = *self;
        let events = !self.events.is_empty() || self.has_room_again();
        turn::next(waits, &Seen { events, durable, room, end, now })
    }

    /// A turn begins.
    fn give(&mut self, events: &mut VecDeque<Event<R, W>>, now: Instant) -> Turn {
        self.room = false;
        let room = if self.has_room_again() { self.turned_away.call() } else { Vec::new() };
        if events.is_empty() {
            std::mem::swap(&mut self.events, events);
        }
        Turn { durable: self.durable, now, room }
    }

    /// There is room for messages, and some found none before. Half of the share: senders are not called for a few.
    fn has_room_again(&self) -> bool {
        !self.turned_away.is_empty() && self.load.messages <= MESSAGES_MAX / 2
    }

    /// False: its share is full.
    fn admits(&mut self, event: &Event<R, W>) -> bool {
        let more = Load::of(event);
        let mut load = self.load;
        load.add(more);
        let fits = load.fits() && (more.commands == 0 || self.end.is_none());
        if fits {
            self.load = load;
        }
        fits
    }
}

impl<R, W, M: Monitor<InboxState<R, W>>> Inbox<R, W, M> {
    /// Puts events in, in order. What comes back in `full` found no room; once one command has, none after it has.
    pub fn put(&self, events: &mut Vec<Event<R, W>>, full: &mut Vec<Event<R, W>>) {
        if events.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        let mut shut = false;
        for event in events.drain(..) {
            let command = matches!(event, Event::Command(_));
            if (command && shut) || !state.admits(&event) {
                shut |= command;
                if let Event::Message(message) = &event {
                    state.turned_away.note(message);
                }
                full.push(event);
            } else {
                state.events.push_back(event);
            }
        }
        self.wake(state);
    }

    /// For what is always let in.
    pub fn put_always(&self, event: Event<R, W>) {
        let mut state = self.state.lock();
        state.events.push_back(event);
        self.wake(state);
    }

    /// What is on the disk now. Wakes the thread if an effect waits for that.
    pub fn durable(&self, position: Position) {
        let mut state = self.state.lock();
        state.durable = position;
        if let Sleeper::Asleep { release: Some(release), .. } = state.sleeper
            && release <= position
        {
            self.wake(state);
        }
    }

    /// The log may have room for what it had none for. Wakes the thread if something is parked for that.
    pub fn room(&self) {
        let mut state = self.state.lock();
        state.room = true;
        if matches!(state.sleeper, Sleeper::Asleep { parked: true, .. }) {
            self.wake(state);
        }
    }

    pub fn end(&self, end: End) {
        let mut state = self.state.lock();
        if state.end != Some(End::Abandon) {
            state.end = Some(end);
        }
        self.wake(state);
    }

    pub fn now(&self) -> Instant {
        self.state.now()
    }

    #[cfg(test)]
    pub fn monitor(&self) -> &M {
        &self.state
    }

    /// Sleeps until there is something to do. When `events` is empty, all that have come are swapped for it. `done` is
    /// what has run in the last turn, and makes room for as much. `None`: the thread is to end.
    pub fn next_turn(&self, events: &mut VecDeque<Event<R, W>>, waits: &Waits, done: Load) -> Option<Turn> {
        let mut state = self.state.lock();
        state.load.sub(done);
        loop {
            match state.next(waits, self.state.now()) {
                Next::Run => break,
                Next::End => return None,
                Next::Sleep => {
                    let Waits { release, parked, .. } = *waits;
                    state.sleeper = Sleeper::Asleep { release, parked };
                    state = self.state.sleep(state, waits.timer);
                    state.sleeper = Sleeper::Awake;
                }
            }
        }
        let now = self.state.now();
        Some(state.give(events, now))
    }

    /// The same for who does not sleep: `Err` says what else is to be done than to run.
    #[cfg(test)]
    pub fn try_turn(
        &self,
        events: &mut VecDeque<Event<R, W>>,
        waits: &Waits,
        done: Load,
    ) -> Result<Turn, Next> {
        let mut state = self.state.lock();
        state.load.sub(done);
        match state.next(waits, self.state.now()) {
            Next::Run => {
                let now = self.state.now();
                Ok(state.give(events, now))
            }
            other => Err(other),
        }
    }

    fn wake(&self, mut state: M::Guard<'_>) {
        let asleep = std::mem::replace(&mut state.sleeper, Sleeper::Awake) != Sleeper::Awake;
        drop(state);
        if asleep {
            self.state.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::{Message, Place, Read, Verdict};
    use proto::address::Address;
    use proto::value::{Text, Value};
    use std::time::Duration;

    fn reads(count: usize) -> Vec<Event<(), ()>> {
        let read = |id| {
            let (agent, lane) = (Address::trusted("/a"), "n".to_owned());
            Event::Read(Read { reply: (), id, slot: 0, agent, lane, if_none_match: None })
        };
        (0..count as u64).map(read).collect()
    }

    /// Counts how many of so many reads find no room.
    fn refused(inbox: &Inbox<(), ()>, count: usize) -> usize {
        let mut full = Vec::new();
        inbox.put(&mut reads(count), &mut full);
        full.len()
    }

    #[test]
    fn what_was_taken_out_and_has_not_run_counts_as_if_it_were_here() {
        let inbox = Inbox::<(), ()>::default();
        assert_eq!(refused(&inbox, COMMANDS_MAX + 5), 5);
        let mut events = VecDeque::new();
        let timer = inbox.now() + Duration::from_mins(1);
        let waits = Waits { behind: true, parked: false, release: None, timer };
        inbox.next_turn(&mut events, &waits, Load::default()).expect("a turn");
        assert_eq!((events.len(), refused(&inbox, 5)), (COMMANDS_MAX, 5));
        inbox.next_turn(&mut events, &waits, Load { commands: 3, ..Load::default() }).expect("a turn");
        assert_eq!(refused(&inbox, 5), 2);
        inbox.put_always(Event::Ended(1));
        events.clear();
        inbox.next_turn(&mut events, &waits, Load::default()).expect("a turn");
        assert_eq!(events.len(), 4, "what is always let in comes beside");
    }

    #[test]
    fn who_found_no_room_for_a_message_is_called_when_half_of_it_is_there() {
        let message = |lsn: u64, to| {
            let place = |lsn| Place { history: 1, lsn, index: 1 };
            let (agent, lane, body) = (Address::trusted("/a/1"), Text::new("x"), Value::Null);
            let (place, previous) = (place(lsn), place(lsn - 1));
            let message =
                Message { from: 5, to, place, previous, sender: agent.clone(), agent, lane, body, hops: 1 };
            Event::<(), ()>::Message(message)
        };
        let (inbox, mut events) = (Inbox::<(), ()>::default(), VecDeque::new());
        let waits = Waits { behind: true, parked: false, release: None, timer: inbox.now() };
        let mut turn = |done: usize| {
            events.clear();
            let done = Load { messages: done, ..Load::default() };
            inbox.next_turn(&mut events, &waits, done).expect("a turn").room
        };
        let mut all: Vec<_> = (1..=MESSAGES_MAX as u64).map(|lsn| message(lsn, 7)).collect();
        let mut full = Vec::new();
        inbox.put(&mut all, &mut full);
        assert_eq!((full.len(), turn(0)), (0, vec![]));
        let mut more = vec![message(1 << 20, 7), message(1 << 21, 8), message(1 << 22, 7)];
        inbox.put(&mut more, &mut full);
        assert_eq!((full.len(), turn(MESSAGES_MAX / 2 - 1)), (3, vec![]));
        let mut told = turn(1);
        told.sort_unstable_by_key(|taken| taken.to);
        let room = |to| Taken { from: 5, to, seen: Place::default(), verdict: Verdict::Room };
        assert_eq!((told, turn(1)), (vec![room(7), room(8)], vec![]));
    }
}
