//! Claims that others change, on their way or afterwards.

use super::*;

const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";

fn path(ordinal: u16) -> String {
    format!("{CLAIMS}/data-flights-{ordinal}")
}

/// A plan whose volumes go with it, and the claims that its StatefulSet has made.
async fn with_claims() -> (Scene, Memory) {
    let scene = Scene::new();
    scene.edit(|plan| plan["spec"]["storage"]["retention"] = json!({"whenDeleted": "Delete"}));
    let memory = scene.look_anew().await.0;
    for ordinal in 0..3 {
        let claim = json!({
            "metadata": {
                "name": format!("data-flights-{ordinal}"), "uid": format!("claim-{ordinal}"), "resourceVersion": "1",
                "labels": {
                    "shoal.dev/plan": "flights", "shoal.dev/plan-uid": world::UID,
                    "app.kubernetes.io/instance": "flights",
                },
            },
            "spec": {"resources": {"requests": {"storage": "10Gi"}}},
        });
        scene.api().objects.insert(path(ordinal), claim);
    }
    (scene, memory)
}

fn unowned(path: &str, object: &mut Value) {
    if path.starts_with(CLAIMS) {
        object["metadata"].as_object_mut().unwrap().remove("ownerReferences");
    }
}

#[tokio::test]
async fn what_a_webhook_makes_of_claims_is_taken_and_said_without_a_fight() {
    let (scene, mut memory) = with_claims().await;
    scene.api().webhook = unowned;
    for second in 0..100 {
        let (next, outcome) = scene.look(Look::All, memory).await;
        assert_eq!(outcome, Outcome::Waiting, "for its nodes, after {second} s");
        memory = next;
        scene.wait(1);
    }
    assert_eq!([0, 1, 2].map(|ordinal| scene.api().asked(&path(ordinal))), [1; 3]);
    let said = [0, 1, 2].map(|ordinal| {
        format!("PersistentVolumeClaim data-flights-{ordinal}: metadata.ownerReferences[flights] is missing")
    });
    assert_eq!(scene.api().condition("Adjusted"), format!("True Adjusted: {}", said.join("; ")));
    assert!(scene.api().condition("Degraded").starts_with("False Healthy"));
    assert_eq!(
        scene.api().objects[&path(0)]["metadata"]["labels"]["app.kubernetes.io/instance"],
        Value::Null
    );
    // Edits of the plan do not wait for it.
    scene.edit(|plan| plan["spec"]["pods"] = json!({"nodeSelector": {"disk": "ssd"}}));
    memory = scene.look(Look::All, memory).await.0;
    assert_eq!(scene.api().objects[SET]["spec"]["template"]["spec"]["nodeSelector"]["disk"], "ssd");
    // Another wish is patched at once, and so is a claim that comes.
    scene.edit(|plan| plan["spec"]["storage"]["retention"] = json!({"whenDeleted": "Retain"}));
    memory = scene.look(Look::All, memory).await.0;
    assert_eq!(scene.api().asked(&path(0)), 2, "with the edit before this one");
    assert!(scene.api().condition("Adjusted").starts_with("False AsApplied"));
    scene.api().webhook = |_, _| {};
    scene.edit(|plan| plan["spec"]["storage"]["retention"] = json!({"whenDeleted": "Delete"}));
    // It is tried again with each edit.
    scene.look(Look::All, memory).await;
    assert_eq!(scene.api().objects[&path(0)]["metadata"]["ownerReferences"][0]["uid"], world::UID);
    assert!(scene.api().condition("Adjusted").starts_with("False AsApplied"));
}

#[tokio::test]
async fn claims_that_a_controller_changes_again_and_again_are_patched_ever_more_rarely() {
    let (scene, mut memory) = with_claims().await;
    let mut patched = Vec::new();
    for second in 0..100 {
        let before = scene.api().asked(&path(1));
        memory = scene.look(Look::All, memory).await.0;
        patched.extend((scene.api().asked(&path(1)) > before).then_some(second));
        unowned(CLAIMS, scene.api().objects.get_mut(&path(1)).unwrap());
        scene.wait(1);
    }
    assert_eq!(patched, [0, 1, 2, 4, 8, 16, 32, 64]);
    let said = scene.api().condition("Degraded");
    let expected = "True PartChanged: PersistentVolumeClaim data-flights-1 is not as the operator applies it: \
                    metadata.ownerReferences[flights] is missing";
    assert!(said.starts_with(expected), "{said}");
    assert_eq!(scene.api().asked(&path(0)), 1);
    let (memory, outcome) = scene.look(Look::All, memory).await;
    assert_eq!(outcome, Outcome::Obstructed);
    scene.edit(|plan| plan["spec"]["pods"] = json!({"nodeSelector": {"disk": "ssd"}}));
    scene.look(Look::All, memory).await;
    assert_eq!(scene.api().objects[SET]["spec"]["template"]["spec"]["nodeSelector"]["disk"], "ssd");
}
