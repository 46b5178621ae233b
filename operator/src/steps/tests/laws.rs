//! Whatever is lost, and wherever the operator ends, the end is the same.

use crate::parts::Part;
use crate::world::{UID, World, all_of, flights};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};
use proto::ring::Ring;
use serde_json::{Value, json};

/// A plan of one rule and few slots: what agents do changes no step, and half of a case would be reading it again.
fn small() -> Value {
    let mut object = flights();
    object["spec"]["slots"] = 256.into();
    let mut plane = object["spec"]["agents"][2].take();
    plane["rules"][0]["do"].as_array_mut().unwrap().truncate(1);
    object["spec"]["agents"] = json!([plane]);
    object
}

/// A law of which each case is a whole run of a cluster, of 20 ms and more: it gets a quarter of the `PROPTEST_CASES`
/// that are asked for, or as many as any other law where those are few. (`proptest!` leaves no law a choice.)
fn whole_runs<S: Strategy>(of: S, law: impl Fn(S::Value) -> TestCaseResult) {
    const FEW: u32 = 256;
    let asked = ProptestConfig::default();
    let cases = (asked.cases / 4).max(asked.cases.min(FEW));
    let config = ProptestConfig { cases, source_file: Some(file!()), ..asked };
    if let Err(error) = TestRunner::new(config).run(&of, law) {
        panic!("{error}");
    }
}

/// Each pair: how many of the steps are taken before the operator ends and begins again, and what happens then.
fn turns() -> impl Strategy<Value = Vec<(usize, u8)>> {
    prop::collection::vec((0..8_usize, any::<u8>()), 0..24)
}

impl World {
    /// What others do to a cluster meanwhile, all of which can be mended without a person.
    fn disturb(&mut self, what: u8) {
        let ordinal = u16::from(what) % 3;
        match what % 12 {
            0 => self.pods_start = !self.pods_start,
            1 if self.parts.contains_key(&Part::StatefulSet) => {
                (0..3).for_each(|ordinal| self.start(ordinal));
            }
            2 if self.nodes.contains_key(&ordinal) => self.restart(ordinal),
            3 => drop(self.parts.remove(&Part::ClientService)),
            4 => drop(self.parts.remove(&Part::NetworkPolicy)),
            5 => self.edit(|spec| spec["pods"] = json!({"nodeSelector": {"n": what.to_string()}})),
            6 => self.edit(|spec| {
                spec["agents"][0]["rules"][0]["do"][0]["set"]["to"] = format!("flights + {what}").into();
            }),
            7 => self.authority = None,
            8 => self.certificates = None,
            9 => self.spread(),
            10 => self.second += 100 * 24 * 60 * 60,
            _ => {}
        }
    }

    /// So many of the steps are taken before the operator ends and begins again, and then this happens.
    fn goes_on(&mut self, count: usize, what: u8) {
        for done in all_of(self.next()).take(count) {
            self.does(done);
        }
        self.disturb(what);
    }

    /// All pods come, and nobody disturbs anything any more.
    fn comes_to_its_end(&mut self) {
        self.settle();
        (0..3).for_each(|ordinal| self.start(ordinal));
        // Once for the bundle, once for the certificate.
        for _ in 0..2 {
            self.settle();
            self.spread();
        }
        self.settle();
    }
}

#[test]
fn a_crash_between_any_two_steps_changes_nothing_in_the_end() {
    whole_runs(turns(), |turns| {
        let mut world = World::new(small());
        for (count, what) in turns {
            world.goes_on(count, what);
        }
        world.comes_to_its_end();
        prop_assert!(world.next().is_empty());
        let status = world.status();
        let generation = world.plan().generation as i64;
        prop_assert_eq!((status.ready_replicas, status.revision), (3, Some(1)));
        prop_assert_eq!(
            (status.accepted_generation, status.observed_generation),
            (Some(generation), Some(generation))
        );
        prop_assert!(world.condition("Ready").starts_with("True Serving"));
        prop_assert!(world.condition("Degraded").starts_with("False Healthy"));
        // Whatever came between, the objects are those of a plan that was made in one go.
        let mut at_once = World::new(world.object.clone());
        at_once.object["status"].take();
        at_once.settle();
        for part in Part::ALL {
            let spec = |world: &World| world.parts[&part]["spec"].clone();
            prop_assert_eq!(spec(&world), spec(&at_once));
        }
        Ok(())
    });
}

/// The same of a plan that adopts the volumes of the one before it: its ring goes on, and never turns back.
#[test]
fn a_crash_while_volumes_are_adopted_changes_nothing_in_the_end() {
    whole_runs(turns(), |turns| {
        let mut world = World::new(small());
        world.settle();
        world.apply_again("another");
        world.edit(|spec| spec["recovery"] = json!({"adoptVolumesOf": UID}));
        for (count, what) in turns {
            world.goes_on(count, what);
            let served =
                world.seen().answers.values().flatten().map(|report| report.slots_serving).sum::<u32>();
            prop_assert!(served == 0 || world.ring.is_some());
        }
        world.comes_to_its_end();
        let ring = Ring::decode(&world.ring.clone().unwrap()).unwrap();
        prop_assert_eq!((ring.revision, ring.base, ring.plan_uid.as_str()), (2, 1, UID));
        prop_assert!(world.condition("Ready").starts_with("True Serving"));
        prop_assert!(world.condition("Degraded").starts_with("False Healthy"));
        prop_assert_eq!(world.status().accepted_generation, Some(world.plan().generation as i64));
        Ok(())
    });
}

/// A ring that is lost, or that an older one is put in the place of, comes back as it was, whatever becomes of the rest,
/// and no other is ever begun.
#[test]
fn no_second_ring_is_ever_begun() {
    let lost = prop::collection::vec((0..6_u8, 0..3_u16), 1..12);
    whole_runs((any::<bool>(), lost), |(adopts, lost)| {
        let mut world = World::new(small());
        world.settle();
        let older = world.ring.clone();
        if adopts {
            world.apply_again("another");
            world.edit(|spec| spec["recovery"] = json!({"adoptVolumesOf": UID}));
            world.settle();
        }
        let ring = world.ring.take();
        prop_assert_eq!(ring == older, !adopts);
        let all = world.nodes.clone();
        for (what, ordinal) in lost {
            match what {
                0 => {
                    world.nodes.remove(&ordinal);
                }
                1 => {
                    world.nodes.entry(ordinal).or_insert_with(|| all[&ordinal].clone());
                }
                2 => {
                    world.parts.remove(&Part::StatefulSet);
                }
                3 => world.ring = None,
                4 => world.ring.clone_from(&older),
                // An emptied volume.
                _ => {
                    if let Some(node) = world.nodes.get_mut(&ordinal) {
                        (node.store, node.revision, node.had_ring) = (900 + u128::from(ordinal), 0, false);
                        (node.generation, node.given, node.slots_owned) = (0, None, 0);
                    }
                }
            }
            world.settle();
            let is_back = world.ring == ring;
            let nothing_new = is_back || world.ring.is_none() || world.ring == older;
            prop_assert!(nothing_new, "{:?}", world.ring);
            let wrong = !world.condition("Degraded").starts_with("False Healthy");
            prop_assert!(is_back || wrong, "{}", world.condition("Degraded"));
        }
        world.nodes = all;
        world.settle();
        prop_assert_eq!(&world.ring, &ring);
        prop_assert!(world.condition("Ready").starts_with("True Serving"), "{}", world.condition("Ready"));
        Ok(())
    });
}
