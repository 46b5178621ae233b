//! Where a node that is not connected is called next, and when: decides, from what was tried before.
//!
//! *Guarantees.* A round is its hint, if there is one, and its name. The hint goes first, and after the name once it has
//! failed slowly: one that leads into nothing holds the name up once only, and one of a pod that does not listen yet is
//! soon tried again. Between two rounds there is a pause, twice as long each time up to a second.

use std::net::SocketAddr;
use std::time::Duration;

const AGAIN_MIN: Duration = Duration::from_millis(50);
const AGAIN_MAX: Duration = Duration::from_secs(1);
/// A try that fails after so long holds up the next one.
const SLOW: Duration = Duration::from_millis(250);

#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Call it there.
    Hint(SocketAddr),
    /// Call it by its name.
    Name,
    /// All was tried. `news`: why, if that is to be told.
    Wait { pause: Duration, news: Option<String> },
}

#[derive(Debug, Default)]
pub struct Attempts {
    /// What has been tried in this round.
    tried: Tried,
    /// The hint that is called.
    calling: Option<SocketAddr>,
    /// The hint that was slow to fail: it comes after the name.
    slow: Option<SocketAddr>,
    /// Rounds that have failed since the last stream, or since something has changed.
    failed: u32,
    /// Why the tries of this round came to nothing.
    why: Vec<String>,
    /// What was told last.
    said: String,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tried {
    hint: bool,
    name: bool,
}

impl Attempts {
    pub fn next(&mut self, hint: Option<SocketAddr>) -> Next {
        let untried = hint.filter(|_| !self.tried.hint);
        let name_first = !self.tried.name && hint == self.slow;
        self.calling = untried.filter(|_| !name_first);
        match self.calling {
            Some(hint) => {
                self.tried.hint = true;
                Next::Hint(hint)
            }
            None if !self.tried.name => {
                self.tried.name = true;
                Next::Name
            }
            None => {
                let pause = AGAIN_MIN.saturating_mul(1 << self.failed.min(16)).min(AGAIN_MAX);
                let news = self.news();
                self.tried = Tried::default();
                self.failed = self.failed.saturating_add(1);
                Next::Wait { pause, news }
            }
        }
    }

    /// Nodes start together: who is not there yet is there in a moment. So the first round is not told, and a reason only
    /// once.
    fn news(&mut self) -> Option<String> {
        let why = std::mem::take(&mut self.why).join("; ");
        let is_first = self.failed == 0 && self.said.is_empty();
        if is_first || why == self.said || why.is_empty() {
            return None;
        }
        self.said.clone_from(&why);
        Some(why)
    }

    /// The call there came to nothing, after so long.
    pub fn failed(&mut self, at: &str, why: &str, took: Duration) {
        self.slow = self.calling.filter(|_| took >= SLOW).or(self.slow);
        self.why.push(format!("{at}: {why}"));
    }

    /// A stream has stood, and has ended.
    pub fn lost(&mut self) {
        let slow = self.slow.filter(|slow| self.calling != Some(*slow));
        *self = Attempts { tried: Tried { hint: true, name: true }, slow, ..Attempts::default() };
    }

    /// The node is another, or another hint has come: all that was tried is over.
    pub fn begin_anew(&mut self) {
        *self = Attempts { said: std::mem::take(&mut self.said), ..Attempts::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is done one after the other: `h` and `n` are calls by hint and name, which fail with `1` as the reason
    /// unless it is changed by another digit; numbers are pauses in ms, with what is told. In `events`, what comes after
    /// each of them: `.` nothing, `+` a hint, `-` none any more, `*` the stream has stood and has ended, a digit the
    /// reason of what comes; `_`: calls take long from here on.
    fn check(events: &str, expected: &str) {
        let (hint, mut took) = (Some("198.18.0.7:7778".parse().unwrap()), Duration::ZERO);
        let (mut attempts, mut has, mut reason, mut done) = (Attempts::default(), None, '1', Vec::new());
        for event in events.chars() {
            match event {
                '+' | '-' => {
                    has = hint.filter(|_| event == '+');
                    attempts.begin_anew();
                }
                '*' => attempts.lost(),
                '.' => {}
                '_' => took = SLOW,
                digit => reason = digit,
            }
            done.push(match attempts.next(has) {
                Next::Hint(at) => {
                    attempts.failed(&at.to_string(), &format!("hint {reason}"), took);
                    "h".to_owned()
                }
                Next::Name => {
                    attempts.failed("name", &reason.to_string(), took);
                    "n".to_owned()
                }
                Next::Wait { pause, news } => {
                    let news = news.map_or_else(String::new, |news| format!("({news})"));
                    format!("{}{news}", pause.as_millis())
                }
            });
        }
        assert_eq!(done.join(" "), expected, "{events}");
    }

    #[test]
    fn names_alone_are_tried_ever_more_rarely_and_each_reason_is_told_once() {
        check("..............", "n 50 n 100(name: 1) n 200 n 400 n 800 n 1000 n 1000");
        check("....2...", "n 50 n 100(name: 1) n 200(name: 2) n 400");
    }

    #[test]
    fn a_hint_goes_first_and_its_failure_costs_no_pause() {
        check("+.....", "h n 50 h n 100(198.18.0.7:7778: hint 1; name: 1)");
    }

    #[test]
    fn a_hint_that_is_slow_to_fail_comes_after_the_name_until_another_one_comes() {
        check(
            "+._.......",
            "h n 50 h n 100(198.18.0.7:7778: hint 1; name: 1) n h 200(name: 1; 198.18.0.7:7778: hint 1) n",
        );
        check("_+..+.", "n h n 50 h n");
    }

    #[test]
    fn another_hint_is_tried_at_once_and_one_that_is_gone_no_more() {
        // While it waits, and between the two tries.
        check("......+..", "n 50 n 100(name: 1) n 200 h n 50(198.18.0.7:7778: hint 1; name: 1)");
        check("+...+..", "h n 50 h h n 50");
        check("+..-.....", "h n 50 n 50 n 100(name: 1) n 200");
    }

    #[test]
    fn who_was_connected_is_called_again_after_the_shortest_pause() {
        check("......*..", "n 50 n 100(name: 1) n 200 50 n 100(name: 1)");
        check(
            "+.*...*...",
            "h n 50 h n 100(198.18.0.7:7778: hint 1; name: 1) 50 h n 100(198.18.0.7:7778: hint 1; name: 1)",
        );
        // By the name, after which a slow hint is one still; and by the hint, which is not slow then.
        check("_+..*..", "n h n 50 50 n h");
        check("_+*..", "n h 50 h n");
    }
}
