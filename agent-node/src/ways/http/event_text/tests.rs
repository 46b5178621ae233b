//! The bytes of each event, and the law that a reader of the standard reads what was written.

use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use proto::json;
use proto::value::Value;
use serde_json::{Value as Json, json};

const KINDS: [EventKind; 9] = [
    EventKind::Set,
    EventKind::Update,
    EventKind::Remove,
    EventKind::Clear,
    EventKind::Event,
    EventKind::Synced,
    EventKind::Reset,
    EventKind::Gap,
    EventKind::Stale,
];

fn event(kind: EventKind, key: &str, value: &str, id: Option<u64>, gap: (u64, u64)) -> Event {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    Event { kind, key: bytes(key), value: bytes(value), id, gap }
}

fn text(event: &Event) -> String {
    let mut out = Vec::new();
    write(event, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn each_event_is_a_name_one_line_of_json_and_an_id_where_one_is_due() {
    let none = (0, 0);
    for (event, expected) in [
        (event(EventKind::Set, "", "7", None, none), "event: set\ndata: 7\n\n"),
        (event(EventKind::Set, "", "7", Some(9), none), "event: set\ndata: 7\nid: 9\n\n"),
        (event(EventKind::Set, "", "null", None, none), "event: set\ndata: null\n\n"),
        (
            event(EventKind::Update, "\"a b\"", "{\"n\":1}", Some(u64::MAX), none),
            "event: update\ndata: {\"key\":\"a b\",\"value\":{\"n\":1}}\nid: 18446744073709551615\n\n",
        ),
        (
            event(EventKind::Update, "1", "[]", None, none),
            "event: update\ndata: {\"key\":1,\"value\":[]}\n\n",
        ),
        (
            event(EventKind::Remove, "\"a\"", "", Some(2), none),
            "event: remove\ndata: {\"key\":\"a\"}\nid: 2\n\n",
        ),
        (event(EventKind::Clear, "", "", Some(2), none), "event: clear\ndata: null\nid: 2\n\n"),
        (event(EventKind::Event, "", "\"x\"", None, none), "event: event\ndata: \"x\"\n\n"),
        (event(EventKind::Synced, "", "", Some(5), none), "event: synced\ndata: null\nid: 5\n\n"),
        // The watermark before is void: 0 asks for a reset.
        (event(EventKind::Reset, "", "", None, none), "event: reset\ndata: null\nid: 0\n\n"),
        (
            event(EventKind::Gap, "", "", Some(4), (3, 4)),
            "event: gap\ndata: {\"from\":3,\"to\":4}\nid: 4\n\n",
        ),
        (event(EventKind::Stale, "", "", None, none), "event: stale\ndata: null\n\n"),
    ] {
        assert_eq!(text(&event), expected);
        assert!(length(&event) >= expected.len(), "{expected}");
    }
}

#[test]
fn a_stream_begins_with_when_and_from_where_to_go_on() {
    for (from, expected) in [(None, "retry: 1500\nid: 0\n\n"), (Some(7), "retry: 1500\nid: 7\n\n")] {
        assert_eq!(begin(1_500, from), expected.as_bytes());
    }
    assert_eq!(read(&begin(1_500, None)), (vec![], "0".to_owned(), Some(1_500)), "it is no event");
}

#[test]
fn the_last_event_says_why_a_stream_ends() {
    let refusal = Refusal::not_found("the plan has no such lane\r\nany \"more\"", "/a/1");
    let (events, ..) = read(&closed(&refusal));
    let [Read { name, data, .. }] = &events[..] else { panic!("{events:?}") };
    let expected = json!({"code": 404, "error": "the plan has no such lane\r\nany \"more\"", "at": "/a/1"});
    assert_eq!((name.as_str(), serde_json::from_str::<Json>(data).unwrap()), ("closed", expected));
}

#[test]
fn a_comment_is_due_after_ten_seconds_of_silence() {
    let began = Instant::now();
    let at = |ms: u64| began + Duration::from_millis(ms);
    let mut silence = Silence::begins(began);
    for (ms, until) in [
        (0, Some(10_000)),
        (9_999, Some(10_000)),
        (10_000, None),
        (10_001, Some(20_000)),
        (25_000, None),
        (25_000, Some(35_000)),
    ] {
        assert_eq!(silence.lasts_until(at(ms)), until.map(at), "at {ms}");
    }
    silence = Silence::begins(at(30_000));
    assert_eq!(silence.lasts_until(at(35_000)), Some(at(40_000)), "something was written");
    assert_eq!(read(COMMENT), (vec![], String::new(), None), "a comment is no event");
}

/// An event as a page gets it.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    name: String,
    data: String,
    last_event_id: String,
}

/// Reads a whole stream as the standard says ("Interpreting an event stream"): the events, the last event ID, and the
/// reconnection time.
fn read(stream: &[u8]) -> (Vec<Read>, String, Option<u64>) {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text).replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut retry, mut last_event_id) = (Vec::new(), None, String::new());
    let (mut data, mut name, mut id) = (String::new(), String::new(), String::new());
    // What stands behind the last end of a line is no line.
    let lines = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    for line in lines.split('\n') {
        if line.is_empty() {
            last_event_id.clone_from(&id);
            let (data, name) = (std::mem::take(&mut data), std::mem::take(&mut name));
            if !data.is_empty() {
                let data = data.strip_suffix('\n').unwrap_or(&data).to_owned();
                let name = if name.is_empty() { "message".to_owned() } else { name };
                events.push(Read { name, data, last_event_id: last_event_id.clone() });
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut name),
            "data" => data.extend([value, "\n"]),
            "id" if !value.contains('\0') => value.clone_into(&mut id),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => retry = value.parse().ok(),
            _ => {}
        }
    }
    (events, last_event_id, retry)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_filter("JSON has no other", |number| number.is_finite()).prop_map(Value::Double),
        any::<String>().prop_map(|text| Value::text(&text)),
        "[\r\n\u{0}:\u{2028} \u{feff}\"]{0,9}".prop_map(|text| Value::text(&text)),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![proptest::collection::vec(inner, 0..4).prop_map(|items| Value::List(items.into()))]
    })
}

fn json_text(value: &Value) -> Bytes {
    let mut text = Vec::new();
    json::write(value, &mut text);
    text.into()
}

proptest! {
    #[test]
    fn a_reader_of_the_standard_reads_what_was_written(
        told in proptest::collection::vec(
            (0..KINDS.len(), value(), value(), proptest::option::of(any::<u64>()), any::<(u64, u64)>()),
            0..12,
        ),
        from in proptest::option::of(any::<u64>()),
        comments in any::<bool>(),
    ) {
        let mut stream = begin(1_000, from);
        let mut expected = Vec::new();
        let mut last = from.unwrap_or(0).to_string();
        for (kind, key, value, id, gap) in told {
            let kind = KINDS[kind];
            let event = Event { kind, key: json_text(&key), value: json_text(&value), id, gap };
            write(&event, &mut stream);
            if comments {
                stream.extend_from_slice(COMMENT);
            }
            let parsed = |bytes: &Bytes| serde_json::from_slice::<Json>(bytes).unwrap();
            let data = match kind {
                EventKind::Set | EventKind::Event => parsed(&event.value),
                EventKind::Update => json!({"key": parsed(&event.key), "value": parsed(&event.value)}),
                EventKind::Remove => json!({"key": parsed(&event.key)}),
                EventKind::Gap => json!({"from": gap.0, "to": gap.1}),
                _ => Json::Null,
            };
            if let Some(id) = id.or((kind == EventKind::Reset).then_some(0)) {
                last = id.to_string();
            }
            expected.push((name(kind).to_owned(), data, last.clone()));
        }
        let (events, last_event_id, retry) = read(&stream);
        let events: Vec<_> = events
            .into_iter()
            .map(|Read { name, data, last_event_id }| {
                (name, serde_json::from_str::<Json>(&data).unwrap(), last_event_id)
            })
            .collect();
        prop_assert_eq!(events, expected);
        prop_assert_eq!((last_event_id, retry), (last, Some(1_000)));
    }
}
