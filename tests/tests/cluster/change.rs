//! A plan is changed: rules reach running nodes, what cannot be done is refused or said, and nothing restarts.

use crate::{plan, with};
use anyhow::ensure;
use serde_json::json;
use tests::cluster::{Installed, Pod, Scene, eventually};
use tests::lanes::{get, send};

/// What would be another one if a pod had been restarted.
fn lives(pods: &[Pod]) -> Vec<(String, u64)> {
    pods.iter().map(|pod| (pod.uid.clone(), pod.restarts)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_rule_reaches_running_nodes() {
    let mut scene = Scene::with_plan("rule", &plan("counters", 1)).await;
    let (pods, mut clients) = (lives(&scene.pods().unwrap()), scene.clients().await);
    send(&mut clients[0], "/counter/1", "add", &json!({"id": "a", "n": 1})).await.unwrap();
    let lane = "- {name: note, type: Value, access: ReadWrite}\n    - {name: ids";
    scene.change(&plan("counters", 10).replace("- {name: ids", lane));
    scene.settled().await;
    let accepted = eventually("all nodes to run it", 30, async || {
        let plan = scene.plan()?;
        ensure!(plan["status"]["acceptedGeneration"] == plan["metadata"]["generation"], "{}", plan["status"]);
        Ok(plan["metadata"]["generation"].clone())
    })
    .await;
    assert_eq!(accepted, 2);
    for client in &mut clients {
        send(client, "/counter/1", "add", &json!({"id": "b", "n": 1})).await.unwrap();
        send(client, "/counter/1", "note", &json!("new")).await.unwrap();
    }
    for client in &mut clients {
        assert_eq!(get(client, "/counter/1", "total").await.unwrap(), 31);
    }
    assert_eq!(lives(&scene.pods().unwrap()), pods, "no pod was restarted");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_plan_is_refused_with_the_fields_path() {
    let mut scene = Scene::with_plan("invalid", &plan("counters", 1)).await;
    let good = plan("counters", 1);
    for (wrong, path) in [
        (good.replace("type: Map", "type: Heap"), "spec.agents[0].lanes[2].type"),
        (good.replace("/counter/:id", "counter"), "spec.agents[0].route"),
        (good.replace("replicas: 3", "replicas: 0"), "spec.replicas"),
        (good.replace("slots: 256", "slots: 255"), "spec.slots"),
        (good.replace("command: add", "command: total"), "spec.agents[0]"),
        (good.replace("slots: 256", "slots: 512"), "spec.slots"),
        (good.replace("- command: add", "- order: add"), "spec.agents[0].rules[0]"),
    ] {
        let refused = scene.apply(&wrong).expect_err(&wrong).to_string();
        assert!(refused.contains(path), "{refused}");
    }
    // What a schema cannot say is said in a condition, and nodes go on with what they have.
    scene.change(&good.replace("total + event.n", "total + evnt.n"));
    let seen = scene.becomes("Accepted", "False", "InvalidPlan").await;
    assert!(
        seen.message.contains("spec.agents[0].rules[0].do[0].set.to") && seen.message.contains("evnt"),
        "{seen:?}"
    );
    let mut clients = scene.clients().await;
    send(&mut clients[1], "/counter/1", "add", &json!({"id": "a", "n": 2})).await.unwrap();
    assert_eq!(get(&mut clients[2], "/counter/1", "total").await.unwrap(), 2);
    scene.change(&good);
    scene.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_number_of_nodes_is_refused_also_by_kubectl_scale() {
    let mut scene = Scene::with_plan("number", &plan("counters", 1)).await;
    let pods = lives(&scene.pods().unwrap());
    for replicas in ["4", "2"] {
        let scaled = scene.kubectl(&["scale", "aplan", "counters", "--replicas", replicas]);
        let refused = scaled.expect_err(replicas).to_string();
        assert!(refused.contains("the number of nodes cannot be changed yet"), "{refused}");
    }
    scene.kubectl(&["scale", "aplan", "counters", "--replicas", "3"]).unwrap();
    // Edits go on.
    scene.change(&plan("counters", 10));
    scene.settled().await;
    assert_eq!(lives(&scene.pods().unwrap()), pods);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_ready_again_only_when_the_pod_that_was_deleted_is_back() {
    let scene = Scene::with_plan("ready", &plan("counters", 1)).await;
    for ordinal in 0..3 {
        let before = scene.pod(ordinal).unwrap();
        // The operator may say so after the pod is gone, since it has to hear of it first.
        let wait = ["wait", "--for=condition=Ready=False", "aplan/counters", "--timeout=30s"];
        std::thread::scope(|both| {
            let said = both.spawn(|| scene.kubectl(&wait));
            scene.kubectl(&["delete", "pod", &before.name]).unwrap();
            said.join().unwrap().unwrap();
        });
        scene.kubectl(&["wait", "--for=condition=Ready", "aplan/counters", "--timeout=60s"]).unwrap();
        let pods = scene.pods().unwrap();
        assert!(pods.len() == 3 && pods.iter().all(|pod| pod.ready), "{pods:?}");
        assert_ne!(pods[ordinal].uid, before.uid);
    }
    // What the plan before it had is not taken for this one's.
    let wrong = plan("counters", 1).replace("total + event.n", "total +");
    scene.apply(&wrong).unwrap();
    let waited = scene.kubectl(&["wait", "--for=condition=Ready", "aplan/counters", "--timeout=5s"]);
    assert!(waited.is_err(), "{waited:?}");
    let plan = scene.plan().unwrap();
    let ready = plan["status"]["conditions"].as_array().unwrap().iter().find(|one| one["type"] == "Ready");
    assert_eq!(ready.unwrap()["status"], "True");
}

/// It cannot be set back, since volumes never shrink: so the rest of the plan goes on.
#[tokio::test(flavor = "multi_thread")]
async fn another_size_of_volumes_is_a_condition_for_now_and_rules_still_change() {
    let mut scene = Scene::with_plan("size", &plan("counters", 1)).await;
    let pods = lives(&scene.pods().unwrap());
    scene.change(&plan("counters", 10).replace("size: 1Gi", "size: 2Gi"));
    let seen = scene.becomes("Degraded", "True", "NotSupportedYet").await;
    assert!(seen.message.contains("spec.storage.size"), "{seen:?}");
    assert_eq!(scene.becomes("Ready", "True", "").await.reason, "Serving");
    let clients = scene.clients().await;
    eventually("the new rule", 30, async || {
        let before = get(&mut clients[1].clone(), "/counter/1", "total").await?;
        send(&mut clients[0].clone(), "/counter/1", "add", &json!({"id": "a", "n": 1})).await?;
        let after = get(&mut clients[1].clone(), "/counter/1", "total").await?;
        ensure!(after.as_i64() == before.as_i64().map(|before| before + 10), "{before} and then {after}");
        Ok(())
    })
    .await;
    assert_eq!(lives(&scene.pods().unwrap()), pods);
    let claims = scene
        .kubectl(&["get", "pvc", "--output", "jsonpath={.items[*].spec.resources.requests.storage}"])
        .unwrap();
    assert_eq!(claims, "1Gi 1Gi 1Gi");
    assert!(scene.apply(&plan("counters", 10)).unwrap_err().to_string().contains("spec.storage"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_template_restarts_nothing_and_a_deleted_pod_takes_it() {
    let mut scene = Scene::with_plan("template", &plan("counters", 1)).await;
    let pods = scene.pods().unwrap();
    scene.change(&with(&plan("counters", 1), "pods: {resources: {requests: {cpu: 7m}}}"));
    let seen = scene.becomes("Reconciling", "False", "PodsOutdated").await;
    assert!(pods.iter().all(|pod| seen.message.contains(&pod.name)), "{seen:?}");
    assert_eq!(lives(&scene.pods().unwrap()), lives(&pods));
    scene.kubectl(&["delete", "pod", "counters-1"]).unwrap();
    eventually("the other two to be named", 60, async || {
        let seen = scene.condition("Reconciling")?;
        let named: Vec<bool> = pods.iter().map(|pod| seen.message.contains(&pod.name)).collect();
        ensure!(seen.reason == "PodsOutdated" && named == [true, false, true], "{seen:?}");
        Ok(())
    })
    .await;
    let asked = |name: &str| {
        scene.get("pod", name).unwrap()["spec"]["containers"][0]["resources"]["requests"]["cpu"].clone()
    };
    assert_eq!((asked("counters-1"), asked("counters-0")), (json!("7m"), json!("100m")));
    scene.kubectl(&["delete", "pod", "counters-0", "counters-2"]).unwrap();
    scene.settled().await;
    assert_eq!(asked("counters-2"), "7m");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_operator_with_another_template_restarts_nothing() {
    let scene = Scene::with_plan("renewed", &plan("counters", 1)).await;
    let pods = scene.pods().unwrap();
    let new = Installed::with(scene.cluster, &["nodeImage.pullPolicy=IfNotPresent"]);
    let seen = scene.becomes("Reconciling", "False", "PodsOutdated").await;
    assert!(pods.iter().all(|pod| seen.message.contains(&pod.name)), "{seen:?}");
    assert_eq!(lives(&scene.pods().unwrap()), lives(&pods));
    let policy = |kind: &str, name: &str, path: &str| {
        scene.get(kind, name).unwrap().pointer(path).and_then(|policy| policy.as_str().map(str::to_owned))
    };
    let template = "/spec/template/spec/containers/0/imagePullPolicy";
    assert_eq!(policy("statefulset", "counters", template).as_deref(), Some("IfNotPresent"));
    assert_eq!(policy("pod", "counters-0", "/spec/containers/0/imagePullPolicy").as_deref(), Some("Never"));
    // With the operator of before, the pods are as they should be.
    drop(new);
    scene.becomes("Reconciling", "False", "Settled").await;
    assert_eq!(lives(&scene.pods().unwrap()), lives(&pods));
}
