//! What a plan's status says in each situation.

use super::*;
use crate::observed::Life;
use crate::parts::Part;
use crate::steps;
use crate::world::{Done, World, at, flights, settings};
use serde_json::{Value, json};
use std::fmt::Write as _;

fn conditions(world: &World) -> String {
    CONDITIONS.iter().fold(String::new(), |mut text, name| {
        let _ = writeln!(text, "{name} {}", world.condition(name));
        text
    })
}

#[test]
fn a_plan_that_runs_says_so_in_every_condition() {
    let world = World::settled();
    expect_test::expect![[r"
        Accepted True Accepted: the plan can be run
        Ready True Serving: 4096 slots are served by 3 nodes
        Available True Serving: 4096 slots are served by 3 nodes
        Reconciling False Settled: everything is as the plan says
        Stalled False Healthy: nothing is wrong
        Degraded False Healthy: nothing is wrong
        Adjusted False AsApplied: nobody else has set a field of the plan's objects
        Paused False Managed: the operator acts on this plan
    "]]
    .assert_eq(&conditions(&world));
    let status = world.status();
    assert_eq!((status.replicas, status.ready_replicas, status.revision), (3, 3, Some(1)));
    assert_eq!((status.observed_generation, status.accepted_generation), (Some(1), Some(1)));
    assert_eq!(status.selector.as_deref(), Some("shoal.dev/plan=flights"));
    assert_eq!(status.slots.unwrap(), SlotsStatus { total: 4096, owned: 4096, moving: 0, degraded: 0 });
    assert_eq!(status.durability.unwrap(), DurabilityStatus { mode: "Local".into(), copies: 0 });
}

#[test]
fn nodes_that_start_are_named_with_what_keeps_them() {
    let mut world = World::new(flights());
    world.pods_start = false;
    world.settle();
    assert_eq!(world.condition("Ready"), "False NodesStarting: starting: node 0, node 1, node 2");
    (0..3).for_each(|ordinal| world.start(ordinal));
    world.nodes.get_mut(&1).unwrap().life = Life::Pending("0/3 nodes are available".into());
    world.settle();
    let text = "starting: node 1: 0/3 nodes are available";
    assert_eq!(world.condition("Reconciling"), format!("True NodesStarting: {text}"));
    assert_eq!(world.condition("Ready"), format!("False NodesStarting: {text}"));
}

#[test]
fn a_node_that_is_gone_is_missed_and_nothing_is_called_wrong() {
    let mut world = World::settled();
    world.nodes.remove(&2);
    world.settle();
    assert_eq!(world.condition("Ready"), "False NodesStarting: starting: node 2");
    assert!(world.condition("Degraded").starts_with("False"));
    let status = world.status();
    assert_eq!((status.replicas, status.ready_replicas, status.slots.unwrap().owned), (2, 2, 2731));
    assert_eq!(status.accepted_generation, Some(1));
}

type Situation = (&'static str, fn(&mut World), &'static str, &'static str, &'static str);

/// What can happen to a plan that runs, the conditions that then hold (`old`: of a generation before), and what tools
/// that read a status by Kubernetes' conventions make of it.
const SITUATIONS: [Situation; 14] = [
    ("settled", |_| {}, "Accepted, Ready, Available", "Current", "Healthy"),
    (
        "invalid",
        |world| world.edit(|spec| spec["slots"] = 0.into()),
        "Ready old, Available, Stalled",
        "Failed",
        "Degraded",
    ),
    (
        "unready pod",
        |world| pod(world, Life::Starting),
        "Accepted, Available, Reconciling",
        "InProgress",
        "Progressing",
    ),
    ("deleted pod", |world| pod(world, Life::Going), "Accepted, Reconciling", "InProgress", "Progressing"),
    (
        "pod without a machine",
        |world| pod(world, Life::Pending("0/3 nodes are available".into())),
        "Accepted, Reconciling",
        "InProgress",
        "Progressing",
    ),
    (
        "failing pod",
        |world| pod(world, Life::Failing("no".into())),
        "Accepted, Stalled, Degraded",
        "Failed",
        "Degraded",
    ),
    (
        "outdated pods",
        |world| world.edit(|spec| spec["pods"] = json!({"nodeSelector": {"disk": "ssd"}})),
        "Accepted, Ready, Available",
        "Current",
        "Healthy",
    ),
    (
        "paused",
        |world| world.edit(|spec| spec["management"] = "Paused".into()),
        "Accepted, Ready old, Available, Paused",
        "Current",
        "Suspended",
    ),
    (
        "another number of nodes",
        |world| world.edit(|spec| spec["replicas"] = 4.into()),
        "Accepted, Ready, Available, Stalled, Degraded",
        "Failed",
        "Degraded",
    ),
    (
        "image of another registry",
        |world| webhook(world, |set| container(set)["image"] = "mirror.example.org/agent-node:1".into()),
        "Accepted, Ready, Available, Adjusted",
        "Current",
        "Healthy",
    ),
    (
        "other arguments",
        |world| webhook(world, |set| container(set)["args"] = json!(["serve"])),
        "Accepted, Ready, Available, Stalled, Degraded",
        "Failed",
        "Degraded",
    ),
    (
        "taken name",
        |world| drop(world.taken.insert(Part::ClientService, "Deployment web".into())),
        "Accepted, Stalled, Degraded",
        "Failed",
        "Degraded",
    ),
    (
        "no ring",
        |world| {
            world.ring = None;
            world.nodes.values_mut().for_each(|node| node.given = None);
        },
        "Accepted, Ready, Available, Stalled, Degraded",
        "Failed",
        "Degraded",
    ),
    (
        "new",
        |world| {
            let object = flights();
            *world = World { pods_start: false, ..World::new(object) };
        },
        "Accepted, Reconciling",
        "InProgress",
        "Progressing",
    ),
];

/// The StatefulSet is made anew, and is changed on its way.
fn webhook(world: &mut World, change: fn(&mut Value)) {
    world.parts.remove(&Part::StatefulSet);
    world.webhook = change;
}

fn container(set: &mut Value) -> &mut Value {
    &mut set["spec"]["template"]["spec"]["containers"][0]
}

fn pod(world: &mut World, life: Life) {
    world.nodes.get_mut(&1).unwrap().life = life;
}

fn holding(world: &World) -> String {
    let status = world.status();
    let generation = Some(world.plan().generation as i64);
    assert_eq!(status.observed_generation, generation);
    let holding = status.conditions.iter().filter(|condition| condition.status == "True");
    let named = holding.map(|one| {
        let age = if one.observed_generation == generation { "" } else { " old" };
        format!("{}{age}", one.type_)
    });
    named.collect::<Vec<_>>().join(", ")
}

/// The file is read by the test that asks those tools.
#[test]
fn conditions_hold_as_tools_read_them() {
    let mut plans = Vec::new();
    for (name, change, expected, kstatus, argo) in SITUATIONS {
        let mut world = World::settled();
        change(&mut world);
        world.settle();
        assert_eq!(holding(&world), expected, "{name}");
        let mut plan = world.object;
        plan.as_object_mut().unwrap().remove("spec");
        plans.push(json!({"name": name, "kstatus": kstatus, "argo": argo, "plan": plan}));
    }
    expect_test::expect_file!["situations.golden.json"]
        .assert_eq(&(serde_json::to_string_pretty(&plans).unwrap() + "\n"));
}

#[test]
fn a_refused_plan_whose_status_was_lost_is_not_ready_as_the_newest() {
    let mut world = World::settled();
    world.edit(|spec| spec["slots"] = 0.into());
    world.object["status"].take();
    world.settle();
    assert_eq!(holding(&world), "Ready old, Available, Stalled");
}

#[test]
fn pods_that_wait_for_an_image_are_named_beside_those_that_wait_to_be_deleted() {
    let mut world = World::settled();
    world.edit(|spec| spec["pods"] = json!({"nodeSelector": {"disk": "ssd"}}));
    world.nodes.get_mut(&1).unwrap().life = Life::Pending("the image i cannot be fetched".into());
    world.settle();
    assert_eq!(
        world.condition("Ready"),
        "False NodesStarting: starting: node 1: the image i cannot be fetched; these pods run an older template, and \
         each takes the new one when it is deleted: flights-0, flights-1, flights-2"
    );
}

#[test]
fn a_missing_ring_is_degraded_while_the_nodes_go_on() {
    let mut world = World::settled();
    (world.ring, world.pods_start) = (None, false);
    let node = world.nodes.remove(&2);
    world.settle();
    let text = "the ConfigMap flights-ring is missing. The nodes that run continue with the ring that they have (revision 1), \
                and changes of the plan wait. The operator writes it there again when the stores of these claims, which it \
                names, have reported: data-flights-2. A claim whose pod runs has another volume than before: bind it to the \
                former one. Or restore the ConfigMap from a backup";
    assert_eq!(world.condition("Degraded"), format!("True RingMissing: {text}"));
    assert!(world.condition("Ready").starts_with("False RingMissing"));
    assert_eq!(world.condition("Reconciling"), "False Blocked: see the condition Stalled");
    // An edit reaches no node, and so it is not what is ready.
    world.edit(|spec| spec["agents"][2]["rules"][0]["do"][0]["set"]["to"] = "flights + 2".into());
    world.settle();
    let status = world.status();
    let ready = status.conditions.iter().find(|one| one.type_ == "Ready").unwrap();
    assert_eq!((status.accepted_generation, ready.observed_generation), (Some(1), Some(1)));
    assert_eq!((status.revision, status.nodes), (Some(1), Some(3)));
    world.nodes.extend(node.map(|node| (2, node)));
    world.settle();
    assert!(world.condition("Degraded").starts_with("False Healthy"));
    assert_eq!(world.status().accepted_generation, Some(2));
}

#[test]
fn a_time_changes_only_when_a_status_flips() {
    let mut world = World::settled();
    let report = |world: &World, second| {
        let next = steps::toward(&world.plan(), &world.seen(), &settings(), at(second));
        next.report.expect("a report").status
    };
    let time = |status: &AgentPlanStatus, name: &str| {
        let found = status.conditions.iter().find(|condition| condition.type_ == name).unwrap();
        found.last_transition_time.0.as_second() - at(0).as_second()
    };
    world.nodes.get_mut(&2).unwrap().life = Life::Pending(String::new());
    let first = report(&world, 50);
    assert_eq!((time(&first, "Ready"), time(&first, "Accepted")), (50, 0));
    world.does(Done::Report(steps::NewStatus { status: first, news: Vec::new() }));
    world.nodes.get_mut(&2).unwrap().life = Life::Failing("no".into());
    let second = report(&world, 90);
    assert_eq!((time(&second, "Ready"), time(&second, "Degraded")), (50, 90));
}

#[test]
fn news_are_conditions_with_another_status_or_reason() {
    let mut world = World::settled();
    let before = world.status();
    assert_eq!(news(&before, &before), []);
    world.nodes.get_mut(&2).unwrap().life = Life::Failing("one".into());
    world.settle();
    let failing = world.status();
    let is = |condition, reason| News { condition, reason };
    let fails = Reason::NodeFails;
    assert_eq!(news(&before, &failing), [is("Ready", fails), is("Reconciling", Reason::Blocked)]);
    // The text alone is none.
    world.nodes.get_mut(&2).unwrap().life = Life::Failing("two".into());
    world.settle();
    assert_ne!(world.status(), failing);
    assert_eq!(news(&failing, &world.status()), []);
    // A new plan's first news is that it is accepted.
    let first = news(&AgentPlanStatus::default(), &before);
    assert_eq!(first, [is("Accepted", Reason::Accepted)]);
}

#[test]
fn a_long_text_is_cut_and_says_how_much_is_missing() {
    let many = texts((0..20).map(|n| format!("spec.agents[{n}]: wrong")));
    assert!(many.ends_with("spec.agents[7]: wrong; and 12 more"), "{many}");
    assert!(texts(std::iter::once("東".repeat(5000))).len() <= MESSAGE_MAX);
}

#[test]
fn the_status_of_another_version_keeps_the_rings_revision() {
    let mut object = flights();
    object["status"] = json!({"revision": 7, "conditions": "of another kind"});
    assert_eq!(crate::world::plan(&object).status.revision, Some(7));
}
