//! Accepting connections and serving what comes on them, for every port of a node.
//!
//! *Guarantees*: a connection that asks nothing is closed; nothing that a client sends, leaves out or does not read
//! ends the port or is kept for long; no more connections are taken than leave the node the files that it needs;
//! running out of file descriptors never makes it spin or end; when `accept` returns, no connection of it is left.

mod idle;
mod listen;
mod messages;
mod pace;
mod requests;
mod room;
mod socket;
mod streams;
mod unread;
mod untaken;

pub use listen::{hold, listen};
pub use requests::{BodyError, RequestBody, held as request_bytes};
pub use room::{Port, peers_max, raise_files};
pub use unread::{bytes as unread_bytes, room as unread_room};
pub use untaken::Untaken;

use crate::lock::lock;
use axum::body::Body;
use hyper::{Request, Response, Version, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use idle::{Activity, Verdict};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use proto::wire::STREAM_WINDOW;
use socket::Socket;
use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};
use streams::{Paced, Streams};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{AbortHandle, JoinError, JoinSet, yield_now},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// How long HTTP/1 may take between requests, and for the headers of one.
const IDLE: Duration = Duration::from_secs(30);
/// From `stop` until what is still open is cut.
const DRAIN: Duration = Duration::from_secs(10);
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// What one port counts. Clones count into the same numbers.
#[derive(Clone, Default)]
pub struct Counted {
    /// Open connections.
    pub open: Gauge,
    /// Connections for which there was no room.
    pub refused: Counter,
    /// Requests and streams that have not ended.
    pub under_way: Gauge,
    /// Connections closed and streams reset because too little was taken of what was due.
    pub slow: Counter,
}

/// The accept loop: a task for each connection, all of them waited for, until `stop`. A connection ends at once with
/// the token that `cut` gave when it came.
pub async fn accept<R, F>(
    listener: TcpListener,
    port: Port,
    counted: Counted,
    stop: CancellationToken,
    cut: impl Fn() -> CancellationToken,
    route: R,
) where
    R: Fn(Request<RequestBody>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let (builder, places) = (builder(&counted), room::places(port));
    let (mut connections, mut oldest) = (JoinSet::new(), VecDeque::new());
    // Said once until there is room, or a connection, again.
    let (mut is_full, mut fails) = (false, false);
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => {
                closed(&counted, ended);
                continue;
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) if is_of_one_connection(&error) => continue,
                Err(error) => {
                    if !std::mem::replace(&mut fails, true) {
                        warn!(%error, ?port, "no connection can be accepted now");
                    }
                    tokio::select! { () = stop.cancelled() => break, () = sleep(ACCEPT_AGAIN) => continue }
                }
            },
        };
        fails = false;
        if port == Port::Metrics {
            make_room(&mut oldest, &places).await;
        }
        // Who is let in knows it by an answer, and who is not by the end: so it can ask another node.
        let Ok(place) = places.clone().try_acquire_owned() else {
            counted.refused.inc();
            if !std::mem::replace(&mut is_full, true) {
                warn!(?port, open = counted.open.get(), "no more connections are taken: the port is full");
            }
            continue;
        };
        is_full = false;
        counted.open.inc();
        let served =
            Served { stream, place, builder: builder.clone(), counted: counted.clone(), stop: stop.clone() };
        let (connection, cut) = (connection(served, route.clone()), cut());
        let task = connections.spawn(async move {
            tokio::select! { () = connection => {}, () = cut.cancelled() => {} }
        });
        if port == Port::Metrics {
            oldest.push_back(task);
        }
    }
    drop(listener);
    let rest = async {
        while let Some(ended) = connections.join_next().await {
            closed(&counted, ended);
        }
    };
    if timeout(DRAIN, rest).await.is_err() {
        warn!(connections = connections.len(), "cut after the time for draining");
        connections.shutdown().await;
    }
}

/// On the port of probes the oldest connection gives way to a new one: who holds them all must not look like a node that
/// is dead.
async fn make_room(oldest: &mut VecDeque<AbortHandle>, places: &Semaphore) {
    oldest.retain(|task| !task.is_finished());
    while places.available_permits() == 0
        && let Some(task) = oldest.pop_front()
    {
        task.abort();
        while !task.is_finished() {
            yield_now().await;
        }
    }
}

fn closed(counted: &Counted, ended: Result<(), JoinError>) {
    counted.open.dec();
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "a connection ended because of a bug in this program; please report it");
    }
}

/// Others, such as too many open files, are of the whole process and would come again at once.
pub fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn builder(counted: &Counted) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(Streams { slow: counted.slow.clone() });
    builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(16 << 10)
        .max_send_buf_size(streams::WAITING_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

/// A connection that has its place.
struct Served {
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    builder: auto::Builder<Streams>,
    counted: Counted,
    stop: CancellationToken,
}

async fn connection<R, F>(served: Served, route: R)
where
    R: Fn(Request<RequestBody>) -> F,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let Served { stream, place: _place, mut builder, counted, stop } = served;
    socket::settle(&stream);
    let activity = Arc::new(Mutex::new(Activity::new(Instant::now())));
    let untaken = Untaken::default();
    let service = service_fn(|request: Request<_>| {
        let use_ = Use::begin(activity.clone(), counted.under_way.clone());
        let (mut head, body) = request.into_parts();
        if head.version < Version::HTTP_2 {
            head.extensions.insert(untaken.clone());
        }
        let body = RequestBody::new(&head.headers, body);
        let answer = route(Request::from_parts(head, body));
        async move { Ok::<_, Infallible>(answer.await.map(|body| Paced::new(body, use_))) }
    });
    let socket = Socket::new(stream, untaken.clone(), counted.slow.clone());
    builder.http2().initial_connection_window_size(room::window(counted.open.get()));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));
    let mut look = pin!(sleep(Duration::ZERO));
    let mut stopping = false;
    loop {
        tokio::select! {
            // How a client left is the client's affair.
            _ = connection.as_mut() => return,
            () = look.as_mut() => match lock(&activity).judge(Instant::now()) {
                Verdict::Keep(at) => look.as_mut().reset(at),
                Verdict::End(at) => {
                    connection.as_mut().graceful_shutdown();
                    look.as_mut().reset(at);
                }
                Verdict::Close => return,
            },
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// A request under way, until its answer has ended or was given up.
struct Use {
    activity: Arc<Mutex<Activity>>,
    under_way: Gauge,
}

impl Use {
    fn begin(activity: Arc<Mutex<Activity>>, under_way: Gauge) -> Use {
        lock(&activity).begins();
        under_way.inc();
        Use { activity, under_way }
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        lock(&self.activity).ends(Instant::now());
        self.under_way.dec();
    }
}
