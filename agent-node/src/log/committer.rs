//! Group commit: shards put records into one buffer, and one thread takes whatever has gathered, writes it, syncs it,
//! says so, and takes again. No timer: the next `fdatasync` starts when the last one has returned.

use super::format::{self, Head, Position};
use super::prepare::Pool;
use super::writer::{BUFFER_MAX, Writer};
use super::{Error, OnDurable};
use crate::lock::lock;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Where records gather.
pub struct Intake {
    gathered: Mutex<Gathered>,
    wake: Condvar,
}

struct Gathered {
    frames: Vec<u8>,
    /// What was granted for them.
    used: u64,
    /// After the last record in `frames`.
    position: Position,
    /// The committer waits for `wake`.
    asleep: bool,
    closing: bool,
}

enum Taken {
    /// Up to that place, and what was granted for them.
    Records(Position, u64),
    Nothing,
    Closing,
}

impl Intake {
    pub fn new(position: Position) -> Intake {
        let gathered = Gathered { frames: Vec::new(), used: 0, position, asleep: false, closing: false };
        Intake { gathered: Mutex::new(gathered), wake: Condvar::new() }
    }

    /// Adds records, which so much room was granted for, and returns the place after them.
    pub fn append(&self, records: &[(Head, Range<usize>)], buffer: &[u8], used: u64) -> Position {
        let mut gathered = self.lock();
        assert!(!gathered.closing, "records came after the log was closed");
        for (head, body) in records {
            format::frame(head, &buffer[body.clone()], &mut gathered.frames);
        }
        gathered.position.0 += records.len() as u64;
        gathered.used += used;
        let position = gathered.position;
        let asleep = std::mem::take(&mut gathered.asleep);
        drop(gathered);
        if asleep {
            self.wake.notify_one();
        }
        position
    }

    pub fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_one();
    }

    /// Gives what has gathered for an empty buffer.
    fn take_gathered(&self, frames: &mut Vec<u8>, wait: bool) -> Taken {
        frames.clear();
        frames.shrink_to(BUFFER_MAX);
        let mut gathered = self.lock();
        while wait && gathered.frames.is_empty() && !gathered.closing {
            gathered.asleep = true;
            gathered = self.wake.wait(gathered).unwrap_or_else(PoisonError::into_inner);
        }
        gathered.asleep = false;
        if gathered.frames.is_empty() {
            return if gathered.closing { Taken::Closing } else { Taken::Nothing };
        }
        std::mem::swap(&mut gathered.frames, frames);
        Taken::Records(gathered.position, std::mem::take(&mut gathered.used))
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        lock(&self.gathered)
    }
}

/// The end of the log that writes, a turn at a time.
pub struct Committer {
    writer: Writer,
    intake: Arc<Intake>,
    pool: Arc<Pool>,
    on_durable: OnDurable,
    /// What the last turn has taken.
    frames: Vec<u8>,
}

/// What a turn of the committer has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// What had gathered is on the disk.
    Wrote,
    /// Nothing had gathered.
    Idle,
    /// Nothing will gather any more, and all is on the disk.
    Closed,
}

impl Committer {
    pub fn new(writer: Writer, intake: Arc<Intake>, pool: Arc<Pool>, on_durable: OnDurable) -> Committer {
        Committer { writer, intake, pool, on_durable, frames: Vec::new() }
    }

    /// The committer's thread, until the intake is closed. What fails here can't be undone: whether the disk has what
    /// was written is not known any more, so the process ends.
    pub fn run(mut self) {
        let _fatal = EndsTheProcess;
        let mut wait = false;
        loop {
            match self.turn(wait) {
                Ok(Turn::Closed) => return,
                Ok(turn) => wait = turn == Turn::Idle,
                Err(error) => end(&error),
            }
        }
    }

    #[cfg(test)]
    pub fn roll(&mut self) -> Result<bool, Error> {
        if !self.pool.may_roll() {
            return Ok(false);
        }
        self.writer.roll_early()?;
        Ok(true)
    }

    /// `wait`: until something has gathered, or the intake is closed.
    pub fn turn(&mut self, wait: bool) -> Result<Turn, Error> {
        match self.intake.take_gathered(&mut self.frames, wait) {
            Taken::Records(position, used) => {
                self.pool.begin_commit(used);
                self.writer.write(&self.frames, used)?;
                self.writer.sync()?;
                (self.on_durable)(position);
                Ok(Turn::Wrote)
            }
            Taken::Nothing => {
                self.writer.mark()?;
                self.pool.idle();
                Ok(Turn::Idle)
            }
            Taken::Closing => {
                self.writer.mark()?;
                self.writer.sync()?;
                Ok(Turn::Closed)
            }
        }
    }
}

/// A panic of the thread leaves commands that nobody will ever answer.
struct EndsTheProcess;

impl Drop for EndsTheProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            end(&"the log's thread panicked");
        }
    }
}

fn end(why: &dyn std::fmt::Display) -> ! {
    eprintln!("error: the log can't go on, the process ends: {why}");
    std::process::abort()
}
