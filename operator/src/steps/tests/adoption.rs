//! Plans that go on with the volumes of one that was deleted.

use super::*;

/// A plan that was deleted and applied again, and is to go on with its volumes.
pub fn adopting() -> World {
    let mut world = World::settled();
    world.edit(|spec| spec["pods"] = json!({"nodeSelector": {"disk": "fast"}}));
    world.settle();
    world.apply_again("another");
    world.edit(|spec| spec["recovery"] = json!({"adoptVolumesOf": UID}));
    world
}

/// The same, before the second of three nodes is there, and that node.
pub fn adopting_without_node_1() -> (World, Node) {
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
