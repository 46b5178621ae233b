//! Volumes that another plan adopts: nodes on copies of the folders of nodes that were killed.

use super::*;
use std::fs;
use std::path::Path;

const PLAN: &str = "5d1e6f6a-0000-4000-8000-00000000000a";

/// What lies in a folder, as a snapshot of its volume has it.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The nodes of a plan that has adopted copies of these folders; of one CA, which is not that of the plan before.
async fn adopting(folders: &[TempDir], adopted_by: &str) -> Cluster {
    let keys = Keys::new(PLAN_UID);
    let copies: Vec<_> = folders.iter().map(|_| tempfile::tempdir().unwrap()).collect();
    let mut cluster = Cluster { keys, folders: copies, nodes: vec![], members: vec![], peers: vec![] };
    for (ordinal, folder) in folders.iter().enumerate() {
        copy(folder.path(), cluster.folders[ordinal].path());
        let config = config(ordinal as u16, &cluster.folders[ordinal], "127.0.0.1:0", &cluster.keys);
        let config = Config { adopted_by: Some(adopted_by.into()), ..config };
        let (node, at) = Node::start(config).await.unwrap();
        let Report { store, incarnation, .. } = node.report();
        cluster.members.push(Member { ordinal: ordinal as u16, store: store.parse().unwrap(), incarnation });
        cluster.peers.push(at.to_string());
        cluster.nodes.push(Some(node));
    }
    cluster
}

impl Cluster {
    fn given_anew(&self, adopted_by: &str) -> Configuration {
        let reports: Vec<Report> = self.nodes.iter().flatten().map(Node::report).collect();
        let held = Ring::decode(&reports[0].held).unwrap();
        let base = reports.iter().map(|report| report.generation).max().unwrap();
        let ring = Ring { nonce: 9, ..held.raised(0, self.members.clone(), base, adopted_by).unwrap() };
        let ring = ring.encode().into();
        Configuration {
            ring,
            generation: base + 1,
            spec: spec(2).into(),
            adopted_by: adopted_by.into(),
            ..self.configuration(1, 1)
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adopted_volumes_serve_nothing_until_they_are_given_a_ring_anew_and_then_all() {
    let mut before = Cluster::start().await;
    let agents: Vec<_> = (0..20).map(|n| format!("/counter/{n}")).collect();
    // As many messages to the totals as there are commands; those that are not delivered yet go on from the copies.
    let requests = (1..=50).flat_map(|event| agents.iter().map(move |agent| add(agent, event, None)));
    let ends = send_all(before.node(0), requests.collect()).await;
    assert!(ends.values().all(Result::is_ok));
    let version = before.node(0).get(&agents[0], "n", false, None).await.unwrap().version;
    for ordinal in 0..3 {
        before.kill(ordinal).await;
    }
    let cluster = adopting(&before.folders, PLAN).await;
    for node in cluster.nodes.iter().flatten() {
        let report = node.report();
        assert_eq!((report.slots_owned, report.slots_serving, report.had_ring), (0, 0, true));
        assert_eq!((report.revision, report.generation), (1, 1));
        assert_eq!(Ring::decode(&report.held).unwrap().revision, 1);
        let why = node.ready().unwrap_err();
        assert!(why.contains("adopted"), "{why}");
        assert_eq!(node.get(&agents[0], "n", false, None).await.unwrap_err().code, 503);
        assert_eq!(node.send(add(&agents[0], 51, None)).await.unwrap_err().code, 503);
    }
    // What it held is not taken again, nor what another plan gives.
    for (given, at) in [
        (cluster.configuration(1, 1), "adopted_by"),
        (Configuration { adopted_by: PLAN.into(), ..cluster.configuration(1, 1) }, "revision"),
        (cluster.given_anew("another"), "adopted_by"),
    ] {
        let refusal = cluster.node(0).configure(given).await.unwrap_err();
        assert_eq!((refusal.code, refusal.at.as_str()), (409, at), "{refusal:?}");
    }
    let given = cluster.given_anew(PLAN);
    for node in cluster.nodes.iter().flatten() {
        node.configure(given.clone()).await.unwrap();
    }
    cluster.ready().await;
    assert!(cluster.nodes.iter().flatten().all(|node| node.report().held.is_empty()));
    cluster.totals_become(1000).await;
    for agent in &agents {
        assert_eq!(cluster.read(1, agent, "n").await, Value::Int(50));
        assert_eq!(cluster.read(2, agent, "gaps").await, Value::Int(0));
        assert_eq!(cluster.read(0, agent, "new").await, Value::Int(2));
    }
    // What was seen before keeps its version; what comes is of a later history.
    let got = cluster.node(1).get(&agents[0], "n", false, None).await.unwrap();
    assert_eq!(got.version, version);
    let sent = cluster.node(2).send(add(&agents[0], 51, None)).await.unwrap().version;
    assert!(proto::ring::history(sent) > proto::ring::history(version));
    cluster.totals_become(1001).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_ends_while_its_volume_is_adopted_holds_the_same_when_it_is_back() {
    let mut before = Cluster::start().await;
    before.node(0).send(add("/counter/1", 1, None)).await.unwrap();
    for ordinal in 0..3 {
        before.kill(ordinal).await;
    }
    let mut cluster = adopting(&before.folders, PLAN).await;
    let held = cluster.node(1).report().held;
    cluster.kill(1).await;
    let again = |cluster: &Cluster, adopted_by: &str| Config {
        adopted_by: Some(adopted_by.into()),
        ..config(1, &cluster.folders[1], &cluster.peers[1], &cluster.keys)
    };
    cluster.nodes[1] = Some(Node::start(again(&cluster, PLAN)).await.unwrap().0);
    assert_eq!(cluster.node(1).report().held, held);
    // Once it is given a ring it serves at its next start without one; but not for a third plan.
    cluster.members[1].incarnation = cluster.node(1).report().incarnation;
    let given = cluster.given_anew(PLAN);
    for node in cluster.nodes.iter().flatten() {
        node.configure(given.clone()).await.unwrap();
    }
    cluster.ready().await;
    cluster.kill(1).await;
    cluster.nodes[1] = Some(Node::start(again(&cluster, PLAN)).await.unwrap().0);
    cluster.ready().await;
    assert_eq!(cluster.read(1, "/counter/1", "n").await, Value::Int(1));
    cluster.kill(1).await;
    cluster.nodes[1] = Some(Node::start(again(&cluster, "a third")).await.unwrap().0);
    let report = cluster.node(1).report();
    assert_eq!((report.revision, report.generation, report.slots_serving), (2, 2, 0));
    assert_eq!(report.held, given.ring);
}
