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

mod adoption;
mod laws;
mod nodes;
mod rings;
mod volumes;

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

impl World {
    /// Until only nodes are missing.
    fn settle_without_pods(&mut self) {
        self.pods_start = false;
        self.settle();
        self.pods_start = true;
    }
}
