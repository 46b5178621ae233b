//! How this node reaches another one: TLS over TCP, and HTTP/2 on it.

use super::certificates::{Certificates, InForce};
use hyper_util::rt::TokioIo;
use proto::wire::{CONNECTION_WINDOW, STREAM_WINDOW};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncBufReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::http::Uri;
use tonic::transport::{self, Channel, Endpoint};
use tower::service_fn;

/// For TCP and the handshake.
const CONNECT: Duration = Duration::from_secs(2);
/// A peer that is silent for so long after being asked for a sign of life is not there.
const SILENCE: Duration = Duration::from_secs(3);
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Connects to where a node answers its peers: `HOST:PORT`. Both sides have taken each other's certificate.
pub async fn connect(
    at: &str,
    certificates: &Arc<Certificates>,
    with: &Arc<InForce>,
) -> Result<Channel, transport::Error> {
    let certificates = certificates.clone();
    dial(at, with.client.clone(), with.node.clone(), move |certificate| certificates.took(certificate)).await
}

/// Connects to this name with these settings, and shows the certificate that has been taken.
pub async fn dial(
    at: &str,
    client: Arc<ClientConfig>,
    name: ServerName<'static>,
    took: impl Fn(&CertificateDer<'_>) + Clone + Send + 'static,
) -> Result<Channel, transport::Error> {
    let to = Arc::<str>::from(at);
    let connector = service_fn(move |_: Uri| {
        let (to, client, name, took) = (to.clone(), client.clone(), name.clone(), took.clone());
        async move {
            let stream = shake_hands(&to, client, name).await?;
            if let Some([certificate, ..]) = stream.get_ref().1.peer_certificates() {
                took(certificate);
            }
            Ok::<_, Error>(TokioIo::new(stream))
        }
    });
    Endpoint::from_shared(format!("http://{at}"))?
        .connect_timeout(CONNECT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(SIGN_OF_LIFE)
        .keep_alive_timeout(SILENCE)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
}

async fn shake_hands(
    at: &str,
    client: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<TlsStream<TcpStream>, Error> {
    let stream = TcpStream::connect(at).await?;
    // A connection without it works too.
    let _ = stream.set_nodelay(true);
    let mut stream = TlsConnector::from(client).connect(name, stream).await?;
    // In TLS 1.3 the caller is done before the other side has looked at its certificate. What comes next, the settings
    // of HTTP/2 or an alert, says how that went.
    if stream.fill_buf().await?.is_empty() {
        return Err(Error::new(ErrorKind::UnexpectedEof, "it has closed the connection after the handshake"));
    }
    Ok(stream)
}
