//! What comes of a plan's ring: lost, put back, older than what nodes have.

use super::{all_of, check, steps};
use crate::ring;
use crate::world::{Node, UID, World, flights};
use bytes::Bytes;
use expect_test::expect;
use proto::ring::Ring;
use serde_json::json;

fn ring_of(world: &World) -> Ring {
    Ring::decode(world.ring.as_ref().unwrap()).unwrap()
}

/// A newer ring than the one that was begun, in force.
fn risen() -> (World, Bytes) {
    let mut world = World::settled();
    let older = world.ring.clone().unwrap();
    let ring = Ring::decode(&older).unwrap();
    let newer = ring.raised(0, ring.members.clone(), 0, "a later one").unwrap();
    world.ring = Some(Ring { nonce: 7, ..newer }.encode().into());
    world.settle();
    assert_eq!((world.status().revision, world.nodes[&0].revision), (Some(2), 2));
    (world, older)
}

fn empty(node: &mut Node, store: u128) {
    (node.store, node.revision, node.generation, node.had_ring) = (store, 0, 0, false);
    (node.given, node.slots_owned) = (None, 0);
}

#[test]
fn a_lost_ring_is_written_again_as_nodes_have_it_when_all_its_stores_have_reported() {
    let (mut world, _) = risen();
    let ring = world.ring.take();
    let lost = world.nodes.remove(&1).unwrap();
    world.pods_start = false;
    world.settle();
    assert_eq!(world.ring, None);
    let degraded = world.condition("Degraded");
    assert!(degraded.starts_with("True RingMissing: the ConfigMap flights-ring is missing. "), "{degraded}");
    assert!(degraded.contains("continue with the ring that they have (revision 2)"), "{degraded}");
    assert!(degraded.contains("have reported: data-flights-1. "), "{degraded}");
    // Another volume is not the one that the ring names.
    world.nodes.insert(
        1,
        Node { store: 77, had_ring: false, revision: 0, generation: 0, given: None, ..lost.clone() },
    );
    world.settle();
    assert_eq!(world.ring, None);
    world.nodes.insert(1, lost);
    check(
        &world,
        &expect![[r"
            write the ring that nodes go by, at revision 2
            report
        "]],
    );
    world.settle();
    assert_eq!(world.ring, ring);
    assert!(world.condition("Degraded").starts_with("False Healthy"));
    assert!(world.condition("Ready").starts_with("True Serving"));
}

#[test]
fn a_ring_of_which_nothing_is_told_is_never_begun_anew() {
    // The status says that there was one, and no node answers.
    let mut world = World::settled();
    (world.ring, world.pods_start) = (None, false);
    let nodes = std::mem::take(&mut world.nodes);
    world.settle();
    assert_eq!(world.ring, None);
    let degraded = world.condition("Degraded");
    let text = "There was a ring of revision 1 or higher. Nodes that have it continue with it, and the operator writes it \
                there again when these have said which they have: flights-0, flights-1, flights-2. ";
    assert!(degraded.contains(text), "{degraded}");
    // The status was lost as well, and one of the stores had one.
    world.object["status"].take();
    world.nodes.clone_from(&nodes);
    for (ordinal, node) in &mut world.nodes {
        let had_ring = *ordinal == 1;
        empty(node, node.store);
        node.had_ring = had_ring;
    }
    world.settle();
    assert_eq!(world.ring, None);
    assert!(
        world.condition("Degraded").contains("the file `configuration`"),
        "{}",
        world.condition("Degraded")
    );
    // All volumes were emptied.
    let mut world = World::settled();
    world.ring = None;
    world.nodes.values_mut().for_each(|node| empty(node, node.store + 900));
    world.settle();
    assert_eq!(world.ring, None);
    assert!(world.condition("Degraded").contains("their volumes are new"), "{}", world.condition("Degraded"));
    // Nodes of an earlier version do not tell it.
    let mut world = World::settled();
    world.ring = None;
    world.nodes.values_mut().for_each(|node| node.given = None);
    world.settle();
    assert_eq!(world.ring, None);
    assert!(world.condition("Degraded").contains("A node of an earlier version"));
}

/// A plan whose first ring is there, and whose nodes refuse it.
fn refused() -> World {
    let mut world = World::new(flights());
    world.pods_start = false;
    world.settle();
    world.pods_start = true;
    (0..3).for_each(|ordinal| world.start(ordinal));
    for done in all_of(world.next()) {
        world.does(done);
    }
    let next = world.next();
    world.does(crate::world::Done::Report(next.report.unwrap()));
    assert_eq!((world.status().revision, world.nodes[&0].revision), (Some(1), 0));
    world
}

#[test]
fn a_ring_that_went_before_any_node_had_it_is_not_begun_again() {
    // Some nodes may have served by it, and their volumes may be gone with it.
    let mut world = refused();
    world.ring = None;
    world.settle();
    assert_eq!(world.ring, None);
    let degraded = world.condition("Degraded");
    assert!(degraded.starts_with("True RingMissing") && degraded.contains("delete the plan"), "{degraded}");
}

#[test]
fn a_ring_over_adopted_volumes_that_went_before_any_node_had_it_is_made_beyond_it() {
    let mut world = super::adoption::adopting();
    // Its nodes have reported what they hold, and are given nothing.
    for _ in 0..8 {
        let next = world.next();
        for done in all_of(next).filter(|done| !matches!(done, crate::world::Done::Given(_))) {
            world.does(done);
        }
    }
    assert_eq!((world.status().revision, world.nodes[&0].revision), (Some(2), 1));
    world.ring = None;
    let lost = world.nodes.remove(&1).unwrap();
    world.pods_start = false;
    let text =
        "the adopted volumes are served when the stores of these claims have reported too: data-flights-1";
    let next = world.next();
    world.does(crate::world::Done::Report(next.report.unwrap()));
    assert!(world.condition("Ready").contains(text), "{}", world.condition("Ready"));
    world.nodes.insert(1, lost);
    world.settle();
    assert_eq!((ring_of(&world).revision, ring_of(&world).slots[0].epoch), (3, 3));
    assert!(world.condition("Ready").starts_with("True Serving"), "{}", world.condition("Ready"));
}

#[test]
fn an_older_ring_that_is_put_back_is_not_used_and_the_newest_is_written_over_it() {
    let (mut world, older) = risen();
    let ring = world.ring.replace(older.clone());
    check(
        &world,
        &expect![[r"
            write the ring that nodes go by, at revision 2, in place of an older one
            report
        "]],
    );
    world.settle();
    assert_eq!(world.ring, ring);
    // Not before all of its stores have reported.
    let lost = world.nodes.remove(&1).unwrap();
    (world.ring, world.pods_start) = (Some(older.clone()), false);
    world.edit(|spec| spec["agents"][0]["rules"][0]["do"][0]["set"]["to"] = "flights + 2".into());
    let taken = world.settle();
    assert!(!taken.iter().any(|step| step.contains("give") || step.contains("write")), "{taken:?}");
    let degraded = world.condition("Degraded");
    let text = "True RingOlder: the ConfigMap flights-ring has revision 1, which is older than the ring that was in force \
                last, and is not used";
    assert!(degraded.starts_with(text) && degraded.contains("data-flights-1"), "{degraded}");
    // Nor when no node answers: the status knows of the newer one.
    let nodes = std::mem::take(&mut world.nodes);
    world.settle();
    assert!(world.condition("Degraded").starts_with("True RingOlder"));
    world.nodes = nodes;
    world.nodes.insert(1, lost);
    world.settle();
    assert_eq!(world.ring, ring);
    assert_eq!(world.status().accepted_generation, Some(2));
    // Another one of the same revision is not the one in force either.
    let other = Ring { nonce: 99, ..ring_of(&world) };
    world.ring = Some(other.encode().into());
    world.settle();
    assert_eq!(world.ring, ring);
}

#[test]
fn an_older_ring_that_comes_back_again_and_again_is_overwritten_ever_more_rarely() {
    let (mut world, older) = risen();
    let mut answers = crate::answers::Answers::default();
    let mut written = Vec::new();
    for second in 0..100 {
        let now = std::time::Duration::from_secs(second);
        world.ring = Some(older.clone());
        world.answered = answers.seen(now);
        let next = world.next();
        let step = next.steps.iter().find(|step| matches!(step, crate::steps::Step::RestoreRing(_)));
        match step {
            Some(crate::steps::Step::RestoreRing(one)) => {
                written.push(second);
                answers.note_changes("ConfigMap flights-ring".to_owned(), one.hash(), Vec::new(), now);
            }
            _ => assert_eq!(next.pace, crate::steps::Pace::Obstructed),
        }
        next.report.into_iter().for_each(|report| world.does(crate::world::Done::Report(report)));
    }
    assert_eq!(written, [0, 1, 2, 4, 8, 16, 32, 64]);
    let degraded = world.condition("Degraded");
    assert!(degraded.contains("exempt the ConfigMap flights-ring from that tool"), "{degraded}");
}

#[test]
fn the_ring_of_the_plan_before_that_is_put_back_while_volumes_are_adopted_is_not_in_force() {
    let before = World::settled().ring;
    let mut world = super::adoption::adopting();
    world.ring = before;
    let taken = world.settle();
    let revisions =
        |world: &World| (ring_of(world).revision, world.nodes[&0].revision, world.status().revision);
    assert_eq!(revisions(&world), (2, 2, Some(2)), "{taken:#?}");
    assert!(world.condition("Ready").starts_with("True Serving"), "{}", world.condition("Ready"));
    // It is known for what it is only when stores say so.
    let (mut world, lost) = super::adoption::adopting_without_node_1();
    world.ring = World::settled().ring;
    let nodes = std::mem::take(&mut world.nodes);
    world.pods_start = false;
    let taken = world.settle();
    assert!(!taken.iter().any(|step| step.contains("give") || step.contains("ring")), "{taken:?}");
    assert_eq!(world.status().revision, None);
    world.nodes = nodes;
    world.settle();
    assert!(world.condition("Degraded").starts_with("True RingOlder"), "{}", world.condition("Degraded"));
    assert_eq!((world.status().revision, ring_of(&world).revision), (None, 1));
    world.ended.insert(1, lost);
    world.pods_start = true;
    world.start(1);
    world.settle();
    assert_eq!(ring_of(&world).revision, 2);
    assert!(world.condition("Ready").starts_with("True Serving"), "{}", world.condition("Ready"));
}

#[test]
fn a_ring_that_cannot_be_read_is_left_as_it_is_and_told_to_nobody() {
    let other = Ring::begin("another", ring_of(&World::settled()).members, 4096, 1);
    for bytes in [Bytes::new(), Bytes::from_static(b"SHRG and nothing"), other.encode().into()] {
        let mut world = World::settled();
        world.ring = Some(bytes.clone());
        world.nodes.get_mut(&0).unwrap().generation = 0;
        world.settle();
        assert!(world.condition("Degraded").starts_with("True RingUnreadable"));
        assert_eq!((world.nodes[&0].generation, world.ring), (0, Some(bytes)));
    }
}

#[test]
fn the_number_of_nodes_is_that_of_the_newest_ring() {
    let (mut world, older) = risen();
    let few = Ring::decode(&older).unwrap();
    world.ring = Some(Ring::begin(UID, few.members[..2].to_vec(), 4096, 3).encode().into());
    world.edit(|spec| spec["pods"] = json!({"nodeSelector": {"disk": "ssd"}}));
    let newest = ring::newest_seen(&world.plan(), &world.seen()).unwrap();
    assert_eq!((newest.revision, newest.members.len()), (2, 3));
    world.settle();
    assert_eq!(world.parts[&crate::parts::Part::StatefulSet]["spec"]["replicas"], 3);
}

#[test]
fn a_ring_is_begun_only_when_every_store_has_reported() {
    let mut world = World::new(flights());
    world.settle_without_pods();
    for (ordinal, begins) in [(0, false), (2, false), (1, true)] {
        world.start(ordinal);
        let steps = steps(&world);
        assert_eq!(steps.contains("begin a ring"), begins, "with node {ordinal}: {steps}");
    }
}

#[test]
fn stores_that_are_not_the_plans_or_come_twice_begin_no_ring() {
    let without = |change: fn(&mut World)| {
        let mut world = World::new(flights());
        world.settle_without_pods();
        (0..3).for_each(|ordinal| world.start(ordinal));
        change(&mut world);
        world.settle();
        world.ring.is_none()
    };
    assert!(!without(|_| {}));
    assert!(without(|world| world.nodes.get_mut(&1).unwrap().plan_uid = "another".into()));
    assert!(without(|world| world.nodes.get_mut(&1).unwrap().store = 100));
}

#[test]
fn a_node_is_told_of_a_ring_only_when_its_config_map_was_read() {
    let mut world = World::new(flights());
    world.settle_without_pods();
    (0..3).for_each(|ordinal| world.start(ordinal));
    let before = world.clone();
    for done in all_of(world.next()) {
        world.does(done);
    }
    assert!(world.ring.is_some() && !steps(&before).contains("give"));
    assert!(steps(&world).contains("give node 0"));
}

#[test]
fn a_ring_that_all_nodes_go_by_is_gone_beyond_when_the_status_knows_of_a_newer_one() {
    let mut world = World::settled();
    world.object["status"]["revision"] = json!(4);
    let taken = world.settle();
    assert!(taken.contains(&"give node 0 generation 1".to_owned()), "{taken:#?}");
    let ring = ring_of(&world);
    assert_eq!((ring.revision, ring.parent, world.nodes[&2].revision), (5, 1, 5));
    assert!(world.condition("Degraded").starts_with("False Healthy"), "{}", world.condition("Degraded"));
}

#[test]
fn what_the_volume_of_another_plan_holds_puts_no_ring_out_of_force() {
    let (mut world, _) = risen();
    let foreign = Ring { revision: 9, ..ring_of(&world) };
    let node = world.nodes.get_mut(&1).unwrap();
    (node.given, node.revision) = (Some((foreign.encode().into(), "another".into())), 9);
    world.edit(|spec| spec["agents"][0]["rules"][0]["do"][0]["set"]["to"] = "flights + 2".into());
    let taken = world.settle();
    assert!(taken.contains(&"give node 0 generation 2".to_owned()), "{taken:#?}");
    assert_eq!((world.status().revision, ring_of(&world).revision), (Some(2), 2));
}

#[test]
fn rings_that_are_to_follow_the_same_one_are_one_wish() {
    let (world, _) = risen();
    let ring = ring_of(&world);
    let raised = |above| ring.raised(above, ring.members.clone(), 0, "one").unwrap();
    assert_eq!(ring::hash(&raised(0)), ring::hash(&raised(8)));
    assert_ne!(ring::hash(&ring), ring::hash(&Ring { nonce: 8, ..ring.clone() }));
}
