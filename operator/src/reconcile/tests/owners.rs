//! Several operators that look after one plan.

use super::*;

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/shoal-system/leases/shoal-operator";

fn lease(holder: &str, version: usize) -> Value {
    json!({
        "metadata": {"name": "shoal-operator", "resourceVersion": version.to_string()},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15},
    })
}

#[tokio::test]
async fn of_two_operators_one_runs_a_plan_and_the_other_says_so_and_writes_nothing_more() {
    let scene = Scene::new();
    let other = operator(scene.context.client.clone(), "other-system");
    let (mut ours, mut theirs) = (scene.look_anew().await.0, Memory::default());
    assert_eq!(scene.api().objects[PLAN]["status"]["operator"], "shoal-system/shoal-operator");
    let written = scene.written();
    for second in 0..100 {
        scene.api().objects.insert(LEASE.to_owned(), lease("one", second / 5));
        ours = scene.look(Look::All, ours).await.0;
        theirs = scene.look_of(&other, Look::All, theirs).await.0;
        scene.wait(1);
    }
    assert_eq!(scene.written() - written, 1, "it is said once");
    let said = scene.api().condition("Contested");
    let expected = "True AnotherOperator: this plan belongs to the operator shoal-system/shoal-operator, and another one";
    assert!(said.starts_with(expected), "{said}");
    assert!(scene.api().condition("Degraded").starts_with("False Healthy"));
    // The plan's edits are the owner's.
    let written = scene.written();
    scene.edit(|plan| plan["spec"]["pods"] = json!({"nodeSelector": {"disk": "ssd"}}));
    theirs = scene.look_of(&other, Look::All, theirs).await.0;
    assert_eq!(scene.written() - written, 1, "the generation of what it says");
    scene.look(Look::All, ours).await;
    assert_eq!(scene.api().objects[SET]["spec"]["template"]["spec"]["nodeSelector"]["disk"], "ssd");
    // The owner is uninstalled, and its Lease with it.
    scene.api().objects.remove(LEASE);
    let written = scene.written();
    for _ in 0..16 {
        theirs = scene.look_of(&other, Look::All, theirs).await.0;
        scene.wait(1);
    }
    assert!(scene.written() - written <= 1, "what it says");
    scene.look_of(&other, Look::All, theirs).await;
    assert_eq!(scene.api().objects[PLAN]["status"]["operator"], "other-system/shoal-operator");
    let conditions = scene.api().objects[PLAN]["status"]["conditions"].clone();
    assert!(conditions.as_array().unwrap().iter().all(|one| one["type"] != "Contested"));
}

#[tokio::test]
async fn a_plan_goes_over_to_the_operator_that_a_person_names() {
    let scene = Scene::new();
    let other = operator(scene.context.client.clone(), "other-system");
    let memory = scene.look_anew().await.0;
    let policy = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies/flights";
    let from = |scene: &Scene| scene.api().objects[policy]["spec"]["ingress"][1]["from"].to_string();
    assert!(from(&scene).contains("shoal-system"));
    scene.api().objects.get_mut(PLAN).unwrap()["metadata"]["annotations"] =
        json!({"shoal.dev/operator": "other-system/shoal-operator"});
    assert_eq!(scene.look(Look::All, memory).await.1, Outcome::Elsewhere);
    let (memory, _) = scene.look_of(&other, Look::All, Memory::default()).await;
    assert!(from(&scene).contains("other-system"));
    // The other one says who has it, once.
    scene.look_anew().await;
    scene.look_of(&other, Look::All, memory).await;
    let written = scene.written();
    scene.look_anew().await;
    assert_eq!(scene.written(), written);
    assert!(
        scene
            .api()
            .condition("Contested")
            .contains("this plan belongs to the operator other-system/shoal-operator")
    );
}

#[tokio::test]
async fn of_two_operators_that_begin_at_once_one_gets_the_plan() {
    let scene = Scene::new();
    let other = operator(scene.context.client.clone(), "other-system");
    let plan = look::plan(&scene.context.client, &key()).await.unwrap().unwrap();
    let claim = async |context: &Context| {
        act::name_owner(&context.client, &plan, &context.operator, &mut Undeclared::default()).await
    };
    claim(&other).await.unwrap();
    let late = claim(&scene.context).await;
    assert!(matches!(late, Err(act::Error::Overtaken(_))), "{late:?}");
    scene.look_anew().await;
    assert_eq!(scene.api().objects.len(), 1, "nothing is made by the one that came late");
}

#[tokio::test]
async fn an_operator_that_may_not_read_the_owners_lease_says_which_right_it_lacks() {
    let scene = Scene::new();
    let other = operator(scene.context.client.clone(), "other-system");
    let third = operator(scene.context.client.clone(), "third-system");
    let ours = scene.look_anew().await.0;
    scene.api().hidden.insert(LEASE.to_owned());
    let (mut theirs, outcome) = scene.look_of(&other, Look::All, Memory::default()).await;
    assert_eq!(outcome, Outcome::Elsewhere);
    let said = scene.api().condition("Contested");
    assert!(
        said.starts_with(
            "True AnotherOperator: this plan belongs to the operator shoal-system/shoal-operator"
        )
    );
    assert!(said.contains("may not read the Lease shoal-operator in namespace shoal-system"), "{said}");
    assert!(said.contains("get leases.coordination.k8s.io"), "{said}");
    // One that may read it does not write against it.
    scene.api().hidden.clear();
    let written = scene.written();
    let mut thirds = Memory::default();
    for second in 0..20 {
        scene.api().objects.insert(LEASE.to_owned(), lease("one", second));
        thirds = scene.look_of(&third, Look::All, thirds).await.0;
        scene.api().hidden.insert(LEASE.to_owned());
        theirs = scene.look_of(&other, Look::All, theirs).await.0;
        scene.api().hidden.clear();
        scene.wait(1);
    }
    assert_eq!(scene.written(), written);
    // When the other ones are gone, the owner takes it back by itself.
    scene.wait(600);
    scene.look(Look::All, ours).await;
    let conditions = scene.api().objects[PLAN]["status"]["conditions"].clone();
    assert!(conditions.as_array().unwrap().iter().all(|one| one["type"] != "Contested"), "{conditions}");
}

/// As an operator of before does that writes the status of the plan.
fn takes_the_name_away(scene: &Scene) {
    let mut api = scene.api();
    for status in api.statuses.values_mut().filter(|status| status.is_object()) {
        status.as_object_mut().unwrap().remove("operator");
    }
    api.objects.get_mut(PLAN).unwrap()["status"].as_object_mut().unwrap().remove("operator");
}

#[tokio::test]
async fn an_operator_whose_name_is_taken_away_each_time_leaves_the_plan_alone_ever_longer() {
    let scene = Scene::new();
    let mut memory = Memory::default();
    let mut claimed = Vec::new();
    for second in 0..100 {
        memory = scene.look(Look::All, memory).await.0;
        if scene.api().objects[PLAN]["status"]["operator"].is_string() {
            claimed.push(second);
            takes_the_name_away(&scene);
        }
        scene.wait(1);
    }
    assert_eq!(claimed, [0, 1, 2, 12, 32, 72]);
    let said = scene.api().condition("Contested");
    assert!(said.contains("shoal-system/shoal-operator leaves this plan alone for a while"), "{said}");
    assert!(said.contains("upgrade or uninstall the other one"), "{said}");
    // Meanwhile the plan is the other one's.
    let written = scene.written();
    scene.edit(|plan| plan["spec"]["pods"] = json!({"nodeSelector": {"disk": "ssd"}}));
    let (next, outcome) = scene.look(Look::All, memory).await;
    assert_eq!(
        (outcome, scene.written() - written),
        (Outcome::Elsewhere, 1),
        "the generation of what it says"
    );
    // The other one is gone.
    scene.wait(600);
    scene.look(Look::All, next).await;
    assert_eq!(scene.api().objects[SET]["spec"]["template"]["spec"]["nodeSelector"]["disk"], "ssd");
    let conditions = scene.api().objects[PLAN]["status"]["conditions"].clone();
    assert!(conditions.as_array().unwrap().iter().all(|one| one["type"] != "Contested"), "{conditions}");
}
