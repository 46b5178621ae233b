//! What the commands say: answers on standard output, everything else on standard error.

use super::tally::Tally;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use proto::shown::{Exit, Failure, Output};
use std::io::{self, IsTerminal as _, Write as _};

/// When no node was reached.
const WAY: &str = "Is a node running there? `--at HOST:PORT`, or SHOAL_AT, names where nodes answer.";

/// One line on standard output. False: nobody reads it any more.
pub fn answer(line: &str) -> bool {
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()).is_ok()
}

/// One line on standard error.
pub fn note(line: &str) {
    // Where it can't be said, nobody can be told.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// A failure, and what to do about it.
pub fn failed(output: Output, failure: &Failure) -> Exit {
    note(&failure.shown(output));
    if output == Output::Text {
        note(failure.advice(WAY));
    }
    failure.exit
}

/// What was asked for can't be.
pub fn wrong(output: Output, error: impl Into<String>) -> Exit {
    let failure = Failure { exit: Exit::Usage, ..Failure::unreachable(error) };
    note(&failure.shown(output));
    failure.exit
}

/// How far a feed has come: a bar on a terminal, else a line a second.
pub struct Progress {
    output: Output,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub fn begin(output: Output, total: Option<u64>) -> Progress {
        let bar = (io::stderr().is_terminal() && output == Output::Text).then(|| bar(total));
        Progress { output, bar }
    }

    /// Often; it draws some of them.
    pub fn moved(&self, tally: &Tally) {
        if let Some(bar) = &self.bar {
            bar.set_position(tally.ended.done + tally.ended.refused);
        }
    }

    /// Once a second.
    pub fn second(&self, tally: &Tally) {
        match &self.bar {
            Some(bar) => bar.tick(),
            None => note(&tally.line(self.output)),
        }
    }

    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(line)),
            None => note(line),
        }
    }

    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, form) = match total {
        Some(total) => (ProgressBar::new(total), "{wide_bar} {pos} of {len} lines, {per_sec}, {eta} left"),
        None => (ProgressBar::no_length(), "{spinner} {pos} lines, {per_sec}"),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style);
    }
    bar
}
