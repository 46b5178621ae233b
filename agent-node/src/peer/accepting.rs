//! Port 7778: accepts nodes of the plan and its operator, and nobody else.
//!
//! *Guarantees.* Before a certificate has been taken, nothing but a handshake is read, in bounded time, and of no more
//! than so many at once: when more come, the oldest one gives way, so that strangers who begin handshakes and leave
//! them keep nobody out. What a call may bring is bounded by its kind, and how many of a kind are at work at once.
//! When new certificates come into force, connections of before end.

use super::access::{self, Call};
use super::certificates::{Certificates, InForce, now_s};
use crate::connections::{is_of_one_connection, peers_max};
use axum::Router;
use axum::body::Body;
use http_body_util::{BodyExt as _, Limited};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use proto::trust::{Fault, Role};
use proto::wire::{CONNECTION_WINDOW, STREAM_WINDOW};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::service::Routes;
use tower::ServiceExt as _;
use tracing::{Instrument as _, Span, error, warn};

/// From the acceptance of a connection until its certificate is taken.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// Each holds up to 100 KiB.
pub const HANDSHAKES_MAX: usize = 128;
/// The most connections whose certificate was taken. A node has one from each other node, and some from the operator.
pub const CONNECTIONS_MAX: usize = 1_024;
/// The most calls on one connection.
const CALLS_MAX: u32 = 16;
/// A plan and a ring at their largest.
pub const CONFIGURE_BYTES: usize = 8 << 20;
/// Hints for a plan at its largest.
pub const REPORT_BYTES: usize = 16 << 10;
/// So many of each kind are read and decoded at once; the others wait, unread.
const CONFIGURES_AT_ONCE: usize = 2;
const REPORTS_AT_ONCE: usize = 16;
/// Streams whose first frame has not been taken yet.
const GREETINGS_AT_ONCE: usize = 8;
/// Until the turn of a call, and again until its body has come.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is said that connections are closed because there are too many.
const SAY_AGAIN: Duration = Duration::from_mins(1);
/// Until one that is turned away has read why.
const LINGER: Duration = Duration::from_millis(500);
/// From `stop` until what is still open is cut.
const DRAIN: Duration = Duration::from_secs(10);
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Answers peers and the operator until `stop`, and returns when no connection is left.
pub async fn accept(
    listener: TcpListener,
    certificates: Arc<Certificates>,
    routes: Routes,
    stop: CancellationToken,
) {
    let port = Arc::new(Port {
        http: builder(),
        router: routes.prepare().into_axum_router(),
        greeting: Semaphore::new(GREETINGS_AT_ONCE),
        configuring: Semaphore::new(CONFIGURES_AT_ONCE),
        reporting: Semaphore::new(REPORTS_AT_ONCE),
        stop: stop.clone(),
    });
    let (connections_max, handshakes_max) =
        (CONNECTIONS_MAX.min(peers_max()), HANDSHAKES_MAX.min(peers_max()));
    let (mut handshakes, mut connections) = (JoinSet::new(), JoinSet::new());
    let (mut begun, mut said) = (VecDeque::new(), None);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(shaken) = handshakes.join_next() => match shaken {
                Ok(Some(caller)) if connections.len() < connections_max => {
                    connections.spawn(port.clone().serve(caller).in_current_span());
                }
                Ok(Some(_)) if said.is_none_or(|said: Instant| said.elapsed() >= SAY_AGAIN) => {
                    said = Some(Instant::now());
                    warn!(
                        connections_max,
                        "connections of other nodes are closed: there are too many for the files that this process \
                         may have open (ulimit -n)"
                    );
                }
                Ok(_) => {}
                Err(error) => told(&error),
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended { told(&error) }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    if let Some(from) = make_room(&mut begun, handshakes_max) {
                        certificates.complain(&from.to_string(), &Fault::Slow);
                    }
                    let handshake = handshakes.spawn(shake_hands(stream, from, certificates.clone()).in_current_span());
                    begun.push_back((from, handshake));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    warn!(%error, "no connection of a peer can be accepted now");
                    tokio::select! { () = stop.cancelled() => break, () = sleep(ACCEPT_AGAIN) => {} }
                }
            },
        }
    }
    drop(listener);
    handshakes.shutdown().await;
    let rest = async { while connections.join_next().await.is_some() {} };
    if timeout(DRAIN, rest).await.is_err() {
        connections.shutdown().await;
    }
}

fn told(error: &JoinError) {
    if error.is_panic() {
        error!(%error, "a connection of a peer ended because of a bug in this program; please report it");
    }
}

/// The oldest handshake gives way when there are too many. Gives whose that was.
fn make_room(begun: &mut VecDeque<(SocketAddr, AbortHandle)>, most: usize) -> Option<SocketAddr> {
    if begun.len() < most {
        return None;
    }
    begun.retain(|(_, handshake)| !handshake.is_finished());
    let (from, oldest) = if begun.len() < most { None } else { begun.pop_front() }?;
    oldest.abort();
    Some(from)
}

/// Runs calls under the span of their node.
#[derive(Clone)]
struct Calls(Span);

impl<F> Executor<F> for Calls
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, call: F) {
        tokio::spawn(call.instrument(self.0.clone()));
    }
}

fn builder() -> http2::Builder<Calls> {
    let mut builder = http2::Builder::new(Calls(Span::current()));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(CALLS_MAX)
        .max_header_list_size(16 << 10)
        .max_send_buf_size(STREAM_WINDOW as usize)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

/// One whose certificate was taken.
struct Caller {
    stream: TlsStream<TcpStream>,
    role: Role,
    with: Arc<InForce>,
}

async fn shake_hands(stream: TcpStream, from: SocketAddr, certificates: Arc<Certificates>) -> Option<Caller> {
    let with = certificates.in_force();
    // A connection without it works too.
    let _ = stream.set_nodelay(true);
    let shaken = timeout(HANDSHAKE, TlsAcceptor::from(with.server.clone()).accept(stream).into_fallible());
    let stream = match shaken.await {
        Ok(Ok(stream)) => stream,
        Ok(Err((error, stream))) => {
            // Whoever comes and goes without a word is no news: probes do so.
            if error.kind() != io::ErrorKind::UnexpectedEof {
                certificates.complain(&from.to_string(), &fault(&error));
            }
            linger(stream).await;
            return None;
        }
        Err(_) => {
            certificates.complain(&from.to_string(), &Fault::Slow);
            return None;
        }
    };
    let [certificate, ..] = stream.get_ref().1.peer_certificates()? else { return None };
    let role = with.credentials.verifier().role_of_client(certificate, now_s()).ok()?;
    if role == Role::Node {
        certificates.took(certificate);
    }
    Some(Caller { stream, role, with })
}

fn fault(error: &io::Error) -> Fault {
    Fault::of(error).unwrap_or_else(|| Fault::Other(error.to_string()))
}

/// A socket that is closed with something unread in it takes back the alert that says why.
async fn linger(mut stream: TcpStream) {
    let rest = async {
        let _ = stream.shutdown().await;
        let mut unread = [0; 1024];
        while matches!(stream.read(&mut unread).await, Ok(1..)) {}
    };
    let _ = timeout(LINGER, rest).await;
}

struct Port {
    http: http2::Builder<Calls>,
    router: Router,
    greeting: Semaphore,
    configuring: Semaphore,
    reporting: Semaphore,
    stop: CancellationToken,
}

impl Port {
    async fn serve(self: Arc<Self>, caller: Caller) {
        let Caller { stream, role, with } = caller;
        let port = self.clone();
        let service = service_fn(move |request| {
            let port = port.clone();
            async move {
                let answer = port.answer(role, request).await;
                Ok::<_, Infallible>(answer.unwrap_or_else(Status::into_http))
            }
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        let mut stopping = false;
        loop {
            tokio::select! {
                // How a peer left is its own affair: who waits for it learns that it is gone.
                _ = connection.as_mut() => return,
                () = with.replaced.cancelled() => return,
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    /// Answers a call. The answer to a stream between nodes comes when its first frame has been taken.
    async fn answer(&self, role: Role, request: Request<Incoming>) -> Result<Response<Body>, Status> {
        let (turns, bytes) = match access::call(role, request.uri().path())? {
            Call::Exchange => (&self.greeting, None),
            Call::Configure => (&self.configuring, Some(CONFIGURE_BYTES)),
            Call::Report => (&self.reporting, Some(REPORT_BYTES)),
        };
        let busy = |_| Status::unavailable("too many calls of this kind are at work: try again");
        let turn = timeout(PATIENCE, turns.acquire()).await.map_err(busy)?;
        let request = match bytes {
            Some(bytes) => whole(request, bytes).await?,
            None => request.map(Body::new),
        };
        let Ok(response) = self.router.clone().oneshot(request).await;
        drop(turn);
        Ok(response)
    }
}

/// With a body that has come in time and is no longer than that.
async fn whole(request: Request<Incoming>, bytes: usize) -> Result<Request<Body>, Status> {
    let (head, body) = request.into_parts();
    let body = timeout(PATIENCE, Limited::new(body, bytes).collect()).await;
    let body = body.map_err(|_| Status::deadline_exceeded("the request did not come in time"))?;
    let body = body.map_err(|error| Status::out_of_range(format!("the request cannot be taken: {error}")))?;
    Ok(Request::from_parts(head, Body::from(body.to_bytes())))
}
