//! The chart is upgraded, taken back, uninstalled and installed again while a plan runs: nodes go on, and nothing restarts.

use crate::plan;
use anyhow::ensure;
use tests::cluster::{Installed, OPERATOR, OPERATOR_NAMESPACE, Scene, eventually};
use tests::lanes::{Feed, nothing_is_missing};

/// What would be another one if a pod had been restarted.
fn lives(scene: &Scene) -> Vec<(String, u64)> {
    scene.pods().unwrap().iter().map(|pod| (pod.uid.clone(), pod.restarts)).collect()
}

/// The CRD has this field of a plan's spec.
fn has_field(scene: &Scene, field: &str) -> bool {
    scene.kubectl(&["explain", &format!("agentplan.spec.{field}")]).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_of_the_chart_and_the_way_back_leave_running_plans_alone() {
    let mut scene = Scene::begin("upgrade").await;
    scene.alone().await;
    // The chart and the CRD of an earlier day, with the programs of this one.
    let earlier = Installed::earlier(scene.cluster);
    eventually("the CRD of then", 60, async || {
        ensure!(!has_field(&scene, "recovery"));
        Ok(())
    })
    .await;
    scene.change(&plan("counters", 1));
    scene.settled().await;
    let pods = lives(&scene);
    let feed = Feed::begin(&scene.addresses());
    feed.goes_on(200).await;
    scene.cluster.install(&[]).unwrap();
    eventually("the CRD of today", 60, async || {
        ensure!(has_field(&scene, "recovery"));
        Ok(())
    })
    .await;
    scene.change(&plan("counters", 10));
    scene.settled().await;
    feed.goes_on(200).await;
    scene.cluster.helm(&["rollback", "--wait", "--timeout", "120s"], &[]).unwrap();
    scene.change(&plan("counters", 1));
    scene.settled().await;
    feed.goes_on(200).await;
    drop(earlier);
    scene.settled().await;
    feed.goes_on(200).await;
    feed.end().await;
    assert_eq!(lives(&scene), pods, "no pod was restarted");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_release_plans_go_on_and_the_next_one_takes_them_up_at_once() {
    let mut scene = Scene::with_plan("uninstall", &plan("counters", 1)).await;
    let pods = lives(&scene);
    let feed = Feed::begin(&scene.addresses());
    feed.goes_on(200).await;
    let absence = Installed::without(scene.cluster);
    // What is left: the CRD, and all that belongs to plans.
    assert!(has_field(&scene, "agents"));
    assert_eq!(scene.plan().unwrap()["status"]["readyReplicas"], 3);
    for (kind, name) in
        [("statefulset", "counters"), ("configmap", "counters-ring"), ("secret", "counters-ca")]
    {
        scene.get(kind, name).unwrap();
    }
    let of_operator = |kind: &str, name: &str| {
        let found = ["get", kind, name, "--ignore-not-found", "--output", "name"];
        let of = ["--namespace", OPERATOR_NAMESPACE];
        scene.cluster.kubectl(&[&found[..], &of[..]].concat()).unwrap()
    };
    for kind in ["deployment", "serviceaccount", "role"] {
        assert_eq!(of_operator(kind, OPERATOR), "", "{kind}");
    }
    // Nobody waits for the Lease of who is gone.
    eventually("the Lease to go", 60, async || {
        let left = of_operator("lease", OPERATOR);
        ensure!(left.is_empty(), "{left}");
        Ok(())
    })
    .await;
    feed.goes_on(200).await;
    assert_eq!(lives(&scene), pods);
    drop(absence);
    scene.change(
        &plan("counters", 1).replace("slots: 256", "slots: 256\n  http: {origins: [\"https://a.example\"]}"),
    );
    scene.settled().await;
    let sent = feed.end().await;
    nothing_is_missing(&scene.clients().await, &sent).await;
    assert_eq!(lives(&scene), pods, "no pod was restarted");
}
