//! Nodes in processes of their own that are told where the others are: hints that are right, wrong, late, and gone.

use anyhow::{Context as _, ensure};
use serde_json::json;
use std::net::TcpListener;
use std::time::{Duration, Instant};
use tests::cluster::{client, eventually};
use tests::lanes::{get, send};
use tests::plans;
use tests::serve::Nodes;

/// Nobody answers there.
const NOBODY: &str = "127.0.0.1:9";

/// How many of the others a node reaches.
fn reached(nodes: &Nodes, node: usize) -> Option<usize> {
    let text = nodes.scrape(node)?;
    let line = text.lines().find_map(|line| line.strip_prefix("shoal_peers_connected "))?;
    line.parse().ok()
}

/// Waits until a node reaches so many others, and says how long that took.
async fn reaches(nodes: &Nodes, node: usize, others: usize) -> Duration {
    let began = Instant::now();
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    while reached(nodes, node) != Some(others) {
        assert!(began.elapsed() < Duration::from_secs(20), "node {node}: {}", nodes.log(node));
        pace.tick().await;
    }
    began.elapsed()
}

/// How often a node was connected to another one.
fn connections(nodes: &Nodes, node: usize, other: usize) -> usize {
    let of_other = format!("other={other} ");
    let is_one = |line: &&str| line.contains("connected to another node") && line.contains(&of_other);
    nodes.log(node).lines().filter(is_one).count()
}

/// A command through one node to an agent of another has its effect.
async fn passes_on(nodes: &Nodes, node: usize, owner: usize) {
    let agent = nodes.agents_of(owner).remove(0);
    let mut client = client(&nodes.at(node)).await.unwrap();
    let before = get(&mut client, &agent, "total").await.unwrap().as_i64().unwrap();
    send(&mut client, &agent, "add", &json!({"n": 1})).await.unwrap();
    assert_eq!(get(&mut client, &agent, "total").await.unwrap(), json!(before + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_connects_within_a_second_where_names_lead_nowhere() {
    // Who calls there waits for two seconds: it neither answers nor refuses.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let at = silent.local_addr().unwrap().to_string();
    let data = tempfile::tempdir().unwrap();
    let names = vec![NOBODY.to_owned(), at, "counters-2.invalid:7778".to_owned()];
    let nodes = Nodes::start_named(plans::COUNTERS, 3, data.path(), Some(names)).await.unwrap();
    assert_eq!((0..3).map(|node| reached(&nodes, node)).collect::<Vec<_>>(), [Some(0); 3]);
    assert_eq!(nodes.report(0).await.unwrap().hints, Some(0), "it has none");
    // While nodes 0 and 2 wait at the silent one, each since just now.
    let mut waiting = Vec::new();
    while let Ok((stream, _)) = silent.accept() {
        waiting.push(stream);
    }
    for node in [0, 2] {
        waiting.push(eventually("a call of the silent one", 20, async || Ok(silent.accept()?.0)).await);
        nodes.hint(node, 1, &nodes.peers_at()).await.unwrap();
    }
    nodes.hint(1, 1, &nodes.peers_at()).await.unwrap();
    for node in 0..3 {
        let took = reaches(&nodes, node, 2).await;
        assert!(took < Duration::from_secs(1), "node {node}: {took:?}");
    }
    for (node, owner) in [(0, 1), (1, 2), (2, 0)] {
        passes_on(&nodes, node, owner).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_hint_costs_a_try_and_breaks_no_stream() {
    let data = tempfile::tempdir().unwrap();
    let mut nodes = Nodes::start(plans::COUNTERS, 3, data.path()).await.unwrap();
    for node in 0..3 {
        reaches(&nodes, node, 2).await;
    }
    let [zero, _, two] = nodes.peers_at().try_into().unwrap();
    let wrong = [
        ("another node", two.as_str()),
        ("itself", zero.as_str()),
        ("nobody", NOBODY),
        ("a name", "localhost:7778"),
    ];
    for (round, (what, at)) in (1..).zip(wrong) {
        // What stands is not touched.
        nodes.hint(0, round, &[String::new(), at.to_owned(), NOBODY.to_owned()]).await.unwrap();
        passes_on(&nodes, 0, 1).await;
        passes_on(&nodes, 0, 2).await;
        assert_eq!(reached(&nodes, 0), Some(2), "{what}");
        // What has to be opened again goes by the name, and the hint has been tried by then.
        nodes.kill(1);
        reaches(&nodes, 0, 1).await;
        nodes.begin(1).unwrap();
        nodes.serves(1).await;
        reaches(&nodes, 0, 2).await;
        passes_on(&nodes, 0, 1).await;
        let opened = [1, 2].map(|other| connections(&nodes, 0, other));
        assert_eq!(opened, [round as usize + 1, 1], "{what}: {}", nodes.log(0));
    }
    let log = nodes.log(0);
    let ignored = "\"localhost:7778\" of node 1 is not an IP address with a port";
    assert!(log.replace('\\', "").contains(ignored), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_moves_is_reached_where_the_hint_says_and_no_hint_is_kept() {
    let data = tempfile::tempdir().unwrap();
    let mut nodes = Nodes::start(plans::COUNTERS, 3, data.path()).await.unwrap();
    for node in 0..3 {
        reaches(&nodes, node, 2).await;
    }
    nodes.kill(1);
    // Where this machine has IPv6, that is an address of it.
    let ip = if TcpListener::bind("[::1]:0").is_ok() { "[::1]" } else { "127.0.0.2" };
    nodes.move_to(1, ip);
    nodes.begin(1).unwrap();
    nodes.serves(1).await;
    // By its name nobody finds it.
    eventually("node 0 to say so", 20, async || {
        ensure!(nodes.log(0).contains("cannot connect to another node"));
        Ok(())
    })
    .await;
    let at = nodes.peers_at();
    assert!(at[1].starts_with(ip), "{at:?}");
    for node in [0, 2] {
        assert_eq!(reached(&nodes, node), Some(1));
        nodes.hint(node, 2, &at).await.unwrap();
        let took = reaches(&nodes, node, 2).await;
        assert!(took < Duration::from_secs(1), "node {node}: {took:?}");
        passes_on(&nodes, node, 1).await;
    }
    // A node that starts again has none, and its peers are who they were.
    nodes.kill(0);
    nodes.begin(0).unwrap();
    nodes.serves(0).await;
    let report = nodes.report(0).await.unwrap();
    assert_eq!(report.hints, Some(0));
    reaches(&nodes, 0, 1).await;
    let before = connections(&nodes, 0, 1);
    nodes.hint(0, 2, &at).await.unwrap();
    reaches(&nodes, 0, 2).await;
    assert_eq!(connections(&nodes, 0, 1), before + 1);
    passes_on(&nodes, 0, 1).await;
    let after = nodes.report(0).await.context("a report").unwrap();
    assert_eq!((after.revision, after.generation), (report.revision, report.generation));
}
