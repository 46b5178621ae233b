//! The output gate: whatever leaves a slot waits until the state that it was computed from is on the disk.

use super::event::Effect;
use crate::broken::{self, Broken};
use crate::log::Position;
use std::collections::VecDeque;

#[derive(Debug)]
pub struct Gate<R, W> {
    /// Came since the last `close`; 0 marks what depends on nothing that is to be written.
    held: Vec<(Position, Effect<R, W>)>,
    waiting: VecDeque<(Position, Effect<R, W>)>,
}

/// The state has records that no position is known for yet: they are being gathered.
pub const GATHERED: Position = Position(u64::MAX);

impl<R, W> Gate<R, W> {
    pub fn new() -> Self {
        Gate { held: Vec::new(), waiting: VecDeque::new() }
    }

    /// `from`: where the records end that the effect depends on.
    pub fn hold(&mut self, from: Position, effect: Effect<R, W>) {
        let from = if broken::is(Broken::OpenGate) { Position(0) } else { from };
        self.held.push((from, effect));
    }

    /// The gathered records end here.
    pub fn appended(&mut self, position: Position) {
        for (from, effect) in self.held.drain(..) {
            self.waiting.push_back((from.min(position), effect));
        }
    }

    /// How far the log must be on the disk for the next effect to leave, after `release`.
    pub fn next(&self) -> Option<Position> {
        self.waiting.front().map(|(from, _)| *from)
    }

    /// Gives out what depends on nothing past `durable`, in the order in which it came.
    pub fn release(&mut self, durable: Position, out: &mut Vec<Effect<R, W>>) {
        while let Some((_, effect)) = self.waiting.pop_front_if(|(from, _)| *from <= durable) {
            out.push(effect);
        }
        for (from, effect) in self.held.drain(..) {
            if from <= durable {
                out.push(effect);
            } else {
                self.waiting.push_back((from, effect));
            }
        }
    }
}
