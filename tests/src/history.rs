//! Clients that write, read and watch the plan [`HISTORY`](crate::plans::HISTORY) by every way in while its nodes die and
//! come back, and the history that they make of it for the `checker`. What they run on is a list of addresses.

mod http;
mod judged;
mod observer;
mod reader;
mod watcher;
mod writer;

pub use judged::is_right;
pub use observer::Observer;

use anyhow::{Context as _, Result};
use checker::{Final, History};
use observer::THINGS;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How much happens between two things that are done to nodes, at most.
const BETWEEN: usize = 600;
/// What that takes at most.
const PATIENCE: Duration = Duration::from_mins(1);
/// What everything takes at most that has to end once all nodes are back.
const HEALS: Duration = Duration::from_secs(45);
const READERS: u64 = 3;
const WATCHERS: u64 = 6;

/// `SHOAL_SEED`, or another one each time.
pub fn seed() -> u64 {
    std::env::var("SHOAL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random)
}

/// All clients of one run.
pub struct Clients {
    observer: Arc<Observer>,
    addresses: Vec<String>,
    writers: JoinSet<()>,
    watchers: JoinSet<()>,
}

impl Clients {
    /// They go on until [`Clients::end`].
    pub fn begin(addresses: &[String], slots: u32, seed: u64) -> Clients {
        let observer = Arc::new(Observer::new(slots));
        let (mut writers, mut watchers) = (JoinSet::new(), JoinSet::new());
        let mut seeds = StdRng::seed_from_u64(seed);
        let mut seat = || observer::Seat {
            observer: observer.clone(),
            addresses: addresses.to_vec(),
            random: StdRng::seed_from_u64(seeds.random()),
        };
        for (number, way) in (0..).zip(writer::WAYS) {
            for keyed in [false, true] {
                let name = keyed.then(|| format!("client-{number}"));
                writers.spawn(writer::run(seat(), *way, name));
            }
        }
        for _ in 0..READERS {
            writers.spawn(reader::run(seat()));
        }
        for _ in 0..WATCHERS {
            watchers.spawn(watcher::run(seat()));
        }
        Clients { observer, addresses: addresses.to_vec(), writers, watchers }
    }

    /// Until some more has happened.
    pub async fn go_on(&self, random: &mut StdRng) {
        let more = random.random_range(1..BETWEEN);
        let happens = self.observer.goes_on(more);
        assert!(timeout(PATIENCE, happens).await.is_ok(), "nothing happens any more");
    }

    /// All nodes are back: lets everything come to its end, reads the final state from each node, and gives the history.
    pub async fn end(mut self) -> Result<(History, Vec<Final>)> {
        self.observer.ends();
        timeout(HEALS, async { while self.writers.join_next().await.is_some_and(|end| end.is_ok()) {} })
            .await
            .context("clients have not come to an end")?;
        self.write_last().await?;
        // What does not come in time, the check will miss.
        let _ = timeout(HEALS, self.messages_have_come()).await;
        let mut finals = Vec::new();
        for address in &self.addresses {
            finals.extend(reader::finals(&self.observer, address).await?);
        }
        let _ = timeout(HEALS, self.observer.watchers_have_all(&finals)).await;
        self.watchers.abort_all();
        Ok((self.observer.take(), finals))
    }

    /// Changes each lane once more, so that whoever watches it has something to be told. Each agent sends to each: when
    /// these messages have come, so have all before them.
    async fn write_last(&self) -> Result<()> {
        let mut last = writer::Keyed::new("last", &self.addresses);
        self.observer.last_begin();
        for from in 0..THINGS {
            for asked in self.observer.last_writes(from) {
                timeout(HEALS, last.through(&self.observer, asked)).await.context("a last write")?;
            }
        }
        Ok(())
    }

    async fn messages_have_come(&self) {
        let address = &self.addresses[0];
        while !reader::messages_have_come(&self.observer, address).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
