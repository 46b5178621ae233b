//! Real nodes in one process, on loopback: what one of them says, and what comes of it when another goes away.

mod adoption;
mod names;
mod rings;
mod sharing;
mod strangers;
mod watching;

use super::*;
use crate::done::End;
use crate::link::Owner;
use crate::peer::certificates::{self, now_s};
use crate::shard::Key;
use proto::ring::{Member, Ring};
use proto::trust::{Authority, Pair, Pems, Role};
use proto::value::Value;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

pub const PLAN_UID: &str = "5d1e6f6a-0000-4000-8000-000000000002";
const LIMIT: Duration = Duration::from_secs(20);

/// `add` counts and says when an event is not the one that follows the last; every event goes on to a total.
fn spec(generation: u64) -> String {
    let mut lanes = vec![
        json!({"name": "add", "type": "Command"}),
        json!({"name": "n", "type": "Value", "initial": 0}),
        json!({"name": "last", "type": "Value", "initial": 0}),
        json!({"name": "gaps", "type": "Value", "initial": 0}),
        json!({"name": "marks", "type": "Map", "access": "ReadWrite"}),
        json!({"name": "ring", "type": "Command"}),
        json!({"name": "bell", "type": "Supply", "queue": {"items": 4, "overflow": "Block"}}),
    ];
    if generation > 1 {
        lanes.push(json!({"name": "new", "type": "Value", "initial": generation}));
    }
    json!({
        "replicas": 3,
        "slots": 256,
        "storage": {"size": "1Gi"},
        "agents": [
            {
                "route": "/counter/:id",
                "lanes": lanes,
                "rules": [{"command": "add", "do": [
                    {"set": {"lane": "gaps", "to": "gaps + 1", "when": "event != last + 1"}},
                    {"set": {"lane": "last", "to": "event"}},
                    {"set": {"lane": "n", "to": "n + 1"}},
                    {"send": {"agent": "'/total/' + string(event % 10)", "lane": "took"}},
                ]}, {"command": "ring", "do": [{"emit": {"lane": "bell", "body": "event"}}]}],
            },
            {
                "route": "/total/:digit",
                "lanes": [
                    {"name": "took", "type": "Command"},
                    {"name": "n", "type": "Value", "initial": 0},
                ],
                "rules": [{"command": "took", "do": [{"set": {"lane": "n", "to": "n + 1"}}]}],
            },
        ],
    })
    .to_string()
}

/// The CA of the plan, and a folder with what its nodes show.
pub struct Keys {
    pub authority: Pair,
    pub folder: TempDir,
}

impl Keys {
    pub fn new(plan_uid: &str) -> Keys {
        let authority = Authority::make(plan_uid, now_s()).unwrap();
        let keys = Keys { authority, folder: tempfile::tempdir().unwrap() };
        keys.renew(plan_uid);
        keys
    }

    pub fn pems(&self, plan_uid: &str, role: Role) -> Pems {
        let pair = Authority::load(plan_uid, &self.authority).unwrap().issue(role, now_s()).unwrap();
        Pems { pair, bundle: self.authority.certificate.clone() }
    }

    /// Makes the certificate of the nodes again.
    pub fn renew(&self, plan_uid: &str) {
        certificates::write(self.folder.path(), &self.pems(plan_uid, Role::Node)).unwrap();
    }
}

/// Three nodes of one plan, some of them running.
struct Cluster {
    keys: Keys,
    folders: Vec<TempDir>,
    nodes: Vec<Option<Node>>,
    members: Vec<Member>,
    peers: Vec<String>,
}

fn config(ordinal: u16, folder: &TempDir, peer_listen: &str, keys: &Keys) -> Config {
    Config {
        data: folder.path().to_owned(),
        ordinal,
        plan_uid: PLAN_UID.into(),
        adopted_by: None,
        certificates: keys.folder.path().to_owned(),
        peer_listen: peer_listen.parse().unwrap(),
        shards: 2,
        snapshots: crate::snapshot::LIMITS,
        reading: Arc::default(),
    }
}

impl Cluster {
    async fn without_plan() -> Cluster {
        let keys = Keys::new(PLAN_UID);
        let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let (mut nodes, mut members, mut peers) = (Vec::new(), Vec::new(), Vec::new());
        for (ordinal, folder) in (0..).zip(&folders) {
            let (node, at) = Node::start(config(ordinal, folder, "127.0.0.1:0", &keys)).await.unwrap();
            let Report { store, incarnation, .. } = node.report();
            members.push(Member { ordinal, store: store.parse().unwrap(), incarnation });
            peers.push(at.to_string());
            nodes.push(Some(node));
        }
        Cluster { keys, folders, nodes, members, peers }
    }

    async fn start() -> Cluster {
        let cluster = Cluster::without_plan().await;
        for ordinal in 0..3 {
            cluster.node(ordinal).configure(cluster.configuration(1, 1)).await.unwrap();
        }
        cluster.ready().await;
        cluster
    }

    fn configuration(&self, generation: u64, revision: u64) -> Configuration {
        let ring = Ring { revision, ..Ring::begin(PLAN_UID, self.members.clone(), 256, 7) };
        Configuration {
            plan_name: "counters".into(),
            plan_uid: PLAN_UID.into(),
            generation,
            spec: spec(generation).into(),
            ring: ring.encode().into(),
            peers: self.peers.clone(),
            adopted_by: String::new(),
        }
    }

    fn node(&self, ordinal: usize) -> &Node {
        self.nodes[ordinal].as_ref().expect("it runs")
    }

    /// All that run serve, and reach each other.
    async fn ready(&self) {
        let running = self.nodes.iter().flatten().count();
        for node in self.nodes.iter().flatten() {
            until(|| {
                let reached = node.status().nodes.iter().filter(|node| node.reached).count();
                node.ready().is_ok() && reached == running
            })
            .await;
        }
    }

    /// As by SIGKILL: nothing more is answered or written.
    async fn kill(&mut self, ordinal: usize) {
        self.nodes[ordinal].take().expect("it runs").hold.kill().await;
    }

    async fn restart(&mut self, ordinal: usize) {
        let config = config(ordinal as u16, &self.folders[ordinal], &self.peers[ordinal], &self.keys);
        self.nodes[ordinal] = Some(Node::start(config).await.unwrap().0);
    }

    async fn read(&self, through: usize, agent: &str, lane: &str) -> Value {
        let got = self.node(through).get(agent, lane, false, None).await;
        match got.unwrap_or_else(|refusal| panic!("{agent} {lane}: {refusal:?}")).body {
            Body::Value(value) => value,
            Body::Map(_) => panic!("{lane} is a Map"),
        }
    }

    async fn sum(&self, through: usize, agents: impl Iterator<Item = String>) -> i64 {
        let mut sum = 0;
        for agent in agents {
            match self.read(through, &agent, "n").await {
                Value::Int(n) => sum += n,
                other => panic!("{other:?}"),
            }
        }
        sum
    }

    /// Every send has had its effect once.
    async fn totals_become(&self, expected: i64) {
        let totals = || (0..10).map(|digit| format!("/total/{digit}"));
        let reached = async {
            while self.sum(0, totals()).await < expected {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LIMIT, reached).await.expect("all messages arrive");
        assert_eq!(self.sum(1, totals()).await, expected);
    }

    fn owner_of(&self, agent: &str) -> u16 {
        let node = self.nodes.iter().flatten().next().expect("one runs");
        match node.core.routing.load_full().unwrap().route(agent).unwrap().owner {
            Owner::Here => node.core.identity.ordinal,
            Owner::Node(node) => node,
            Owner::Nobody => panic!("nobody has {agent}"),
        }
    }

    /// Agents that this node owns.
    fn agents_of(&self, ordinal: u16) -> impl Iterator<Item = String> {
        (0..10_000).map(|n| format!("/counter/own{n}")).filter(move |agent| self.owner_of(agent) == ordinal)
    }

    fn agent_of(&self, ordinal: u16) -> String {
        self.agents_of(ordinal).next().unwrap()
    }
}

#[track_caller]
fn until(mut holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let asked = std::panic::Location::caller();
    async move {
        let wait = async {
            while !holds() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(LIMIT, wait).await.is_ok(), "what is awaited at {asked} does not come true");
    }
}

fn add(agent: &str, event: u64, key: Option<Key>) -> Request {
    Request { agent: agent.into(), lane: "add".into(), body: event.to_string().into(), key }
}

/// Sends all as one stream, and gives the ends by number.
async fn send_all(node: &Node, requests: Vec<Request>) -> HashMap<u64, End> {
    let (mut commands, mut ends, count) = (node.commands(), HashMap::new(), requests.len());
    let (mut requests, mut out) = ((0..).zip(requests).peekable(), Vec::new());
    while ends.len() < count {
        while commands.room() > 0
            && let Some((id, request)) = requests.next()
        {
            commands.submit(Ticket { id, came_us: 0 }, request).unwrap();
        }
        timeout(LIMIT, commands.answers(&mut out)).await.expect("commands are answered");
        for (Ticket { id, .. }, end) in out.drain(..) {
            assert!(ends.insert(id, end).is_none(), "{id} is answered twice");
        }
    }
    ends
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_takes_any_command_and_answers_any_read() {
    let cluster = Cluster::start().await;
    for n in 0..30 {
        let agent = format!("/counter/{n}");
        let version = cluster.node(n % 3).send(add(&agent, 1, None)).await.unwrap().version;
        for through in 0..3 {
            let got = cluster.node(through).get(&agent, "n", false, None).await.unwrap();
            assert_eq!((got.version, got.body), (version, Body::Value(Value::Int(1))));
            let same = cluster.node(through).get(&agent, "n", false, Some(version)).await.unwrap();
            assert!(same.not_modified);
        }
    }
    cluster.totals_become(30).await;
    let status = cluster.node(1).status();
    assert_eq!(status.nodes.iter().map(|node| node.slots).sum::<u32>(), 256);
    let owned: u32 = (0..3).map(|ordinal| cluster.node(ordinal).report().slots_serving).sum();
    assert_eq!(owned, 256);
    for (agent, lane, expected) in [
        ("/nothing/1", "n", 404),
        ("/counter/1", "none", 404),
        ("/counter/%zz", "n", 400),
        ("/counter/1", "add", 406),
    ] {
        for through in 0..3 {
            let refusal = cluster.node(through).get(agent, lane, false, None).await.unwrap_err();
            assert_eq!(refusal.code, expected, "{agent} {lane}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_through_one_node_keeps_its_order_at_every_owner() {
    let cluster = Cluster::start().await;
    let agents: Vec<_> = (0..20).map(|n| format!("/counter/{n}")).collect();
    let requests = (1..=500).flat_map(|event| agents.iter().map(move |agent| add(agent, event, None)));
    let ends = send_all(cluster.node(0), requests.collect()).await;
    assert!(ends.values().all(Result::is_ok));
    for agent in &agents {
        assert_eq!(cluster.read(1, agent, "n").await, Value::Int(500));
        assert_eq!(cluster.read(2, agent, "gaps").await, Value::Int(0));
    }
    cluster.totals_become(10_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_node_had_not_answered_is_settled_once_when_it_is_back() {
    let mut cluster = Cluster::start().await;
    let agent = cluster.agent_of(1);
    let requests: Vec<_> = (1..=2_000).map(|event| add(&agent, event, None)).collect();
    let node = cluster.node(0).clone();
    let sending = tokio::spawn(async move { send_all(&node, requests).await });
    until(|| cluster.node(1).core.count().agents > 0).await;
    cluster.kill(1).await;
    cluster.restart(1).await;
    let ends = sending.await.unwrap();
    let failed: Vec<_> = ends.values().filter_map(|end| end.as_ref().err()).collect();
    assert!(failed.is_empty(), "{} failed: {:?}", failed.len(), failed[0]);
    assert_eq!(cluster.read(2, &agent, "n").await, Value::Int(2_000));
    assert_eq!(cluster.read(2, &agent, "gaps").await, Value::Int(0));
    cluster.totals_become(2_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_survive_the_death_of_either_side() {
    let mut cluster = Cluster::start().await;
    for round in 0..3 {
        let agents = (0..60).map(|n| format!("/counter/r{round}-{n}"));
        let requests = agents.flat_map(|agent| (1..=20).map(move |event| add(&agent, event, None)));
        let ends = send_all(cluster.node((round + 1) % 3), requests.collect()).await;
        assert!(ends.values().all(Result::is_ok), "{:?}", ends.values().find(|end| end.is_err()));
        cluster.kill(round).await;
        cluster.restart(round).await;
        cluster.ready().await;
    }
    cluster.totals_become(3 * 60 * 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_memory_does_not_keep_for_a_node_that_is_gone_comes_from_the_log_when_it_is_back() {
    let mut cluster = Cluster::start().await;
    let gone = cluster.owner_of("/total/0");
    let sender = (gone + 1) % 3;
    cluster.kill(gone.into()).await;
    let agents: Vec<_> = cluster.agents_of(sender).take(2).collect();
    // All of them for the total that is gone.
    let requests = agents.iter().flat_map(|agent| (1..=1_500).map(move |event| add(agent, event * 10, None)));
    let ends = send_all(cluster.node(sender.into()), requests.collect()).await;
    assert!(ends.values().all(Result::is_ok), "{:?}", ends.values().find(|end| end.is_err()));
    until(|| cluster.node(sender.into()).measured().outbox >= 3_000).await;
    cluster.kill(sender.into()).await;
    cluster.restart(sender.into()).await;
    until(|| cluster.node(sender.into()).measured().outbox >= 3_000).await;
    cluster.restart(gone.into()).await;
    cluster.ready().await;
    cluster.totals_become(3_000).await;
    until(|| cluster.node(sender.into()).measured().outbox == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_owner_a_command_is_refused_in_time_and_the_others_go_on() {
    let mut cluster = Cluster::start().await;
    let (gone, here) = (cluster.agent_of(1), cluster.agent_of(2));
    cluster.kill(1).await;
    let begun = std::time::Instant::now();
    let refusal = cluster.node(0).send(add(&gone, 1, None)).await.unwrap_err();
    assert_eq!((refusal.code, refusal.outcome_unknown), (503, false), "{refusal}");
    let refusal = cluster.node(0).get(&gone, "n", false, None).await.unwrap_err();
    assert_eq!(refusal.code, 503, "{refusal}");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    cluster.node(0).send(add(&here, 1, None)).await.unwrap();
    let reached: Vec<_> = cluster.node(0).status().nodes.into_iter().map(|node| node.reached).collect();
    assert_eq!(reached, [true, false, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_sends_its_clients_elsewhere_until_it_has_contact_again() {
    let mut cluster = Cluster::start().await;
    let connections = cluster.node(0).cut_off();
    cluster.kill(1).await;
    assert!(!connections.is_cancelled());
    cluster.kill(2).await;
    timeout(LIMIT, connections.cancelled()).await.expect("connections end");
    let why = cluster.node(0).ready().unwrap_err();
    assert!(why.contains("neither another node nor the operator"), "{why}");
    assert!(!cluster.node(0).cut_off().is_cancelled(), "who comes now is answered");
    cluster.restart(2).await;
    until(|| cluster.node(0).ready().is_ok()).await;
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() { copy(&from, &to) } else { std::fs::copy(from, to).map(|_| ()).unwrap() }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_was_put_back_to_an_earlier_state_is_not_served_however_often_it_starts() {
    let mut cluster = Cluster::start().await;
    let agent = cluster.agent_of(1);
    cluster.kill(1).await;
    let earlier = tempfile::tempdir().unwrap();
    copy(cluster.folders[1].path(), earlier.path());
    for _ in 0..3 {
        cluster.restart(1).await;
        cluster.ready().await;
        cluster.node(0).send(add(&agent, 1, None)).await.unwrap();
        cluster.kill(1).await;
    }
    std::fs::remove_dir_all(cluster.folders[1].path()).unwrap();
    copy(earlier.path(), cluster.folders[1].path());
    cluster.restart(1).await;
    timeout(LIMIT, cluster.node(1).fails()).await.expect("the others have seen later starts");
    cluster.kill(1).await;
    for _ in 0..5 {
        let config = config(1, &cluster.folders[1], &cluster.peers[1], &cluster.keys);
        let error = Node::start(config).await.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("restored to an earlier state"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_restart_need_nobody_to_tell_them() {
    let mut cluster = Cluster::start().await;
    let agent = cluster.agent_of(2);
    let first = cluster.node(0).send(add(&agent, 1, Some(("me".into(), 5)))).await.unwrap();
    for ordinal in 0..3 {
        cluster.nodes[ordinal].take().unwrap().stop().await;
    }
    for ordinal in 0..3 {
        cluster.restart(ordinal).await;
    }
    cluster.ready().await;
    assert_eq!(cluster.node(1).send(add(&agent, 1, Some(("me".into(), 5)))).await, Ok(first));
    assert_eq!(cluster.read(1, &agent, "n").await, Value::Int(1));
    assert!(cluster.node(1).report().had_ring);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_plan_goes_round_by_itself() {
    let cluster = Cluster::start().await;
    assert_eq!(cluster.node(2).get("/counter/1", "new", false, None).await.unwrap_err().code, 404);
    cluster.node(0).configure(cluster.configuration(2, 1)).await.unwrap();
    until(|| (0..3).all(|ordinal| cluster.node(ordinal).report().generation == 2)).await;
    for agent in [cluster.agent_of(0), cluster.agent_of(1), cluster.agent_of(2)] {
        assert_eq!(cluster.read(2, &agent, "new").await, Value::Int(2));
    }
    let older = cluster.node(1).configure(cluster.configuration(1, 1)).await.unwrap_err();
    assert_eq!(older.code, 409, "{older}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_wait_for_an_owner_that_has_no_plan_yet() {
    let cluster = Cluster::without_plan().await;
    let refusal = cluster.node(0).send(add("/counter/1", 1, None)).await.unwrap_err();
    assert_eq!(refusal.code, 503);
    assert!(cluster.node(0).ready().is_err());
    // Nobody tells the others: they hear of it from this one.
    cluster.node(0).configure(cluster.configuration(1, 1)).await.unwrap();
    let requests = (0..100).map(|n| add(&format!("/counter/{n}"), 1, None));
    let ends = send_all(cluster.node(0), requests.collect()).await;
    assert!(ends.values().all(Result::is_ok), "{:?}", ends.values().find(|end| end.is_err()));
    cluster.totals_become(100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_of_many_frames_is_read_through_another_node() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent_of(1);
    let long = "x".repeat(1_000);
    let put = |n: usize| {
        let body = format!("{{\"update\": {{\"key\": {n}, \"value\": \"{long}\"}}}}").into();
        Request { agent: agent.clone(), lane: "marks".into(), body, key: None }
    };
    let ends = send_all(cluster.node(0), (0..1_000).map(put).collect()).await;
    assert!(ends.values().all(Result::is_ok));
    let got = cluster.node(2).get(&agent, "marks", false, None).await.unwrap();
    let Body::Map(entries) = got.body else { panic!("marks is a Map") };
    let expected: Vec<_> = (0..1_000).map(|n| (Value::Int(n), Value::text(&long))).collect();
    assert!(entries.values().eq(expected.iter().map(|(key, value)| (key, value))), "{}", entries.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_rings_of_one_revision_end_the_node() {
    let cluster = Cluster::start().await;
    let ring = Ring { revision: 1, ..Ring::begin(PLAN_UID, cluster.members.clone(), 256, 8) };
    let other = Configuration { ring: ring.encode().into(), ..cluster.configuration(1, 1) };
    assert_eq!(cluster.node(1).configure(other).await.unwrap_err().code, 503);
    let why = timeout(LIMIT, cluster.node(1).fails()).await.unwrap();
    assert!(why.contains("two different rings"), "{why}");
    assert!(cluster.node(1).ready().is_err());
    assert_eq!(cluster.node(1).send(add("/counter/1", 1, None)).await.unwrap_err().code, 503);
}
