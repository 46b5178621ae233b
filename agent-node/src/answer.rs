//! The form that answers take for clients: states as JSON, refusals as HTTP bodies, gRPC statuses and parts of
//! gRPC messages. The one place where codes of one way in become codes of another.

use crate::{
    done::{Done, Said},
    map::Walk,
    reads::{self, Charge},
    refusal::Refusal,
    shard::Body,
};
use bytes::Bytes;
use proto::{json, value::Value, wire::v1};
use std::{fmt::Write as _, ops::ControlFlow, sync::Arc};
use tonic::{
    Code, Status,
    metadata::{AsciiMetadataValue, MetadataMap},
};

const CHUNK: usize = 64 << 10;

/// A lane's state as JSON text in pieces, so that a large Map is never in memory a second time. All of it is charged to
/// the node's budget of reads until the last piece is dropped.
pub struct Text {
    rest: Rest,
    charge: Arc<Charge>,
    begun: bool,
}

enum Rest {
    Value(Value),
    Entries { walk: Walk, object: bool, begun: bool },
    Done,
}

impl Text {
    pub fn of(body: Body, charge: Charge) -> Self {
        let rest = match body {
            Body::Value(value) => Rest::Value(value),
            Body::Map(map) => {
                Rest::Entries { object: map.has_only_texts_as_keys(), walk: Walk::new(map), begun: false }
            }
        };
        Self { rest, charge: Arc::new(charge), begun: false }
    }

    /// What all of it is charged to.
    pub fn charge(&self) -> &Arc<Charge> {
        &self.charge
    }

    /// Adds one piece. False: all of it was written before.
    pub fn write(&mut self, out: &mut Vec<u8>) -> bool {
        let full = out.len() + CHUNK;
        match std::mem::replace(&mut self.rest, Rest::Done) {
            Rest::Done => return false,
            Rest::Value(value) => json::write(&value, out),
            Rest::Entries { mut walk, object, mut begun } => {
                if !begun {
                    out.push(if object { b'{' } else { b'[' });
                }
                walk.visit(|key, value| {
                    if std::mem::replace(&mut begun, true) {
                        out.push(b',');
                    }
                    write_entry(key, value, object, out);
                    if out.len() < full { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                });
                if walk.left() == 0 {
                    out.push(if object { b'}' } else { b']' });
                    self.charge.is_written();
                } else {
                    self.rest = Rest::Entries { walk, object, begun };
                }
            }
        }
        true
    }
}

impl Iterator for Text {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        if !self.write(&mut out) {
            return None;
        }
        if !std::mem::replace(&mut self.begun, true) && matches!(self.rest, Rest::Done) {
            self.charge.is_text(out.len());
        }
        Some(reads::piece(out, self.charge.clone()))
    }
}

/// The snapshot is given back before it goes.
impl Drop for Text {
    fn drop(&mut self) {
        self.charge.is_written();
    }
}

fn write_entry(key: &Value, value: &Value, object: bool, out: &mut Vec<u8>) {
    if !object {
        out.push(b'[');
    }
    json::write(key, out);
    out.push(if object { b':' } else { b',' });
    json::write(value, out);
    if !object {
        out.push(b']');
    }
}

/// What HTTP clients read about a refusal.
pub fn refusal_json(refusal: &Refusal) -> String {
    let mut members = serde_json::Map::new();
    members.insert("error".into(), refusal.error.as_str().into());
    members.insert("at".into(), refusal.at.as_str().into());
    if refusal.outcome_unknown {
        members.insert("outcome".into(), "unknown".into());
    }
    if refusal.by_rule {
        members.insert("refusedBy".into(), "rule".into());
    }
    serde_json::Value::Object(members).to_string()
}

/// What HTTP clients read about a command that was done.
pub fn done_json(Done { version, said }: &Done) -> String {
    match said {
        Said::Nothing => format!("{{\"version\":{version}}}"),
        Said::Json(json) => {
            format!("{{\"version\":{version},\"answer\":{}}}", String::from_utf8_lossy(json))
        }
        Said::Gone => format!("{{\"version\":{version},\"answerGone\":true}}"),
    }
}

/// The gRPC code for one of HTTP's. A rule's 409 has another one than that of a command which was done before.
pub fn grpc_code(refusal: &Refusal) -> Code {
    match refusal.code {
        409 if refusal.by_rule => Code::Aborted,
        400 | 415 => Code::InvalidArgument,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        405 | 406 => Code::Unimplemented,
        408 => Code::DeadlineExceeded,
        409 => Code::OutOfRange,
        413 | 429 => Code::ResourceExhausted,
        422 => Code::FailedPrecondition,
        503 => Code::Unavailable,
        _ => Code::Internal,
    }
}

/// A refused call. Several of HTTP's codes share one of gRPC's, so HTTP's own stands in `shoal-code`.
pub fn status(refusal: &Refusal) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert("shoal-code", refusal.code.into());
    if let Ok(at) = AsciiMetadataValue::try_from(visible(&refusal.at)) {
        metadata.insert("shoal-at", at);
    }
    if refusal.outcome_unknown {
        metadata.insert("shoal-outcome", AsciiMetadataValue::from_static("unknown"));
    }
    if refusal.by_rule {
        metadata.insert("shoal-refused-by", AsciiMetadataValue::from_static("rule"));
    }
    if matches!(refusal.code, 429 | 503) {
        metadata.insert("shoal-retry-after", refusal.retry_after_s.into());
    }
    Status::with_metadata(grpc_code(refusal), refusal.error.clone(), metadata)
}

/// Headers carry visible ASCII; an address that was sent in another form is shown percent-encoded.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A refusal inside a stream that goes on.
pub fn message(refusal: Refusal) -> v1::Refusal {
    let Refusal { code, error, at, outcome_unknown, retry_after_s, by_rule } = refusal;
    v1::Refusal { code: code.into(), error, at, outcome_unknown, retry_after_s, by_rule }
}

/// A client's name and number for a command, or what is wrong with them.
pub fn key(client: &str, sequence: u64) -> Result<(std::sync::Arc<str>, u64), Refusal> {
    if client.is_empty() || client.len() > 128 || !client.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::bad("a client is 1 to 128 visible ASCII characters", "client"));
    }
    if !(1..=i64::MAX as u64).contains(&sequence) {
        return Err(Refusal::bad("a sequence is a whole number from 1 to 2^63-1", "sequence"));
    }
    Ok((client.into(), sequence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::Map;
    use crate::reads::{Answer, Reads};
    use crate::shard::Got;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn admitted(reads: &Reads, body: Body) -> Text {
        let got = Got { version: 1, not_modified: false, body };
        let Answer { charge, body, .. } = reads.admit(got, "").unwrap();
        Text::of(body, charge)
    }

    fn text_of(body: Body) -> Text {
        admitted(&Reads::default(), body)
    }

    fn shown(body: Body) -> String {
        String::from_utf8(text_of(body).flatten().collect()).unwrap()
    }

    #[test]
    fn a_map_is_an_object_unless_a_key_is_no_text() {
        assert_eq!(shown(Body::Map(Map::default())), "{}");
        assert_eq!(shown(Body::Value(Value::Int(7))), "7");
        let texts = vec![(text("a"), Value::Int(1)), (text("b"), Value::Int(2))];
        assert_eq!(shown(Body::Map(Map::from_iter(texts))), r#"{"a":1,"b":2}"#);
        let mixed = vec![(Value::Int(1), Value::Int(1)), (text("b"), Value::Int(2))];
        assert_eq!(shown(Body::Map(Map::from_iter(mixed))), r#"[[1,1],["b",2]]"#);
    }

    #[test]
    fn a_large_map_comes_in_pieces_that_make_the_same_text() {
        let long: String = "x".repeat(1000);
        let entries: Map = (0..1000).map(|n| (text(&format!("k{n:04}")), text(&long))).collect();
        let pieces: Vec<Bytes> = text_of(Body::Map(entries.clone())).collect();
        assert!(pieces.len() > 10 && pieces.iter().all(|piece| piece.len() < CHUNK + 2000));
        let all = pieces.concat();
        let read: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&all).unwrap();
        assert_eq!(read.len(), 1000);
        let (mut rest, mut whole) = (text_of(Body::Map(entries)), Vec::new());
        while rest.write(&mut whole) {}
        assert_eq!(whole, all);
    }

    #[test]
    fn an_answer_is_charged_until_its_last_piece_is_dropped() {
        const MIB: usize = 1 << 20;
        let (reads, long) = (Reads::default(), "x".repeat(1000));
        let large: Map = (0..2000).map(|n| (Value::Int(n), text(&long))).collect();
        let snapshot = large.bytes();
        let mut one = admitted(&reads, Body::Map(large.clone()));
        let begun = reads.bytes();
        assert!((snapshot..snapshot + MIB).contains(&begun), "{begun}");
        let two = admitted(&reads, Body::Map(large));
        assert!(reads.bytes() < begun + MIB, "two of one state hold one snapshot");
        drop(two);
        assert_eq!(reads.bytes(), begun);
        let last = one.by_ref().last();
        assert!(reads.bytes() < MIB, "the snapshot is let go: {}", reads.bytes());
        drop(one);
        assert!(reads.bytes() > 0, "a piece is held");
        drop(last);
        assert_eq!(reads.bytes(), 0);
        let small = admitted(&reads, Body::Value(text(&long))).next();
        assert!((1000..2000).contains(&reads.bytes()), "{}", reads.bytes());
        drop(small);
        assert_eq!(reads.bytes(), 0);
    }

    #[test]
    fn every_code_of_http_has_one_of_grpc() {
        for (http, grpc) in [
            (400, Code::InvalidArgument),
            (415, Code::InvalidArgument),
            (403, Code::PermissionDenied),
            (408, Code::DeadlineExceeded),
            (404, Code::NotFound),
            (405, Code::Unimplemented),
            (406, Code::Unimplemented),
            (409, Code::OutOfRange),
            (413, Code::ResourceExhausted),
            (422, Code::FailedPrecondition),
            (429, Code::ResourceExhausted),
            (503, Code::Unavailable),
            (500, Code::Internal),
        ] {
            let status = status(&Refusal::new(http, "no", "spec.agents[0]"));
            assert_eq!(status.code(), grpc, "{http}");
            assert_eq!(status.metadata().get("shoal-code").unwrap(), http.to_string().as_str());
            assert_eq!(status.metadata().get("shoal-at").unwrap(), "spec.agents[0]");
        }
    }

    #[test]
    fn a_refusal_by_a_rule_is_told_as_one_and_its_409_has_a_code_of_its_own() {
        for (http, grpc) in
            [(409, Code::Aborted), (422, Code::FailedPrecondition), (429, Code::ResourceExhausted)]
        {
            let refusal = Refusal::by_rule(http, "no", "spec");
            let status = status(&refusal);
            assert_eq!(
                (status.code(), refusal_json(&refusal).contains(r#""refusedBy":"rule""#)),
                (grpc, true)
            );
            assert_eq!(status.metadata().get("shoal-refused-by").unwrap(), "rule");
            let other = self::status(&Refusal::new(http, "no", "spec"));
            assert!(other.metadata().get("shoal-refused-by").is_none());
            assert!(message(refusal).by_rule && !refusal_json(&Refusal::bad("", "")).contains("refusedBy"));
        }
    }

    #[test]
    fn what_is_done_is_told_with_what_the_rules_said() {
        for (said, expected) in [
            (Said::Nothing, r#"{"version":7}"#),
            (Said::Json(Bytes::from_static(b"[1]")), r#"{"version":7,"answer":[1]}"#),
            (Said::Gone, r#"{"version":7,"answerGone":true}"#),
        ] {
            assert_eq!(done_json(&Done { version: 7, said }), expected);
        }
    }

    #[test]
    fn a_refusal_survives_any_text() {
        let refusal = Refusal::unknown("lost \"it\"\n", "/zug/東京\r\n");
        let read: serde_json::Value = serde_json::from_str(&refusal_json(&refusal)).unwrap();
        assert_eq!(read["error"], "lost \"it\"\n");
        assert_eq!(read["outcome"], "unknown");
        let status = status(&refusal);
        assert_eq!(status.metadata().get("shoal-at").unwrap(), "/zug/%E6%9D%B1%E4%BA%AC%0D%0A");
        assert_eq!(status.metadata().get("shoal-outcome").unwrap(), "unknown");
    }

    #[test]
    fn a_key_is_visible_ascii_and_a_positive_int64() {
        for (client, sequence, good) in [
            ("a", 1, true),
            ("file-0123456789abcdef", i64::MAX as u64, true),
            ("", 1, false),
            ("a b", 1, false),
            ("é", 1, false),
            ("a", 0, false),
            ("a", 1 << 63, false),
        ] {
            assert_eq!(key(client, sequence).is_ok(), good, "{client} {sequence}");
        }
        assert!(key(&"x".repeat(129), 1).is_err());
    }
}
