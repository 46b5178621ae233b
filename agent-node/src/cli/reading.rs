//! Reads a feed's lines from a file or from standard input, plain or gzipped, on a thread of its own.
//!
//! *Guarantees*: what is read ahead is bounded, and so is a line. *Assumptions*: a file does not change while it is
//! read; one that did is told.

use super::feed::Line;
use super::line;
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use tokio::sync::mpsc;

const BLOCK: usize = 64 << 10;
/// What is longer is refused: the largest body fits in twice.
const LINE_MAX: usize = 512 << 10;
const BATCH_LINES: usize = 256;
const BATCH_BYTES: usize = 1 << 20;
/// Batches that are read ahead.
const BATCHES: usize = 4;
const GZIP: [u8; 2] = [0x1f, 0x8b];

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    File(PathBuf),
    Stdin,
}

/// What a first look at a whole file tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The name under which its lines are sent, the same for the same content.
    pub client: String,
    pub lines: u64,
}

type Content = BufReader<Box<dyn Read>>;

/// Some lines, in order.
#[derive(Debug, Default)]
pub struct Batch {
    pub lines: Vec<Line>,
    /// What is no line of a feed.
    pub wrong: Vec<(u64, line::Error)>,
    /// The number of the line after the last.
    pub next: u64,
}

/// The thread that reads, and what it has read. The last item says why no more follows.
pub struct Reading {
    pub batches: mpsc::Receiver<Result<Batch, String>>,
    thread: JoinHandle<()>,
}

impl Source {
    fn open(&self) -> io::Result<Content> {
        let plain: Box<dyn Read> = match self {
            Source::File(path) => Box::new(File::open(path)?),
            Source::Stdin => Box::new(io::stdin()),
        };
        let mut plain = BufReader::with_capacity(BLOCK, plain);
        let gzipped = plain.fill_buf()?.starts_with(&GZIP);
        let content: Box<dyn Read> =
            if gzipped { Box::new(MultiGzDecoder::new(plain)) } else { Box::new(plain) };
        Ok(BufReader::with_capacity(BLOCK, content))
    }

    fn name(&self) -> String {
        match self {
            Source::File(path) => path.display().to_string(),
            Source::Stdin => "standard input".into(),
        }
    }

    fn unreadable(&self, error: &io::Error) -> String {
        format!("{} can't be read: {error}", self.name())
    }

    /// Reads all of it once.
    pub fn survey(&self) -> Result<Survey, String> {
        self.look().map_err(|error| self.unreadable(&error))
    }

    fn look(&self) -> io::Result<Survey> {
        let mut content = self.open()?;
        let (mut sum, mut lines, mut last) = (Sha256::new(), 0, b'\n');
        loop {
            let block = content.fill_buf()?;
            let Some(end) = block.last() else { break };
            (last, lines) = (*end, lines + newlines(block));
            sum.update(block);
            let length = block.len();
            content.consume(length);
        }
        let sum = sum.finalize().first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
        Ok(Survey { client: format!("file-{sum:016x}"), lines: lines + u64::from(last != b'\n') })
    }

    /// Begins to read, from this line on. With a survey, what has changed since is told.
    pub fn read(self, from: u64, survey: Option<Survey>) -> io::Result<Reading> {
        let (give, batches) = mpsc::channel(BATCHES);
        let read = move || {
            let end = self.open().and_then(|content| lines(content, from, &give));
            let told = match end {
                Err(error) => Err(self.unreadable(&error)),
                Ok(next) if survey.is_some_and(|survey| survey.lines + 1 != next) => {
                    Err(format!("{} was changed while it was read", self.name()))
                }
                Ok(_) => return,
            };
            // Nobody listens any more: then nobody has to know.
            let _ = give.blocking_send(told);
        };
        let thread = thread::Builder::new().name("reading".into()).spawn(read)?;
        Ok(Reading { batches, thread })
    }
}

impl Reading {
    /// Waits for the thread. Not to be called while it may wait for standard input.
    pub fn end(self) {
        drop(self.batches);
        let _ = self.thread.join();
    }
}

/// Hands all lines over; the number of the line after the last.
fn lines(mut content: Content, from: u64, give: &mpsc::Sender<Result<Batch, String>>) -> io::Result<u64> {
    let (mut line, mut batch, mut bytes) = (Vec::new(), Batch::default(), 0);
    for number in 1.. {
        line.clear();
        let whole = read_line(&mut content, &mut line)?;
        if line.is_empty() {
            let _ = give.blocking_send(Ok(Batch { next: number, ..batch }));
            return Ok(number);
        }
        if number < from {
            continue;
        }
        bytes += line.len();
        match if whole { line::parse(&line) } else { Err(too_long()) } {
            Ok(Some(command)) => batch.lines.push(Line { number, command }),
            Ok(None) => {}
            Err(error) => batch.wrong.push((number, error)),
        }
        batch.next = number + 1;
        // What has come goes on before the next line is waited for.
        let full = batch.lines.len() >= BATCH_LINES || bytes >= BATCH_BYTES;
        if full || !content.buffer().contains(&b'\n') {
            bytes = 0;
            if give.blocking_send(Ok(std::mem::take(&mut batch))).is_err() {
                return Ok(number + 1);
            }
        }
    }
    unreachable!("lines end before their numbers do")
}

fn too_long() -> line::Error {
    line::Error { at: LINE_MAX, error: format!("a line is at most {LINE_MAX} bytes") }
}

/// One line; false, and a beginning of it, when it is too long.
fn read_line(content: &mut Content, line: &mut Vec<u8>) -> io::Result<bool> {
    content.by_ref().take(LINE_MAX as u64).read_until(b'\n', line)?;
    if line.len() < LINE_MAX || line.ends_with(b"\n") {
        return Ok(true);
    }
    content.skip_until(b'\n')?;
    Ok(false)
}

fn newlines(block: &[u8]) -> u64 {
    block.split(|byte| *byte == b'\n').count() as u64 - 1
}

#[cfg(test)]
mod tests;
