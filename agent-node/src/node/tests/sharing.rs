//! Long answers beside everything else that two nodes say to each other.

use super::watching::{is_value, told};
use super::*;
use crate::link::EventKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const ENTRIES: usize = 200;
const ENTRY: usize = 50_000;
const READERS: usize = 4;
const ROUNDS: u64 = 25;
/// How long a command and its update may take, however many reads are answered meanwhile.
const WAIT_MAX: Duration = Duration::from_secs(2);
const NEVER: Duration = Duration::from_mins(1);

/// Sends commands one after the other, each when the update of the one before has come, all through another node than
/// the owner; gives the longest wait for an answer and its update.
async fn longest(node: &Node, links: &Links, agent: &str, events: std::ops::Range<u64>) -> Duration {
    let mut longest = Duration::ZERO;
    for event in events {
        let began = Instant::now();
        let round = async {
            node.send(add(agent, event, None)).await.unwrap();
            told(links, 1, |told| is_value(told, &event.to_string())).await;
        };
        tokio::time::timeout(NEVER, round).await.expect("an answer and its update");
        longest = longest.max(began.elapsed());
    }
    longest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_and_updates_flow_beside_reads_of_a_large_map() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent_of(1);
    let long = "x".repeat(ENTRY);
    let put = |n: usize| {
        let body = format!("{{\"update\": {{\"key\": {n}, \"value\": \"{long}\"}}}}").into();
        Request { agent: agent.clone(), lane: "marks".into(), body, key: None }
    };
    for some in (0..ENTRIES).collect::<Vec<_>>().chunks(50) {
        let ends = send_all(cluster.node(1), some.iter().copied().map(put).collect()).await;
        assert!(ends.values().all(Result::is_ok));
    }
    let node = cluster.node(0);
    let links = node.links();
    links.open(1, &agent, "n", None, None);
    told(&links, 1, |event| event.kind == EventKind::Synced).await;
    let alone = longest(node, &links, &agent, 1..ROUNDS).await;
    let reads = Arc::new(AtomicU64::new(0));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..READERS {
        let (node, agent, reads) = (node.clone(), agent.clone(), reads.clone());
        readers.spawn(async move {
            loop {
                match node.get(&agent, "marks", false, None).await {
                    Ok(got) => {
                        assert!(matches!(got.body, Body::Map(entries) if entries.len() == ENTRIES));
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                    // On a slow machine an answer may take longer than a read waits for it.
                    Err(refusal) => assert_eq!(refusal.code, 503, "{refusal:?}"),
                }
            }
        });
    }
    until(|| reads.load(Ordering::Relaxed) >= READERS as u64).await;
    let before = reads.load(Ordering::Relaxed);
    let beside = longest(node, &links, &agent, ROUNDS..2 * ROUNDS).await;
    let done = reads.load(Ordering::Relaxed) - before;
    // In the order of their asking, each command and each update would wait for the answers to all readers.
    let few = done < ROUNDS * READERS as u64 / 2;
    let of_mb = ENTRIES * ENTRY / 1_000_000;
    assert!(few || beside < WAIT_MAX, "{beside:?} beside {done} reads of {of_mb} MB, {alone:?} alone");
    readers.shutdown().await;
}
