//! The sample plans, each played as a scene on the nodes of `agent-node dev`.

use proto::wire::v1::{EventKind, WatchRequest, WatchResponse};
use serde_json::{Value, json};
use std::time::Duration;
use tests::cluster::{Client, client, eventually};
use tests::dev::{Dev, root};
use tests::lanes::{get, send};
use tonic::{Code, Streaming};

/// Nodes, and a client of each.
struct Scene {
    _dev: Dev,
    _data: tempfile::TempDir,
    clients: Vec<Client>,
    turn: usize,
}

impl Scene {
    async fn of(sample: &str) -> Scene {
        const NODES: u16 = 2;
        let data = tempfile::tempdir().unwrap();
        let plan = root().join("crds/samples").join(sample);
        let dev = Dev::start(&plan, NODES, &data.path().join("data")).unwrap();
        let mut clients = Vec::new();
        for node in 0..NODES {
            clients.push(client(&dev.at(node)).await.unwrap());
        }
        Scene { _dev: dev, _data: data, clients, turn: 0 }
    }

    /// Nodes take turns: any of them serves any agent.
    fn client(&mut self) -> &mut Client {
        self.turn = (self.turn + 1) % self.clients.len();
        &mut self.clients[self.turn]
    }

    async fn send(&mut self, agent: &str, lane: &str, body: Value) {
        send(self.client(), agent, lane, &body).await.unwrap();
    }

    async fn refused(&mut self, agent: &str, lane: &str, body: Value) -> Code {
        send(self.client(), agent, lane, &body).await.unwrap_err().code()
    }

    async fn get(&mut self, agent: &str, lane: &str) -> Value {
        get(self.client(), agent, lane).await.unwrap()
    }

    /// What one agent sends to another comes a little later.
    async fn becomes(&mut self, agent: &str, lane: &str, wanted: Value) {
        let client = self.client().clone();
        eventually(&format!("{agent} {lane}"), 10, async || {
            let seen = get(&mut client.clone(), agent, lane).await?;
            anyhow::ensure!(seen == wanted, "{seen} instead of {wanted}");
            Ok(())
        })
        .await;
    }

    async fn watch(&mut self, agent: &str, lane: &str) -> Items {
        let request = WatchRequest { agent: agent.into(), lane: lane.into(), from: None, rate: None };
        let mut stream = self.client().watch(request).await.unwrap().into_inner();
        // From here on nothing is missed.
        while !next(&mut stream).await.events.iter().any(|event| event.kind() == EventKind::Synced) {}
        Items { stream, left: Vec::new() }
    }
}

/// The items of a Supply lane.
struct Items {
    stream: Streaming<WatchResponse>,
    left: Vec<Value>,
}

impl Items {
    async fn next(&mut self) -> Value {
        while self.left.is_empty() {
            let events = next(&mut self.stream).await.events;
            let items = events.into_iter().filter(|event| event.kind() == EventKind::Event);
            self.left.extend(items.map(|event| serde_json::from_slice::<Value>(&event.value).unwrap()));
        }
        self.left.remove(0)
    }
}

async fn next(stream: &mut Streaming<WatchResponse>) -> WatchResponse {
    let told = tokio::time::timeout(Duration::from_secs(10), stream.message()).await;
    told.expect("something is told in time").unwrap().expect("the watch goes on")
}

#[tokio::test]
async fn people_meet_in_a_chat_room() {
    let mut scene = Scene::of("chat.yaml").await;
    let mut bell = scene.watch("/room/tea", "bell").await;
    for user in ["ann", "bob"] {
        scene.send("/room/tea", "join", json!({"user": user})).await;
    }
    let members = scene.get("/room/tea", "members").await;
    assert!(members["ann"]["since"].as_str().is_some_and(|time| time.ends_with('Z')), "{members}");
    scene.send("/room/tea", "say", json!({"user": "ann", "text": "hi", "to": "bob"})).await;
    let eve = json!({"user": "eve", "text": "I am not here"});
    assert_eq!(scene.refused("/room/tea", "say", eve).await, Code::Aborted);
    scene.send("/room/tea", "say", json!({"user": "bob", "text": "hello, 東京", "to": ["zoe", "joe"]})).await;
    assert_eq!((bell.next().await, bell.next().await), (json!("ann"), json!("bob")));
    assert_eq!(scene.get("/room/tea", "said").await, 2);
    let history = scene.get("/room/tea", "history").await;
    assert_eq!((&history[0][0], &history[0][1]["text"]), (&json!(1), &json!("hi")), "{history}");
    assert_eq!((&history[1][0], &history[1][1]["text"]), (&json!(2), &json!("hello, 東京")), "{history}");
    scene.becomes("/user/bob", "unread", json!({"tea#1": {"room": "tea", "n": 1}})).await;
    assert_eq!(scene.get("/user/ann", "unread").await, json!({}));
    for user in ["zoe", "joe"] {
        scene.becomes(&format!("/user/{user}"), "unread", json!({"tea#2": {"room": "tea", "n": 2}})).await;
    }
    scene.send("/user/bob", "read", json!(null)).await;
    assert_eq!(scene.get("/user/bob", "unread").await, json!({}));
    scene.send("/room/tea", "leave", json!({"user": "ann"})).await;
    let late = json!({"user": "ann", "text": "too late"});
    assert_eq!(scene.refused("/room/tea", "say", late).await, Code::Aborted);
    assert_eq!(scene.get("/room/tea", "said").await, 2);
    assert_eq!(scene.refused("/room/tea", "say", json!("no record")).await, Code::InvalidArgument);
    assert_eq!(scene.refused("/room/tea", "join", json!({})).await, Code::FailedPrecondition);
}

#[tokio::test]
async fn a_counter_counts_whole_numbers_and_takes_notes() {
    let mut scene = Scene::of("chat.yaml").await;
    for n in 1..=10 {
        scene.send("/counter/a", "add", json!(n)).await;
    }
    assert_eq!(scene.get("/counter/a", "count").await, 55);
    assert_eq!(scene.refused("/counter/a", "add", json!(1.5)).await, Code::InvalidArgument);
    assert_eq!(scene.refused("/counter/a", "count", json!(1)).await, Code::Unimplemented);
    assert_eq!(scene.get("/counter/a", "note").await, Value::Null);
    scene.send("/counter/a", "note", json!({"by": "me"})).await;
    assert_eq!(scene.get("/counter/a", "note").await, json!({"by": "me"}));
}

#[tokio::test]
async fn a_fleet_hears_of_its_fast_vehicles() {
    let mut scene = Scene::of("vehicles.yaml").await;
    let mut alarms = scene.watch("/fleet/acme", "alarms").await;
    let report = |speed: Value| json!({"lat": 52.5, "lon": 13.4, "speed": speed});
    scene.send("/vehicle/acme/7", "report", report(json!(100))).await;
    assert_eq!(scene.get("/vehicle/acme/7", "place").await["lat"], 52.5);
    assert_eq!(scene.get("/vehicle/acme/7", "mean").await.as_f64(), Some(10.0));
    scene.send("/vehicle/acme/7", "report", report(json!(140.5))).await;
    assert_eq!(scene.get("/vehicle/acme/7", "fast").await, true);
    scene.becomes("/fleet/acme", "speeding", json!({"7": 140.5})).await;
    assert_eq!(alarms.next().await, json!({"id": "7", "fast": true, "speed": 140.5}));
    // Still fast is no news; another vehicle is, and another fleet's is not ours.
    scene.send("/vehicle/acme/7", "report", report(json!(150))).await;
    scene.send("/vehicle/other/7", "report", report(json!(150))).await;
    scene.send("/vehicle/acme/8", "report", report(json!(131))).await;
    assert_eq!(alarms.next().await["id"], "8");
    scene.becomes("/fleet/acme", "speeding", json!({"7": 140.5, "8": 131})).await;
    scene.send("/vehicle/acme/7", "report", report(json!(90))).await;
    scene.becomes("/fleet/acme", "speeding", json!({"8": 131})).await;
    // A report without a speed says nothing.
    scene.send("/vehicle/acme/7", "report", report(Value::Null)).await;
    assert_eq!(scene.get("/vehicle/acme/7", "speed").await, 90);
    // Only vehicles speak to their fleet.
    let turned = json!({"id": "7", "fast": true, "speed": 1});
    assert_eq!(scene.refused("/fleet/acme", "turned", turned).await, Code::NotFound);
}

/// Three volumes of 10Gi of whatever class the cluster has, and no wish of a machine.
#[test]
fn every_sample_runs_on_any_cluster() {
    for sample in std::fs::read_dir(root().join("crds/samples")).unwrap() {
        let path = sample.unwrap().path();
        if path.is_dir() {
            continue; // cases for `agent-node try`
        }
        let plan: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let spec = &plan["spec"];
        assert!(spec["replicas"].as_u64().is_none_or(|replicas| replicas <= 3), "{}", path.display());
        assert!(spec["pods"].is_null(), "{}", path.display());
        let storage = spec["storage"].as_object().into_iter().flatten();
        for (name, value) in storage {
            assert_eq!((name.as_str(), value), ("size", &json!("10Gi")), "{}", path.display());
        }
    }
}
