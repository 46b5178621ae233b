//! Which steps follow from a plan and what is seen, one situation after the other.

use super::*;
use crate::names;
use crate::observed::{Life, Volume};
use crate::parts;
use crate::reason::Reason;
use crate::world::{Node, UID, World, all_of, flights};
use expect_test::{Expect, expect};
use proto::plan::Quantity;
use proto::ring::{Ring, StoreId};
use serde_json::json;

mod laws;
mod rings;

fn steps(world: &World) -> String {
    all_of(world.next()).fold(String::new(), |text, done| text + &format!("{done}\n"))
}

fn check(world: &World, expected: &Expect) {
    expected.assert_eq(&steps(world));
}

#[test]
fn a_new_plan_is_made_in_the_order_in_which_its_objects_need_each_other() {
    let mut world = World::new(flights());
    expect![[r#"
        [
            "make the CA",
            "apply ServiceAccount flights-node",
            "apply Service flights-nodes",
            "apply Service flights",
            "apply NetworkPolicy flights",
            "apply PodDisruptionBudget flights",
            "report",
            "make the nodes' certificate: there is none",
            "apply StatefulSet flights",
            "begin a ring of 4096 slots on 3 nodes",
            "report",
            "give node 0 generation 1",
            "give node 1 generation 1",
            "give node 2 generation 1",
            "report",
            "report",
        ]
    "#]]
    .assert_debug_eq(&world.settle());
    check(&world, &expect![""]);
    assert_eq!(world.next().pace, Pace::Settled);
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
fn a_change_of_a_rule_goes_to_the_nodes_and_to_no_object() {
    let mut world = World::settled();
    world.edit(|spec| spec["agents"][0]["rules"][0]["do"][0]["set"]["to"] = "flights + 2".into());
    check(
        &world,
        &expect![[r"
            give node 0 generation 2
            give node 1 generation 2
            give node 2 generation 2
            report
        "]],
    );
    world.settle();
    assert_eq!(world.status().accepted_generation, Some(2));
}

#[test]
fn a_change_of_pods_goes_into_the_stateful_set_and_restarts_nothing() {
    let mut world = World::settled();
    world.edit(|spec| spec["pods"] = json!({"nodeSelector": {"disk": "ssd"}}));
    let taken = world.settle();
    assert!(taken.contains(&"apply StatefulSet flights".to_owned()), "{taken:?}");
    let text = "False PodsOutdated: these pods run an older template, and each takes the new one when it is deleted: ";
    assert_eq!(world.condition("Reconciling"), format!("{text}flights-0, flights-1, flights-2"));
    world.restart(1);
    world.settle();
    assert_eq!(world.condition("Reconciling"), format!("{text}flights-0, flights-2"));
    world.restart(0);
    world.restart(2);
    world.settle();
    assert!(world.condition("Reconciling").starts_with("False Settled"));
}

#[test]
fn what_was_changed_or_deleted_by_others_is_put_right() {
    let mut world = World::settled();
    world.parts.remove(&Part::ClientService);
    world.parts.get_mut(&Part::DisruptionBudget).unwrap()["spec"]["maxUnavailable"] = 2.into();
    check(
        &world,
        &expect![[r"
            apply Service flights
            apply PodDisruptionBudget flights
            report
        "]],
    );
}

#[test]
fn another_number_of_nodes_waits_and_the_rest_of_the_plan_goes_on() {
    let mut world = World::settled();
    let set = world.parts[&Part::StatefulSet].clone();
    world.edit(|spec| spec["replicas"] = 5.into());
    world.settle();
    let text = "spec.replicas: the plan has 3 nodes; changing their number to 5 is not supported yet. Set it back to 3; \
                the rest of the plan is applied";
    for condition in ["Degraded", "Stalled"] {
        assert_eq!(world.condition(condition), format!("True NotSupportedYet: {text}"));
    }
    assert_eq!(world.condition("Ready"), "True Serving: 4096 slots are served by 3 nodes");
    assert_eq!(world.parts[&Part::StatefulSet], set);
    world.edit(|spec| spec["agents"][0]["rules"][0]["do"][0]["set"]["to"] = "flights + 2".into());
    world.settle();
    assert_eq!((world.status().accepted_generation, world.status().nodes), (Some(3), Some(3)));
    world.edit(|spec| spec["replicas"] = 3.into());
    world.settle();
    assert!(world.condition("Stalled").starts_with("False Healthy"));
}

#[test]
fn the_number_of_nodes_may_change_until_there_is_a_ring() {
    let mut world = World::new(flights());
    world.settle_without_pods();
    assert_eq!(world.status().nodes, None);
    world.edit(|spec| spec["replicas"] = 2.into());
    world.settle();
    assert_eq!(world.parts[&Part::StatefulSet]["spec"]["replicas"], 2);
    assert_eq!((world.status().nodes, world.status().ready_replicas), (Some(2), 2));
    assert!(world.condition("Ready").starts_with("True"));
}

#[test]
fn another_size_of_volumes_is_said_and_the_rest_of_the_plan_goes_on() {
    let mut world = World::settled();
    let set = world.parts[&Part::StatefulSet].clone();
    world.edit(|spec| spec["storage"]["size"] = "20Gi".into());
    world.settle();
    let text = "spec.storage.size: the volumes have 10Gi; growing them to 20Gi is not supported yet. The volumes keep \
                their size; the rest of the plan is applied";
    assert_eq!(world.condition("Degraded"), format!("True NotSupportedYet: {text}"));
    assert_eq!(world.parts[&Part::StatefulSet], set);
    assert_eq!(world.status().accepted_generation, Some(2));
    world.nodes.remove(&1);
    world.settle();
    assert!(world.condition("Ready").starts_with("False NodesStarting"));
    // The same size in other words is no change.
    world.edit(|spec| spec["storage"]["size"] = "10240Mi".into());
    world.settle();
    assert!(world.condition("Degraded").starts_with("False Healthy"));
}

#[test]
fn a_set_made_anew_has_the_size_of_its_claims() {
    let mut world = World::settled();
    world.edit(|spec| spec["storage"]["size"] = "20Gi".into());
    world.parts.remove(&Part::StatefulSet);
    world.settle();
    let template = "/spec/volumeClaimTemplates/0/spec/resources/requests/storage";
    assert_eq!(world.parts[&Part::StatefulSet].pointer(template), Some(&json!("10Gi")));
    assert!(
        world
            .condition("Degraded")
            .starts_with("True NotSupportedYet: spec.storage.size: the volumes have 10Gi")
    );
    // Volumes that somebody has enlarged are as large as they ask to be, whatever the set says.
    let size = Some(Quantity("20480Mi".into()));
    world.volumes.iter_mut().for_each(|volume| volume.size = size.clone());
    world.settle();
    assert!(world.condition("Degraded").starts_with("False Healthy"));
    world.volumes[2].size = Some(Quantity("15Gi".into()));
    world.settle();
    assert!(world.condition("Degraded").contains("the volumes have 15Gi"));
}

#[test]
fn what_cannot_be_changed_in_a_set_is_left_as_it_is_and_the_rest_is_applied() {
    let mut world = World::settled();
    let set = world.parts.get_mut(&Part::StatefulSet).unwrap();
    // As an earlier version has made it.
    set["metadata"]["annotations"] = json!({names::APPLIED: "another"});
    let claims = &mut set["spec"]["volumeClaimTemplates"][0]["metadata"]["labels"];
    *claims = json!({"app.kubernetes.io/instance": "flights", "shoal.dev/plan": "flights"});
    set["spec"]["podManagementPolicy"] = "OrderedReady".into();
    let before = set.clone();
    check(&world, &expect!["apply StatefulSet flights\n"]);
    world.settle();
    let after = &world.parts[&Part::StatefulSet];
    for field in parts::IMMUTABLE {
        assert_eq!(after["spec"][field], before["spec"][field], "{field}");
    }
    // Another template goes into it.
    world.edit(|spec| spec["pods"] = json!({"nodeSelector": {"disk": "ssd"}}));
    world.settle();
    let selector = "/spec/template/spec/nodeSelector/disk";
    assert_eq!(world.parts[&Part::StatefulSet].pointer(selector), Some(&json!("ssd")));
}

#[test]
fn volumes_go_with_the_plan_when_it_says_so() {
    let mut world = World::settled();
    world
        .edit(|spec| spec["storage"]["retention"] = json!({"whenDeleted": "Delete", "whenScaled": "Delete"}));
    world.volumes.push(Volume {
        name: "data-flights-9".into(),
        plan_uid: Some("another".into()),
        ..Volume::default()
    });
    check(
        &world,
        &expect![[r"
        patch PersistentVolumeClaim data-flights-0
        patch PersistentVolumeClaim data-flights-1
        patch PersistentVolumeClaim data-flights-2
        give node 0 generation 2
        give node 1 generation 2
        give node 2 generation 2
        report
    "]],
    );
    world.settle();
    let owners = |world: &World| world.volumes.iter().map(|volume| volume.owners.len()).collect::<Vec<_>>();
    assert_eq!(owners(&world), [1, 1, 1, 0]);
    assert!(
        world.condition("Degraded").starts_with("True NotSupportedYet: spec.storage.retention.whenScaled")
    );
    // A plan that is wrong changes nothing.
    world.edit(|spec| {
        spec["storage"]["retention"] = json!({"whenDeleted": "Retain"});
        spec["agents"][0]["rules"][0]["do"][0]["set"]["to"] = "flights +".into();
    });
    world.settle();
    assert_eq!(owners(&world), [1, 1, 1, 0]);
    world.edit(|spec| spec["agents"][0]["rules"][0]["do"][0]["set"]["to"] = "flights + 1".into());
    world.settle();
    assert_eq!(owners(&world), [0, 0, 0, 0]);
}

#[test]
fn an_invalid_plan_changes_nothing_and_says_where() {
    let mut world = World::settled();
    let parts = world.parts.clone();
    world.edit(|spec| {
        spec["pods"] = json!({"nodeSelector": {"disk": "ssd"}});
        spec["agents"][0]["rules"][0]["do"][0]["set"]["to"] = "flights +".into();
    });
    check(&world, &expect!["report\n"]);
    world.settle();
    let accepted = world.condition("Accepted");
    assert!(accepted.starts_with("False InvalidPlan: spec.agents[0].rules[0].do[0].set.to"), "{accepted}");
    assert_eq!(world.parts, parts);
    // What it does not say anything of is made again.
    world.parts.remove(&Part::ClientService);
    world.parts.remove(&Part::StatefulSet);
    check(
        &world,
        &expect![[r"
        apply Service flights
        report
    "]],
    );
    let mut never_valid = World::new(world.object.clone());
    never_valid.object["status"].take();
    never_valid.settle();
    assert!(never_valid.parts.is_empty());
    assert!(never_valid.condition("Ready").starts_with("False InvalidPlan"));
    assert!(never_valid.condition("Stalled").starts_with("True InvalidPlan"));
}

#[test]
fn a_paused_plan_has_nothing_changed_but_its_status() {
    let mut world = World::settled();
    world.edit(|spec| spec["management"] = "Paused".into());
    world.parts.remove(&Part::NetworkPolicy);
    check(&world, &expect!["report\n"]);
    world.settle();
    assert!(world.condition("Paused").starts_with("True Paused"));
    assert!(world.condition("Ready").starts_with("True"));
    world.edit(|spec| spec["management"] = "Managed".into());
    assert!(steps(&world).contains("apply NetworkPolicy flights\ngive node 0 generation 3"));
    let mut new = World::new(flights());
    new.edit(|spec| spec["management"] = "Paused".into());
    new.settle();
    assert!(new.parts.is_empty() && new.authority.is_none());
    assert!(new.condition("Ready").starts_with("False Paused"));
}

#[test]
fn volumes_of_another_plan_are_left_alone_until_a_person_deletes_them() {
    let mut world = World::new(flights());
    let of = |uid: &str, is_going| Volume {
        name: "data-flights-1".into(),
        plan_uid: Some(uid.into()),
        is_going,
        ..Volume::default()
    };
    world.volumes = vec![of("the-one-before", false)];
    world.settle();
    assert!(world.parts.is_empty() && world.authority.is_none());
    let text = "the claims data-flights-1 hold the data of an earlier plan of this name (uid the-one-before); nothing \
                is started over them. To go on with that data: kubectl shoal adopt flights -n default --volumes-of \
                the-one-before. To begin anew, delete these claims, and with them that data: kubectl delete pvc -n \
                default -l shoal.dev/plan=flights,shoal.dev/plan-uid=the-one-before";
    for (condition, status) in [("Degraded", "True"), ("Ready", "False")] {
        assert_eq!(world.condition(condition), format!("{status} VolumesOfAnotherPlan: {text}"));
    }
    assert_eq!(world.next().pace, Pace::Obstructed);
    world.volumes = vec![of("the-one-before", true)];
    world.settle();
    assert!(world.condition("Reconciling").starts_with("True LeftoversGoing"));
    world.volumes.clear();
    world.settle();
    assert!(world.condition("Ready").starts_with("True"));
}

/// A plan that was deleted and applied again, and is to go on with its volumes.
fn adopting() -> World {
    let mut world = World::settled();
    world.edit(|spec| spec["pods"] = json!({"nodeSelector": {"disk": "fast"}}));
    world.settle();
    world.apply_again("another");
    world.edit(|spec| spec["recovery"] = json!({"adoptVolumesOf": UID}));
    world
}

/// The same, before the second of three nodes is there, and that node.
fn adopting_without_node_1() -> (World, Node) {
    let mut world = adopting();
    let node = world.ended.remove(&1).unwrap();
    world.pods_start = false;
    world.settle();
    world.start(0);
    world.start(2);
    (world, node)
}

#[test]
fn a_plan_that_is_applied_again_goes_on_with_its_volumes() {
    let mut world = adopting();
    let before = Ring::decode(&world.ended[&0].given.clone().unwrap().0).unwrap();
    let generation = world.ended[&0].generation;
    let taken = world.settle();
    assert!(taken.contains(&"give node 0 generation 4".to_owned()), "{taken:#?}");
    let after = Ring::decode(&world.ring.clone().unwrap()).unwrap();
    assert_eq!((after.plan_uid.as_str(), after.revision, after.base), (UID, 2, generation));
    let owners = |ring: &Ring| ring.slots.iter().map(|slot| slot.owner).collect::<Vec<_>>();
    assert_eq!(owners(&after), owners(&before));
    assert!(world.condition("Ready").starts_with("True Serving"));
    assert!(world.condition("Degraded").starts_with("False Healthy"));
    let status = world.status();
    assert_eq!((status.accepted_generation, status.revision, status.nodes), (Some(2), Some(2), Some(3)));
    // It is a plan as any other from here on, and its data keep what they are called.
    let set = &world.parts[&Part::StatefulSet]["spec"];
    assert_eq!(set["volumeClaimTemplates"][0]["metadata"]["labels"]["shoal.dev/plan-uid"], UID);
    let arguments = set["template"]["spec"]["containers"][0]["args"].as_array().unwrap();
    assert_eq!(arguments[3..5], ["--plan-uid", UID]);
    assert_eq!(arguments[arguments.len() - 2..], ["--adopted-by", "another"]);
    world.edit(|spec| spec["agents"][2]["rules"][0]["do"][0]["set"]["to"] = "flights + 2".into());
    assert!(world.settle().contains(&"give node 0 generation 5".to_owned()));
    assert!(world.volumes.iter().all(|volume| volume.owners.is_empty()));
    // A CRD of before may take the field away: the ring knows it.
    let spec = world.object["spec"].as_object_mut().unwrap();
    let recovery = spec.remove("recovery").unwrap();
    world.settle();
    assert!(world.condition("Degraded").starts_with("False Healthy"), "{}", world.condition("Degraded"));
    assert_eq!(world.plan().data_uid, UID);
    world.object["spec"]["recovery"] = recovery;
    // And may be adopted once more.
    world.apply_again("a third");
    world.settle();
    let after = Ring::decode(&world.ring.clone().unwrap()).unwrap();
    assert_eq!((after.revision, after.base), (3, 5));
    assert!(world.condition("Ready").starts_with("True Serving"));
}

#[test]
fn nothing_of_adopted_volumes_is_served_before_all_their_stores_are_there() {
    let (mut world, lost) = adopting_without_node_1();
    world.settle();
    let text =
        "the adopted volumes are served when the stores of these claims have reported too: data-flights-1";
    assert!(world.condition("Ready").contains(text), "{}", world.condition("Ready"));
    assert_eq!((world.status().slots.unwrap().owned, &world.ring), (0, &None));
    // A volume that is new is not the one that is missed.
    world.start(1);
    world.nodes.get_mut(&1).unwrap().store = 77;
    world.settle();
    let degraded = world.condition("Degraded");
    assert!(
        degraded.starts_with("True VolumesUnfit: ") && degraded.contains(": data-flights-1. "),
        "{degraded}"
    );
    assert_eq!((world.status().slots.unwrap().owned, &world.ring), (0, &None));
    world.nodes.remove(&1);
    world.ended.insert(1, lost);
    world.start(1);
    world.settle();
    assert!(world.condition("Ready").starts_with("True Serving"));
}

#[test]
fn a_plan_that_is_invalid_while_it_adopts_volumes_goes_on_when_it_is_mended() {
    let (mut world, lost) = adopting_without_node_1();
    let rules = world.object["spec"]["agents"][2]["rules"].clone();
    world.edit(|spec| spec["agents"][2]["rules"][0]["do"][0]["set"]["to"] = "nothing".into());
    world.settle();
    assert!(world.condition("Accepted").starts_with("False InvalidPlan"));
    assert_eq!((world.status().revision, &world.ring), (None, &None));
    world.edit(|spec| spec["agents"][2]["rules"] = rules);
    world.ended.insert(1, lost);
    world.start(1);
    world.settle();
    assert!(world.condition("Ready").starts_with("True Serving"), "{}", world.condition("Ready"));
}

#[test]
fn a_plan_that_does_not_fit_the_volumes_that_it_adopts_says_what_to_set() {
    let mut world = adopting();
    world.edit(|spec| spec["replicas"] = 2.into());
    world.settle();
    let degraded = world.condition("Degraded");
    assert!(degraded.contains("spec.replicas: ") && degraded.contains("Set it to 3"), "{degraded}");
    world.edit(|spec| spec["replicas"] = 3.into());
    world.settle();
    assert!(world.condition("Ready").starts_with("True Serving"));
}

#[test]
fn claims_of_a_third_plan_are_named_by_themselves_while_volumes_are_adopted() {
    let mut world = adopting();
    let other =
        Volume { plan_uid: Some("a third".into()), name: "data-flights-3".into(), ..Volume::default() };
    world.volumes.push(other);
    world.settle();
    let degraded = world.condition("Degraded");
    assert!(degraded.contains("data-flights-3") && !degraded.contains("data-flights-0"), "{degraded}");
    assert!(degraded.contains("-l shoal.dev/plan=flights,shoal.dev/plan-uid=a third"), "{degraded}");
    assert!(!degraded.contains("shoal adopt"), "{degraded}");
}

#[test]
fn adopted_volumes_go_with_the_plan_only_once_it_has_them() {
    let (mut world, lost) = adopting_without_node_1();
    world.edit(|spec| spec["storage"]["retention"] = json!({"whenDeleted": "Delete"}));
    world.settle();
    assert!(world.volumes.iter().all(|volume| volume.owners.is_empty()));
    world.ended.insert(1, lost);
    world.start(1);
    world.settle();
    let owner = |volume: &Volume| volume.owners.first().map(|owner| owner.uid.clone());
    assert!(world.volumes.iter().all(|volume| owner(volume).as_deref() == Some("another")));
}

#[test]
fn a_name_that_somebody_else_has_is_not_taken_over() {
    let mut world = World::new(flights());
    world.taken.insert(Part::ClientService, "Deployment web".into());
    world.settle();
    assert!(world.parts.is_empty());
    let text = world.condition("Degraded");
    assert!(
        text.starts_with("True NameTaken: Service flights exists and belongs to Deployment web"),
        "{text}"
    );
}

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
fn what_the_api_server_refuses_is_said_until_it_takes_it() {
    let mut world = World::settled();
    world.edit(|spec| spec["pods"] = json!({"nodeSelector": {"disk": "ssd"}}));
    let mut seen = world.seen();
    seen.rejections.insert("StatefulSet flights".into(), "the quota is used up".into());
    let next = toward(&world.plan(), &seen, &crate::world::settings(), crate::world::at(0));
    let Some(NewStatus { status, news }) = next.report else { panic!("{next:?}") };
    let degraded = status.conditions.iter().find(|one| one.type_ == "Degraded").unwrap();
    assert_eq!(degraded.message, "the API server refuses StatefulSet flights: the quota is used up");
    assert_eq!(news.first().map(|news| (news.condition, news.reason)), Some(("Ready", Reason::PartRefused)));
}

#[test]
fn a_plan_that_is_being_deleted_is_left_alone() {
    let mut world = World::settled();
    world.parts.clear();
    world.object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    check(&world, &expect![""]);
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

#[test]
fn a_claim_that_is_not_bound_is_named_with_its_storage_class() {
    let said = |class: Option<&str>, pod: &str, events: &[(&str, &str)]| {
        let mut world = World::new(flights());
        world.settle_without_pods();
        world.start(0);
        world.nodes.get_mut(&0).unwrap().life = Life::Pending(pod.into());
        let claim = &mut world.volumes[0];
        (claim.uid, claim.is_unbound, claim.class) = ("the-claim".into(), true, class.map(str::to_owned));
        let mut seen = world.seen();
        let to_text = |(uid, text): &(&str, &str)| ((*uid).to_owned(), (*text).to_owned());
        seen.warnings = events.iter().map(to_text).collect();
        let next = toward(&world.plan(), &seen, &crate::world::settings(), crate::world::at(0));
        assert!(next.unexplained.contains("the-claim"));
        let status = next.report.unwrap().status;
        let ready = status.conditions.iter().find(|one| one.type_ == "Ready").unwrap();
        ready.message.split(", node 1").next().unwrap().to_owned()
    };
    let unbound = "pod has unbound immediate PersistentVolumeClaims";
    let no_class = [("the-claim", "storageclass.storage.k8s.io \"fast\" not found")];
    for (said, expected) in [
        (
            said(Some("fast"), unbound, &no_class),
            "its claim data-flights-0 of the storage class fast is not bound: storageclass.storage.k8s.io \"fast\" \
             not found",
        ),
        (
            said(Some("fast"), unbound, &[]),
            "its claim data-flights-0 of the storage class fast is not bound: pod has unbound immediate \
             PersistentVolumeClaims",
        ),
        (
            said(None, "", &[]),
            "its claim data-flights-0 of no storage class (the cluster has no default one) is not bound",
        ),
        // It waits for a machine first, and its volume for it.
        (
            said(Some("fast"), "0/3 nodes are available: 3 Insufficient cpu.", &[]),
            "0/3 nodes are available: 3 Insufficient cpu.",
        ),
    ] {
        assert_eq!(said, format!("starting: node 0: {expected}"));
    }
}

impl World {
    /// Until only nodes are missing.
    fn settle_without_pods(&mut self) {
        self.pods_start = false;
        self.settle();
        self.pods_start = true;
    }
}
