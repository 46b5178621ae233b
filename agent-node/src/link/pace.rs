//! How often a link is told, where its client says so. Decides, and waits for nothing.
//!
//! *Guarantees.* The first state is told as fast as it is taken. From `synced` on, flushes begin so far apart that no second
//! has more of them than the rate says; a flush that has begun is told to its end. What changes in between is left out in
//! favour of the latest, as for a client that does not read.

use super::mirror::Told;
use crate::refusal::Refusal;
use proto::wire::RATE_MAX;
use std::time::{Duration, Instant};

/// How many flushes a link is told in a second at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(u32);

impl Rate {
    pub fn new(flushes: u32) -> Result<Rate, Refusal> {
        if !(1..=RATE_MAX).contains(&flushes) {
            let text = format!("a rate is a whole number from 1 to {RATE_MAX}: flushes in a second");
            return Err(Refusal::bad(text, "rate"));
        }
        Ok(Rate(flushes))
    }

    /// From the beginning of one flush to that of the next. Rounded up, so that no second has one too many.
    fn pause(self) -> Duration {
        Duration::from_nanos(1_000_000_000_u64.div_ceil(self.0.into()))
    }
}

/// Where a link is in its flushes.
#[derive(Debug)]
pub struct Pace {
    pause: Duration,
    /// When the next flush may begin; `None`: at once.
    next: Option<Instant>,
    /// A flush has begun, and its end is not told yet.
    in_flush: bool,
}

impl Pace {
    pub fn new(rate: Rate) -> Pace {
        Pace { pause: rate.pause(), next: None, in_flush: false }
    }

    /// Until when the link is told nothing; `None`: it may be told now.
    pub fn waits_until(&self, now: Instant) -> Option<Instant> {
        self.next.filter(|next| !self.in_flush && *next > now)
    }

    /// The link was told so many events.
    pub fn tells(&mut self, now: Instant, events: usize, told: Told, is_synced: bool) {
        if !is_synced {
            (self.next, self.in_flush) = (None, false);
            return;
        }
        if events > 0 && !self.in_flush {
            (self.next, self.in_flush) = (Some(now + self.pause), true);
        }
        self.in_flush &= told == Told::Part;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_rate_is_one_to_a_thousand() {
        for (flushes, is_one) in [(0, false), (1, true), (1_000, true), (1_001, false), (u32::MAX, false)] {
            let rate = Rate::new(flushes);
            assert_eq!(rate.is_ok(), is_one, "{flushes}");
            assert!(is_one || rate.is_err_and(|refusal| refusal.code == 400 && refusal.at == "rate"));
        }
    }

    #[test]
    fn a_link_is_told_its_state_at_once_and_a_flush_to_its_end() {
        let began = Instant::now();
        let at = |ms: u64| began + Duration::from_millis(ms);
        let mut pace = Pace::new(Rate::new(4).unwrap());
        // When it is told, how many events, whether that was all, whether it is synced, and until when it waits.
        for (ms, events, told, is_synced, waits) in [
            (0, 128, Told::Part, false, None),
            (1, 128, Told::Part, false, None),
            (2, 0, Told::All, false, None),
            (3, 1, Told::All, true, Some(253)),
            (253, 0, Told::All, true, None),
            (260, 0, Told::Part, true, None),
            (300, 128, Told::Part, true, None),
            (900, 128, Told::Part, true, None),
            (901, 7, Told::All, true, None),
            (902, 1, Told::All, true, Some(1_152)),
            (1_152, 3, Told::Part, false, None),
            (1_153, 9, Told::All, true, Some(1_403)),
        ] {
            assert_eq!(pace.waits_until(at(ms)), None, "at {ms}");
            pace.tells(at(ms), events, told, is_synced);
            assert_eq!(pace.waits_until(at(ms)), waits.map(at), "after {ms}");
        }
    }

    proptest! {
        #[test]
        fn no_second_has_more_flushes_than_the_rate_says(
            flushes in 1..=RATE_MAX,
            looks in proptest::collection::vec((0..30_000_000_u64, any::<bool>()), 1..200),
        ) {
            let (mut pace, mut now) = (Pace::new(Rate::new(flushes).unwrap()), Instant::now());
            let mut began: Vec<Instant> = Vec::new();
            for (passes_ns, is_part) in looks {
                now += Duration::from_nanos(passes_ns);
                // It looks again as soon as it may, too.
                for now in [Some(now), pace.waits_until(now)].into_iter().flatten() {
                    if pace.waits_until(now).is_none() {
                        if !pace.in_flush {
                            began.push(now);
                        }
                        pace.tells(now, 1, if is_part { Told::Part } else { Told::All }, true);
                    }
                }
                now = now.max(began.last().copied().unwrap_or(now));
            }
            let second = Duration::from_secs(1);
            for (place, first) in began.iter().enumerate() {
                let within = began[place..].iter().take_while(|next| **next < *first + second).count();
                prop_assert!(within as u32 <= flushes, "{} in the second from {:?} on", within, place);
            }
        }
    }
}
