//! Which of several releases of the operator looks after a plan.
//!
//! *Guarantees.* A plan has one owner: its name stands in the plan's status, where it is written by compare-and-swap
//! before anything else is. Another release takes a plan over only when the owner's Lease was seen to be gone, free or
//! not renewed for longer than a Lease lasts, or when a person has named it. Where an operator that does not know
//! `status.operator` takes the name away again and again, it is written ever more rarely. *Assumptions.* Of one release,
//! only the holder of its Lease acts.

use crate::lease::{Held, LEASE};
use crate::plan::{Contested, Plan};
use std::time::Duration;

/// So often in a row a name that is gone again is written at once.
const NAMED_AT_ONCE: u32 = 3;
const NAMED_FIRST: Duration = Duration::from_secs(10);
const NAMED_LONGEST: Duration = Duration::from_mins(10);
/// A name that was there for so long was not fought over.
const NAME_HOLDS: Duration = Duration::from_mins(30);
/// What others say of a plan is taken back this often: who still has reason says it again.
const CONTESTED_EACH: Duration = Duration::from_mins(10);

/// What a release is called: by its Lease.
pub fn name(namespace: &str, lease: &str) -> String {
    format!("{namespace}/{lease}")
}

#[derive(Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    Us,
    /// We shall be, when our name stands in the status.
    Nobody,
    /// Another one, which a person has named or whose Lease tells whether it is still there.
    Other {
        name: &'a str,
        is_named: bool,
    },
}

/// A person's word counts before the status.
pub fn owner<'a>(plan: &'a Plan, us: &str) -> Owner<'a> {
    match (plan.named_operator.as_deref(), plan.status.operator.as_deref()) {
        (Some(name), _) if name != us => Owner::Other { name, is_named: true },
        (_, Some(name)) if name == us => Owner::Us,
        (None, Some(name)) => Owner::Other { name, is_named: false },
        (_, _) => Owner::Nobody,
    }
}

/// What another owner's Lease says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It was renewed, or it cannot be known.
    Alive,
    /// It may not be read.
    Hidden,
    /// It is as it was, not for long enough yet.
    Unchanged,
    Gone,
}

/// The Lease of another owner, from one look to the next.
#[derive(Debug, Default)]
pub struct Watch {
    seen: Option<(String, Option<Held>, Duration)>,
}

impl Watch {
    /// `held`: `None` if there is no such Lease. `now`: on any clock that only goes forward.
    pub fn look(&mut self, owner: &str, held: Option<Held>, now: Duration) -> Sign {
        let lasts = held.as_ref().map_or(LEASE, |held| held.lease.max(LEASE));
        let before = self.seen.as_ref().filter(|(of, seen, _)| of == owner && *seen == held);
        let since = before.map_or(now, |(_, _, since)| *since);
        let is_first = self.seen.as_ref().is_none_or(|(of, _, _)| of != owner);
        let sign = match before {
            Some(_) if now.saturating_sub(since) > lasts => Sign::Gone,
            None if !is_first && held.as_ref().is_some_and(|held| !held.holder.is_empty()) => Sign::Alive,
            _ => Sign::Unchanged,
        };
        self.seen = Some((owner.to_owned(), held, since));
        sign
    }
}

/// How often an operator has written its name into a plan's status, as it does where there is none.
#[derive(Debug, Default)]
pub struct Naming {
    times: u32,
    at: Duration,
}

impl Naming {
    /// Whether it is time to write it. `now`: on any clock that only goes forward.
    pub fn may_write(&self, now: Duration) -> bool {
        let wait = match self.times.checked_sub(NAMED_AT_ONCE) {
            None => Duration::ZERO,
            Some(more) => NAMED_FIRST.saturating_mul(1 << more.min(16)).min(NAMED_LONGEST),
        };
        self.times == 0 || now >= self.at + wait
    }

    pub fn written(&mut self, now: Duration) {
        let before = if now >= self.at + NAME_HOLDS { 0 } else { self.times };
        (self.times, self.at) = (before + 1, now);
    }
}

/// When the owner of a plan has seen last that nobody contests it, or has taken that back, and of which generation.
#[derive(Debug, Default)]
pub struct Uncontested(Option<(u64, Duration)>);

impl Uncontested {
    /// Whether what others say is to be taken back now, as it then is.
    pub fn take_back(&mut self, plan: &Plan, now: Duration) -> bool {
        if self.0.is_some_and(|(generation, at)| generation == plan.generation && now < at + CONTESTED_EACH) {
            return false;
        }
        self.0 = Some((plan.generation, now));
        plan.contested.is_some()
    }
}

/// What a release that leaves a plan to another says in the plan's status. All who do say the same, so that they do not
/// write against each other; but for one that may not read the owner's Lease, which says that as well.
pub fn contested(plan: &Plan, owner: &str, sign: Sign) -> Contested {
    let namespace = &plan.key.namespace;
    let text = format!(
        "this plan belongs to the operator {owner}, and another one that looks after namespace {namespace} leaves it \
         alone. Let only one look after it (value `namespaces` of the chart); to give the plan to the other one, or if \
         {owner} is no longer there, name it: kubectl annotate aplan {} -n {namespace} --overwrite {}=NAMESPACE/NAME",
        plan.name(),
        crate::names::OPERATOR,
    );
    let text = match (sign, owner.split_once('/')) {
        (Sign::Hidden, Some((of, lease))) => format!(
            "{text}. The other one may not read the Lease {lease} in namespace {of}, and so does not notice when {owner} is \
             gone: give it the right to get leases.coordination.k8s.io there, or name it as said"
        ),
        _ => text,
    };
    Contested { generation: plan.generation, text }
}

/// What an operator says whose name is taken away from a plan's status each time that it writes it.
pub fn unnamed(plan: &Plan, us: &str) -> Contested {
    let namespace = &plan.key.namespace;
    let text = format!(
        "the operator {us} leaves this plan alone for a while: something takes its name away from status.operator each time, \
         as an operator of a version without that field does. Let only one look after namespace {namespace}: upgrade or \
         uninstall the other one. It tries again at least every ten minutes"
    );
    Contested { generation: plan.generation, text }
}

/// Whether a plan says this already, or more.
pub fn is_said(plan: &Plan, contested: &Contested) -> bool {
    let said = plan.contested.as_ref();
    said.is_some_and(|said| said.generation == contested.generation && said.text.starts_with(&contested.text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world;
    use serde_json::json;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_plan_is_the_first_ones_until_a_person_names_another() {
        let other = |name| Owner::Other { name, is_named: false };
        let named = |name| Owner::Other { name, is_named: true };
        for (annotation, status, expected) in [
            (None, None, Owner::Nobody),
            (None, Some("a/o"), Owner::Us),
            (None, Some("b/o"), other("b/o")),
            (Some("a/o"), None, Owner::Nobody),
            (Some("a/o"), Some("a/o"), Owner::Us),
            (Some("a/o"), Some("b/o"), Owner::Nobody),
            (Some("b/o"), None, named("b/o")),
            (Some("b/o"), Some("a/o"), named("b/o")),
            (Some("b/o"), Some("c/o"), named("b/o")),
        ] {
            let mut object = world::flights();
            if let Some(name) = annotation {
                object["metadata"]["annotations"] = json!({"shoal.dev/operator": name});
            }
            object["status"] = json!({"operator": status});
            assert_eq!(owner(&world::plan(&object), "a/o"), expected, "{annotation:?} {status:?}");
        }
        // The status of another version of the operator says it too.
        let mut object = world::flights();
        object["status"] = json!({"operator": "b/o", "conditions": "of another kind"});
        assert_eq!(owner(&world::plan(&object), "a/o"), other("b/o"));
    }

    fn held(holder: &str, version: u32) -> Held {
        let lease = if holder == "slow" { s(60) } else { LEASE };
        Held { holder: holder.into(), resource_version: version.to_string(), lease, transitions: 1 }
    }

    #[test]
    fn an_owner_is_gone_when_its_lease_was_seen_unchanged_for_longer_than_it_lasts() {
        let mut watch = Watch::default();
        for (second, seen, sign) in [
            (0, Some(held("x", 1)), Sign::Unchanged),
            (5, Some(held("x", 2)), Sign::Alive),
            (20, Some(held("x", 2)), Sign::Unchanged),
            (21, Some(held("x", 2)), Sign::Gone),
            // It was away, and is there again.
            (22, Some(held("x", 3)), Sign::Alive),
            // Let go, and taken up by another one of the same release.
            (30, Some(held("", 4)), Sign::Unchanged),
            (45, Some(held("", 4)), Sign::Unchanged),
            (46, Some(held("y", 5)), Sign::Alive),
            (50, None, Sign::Unchanged),
            (65, None, Sign::Unchanged),
            (66, None, Sign::Gone),
            (70, Some(held("slow", 6)), Sign::Alive),
            (130, Some(held("slow", 6)), Sign::Unchanged),
            (131, Some(held("slow", 6)), Sign::Gone),
        ] {
            assert_eq!(watch.look("b/o", seen, s(second)), sign, "after {second} s");
        }
        // What was seen of one says nothing of another.
        assert_eq!(watch.look("c/o", Some(held("slow", 6)), s(500)), Sign::Unchanged);
    }

    #[test]
    fn a_name_that_is_taken_away_each_time_is_written_ever_more_rarely() {
        let mut naming = Naming::default();
        let mut written = Vec::new();
        for second in 0..2_000 {
            if naming.may_write(s(second)) {
                naming.written(s(second));
                written.push(second);
            }
        }
        assert_eq!(written, [0, 1, 2, 12, 32, 72, 152, 312, 632, 1232, 1832]);
        // One that has held is written at once when it is gone.
        assert!(!naming.may_write(s(2_000)));
        naming.written(s(10_000));
        assert!(naming.may_write(s(10_000)));
    }

    #[test]
    fn what_others_say_is_taken_back_once_for_each_generation_and_now_and_then() {
        let plan = |generation: u64, said: bool| {
            let mut object = world::flights();
            object["metadata"]["generation"] = generation.into();
            if said {
                object["status"] = json!({"conditions": [{"type": "Contested", "message": "x"}]});
            }
            world::plan(&object)
        };
        let mut uncontested = Uncontested::default();
        for (second, generation, said, expected) in [
            (0, 1, false, false),
            (5, 1, true, false),
            (599, 1, true, false),
            (600, 1, true, true),
            (601, 1, true, false),
            (601, 2, true, true),
            (1_200, 2, true, false),
            (1_201, 2, false, false),
            (1_202, 2, true, false),
            (1_801, 2, true, true),
        ] {
            assert_eq!(
                uncontested.take_back(&plan(generation, said), s(second)),
                expected,
                "after {second} s"
            );
        }
    }

    #[test]
    fn operators_that_leave_a_plan_alone_do_not_write_against_each_other() {
        let mut plan = world::plan(&world::flights());
        let (plain, hidden) = (contested(&plan, "a/o", Sign::Alive), contested(&plan, "a/o", Sign::Hidden));
        assert!(hidden.text.contains("may not read the Lease o in namespace a"), "{}", hidden.text);
        assert!(!is_said(&plan, &plain));
        plan.contested = Some(plain.clone());
        assert!(is_said(&plan, &plain) && !is_said(&plan, &hidden));
        plan.contested = Some(hidden.clone());
        assert!(is_said(&plan, &plain) && is_said(&plan, &hidden));
        assert!(!is_said(&plan, &contested(&plan, "b/o", Sign::Alive)));
        plan.generation += 1;
        assert!(!is_said(&plan, &contested(&plan, "a/o", Sign::Alive)));
    }
}
