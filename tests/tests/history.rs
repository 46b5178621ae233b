//! Nodes in processes of their own are killed and started again, in a loop that a seed gives, while clients write, read
//! and watch by every way in; afterwards the checker judges what they were told.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tests::history::{Clients, is_right, seed};
use tests::serve::{Nodes, SLOTS};
use tests::{plans, times};

const NODES: u16 = 3;

/// Kills nodes, one or two at a time, some while they read their log, and starts them again.
async fn kill_in_a_loop(nodes: &mut Nodes, clients: &Clients, random: &mut StdRng, kills: usize) {
    let mut killed = 0;
    while killed < kills {
        clients.go_on(random).await;
        let first = random.random_range(0..nodes.count());
        let both = random.random_range(0..4) == 0;
        let dead: Vec<usize> =
            (0..nodes.count()).filter(|node| if both { *node != first } else { *node == first }).collect();
        for node in &dead {
            nodes.kill(*node);
        }
        killed += dead.len();
        clients.go_on(random).await;
        for node in &dead {
            nodes.begin(*node).unwrap();
            if random.random_range(0..3) == 0 {
                // It may be anywhere in its start.
                clients.go_on(random).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_are_told_breaks_no_promise_whatever_is_killed() {
    for round in 0..times(1, 20) {
        let seed = seed();
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
    }
}
