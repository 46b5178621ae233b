//! When a client that takes too little of what is due to it is let go. Decides, and waits for nothing.
//!
//! What waits for a client is memory of this node, and a client that has stopped reading looks like one that is slow. So
//! a client takes 1 KiB/s on average of each 30 s in which something is due to it all the time, or it is closed. Nothing
//! is asked of a client to whom nothing is due. Where much waits for clients, a client is judged over a shorter time.

use std::time::Duration;
use tokio::time::Instant;

/// Over how long it is judged.
pub const SPAN: Duration = Duration::from_secs(30);
/// Over how long where much waits for clients that do not take it.
pub const SHORT_SPAN: Duration = Duration::from_secs(2);
/// What is taken in [`SPAN`] at least.
pub const LEAST: usize = 30 << 10;

/// How a client takes what is due to it on one connection or one stream.
#[derive(Debug, Default)]
pub struct Pace(Option<Span>);

/// Something is due, and has been since the span began.
#[derive(Debug)]
struct Span {
    began: Instant,
    taken: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub struct TooSlow;

impl Pace {
    /// Something is due and is not taken at present. Gives the time to look again, at which it is judged: over `time`,
    /// which is [`SPAN`] or [`SHORT_SPAN`].
    pub fn waits(&mut self, now: Instant, time: Duration) -> Result<Instant, TooSlow> {
        let least = LEAST * time.as_millis() as usize / SPAN.as_millis() as usize;
        let span = self.0.get_or_insert(Span { began: now, taken: 0 });
        if now >= span.began + time {
            // Kernels take in lumps: what one span had too much counts in the next.
            let more = span.taken.checked_sub(least).ok_or(TooSlow)?;
            *span = Span { began: now, taken: more.min(least) };
        }
        Ok(span.began + time)
    }

    pub fn takes(&mut self, bytes: usize) {
        if let Some(span) = &mut self.0 {
            span.taken = span.taken.saturating_add(bytes);
        }
    }

    /// All that was due is taken.
    pub fn rests(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Does {
        Takes(usize),
        Rests,
    }
    use Does::{Rests, Takes};

    #[test]
    fn a_client_takes_a_kibibyte_a_second_of_what_is_due() {
        let every = |seconds: u64, bytes: usize| -> Vec<(u64, Does)> {
            (1..=240 / seconds).map(|n| (n * seconds, Takes(bytes))).collect()
        };
        for (what, events, expected) in [
            ("nothing", vec![], Some(30)),
            ("too little", every(1, 1000), Some(30)),
            ("enough", every(1, 1024), None),
            ("enough in lumps of the kernel's", every(60, 64 << 10), Some(30)),
            ("enough in smaller lumps", every(20, 32 << 10), None),
            ("a lump that lasts for two spans", vec![(1, Takes(60 << 10))], Some(90)),
            ("much, and then nothing", vec![(1, Takes(10 << 20))], Some(90)),
            ("all", vec![(20, Takes(1)), (20, Rests)], Some(50)),
            ("all, again and again", (1..=12).map(|n| (n * 20, Rests)).collect(), None),
        ] {
            let begun = Instant::now();
            let (mut pace, mut events) = (Pace::default(), events.into_iter().peekable());
            let closed = (0..=240).find(|second| {
                while let Some((_, does)) = events.next_if(|(at, _)| at == second) {
                    match does {
                        Takes(bytes) => pace.takes(bytes),
                        Rests => pace.rests(),
                    }
                }
                pace.waits(begun + Duration::from_secs(*second), SPAN).is_err()
            });
            assert_eq!(closed, expected, "{what}");
        }
    }

    #[test]
    fn where_much_waits_a_client_has_two_seconds() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        for (taken, slow_at) in [(0, 2), (2_047, 2), (2_048, 4), (1 << 20, 6)] {
            let mut pace = Pace::default();
            assert_eq!(pace.waits(at(0), SHORT_SPAN), Ok(at(2)));
            pace.takes(taken);
            let slow = (1..9).find(|second| pace.waits(at(*second), SHORT_SPAN).is_err());
            assert_eq!(slow, Some(slow_at), "{taken} bytes");
        }
        // What was enough over the longer time stays enough when the shorter one begins.
        let mut pace = Pace::default();
        assert_eq!(pace.waits(at(0), SPAN), Ok(at(30)));
        pace.takes(20 << 10);
        assert_eq!(pace.waits(at(20), SHORT_SPAN), Ok(at(22)));
    }
}
