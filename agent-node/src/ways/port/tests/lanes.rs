//! The same sockets against a node with a plan: lanes as clients see them.

use super::*;
use crate::node::Configuration;
use proto::address::Address;
use proto::plan::Plan;
use proto::ring::{Member, Ring, StoreId};
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use v1::EventKind;

pub(super) fn spec() -> Json {
    json!({
        "replicas": 1,
        "slots": 256,
        "storage": {"size": "1Gi"},
        "http": {"origins": ["https://shop.example"]},
        "agents": [{
            "route": "/counter/:id",
            "lanes": [
                {"name": "add", "type": "Command"},
                {"name": "n", "type": "Value", "initial": 0},
                {"name": "note", "type": "Value", "access": "ReadWrite"},
                {"name": "marks", "type": "Map", "access": "ReadWrite"},
                {"name": "added", "type": "Supply"},
                {"name": "closing", "type": "Supply", "queue": {"items": 4, "overflow": "Close"}},
                {"name": "hidden", "type": "Value", "access": "Internal"},
            ],
            "rules": [{"command": "add", "do": [
                {"set": {"lane": "n", "to": "n + event"}},
                {"emit": {"lane": "added", "body": "event"}},
                {"emit": {"lane": "closing", "body": "event"}},
            ]}],
        }],
    })
}

pub(super) async fn start_with_plan() -> Running {
    start_with_plan_on(1).await.0
}

pub(super) fn slot_of(agent: &str) -> u16 {
    let plan = Plan::parse(spec().to_string().as_bytes()).unwrap();
    plan.find(&Address::parse(agent).unwrap()).unwrap().slot
}

/// Nodes after the first own their slots and are not there.
pub(super) async fn start_with_plan_on(nodes: u16) -> (Running, Ring) {
    let running = start().await;
    let report = running.node.report();
    let mut members =
        vec![Member { ordinal: 0, store: report.store.parse().unwrap(), incarnation: report.incarnation }];
    members.extend((1..nodes).map(|ordinal| Member { ordinal, store: StoreId(9), incarnation: 1 }));
    let mut peers = vec![running.peer_at.to_string()];
    peers.resize(nodes.into(), "127.0.0.1:1".into());
    let ring = Ring::begin(PLAN_UID, members, 256, 7);
    running.node.configure(configuration(1, &spec(), &ring, peers)).await.unwrap();
    let ready = async {
        while running.node.ready().is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), ready).await.expect("the node becomes ready");
    (running, ring)
}

pub(super) fn configuration(generation: u64, spec: &Json, ring: &Ring, peers: Vec<String>) -> Configuration {
    Configuration {
        plan_name: "counters".into(),
        plan_uid: PLAN_UID.into(),
        adopted_by: String::new(),
        generation,
        spec: spec.to_string().into(),
        ring: ring.encode().into(),
        peers,
    }
}

impl Running {
    pub(super) async fn post(&self, target: &str, headers: &str, body: &str) -> (u16, String) {
        parts(&self.ask(&format!("POST {target}"), headers, body).await)
    }

    async fn get(&self, target: &str, headers: &str) -> (u16, String) {
        parts(&self.ask(&format!("GET {target}"), headers, "").await)
    }
}

fn parts(answer: &str) -> (u16, String) {
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    (code, answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()))
}

pub(super) fn version(answer: &(u16, String)) -> u64 {
    assert_eq!(answer.0, 200, "{}", answer.1);
    serde_json::from_str::<Json>(&answer.1).unwrap()["version"].as_u64().unwrap()
}

pub(super) fn command(id: u64, agent: &str, body: &'static str, sequence: u64) -> v1::Command {
    v1::Command {
        id,
        agent: agent.into(),
        lane: "add".into(),
        body: bytes::Bytes::from_static(body.as_bytes()),
        sequence,
    }
}

#[tokio::test]
async fn a_command_is_seen_by_the_next_get() {
    let running = start_with_plan().await;
    assert_eq!(running.get("/counter/1?lane=n", "").await, (200, "0".into()));
    let first = version(&running.post("/counter/1?lane=add", "", "2").await);
    let second =
        version(&running.post("/counter/%31?lane=add", "content-type: application/json\r\n", " 40 ").await);
    assert!(second > first);
    let answer = running.ask("GET /counter/1?lane=n", "", "").await;
    assert!(
        answer.contains(&format!("etag: \"{second}\"\r\n")) && answer.ends_with("\r\n\r\n42"),
        "{answer}"
    );
    let same = format!("if-none-match: \"{second}\"\r\n");
    assert_eq!(running.get("/counter/1?lane=n", &same).await, (304, String::new()));
    let other = format!("if-none-match: \"{first}\"\r\n");
    assert_eq!(running.get("/counter/1?lane=n&read=local", &other).await, (200, "42".into()));
}

#[tokio::test]
async fn what_cannot_be_done_is_said_with_its_place() {
    let running = start_with_plan().await;
    for (line, body, expected, also) in [
        ("GET /counter/1", "", 400, "marks (Map)"),
        ("GET /counter/1?lane=add", "", 406, ""),
        ("GET /counter/1?lane=added", "", 406, ""),
        ("GET /counter/1?lane=hidden", "", 404, ""),
        ("GET /counter/1?lane=none", "", 404, ""),
        ("GET /nothing/1?lane=n", "", 404, ""),
        ("GET /counter/1/?lane=n", "", 404, ""),
        ("GET /counter/%zz?lane=n", "", 400, ""),
        ("POST /counter/1?lane=n", "1", 405, "allow: GET, HEAD\r\n"),
        ("POST /counter/1?lane=added", "1", 405, "allow: GET, HEAD\r\n"),
        ("POST /counter/1?lane=hidden", "1", 404, ""),
        ("POST /counter/1?lane=add", "\"x\"", 422, "rules[0].do[0].set.to"),
        ("POST /counter/1?lane=add", " ", 400, "\"at\""),
        ("POST /counter/1?lane=add", "1 2", 400, "\"at\""),
        ("POST /counter/1?lane=add", "{\"a\":1,\"a\":2}", 400, "\"at\""),
        ("POST /counter/1?lane=marks", "{\"put\":{}}", 400, ""),
    ] {
        let answer = running.ask(line, "", body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{line} {body}: {answer}");
        assert!(answer.contains(also), "{line} {body}: {also} in {answer}");
    }
    assert_eq!(running.get("/counter/1?lane=n", "").await, (200, "0".into()));
}

#[tokio::test]
async fn pages_of_hosts_that_the_plan_names_ask_as_their_browsers_do() {
    let running = start_with_plan().await;
    let page = "origin: https://shop.example\r\n";
    let asked = format!("{page}access-control-request-method: POST\r\n");
    let allowed = "access-control-allow-origin: https://shop.example\r\n";
    for (line, headers, body, expected, also) in [
        ("OPTIONS /counter/1?lane=add", &*asked, "", 204, "access-control-allow-headers: content-type"),
        ("OPTIONS /counter/1?lane=add", &*asked, "", 204, allowed),
        ("OPTIONS /counter/1?lane=n", &*asked, "", 204, "last-event-id"),
        ("POST /counter/1?lane=add", page, "1", 200, allowed),
        ("GET /counter/1?lane=n", page, "", 200, allowed),
        ("GET /counter/1?lane=none", page, "", 404, allowed),
    ] {
        let answer = running.ask(line, headers, body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{line}: {answer}");
        assert!(answer.contains(also) && answer.contains("vary: origin"), "{line}: {answer}");
    }
    for page in ["origin: https://other.example\r\n", "origin: null\r\n"] {
        assert_eq!(running.post("/counter/1?lane=add", page, "1").await.0, 403, "{page}");
        assert_eq!(running.get("/counter/1?lane=n", page).await.0, 403, "{page}");
    }
    assert_eq!(running.get("/counter/1?lane=n", "").await, (200, "1".into()));
    let mut request =
        tonic::Request::new(v1::GetRequest { agent: "/counter/1".into(), ..Default::default() });
    request.metadata_mut().insert("origin", "https://other.example".parse().unwrap());
    let refused = running.lanes().await.get(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
}

#[tokio::test]
async fn clients_write_lanes_that_are_theirs_to_write() {
    let running = start_with_plan().await;
    version(&running.post("/counter/1?lane=note", "", "{\"b\": 1.50, \"a\": []}").await);
    assert_eq!(running.get("/counter/1?lane=note", "").await, (200, "{\"b\":1.5,\"a\":[]}".into()));
    for (change, expected) in [
        ("{\"update\": {\"key\": \"b\", \"value\": 2}}", "{\"b\":2}"),
        ("{\"update\": {\"key\": \"a\", \"value\": 1}}", "{\"a\":1,\"b\":2}"),
        ("{\"update\": {\"key\": 3, \"value\": null}}", "[[3,null],[\"a\",1],[\"b\",2]]"),
        ("{\"remove\": {\"key\": 3.0}}", "{\"a\":1,\"b\":2}"),
        ("{\"clear\": {}}", "{}"),
    ] {
        version(&running.post("/counter/1?lane=marks", "", change).await);
        assert_eq!(running.get("/counter/1?lane=marks", "").await, (200, expected.into()), "{change}");
    }
}

#[tokio::test]
async fn a_key_is_settled_once() {
    let running = start_with_plan().await;
    let key = |sequence: u64| format!("shoal-client: me\r\nshoal-sequence: {sequence}\r\n");
    let first = version(&running.post("/counter/1?lane=add", &key(5), "1").await);
    assert_eq!(version(&running.post("/counter/1?lane=add", &key(5), "1").await), first);
    assert_eq!(running.get("/counter/1?lane=n", "").await, (200, "1".into()));
    assert_eq!(running.post("/counter/1?lane=add", &key(6), "\"no\"").await.0, 422);
    assert!(version(&running.post("/counter/1?lane=add", &key(6), "1").await) > first);
}

#[tokio::test]
async fn a_stream_of_commands_is_answered_whole() {
    let running = start_with_plan().await;
    let agents = ["/counter/a", "/counter/b", "/counter/c"];
    let all: Vec<_> = (1..=9000).map(|n| command(n, agents[n as usize % 3], "1", n)).collect();
    let messages: Vec<_> = all
        .chunks(300)
        .map(|some| v1::SendAllRequest { client: "loader".into(), commands: some.to_vec() })
        .collect();
    let mut answers =
        running.lanes().await.send_all(futures::stream::iter(messages)).await.unwrap().into_inner();
    let mut versions = HashMap::new();
    while let Some(message) = answers.message().await.unwrap() {
        for answer in message.answers {
            let expected = v1::Answer { id: answer.id, version: answer.version, ..v1::Answer::default() };
            assert_eq!(answer, expected);
            assert_eq!(versions.insert(answer.id, answer.version), None);
        }
    }
    assert_eq!(versions.len(), all.len());
    for agent in agents {
        assert_eq!(running.get(&format!("{agent}?lane=n"), "").await, (200, "3000".into()));
    }
    // Each slot remembers the highest 1,024 of a client; what is older is told to be so.
    let last = v1::SendAllRequest {
        client: "loader".into(),
        commands: vec![command(1, agents[0], "1", 9000), command(2, agents[1], "1", 1)],
    };
    let mut answers =
        running.lanes().await.send_all(futures::stream::iter([last])).await.unwrap().into_inner();
    let mut again = HashMap::new();
    while let Some(message) = answers.message().await.unwrap() {
        again.extend(message.answers.into_iter().map(|answer| (answer.id, (answer.version, answer.refusal))));
    }
    assert_eq!(again[&1], (versions[&9000], None));
    assert_eq!(again[&2].1.as_ref().map(|refusal| refusal.code), Some(409));
}

#[tokio::test]
async fn a_watch_begins_with_the_state_and_follows() {
    let running = start_with_plan().await;
    version(&running.post("/counter/1?lane=add", "", "5").await);
    let request = v1::WatchRequest { agent: "/counter/1".into(), lane: "n".into(), from: None, rate: None };
    let mut events = Events(running.lanes().await.watch(request).await.unwrap().into_inner(), Vec::new());
    let state = events.until(|event| event.kind() == EventKind::Synced).await;
    assert_eq!(
        state.first().map(|event| (event.kind(), &event.value[..])),
        Some((EventKind::Set, &b"5"[..]))
    );
    assert!(state.last().unwrap().id.is_some());
    let written = version(&running.post("/counter/1?lane=add", "", "1").await);
    let next = events.until(|event| event.id.is_some()).await.pop().unwrap();
    assert_eq!((next.kind(), &next.value[..], next.id), (EventKind::Set, &b"6"[..], Some(written)));
    let wrong = v1::WatchRequest { agent: "/counter/1".into(), lane: "none".into(), from: None, rate: None };
    let status = running.lanes().await.watch(wrong).await.unwrap().into_inner().message().await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

struct Events(tonic::Streaming<v1::WatchResponse>, Vec<v1::Event>);

impl Events {
    /// The events up to the first that is the last of what is asked for.
    async fn until(&mut self, last: impl Fn(&v1::Event) -> bool) -> Vec<v1::Event> {
        let wait = async {
            loop {
                if let Some(place) = self.1.iter().position(&last) {
                    return self.1.drain(..=place).collect();
                }
                let message = self.0.message().await.unwrap().expect("the watch goes on");
                self.1.extend(message.events);
            }
        };
        timeout(Duration::from_secs(10), wait).await.expect("the event comes")
    }
}

#[tokio::test]
async fn who_reads_late_gets_the_last_value_and_not_all_of_them() {
    const COMMANDS: u64 = 20_000;
    let running = start_with_plan().await;
    let request = v1::WatchRequest { agent: "/counter/1".into(), lane: "n".into(), from: None, rate: None };
    let mut events = Events(running.lanes().await.watch(request).await.unwrap().into_inner(), Vec::new());
    events.until(|event| event.kind() == EventKind::Synced).await;
    let messages = (0..COMMANDS / 500).map(|batch| v1::SendAllRequest {
        client: String::new(),
        commands: (0..500).map(|n| command(batch * 500 + n, "/counter/1", "1", 0)).collect(),
    });
    let messages: Vec<_> = messages.collect();
    let mut answers =
        running.lanes().await.send_all(futures::stream::iter(messages)).await.unwrap().into_inner();
    while answers.message().await.unwrap().is_some() {}
    let total = COMMANDS.to_string();
    let seen = events.until(|event| event.value == total.as_bytes()).await;
    assert!((seen.len() as u64) < COMMANDS, "{}", seen.len());
}

#[tokio::test]
async fn one_stream_carries_many_links() {
    let running = start_with_plan().await;
    let (requests, outgoing) = tokio::sync::mpsc::channel(8);
    let outgoing = tokio_stream::wrappers::ReceiverStream::new(outgoing);
    let mut links = running.lanes().await.links(outgoing).await.unwrap().into_inner();
    let open = |link: u32, lane: &str| v1::OpenLink {
        link,
        agent: format!("/counter/{link}"),
        lane: lane.into(),
        from: None,
        credit: None,
        rate: None,
    };
    let mut all: Vec<_> = (1..=500).map(|link| open(link, "n")).collect();
    all.push(open(501, "none"));
    all.push(open(502, "hidden"));
    requests.send(v1::LinksRequest { open: all, ..Default::default() }).await.unwrap();
    let (mut synced, mut closed) = (0, HashMap::new());
    while synced < 500 || closed.len() < 2 {
        let message = links.message().await.unwrap().unwrap();
        synced +=
            message.events.iter().filter(|e| e.event.as_ref().unwrap().kind() == EventKind::Synced).count();
        closed.extend(
            message.closed.into_iter().map(|end| (end.link, end.refusal.map(|refusal| refusal.code))),
        );
    }
    assert_eq!(closed, HashMap::from([(501, Some(404)), (502, Some(404))]));
    let commands = (1..=500).map(|n| command(n, &format!("/counter/{n}"), "7", 0)).collect();
    let sent = v1::SendAllRequest { client: String::new(), commands };
    let mut answers =
        running.lanes().await.send_all(futures::stream::iter([sent])).await.unwrap().into_inner();
    while answers.message().await.unwrap().is_some() {}
    let mut values = HashMap::new();
    while values.len() < 500 {
        for v1::LinkEvent { link, event } in links.message().await.unwrap().unwrap().events {
            values.insert(link, event.unwrap().value);
        }
    }
    assert!(values.values().all(|value| &value[..] == b"7"));
    requests.send(v1::LinksRequest { close: vec![3, 999], ..Default::default() }).await.unwrap();
    let message = links.message().await.unwrap().unwrap();
    assert_eq!(message.closed, [v1::LinkClosed { link: 3, refusal: None }]);
    requests.send(v1::LinksRequest { open: vec![open(4, "n")], ..Default::default() }).await.unwrap();
    assert_eq!(links.message().await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn stop_answers_what_was_taken() {
    let running = start_with_plan().await;
    let (requests, outgoing) = tokio::sync::mpsc::channel(8);
    let outgoing = tokio_stream::wrappers::ReceiverStream::new(outgoing);
    let mut answers = running.lanes().await.send_all(outgoing).await.unwrap().into_inner();
    let sent = v1::SendAllRequest {
        client: String::new(),
        commands: (0..100).map(|n| command(n, "/counter/1", "1", 0)).collect(),
    };
    requests.send(sent).await.unwrap();
    let first = answers.message().await.unwrap().unwrap();
    running.stop.cancel();
    let mut answered = first.answers.len();
    let status = loop {
        match answers.message().await {
            Ok(message) => answered += message.expect("ends with a status").answers.len(),
            Err(status) => break status,
        }
    };
    assert_eq!((answered, status.code()), (100, Code::Unavailable));
    running.port.await.unwrap();
}
