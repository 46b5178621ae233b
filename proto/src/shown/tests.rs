//! What the command lines take and show.

use super::*;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

#[test]
fn an_agent_is_named_by_its_path_or_by_a_url_that_says_where() {
    for (text, at, agent) in [
        ("/airport/JFK", None, "/airport/JFK"),
        ("http://localhost:7777/airport/JFK", Some("localhost:7777"), "/airport/JFK"),
        ("http://[::1]:7777/airport/%4AFK", Some("[::1]:7777"), "/airport/JFK"),
    ] {
        let target: Target = text.parse().unwrap();
        assert_eq!((target.at.as_deref(), target.agent.as_str()), (at, agent), "{text}");
    }
    for text in ["airport/JFK", "https://localhost/airport/JFK", "ftp://x/y", "", "/a?lane=b"] {
        assert!(text.parse::<Target>().is_err(), "{text}");
    }
}

#[test]
fn a_body_is_one_json_value_and_a_bare_word_is_shown_quoted() {
    for good in ["1", " {\"n\": 1} ", "\"JFK\"", "null", "[1,2]"] {
        assert_eq!(body(good).unwrap(), good.trim().as_bytes());
    }
    assert!(body("JFK").unwrap_err().0.contains(r#"'"JFK"'"#));
    assert!(body("{\"n\": }").unwrap_err().0.contains("at byte"));
    assert!(body("").is_err());
    assert!(body("1 2").is_err());
}

fn event(kind: EventKind, key: &str, value: &str, id: Option<u64>) -> Event {
    Event {
        kind: kind.into(),
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        id,
        gap_from: 3,
        gap_to: 9,
    }
}

#[test]
fn every_event_has_a_line_for_people_and_an_object_for_programs() {
    for (event, text, json) in [
        (event(EventKind::Set, "", "7", None), "set 7", r#"{"event":"set","data":7,"id":null}"#),
        (
            event(EventKind::Update, r#""a b""#, "1", Some(5)),
            r#"update "a b" 1  @5"#,
            r#"{"event":"update","data":{"key":"a b","value":1},"id":5}"#,
        ),
        (
            event(EventKind::Remove, "1", "", None),
            "remove 1",
            r#"{"event":"remove","data":{"key":1},"id":null}"#,
        ),
        (event(EventKind::Clear, "", "", None), "clear", r#"{"event":"clear","data":null,"id":null}"#),
        (
            event(EventKind::Event, "", r#"{"x":1}"#, None),
            r#"event {"x":1}"#,
            r#"{"event":"event","data":{"x":1},"id":null}"#,
        ),
        (event(EventKind::Synced, "", "", Some(0)), "synced  @0", r#"{"event":"synced","data":null,"id":0}"#),
        (event(EventKind::Reset, "", "", None), "reset", r#"{"event":"reset","data":null,"id":null}"#),
        (
            event(EventKind::Gap, "", "", None),
            "gap 3 to 9",
            r#"{"event":"gap","data":{"from":3,"to":9},"id":null}"#,
        ),
        (event(EventKind::Stale, "", "", None), "stale", r#"{"event":"stale","data":null,"id":null}"#),
    ] {
        assert_eq!(told(Output::Text, &event), text);
        assert_eq!(told(Output::Json, &event), json);
        assert!(serde_json::from_str::<serde_json::Value>(json).is_ok());
    }
}

#[test]
fn a_watch_counts_its_events_and_keeps_the_last_token() {
    let mut following = Following::new(Output::Text, Some(1), Some(3));
    let first = WatchResponse {
        events: vec![event(EventKind::Set, "", "1", None), event(EventKind::Synced, "", "", Some(4))],
    };
    assert_eq!(following.lines_of(&first), ["set 1", "synced  @4"]);
    assert_eq!((following.from, following.is_done()), (Some(4), false));
    assert_eq!(following.lines_of(&first), ["set 1"]);
    assert_eq!((following.from, following.is_done()), (Some(4), true));
    assert!(following.lines_of(&first).is_empty());
    let mut endless = Following::new(Output::Text, None, None);
    assert_eq!(endless.lines_of(&first).len(), 2);
    assert!(!endless.is_done());
}

#[test]
fn a_watch_that_has_shown_events_without_a_token_goes_on_with_a_reset() {
    let mut following = Following::new(Output::Text, None, None);
    assert_eq!(following.from, None, "nothing was shown");
    let state = WatchResponse { events: vec![event(EventKind::Set, "", "1", None)] };
    following.lines_of(&state);
    assert_eq!(following.from, Some(0), "its connection was lost before `synced`");
    let synced = WatchResponse { events: vec![event(EventKind::Synced, "", "", Some(4))] };
    following.lines_of(&synced);
    following.lines_of(&state);
    assert_eq!(following.from, Some(4));
    let reset = WatchResponse { events: vec![event(EventKind::Reset, "", "", None)] };
    following.lines_of(&reset);
    following.lines_of(&state);
    assert_eq!(following.from, Some(0), "what the token stood for was dropped");
    following.lines_of(&synced);
    assert_eq!(following.from, Some(4));
}

fn refused(code: Code, http: Option<&str>, outcome: Option<&str>) -> Status {
    let mut metadata = MetadataMap::new();
    for (name, value) in
        [("shoal-code", http), ("shoal-outcome", outcome), ("shoal-at", http.and(Some("/a/1")))]
    {
        if let Some(value) = value {
            metadata.insert(name, value.parse().unwrap());
        }
    }
    Status::with_metadata(code, "no", metadata)
}

#[test]
fn what_a_node_says_is_a_refusal_and_what_the_way_does_is_not() {
    for (status, exit, may_pass, text) in [
        (refused(Code::NotFound, Some("404"), None), Exit::Refused, false, "404: no (at /a/1)"),
        (refused(Code::Unavailable, Some("503"), None), Exit::Refused, true, "503: no (at /a/1)"),
        (
            refused(Code::Unavailable, Some("503"), Some("unknown")),
            Exit::Refused,
            true,
            "503: no (at /a/1); it may have been done",
        ),
        (refused(Code::Unavailable, None, None), Exit::Unreachable, true, "pod-0: no; it may have been done"),
        (refused(Code::Unimplemented, None, None), Exit::Refused, false, "pod-0: no"),
    ] {
        let failure = Failure::of("pod-0", &status);
        assert_eq!((failure.exit, failure.may_pass()), (exit, may_pass), "{status:?}");
        assert_eq!(failure.shown(Output::Text), text);
        let json: serde_json::Value = serde_json::from_str(&failure.shown(Output::Json)).unwrap();
        assert_eq!(json["error"], failure.error);
    }
}

#[test]
fn a_nodes_state_is_told_in_lines_or_as_one_object() {
    let status = StatusResponse {
        plan: "flights".into(),
        ordinal: 1,
        slots_owned: 1365,
        slots_serving: 1365,
        nodes: vec![crate::wire::v1::NodeStatus {
            ordinal: 0,
            slots: 1366,
            reached: true,
            ..Default::default()
        }],
        ..StatusResponse::default()
    };
    let text = super::status(Output::Text, &status);
    assert!(text.starts_with("node 1 of flights: 1365 of 1365 slots served"), "{text}");
    assert_eq!(text.lines().count(), 4, "{text}");
    let json: serde_json::Value = serde_json::from_str(&super::status(Output::Json, &status)).unwrap();
    assert_eq!((&json["slotsOwned"], &json["nodes"][0]["reached"]), (&1365.into(), &true.into()));
    assert_eq!(got(Output::Text, 7, b"[1]"), "[1]");
    assert_eq!(got(Output::Json, 7, b"[1]"), r#"{"version":7,"value":[1]}"#);
}

#[test]
fn what_the_rules_answered_is_shown_behind_the_version() {
    for (answer, answer_gone, text, json) in [
        ("", false, "done, version 7", r#"{"version":7}"#),
        (
            r#"{"left":2}"#,
            false,
            r#"done, version 7, answer {"left":2}"#,
            r#"{"version":7,"answer":{"left":2}}"#,
        ),
        (
            "",
            true,
            "done, version 7; what was answered is not kept any more",
            r#"{"version":7,"answerGone":true}"#,
        ),
    ] {
        let response = SendResponse { version: 7, answer: answer.into(), answer_gone };
        assert_eq!(sent(Output::Text, &response), text);
        assert_eq!(sent(Output::Json, &response), json);
    }
}
