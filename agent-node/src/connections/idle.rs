//! When a connection on which nothing is asked is let go. Decides, and waits for nothing.

use std::time::Duration;
use tokio::time::Instant;

/// From a connection's beginning to its first request.
const FIRST_REQUEST: Duration = Duration::from_secs(3);
/// Without a request or a stream under way.
const IDLE: Duration = Duration::from_mins(1);

/// What is under way on one connection.
#[derive(Debug)]
pub struct Activity {
    under_way: usize,
    /// When that was last none, or the connection began.
    since: Instant,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Asked,
    /// It was asked to end.
    Ending,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Look again then.
    Keep(Instant),
    /// Nothing new is taken: HTTP/2 says so by GOAWAY. Look again then.
    End(Instant),
    Close,
}

impl Activity {
    pub fn new(now: Instant) -> Activity {
        Activity { under_way: 0, since: now, stage: Stage::New }
    }

    pub fn begins(&mut self) {
        self.under_way += 1;
        if self.stage == Stage::New {
            self.stage = Stage::Asked;
        }
    }

    pub fn ends(&mut self, now: Instant) {
        self.under_way -= 1;
        self.since = now;
    }

    pub fn judge(&mut self, now: Instant) -> Verdict {
        if self.under_way > 0 {
            return Verdict::Keep(now + IDLE);
        }
        let until = self.since + if self.stage == Stage::New { FIRST_REQUEST } else { IDLE };
        match self.stage {
            _ if now < until => Verdict::Keep(until),
            Stage::Asked => {
                (self.stage, self.since) = (Stage::Ending, now);
                Verdict::End(now + IDLE)
            }
            Stage::New | Stage::Ending => Verdict::Close,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_nothing_is_let_go_and_who_is_answered_is_not() {
        let begun = Instant::now();
        let at = |second: u64| begun + Duration::from_secs(second);
        let mut silent = Activity::new(begun);
        assert_eq!(silent.judge(begun), Verdict::Keep(at(3)));
        assert_eq!(silent.judge(at(3)), Verdict::Close);
        let mut asks = Activity::new(begun);
        asks.begins();
        assert_eq!(asks.judge(at(3)), Verdict::Keep(at(63)));
        asks.begins();
        asks.ends(at(10));
        assert_eq!(asks.judge(at(63)), Verdict::Keep(at(123)));
        asks.ends(at(100));
        assert_eq!(asks.judge(at(123)), Verdict::Keep(at(160)));
        assert_eq!(asks.judge(at(160)), Verdict::End(at(220)));
        assert_eq!(asks.judge(at(220)), Verdict::Close);
    }
}
