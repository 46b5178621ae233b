//! What the API server has answered to the writes of a plan's objects, from one look to the next: a mutating admission
//! may have changed them on their way.
//!
//! *Guarantees.* An object that is as the API server has answered is not written again, whatever is changed in it: at
//! once where others may set it, and every ten minutes where only the operator may, in case that has ceased. One that
//! somebody changes again and again is put right ever more rarely, up to once a minute. Another wish is written at once.

use crate::drift::{self, Difference, Kind};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// What came back changed is tried again so much later. Changes that come more rarely have nothing to do with each other.
const AGAIN: Duration = Duration::from_mins(10);
/// So often in a row a change is put right at once.
const AT_ONCE: u32 = 2;
const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_mins(1);

/// By the object's kind and name.
#[derive(Debug, Default)]
pub struct Answers(BTreeMap<String, Apply>);

#[derive(Debug)]
struct Apply {
    hash: String,
    changes: Vec<Difference>,
    at: Duration,
    /// How often in a row the same was applied.
    times: u32,
}

/// What came back of the last apply of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// The hash of what was applied.
    pub hash: String,
    /// What was not taken as it was applied, without additions.
    pub changes: Vec<Difference>,
    /// It may be applied again although it came back changed.
    pub is_over: bool,
    /// It is too early to put it right again.
    pub is_held: bool,
}

impl Answers {
    /// An object that was applied as desired. `now`: on any clock that only goes forward.
    pub fn note(&mut self, object: String, desired: &Value, answer: &Value, now: Duration) {
        let changes = changes(&drift::differences(desired, answer));
        self.note_changes(object, drift::hash_of(desired).to_owned(), changes, now);
    }

    /// One that was written otherwise. `hash`: tells what was wished from other wishes. `changes`: what was not taken.
    pub fn note_changes(&mut self, object: String, hash: String, changes: Vec<Difference>, now: Duration) {
        let before = self.0.get(&object).filter(|last| last.hash == hash && now < last.at + AGAIN);
        let times = before.map_or(0, |last| last.times) + 1;
        self.0.insert(object, Apply { hash, changes, at: now, times });
    }

    pub fn seen(&self, now: Duration) -> BTreeMap<String, Answered> {
        let answered = |last: &Apply| Answered {
            hash: last.hash.clone(),
            changes: last.changes.clone(),
            is_over: now >= last.at + AGAIN,
            is_held: last.times > AT_ONCE && now < last.at + wait(last.times - AT_ONCE),
        };
        self.0.iter().map(|(object, last)| (object.clone(), answered(last))).collect()
    }
}

fn wait(times: u32) -> Duration {
    FIRST.saturating_mul(1 << (times - 1).min(16)).min(LONGEST)
}

fn changes(differences: &[Difference]) -> Vec<Difference> {
    differences.iter().filter(|difference| difference.kind != Kind::Added).cloned().collect()
}

/// How an object that is there stands to what is to be applied.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    Due,
    /// It stays as it is; this is what others have set in it.
    Applied(Vec<Difference>),
    /// It stays as it is, since applying it would change nothing; these are wrong.
    Contradicted(Vec<Difference>),
    /// It is changed again and again; it is applied later.
    Held(Vec<Difference>),
}

pub fn standing(desired: &Value, live: &Value, answered: Option<&Answered>) -> Standing {
    let differences = drift::differences(desired, live);
    let changes = changes(&differences);
    if changes.is_empty() {
        return Standing::Applied(differences);
    }
    match standing_of(changes, drift::hash_of(desired), answered) {
        // What is added is said as well.
        Standing::Applied(_) => Standing::Applied(differences),
        standing => standing,
    }
}

/// The same by what is not as it is wished. `hash`: of what is wished.
pub fn standing_of(changes: Vec<Difference>, hash: &str, answered: Option<&Answered>) -> Standing {
    let Some(answered) = answered.filter(|answered| answered.hash == hash) else {
        return Standing::Due;
    };
    let is_answer = answered.changes == changes;
    let wrong: Vec<_> = changes.iter().filter(|one| one.kind == Kind::Changed).cloned().collect();
    if is_answer && wrong.is_empty() {
        Standing::Applied(changes)
    } else if is_answer && !answered.is_over {
        Standing::Contradicted(wrong)
    } else if !is_answer && answered.is_held {
        Standing::Held(changes)
    } else {
        Standing::Due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names;
    use serde_json::json;

    const SET: &str = "StatefulSet flights";

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn object(image: &str, args: &str) -> Value {
        let mut object = json!({"spec": {"image": image, "args": [args]}});
        object["metadata"]["annotations"] = json!({names::APPLIED: drift::hash(&object)});
        object
    }

    /// One apply whose answer a webhook has made of it, and how that object stands later.
    fn after(webhook: fn(&mut Value), since: Duration) -> Standing {
        let (desired, mut answer) = (object("i", "serve"), object("i", "serve"));
        webhook(&mut answer);
        let mut answers = Answers::default();
        answers.note(SET.to_owned(), &desired, &answer, s(0));
        standing(&desired, &answer, answers.seen(since).get(SET))
    }

    fn image(object: &mut Value) {
        object["spec"]["image"] = "mirror/i".into();
    }

    fn args(object: &mut Value) {
        object["spec"]["args"] = json!(["other"]);
    }

    #[test]
    fn what_the_api_server_answers_stays_and_what_only_the_operator_may_set_is_tried_again() {
        assert_eq!(after(|_| {}, s(0)), Standing::Applied(Vec::new()));
        for since in [0, 599, 600, 90_000] {
            assert!(matches!(after(image, s(since)), Standing::Applied(said) if said.len() == 1));
        }
        assert!(matches!(after(args, s(599)), Standing::Contradicted(wrong) if wrong[0].path == "spec.args"));
        assert_eq!(after(args, s(600)), Standing::Due);
        let both = |object: &mut Value| {
            image(object);
            args(object);
        };
        assert!(matches!(after(both, s(1)), Standing::Contradicted(wrong) if wrong.len() == 1));
    }

    #[test]
    fn another_wish_and_another_change_are_applied() {
        let (desired, mut answer) = (object("i", "serve"), object("i", "serve"));
        image(&mut answer);
        let mut answers = Answers::default();
        answers.note(SET.to_owned(), &desired, &answer, s(0));
        let answered = &answers.seen(s(1))[SET];
        // Without the memory of it, it is applied once.
        assert_eq!(standing(&desired, &answer, None), Standing::Due);
        assert_eq!(standing(&object("j", "serve"), &answer, Some(answered)), Standing::Due);
        let mut changed = answer.clone();
        changed["spec"]["image"] = "by hand".into();
        assert_eq!(standing(&desired, &changed, Some(answered)), Standing::Due);
        // The webhook has gone, and somebody has put it right.
        assert_eq!(standing(&desired, &desired, Some(answered)), Standing::Applied(Vec::new()));
    }

    #[test]
    fn what_somebody_changes_again_and_again_is_put_right_ever_more_rarely() {
        let (desired, mut changed) = (object("i", "serve"), object("i", "serve"));
        args(&mut changed);
        let mut answers = Answers::default();
        answers.note(SET.to_owned(), &desired, &desired, s(0));
        let mut applied = Vec::new();
        for second in 1..300 {
            let answered = answers.seen(s(second));
            match standing(&desired, &changed, answered.get(SET)) {
                Standing::Held(changes) => assert_eq!(changes.len(), 1),
                Standing::Due => {
                    applied.push(second);
                    answers.note(SET.to_owned(), &desired, &desired, s(second));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(applied, [1, 2, 4, 8, 16, 32, 64, 124, 184, 244]);
        // One that comes much later is put right at once.
        answers.note(SET.to_owned(), &desired, &desired, s(2_000));
        let answered = answers.seen(s(2_001));
        assert_eq!(standing(&desired, &changed, answered.get(SET)), Standing::Due);
    }
}
