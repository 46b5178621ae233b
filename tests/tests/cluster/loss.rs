//! Pods and the operator are lost while clients send: nothing that was acknowledged is missing after it.

use crate::plan;
use anyhow::ensure;
use tests::cluster::{OPERATOR, OPERATOR_NAMESPACE, Pod, Scene, eventually};
use tests::lanes::{Feed, nothing_is_missing};
use tests::times;

/// Clients that know the Service and the pods as they were at first.
fn feed(scene: &Scene) -> Feed {
    let mut addresses = scene.addresses();
    addresses.push(scene.service());
    Feed::begin(&addresses)
}

/// SIGKILL to the processes of a pod. As it was before.
pub fn end(scene: &Scene, ordinal: usize) -> Pod {
    let before = scene.pod(ordinal).unwrap();
    scene.cluster.run(&["kill-pod", &scene.namespace, &before.name], None).unwrap();
    before
}

/// The same, and back.
async fn kill(scene: &Scene, ordinal: usize) {
    let before = end(scene, ordinal);
    back_again(scene, ordinal, &before).await;
}

/// Its containers have been started again.
pub async fn back_again(scene: &Scene, ordinal: usize, before: &Pod) {
    back(scene, ordinal, |pod| pod.uid == before.uid && pod.restarts > before.restarts).await;
}

async fn delete(scene: &Scene, ordinal: usize) {
    let before = scene.pod(ordinal).unwrap();
    scene.kubectl(&["delete", "pod", &before.name]).unwrap();
    back(scene, ordinal, |pod| pod.uid != before.uid).await;
}

async fn back(scene: &Scene, ordinal: usize, is_new: impl Fn(&Pod) -> bool) {
    eventually("the pod to be back", 60, async || {
        let pod = scene.pod(ordinal)?;
        ensure!(is_new(&pod) && pod.ready, "{pod:?}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_killed_and_deleted_and_nothing_acknowledged_is_missing() {
    let scene = Scene::with_plan("kill", &plan("counters", 1)).await;
    let feed = feed(&scene);
    feed.goes_on(200).await;
    kill(&scene, 0).await;
    feed.goes_on(200).await;
    for turn in 1..=times(1, 30) {
        delete(&scene, turn % 3).await;
        feed.goes_on(200).await;
    }
    // All at once.
    for pod in scene.pods().unwrap() {
        scene.cluster.run(&["kill-pod", &scene.namespace, &pod.name], None).unwrap();
    }
    feed.goes_on(200).await;
    let sent = feed.end().await;
    scene.settled().await;
    nothing_is_missing(&scene.clients().await, &sent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_operator_a_plan_goes_on_and_its_pods_come_back() {
    let scene = Scene::with_plan("alone", &plan("counters", 1)).await;
    let feed = feed(&scene);
    feed.goes_on(200).await;
    let absence = Absence::begin(&scene);
    feed.goes_on(200).await;
    kill(&scene, 2).await;
    delete(&scene, 0).await;
    feed.goes_on(200).await;
    let sent = feed.end().await;
    nothing_is_missing(&scene.clients().await, &sent).await;
    drop(absence);
    scene.settled().await;
    nothing_is_missing(&scene.clients().await, &sent).await;
}

/// There is no operator while this is there.
struct Absence<'a>(&'a Scene);

impl<'a> Absence<'a> {
    fn begin(scene: &'a Scene) -> Absence<'a> {
        let absence = Absence(scene);
        let of = ["--namespace", OPERATOR_NAMESPACE];
        let named = ["delete", "deployment", OPERATOR, "--cascade=foreground"];
        scene.cluster.kubectl(&[&named[..], &of[..]].concat()).unwrap();
        absence
    }
}

impl Drop for Absence<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.cluster.install(&[]) {
            eprintln!("{error:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_go_with_their_plan_when_it_says_so_and_never_with_the_stateful_set() {
    let text = plan("counters", 1)
        .replace("storage: {size: 1Gi}", "storage: {size: 1Gi, retention: {whenDeleted: Delete}}");
    let scene = Scene::with_plan("volumes", &text).await;
    let feed = feed(&scene);
    feed.goes_on(200).await;
    let sent = feed.end().await;
    let claims = |field: &str| {
        let fields = format!("jsonpath={{.items[*].metadata.{field}}}");
        scene.kubectl(&["get", "pvc", "--output", &fields]).unwrap()
    };
    eventually("claims to have their plan as an owner", 30, async || {
        let owners = claims("ownerReferences[*].kind");
        ensure!(owners == "AgentPlan AgentPlan AgentPlan", "{owners}");
        Ok(())
    })
    .await;
    let before = claims("uid");
    // Whoever scales or deletes the set takes no volume away, whether the operator is there or not.
    let absence = Absence::begin(&scene);
    scene.kubectl(&["scale", "statefulset", "counters", "--replicas=1"]).unwrap();
    eventually("two pods to go", 60, async || {
        let pods = scene.pods()?;
        ensure!(pods.len() == 1, "{pods:?}");
        Ok(())
    })
    .await;
    scene.kubectl(&["delete", "statefulset", "counters"]).unwrap();
    drop(absence);
    scene.settled().await;
    assert_eq!(claims("uid"), before);
    nothing_is_missing(&scene.clients().await, &sent).await;
    scene.kubectl(&["delete", "agentplan", "counters"]).unwrap();
    eventually("the claims to go with their plan", 60, async || {
        let left = claims("name");
        ensure!(left.is_empty(), "{left}");
        Ok(())
    })
    .await;
}
