//! What reads bytes and texts of strangers here, each with the laws that hold for any input. `tests/fuzz` feeds them.

use crate::cli::line;
use crate::log::{self, Head};
use crate::node::configuration::{self, Own};
use crate::node::configure;
use crate::peer::{Identity, Numbers, wire};
use crate::shard::Record;
use crate::store::{Identity as StoreIdentity, decode_configuration};
use crate::ways::http::call::Call;
use crate::{answer, trial};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use prost::Message as _;
use proto::address::Address;
use proto::fuzzed::Fuzzed;
use proto::json;
use proto::plan::AgentPlanSpec;
use proto::ring::StoreId;
use proto::wire::{peer, v1};
use serde_json::json;

pub const TARGETS: &[Fuzzed] = &[
    ("cases", cases),
    ("configuration", configuration),
    ("expression", expression),
    ("frame", frame),
    ("grpc", grpc),
    ("http", http),
    ("line", line),
    ("record", record),
    ("segment", log::fuzzed::segment),
    ("store", store),
];

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// The body of a record is read, or is told as broken.
fn record(bytes: &[u8]) {
    let Ok(mut record) = Record::decode(bytes) else { return };
    let sends = record.sends.len();
    assert!(sends + record.changes.len() <= bytes.len());
    assert_eq!(record.messages(Head::default()).count(), sends);
}

/// A frame of a peer that is taken is the same when it comes again.
fn frame(bytes: &[u8]) {
    let Ok(frame) = peer::Frame::decode(bytes) else { return };
    let again = peer::Frame::decode(&*frame.encode_to_vec());
    assert_eq!(again.as_ref(), Ok(&frame));
    let _ = wire::open(frame);
}

/// A plan and ring as the operator, peers and the disk give them: kept as they came, and judged.
fn configuration(bytes: &[u8]) {
    let _ = decode_configuration(bytes);
    let Ok(given) = configure::decode(bytes) else { return };
    let kept = configure::encode(&given);
    assert!(configure::decode(&kept).is_ok_and(|given| configure::encode(&given) == kept));
    let identity =
        Identity { plan_uid: given.plan_uid.clone(), ordinal: 0, store: StoreId(1), incarnation: u64::MAX };
    let adopted_by = given.adopted_by.clone();
    let own = Own { identity: &identity, adopted_by: &adopted_by, held: Numbers::default(), plan: None };
    let _ = configuration::judge(&own, None, given);
}

/// The file with a store's id: what is taken is what this version writes.
fn store(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(identity) = StoreIdentity::parse(text) else { return };
    assert!(!identity.is_of_this_version() || identity.encode() == text);
}

/// The words of a request, lines with its headers, and after an empty line its body.
fn http(bytes: &[u8]) {
    let (head, body) = match bytes.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (&bytes[..at], &bytes[at + 2..]),
        None => (bytes, &[][..]),
    };
    let _ = json::parse(body);
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut words = lines.next().unwrap_or_default().splitn(2, |byte| *byte == b' ');
    let Ok(method) = Method::from_bytes(words.next().unwrap_or_default()) else { return };
    let Ok(uri) = Uri::try_from(words.next().unwrap_or_default()) else { return };
    let mut headers = HeaderMap::new();
    for line in lines.take(100) {
        let Some(at) = line.iter().position(|byte| *byte == b':') else { continue };
        let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(&line[..at]), HeaderValue::from_bytes(&line[at + 1..]))
        else {
            continue;
        };
        headers.append(name, value);
    }
    let called = Call::parse(&method, &uri, &headers);
    assert!(!matches!(called, Ok(Call::Post { .. })) || method == Method::POST);
    let _ = Address::parse(uri.path());
}

/// Requests by gRPC, as far as they are read before a node looks at them.
fn grpc(bytes: &[u8]) {
    if let Ok(request) = v1::SendRequest::decode(bytes) {
        let _ = (Address::parse(&request.agent), json::parse(&request.body));
        if let Ok((client, sequence)) = answer::key(&request.client, request.sequence) {
            assert_eq!((&*client, sequence), (request.client.as_str(), request.sequence));
        }
    }
    let _ = v1::WatchRequest::decode(bytes).map(|request| Address::parse(&request.agent));
}

/// A line of a file that is sent: its body is JSON as it stands in the line.
fn line(bytes: &[u8]) {
    let Ok(Some(command)) = line::parse(bytes) else { return };
    assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&command.body).is_ok());
    assert!(bytes.windows(command.body.len()).any(|part| part == &*command.body));
}

/// An expression of a rule, and in the lines after it the bodies of commands: whatever it is, it ends within its cost.
fn expression(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let (expression, bodies) = text.split_once('\n').unwrap_or((text, "null"));
    let spec = json!({
        "replicas": 1,
        "agents": [{
            "route": "/a/:id",
            "lanes": [
                {"name": "x", "type": "Command"},
                {"name": "v", "type": "Value", "initial": 0},
                {"name": "m", "type": "Map"},
            ],
            "rules": [{"command": "x", "do": [
                {"set": {"lane": "v", "to": expression}},
                {"put": {"lane": "m", "key": "string(now)", "to": "v"}},
            ]}],
        }],
    });
    let Ok(spec) = serde_json::from_value::<AgentPlanSpec>(spec) else { return };
    let command = |body: &str| format!("  - {{agent: /a/1, lane: x, body: {body}}}\n");
    let commands: String = bodies.lines().take(4).map(command).collect();
    let Ok(cases) = trial::read(&format!("- name: any\n  commands:\n{commands}")) else { return };
    for case in &cases {
        let _ = trial::run(&spec, case);
    }
}

/// A file of cases.
fn cases(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let _ = trial::read(text);
}
