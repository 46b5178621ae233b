//! A shard's inbox: events from everywhere, taken out whole by the shard's one thread.
//!
//! *Guarantees.* Nobody waits to put something in. Commands and reads have a share, and so have messages of other
//! agents, so that neither keeps the other out; what finds its share full comes back. All else is let in: there is no
//! more of it than links, peers and unacknowledged messages. The thread is woken only when it sleeps, and by the log
//! only when an effect waits for what has come to the disk. It learns how far the log is with its events, once a turn,
//! and decides under the same lock whether to sleep: no word of the log falls between the two.

use crate::log::Position;
use crate::node::monitor::{Blocking, Monitor};
use crate::node::turn::{self, End, Next, Seen, Waits};
use crate::shard;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::time::Instant;

pub type Event<R, W> = shard::Event<R, W>;

/// The most commands and reads.
const COMMANDS_MAX: usize = 32_768;
const COMMAND_BYTES_MAX: usize = 64 << 20;
const MESSAGES_MAX: usize = 65_536;

#[derive(Debug)]
pub struct Inbox<R, W, M = Blocking<State<R, W>>> {
    state: M,
    of: PhantomData<fn() -> (R, W)>,
}

/// What is in an inbox.
#[derive(Debug)]
pub struct State<R, W> {
    events: VecDeque<Event<R, W>>,
    commands: usize,
    command_bytes: usize,
    messages: usize,
    /// How far the log is on the disk.
    durable: Position,
    sleeper: Sleeper,
    end: Option<End>,
}

/// Whether the thread sleeps, and what of the log wakes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sleeper {
    Awake,
    Asleep { release: Option<Position> },
}

/// What a turn of the thread goes by.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// How far the log is on the disk, in all of this turn.
    pub durable: Position,
    pub now: Instant,
}

impl<R, W, M: Monitor<State<R, W>>> Default for Inbox<R, W, M> {
    fn default() -> Self {
        let state = State {
            events: VecDeque::new(),
            commands: 0,
            command_bytes: 0,
            messages: 0,
            durable: Position(0),
            sleeper: Sleeper::Awake,
            end: None,
        };
        Self { state: M::new(state), of: PhantomData }
    }
}

impl<R, W> State<R, W> {
    /// False: its share is full.
    fn admits(&mut self, event: &Event<R, W>) -> bool {
        let bytes = match event {
            Event::Command(command) => command.body.len(),
            Event::Read(_) => 0,
            Event::Message(_) => {
                let fits = self.messages < MESSAGES_MAX;
                self.messages += usize::from(fits);
                return fits;
            }
            _ => return true,
        };
        let fits = self.commands < COMMANDS_MAX && self.command_bytes + bytes <= COMMAND_BYTES_MAX;
        if fits {
            self.commands += 1;
            self.command_bytes += bytes;
        }
        fits && self.end.is_none()
    }
}

impl<R, W, M: Monitor<State<R, W>>> Inbox<R, W, M> {
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
                full.push(event);
            } else {
                state.events.push_back(event);
            }
        }
        self.wake(state);
    }

    /// For what is always let in.
    pub fn tell(&self, event: Event<R, W>) {
        let mut state = self.state.lock();
        state.events.push_back(event);
        self.wake(state);
    }

    /// What is on the disk now. Wakes the thread if an effect waits for that.
    pub fn durable(&self, position: Position) {
        let mut state = self.state.lock();
        state.durable = position;
        if let Sleeper::Asleep { release: Some(release) } = state.sleeper
            && release <= position
        {
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

    /// Sleeps until there is something to do. When `events` is empty, all that have come are swapped for it. `None`:
    /// the thread is to end.
    pub fn next_turn(&self, events: &mut VecDeque<Event<R, W>>, waits: &Waits) -> Option<Turn> {
        let mut state = self.state.lock();
        loop {
            let now = self.state.now();
            let seen = Seen { events: !state.events.is_empty(), durable: state.durable, end: state.end, now };
            match turn::next(waits, &seen) {
                Next::Run => break,
                Next::End => return None,
                Next::Sleep => {
                    state.sleeper = Sleeper::Asleep { release: waits.release };
                    state = self.state.sleep(state, waits.timer);
                    state.sleeper = Sleeper::Awake;
                }
            }
        }
        if events.is_empty() {
            std::mem::swap(&mut state.events, events);
            (state.commands, state.command_bytes, state.messages) = (0, 0, 0);
        }
        Some(Turn { durable: state.durable, now: self.state.now() })
    }

    fn wake(&self, mut state: M::Guard<'_>) {
        let asleep = std::mem::replace(&mut state.sleeper, Sleeper::Awake) != Sleeper::Awake;
        drop(state);
        if asleep {
            self.state.wake();
        }
    }
}
