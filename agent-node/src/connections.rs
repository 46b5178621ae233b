//! Accepting connections and serving what comes on them, for every port of a node.
//!
//! *Guarantees*: a connection that asks nothing within three seconds is closed; nothing that a client sends or leaves
//! out ends the port; running out of file descriptors never makes it spin or end; when `accept` returns, no connection
//! of it is left.

use axum::body::Body;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use prometheus_client::metrics::gauge::Gauge;
use proto::wire::{CONNECTION_WINDOW, STREAM_WINDOW};
use std::{
    convert::Infallible,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

const FIRST_REQUEST: Duration = Duration::from_secs(3);
/// How long HTTP/1 may take between requests, and for the headers of one.
const IDLE: Duration = Duration::from_secs(30);
/// From `stop` until what is still open is cut.
const DRAIN: Duration = Duration::from_secs(10);
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// The accept loop: a task for each connection, all of them waited for, until `stop`. A connection ends at once with
/// the token that `cut` gave when it came.
pub async fn accept<R, F>(
    listener: TcpListener,
    open: Gauge,
    stop: CancellationToken,
    cut: impl Fn() -> CancellationToken,
    route: R,
) where
    R: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let builder = Arc::new(builder());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => closed(&open, ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    open.inc();
                    let connection = connection(stream, builder.clone(), route.clone(), stop.clone());
                    let cut = cut();
                    connections.spawn(async move {
                        tokio::select! { () = connection => {}, () = cut.cancelled() => {} }
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    warn!(%error, "no connection can be accepted now");
                    tokio::select! { () = stop.cancelled() => break, () = sleep(ACCEPT_AGAIN) => {} }
                }
            },
        }
    }
    drop(listener);
    let rest = async {
        while let Some(ended) = connections.join_next().await {
            closed(&open, ended);
        }
    };
    if timeout(DRAIN, rest).await.is_err() {
        warn!(connections = connections.len(), "cut after the time for draining");
        connections.shutdown().await;
    }
}

fn closed(open: &Gauge, ended: Result<(), JoinError>) {
    open.dec();
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "a connection ended by a fault of this program");
    }
}

/// Others, such as too many open files, are of the whole process and would come again at once.
pub fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(16 << 10)
        .max_send_buf_size(STREAM_WINDOW as usize)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

async fn connection<R, F>(
    stream: TcpStream,
    builder: Arc<auto::Builder<TokioExecutor>>,
    route: R,
    stop: CancellationToken,
) where
    R: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    // A connection without it works too.
    let _ = stream.set_nodelay(true);
    let asked = AtomicBool::new(false);
    let service = service_fn(|request| {
        asked.store(true, Relaxed);
        let answer = route(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut first = pin!(sleep(FIRST_REQUEST));
    let (mut early, mut stopping) = (true, false);
    loop {
        tokio::select! {
            // How a client left is the client's affair.
            _ = connection.as_mut() => return,
            () = first.as_mut(), if early => {
                if !asked.load(Relaxed) {
                    return;
                }
                early = false;
            }
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
