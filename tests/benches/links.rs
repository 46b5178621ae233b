//! A value lane with 1,000 links on 10 `Links` streams: `cargo bench --workspace --bench links`.
//!
//! At 500 changes a second: which share of them reaches every link, and what an update costs the node. At 20,000: whether
//! changes are still taken at that rate, whether every link ends with the last value, and what a stream that is not read
//! costs the others. The node is a process of its own, and its CPU alone is counted. The data lies in memory: a disk that
//! takes longer than 2 ms commits several changes at once, of which links get the last.

use proto::wire::v1::{
    Command, EventKind, LinksRequest, OpenLink, SendAllRequest, SendAllResponse, lanes_client::LanesClient,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tests::dev::Dev;
use tests::measure::{Table, whole};
use tests::plans;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

const STREAMS: u32 = 10;
const LINKS: u32 = 100;
/// The most commands that are unanswered; more than that waits.
const UNANSWERED_MAX: u64 = 4_000;
/// Until all links have the last value.
const CATCH_UP: Duration = Duration::from_secs(10);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let (rounds, time) = if whole() { (5, Duration::from_secs(4)) } else { (1, Duration::from_millis(400)) };
    let (mut slow, mut fast, mut stalled) = (Table::new(), Table::new(), Table::new());
    for _ in 0..rounds {
        let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
        let dev = node(folder.path());
        runtime.block_on(async {
            let changes = run(&dev, 500, time, STREAMS, 0).await;
            changes.add(&mut slow);
            let before = run(&dev, 20_000, time, STREAMS, 0).await;
            before.add(&mut fast);
            let beside = run(&dev, 20_000, time, STREAMS, 1).await;
            beside.add(&mut stalled);
            let ratio = (beside.delivered / beside.took) / (before.delivered / before.took);
            stalled.add("delivered to the others / without it", "", ratio);
        });
    }
    slow.print("500 changes/s");
    fast.print("20,000 changes/s");
    stalled.print("20,000 changes/s, 100 more links on a stream that is not read");
}

fn node(folder: &Path) -> Dev {
    let plan = plans::write(folder, plans::LAST_READING).expect("a plan");
    Dev::start(&plan, 1, &folder.join("data")).expect("a node")
}

/// What a run came to.
struct Run {
    changes: f64,
    /// Updates that links were given.
    delivered: f64,
    took: f64,
    cpu_us: f64,
    memory: u64,
    /// Whether all links have the last value.
    complete: bool,
}

impl Run {
    fn add(&self, table: &mut Table) {
        table.add("changes taken", "/s", self.changes / self.took);
        table.add("updates delivered", "/s", self.delivered / self.took);
        let links = f64::from(STREAMS * LINKS);
        table.add("updates that reached each link / changes", "", self.delivered / links / self.changes);
        table.add("CPU of the node per update delivered", "us", self.cpu_us / self.delivered);
        table.add("CPU of the node / a core", "", self.cpu_us / 1e6 / self.took);
        table.add("all links end with the last value", "", f64::from(u8::from(self.complete)));
        table.add("memory of the node", "MB", self.memory as f64 / 1e6);
    }
}

/// Changes one lane at a rate while links of so many streams are read, and of some are not.
async fn run(dev: &Dev, rate: u64, time: Duration, streams: u32, unread: u32) -> Run {
    let seen = Arc::new(Seen::new((streams * LINKS) as usize));
    let (ends, end) = watch::channel(());
    let mut readers = JoinSet::new();
    for stream in 0..streams {
        let links = Links::open(dev, stream).await;
        readers.spawn(links.read(seen.clone(), end.clone()));
    }
    let mut held = Vec::new();
    for stream in 0..unread {
        held.push(Links::open(dev, streams + stream).await);
    }
    let (mut changes, first) = Changes::begin(dev).await;
    seen.until(first).await;
    let (delivered, cpu, began) = (seen.events.load(Relaxed), dev.cpu_us(), Instant::now());
    let count = changes.drive(rate, time).await;
    let took = began.elapsed();
    let complete = timeout(CATCH_UP, seen.until(changes.last)).await.is_ok();
    let run = Run {
        changes: count as f64,
        delivered: (seen.events.load(Relaxed) - delivered) as f64,
        took: took.as_secs_f64(),
        cpu_us: dev.cpu_us() - cpu,
        memory: dev.memory(),
        complete,
    };
    drop(ends);
    while readers.join_next().await.is_some() {}
    run
}

/// What links were given.
struct Seen {
    events: AtomicU64,
    values: Vec<AtomicI64>,
}

impl Seen {
    fn new(links: usize) -> Seen {
        Seen { events: AtomicU64::new(0), values: (0..links).map(|_| AtomicI64::new(-1)).collect() }
    }

    /// Waits until every link has this value.
    async fn until(&self, value: i64) {
        while self.values.iter().any(|seen| seen.load(Relaxed) != value) {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn client(dev: &Dev) -> LanesClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", dev.at(0))).expect("an address");
    let endpoint = endpoint.initial_connection_window_size(16 << 20).tcp_nodelay(true);
    LanesClient::new(endpoint.connect().await.expect("the node answers"))
}

/// One stream of links to the one lane, on a connection of its own.
struct Links {
    first: usize,
    messages: Streaming<proto::wire::v1::LinksResponse>,
    _requests: mpsc::Sender<LinksRequest>,
}

impl Links {
    async fn open(dev: &Dev, stream: u32) -> Links {
        let (requests, outgoing) = mpsc::channel(1);
        let open = |link| OpenLink {
            link,
            agent: "/meter/1".into(),
            lane: "value".into(),
            from: None,
            credit: None,
            rate: None,
        };
        let request = LinksRequest { open: (0..LINKS).map(open).collect(), ..LinksRequest::default() };
        requests.send(request).await.expect("room");
        let messages = client(dev).await.links(ReceiverStream::new(outgoing)).await.expect("a stream");
        Links { first: (stream * LINKS) as usize, messages: messages.into_inner(), _requests: requests }
    }

    async fn read(mut self, seen: Arc<Seen>, mut end: watch::Receiver<()>) {
        loop {
            let message = tokio::select! {
                message = self.messages.message() => message.expect("a message").expect("the stream goes on"),
                _ = end.changed() => return,
            };
            assert!(message.closed.is_empty(), "{:?}", message.closed);
            let mut updates = 0;
            for given in message.events {
                let event = given.event.expect("an event");
                if event.kind() == EventKind::Set {
                    updates += 1;
                    let value = std::str::from_utf8(&event.value).ok().and_then(|text| text.parse().ok());
                    seen.values[self.first + given.link as usize].store(value.expect("a number"), Relaxed);
                }
            }
            seen.events.fetch_add(updates, Relaxed);
        }
    }
}

/// A stream of commands that set the lane to one number after the other.
struct Changes {
    commands: mpsc::Sender<SendAllRequest>,
    answered: Arc<AtomicU64>,
    _answers: JoinSet<()>,
    sent: u64,
    base: i64,
    last: i64,
}

impl Changes {
    /// With the first change made, which is told.
    async fn begin(dev: &Dev) -> (Changes, i64) {
        let (commands, outgoing) = mpsc::channel(16);
        let answers = client(dev).await.send_all(ReceiverStream::new(outgoing)).await.expect("a stream");
        let answered = Arc::new(AtomicU64::new(0));
        let mut reading = JoinSet::new();
        reading.spawn(count(answers.into_inner(), answered.clone()));
        let base = 1_000_000_000 + i64::from(std::process::id()) * 1_000;
        let mut changes = Changes { commands, answered, _answers: reading, sent: 0, base, last: base };
        changes.send(1).await;
        let first = changes.last;
        (changes, first)
    }

    async fn send(&mut self, count: u64) {
        let command = |id: u64| Command {
            id,
            agent: "/meter/1".into(),
            lane: "read".into(),
            body: (self.base + id as i64).to_string().into(),
            sequence: 0,
        };
        let commands = (self.sent..self.sent + count).map(command).collect();
        self.sent += count;
        self.last = self.base + self.sent as i64 - 1;
        let message = SendAllRequest { client: String::new(), commands };
        self.commands.send(message).await.expect("the stream goes on");
    }

    /// At so many a second, as far as the answers keep up; how many it were.
    async fn drive(&mut self, rate: u64, time: Duration) -> u64 {
        let (began, first) = (Instant::now(), self.sent);
        let mut pace = interval(Duration::from_millis(1));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while began.elapsed() < time {
            pace.tick().await;
            let due = (began.elapsed().as_secs_f64() * rate as f64) as u64 - (self.sent - first);
            let room = UNANSWERED_MAX.saturating_sub(self.sent - self.answered.load(Relaxed));
            if due.min(room) > 0 {
                self.send(due.min(room)).await;
            }
        }
        while self.answered.load(Relaxed) < self.sent {
            sleep(Duration::from_millis(1)).await;
        }
        self.sent - first
    }
}

async fn count(mut answers: Streaming<SendAllResponse>, answered: Arc<AtomicU64>) {
    while let Ok(Some(message)) = answers.message().await {
        assert!(message.answers.iter().all(|answer| answer.refusal.is_none()), "{message:?}");
        answered.fetch_add(message.answers.len() as u64, Relaxed);
    }
}
