//! What comes of volumes and their claims: their size, whose they are, and whether they go with the plan.

use super::*;

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
