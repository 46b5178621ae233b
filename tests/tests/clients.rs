//! Clients that take much and give nothing back, on a real process: connections without end, answers that are not read,
//! calls and streams that are left in the middle. The node goes on, and lets go what they held.

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::Request;
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use proto::wire::v1::lanes_client::LanesClient;
use proto::wire::v1::{Command, GetRequest, LinksRequest, OpenLink, SendAllRequest, WatchRequest};
use serde_json::json;
use std::convert::Infallible;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tests::cluster::{Client, client, eventually};
use tests::dev::Dev;
use tests::frames::Frames;
use tests::lanes::{get, send};
use tests::plans;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Channel;

struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { folder: tempfile::tempdir().unwrap() };
        fs::write(scene.plan(), plans::WRITTEN_BY_CLIENTS).unwrap();
        scene
    }

    fn plan(&self) -> PathBuf {
        self.folder.path().join("plan.yaml")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn start(&self, nodes: u16) -> Dev {
        Dev::start(&self.plan(), nodes, &self.data()).unwrap()
    }
}

/// Sends a request and reads nothing.
fn ask(at: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).unwrap();
    stream
}

fn is_answered(stream: &mut TcpStream) -> bool {
    let mut first = [0; 12];
    stream.read_exact(&mut first).is_ok() && first == *b"HTTP/1.1 200"
}

#[tokio::test]
async fn connections_leave_the_node_the_files_that_it_needs() {
    let scene = Scene::new();
    let dev = Dev::start_with_files(100, &scene.plan(), 1, &scene.data()).unwrap();
    let (at, metrics) = (dev.at(0), dev.metrics(0));
    let mut client = client(&at).await.unwrap();
    let note = json!("x".repeat(200 << 10));
    send(&mut client, "/a/1", "note", &note).await.unwrap();
    // Who is let in is answered, who is not sees the end at once, and the next one is let in when there is room.
    let mut strangers: Vec<_> = (0..120).map(|_| ask(&at, "/a/1?lane=hidden2")).collect();
    let begun = Instant::now();
    let answered =
        strangers.iter_mut().filter_map(|stream| stream.read(&mut [0; 12]).ok()).filter(|n| *n > 0).count();
    assert!((5..60).contains(&answered), "{answered} of 120");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(Dev::metric(&metrics, "shoal_connections_refused_total").unwrap(), 120 - answered as u64);
    // Several segments of the log: each is a new file.
    for n in 0..800 {
        send(&mut client, &format!("/a/{n}"), "note", &note).await.unwrap();
    }
    drop(strangers);
    eventually("room for a connection", 20, async || {
        anyhow::ensure!(is_answered(&mut ask(&at, "/a/1?lane=note")));
        Ok(())
    })
    .await;
    assert_eq!(get(&mut client, "/a/799", "note").await.unwrap(), note);
}

/// A Map of 4 MiB, which no socket takes in unread.
async fn fill(client: &mut Client) {
    for n in 0..96 {
        let update = json!({"update": {"key": format!("k{n}"), "value": "x".repeat(128 << 10)}});
        send(client, "/a/1", "notes", &update).await.unwrap();
    }
}

#[tokio::test]
async fn who_does_not_take_what_is_due_is_let_go() {
    let scene = Scene::new();
    let dev = scene.start(1);
    let (at, metrics) = (dev.at(0), dev.metrics(0));
    let mut other = client(&at).await.unwrap();
    fill(&mut other).await;
    let slow = || Dev::metric(&metrics, "shoal_slow_clients_total").unwrap();
    // One stream is not read, on a connection on which another one is; and a watch to which nothing is due.
    let lanes = client(&at).await.unwrap();
    let watch = |lane: &str| WatchRequest { agent: "/a/1".into(), lane: lane.into(), from: None, rate: None };
    let mut unread = lanes.clone().watch(watch("notes")).await.unwrap().into_inner();
    let mut quiet = lanes.clone().watch(watch("note")).await.unwrap().into_inner();
    quiet.message().await.unwrap();
    let silent = ask(&at, "/a/1?lane=notes");
    let mut steady = ask(&at, "/a/1?lane=notes");
    let begun = Instant::now();
    // 16 KiB a second for longer than the others are let: slow, and fast enough.
    let reading = tokio::task::spawn_blocking(move || {
        let (mut all, mut piece) = (0, vec![0; 16 << 10]);
        while begun.elapsed() < Duration::from_secs(95) {
            steady.read_exact(&mut piece).unwrap();
            all += piece.len();
            std::thread::sleep(Duration::from_secs(1));
        }
        while !piece.is_empty() && all < 12 << 20 {
            all += steady.read(&mut piece).unwrap();
        }
        all
    });
    assert_eq!(slow(), 0);
    eventually("both are let go", 100, async || {
        anyhow::ensure!(slow() >= 2, "{}", slow());
        Ok(())
    })
    .await;
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(25) && took < Duration::from_secs(95), "{took:?}");
    let status = loop {
        match unread.message().await {
            Ok(message) => assert!(message.is_some(), "it does not end well"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Cancelled, "{status:?}");
    drop(silent);
    // The connection of the stream that was reset serves the others.
    get(&mut lanes.clone(), "/a/2", "note").await.unwrap();
    send(&mut other, "/a/1", "note", &json!(1)).await.unwrap();
    assert!(quiet.message().await.unwrap().is_some());
    assert!(reading.await.unwrap() >= 12 << 20);
    assert_eq!(slow(), 2);
}

async fn is_let_go(metrics: &str, name: &str) {
    eventually("nothing is held", 5, async || {
        let held = Dev::metric(metrics, name)?;
        anyhow::ensure!(held == 0, "{name} {held}");
        Ok(())
    })
    .await;
}

/// A connection that sends all of it and reads nothing.
fn sends(at: &str, frames: &Frames) -> TcpStream {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(&frames.0).unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_that_are_not_read_hold_what_all_may_and_are_let_go_soon() {
    let scene = Scene::new();
    let dev = scene.start(1);
    let (at, metrics) = (dev.at(0), dev.metrics(0));
    let mut lanes = client(&at).await.unwrap();
    send(&mut lanes, "/a/1", "note", &json!("x".repeat(250_000))).await.unwrap();
    let before = dev.memory();
    // No window: nothing of an answer leaves.
    let mut frames = Frames::begin(0);
    let watch =
        WatchRequest { agent: "/a/1".into(), lane: "note".into(), from: None, rate: None }.encode_to_vec();
    for n in 0..256 {
        frames.call(2 * n + 1, "/shoal.v1.Lanes/Watch", Some(&watch));
    }
    let unread: Vec<TcpStream> = (0..4).map(|_| sends(&at, &frames)).collect();
    let mut most = 0;
    eventually("all that may be is held", 20, async || {
        let held = Dev::metric(&metrics, "shoal_unread_bytes")?;
        anyhow::ensure!(held > 30 << 20, "{held}");
        Ok(())
    })
    .await;
    eventually("all are let go, most of them soon", 60, async || {
        most = most.max(dev.memory());
        // Others are served meanwhile.
        send(&mut lanes, "/a/2", "note", &json!(1)).await?;
        let calls = Dev::metric(&metrics, "shoal_calls")?;
        anyhow::ensure!(calls == 0, "{calls}");
        Ok(())
    })
    .await;
    let slow = Dev::metric(&metrics, "shoal_slow_clients_total").unwrap();
    assert!(slow > 512, "{slow} were reset; the others went with their connection, which answers no PING");
    assert!(most - before < 384 << 20, "{} MiB", (most - before) >> 20);
    drop(unread);
    is_let_go(&metrics, "shoal_unread_bytes").await;
}

#[tokio::test]
async fn more_calls_than_the_node_has_room_for_are_refused() {
    let scene = Scene::new();
    let dev = scene.start(1);
    let (at, metrics) = (dev.at(0), dev.metrics(0));
    let mut frames = Frames::begin(1 << 16);
    for n in 0..256 {
        frames.call(2 * n + 1, "/shoal.v1.Lanes/SendAll", None);
    }
    let silent: Vec<TcpStream> = (0..129).map(|_| sends(&at, &frames)).collect();
    let calls = || Dev::metric(&metrics, "shoal_calls");
    eventually("all that have room are under way", 20, async || {
        let calls = calls()?;
        anyhow::ensure!(calls >= 32_768, "{calls}");
        Ok(())
    })
    .await;
    // Those that are being refused are under way, too.
    assert!(calls().unwrap() <= 32_768 + 256, "{}", calls().unwrap());
    let mut lanes = client(&at).await.unwrap();
    let refused = lanes.get(GetRequest { agent: "/a/1".into(), lane: "note".into(), ..Default::default() });
    assert_eq!(refused.await.unwrap_err().code(), Code::ResourceExhausted);
    drop(silent);
    eventually("there is room again", 20, async || {
        get(&mut lanes, "/a/1", "note").await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn who_holds_all_connections_for_probes_keeps_no_probe_out() {
    let scene = Scene::new();
    let dev = scene.start(1);
    let metrics = dev.metrics(0);
    let mut held: Vec<TcpStream> = (0..100).map(|_| ask(&metrics, "/livez")).collect();
    for _ in 0..3 {
        assert!(is_answered(&mut ask(&metrics, "/livez")));
        held.extend((0..70).map(|_| ask(&metrics, "/livez")));
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_nobody_up() {
    let scene = Scene::new();
    let dev = Dev::start_with_unread_log(&scene.plan(), 1, &scene.data()).unwrap();
    let (at, metrics) = (dev.at(0), dev.metrics(0));
    let mut lanes = client(&at).await.unwrap();
    eventually("lines are dropped", 20, async || {
        for n in 0..100 {
            send(&mut lanes, "/a/1", "note", &json!(n)).await?;
        }
        let dropped = Dev::metric(&metrics, "shoal_lines_dropped_total")?;
        anyhow::ensure!(dropped > 0);
        Ok(())
    })
    .await;
}

/// Asks with a large body, of which a part comes.
fn half(at: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = "POST /a/1?lane=note HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let body = " ".repeat(200_000);
    // Where there is no room, the answer comes before all is sent.
    let _ = stream.write_all(format!("{head}content-length: 250000\r\n\r\n{body}").as_bytes());
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_come_whole_is_bounded_and_given_up() {
    let scene = Scene::new();
    let dev = scene.start(1);
    let (at, metrics) = (dev.at(0), dev.metrics(0));
    let mut lanes = client(&at).await.unwrap();
    send(&mut lanes, "/a/1", "note", &json!(0)).await.unwrap();
    let (before, held) = (dev.memory(), || Dev::metric(&metrics, "shoal_request_bytes").unwrap());
    assert_eq!(held(), 0);
    // A message of gRPC that says its length, and a part of it.
    let (mut message, begun) = (vec![0, 0, 1, 0, 0], Instant::now());
    message.extend([0; 100]);
    let stopped = tokio::spawn(half_a_message(at.clone(), message));
    let halves: Vec<TcpStream> = (0..600).map(|_| half(&at)).collect();
    eventually("all that has room is held", 5, async || {
        anyhow::ensure!(held() > 95 << 20, "{}", held());
        Ok(())
    })
    .await;
    assert!(held() <= 96 << 20, "{}", held());
    assert!(dev.memory() - before < 256 << 20, "{} bytes", dev.memory() - before);
    // Who sends little is served.
    send(&mut lanes, "/a/1", "note", &json!(1)).await.unwrap();
    let said: Vec<String> = halves.into_iter().map(first_line).collect();
    let count = |code: &str| said.iter().filter(|line| line.starts_with(code)).count();
    let (late, refused) = (count("HTTP/1.1 408"), count("HTTP/1.1 429"));
    assert!(late > 400 && refused > 80 && late + refused == 600, "{late} {refused} {:?}", said.first());
    assert_eq!(stopped.await.unwrap(), Some(Code::DeadlineExceeded as i32));
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(25) && took < Duration::from_secs(45), "{took:?}");
    is_let_go(&metrics, "shoal_request_bytes").await;
}

fn first_line(mut stream: TcpStream) -> String {
    let mut line = vec![0; 12];
    match stream.read_exact(&mut line) {
        Ok(()) => String::from_utf8_lossy(&line).into_owned(),
        Err(error) => error.to_string(),
    }
}

/// The status of a `SendAll` whose message stops in the middle.
async fn half_a_message(at: String, bytes: Vec<u8>) -> Option<i32> {
    let stream = TokioIo::new(tokio::net::TcpStream::connect(&at).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(async move { connection.await.unwrap_or_default() });
    let frames = open_ended([Ok::<_, Infallible>(Frame::data(Bytes::from(bytes)))]);
    let request = Request::post(format!("http://{at}/shoal.v1.Lanes/SendAll"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(StreamBody::new(Box::pin(frames)))
        .unwrap();
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let trailers = body.collect().await.unwrap().trailers().cloned().unwrap_or(head.headers);
    trailers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

#[tokio::test]
async fn an_idle_connection_of_http_2_ends_with_goaway() {
    let scene = Scene::new();
    let dev = scene.start(1);
    let mut stream = TcpStream::connect(dev.at(0)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(100))).unwrap();
    // The preface, settings, and a GET of which the end of the stream is in its headers.
    let target = b"/a/1?lane=note";
    let mut head = vec![0x82, 0x86, 0x04, target.len() as u8];
    head.extend(target);
    head.extend([0x01, 0x09]);
    head.extend(b"localhost");
    let mut request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00".to_vec();
    request.extend([0, 0, head.len() as u8, 1, 0x05, 0, 0, 0, 1]);
    request.extend(head);
    stream.write_all(&request).unwrap();
    let begun = Instant::now();
    let mut goaway = None;
    let mut frame = [0; 9];
    while stream.read_exact(&mut frame).is_ok() {
        let mut payload = vec![0; u32::from_be_bytes([0, frame[0], frame[1], frame[2]]) as usize];
        stream.read_exact(&mut payload).unwrap();
        match (frame[3], frame[4] & 1) {
            // A sign of life is answered.
            (6, 0) => {
                frame[4] = 1;
                stream.write_all(&[&frame[..], &payload].concat()).unwrap();
            }
            (7, _) => goaway = Some(payload[4..8].to_vec()),
            _ => {}
        }
    }
    let took = begun.elapsed();
    assert_eq!(goaway, Some(vec![0; 4]), "NO_ERROR, before the end");
    assert!(took > Duration::from_secs(55) && took < Duration::from_secs(90), "{took:?}");
}

/// What is left of a client in the node.
const HELD: [&str; 5] = ["shoal_connections", "shoal_calls", "shoal_links", "shoal_forwards", "shoal_holds"];

#[tokio::test]
async fn what_clients_open_and_leave_is_let_go() {
    let scene = Scene::new();
    let dev = scene.start(2);
    let metrics = [dev.metrics(0), dev.metrics(1)];
    let all_is_gone = async || {
        eventually("nothing is held for clients that have left", 30, async || {
            for (metrics, name) in metrics.iter().flat_map(|at| HELD.map(|name| (at, name))) {
                let held = Dev::metric(metrics, name)?;
                anyhow::ensure!(held == 0, "{name} is {held} at {metrics}");
            }
            Ok(())
        })
        .await;
    };
    let mut before = 0;
    for round in 0..4 {
        let mut clients = JoinSet::new();
        for n in 0..40 {
            let at = dev.at(n % 2);
            // Its connection goes with its runtime, whatever streams are open on it.
            clients.spawn_blocking(move || {
                let own = Builder::new_current_thread().enable_all().build().unwrap();
                own.block_on(leaves(&at, u64::from(n)));
            });
        }
        while let Some(left) = clients.join_next().await {
            left.unwrap();
        }
        all_is_gone().await;
        // The first rounds make what is kept: agents, windows, buffers.
        if round == 1 {
            before = dev.memory();
        }
    }
    let grown = dev.memory().saturating_sub(before);
    assert!(grown < 32 << 20, "the node grew by {grown} bytes");
    send(&mut client(&dev.at(0)).await.unwrap(), "/a/1", "note", &json!(1)).await.unwrap();
}

/// One client: opens calls and streams of every kind in every state, and is gone.
async fn leaves(at: &str, n: u64) {
    let lanes = client(at).await.unwrap();
    let mut left = JoinSet::new();
    for call in 0..24 {
        let (lanes, agent) = (lanes.clone(), format!("/a/{}", (n * 24 + call) % 97));
        left.spawn(async move { one(lanes, agent, call).await });
    }
    // Some have ended, some have not begun to: both are left.
    let enough = 12 + (n % 13) as usize;
    for _ in 0..enough {
        if let Ok(Some(ended)) = tokio::time::timeout(Duration::from_millis(100), left.join_next()).await {
            ended.unwrap();
        }
    }
}

async fn one(mut lanes: LanesClient<Channel>, agent: String, call: u64) {
    let command = |id, lane: &str, body: &'static str| Command {
        id,
        agent: agent.clone(),
        lane: lane.into(),
        body: body.as_bytes().into(),
        sequence: 0,
    };
    match call % 8 {
        0 => drop(lanes.get(GetRequest { agent, lane: "note".into(), ..Default::default() }).await),
        1 => drop(send(&mut lanes, &agent, "note", &json!(call)).await),
        2 | 3 => {
            // Begun and left: commands that are done, refused, held back behind a refusal, and on their way. A link
            // without credit makes the lane refuse.
            let link = OpenLink {
                link: 1,
                agent: agent.clone(),
                lane: "hear".into(),
                from: None,
                credit: Some(0),
                rate: None,
            };
            let open = LinksRequest { open: vec![link], ..Default::default() };
            let _watched = lanes.links(open_ended([open])).await;
            let commands = (0..200).map(|id| command(id, ["hear", "none"][id as usize % 2], "1")).collect();
            let first = SendAllRequest { client: String::new(), commands };
            let requests = open_ended([first]);
            if let Ok(answers) = lanes.send_all(requests).await
                && call % 8 == 3
            {
                let _ = answers.into_inner().message().await;
            }
        }
        4 => {
            let watch = WatchRequest { agent, lane: "note".into(), from: None, rate: None };
            if let Ok(events) = lanes.watch(watch).await {
                let _ = events.into_inner().message().await;
            }
        }
        5 => {
            let watch = WatchRequest { agent, lane: "none".into(), from: None, rate: None };
            let _ = lanes.watch(watch).await;
        }
        _ => {
            let open = (0..50).map(|link| OpenLink {
                link,
                agent: format!("{agent}-{link}"),
                lane: ["note", "notes", "hear", "hidden", "none"][link as usize % 5].into(),
                from: None,
                rate: [None, Some(9)][link as usize % 2],
                credit: [None, Some(0), Some(1)][link as usize % 3],
            });
            let first = LinksRequest { open: open.collect(), ..Default::default() };
            let then = LinksRequest { close: (0..10).collect(), ..Default::default() };
            let requests = open_ended([first, then]);
            if let Ok(events) = lanes.links(requests).await
                && call % 8 == 7
            {
                let mut events = events.into_inner();
                let _ = events.message().await;
                let _ = events.message().await;
            }
        }
    }
}

/// Messages of a client that leaves its stream open behind them.
fn open_ended<T: Send + 'static>(messages: impl IntoIterator<Item = T>) -> impl Stream<Item = T> + Send {
    let messages: Vec<T> = messages.into_iter().collect();
    stream::iter(messages).chain(stream::pending())
}
