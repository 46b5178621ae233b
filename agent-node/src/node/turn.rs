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
    /// Commands wait for room in the log.
    pub parked: bool,
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
    /// The log has said that it may have room again.
    pub room: bool,
    pub end: Option<End>,
    pub now: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There is something to do.
    Run,
    /// Until an event comes, the log reaches `Waits::release` or has room for who is parked, the timer fires, or the
    /// thread is to end.
    Sleep,
    End,
}

pub fn next(waits: &Waits, seen: &Seen) -> Next {
    let may_leave = waits.release.is_some_and(|release| release <= seen.durable);
    let may_run = waits.parked && seen.room;
    let due = waits.behind || seen.events || may_leave || may_run;
    match seen.end {
        Some(End::Abandon) => Next::End,
        // Timers are not waited for: they are durable.
        Some(End::Drain) if !due && waits.release.is_none() && !waits.parked => Next::End,
        _ if due || waits.timer <= seen.now => Next::Run,
        Some(End::Drain) | None => Next::Sleep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const AT: Position = Position(10);

    /// All that can be the case at once, of which each line of the table says a part.
    fn cases() -> Vec<(Waits, Seen)> {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut cases = Vec::new();
        for end in [None, Some(End::Drain), Some(End::Abandon)] {
            for flags in 0..16_u8 {
                let [behind, events, parked, room] = [1, 2, 4, 8].map(|flag| flags & flag != 0);
                for release in [None, Some(9), Some(10), Some(11)] {
                    for timer in [1, 2, 3] {
                        let release = release.map(Position);
                        let waits = Waits { behind, parked, release, timer: at(timer) };
                        cases.push((waits, Seen { events, durable: AT, room, end, now: at(2) }));
                    }
                }
            }
        }
        cases
    }

    #[test]
    fn each_case_has_one_answer_and_nothing_that_is_due_sleeps() {
        type Line = (&'static str, fn(&Waits, &Seen) -> bool, Next);
        let lines: [Line; 10] = [
            ("abandoned", |_, seen| seen.end == Some(End::Abandon), Next::End),
            ("events that were taken out", |waits, _| waits.behind, Next::Run),
            ("events in the inbox", |_, seen| seen.events, Next::Run),
            (
                "an effect that may leave",
                |waits, seen| waits.release.is_some_and(|at| at <= seen.durable),
                Next::Run,
            ),
            ("room for who is parked", |waits, seen| waits.parked && seen.room, Next::Run),
            (
                "all has left, and it drains",
                |waits, seen| seen.end == Some(End::Drain) && waits.release.is_none() && !waits.parked,
                Next::End,
            ),
            ("a timer that has fired", |waits, seen| waits.timer <= seen.now, Next::Run),
            ("who is parked, while it drains too", |waits, _| waits.parked, Next::Sleep),
            ("an effect that is held, while it drains too", |waits, _| waits.release.is_some(), Next::Sleep),
            ("nothing to do", |_, _| true, Next::Sleep),
        ];
        let mut used = [0; 10];
        for (waits, seen) in cases() {
            // The first line that fits holds.
            let line = lines.iter().position(|(_, fits, _)| fits(&waits, &seen)).unwrap();
            used[line] += 1;
            assert_eq!(next(&waits, &seen), lines[line].2, "{}: {waits:?} {seen:?}", lines[line].0);
        }
        assert!(used.iter().all(|count| *count > 0), "{used:?}");
    }
}
