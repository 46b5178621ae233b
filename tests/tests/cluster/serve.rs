//! A plan that is applied serves: from every pod, what the owner has.

use crate::plan;
use serde_json::json;
use std::process::{Command, Stdio};
use tests::cluster::{Scene, eventually};
use tests::dev::root;
use tests::flights::{count, departures, january};
use tests::lanes::{Watcher, all_hold, get, send};

#[tokio::test(flavor = "multi_thread")]
async fn commands_go_to_one_pod_and_watches_on_the_others_see_what_the_owner_has() {
    let scene = Scene::with_plan("watch", &plan("counters", 1)).await;
    let (addresses, mut clients) = (scene.addresses(), scene.clients().await);
    let agents: Vec<String> = (0..12).map(|n| format!("/counter/{n}")).collect();
    let mut watchers = Vec::new();
    for agent in &agents {
        for address in &addresses[1..] {
            watchers.push((Watcher::begin(address, agent, "total"), Watcher::begin(address, agent, "ids")));
        }
    }
    for id in 1..=20 {
        for agent in &agents {
            send(&mut clients[0], agent, "add", &json!({"id": id.to_string(), "n": id})).await.unwrap();
        }
    }
    let ids = (1..=20).map(|id| (id.to_string(), json!(id))).collect::<serde_json::Map<_, _>>().into();
    for (total, entries) in &mut watchers {
        total.reaches(&json!(210)).await;
        entries.reaches(&ids).await;
    }
    for client in &mut clients {
        for agent in &agents {
            assert_eq!(get(client, agent, "total").await.unwrap(), 210);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_flights_ends_as_an_independent_count_says_on_every_pod() {
    let plan = std::fs::read_to_string(root().join("crds/samples/flights.yaml")).unwrap();
    let scene = Scene::with_plan("flights", &plan).await;
    let send = Command::new(scene.cluster.program("agent-node"))
        .args(["send", "--at", &scene.addresses().join(","), "--file"])
        .arg(january())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(send.status.success(), "{}: {}", send.status, String::from_utf8_lossy(&send.stderr));
    all_hold(&scene.clients().await, &count(&departures(&january()).unwrap()), 60).await;
}

/// Columns of `kubectl get aplan`, by name.
fn column(scene: &Scene, name: &str) -> String {
    let table = scene.kubectl(&["get", "aplan", "--output", "wide"]).unwrap();
    let mut lines = table.lines();
    let (heads, row) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let begin = heads.find(name).unwrap_or_else(|| panic!("no column {name}:\n{table}"));
    row[begin..].split_whitespace().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_columns_of_kubectl_get_aplan_are_true() {
    let scene = Scene::with_plan("columns", &plan("counters", 1)).await;
    let (mut served, mut revisions) = (0, Vec::new());
    for client in &mut scene.clients().await {
        let status = client.status(proto::wire::v1::StatusRequest {}).await.unwrap().into_inner();
        served += status.slots_serving;
        revisions.push(status.revision.to_string());
    }
    assert_eq!(served, 256);
    for (name, expected) in
        [("NAME", "counters"), ("READY", "True"), ("NODES", "3"), ("SLOTS", "256"), ("REASON", "Serving")]
    {
        assert_eq!(column(&scene, name), expected, "{name}");
    }
    assert_eq!((column(&scene, "ACCEPTED"), column(&scene, "MODE")), ("Accepted".into(), "Local".into()));
    assert!(revisions.iter().all(|revision| *revision == column(&scene, "REVISION")), "{revisions:?}");
    // A pod that cannot come back is missing in all of them.
    let cordon = Cordon::of(&scene);
    scene.kubectl(&["delete", "pod", "counters-1"]).unwrap();
    let seen = scene.becomes("Ready", "False", "NodesStarting").await;
    assert!(seen.message.contains("node 1"), "{seen:?}");
    assert_eq!((column(&scene, "READY"), column(&scene, "NODES")), ("False".into(), "2".into()));
    assert!(column(&scene, "SLOTS").parse::<u32>().unwrap() < 256);
    drop(cordon);
    scene.settled().await;
    eventually("all columns", 10, async || {
        anyhow::ensure!(column(&scene, "NODES") == "3" && column(&scene, "SLOTS") == "256");
        Ok(())
    })
    .await;
}

/// No machine takes a pod while this is there.
struct Cordon<'a>(&'a Scene);

impl<'a> Cordon<'a> {
    fn of(scene: &'a Scene) -> Cordon<'a> {
        let cordon = Cordon(scene);
        cordon.every_node("cordon").unwrap();
        cordon
    }

    fn every_node(&self, verb: &str) -> anyhow::Result<()> {
        let nodes = self.0.cluster.kubectl(&["get", "nodes", "--output", "name"])?;
        for node in nodes.lines() {
            self.0.cluster.kubectl(&[verb, node])?;
        }
        Ok(())
    }
}

impl Drop for Cordon<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.every_node("uncordon") {
            eprintln!("{error:#}");
        }
    }
}
