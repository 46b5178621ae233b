//! Which plan is looked at next, and when.
//!
//! *Guarantees.* No plan is worked on twice at once, and no more plans than the limit. What is touched while it is
//! worked on is looked at again. One that fails waits twice as long each time, up to a minute, whatever touches it; the
//! others do not wait for it. *Assumptions.* Time is in milliseconds, and does not go back.

use crate::plan::Key;
use std::collections::BTreeMap;

/// Changes come in flocks.
const GATHER_MS: u64 = 100;
const SETTLED_MS: u64 = 5_000;
const WAITING_MS: u64 = 1_000;
const OBSTRUCTED_MS: u64 = 5_000;
/// The owner of the plan is asked after this often.
const ELSEWHERE_MS: u64 = 30_000;
const FAILED_MS_MIN: u64 = 500;
const FAILED_MS_MAX: u64 = 60_000;
/// In a row, before it counts as failing.
const OVERTAKEN_MAX: u32 = 3;
/// Everything is read anew this often, for what no watch has told.
const LOOK_MS: u64 = 600_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Only its nodes are asked from time to time.
    Settled,
    /// Its nodes are asked again soon.
    Waiting,
    /// Its objects are read again soon.
    Obstructed,
    /// Another operator runs it.
    Elsewhere,
    /// Someone else was faster: everything is read again at once, and later if that goes on.
    Overtaken,
    Failed,
    /// There is no such plan.
    Gone,
}

impl Outcome {
    pub const ALL: [Outcome; 6] = [
        Outcome::Settled,
        Outcome::Waiting,
        Outcome::Obstructed,
        Outcome::Overtaken,
        Outcome::Failed,
        Outcome::Gone,
    ];
}

/// What is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The API server's objects, and the nodes.
    All,
    Nodes,
}

#[derive(Debug)]
struct Entry {
    /// When it is due, unless it is worked on.
    due_ms: u64,
    not_before_ms: u64,
    failures: u32,
    overtaken: u32,
    is_running: bool,
    /// Something of it has changed since it was read.
    is_touched: bool,
    looked_ms: Option<u64>,
}

impl Entry {
    fn new(now_ms: u64) -> Entry {
        Entry {
            due_ms: now_ms,
            not_before_ms: 0,
            failures: 0,
            overtaken: 0,
            is_running: false,
            is_touched: true,
            looked_ms: None,
        }
    }

    fn needs_all(&self, now_ms: u64) -> bool {
        self.is_touched || self.looked_ms.is_none_or(|looked_ms| looked_ms + LOOK_MS <= now_ms)
    }
}

#[derive(Debug)]
pub struct Queue {
    entries: BTreeMap<Key, Entry>,
    limit: usize,
    running: usize,
}

impl Queue {
    pub fn new(limit: usize) -> Queue {
        Queue { entries: BTreeMap::new(), limit, running: 0 }
    }

    /// Something of this plan has changed.
    pub fn touch(&mut self, key: Key, now_ms: u64) {
        let entry = self.entries.entry(key).or_insert_with(|| Entry::new(now_ms + GATHER_MS));
        entry.is_touched = true;
        entry.due_ms = entry.due_ms.min(now_ms + GATHER_MS).max(entry.not_before_ms);
    }

    /// The plan that is to be worked on now, if there is one and room for it.
    pub fn next(&mut self, now_ms: u64) -> Option<(Key, Look)> {
        if self.running >= self.limit {
            return None;
        }
        let due = self.entries.iter_mut().filter(|(_, entry)| !entry.is_running && entry.due_ms <= now_ms);
        let (key, entry) = due.min_by_key(|(_, entry)| entry.due_ms)?;
        let look = if entry.needs_all(now_ms) { Look::All } else { Look::Nodes };
        if look == Look::All {
            entry.looked_ms = Some(now_ms);
        }
        entry.is_running = true;
        entry.is_touched = false;
        entry.due_ms = u64::MAX;
        self.running += 1;
        Some((key.clone(), look))
    }

    /// When the next one is due, if there is room for it.
    pub fn wake_ms(&self) -> Option<u64> {
        let waiting = self.entries.values().filter(|entry| !entry.is_running);
        if self.running < self.limit { waiting.map(|entry| entry.due_ms).min() } else { None }
    }

    pub fn done(&mut self, key: &Key, outcome: Outcome, now_ms: u64) {
        self.running -= 1;
        let Some(entry) = self.entries.get_mut(key) else { return };
        if outcome == Outcome::Gone && !entry.is_touched {
            self.entries.remove(key);
            return;
        }
        entry.is_running = false;
        entry.overtaken = if outcome == Outcome::Overtaken { entry.overtaken + 1 } else { 0 };
        let fails = outcome == Outcome::Failed || entry.overtaken > OVERTAKEN_MAX;
        entry.failures = if fails { entry.failures + 1 } else { 0 };
        let wait_ms = match outcome {
            _ if fails => (FAILED_MS_MIN << (entry.failures - 1).min(16)).min(FAILED_MS_MAX),
            Outcome::Settled => SETTLED_MS,
            Outcome::Waiting => WAITING_MS,
            Outcome::Obstructed => OBSTRUCTED_MS,
            Outcome::Elsewhere => ELSEWHERE_MS,
            Outcome::Overtaken | Outcome::Gone | Outcome::Failed => GATHER_MS,
        };
        if matches!(outcome, Outcome::Obstructed | Outcome::Overtaken | Outcome::Failed) {
            entry.looked_ms = None;
        }
        entry.not_before_ms = if fails { now_ms + wait_ms } else { 0 };
        // What was touched meanwhile is due as it was touched.
        let touched_ms = if entry.is_touched { now_ms + GATHER_MS } else { u64::MAX };
        entry.due_ms = touched_ms.min(now_ms + wait_ms).max(entry.not_before_ms);
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { namespace: "n".into(), name: name.into() }
    }

    fn queue(limit: usize, names: &[&str]) -> Queue {
        let mut queue = Queue::new(limit);
        for name in names {
            queue.touch(key(name), 0);
        }
        queue
    }

    #[test]
    fn changes_that_come_together_are_looked_at_once() {
        let mut queue = queue(4, &["a"]);
        queue.touch(key("a"), 50);
        assert_eq!((queue.next(99), queue.wake_ms()), (None, Some(100)));
        assert_eq!(queue.next(100), Some((key("a"), Look::All)));
        assert_eq!((queue.next(100), queue.wake_ms()), (None, None));
    }

    #[test]
    fn what_is_settled_has_only_its_nodes_asked_until_something_changes() {
        let mut queue = queue(4, &["a"]);
        queue.next(100);
        queue.done(&key("a"), Outcome::Settled, 200);
        assert_eq!((queue.next(5_199), queue.next(5_200)), (None, Some((key("a"), Look::Nodes))));
        queue.done(&key("a"), Outcome::Settled, 5_300);
        queue.touch(key("a"), 5_400);
        assert_eq!(queue.next(5_500), Some((key("a"), Look::All)));
        queue.done(&key("a"), Outcome::Waiting, 5_600);
        assert_eq!(queue.next(6_600), Some((key("a"), Look::Nodes)));
        queue.done(&key("a"), Outcome::Settled, 700_000);
        assert_eq!(queue.next(705_000), Some((key("a"), Look::All)));
    }

    #[test]
    fn what_changes_while_it_is_worked_on_is_looked_at_again() {
        let mut queue = queue(4, &["a"]);
        queue.next(100);
        queue.touch(key("a"), 150);
        assert_eq!(queue.next(1_000), None);
        queue.done(&key("a"), Outcome::Settled, 1_000);
        assert_eq!(queue.next(1_100), Some((key("a"), Look::All)));
    }

    #[test]
    fn what_fails_waits_longer_each_time_and_no_change_hurries_it() {
        let mut queue = queue(4, &["a", "b"]);
        let mut now_ms = 100;
        for wait_ms in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            assert_eq!(queue.next(now_ms), Some((key("a"), Look::All)));
            queue.done(&key("a"), Outcome::Failed, now_ms);
            queue.touch(key("a"), now_ms);
            while let Some((other, _)) = queue.next(now_ms + wait_ms - 1) {
                assert_eq!(other, key("b"));
                queue.done(&other, Outcome::Settled, now_ms + wait_ms);
            }
            now_ms += wait_ms;
        }
        queue.next(now_ms);
        queue.done(&key("a"), Outcome::Settled, now_ms);
        queue.touch(key("a"), now_ms);
        assert_eq!(queue.next(now_ms + 100), Some((key("a"), Look::All)));
    }

    #[test]
    fn no_more_are_worked_on_than_the_limit_and_the_longest_waiting_goes_first() {
        let mut queue = queue(2, &["a"]);
        queue.touch(key("b"), 10);
        queue.touch(key("c"), 5);
        assert_eq!(queue.next(500), Some((key("a"), Look::All)));
        assert_eq!(queue.next(500), Some((key("c"), Look::All)));
        assert_eq!((queue.next(500), queue.wake_ms()), (None, None));
        queue.done(&key("a"), Outcome::Settled, 500);
        assert_eq!(queue.next(500), Some((key("b"), Look::All)));
    }

    #[test]
    fn a_plan_that_is_gone_is_forgotten_unless_it_came_back() {
        let mut queue = queue(2, &["a", "b"]);
        queue.next(100);
        queue.next(100);
        queue.touch(key("b"), 150);
        queue.done(&key("a"), Outcome::Gone, 200);
        queue.done(&key("b"), Outcome::Gone, 200);
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.next(300), Some((key("b"), Look::All)));
    }

    #[test]
    fn one_who_was_overtaken_reads_everything_again_at_once_and_later_if_that_goes_on() {
        let mut queue = queue(2, &["a"]);
        let mut now_ms = 100;
        for wait_ms in [100, 100, 100, 500, 1_000, 2_000] {
            assert_eq!(queue.next(now_ms), Some((key("a"), Look::All)));
            queue.done(&key("a"), Outcome::Overtaken, now_ms);
            queue.touch(key("a"), now_ms);
            assert_eq!(queue.next(now_ms + wait_ms - 1), None, "after {wait_ms} ms");
            now_ms += wait_ms;
        }
    }
}
