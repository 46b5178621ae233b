//! How many lines may go by now, when a feed is held to a rate.

use std::time::Duration;

/// What was not used for so long is not made up for.
const SAVED: Duration = Duration::from_millis(100);

#[derive(Clone, Debug)]
pub struct Pace {
    /// `None`: as fast as they are taken.
    per_second: Option<f64>,
    credit: f64,
    at: Duration,
}

impl Pace {
    pub fn new(per_second: Option<u32>) -> Pace {
        Pace { per_second: per_second.map(f64::from), credit: 1.0, at: Duration::ZERO }
    }

    /// How many may go, so long after the start.
    pub fn allows(&mut self, elapsed: Duration) -> usize {
        let Some(rate) = self.per_second else { return usize::MAX };
        let most = (SAVED.as_secs_f64() * rate).max(1.0);
        self.credit = (self.credit + elapsed.saturating_sub(self.at).as_secs_f64() * rate).min(most);
        self.at = elapsed;
        self.credit as usize
    }

    pub fn went(&mut self, lines: usize) {
        if self.per_second.is_some() {
            self.credit -= lines as f64;
        }
    }

    /// How long until some more may go.
    pub fn wait(&self) -> Duration {
        let Some(rate) = self.per_second else { return Duration::ZERO };
        let missing = (rate / 100.0).max(1.0) - self.credit;
        Duration::from_secs_f64((missing / rate).max(0.001))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many go in so many steps of so many milliseconds.
    fn gone(rate: u32, steps: u64, step_ms: u64) -> usize {
        let mut pace = Pace::new(Some(rate));
        let go = |step| {
            let count = pace.allows(Duration::from_millis(step * step_ms));
            pace.went(count);
            count
        };
        (1..=steps).map(go).sum()
    }

    #[test]
    fn as_many_go_as_the_rate_says_in_small_steps_or_large_ones() {
        for (rate, steps, step_ms, expected) in
            [(1, 10_000, 1, 11), (50, 200, 10, 101), (1_000, 1_000, 1, 1_001), (20_000, 100, 10, 20_001)]
        {
            let count = gone(rate, steps, step_ms);
            assert!(count.abs_diff(expected) <= 1, "{rate}: {count}");
        }
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut pace = Pace::new(Some(1_000));
        assert_eq!(pace.allows(Duration::from_mins(1)), 100);
        pace.went(100);
        assert_eq!(pace.wait(), Duration::from_millis(10));
    }

    #[test]
    fn without_a_rate_all_may_go() {
        let mut pace = Pace::new(None);
        pace.went(1 << 40);
        assert_eq!((pace.allows(Duration::ZERO), pace.wait()), (usize::MAX, Duration::ZERO));
    }
}
