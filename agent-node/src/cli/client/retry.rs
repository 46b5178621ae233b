//! How long to wait before trying again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const MOST: Duration = Duration::from_secs(2);
/// A node that asks for more than this is asked again anyway.
const ASKED_MOST_S: u32 = 10;

/// The failures in a row.
#[derive(Clone, Debug, Default)]
pub struct Retry {
    failures: u32,
}

impl Retry {
    /// One more has failed; the node asked for so many seconds.
    pub fn pause(&mut self, asked_s: u32) -> Duration {
        let own = (FIRST * (1 << self.failures.min(10))).min(MOST);
        self.failures += 1;
        own.max(Duration::from_secs(asked_s.min(ASKED_MOST_S).into()))
    }

    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_a_node_may_ask_for_more() {
        let mut retry = Retry::default();
        let pauses: Vec<u128> = (0..8).map(|_| retry.pause(0).as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(retry.pause(3), Duration::from_secs(3));
        assert_eq!(retry.pause(1000), Duration::from_secs(10));
        retry.succeeded();
        assert_eq!(retry.pause(0), FIRST);
    }
}
