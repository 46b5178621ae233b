//! Nodes that are not as they should be, and pods that do not come.

use super::*;

#[test]
fn a_node_with_another_store_is_given_nothing() {
    let mut world = World::settled();
    let node = world.nodes.get_mut(&1).unwrap();
    (node.store, node.revision, node.generation, node.slots_owned) = (77, 0, 0, 0);
    check(&world, &expect!["report\n"]);
    world.settle();
    let text = world.condition("Degraded");
    assert!(
        text.starts_with(&format!("True StoreExchanged: pod flights-1 has store {}", StoreId(77))),
        "{text}"
    );
    assert!(world.condition("Ready").starts_with("False StoreExchanged"));
    assert_eq!(world.status().slots.unwrap().owned, 2731);
}

#[test]
fn what_is_wrong_with_a_node_is_said_and_the_node_is_left_alone() {
    let check = |change: fn(&mut crate::world::Node), reason: &str| {
        let mut world = World::settled();
        change(world.nodes.get_mut(&2).unwrap());
        let steps = world.settle();
        assert!(steps.iter().all(|step| step == "report"), "{reason}: {steps:?}");
        let degraded = world.condition("Degraded");
        assert!(degraded.starts_with(&format!("True {reason}: pod flights-2")), "{degraded}");
    };
    check(|node| node.incarnation = 0, "RolledBack");
    check(|node| node.has_certificates = false, "PodsWithoutCertificates");
    check(|node| node.plan_uid = "another".into(), "VolumesOfAnotherPlan");
    check(|node| node.generation = 9, "PlanOlder");
    check(|node| node.life = Life::Failing("Error: no".into()), "NodeFails");
}

#[test]
fn pods_that_do_not_come_are_asked_after_by_their_events() {
    let mut world = World::new(flights());
    world.settle_without_pods();
    world.parts.get_mut(&Part::StatefulSet).unwrap()["metadata"]["uid"] = "the-set".into();
    world.start(0);
    world.nodes.get_mut(&0).unwrap().life = Life::Pending(String::new());
    assert_eq!(world.next().unexplained.into_iter().collect::<Vec<_>>(), ["pod-0", "the-set"]);
    let mut seen = world.seen();
    let said = [("pod-0", "a volume does not attach"), ("the-set", "exceeded quota: few")];
    seen.warnings = said.map(|(uid, text)| (uid.to_owned(), text.to_owned())).into();
    let next = toward(&world.plan(), &seen, &crate::world::settings(), crate::world::at(0));
    // What events have said is no reason to stop asking: it may be over.
    assert_eq!(next.unexplained.len(), 2);
    let status = next.report.unwrap().status;
    let ready = status.conditions.iter().find(|one| one.type_ == "Ready").unwrap();
    assert_eq!(
        ready.message,
        "starting: node 0: a volume does not attach, node 1: exceeded quota: few, node 2: exceeded quota: few"
    );
}
