//! A plan that is applied serves: from every pod, what the owner has.

use crate::plan;
use serde_json::json;
use std::process::{Command, Stdio};
use tests::cluster::Scene;
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
