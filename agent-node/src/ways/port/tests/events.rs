//! Event streams over real sockets, against a node with a plan; and rates over gRPC.

use super::lanes::{command, configuration, spec, start_with_plan, start_with_plan_on, version};
use super::*;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use serde_json::{Value as Json, json};

const EVENTS: &str = "text/event-stream";

/// What a client has read of an event stream and not looked at yet.
struct Stream {
    head: hyper::http::response::Parts,
    body: Incoming,
    text: String,
}

impl Stream {
    async fn open(running: &Running, target: &str, headers: &[(&str, &str)], is_http_2: bool) -> Stream {
        let client = Client::builder(TokioExecutor::new()).http2_only(is_http_2).build_http::<Empty<Bytes>>();
        let mut request = Request::get(format!("http://{}{target}", running.at)).header("accept", EVENTS);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = client.request(request.body(Empty::new()).unwrap());
        let response = timeout(Duration::from_secs(10), response).await.unwrap().unwrap();
        let (head, body) = response.into_parts();
        Stream { head, body, text: String::new() }
    }

    /// The next event, or lines without one, as they stand in the stream; `None`: it has ended.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(event);
            }
            let frame = timeout(Duration::from_secs(10), self.body.frame()).await.expect("more comes")?;
            let data = frame.expect("the stream is not broken off").into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// Events up to the first with this name.
    async fn until(&mut self, name: &str) -> Vec<String> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            let is_last = event.starts_with(&format!("event: {name}\n"));
            events.push(event);
            if is_last {
                return events;
            }
        }
        panic!("it ended: {events:?}");
    }

    /// The code of the last event, behind which the stream ends well.
    async fn closed(&mut self) -> u64 {
        let last = self.until("closed").await.pop().unwrap();
        let data = last.split_once("\ndata: ").unwrap().1;
        assert_eq!(self.next().await, None);
        serde_json::from_str::<Json>(data).unwrap()["code"].as_u64().unwrap()
    }
}

async fn no_link_is_left(running: &Running) {
    let gone = async {
        while running.node.status().links > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.expect("the links of who has left are let go");
}

#[tokio::test]
async fn an_event_stream_begins_with_the_state_and_follows() {
    let running = start_with_plan().await;
    for is_http_2 in [false, true] {
        let agent = format!("/counter/{is_http_2}");
        let first = version(&running.post(&format!("{agent}?lane=add"), "", "5").await);
        let mut stream = Stream::open(&running, &format!("{agent}?lane=n"), &[], is_http_2).await;
        assert_eq!(stream.head.status, 200);
        for (name, value) in [
            ("content-type", EVENTS),
            ("cache-control", "no-store"),
            ("x-accel-buffering", "no"),
            ("vary", "accept"),
        ] {
            assert_eq!(stream.head.headers[name], value);
        }
        let begin = stream.next().await.unwrap();
        let retry = begin.strip_prefix("retry: ").and_then(|rest| rest.strip_suffix("\nid: 0")).unwrap();
        assert!((500..1_500).contains(&retry.parse().unwrap()), "{begin}");
        assert_eq!(stream.next().await.unwrap(), "event: set\ndata: 5");
        let synced = stream.next().await.unwrap();
        let id: u64 = synced.strip_prefix("event: synced\ndata: null\nid: ").unwrap().parse().unwrap();
        assert!(id >= first);
        let next = version(&running.post(&format!("{agent}?lane=add"), "", "1").await);
        assert_eq!(stream.next().await.unwrap(), format!("event: set\ndata: 6\nid: {next}"));
        // A client that comes back with an id is told what it has missed, and not what it has.
        let last = [("last-event-id", &*next.to_string())];
        let again = &mut Stream::open(&running, &format!("{agent}?lane=n&from=3"), &last, is_http_2).await;
        assert!(again.next().await.unwrap().ends_with(&format!("\nid: {next}")));
        assert_eq!(again.next().await.unwrap(), format!("event: synced\ndata: null\nid: {next}"));
    }
    no_link_is_left(&running).await;
}

#[tokio::test]
async fn keys_and_items_of_any_kind_are_one_line_of_json() {
    let running = start_with_plan().await;
    let mut marks = Stream::open(&running, "/counter/1?lane=marks", &[], false).await;
    marks.until("synced").await;
    for (change, expected) in [
        (json!({"update": {"key": "a\nb", "value": "c\r\n"}}), r#"{"key":"a\nb","value":"c\r\n"}"#),
        (json!({"update": {"key": 3, "value": [1.5, null]}}), r#"{"key":3,"value":[1.5,null]}"#),
        (json!({"remove": {"key": 3}}), r#"{"key":3}"#),
        (json!({"clear": {}}), "null"),
    ] {
        let id = version(&running.post("/counter/1?lane=marks", "", &change.to_string()).await);
        let name = change.as_object().unwrap().keys().next().unwrap();
        let expected = format!("event: {name}\ndata: {expected}\nid: {id}");
        assert_eq!(marks.next().await.unwrap(), expected);
    }
    let mut added = Stream::open(&running, "/counter/1?lane=added", &[], true).await;
    added.until("synced").await;
    let id = version(&running.post("/counter/1?lane=add", "", "7").await);
    assert_eq!(added.next().await.unwrap(), format!("event: event\ndata: 7\nid: {id}"));
}

#[tokio::test]
async fn what_cannot_be_streamed_is_refused_before_it_begins() {
    let running = start_with_plan().await;
    let accept = format!("accept: {EVENTS}\r\n");
    for (line, headers, expected, also) in [
        ("GET /counter/1", "", 400, "marks (Map)"),
        ("GET /counter/1?lane=none", "", 404, "\"at\":\"/counter/1\""),
        ("GET /counter/1?lane=hidden", "", 404, "hidden"),
        ("GET /nothing/1?lane=n", "", 404, ""),
        ("GET /counter/1?lane=n&read=local", "", 400, "\"at\":\"read\""),
        ("GET /counter/1?lane=n&rate=0", "", 400, "1 to 1000"),
        ("GET /counter/1?lane=n", "last-event-id: x\r\n", 400, "last-event-id"),
        ("GET /counter/1?lane=n", "origin: https://other.example\r\n", 403, "origin"),
        ("POST /counter/1?lane=add&from=1", "", 400, "\"at\":\"from\""),
    ] {
        let answer = running.ask(line, &format!("{accept}{headers}"), "").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{line}: {answer}");
        assert!(answer.contains("content-type: application/json") && answer.contains(also), "{answer}");
    }
    // A state of the same lane has an ETag; its events have none, and come whatever the client has.
    let page = "origin: https://shop.example\r\nif-none-match: *\r\n";
    let head = running.ask("HEAD /counter/1?lane=n", &format!("{accept}{page}"), "").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    for also in [
        "content-type: text/event-stream\r\n",
        "access-control-allow-origin: https://shop.example\r\n",
        "vary: accept\r\nvary: origin\r\n",
    ] {
        assert!(head.contains(also), "{also} in {head}");
    }
    no_link_is_left(&running).await;
}

#[tokio::test]
async fn a_node_without_room_for_one_more_link_refuses_the_stream() {
    let running = start_with_plan().await;
    let links = running.node.links();
    let mut count = 0;
    while links.ended().is_none() {
        links.open(count, "/counter/1", "n", None, None);
        count += 1;
    }
    let full = Stream::open(&running, "/counter/2?lane=n", &[], false).await.head;
    assert_eq!((full.status.as_u16(), &full.headers["retry-after"]), (429, &"1".parse().unwrap()));
    drop(links);
    Stream::open(&running, "/counter/2?lane=n", &[], false).await.until("synced").await;
}

#[tokio::test]
async fn a_stream_that_its_node_ends_says_why() {
    let (running, ring) = start_with_plan_on(1).await;
    let mut closing = Stream::open(&running, "/counter/1?lane=closing&rate=1", &[], false).await;
    closing.until("synced").await;
    let commands = (0..100).map(|id| command(id, "/counter/1", "1", 0)).collect();
    let sent = v1::SendAllRequest { client: String::new(), commands };
    let mut answers =
        running.lanes().await.send_all(futures::stream::iter([sent])).await.unwrap().into_inner();
    while answers.message().await.unwrap().is_some() {}
    assert_eq!(closing.closed().await, 429, "more items than its queue holds");
    let mut note = Stream::open(&running, "/counter/1?lane=note", &[], true).await;
    let mut count = Stream::open(&running, "/counter/1?lane=n", &[], false).await;
    note.until("synced").await;
    let mut without = spec();
    let lanes = without["agents"][0]["lanes"].as_array_mut().unwrap();
    lanes.retain(|lane| lane["name"] != "note");
    let peers = vec![running.peer_at.to_string()];
    running.node.configure(configuration(2, &without, &ring, peers)).await.unwrap();
    assert_eq!(note.closed().await, 404);
    assert_eq!(Stream::open(&running, "/counter/1?lane=note", &[], true).await.head.status, 404);
    // The others go on, until the node stops.
    count.until("synced").await;
    version(&running.post("/counter/1?lane=add", "", "1").await);
    count.until("set").await;
    let begun = Instant::now();
    running.stop.cancel();
    assert_eq!(count.closed().await, 503);
    running.port.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_rate_leaves_out_what_changes_in_between_over_every_way() {
    let (running, begun) = (start_with_plan().await, Instant::now());
    let at = |lane: &str| v1::WatchRequest {
        agent: "/counter/1".into(),
        lane: lane.into(),
        rate: Some(1),
        ..v1::WatchRequest::default()
    };
    let mut stream = Stream::open(&running, "/counter/1?lane=n&rate=1", &[], false).await;
    let mut watch = running.lanes().await.watch(at("n")).await.unwrap().into_inner();
    let link = v1::OpenLink { link: 4, rate: Some(1), ..open_link() };
    let refused = v1::OpenLink { link: 5, rate: Some(0), ..open_link() };
    let opened = v1::LinksRequest { open: vec![link, refused], ..Default::default() };
    let opened = futures::StreamExt::chain(futures::stream::iter([opened]), futures::stream::pending());
    let mut links = running.lanes().await.links(opened).await.unwrap().into_inner();
    let (mut link_events, mut closed) = (Vec::new(), Vec::new());
    while link_events.len() < 2 || closed.is_empty() {
        let v1::LinksResponse { events, closed: ended } = links.message().await.unwrap().unwrap();
        link_events.extend(events);
        closed.extend(ended);
    }
    assert_eq!((closed[0].link, closed[0].refusal.as_ref().map(|refusal| refusal.code)), (5, Some(400)));
    stream.until("synced").await;
    let mut seen = 0;
    while seen < 2 {
        seen += watch.message().await.unwrap().unwrap().events.len();
    }
    for _ in 0..20 {
        version(&running.post("/counter/1?lane=add", "", "1").await);
    }
    let mut told = [1; 3];
    while watch.message().await.unwrap().unwrap().events[0].value != "20" {
        told[0] += 1;
    }
    while links.message().await.unwrap().unwrap().events[0].event.as_ref().unwrap().value != "20" {
        told[1] += 1;
    }
    while !stream.next().await.unwrap().starts_with("event: set\ndata: 20\nid: ") {
        told[2] += 1;
    }
    // One flush a second, however long the machine takes for it.
    let most = begun.elapsed().as_secs() + 1;
    assert!(told.iter().all(|flushes| *flushes <= most), "{told:?} in {:?}", begun.elapsed());
    let wrong = v1::WatchRequest { rate: Some(1_001), ..at("n") };
    let status = running.lanes().await.watch(wrong).await.unwrap_err();
    assert_eq!(
        (status.code(), status.metadata().get("shoal-at").unwrap().as_bytes()),
        (Code::InvalidArgument, &b"rate"[..])
    );
}

fn open_link() -> v1::OpenLink {
    v1::OpenLink { agent: "/counter/1".into(), lane: "n".into(), ..v1::OpenLink::default() }
}
