//! Which objects of a plan the API server refuses, and when each is tried again.
//!
//! *Guarantees.* An object that is refused holds back no other one, and is tried again ever more rarely, up to once a
//! minute. One that is to be another than was refused is tried at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
pub struct Backoff {
    /// By kind and name.
    refused: BTreeMap<String, Refused>,
}

#[derive(Debug)]
struct Refused {
    why: String,
    /// What was refused.
    hash: String,
    times: u32,
    not_before: Duration,
}

impl Backoff {
    /// Whether it is too early to try this again. `now`: on any clock that only goes forward.
    pub fn holds(&self, object: &str, hash: &str, now: Duration) -> bool {
        self.refused.get(object).is_some_and(|refused| refused.hash == hash && now < refused.not_before)
    }

    pub fn refuse(&mut self, object: String, hash: &str, why: String, now: Duration) {
        let times = self.refused.get(&object).map_or(0, |refused| refused.times) + 1;
        let wait = FIRST.saturating_mul(1 << (times - 1).min(16)).min(LONGEST);
        self.refused.insert(object, Refused { why, hash: hash.to_owned(), times, not_before: now + wait });
    }

    /// It has been made.
    pub fn forget(&mut self, object: &str) {
        self.refused.remove(object);
    }

    /// Forgets all but these. Whether there were others.
    pub fn keep(&mut self, objects: &BTreeSet<String>) -> bool {
        let count = self.refused.len();
        self.refused.retain(|object, _| objects.contains(object));
        self.refused.len() < count
    }

    /// What the API server has said against each.
    pub fn reasons(&self) -> BTreeMap<String, String> {
        self.refused.iter().map(|(object, refused)| (object.clone(), refused.why.clone())).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.refused.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tries(until_s: u64) -> Vec<u64> {
        let mut backoff = Backoff::default();
        let mut tries = Vec::new();
        for second in 0..until_s {
            let now = Duration::from_secs(second);
            if !backoff.holds("Service s", "1", now) {
                backoff.refuse("Service s".into(), "1", "no".into(), now);
                tries.push(second);
            }
        }
        tries
    }

    #[test]
    fn what_is_refused_is_tried_ever_more_rarely() {
        assert_eq!(tries(260), [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
    }

    #[test]
    fn another_object_and_another_form_of_it_are_tried_at_once() {
        let mut backoff = Backoff::default();
        let now = Duration::from_secs(9);
        backoff.refuse("Service s".into(), "1", "the quota is used up".into(), now);
        assert!(backoff.holds("Service s", "1", now));
        assert!(!backoff.holds("Service s", "2", now) && !backoff.holds("Service t", "1", now));
        assert_eq!(backoff.reasons()["Service s"], "the quota is used up");
        backoff.refuse("Service t".into(), "1", "no".into(), now);
        backoff.forget("Service t");
        assert!(!backoff.holds("Service t", "1", now));
        // One that is not to be made any more is not refused any more.
        assert!(!backoff.keep(&BTreeSet::from(["Service s".to_owned()])));
        assert!(backoff.keep(&BTreeSet::new()) && backoff.is_empty());
    }
}
