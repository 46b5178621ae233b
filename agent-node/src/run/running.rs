//! A node with its ports, in a pod or beside others on one machine.
//!
//! *Guarantees*: what was taken is answered before the node stops; when `stop` returns, nothing of it runs.

use crate::log::Progress;
use crate::node::Node;
use crate::ways::grpc::Addresses;
use crate::ways::metrics::{self, Metrics, Subject};
use crate::ways::port;
use crate::ways::site::Hosts;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error};

pub struct Running {
    node: Node,
    addresses: Addresses,
    client: Port,
    /// They tell how the node stops, and so end after it.
    metrics: Port,
}

struct Port {
    task: JoinSet<()>,
    stop: CancellationToken,
}

impl Port {
    fn begin<F>(serve: impl FnOnce(CancellationToken) -> F) -> Port
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (mut task, stop) = (JoinSet::new(), CancellationToken::new());
        task.spawn(serve(stop.clone()).in_current_span());
        Port { task, stop }
    }

    async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.task.join_next().await {
            told(ended);
        }
    }
}

/// Answers before there is a node.
pub struct MetricsPort {
    at: SocketAddr,
    subject: Arc<Subject>,
    counted: Arc<Metrics>,
    hosts: Hosts,
    port: Port,
}

impl MetricsPort {
    /// `hosts` are those for which this port and the public one answer.
    pub fn begin(listener: TcpListener, hosts: Hosts) -> io::Result<MetricsPort> {
        let (at, subject, counted) =
            (listener.local_addr()?, Arc::<Subject>::default(), Arc::<Metrics>::default());
        let (of, counts) = (subject.clone(), counted.clone());
        let port = Port::begin(|stop| metrics::serve(listener, of, counts, hosts, stop));
        Ok(MetricsPort { at, subject, counted, hosts, port })
    }

    /// What the node tells while it reads its log.
    pub fn reading(&self) -> Arc<Progress> {
        self.subject.reading.clone()
    }
}

impl Running {
    pub fn begin(
        node: Node,
        peer: SocketAddr,
        client: TcpListener,
        metrics: MetricsPort,
    ) -> io::Result<Running> {
        let MetricsPort { at, subject, counted, hosts, port: metrics } = metrics;
        let addresses = Addresses { client: client.local_addr()?, peer, metrics: at };
        subject.has_begun(node.clone());
        let served = node.clone();
        let client = Port::begin(|stop| port::serve(client, served, counted, addresses, hosts, stop));
        Ok(Running { node, addresses, client, metrics })
    }

    /// Where it answers.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Waits until this node can't go on, and says why. May be dropped at any await.
    pub async fn fails(&mut self) -> String {
        let ended = tokio::select! {
            why = self.node.fails() => return why,
            ended = self.client.task.join_next() => ended,
            ended = self.metrics.task.join_next() => ended,
        };
        match ended {
            Some(Err(error)) => format!("a port failed: {error}"),
            _ => "a port has ended".into(),
        }
    }

    /// Takes nothing new, answers what was taken, and lets the data folder go.
    pub async fn stop(self) {
        self.client.stop().await;
        self.node.stop().await;
        self.metrics.stop().await;
    }
}

fn told(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(%error, "a port failed");
    }
}
