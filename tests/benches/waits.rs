//! How long a client waits while others write: `cargo bench --workspace --bench waits`, which takes half an hour;
//! `-- --seconds 5 --rounds 2` makes it shorter.
//!
//! One client beside 64 that write at full speed, over HTTP and over gRPC, and beside them the same with Redis that
//! syncs each write (`appendfsync always`, its AOF rewritten as by default) on the same disk in the same minute, where
//! `redis-server` is installed. And one client alone, beside the bare disk. Each client writes as soon as its last
//! write was acknowledged; the one that is measured has a thread of its own.

use proto::wire::v1::{Command, SendAllRequest, SendAllResponse, lanes_client::LanesClient};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tests::dev::Dev;
use tests::measure::{Disk, Table, folder, percentile, whole};
use tests::plans;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

const AGENTS: u64 = 1000;
const LOAD: usize = 64;
const BODY: &str = "{\"n\":1,\"note\":\"a body of about a hundred bytes, as commands have it in the field\"}";
/// Before a wait counts.
const WARM_UP: Duration = Duration::from_millis(500);
/// Times of the bare disk, before each round.
const DISK_TIME: Duration = Duration::from_secs(2);
const BLOCK: usize = 4096;

/// What a run may be, measured by the same of another.
const P999_MAX: f64 = 1.5;
const LONGEST_MAX: f64 = 2.0;
const ALONE_MAX: f64 = 10.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Http,
    Grpc,
    Redis,
}

const WAYS: [(Way, &str); 3] = [(Way::Http, "HTTP"), (Way::Grpc, "gRPC"), (Way::Redis, "Redis")];

fn main() {
    let short = if whole() { (60.0, 5) } else { (0.3, 1) };
    let seconds = argument("--seconds").unwrap_or(short.0);
    let rounds = argument("--rounds").map_or(short.1, |rounds| rounds as usize);
    let time = Duration::from_secs_f64(seconds);
    let has_redis = std::process::Command::new("redis-server").arg("--version").output().is_ok();
    if !has_redis {
        println!("  redis-server is not installed: nothing is compared with it");
    }
    let folder = folder();
    let mut disk = Disk::new(folder.path(), BLOCK);
    let (mut table, mut all) = (Table::new(), Vec::new());
    for round in 1..=rounds {
        disk.run(DISK_TIME);
        for load in [LOAD, 0] {
            for (way, name) in WAYS {
                if way == Way::Redis && !has_redis {
                    continue;
                }
                let Waits { p999, longest, p50, per_second } = run(folder.path(), way, load, time);
                let beside = if load == 0 { "alone" } else { "beside 64" };
                println!(
                    "  round {round} of {rounds}, {name} {beside}: p99.9 {p999:.2} ms, longest {longest:.2} ms, \
                     {per_second:.0} writes/s"
                );
                table.add(&format!("{name} {beside}: p50"), "ms", p50);
                table.add(&format!("{name} {beside}: p99.9"), "ms", p999);
                table.add(&format!("{name} {beside}: longest"), "ms", longest);
                table.add(&format!("{name} {beside}: writes of all"), "/s", per_second);
                all.push((way, load, p999, longest));
            }
        }
    }
    let bare = percentile(&mut disk.took, 0.999) / 1e3;
    table.add("bare pwrite + fdatasync p50", "us", percentile(&mut disk.took, 0.5));
    table.add("bare pwrite + fdatasync p99.9", "ms", bare);
    table.print(&format!("waits of one client, {seconds} s each, {rounds} rounds"));
    judge(&all, bare, has_redis);
}

fn argument(name: &str) -> Option<f64> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.next()?;
    arguments.next()?.parse().ok()
}

/// Says of each bound whether it holds.
fn judge(all: &[(Way, usize, f64, f64)], bare: f64, has_redis: bool) {
    let of = |way, load| all.iter().filter(move |(of, beside, ..)| (*of, *beside) == (way, load));
    let p999 = |way| percentile(&mut of(way, LOAD).map(|(.., p999, _)| *p999).collect::<Vec<_>>(), 0.5);
    let longest =
        |way, load| percentile(&mut of(way, load).map(|(.., longest)| *longest).collect::<Vec<_>>(), 0.5);
    let say = |what: String, ratio: f64, bound: f64| {
        let holds = if ratio <= bound { "holds" } else { "DOES NOT HOLD" };
        println!("  {what:<58} {ratio:>12.2} <= {bound} {holds}");
    };
    for (way, name) in &WAYS[..2] {
        if has_redis {
            let ratio = p999(*way) / p999(Way::Redis);
            say(format!("{name} beside 64: median p99.9 / Redis'"), ratio, P999_MAX);
            let ratio = longest(*way, LOAD) / longest(Way::Redis, LOAD);
            say(format!("{name} beside 64: median longest / Redis'"), ratio, LONGEST_MAX);
        }
        let ratio = longest(*way, 0) / bare;
        say(format!("{name} alone: median longest / bare p99.9"), ratio, ALONE_MAX);
    }
}

/// Times of the client that is measured, in ms, and how much all clients wrote.
struct Waits {
    p50: f64,
    p999: f64,
    longest: f64,
    per_second: f64,
}

fn run(folder: &Path, way: Way, load: usize, time: Duration) -> Waits {
    let server = Server::start(folder, way);
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let others = {
        let (at, stop, written) = (server.at.clone(), stop.clone(), written.clone());
        thread::spawn(move || runtime().block_on(write_until(way, &at, load, &stop, &written)))
    };
    let (mut waits, elapsed, others_wrote) = runtime().block_on(async {
        let mut client = Client::open(way, &server.at).await;
        let (mut waits, mut next, began) = (Vec::new(), 0, Instant::now());
        while began.elapsed() < WARM_UP {
            client.write(next).await;
            next += 1;
        }
        let (began, before) = (Instant::now(), written.load(Ordering::Relaxed));
        while began.elapsed() < time {
            let sent = Instant::now();
            client.write(next).await;
            waits.push(sent.elapsed().as_secs_f64() * 1e3);
            next += 1;
        }
        (waits, began.elapsed(), written.load(Ordering::Relaxed) - before)
    });
    stop.store(true, Ordering::Relaxed);
    others.join().expect("the others have written");
    let per_second = (waits.len() as u64 + others_wrote) as f64 / elapsed.as_secs_f64();
    let [p50, p999, longest] = [0.5, 0.999, 1.0].map(|share| percentile(&mut waits, share));
    Waits { p50, p999, longest, per_second }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn write_until(way: Way, at: &str, count: usize, stop: &Arc<AtomicBool>, written: &Arc<AtomicU64>) {
    let mut clients = JoinSet::new();
    for n in 0..count as u64 {
        let (at, stop, written) = (at.to_owned(), stop.clone(), written.clone());
        clients.spawn(async move {
            let mut client = Client::open(way, &at).await;
            let mut next = n * 17;
            while !stop.load(Ordering::Relaxed) {
                client.write(next).await;
                written.fetch_add(1, Ordering::Relaxed);
                next += 1;
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("a client that writes");
    }
}

/// The server of one run, with data of its own; it is gone with this.
struct Server {
    at: String,
    _node: Option<Dev>,
    redis: Option<Child>,
}

impl Server {
    fn start(folder: &Path, way: Way) -> Server {
        let data = tempfile::tempdir_in(folder).expect("a data folder").keep();
        if way != Way::Redis {
            let plan = plans::write(folder, plans::COUNTER).expect("a plan");
            let node = Dev::start(&plan, 1, &data).expect("a node");
            return Server { at: node.at(0), _node: Some(node), redis: None };
        }
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let redis = std::process::Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always"])
            .args(["--port", &port.to_string(), "--dir"])
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        let at = format!("127.0.0.1:{port}");
        let began = Instant::now();
        while std::net::TcpStream::connect(&at).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "redis-server does not answer");
            thread::yield_now();
        }
        Server { at, _node: None, redis: Some(redis) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(redis) = &mut self.redis {
            let _ = redis.kill();
            let _ = redis.wait();
        }
    }
}

/// A connection with one write under way at a time.
enum Client {
    Http(TcpStream, Vec<u8>),
    Redis(TcpStream, Vec<u8>),
    Grpc(mpsc::Sender<SendAllRequest>, Box<Streaming<SendAllResponse>>),
}

impl Client {
    async fn open(way: Way, at: &str) -> Client {
        if way == Way::Grpc {
            let endpoint =
                Endpoint::from_shared(format!("http://{at}")).expect("an address").tcp_nodelay(true);
            let mut client = LanesClient::new(endpoint.connect().await.expect("the node answers"));
            let (commands, sent) = mpsc::channel(1);
            let answers = client.send_all(ReceiverStream::new(sent)).await.expect("a stream").into_inner();
            return Client::Grpc(commands, Box::new(answers));
        }
        let stream = TcpStream::connect(at).await.expect("the server answers");
        stream.set_nodelay(true).expect("a socket");
        if way == Way::Http { Client::Http(stream, Vec::new()) } else { Client::Redis(stream, Vec::new()) }
    }

    /// Until it is acknowledged.
    async fn write(&mut self, n: u64) {
        let id = n % AGENTS;
        match self {
            Client::Http(stream, answer) => {
                let head = format!(
                    "POST /counter/{id}?lane=add HTTP/1.1\r\nhost: localhost\r\n\
                     content-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}",
                    BODY.len()
                );
                stream.write_all(head.as_bytes()).await.expect("the node reads");
                answer.clear();
                while !is_whole(answer) {
                    let read = stream.read_buf(answer).await.expect("an answer");
                    assert!(read > 0, "the node closed the connection");
                }
                assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(answer));
            }
            Client::Redis(stream, answer) => {
                let key = format!("counter:{id}");
                let set =
                    format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{BODY}\r\n", key.len(), BODY.len());
                stream.write_all(set.as_bytes()).await.expect("Redis reads");
                answer.clear();
                while !answer.ends_with(b"\r\n") {
                    let read = stream.read_buf(answer).await.expect("an answer");
                    assert!(read > 0, "Redis closed the connection");
                }
                assert_eq!(answer, b"+OK\r\n");
            }
            Client::Grpc(commands, answers) => {
                let (agent, body) = (format!("/counter/{id}"), BODY.into());
                let command = Command { id: n, agent, lane: "add".into(), body, sequence: 0 };
                let message = SendAllRequest { client: String::new(), commands: vec![command] };
                commands.send(message).await.expect("the stream goes on");
                let answered = answers.message().await.expect("an answer").expect("the stream goes on");
                assert!(answered.answers.iter().all(|answer| answer.refusal.is_none()), "{answered:?}");
            }
        }
    }
}

/// Whether an answer's head and body are there.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    let length =
        text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    answer.len() >= head + 4 + length.unwrap_or(0)
}
