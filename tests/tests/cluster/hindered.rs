//! What keeps a plan from coming up is said, and it comes up when that is mended.

use crate::{plan, with};
use anyhow::ensure;
use serde_json::Value;
use tests::cluster::{Scene, eventually};

/// A condition whose message has these words.
async fn says(scene: &Scene, kind: &str, words: &[&str]) {
    eventually(&format!("{kind} to say {words:?}"), 90, async || {
        let seen = scene.condition(kind)?;
        ensure!(words.iter().all(|words| seen.message.contains(words)), "{}: {}", seen.reason, seen.message);
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_pods_is_said_and_rules_still_change() {
    let mut scene = Scene::begin("quota").await;
    scene.kubectl(&["create", "quota", "few", "--hard=pods=1"]).unwrap();
    scene.change(&plan("counters", 1));
    says(&scene, "Ready", &["starting: ", "exceeded quota: few"]).await;
    scene.change(&plan("counters", 1).replace("total + event.n", "total +"));
    scene.becomes("Accepted", "False", "InvalidPlan").await;
    scene.change(&plan("counters", 1));
    scene.becomes("Accepted", "True", "Accepted").await;
    scene.kubectl(&["delete", "quota", "few"]).unwrap();
    scene.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_there_is_said_and_then_the_pods_that_still_have_it() {
    let mut scene = Scene::begin("image").await;
    let wrong = "pods: {image: \"docker.io/shoal/nothing:1\", imagePullPolicy: Never}";
    scene.change(&with(&plan("counters", 1), wrong));
    says(&scene, "Ready", &["docker.io/shoal/nothing:1 is not on the machine"]).await;
    scene.change(&plan("counters", 1));
    let outdated = "these pods run an older template, and each takes the new one when it is deleted: counters-0, \
                    counters-1, counters-2";
    says(&scene, "Ready", &["docker.io/shoal/nothing:1 is not on the machine", outdated]).await;
    says(&scene, "Reconciling", &[outdated]).await;
    scene.kubectl(&["delete", "pod", "--selector", "shoal.dev/plan=counters"]).unwrap();
    scene.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_cannot_be_bound_is_named_with_its_class() {
    let mut scene = Scene::begin("class").await;
    let of_class = "storage: {size: 1Gi, storageClassName: fast}";
    scene.change(&plan("counters", 1).replace("storage: {size: 1Gi}", of_class));
    let words = ["its claim data-counters-0 of the storage class fast is not bound: ", "\"fast\" not found"];
    says(&scene, "Ready", &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quantities_written_otherwise_change_nothing() {
    let text = |size: &str, cpu: &str, memory: &str| {
        let pods = format!("pods: {{resources: {{requests: {{cpu: {cpu}, memory: {memory}}}}}}}");
        with(&plan("counters", 1), &pods).replace("size: 1Gi", &format!("size: {size}"))
    };
    let mut scene = Scene::with_plan("written", &text("1Gi", "\"0.1\"", "0.125Gi")).await;
    let set = || scene.get("statefulset", "counters").unwrap()["metadata"]["generation"].clone();
    let before = set();
    let next = text("1024Mi", "100m", "128Mi");
    scene.change(&next);
    eventually("the generation to be seen", 30, async || {
        let plan = scene.plan()?;
        ensure!(plan["status"]["acceptedGeneration"] == plan["metadata"]["generation"], "{}", plan["status"]);
        Ok(())
    })
    .await;
    scene.becomes("Reconciling", "False", "Settled").await;
    assert_eq!(scene.becomes("Degraded", "False", "").await.reason, "Healthy");
    assert_eq!(scene.get("statefulset", "counters").unwrap()["metadata"]["generation"], before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_deleted_while_its_plan_comes_up_is_left() {
    let mut scene = Scene::begin("going").await;
    let before = scene.cluster.operator_requests().unwrap().len();
    scene.change(&plan("counters", 1));
    eventually("the operator to begin", 30, async || scene.get("serviceaccount", "counters-node").map(drop))
        .await;
    scene.cluster.kubectl(&["delete", "namespace", &scene.namespace]).unwrap();
    let refused = |one: &&Value| {
        one["objectRef"]["namespace"] == scene.namespace.as_str()
            && one["responseStatus"]["code"] == 403
            && one["verb"] != "get"
    };
    let requests = scene.cluster.operator_requests().unwrap();
    let refused: Vec<String> = requests[before..]
        .iter()
        .filter(refused)
        .map(|one| format!("{} {}", one["verb"], one["requestURI"]))
        .collect();
    assert!(refused.len() <= 1, "{refused:#?}");
}
