//! Nodes in processes of their own are killed and started again, in a loop that a seed gives, while clients write, read
//! and watch by every way in; afterwards the checker judges what they were told.

use checker::{Final, History, Rule, State};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::time::Duration;
use tests::history::Clients;
use tests::serve::{Nodes, SLOTS};
use tests::{plans, times};
use tokio::time::timeout;

const NODES: u16 = 3;
/// How much happens between two things that are done to nodes, at most.
const BETWEEN: usize = 600;
/// What that takes at most.
const PATIENCE: Duration = Duration::from_mins(1);

/// Kills nodes, one or two at a time, some while they read their log, and starts them again.
async fn kill_in_a_loop(nodes: &mut Nodes, clients: &Clients, random: &mut StdRng, kills: usize) {
    let mut killed = 0;
    while killed < kills {
        goes_on(clients, random).await;
        let first = random.random_range(0..nodes.count());
        let both = random.random_range(0..4) == 0;
        let dead: Vec<usize> =
            (0..nodes.count()).filter(|node| if both { *node != first } else { *node == first }).collect();
        for node in &dead {
            nodes.kill(*node);
        }
        killed += dead.len();
        goes_on(clients, random).await;
        for node in &dead {
            nodes.begin(*node).unwrap();
            if random.random_range(0..3) == 0 {
                // It may be anywhere in its start.
                goes_on(clients, random).await;
                nodes.kill(*node);
                nodes.begin(*node).unwrap();
                killed += 1;
            }
        }
        for node in dead {
            nodes.serves(node).await;
        }
    }
}

async fn goes_on(clients: &Clients, random: &mut StdRng) {
    let more = random.random_range(1..BETWEEN);
    let happens = clients.observer().goes_on(more);
    assert!(timeout(PATIENCE, happens).await.is_ok(), "nothing happens any more");
}

/// Fails with what is broken, and with the history in a file.
fn is_right(seed: u64, history: &History, finals: &[Final]) {
    let violations = history.check(finals);
    if violations.is_empty() {
        return;
    }
    let file = std::env::temp_dir().join(format!("shoal-history-{seed}.txt"));
    std::fs::write(&file, history.to_string()).unwrap();
    let texts: Vec<String> = violations.iter().take(10).map(ToString::to_string).collect();
    panic!(
        "seed {seed}: {} violations; the history is in {}\n{}",
        violations.len(),
        file.display(),
        texts.join("\n")
    );
}

/// The check is no formality: the same history, with one acknowledged write lost, is not right.
fn would_be_wrong(history: &History, mut finals: Vec<Final>) {
    let counted = finals.iter_mut().find_map(|end| match &mut end.state {
        State::Map(entries) if entries.iter().any(|(_, count)| count == "1") => Some(entries),
        _ => None,
    });
    counted.expect("something was counted").retain(|(_, count)| count != "1");
    let violations = history.check(&finals);
    assert!(violations.iter().any(|violation| violation.rule == Rule::Lost), "{violations:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_are_told_breaks_no_promise_whatever_is_killed() {
    for round in 0..times(1, 20) {
        let seed: u64 =
            std::env::var("SHOAL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
        println!("round {round}, SHOAL_SEED={seed}");
        let data = tempfile::tempdir().unwrap();
        let mut nodes = Nodes::start(plans::HISTORY, NODES, data.path()).await.unwrap();
        let addresses: Vec<String> = (0..nodes.count()).map(|node| nodes.at(node)).collect();
        let clients = Clients::begin(&addresses, SLOTS, seed);
        let mut random = StdRng::seed_from_u64(seed);
        kill_in_a_loop(&mut nodes, &clients, &mut random, times(10, 60)).await;
        let (history, finals) = clients.end().await.unwrap();
        let text = history.to_string();
        let count = |part: &str| text.lines().filter(|line| line.contains(part)).count();
        let of = [
            "ends: Done",
            "ends: Unknown",
            "again",
            "gives",
            "synced",
            "from",
            "reset",
            "update",
            "event",
            "gap",
        ]
        .map(|part| (part, count(part)));
        println!("{} things happened, {of:?}", history.len());
        is_right(seed, &history, &finals);
        would_be_wrong(&history, finals);
    }
}
