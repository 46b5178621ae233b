//! Messages for a node that is away: `cargo bench --workspace --bench outbox`.
//!
//! What each of 200,000 waiting messages costs their sender's node in memory, and how fast they are taken once the
//! receiver is back. And on one node: what 400,000 messages between agents of all slots leave in memory once all are
//! taken, and how many a second are taken that twelve feeders make.

use agent_node::node::{Body, Config, Configuration, Node, Request, Ticket};
use agent_node::peer::certificates::now_s;
use agent_node::run::dev::certificates;
use proto::address::Address;
use proto::plan::Plan;
use proto::ring::{Member, Ring};
use proto::value::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tests::measure::{Table, beside_the_disk, folder, whole};
use tests::plans;

const PLAN_UID: &str = "5d1e6f6a-0000-4000-8000-00000000000b";
const SLOTS: u32 = 256;
const SOURCES: usize = 16;
const FEEDERS: usize = 12;
/// So many of a feeder's commands are under way at once: all together are fewer than a shard takes.
const AHEAD: usize = 2_000;

fn main() {
    let (rounds, messages) = if whole() { (5, 200_000) } else { (1, 8_000) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut table = Table::new();
    for _ in 0..rounds {
        let folder = folder();
        let round = || runtime.block_on(round(folder.path(), messages));
        let ((bytes, per_second), bare) = beside_the_disk(folder.path(), round);
        table.bare(bare);
        table.add("memory of the sender's node per waiting message", "B", bytes);
        table.add("taken when the receiver is back", "/s", per_second);
    }
    table.print(&format!("{messages} messages for a node that is away"));
    let (mut table, messages) = (Table::new(), 2 * messages);
    for _ in 0..rounds {
        let folder = folder();
        let round = || runtime.block_on(spread(folder.path(), messages));
        let ((bytes, per_second), bare) = beside_the_disk(folder.path(), round);
        table.bare(bare);
        table.add("memory that is left over", "MB", bytes / 1e6);
        table.add("taken of twelve feeders", "/s", per_second);
    }
    table.print(&format!("{messages} messages between agents of all slots"));
}

async fn start(folder: &Path, ordinal: u16, peer_listen: &str) -> (Node, String) {
    let config = Config {
        data: folder.join(format!("node-{ordinal}")),
        ordinal,
        plan_uid: PLAN_UID.into(),
        adopted_by: None,
        certificates: certificates::ensure(folder, PLAN_UID, now_s()).expect("certificates"),
        peer_listen: peer_listen.parse().expect("an address"),
        shards: 1,
        snapshots: agent_node::snapshot::LIMITS,
        reading: Arc::default(),
    };
    let (node, at) = Node::start(config).await.expect("a node");
    (node, at.to_string())
}

/// The first agents of a route that a node owns.
fn owned(plan: &Plan, ring: &Ring, route: &str, ordinal: u16, count: usize) -> Vec<String> {
    let names = (0..).map(|n| format!("{route}/{n}"));
    let of_it = names.filter(|name| {
        let slot = plan.find(&Address::parse(name).expect("an address")).expect("a route").slot;
        ring.owner(slot).ordinal == ordinal
    });
    of_it.take(count).collect()
}

async fn round(folder: &Path, messages: usize) -> (f64, f64) {
    let _ = std::fs::remove_dir_all(folder.join("node-0"));
    let _ = std::fs::remove_dir_all(folder.join("node-1"));
    let (sender, sender_at) = start(folder, 0, "127.0.0.1:0").await;
    let (receiver, receiver_at) = start(folder, 1, "127.0.0.1:0").await;
    let members = [&sender, &receiver].map(|node| {
        let report = node.report();
        let store = report.store.parse().expect("a store");
        Member { ordinal: report.ordinal, store, incarnation: report.incarnation }
    });
    let ring = Ring::begin(PLAN_UID, members.to_vec(), SLOTS, 1);
    let configuration = Configuration {
        adopted_by: String::new(),
        plan_name: "waiting".into(),
        plan_uid: PLAN_UID.into(),
        generation: 1,
        spec: plans::MESSAGES.into(),
        ring: ring.encode().into(),
        peers: vec![sender_at, receiver_at.clone()],
    };
    for node in [&sender, &receiver] {
        node.configure(configuration.clone()).await.expect("it is taken");
    }
    let plan = Plan::parse(plans::MESSAGES.as_bytes()).expect("a plan");
    let sources = owned(&plan, &ring, "/source", 0, SOURCES);
    let sink = owned(&plan, &ring, "/sink", 1, 1).remove(0);
    receiver.stop().await;
    drop(receiver);
    // The first of them make what is there once: buffers, agents, windows.
    send(&sender, &sources, std::slice::from_ref(&sink), messages / 8).await;
    let before = memory();
    send(&sender, &sources, std::slice::from_ref(&sink), messages).await;
    let bytes = (memory() - before) / messages as f64;
    let began = Instant::now();
    let (receiver, _) = start(folder, 1, &receiver_at).await;
    let all = (messages / 8 + messages) as i64;
    while taken(&receiver, &sink).await < all {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let per_second = all as f64 / began.elapsed().as_secs_f64();
    receiver.stop().await;
    sender.stop().await;
    (bytes, per_second)
}

/// So many feeders, each with its own sources, send to sinks of all slots.
async fn spread(folder: &Path, messages: usize) -> (f64, f64) {
    let _ = std::fs::remove_dir_all(folder.join("node-0"));
    let (node, at) = start(folder, 0, "127.0.0.1:0").await;
    let report = node.report();
    let member = Member {
        ordinal: report.ordinal,
        store: report.store.parse().expect("a store"),
        incarnation: report.incarnation,
    };
    let configuration = Configuration {
        adopted_by: String::new(),
        plan_name: "spread".into(),
        plan_uid: PLAN_UID.into(),
        generation: 1,
        spec: plans::MESSAGES.into(),
        ring: Ring::begin(PLAN_UID, vec![member], SLOTS, 1).encode().into(),
        peers: vec![at],
    };
    node.configure(configuration).await.expect("it is taken");
    // Buffers, and the windows of nodes, are there before.
    send(&node, &["/source/0".into()], &["/sink/0".into()], messages / 8).await;
    until_taken(&node, (messages / 8) as u64).await;
    let before = memory();
    let sinks: Vec<_> = (0..1_009).map(|sink| format!("/sink/{sink}")).collect();
    let sources: Vec<Vec<_>> = (0..FEEDERS)
        .map(|feeder| (0..1_000 / FEEDERS).map(|source| format!("/source/{feeder}-{source}")).collect())
        .collect();
    let began = Instant::now();
    let feeders = sources.iter().map(|sources| send(&node, sources, &sinks, messages / FEEDERS));
    futures::future::join_all(feeders).await;
    let all = messages / 8 + messages / FEEDERS * FEEDERS;
    until_taken(&node, all as u64).await;
    let per_second = messages as f64 / began.elapsed().as_secs_f64();
    // What was taken is said by the slots themselves within a second or two, and counted then.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let bytes = memory() - before;
    node.stop().await;
    (bytes, per_second)
}

async fn until_taken(node: &Node, messages: u64) {
    while node.measured().messages < messages {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn taken(node: &Node, sink: &str) -> i64 {
    match node.get(sink, "taken", false, None).await.map(|got| got.body) {
        Ok(Body::Value(Value::Int(taken))) => taken,
        _ => 0,
    }
}

async fn send(node: &Node, sources: &[String], sinks: &[String], messages: usize) {
    let (mut commands, mut answers, mut answered) = (node.commands(), Vec::new(), 0);
    let mut next = 0;
    while answered < messages {
        while next < messages && next - answered < AHEAD && commands.room() > 0 {
            let sink = &sinks[next % sinks.len()];
            let body = format!(r#"{{"to": "{sink}", "number": {next}, "text": "{next:0100}"}}"#);
            let agent = sources[next % sources.len()].clone();
            let request = Request { agent, lane: "go".into(), body: body.into(), key: None };
            commands.submit(Ticket { id: next as u64, came_us: 0 }, request).expect("there is room");
            next += 1;
        }
        commands.answers(&mut answers).await;
        for (_, end) in answers.drain(..) {
            end.expect("it is taken");
            answered += 1;
        }
    }
}

/// The memory of this process, in bytes.
fn memory() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") * 1024.0
}
