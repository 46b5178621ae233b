//! A CRD that is older than the operator.

use super::*;

#[tokio::test]
async fn under_a_crd_of_before_a_plan_is_run_all_the_same() {
    let scene = Scene::new();
    scene.api().undeclared = vec!["operator"];
    let (memory, outcome) = scene.look_anew().await;
    assert_eq!(outcome, Outcome::Waiting, "for its nodes");
    assert!(scene.api().objects.contains_key(SET));
    let written = scene.written();
    let memory = scene.look(Look::All, memory).await.0;
    assert_eq!(scene.written(), written);
    // With the CRD of today its operator is named with the next edit.
    scene.api().undeclared.clear();
    scene.edit(|plan| plan["spec"]["pods"] = json!({"nodeSelector": {"disk": "ssd"}}));
    scene.look(Look::All, memory).await;
    assert_eq!(scene.api().objects[PLAN]["status"]["operator"], "shoal-system/shoal-operator");
}

#[tokio::test]
async fn a_status_that_was_not_taken_is_not_said_to_be_written() {
    let scene = Scene::new();
    scene.api().undeclared =
        vec!["conditions", "operator", "durability", "readyReplicas", "replicas", "selector", "slots"];
    scene.api().names_one = true;
    let (memory, outcome) = scene.look_anew().await;
    assert_eq!(outcome, Outcome::Failed);
    // What was named until then is left out from now on.
    let (_, outcome) = scene.look(Look::All, memory).await;
    assert_eq!(
        (outcome, &scene.api().objects[PLAN]["status"]["observedGeneration"]),
        (Outcome::Waiting, &json!(1))
    );
}

#[tokio::test]
async fn fields_of_a_status_that_an_older_crd_lacks_are_left_out_and_told_once() {
    let status = format!("{PLAN}/status");
    let scene = Scene::new();
    scene.api().undeclared = vec!["replicas", "selector", "slots.degraded"];
    let (mut memory, outcome) = scene.look_anew().await;
    assert_eq!(outcome, Outcome::Waiting, "for its nodes");
    assert!(scene.api().objects.contains_key(SET));
    assert!(scene.api().condition("Accepted").starts_with("True"));
    let stored = scene.api().objects[PLAN]["status"].clone();
    assert_eq!((&stored["slots"]["degraded"], &stored["selector"]), (&Value::Null, &Value::Null));
    assert_eq!(
        (&stored["slots"]["moving"], &stored["operator"]),
        (&json!(0), &json!("shoal-system/shoal-operator"))
    );
    // Nothing is written at rest.
    let asked = scene.api().asked(&status);
    let written = scene.written();
    for _ in 0..20 {
        memory = scene.look(Look::All, memory).await.0;
        scene.wait(1);
    }
    assert_eq!(scene.api().asked(&status), asked);
    assert_eq!(scene.written(), written);
    assert_eq!(scene.api().events.iter().filter(|reason| *reason == "CrdOlder").count(), 1);
    assert_eq!(scene.context.left_out.lock().unwrap().len(), 3);
    // A change is told with one request more at most.
    scene.edit(|plan| plan["spec"]["slots"] = 0.into());
    memory = scene.look(Look::All, memory).await.0;
    assert!(scene.api().condition("Accepted").starts_with("False InvalidPlan"));
    assert_eq!(scene.api().asked(&status), asked + 2);
    // With the CRD of today all of it is there from the next generation on.
    scene.api().undeclared.clear();
    scene.edit(|plan| plan["spec"]["slots"] = 4096.into());
    scene.look(Look::All, memory).await;
    let stored = scene.api().objects[PLAN]["status"].clone();
    assert_eq!(
        (&stored["slots"]["degraded"], &stored["selector"]),
        (&json!(0), &json!("shoal.dev/plan=flights"))
    );
}

#[tokio::test]
async fn what_is_known_of_a_plan_is_not_taken_for_another_one_of_its_name() {
    let scene = Scene::new();
    scene.api().undeclared = vec!["operator"];
    let memory = scene.look_anew().await.0;
    assert_eq!(scene.api().objects[PLAN]["status"]["operator"], Value::Null);
    // Deleted and applied again, at the same generation.
    {
        let mut api = scene.api();
        api.objects.retain(|path, _| path == PLAN);
        api.statuses.clear();
        let plan = api.objects.get_mut(PLAN).unwrap();
        plan["metadata"]["uid"] = "another".into();
        plan["status"].take();
        api.undeclared.clear();
    }
    scene.look(Look::All, memory).await;
    assert_eq!(scene.api().objects[PLAN]["status"]["operator"], "shoal-system/shoal-operator");
}
