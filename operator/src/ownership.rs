//! Which of several releases of the operator looks after a plan.
//!
//! *Guarantees.* A plan has one owner: its name stands in the plan's status, where it is written by compare-and-swap
//! before anything else is. Another release takes a plan over only when the owner's Lease was seen to be gone, free or
//! not renewed for longer than a Lease lasts, or when a person has named it. *Assumptions.* Of one release, only the
//! holder of its Lease acts.

use crate::lease::{Held, LEASE};
use crate::plan::{Contested, Plan};
use std::time::Duration;

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
    /// It was renewed, or cannot be read.
    Alive,
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

/// What a release that leaves a plan to another says in the plan's status. All who do say the same, so that they do not
/// write against each other.
pub fn contested(plan: &Plan, owner: &str) -> Contested {
    let namespace = &plan.key.namespace;
    let text = format!(
        "this plan belongs to the operator {owner}, and another one that looks after namespace {namespace} leaves it \
         alone. Let only one look after it (value `namespaces` of the chart); to give the plan to the other one, or if \
         {owner} is no longer there, name it: kubectl annotate aplan {} -n {namespace} --overwrite {}=NAMESPACE/NAME",
        plan.name(),
        crate::names::OPERATOR,
    );
    Contested { generation: plan.generation, text }
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
}
