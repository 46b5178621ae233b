//! Which lines of a feed may go now, and what their answers mean.
//!
//! *Guarantees*: each line ends once, done or refused; no line goes that is more than 1,000 past the oldest unanswered
//! one, so that an answer "executed before" means done, and "not remembered" that a person has to look; on each stream
//! lines go in their order, from the oldest unanswered one on. *Assumptions*: lines are given in order; answers are those
//! of the stream that is open; nodes admit the commands of one stream to one slot in order, and none behind one that was
//! put off.

use super::line::Command;
use crate::refusal::{Fate, Refusal};
use std::collections::VecDeque;

/// How far a line may be past the oldest unanswered one. Nodes remember a little more.
pub const WINDOW: u64 = 1_000;
/// The most bytes of unanswered lines, so that a feed of large bodies needs no more memory than one of small ones.
const BYTES_MAX: usize = 8 << 20;
/// Fewer lines than this wait for the next ones, as long as there are answers to come.
const WORTH_A_MESSAGE: usize = 100;

/// Lines that have come and not ended: first those in the window, then those that wait for it to move.
#[derive(Debug, Default)]
pub struct Feed {
    window: VecDeque<Entry>,
    /// How many of the window have gone on the stream that is open, or have ended.
    gone: usize,
    /// How many of those have not ended.
    in_flight: usize,
    ahead: VecDeque<Line>,
    /// Bytes of the bodies in the window.
    bytes: usize,
    /// The number of the line after the last that was given.
    next: u64,
    whole: bool,
    stream: Stream,
    pub ended: Ended,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub number: u64,
    pub command: Command,
}

/// How many lines have ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    pub done: u64,
    pub refused: u64,
}

#[derive(Debug)]
struct Entry {
    line: Line,
    ended: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Stream {
    #[default]
    Open,
    /// A line was put off: whatever follows it to the same agent would be too.
    Closing,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    Done,
    /// Another try changes nothing.
    Refused(Refusal),
    /// Nothing more goes on this stream: the line goes again on the next one.
    Later(Refusal),
    /// No such line is waited for.
    Nothing,
}

impl Feed {
    pub fn new(first: u64) -> Feed {
        Feed { next: first, ..Feed::default() }
    }

    /// Whether there is room for more of the file.
    pub fn wants_lines(&self) -> bool {
        self.ahead.is_empty() && !self.whole
    }

    /// More of the file, up to the line before `next`.
    pub fn give(&mut self, lines: Vec<Line>, next: u64) {
        self.ahead.extend(lines);
        self.next = next;
    }

    /// All of the file has been given.
    pub fn whole(&mut self) {
        self.whole = true;
    }

    pub fn is_finished(&self) -> bool {
        self.whole && self.window.is_empty() && self.ahead.is_empty()
    }

    /// From where a run that is repeated has to go on.
    pub fn oldest_unanswered(&self) -> u64 {
        let in_window = self.window.front().map(|entry| entry.line.number);
        in_window.or_else(|| self.ahead.front().map(|line| line.number)).unwrap_or(self.next)
    }

    /// Whether a message is worth sending now.
    pub fn is_ready(&self) -> bool {
        if self.stream == Stream::Closing {
            return false;
        }
        let may_go =
            self.window.len() - self.gone + self.ahead.iter().take_while(|line| self.fits(line)).count();
        may_go >= WORTH_A_MESSAGE || may_go > 0 && (self.in_flight == 0 || self.whole)
    }

    /// The next line to go on this stream. It counts as gone.
    pub fn next_to_go(&mut self) -> Option<&Line> {
        if self.stream == Stream::Closing {
            return None;
        }
        while self.window.get(self.gone).is_some_and(|entry| entry.ended) {
            self.gone += 1;
        }
        if self.gone == self.window.len() {
            let line = self.ahead.pop_front_if(|line| fits(&self.window, self.bytes, line))?;
            self.bytes += line.command.body.len();
            self.window.push_back(Entry { line, ended: false });
        }
        self.gone += 1;
        self.in_flight += 1;
        self.window.get(self.gone - 1).map(|entry| &entry.line)
    }

    fn fits(&self, line: &Line) -> bool {
        fits(&self.window, self.bytes, line)
    }

    /// An answer of the stream that is open.
    pub fn answered(&mut self, number: u64, end: Result<(), Refusal>) -> Meaning {
        let found = self.window.binary_search_by_key(&number, |entry| entry.line.number);
        let Some(at) = found.ok().filter(|at| *at < self.gone && !self.window[*at].ended) else {
            return Meaning::Nothing;
        };
        let meaning = match end {
            Ok(()) => Meaning::Done,
            // It took effect long ago: the window of lines is narrower than what is remembered.
            Err(refusal) if refusal.is_of_repeat() && !refusal.outcome_unknown => Meaning::Done,
            Err(refusal) if refusal.fate() == Fate::Final => Meaning::Refused(refusal),
            Err(refusal) => Meaning::Later(refusal),
        };
        match meaning {
            Meaning::Done => self.ended.done += 1,
            Meaning::Refused(_) => self.ended.refused += 1,
            Meaning::Later(_) | Meaning::Nothing => {
                self.stream = Stream::Closing;
                return meaning;
            }
        }
        self.window[at].ended = true;
        self.in_flight -= 1;
        self.bytes -= self.window[at].line.command.body.len();
        while self.window.pop_front_if(|entry| entry.ended).is_some() {
            // One that had ended on an earlier stream need not go on this one.
            self.gone = self.gone.saturating_sub(1);
        }
        meaning
    }

    /// A line that no node has to see: it is refused as it stands.
    pub fn refused_unsent(&mut self) {
        self.ended.refused += 1;
    }

    /// Whether the stream is to be ended: nothing more goes on it.
    pub fn is_closing(&self) -> bool {
        self.stream == Stream::Closing
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The stream is over, however it ended; the next one begins with the oldest unanswered line.
    pub fn stream_ended(&mut self) {
        self.stream = Stream::Open;
        self.gone = 0;
        self.in_flight = 0;
    }
}

fn fits(window: &VecDeque<Entry>, bytes: usize, line: &Line) -> bool {
    window.front().is_none_or(|oldest| line.number <= oldest.line.number + WINDOW && bytes < BYTES_MAX)
}

#[cfg(test)]
mod tests;
