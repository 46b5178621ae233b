//! Real sockets against a node that has no plan yet: what the port itself answers, to good clients and bad ones.

mod calls;
mod events;
mod lanes;

use super::*;
use crate::node::Config;
use crate::peer::certificates::now_s;
use crate::run::dev::certificates;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use proto::wire::v1::{self, lanes_client::LanesClient};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tonic::{Code, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

const PLAN_UID: &str = "5d1e6f6a-0000-4000-8000-000000000001";

struct Running {
    at: SocketAddr,
    stop: CancellationToken,
    port: JoinHandle<()>,
    metrics: Arc<Metrics>,
    node: Node,
    peer_at: SocketAddr,
    _data: tempfile::TempDir,
}

async fn start() -> Running {
    let data = tempfile::tempdir().unwrap();
    let certificates = certificates::ensure(data.path(), PLAN_UID, now_s()).unwrap();
    let config = Config {
        data: data.path().join("node-0"),
        ordinal: 0,
        plan_uid: PLAN_UID.into(),
        adopted_by: None,
        certificates,
        peer_listen: "127.0.0.1:0".parse().unwrap(),
        shards: 1,
        snapshots: crate::snapshot::LIMITS,
        reading: Arc::default(),
    };
    let (node, peer_at) = Node::start(config).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (stop, metrics) = (CancellationToken::new(), Arc::new(Metrics::default()));
    let addresses = Addresses { client: at, peer: peer_at, metrics: at };
    let port = tokio::spawn(serve(
        listener,
        node.clone(),
        metrics.clone(),
        addresses,
        site::Hosts::Any,
        stop.clone(),
    ));
    Running { at, stop, port, metrics, node, peer_at, _data: data }
}

impl Running {
    /// Sends these bytes and reads until the port closes.
    async fn say(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut out = Vec::new();
        // A reset is a way of closing too.
        let _ =
            timeout(Duration::from_secs(20), stream.read_to_end(&mut out)).await.expect("the port closes");
        String::from_utf8_lossy(&out).into_owned()
    }

    async fn ask(&self, first_line: &str, headers: &str, body: &str) -> String {
        let kind = if headers.contains("content-type") { "" } else { "content-type: application/json\r\n" };
        let length = match body.len() {
            0 => String::new(),
            length => format!("content-length: {length}\r\n{kind}"),
        };
        self.say(
            format!("{first_line} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{length}{headers}\r\n{body}")
                .as_bytes(),
        )
        .await
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.at)).unwrap().connect().await.unwrap()
    }

    async fn lanes(&self) -> LanesClient<Channel> {
        LanesClient::new(self.channel().await)
    }
}

fn watch() -> v1::WatchRequest {
    v1::WatchRequest { agent: "/a/1".into(), lane: "x".into(), from: None, rate: None }
}

#[tokio::test]
async fn who_says_nothing_whole_is_closed_after_three_seconds() {
    let running = start().await;
    let begun = Instant::now();
    let half: [&[u8]; 5] =
        [b"", b"P", b"PRI * HTTP/2.0\r\n", b"GET /a/1 HTT", b"GET /a/1 HTTP/1.1\r\nhost: a\r\n"];
    let answers = futures::future::join_all(half.map(|bytes| running.say(bytes))).await;
    assert!(answers.iter().all(|answer| !answer.contains("200")), "{answers:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn junk_is_answered_and_harms_nobody() {
    let running = start().await;
    let long = format!("GET /a HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    assert!(
        running
            .say(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 400")
    );
    assert!(running.say(long.as_bytes()).await.starts_with("HTTP/1.1 431"));
    assert!(running.ask("GET /a?lane=x", "", "").await.starts_with("HTTP/1.1 503"));
}

#[tokio::test]
async fn http_answers_as_its_table_says() {
    let running = start().await;
    let large = "x".repeat(answer_limit() + 1);
    for (line, headers, body, expected, also) in [
        ("GET /a/1?lane=x", "", "", 503, "retry-after: "),
        ("GET /a/1", "", "", 503, "\"at\":"),
        ("GET /a/1?lane=x&rate=3", "", "", 400, "Accept: text/event-stream"),
        ("GET /a/1?lane=x&rats=3", "", "", 400, "unknown parameter rats"),
        ("GET /a/1?lane=x&lane=x", "", "", 400, "twice"),
        ("GET /a/1?lane=x", "accept: text/event-stream\r\n", "", 503, "retry-after: "),
        ("PUT /a/1?lane=x", "", "1", 405, "allow: GET, HEAD, POST"),
        ("DELETE /a/1?lane=x", "", "", 405, "allow: "),
        ("POST /a/1?lane=x", "", "1", 503, "retry-after: "),
        ("POST /a/1?lane=x", "content-type: text/plain\r\n", "1", 415, "curl --json"),
        ("POST /a/1?lane=x", "shoal-client: a\r\n", "1", 400, "shoal-sequence"),
        ("POST /a/1?lane=x", "", &large, 413, "\"at\":\"body\""),
        ("POST /a/1?lane=x", "", "", 415, "application/json"),
        ("POST /a/1?lane=x", "origin: http://a\r\n", "1", 503, "retry-after: "),
        ("POST /a/1?lane=x", "origin: http://b\r\n", "1", 403, "spec.http.origins"),
        ("GET /a/1?lane=x", "origin: null\r\n", "", 403, "\"at\":\"origin\""),
        ("OPTIONS /a/1?lane=x", "origin: http://b\r\n", "", 403, "origin"),
        ("OPTIONS /a/1?lane=x", "origin: http://a\r\n", "", 405, "allow: "),
        ("GET /a/1?lane=x", "host: b\r\n", "", 400, "twice"),
        ("POST /a/1?lane=x", "content-type: application/grpc-web\r\n", "1", 415, ""),
        ("GET /a/1?lane=x", "connection: upgrade\r\nupgrade: websocket\r\n", "", 404, "no WebSocket"),
    ] {
        let answer = running.ask(line, headers, body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{line}: {answer}");
        assert!(answer.contains(also), "{line}: {also} in {answer}");
    }
}

fn answer_limit() -> usize {
    proto::value::BODY_MAX
}

#[tokio::test]
async fn a_head_is_answered_without_a_body() {
    let running = start().await;
    let answer = running.ask("HEAD /a/1?lane=x", "", "").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_body_that_stops_is_given_up() {
    let running = start().await;
    let answer = running.say(b"POST /a/1?lane=x HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n123").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn broken_protobuf_ends_its_call_and_not_its_connection() {
    let running = start().await;
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Full<bytes::Bytes>>();
    for body in [&b"\0\0\0\0\x03\xff\xff\xff"[..], b"\x01\0\0", b"", b"\0\xff\xff\xff\xff"] {
        for method in ["Get", "Send", "SendAll", "Watch", "Links", "Nothing"] {
            let request = Request::post(format!("http://{}/shoal.v1.Lanes/{method}", running.at))
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(Full::from(bytes::Bytes::from_static(body)))
                .unwrap();
            let response = client.request(request).await.unwrap();
            assert_eq!(response.status(), 200, "{method}");
            let head = response.headers().get("grpc-status").cloned();
            let rest = response.into_body().collect().await.unwrap();
            let code = head.or_else(|| rest.trailers().and_then(|all| all.get("grpc-status").cloned()));
            assert!(code.is_some(), "{method} {body:?}");
        }
    }
    let alive = running.lanes().await.get(v1::GetRequest::default()).await.unwrap_err();
    assert_eq!(alive.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_message_over_the_limit_is_never_out_of_range() {
    let running = start().await;
    let mut lanes = running.lanes().await;
    let body = bytes::Bytes::from(vec![b' '; 2 << 20]);
    let request = v1::SendRequest { body: body.clone(), ..v1::SendRequest::default() };
    assert_eq!(lanes.send(request).await.unwrap_err().code(), Code::ResourceExhausted);
    let command = v1::Command { id: 1, body, ..v1::Command::default() };
    let all = v1::SendAllRequest { client: String::new(), commands: vec![command] };
    let mut answers = lanes.send_all(futures::stream::iter([all])).await.unwrap().into_inner();
    let status = answers.message().await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.metadata().get("shoal-code").unwrap(), "413");
    assert_eq!(lanes.get(v1::GetRequest::default()).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn malformed_commands_of_a_stream_are_answered_one_by_one() {
    let running = start().await;
    let command = |id, sequence, size: usize| v1::Command {
        id,
        agent: "/a/1".into(),
        lane: "x".into(),
        body: vec![b'1'; size].into(),
        sequence,
    };
    let unkeyed = v1::SendAllRequest {
        client: String::new(),
        commands: vec![command(1, 7, 1), command(2, 0, answer_limit() + 1), command(3, 1 << 63, 1)],
    };
    let mut answers =
        running.lanes().await.send_all(futures::stream::iter([unkeyed])).await.unwrap().into_inner();
    let mut codes = Vec::new();
    while let Some(message) = answers.message().await.unwrap() {
        codes.extend(message.answers.into_iter().map(|answer| (answer.id, answer.refusal.unwrap().code)));
    }
    assert_eq!(codes, [(1, 400), (2, 413), (3, 400)]);
    let bad = v1::SendAllRequest { client: "a b".into(), commands: vec![] };
    let mut answers =
        running.lanes().await.send_all(futures::stream::iter([bad])).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_node_without_a_plan_is_alive_and_not_ready() {
    let running = start().await;
    let mut health = HealthClient::new(running.channel().await);
    for (service, expected) in [("", Ok(2)), ("shoal.v1.Lanes", Ok(2)), ("other", Err(Code::NotFound))] {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await;
        let answer = answer.map(|answer| answer.into_inner().status).map_err(|status| status.code());
        assert_eq!(answer, expected, "{service}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let subject = Arc::<crate::ways::metrics::Subject>::default();
    let port = crate::ways::metrics::serve(
        listener,
        subject.clone(),
        running.metrics.clone(),
        site::Hosts::Any,
        running.stop.clone(),
    );
    let metrics = Running { at, port: tokio::spawn(port), ..start().await };
    for (has_begun, path, expected, also) in [
        (false, "/livez", 200, "ok"),
        (false, "/readyz", 503, "it reads its log: 0 of 0 MiB"),
        (false, "/metrics", 200, "shoal_ready 0"),
        (true, "/livez", 200, "ok"),
        (true, "/readyz", 503, "it has no plan and ring yet"),
        (true, "/metrics", 200, "shoal_connections 1"),
        (true, "/other", 404, "/metrics"),
    ] {
        if has_begun {
            subject.has_begun(running.node.clone());
        }
        let answer = metrics.ask(&format!("GET {path}"), "", "").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected}")) && answer.contains(also),
            "{path}: {answer}"
        );
    }
}

#[tokio::test]
async fn stop_ends_streams_and_idle_connections_at_once() {
    let running = start().await;
    let mut lanes = running.lanes().await;
    let mut links = lanes.links(futures::stream::pending()).await.unwrap().into_inner();
    let mut answers = lanes.send_all(futures::stream::pending()).await.unwrap().into_inner();
    let mut watched = lanes.watch(watch()).await.map(tonic::Response::into_inner);
    let mut idle = TcpStream::connect(running.at).await.unwrap();
    let begun = Instant::now();
    running.stop.cancel();
    assert_eq!(links.message().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(answers.message().await.unwrap_err().code(), Code::Unavailable);
    if let Ok(watched) = &mut watched {
        assert_eq!(watched.message().await.unwrap_err().code(), Code::Unavailable);
    }
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap_or(0), 0);
    running.port.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(TcpStream::connect(running.at).await.is_err());
    assert_eq!(running.metrics.port.open.get(), 0);
}

#[test]
fn the_content_type_tells_the_ways_apart() {
    for (name, value, expected) in [
        ("content-type", "application/grpc", Way::Grpc),
        ("content-type", "application/grpc+proto", Way::Grpc),
        ("content-type", "application/grpc;x", Way::Grpc),
        ("content-type", "application/grpc-web", Way::Http),
        ("content-type", "application/json", Way::Http),
        ("upgrade", "WebSocket", Way::WebSocket),
        ("upgrade", "h2c", Way::Http),
    ] {
        let request = Request::builder().header(name, value).body(()).unwrap();
        assert_eq!(Way::of(&request), expected, "{value}");
    }
}
