//! A shard's inbox: events from everywhere, taken out whole by the shard's one thread.
//!
//! *Guarantees.* Nobody waits to put something in. Commands and reads have a share, and so have messages of other
//! agents, so that neither keeps the other out; what finds its share full comes back. All else is let in: there is no
//! more of it than links, peers and unacknowledged messages. The thread is woken only when it sleeps, and by the log
//! only when it waits for the disk.

use crate::log::Position;
use crate::shard;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub type Event<R, W> = shard::Event<R, W>;

/// The most commands and reads.
const COMMANDS_MAX: usize = 32_768;
const COMMAND_BYTES_MAX: usize = 64 << 20;
const MESSAGES_MAX: usize = 65_536;

#[derive(Debug)]
pub struct Inbox<R, W> {
    state: Mutex<State<R, W>>,
    woken: Condvar,
    /// Up to where the log is on the disk.
    durable: AtomicU64,
}

#[derive(Debug)]
struct State<R, W> {
    events: Vec<Event<R, W>>,
    commands: usize,
    command_bytes: usize,
    messages: usize,
    sleeper: Sleeper,
    end: Option<End>,
}

/// Whether the thread sleeps, and what of the log wakes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sleeper {
    Awake,
    Asleep { until: Option<Position> },
}

/// How the thread is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// When all that is there is done and has left.
    Drain,
    /// At once, as if the process had been killed.
    Abandon,
}

impl<R, W> Default for Inbox<R, W> {
    fn default() -> Self {
        let state = State {
            events: Vec::new(),
            commands: 0,
            command_bytes: 0,
            messages: 0,
            sleeper: Sleeper::Awake,
            end: None,
        };
        Self { state: Mutex::new(state), woken: Condvar::new(), durable: AtomicU64::new(0) }
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

impl<R, W> Inbox<R, W> {
    /// Puts events in, in order. What comes back in `full` found no room; once one command has, none after it has.
    pub fn put(&self, events: &mut Vec<Event<R, W>>, full: &mut Vec<Event<R, W>>) {
        if events.is_empty() {
            return;
        }
        let mut state = self.lock();
        let mut shut = false;
        for event in events.drain(..) {
            let command = matches!(event, Event::Command(_));
            if (command && shut) || !state.admits(&event) {
                shut |= command;
                full.push(event);
            } else {
                state.events.push(event);
            }
        }
        self.wake(state);
    }

    /// For what is always let in.
    pub fn tell(&self, event: Event<R, W>) {
        let mut state = self.lock();
        state.events.push(event);
        self.wake(state);
    }

    /// What is on the disk now. Wakes the thread if it waits for that.
    pub fn durable(&self, position: Position) {
        self.durable.store(position.0, Ordering::Release);
        let state = self.lock();
        if let Sleeper::Asleep { until: Some(until) } = state.sleeper
            && until <= position
        {
            self.wake(state);
        }
    }

    pub fn position(&self) -> Position {
        Position(self.durable.load(Ordering::Acquire))
    }

    pub fn end(&self, end: End) {
        let mut state = self.lock();
        if state.end != Some(End::Abandon) {
            state.end = Some(end);
        }
        self.wake(state);
    }

    /// Waits for events, for the disk to reach `until`, or for the time, and swaps the events out into the empty
    /// `events`.
    pub fn take(&self, events: &mut Vec<Event<R, W>>, until: Option<Position>, time: Instant) -> Option<End> {
        let mut state = self.lock();
        loop {
            let durable = until.is_some_and(|until| until <= self.position());
            let left = time.saturating_duration_since(Instant::now());
            let ends = state.end == Some(End::Abandon) || state.end.is_some() && until.is_none();
            if !state.events.is_empty() || durable || ends || left == Duration::ZERO {
                break;
            }
            state.sleeper = Sleeper::Asleep { until };
            let woken = self.woken.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
            state = woken.0;
            state.sleeper = Sleeper::Awake;
        }
        std::mem::swap(&mut state.events, events);
        (state.commands, state.command_bytes, state.messages) = (0, 0, 0);
        state.end
    }

    fn wake(&self, mut state: MutexGuard<'_, State<R, W>>) {
        let asleep = std::mem::replace(&mut state.sleeper, Sleeper::Awake) != Sleeper::Awake;
        drop(state);
        if asleep {
            self.woken.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<R, W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
