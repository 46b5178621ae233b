//! When a shard's thread runs, sleeps or ends: decides, from what its last turn left and what the inbox holds now.

use crate::log::Position;
use std::time::Instant;

/// How the thread is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// When all that is there is done and has left.
    Drain,
    /// At once, as if the process had been killed.
    Abandon,
}

/// What the thread waits for, as its last turn left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// Events that were taken out of the inbox have not run yet.
    pub behind: bool,
    /// How far the log must be on the disk before the next effect may leave. Without one nothing is held back.
    pub release: Option<Position>,
    /// The next timer.
    pub timer: Instant,
}

/// What the inbox holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub events: bool,
    /// How far the log is on the disk.
    pub durable: Position,
    pub end: Option<End>,
    pub now: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There is something to do.
    Run,
    /// Until an event comes, the log reaches `Waits::release`, the timer fires, or the thread is to end.
    Sleep,
    End,
}

pub fn next(waits: &Waits, seen: &Seen) -> Next {
    let may_leave = waits.release.is_some_and(|release| release <= seen.durable);
    let due = waits.behind || seen.events || may_leave || waits.timer <= seen.now;
    match seen.end {
        Some(End::Abandon) => Next::End,
        _ if due => Next::Run,
        Some(End::Drain) if waits.release.is_none() => Next::End,
        Some(End::Drain) | None => Next::Sleep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const AT: Position = Position(10);

    /// All that can be the case at once, of which each line of a table says a part.
    fn cases() -> impl Iterator<Item = (Waits, Seen)> {
        let start = Instant::now();
        let at = move |seconds| start + Duration::from_secs(seconds);
        let ends = [None, Some(End::Drain), Some(End::Abandon)];
        let flags = [(false, false), (false, true), (true, false), (true, true)];
        ends.into_iter().flat_map(move |end| {
            flags.into_iter().flat_map(move |(behind, events)| {
                [None, Some(9), Some(10), Some(11)].into_iter().flat_map(move |release| {
                    [1, 2, 3].into_iter().map(move |timer| {
                        let release = release.map(Position);
                        let waits = Waits { behind, release, timer: at(timer) };
                        (waits, Seen { events, durable: AT, end, now: at(2) })
                    })
                })
            })
        })
    }

    #[test]
    fn each_case_has_one_answer_and_nothing_that_is_due_sleeps() {
        type Line = (&'static str, fn(&Waits, &Seen) -> bool, Next);
        let lines: [Line; 8] = [
            ("abandoned", |_, seen| seen.end == Some(End::Abandon), Next::End),
            ("events that were taken out", |waits, _| waits.behind, Next::Run),
            ("events in the inbox", |_, seen| seen.events, Next::Run),
            ("a timer that has fired", |waits, seen| waits.timer <= seen.now, Next::Run),
            (
                "an effect that may leave",
                |waits, seen| waits.release.is_some_and(|at| at <= seen.durable),
                Next::Run,
            ),
            ("an effect that is held, while it drains too", |waits, _| waits.release.is_some(), Next::Sleep),
            ("all has left, and it drains", |_, seen| seen.end == Some(End::Drain), Next::End),
            ("nothing to do", |_, _| true, Next::Sleep),
        ];
        let mut used = [0; 8];
        for (waits, seen) in cases() {
            // The first line that fits holds.
            let line = lines.iter().position(|(_, fits, _)| fits(&waits, &seen)).unwrap();
            used[line] += 1;
            assert_eq!(next(&waits, &seen), lines[line].2, "{}: {waits:?} {seen:?}", lines[line].0);
        }
        assert!(used.iter().all(|count| *count > 0), "{used:?}");
    }
}
