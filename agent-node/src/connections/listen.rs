//! Ports that take a burst of connections.

use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpSocket};

/// So many connections may wait until they are accepted, as far as `net.core.somaxconn` allows. For those over it the
/// kernel drops what clients send, and they try again seconds later.
const WAITING: u32 = 1_024;

/// Taken, though nobody can connect yet.
pub fn hold(at: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of a process that was killed do not stand in the way of the next one.
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    Ok(socket)
}

pub fn listen(socket: TcpSocket) -> io::Result<TcpListener> {
    socket.listen(WAITING)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpStream};
    use std::time::Duration;

    #[tokio::test]
    async fn a_burst_of_connections_waits_to_be_accepted() {
        let listener = listen(hold((Ipv4Addr::LOCALHOST, 0).into()).unwrap()).unwrap();
        let at = listener.local_addr().unwrap();
        let connect = |_| TcpStream::connect_timeout(&at, Duration::from_millis(900)).unwrap();
        let waiting: Vec<TcpStream> = (0..1_024).map(connect).collect();
        assert_eq!(waiting.len(), 1_024);
    }
}
