//! The public ports of a plan on this machine: held from the start, answered when all nodes serve.

use crate::connections;
use crate::ways::grpc::Addresses;
use anyhow::Context as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::{TcpListener, TcpSocket};

/// Nobody can connect to them yet.
pub struct Ports(Vec<(SocketAddr, TcpSocket)>);

impl Ports {
    /// One for each node, the first of them for node 0.
    pub fn hold(first: u16, nodes: u16) -> anyhow::Result<Ports> {
        let held = (0..nodes).map(|node| {
            let at = SocketAddr::from((Ipv4Addr::LOCALHOST, first + node));
            connections::hold(at).with_context(|| taken(node, at)).map(|socket| (at, socket))
        });
        Ok(Ports(held.collect::<Result<_, _>>()?))
    }

    pub fn listen(self) -> anyhow::Result<Vec<TcpListener>> {
        let listen = |(node, (at, socket)): (usize, (SocketAddr, TcpSocket))| {
            connections::listen(socket).with_context(|| taken(node as u16, at))
        };
        self.0.into_iter().enumerate().map(listen).collect()
    }
}

fn taken(node: u16, at: SocketAddr) -> String {
    format!(
        "node {node} can't answer on {at}: end what answers there, or name another first port with --port"
    )
}

/// Where each node answers, for people.
pub fn table(nodes: &[Addresses]) -> String {
    let mut lines = vec![format!("{:<6}{:<18}{:<18}{}", "node", "clients", "peers", "metrics, probes")];
    for (node, Addresses { client, peer, metrics }) in nodes.iter().enumerate() {
        // Texts are padded, addresses are not.
        let (client, peer) = (client.to_string(), peer.to_string());
        lines.push(format!("{node:<6}{client:<18}{peer:<18}{metrics}"));
    }
    lines.join("\n")
}

/// For what may answer anywhere on this machine.
pub async fn any() -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn nobody_connects_before_they_are_answered() {
        let at = any().await.unwrap().local_addr().unwrap();
        let ports = Ports::hold(at.port(), 1).unwrap();
        assert!(TcpStream::connect(at).await.is_err());
        let listening = ports.listen().unwrap();
        TcpStream::connect(at).await.unwrap();
        let error = format!("{:#}", Ports::hold(at.port(), 1).err().unwrap());
        assert!(error.contains(&at.to_string()) && error.contains("--port"), "{error}");
        drop(listening);
        Ports::hold(at.port(), 1).unwrap().listen().unwrap();
    }
}
