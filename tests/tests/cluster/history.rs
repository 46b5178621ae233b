//! Clients write, read and watch by every way in while pods are killed; the checker judges what they were told.

use crate::loss::{back_again, end};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tests::cluster::Scene;
use tests::history::{Clients, is_right, seed};
use tests::serve::SLOTS;
use tests::{plans, times};

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_are_told_breaks_no_promise_whatever_pod_is_killed() {
    for round in 0..times(1, 5) {
        let (seed, of) = (seed(), format!("replicas: 3\n  slots: {SLOTS}\n  storage: {{size: 1Gi}}\n"));
        println!("round {round}, SHOAL_SEED={seed}");
        let scene = Scene::with_plan("history", &plans::HISTORY.replace("replicas: 3\n", &of)).await;
        let mut addresses = scene.addresses();
        addresses.push(scene.service());
        let clients = Clients::begin(&addresses, SLOTS, seed);
        let mut random = StdRng::seed_from_u64(seed);
        // Each of them once: a container that ends again and again is started ever later.
        let mut ordinals: Vec<usize> = (0..3).collect();
        ordinals.shuffle(&mut random);
        while !ordinals.is_empty() {
            clients.go_on(&mut random).await;
            let both = random.random_range(0..3) == 0;
            let ended: Vec<usize> = ordinals.drain(..ordinals.len().min(1 + usize::from(both))).collect();
            let ended: Vec<_> = ended.into_iter().map(|ordinal| (ordinal, end(&scene, ordinal))).collect();
            clients.go_on(&mut random).await;
            for (ordinal, before) in &ended {
                back_again(&scene, *ordinal, before).await;
            }
        }
        clients.go_on(&mut random).await;
        scene.settled().await;
        let (history, finals) = clients.end().await.unwrap();
        is_right(seed, &history, &finals);
    }
}
