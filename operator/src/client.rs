//! Clients of the Kubernetes API. Each has a limit on how long an answer may take: kube's own has none.

use kube::{Client, Config};
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);
/// The API server ends each watch after this time, and the watcher begins the next one.
pub const WATCH_S: u32 = 120;

#[derive(Clone)]
pub struct Clients {
    pub asking: Client,
    pub watching: Client,
}

impl Clients {
    /// For the cluster that this runs in, or that the kubeconfig names.
    pub async fn infer() -> anyhow::Result<Clients> {
        let config = Config::infer().await?;
        let watch = Duration::from_secs(u64::from(WATCH_S) + 10);
        let asking = Client::try_from(limited(config.clone(), ANSWER))?;
        Ok(Clients { asking, watching: Client::try_from(limited(config, watch))? })
    }
}

/// Trying again is left to who asked: the holder of a Lease must know at once, and a plan has a back-off of its own.
fn limited(mut config: Config, answer: Duration) -> Config {
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(answer);
    config.write_timeout = Some(ANSWER);
    // Or the time for which a connection lay unused would count.
    config.reset_reader_on_write = true;
    config.default_retry = false;
    config
}
