//! `serve`: one node of a plan, in a pod. Its operator gives it plan and ring.

use crate::connections;
use crate::logging::{self, LogArgs};
use crate::node::{self, Node};
use crate::run::running::{MetricsPort, Running};
use crate::run::signals::Signals;
use crate::snapshot;
use crate::ways::site::Hosts;
use anyhow::{Context as _, bail};
use proto::shown::Exit;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;
use tokio::net::TcpListener;
use tracing::{Instrument as _, error, info, info_span};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The data folder
    #[arg(long, env = "SHOAL_DATA")]
    data: PathBuf,
    /// The uid of the plan that the data folder is written for
    #[arg(long, env = "SHOAL_PLAN_UID")]
    plan_uid: String,
    /// The uid of the plan that has adopted the data folder, if it is another one
    #[arg(long, env = "SHOAL_ADOPTED_BY")]
    adopted_by: Option<String>,
    /// The name of the pod, NAME-N, where N is the number of the node
    #[arg(long, env = "POD_NAME")]
    pod_name: String,
    /// The folder with tls.crt, tls.key and ca.crt: what this node shows other nodes, and which CAs it trusts
    #[arg(long, env = "SHOAL_CERTIFICATES")]
    certificates: PathBuf,
    /// The address and port for clients
    #[arg(long, env = "SHOAL_LISTEN", default_value = "[::]:7777")]
    listen: SocketAddr,
    /// The address and port for other nodes and the operator
    #[arg(long, env = "SHOAL_PEER_LISTEN", default_value = "[::]:7778")]
    peer_listen: SocketAddr,
    /// The address and port of /metrics, /livez and /readyz
    #[arg(long, env = "SHOAL_METRICS_LISTEN", default_value = "[::]:7779")]
    metrics_listen: SocketAddr,
    /// The number of threads that run agents; if unset, one per core
    #[arg(long, env = "SHOAL_SHARDS")]
    shards: Option<NonZeroUsize>,
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    data: PathBuf,
    plan_uid: String,
    adopted_by: Option<String>,
    ordinal: u16,
    certificates: PathBuf,
    listen: SocketAddr,
    peer_listen: SocketAddr,
    metrics_listen: SocketAddr,
    shards: usize,
    /// For sockets.
    pub threads: usize,
    log: logging::Config,
}

impl TryFrom<Args> for Config {
    type Error = String;

    fn try_from(args: Args) -> Result<Config, String> {
        let Args {
            data,
            plan_uid,
            adopted_by,
            pod_name,
            certificates,
            listen,
            peer_listen,
            metrics_listen,
            shards,
            log,
        } = args;
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        Ok(Config {
            data,
            plan_uid,
            adopted_by,
            ordinal: ordinal(&pod_name)?,
            certificates,
            listen,
            peer_listen,
            metrics_listen,
            shards: shards.map_or(cores, NonZeroUsize::get),
            threads: cores.min(8),
            log: log.into(),
        })
    }
}

fn ordinal(pod_name: &str) -> Result<u16, String> {
    let digits = pod_name.rsplit_once('-').map(|(_, digits)| digits);
    let digits =
        digits.filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    let ordinal = digits.and_then(|digits| digits.parse().ok());
    ordinal
        .ok_or_else(|| format!("--pod-name {pod_name}: NAME-N is expected, as a StatefulSet names its pods"))
}

pub async fn run(config: Config) -> Exit {
    let _logs = match super::begin(&config.log) {
        Ok(logs) => logs,
        Err(exit) => return exit,
    };
    let of_node = info_span!("node", n = config.ordinal);
    match lives(config).instrument(of_node.clone()).await {
        Ok(()) => Exit::Done,
        Err(error) => {
            of_node.in_scope(|| error!("{error:#}"));
            Exit::Refused
        }
    }
}

/// Until a signal ends it, or it can't go on.
async fn lives(config: Config) -> anyhow::Result<()> {
    let mut signals = Signals::catch()?;
    let mut running = tokio::select! {
        running = begin(config) => running?,
        signal = signals.next() => {
            info!(signal, "ended before it served");
            return Ok(());
        }
    };
    let failed = tokio::select! {
        why = running.fails() => Some(why),
        signal = signals.next() => {
            info!(signal, "stopping");
            None
        }
    };
    tokio::select! {
        () = running.stop() => info!("stopped"),
        signal = signals.next() => info!(signal, "ended before it had stopped"),
    }
    failed.map_or(Ok(()), |why| bail!(why))
}

async fn begin(config: Config) -> anyhow::Result<Running> {
    let Config {
        data,
        plan_uid,
        adopted_by,
        ordinal,
        certificates,
        listen,
        peer_listen,
        metrics_listen,
        shards,
        threads: _,
        log: _,
    } = config;
    let (client, metrics) = (bind(listen, "clients")?, bind(metrics_listen, "metrics")?);
    // A long log may be read for longer than a probe waits.
    let metrics = MetricsPort::begin(metrics, Hosts::Any)?;
    let reading = metrics.reading();
    let node = node::Config {
        data,
        ordinal,
        plan_uid,
        adopted_by,
        certificates,
        peer_listen,
        shards,
        snapshots: snapshot::LIMITS,
        reading,
    };
    let (node, peer) = Node::start(node).await?;
    info!(%listen, %peer, "serving");
    Ok(Running::begin(node, peer, client, metrics)?)
}

fn bind(at: SocketAddr, whom: &str) -> anyhow::Result<TcpListener> {
    let listener = connections::hold(at).and_then(connections::listen);
    listener.with_context(|| format!("{at}, for {whom}, can't be listened on"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_node_is_the_end_of_its_pods_name() {
        for (name, expected) in [
            ("flights-0", Some(0)),
            ("a-b-17", Some(17)),
            ("flights", None),
            ("flights-", None),
            ("flights-x", None),
            ("flights-+1", None),
            ("flights-70000", None),
        ] {
            assert_eq!(ordinal(name).ok(), expected, "{name}");
        }
    }
}
