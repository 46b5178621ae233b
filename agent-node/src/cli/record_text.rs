//! How a record of the log is shown, to people and to programs.

use crate::log::{Head, Position};
use crate::refusal::Refusal;
use crate::shard::{Change, Fired, Place, Record, Sent, Set, TimerChange};
use jiff::Timestamp;
use proto::json;
use proto::plan::{LaneId, Plan, TimerId};
use proto::ring::version;
use proto::value::Value;
use serde_json::{Map, json};
use std::collections::HashMap;
use std::fmt::Write as _;

/// What lanes and timers are called by the plan that the folder holds.
#[derive(Debug, Default)]
pub struct Names {
    lanes: HashMap<LaneId, String>,
    timers: HashMap<TimerId, String>,
}

impl Names {
    pub fn of(plan: &Plan) -> Names {
        let lanes = plan.kinds.iter().flat_map(|kind| &kind.lanes);
        let timers = plan.kinds.iter().flat_map(|kind| &kind.timers);
        let ages = plan.kinds.iter().flat_map(|kind| &kind.lanes);
        let ages = ages.map(|lane| (TimerId::age(lane.id), format!("retain.age of {}", lane.name)));
        let lifetimes = ages.chain([(TimerId::EXPIRE, "expire".to_owned())]);
        Names {
            lanes: lanes.map(|lane| (lane.id, lane.name.to_string())).collect(),
            timers: timers.map(|timer| (timer.id, timer.name.to_string())).chain(lifetimes).collect(),
        }
    }

    /// A lane that the plan does not have any more is shown by its id.
    fn lane(&self, id: LaneId) -> String {
        self.lanes.get(&id).cloned().unwrap_or_else(|| format!("{:016x}", id.0))
    }

    fn timer(&self, id: TimerId) -> String {
        self.timers.get(&id).cloned().unwrap_or_else(|| format!("{:016x}", id.0))
    }
}

/// Which records are shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub slot: Option<u16>,
    pub agent: Option<String>,
}

impl Wanted {
    pub fn has(&self, head: &Head, record: &Record) -> bool {
        self.slot.is_none_or(|slot| slot == head.slot)
            && self.agent.as_ref().is_none_or(|agent| *agent == record.agent)
    }
}

/// One line for people.
pub fn text(at: Position, head: &Head, record: &Record, names: &Names) -> String {
    let Head { slot, epoch, incarnation, lsn } = head;
    let time = time_text(record.time_ms);
    let mut line =
        format!("{} slot {slot} LSN {lsn} (epoch {epoch}, incarnation {incarnation}) {time}", at.0);
    let mut add = |part: String| {
        let _ = write!(line, "; {part}");
    };
    if !record.agent.is_empty() {
        add(record.agent.clone());
    }
    if let Some((client, sequence)) = &record.key {
        let refused = if record.is_refused { ", refused" } else { "" };
        add(format!("client `{client}` sequence {sequence}{refused}"));
    }
    if let Some(answer) = &record.answer {
        add(format!("answer {}", String::from_utf8_lossy(answer)));
    }
    if let Some((from, place)) = record.origin {
        add(format!("message {} of slot {from}", place_text(place)));
    }
    if let Some(Fired { timer, key, due_ms, next_ms }) = &record.fired {
        let next = next_ms.map_or_else(String::new, |next_ms| format!(", next at {}", time_text(next_ms)));
        add(format!("timer {} was due at {}{next}", timer_text(names, *timer, key), time_text(*due_ms)));
    }
    for (lane, change) in &record.changes {
        add(change_text(&names.lane(*lane), change));
    }
    for Sent { agent, lane, body, .. } in &record.sends {
        add(format!("sends {agent} {lane} {}", written(body)));
    }
    if record.is_ended {
        add("the agent has ended".into());
    }
    for TimerChange { timer, key, set } in &record.timers {
        add(format!("timer {} {}", timer_text(names, *timer, key), set_text(*set)));
    }
    for (to, place) in &record.trims {
        add(format!("slot {to} has all messages up to {}", place_text(*place)));
    }
    for client in &record.idle {
        add(format!("client `{client}` keeps its highest sequence only"));
    }
    for client in &record.gone {
        add(format!("client `{client}` is forgotten"));
    }
    line
}

/// One object for programs.
pub fn object(at: Position, head: &Head, record: &Record, names: &Names) -> String {
    let Head { slot, epoch, incarnation, lsn } = head;
    let Record {
        history,
        time_ms,
        generation,
        agent,
        key,
        is_refused,
        answer,
        origin,
        changes,
        sends,
        trims,
        idle,
        gone,
        fired: _,
        timers: _,
        is_ended: _,
    } = record;
    let mut object = json!({
        "position": at.0,
        "slot": slot,
        "lsn": lsn,
        "version": version(*history, *lsn),
        "epoch": epoch,
        "incarnation": incarnation,
        "timeMs": time_ms,
        "generation": generation,
    });
    let mut add = |name: &str, value: serde_json::Value| object[name] = value;
    if !agent.is_empty() {
        add("agent", json!(agent));
    }
    if let Some((client, sequence)) = key {
        add("client", json!(&**client));
        add("sequence", json!(sequence));
        add("refused", json!(is_refused));
    }
    if let Some(answer) = answer {
        add("answer", serde_json::from_slice(answer).unwrap_or_default());
    }
    if let Some((from, place)) = origin {
        add("from", json!({"slot": from, "place": place_text(*place)}));
    }
    if !changes.is_empty() {
        add(
            "changes",
            changes.iter().map(|(lane, change)| change_object(&names.lane(*lane), change)).collect(),
        );
    }
    if !sends.is_empty() {
        let send = |Sent { to, agent, lane, body, .. }: &Sent| json!({"slot": to, "agent": agent.to_string(), "lane": lane.to_string(), "body": parsed(body)});
        add("sends", sends.iter().map(send).collect());
    }
    if !trims.is_empty() {
        let trim = |(to, place): &(u16, Place)| json!({"slot": to, "place": place_text(*place)});
        add("taken", trims.iter().map(trim).collect());
    }
    for (name, value) in timer_members(record, names) {
        add(name, value);
    }
    for (name, clients) in [("idle", idle), ("gone", gone)] {
        if !clients.is_empty() {
            add(name, clients.iter().map(|client| json!(&**client)).collect());
        }
    }
    object.to_string()
}

fn time_text(ms: u64) -> String {
    Timestamp::from_millisecond(ms as i64).map_or_else(|_| format!("{ms} ms"), |time| time.to_string())
}

fn timer_text(names: &Names, timer: TimerId, key: &Value) -> String {
    let key = if *key == Value::Null { String::new() } else { format!("[{}]", written(key)) };
    format!("{}{key}", names.timer(timer))
}

fn set_text(set: Option<Set>) -> String {
    match set {
        None => "is cancelled".into(),
        Some(Set { due_ms, every_ms: 0 }) => format!("is due at {}", time_text(due_ms)),
        Some(Set { due_ms, every_ms }) => format!("is due at {} and every {every_ms} ms", time_text(due_ms)),
    }
}

/// What a record says of timers and of its agent's end.
fn timer_members(record: &Record, names: &Names) -> Vec<(&'static str, serde_json::Value)> {
    let Record { fired, timers, is_ended, .. } = record;
    let mut members = Vec::new();
    members.extend(fired.as_ref().map(|fired| ("fired", fired_object(names, fired))));
    members.extend(is_ended.then_some(("ended", json!(true))));
    if !timers.is_empty() {
        members.push(("timers", timers.iter().map(|change| timer_object(names, change)).collect()));
    }
    members
}

fn fired_object(names: &Names, Fired { timer, key, due_ms, next_ms }: &Fired) -> serde_json::Value {
    json!({"timer": names.timer(*timer), "key": parsed(key), "dueMs": due_ms, "nextMs": next_ms})
}

fn timer_object(names: &Names, TimerChange { timer, key, set }: &TimerChange) -> serde_json::Value {
    let (timer, key) = (names.timer(*timer), parsed(key));
    match set {
        None => json!({"timer": timer, "key": key, "cancelled": true}),
        Some(Set { due_ms, every_ms }) => {
            json!({"timer": timer, "key": key, "dueMs": due_ms, "everyMs": every_ms})
        }
    }
}

fn place_text(place: Place) -> String {
    format!("{}/{}", version(place.history, place.lsn), place.index)
}

fn change_text(lane: &str, change: &Change) -> String {
    match change {
        Change::Set(value) => format!("{lane} = {}", written(value)),
        Change::Put(key, value) => format!("{lane}[{}] = {}", written(key), written(value)),
        Change::Remove(key) => format!("{lane}[{}] removed", written(key)),
        Change::Clear => format!("{lane} cleared"),
        Change::Event(value) => format!("{lane} emits {}", written(value)),
    }
}

fn change_object(lane: &str, change: &Change) -> serde_json::Value {
    let mut object = Map::from_iter([("lane".to_owned(), json!(lane))]);
    let mut add = |name: &str, value: serde_json::Value| drop(object.insert(name.to_owned(), value));
    match change {
        Change::Set(value) => add("set", parsed(value)),
        Change::Put(key, value) => add("update", json!({"key": parsed(key), "value": parsed(value)})),
        Change::Remove(key) => add("remove", json!({"key": parsed(key)})),
        Change::Clear => add("clear", json!({})),
        Change::Event(value) => add("event", parsed(value)),
    }
    serde_json::Value::Object(object)
}

fn written(value: &Value) -> String {
    let mut out = Vec::new();
    json::write(value, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn parsed(value: &Value) -> serde_json::Value {
    serde_json::from_str(&written(value)).unwrap_or(serde_json::Value::Null)
}

/// What the options of `log` ask for, once their forms are known to be right.
pub fn wanted(slot: Option<u16>, agent: Option<&str>) -> Result<Wanted, Refusal> {
    let normal = |agent: &str| {
        let address = proto::address::Address::parse(agent);
        address.map(|address| address.to_string()).map_err(|error| Refusal::bad(error.to_string(), agent))
    };
    Ok(Wanted { slot, agent: agent.map(normal).transpose()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::value::Text;

    fn record() -> Record {
        let lane = |name: &str| LaneId::of("/airport/:code", name);
        Record {
            history: 2,
            time_ms: 1_767_225_600_123,
            generation: 4,
            agent: "/airport/JFK".into(),
            key: Some(("loader".into(), 7)),
            answer: Some("[1]".into()),
            origin: Some((9, Place { history: 2, lsn: 3, index: 1 })),
            changes: vec![
                (lane("late"), Change::Set(Value::Int(3))),
                (lane("recent"), Change::Put(Value::Text(Text::new("UA1")), Value::Bool(true))),
                (lane("recent"), Change::Remove(Value::Text(Text::new("UA0")))),
                (lane("recent"), Change::Clear),
                (lane("bell"), Change::Event(Value::Null)),
            ],
            trims: vec![(5, Place { history: 2, lsn: 8, index: 2 })],
            idle: vec!["old".into()],
            gone: vec!["older".into()],
            fired: Some(Fired {
                timer: TimerId::of("/airport/:code", "remind"),
                key: Value::Int(7),
                due_ms: 1_767_225_600_000,
                next_ms: Some(1_767_225_610_000),
            }),
            timers: vec![
                TimerChange {
                    timer: TimerId::of("/airport/:code", "remind"),
                    key: Value::Null,
                    set: Some(Set { due_ms: 1_767_225_601_000, every_ms: 1_000 }),
                },
                TimerChange { timer: TimerId(5), key: Value::Int(3), set: None },
            ],
            ..Record::default()
        }
    }

    const HEAD: Head = Head { slot: 17, epoch: 1, incarnation: 3, lsn: 5 };

    #[test]
    fn a_record_is_a_line_for_people_and_an_object_for_programs() {
        let names = Names {
            lanes: [(LaneId::of("/airport/:code", "late"), "late".to_owned())].into(),
            timers: [(TimerId::of("/airport/:code", "remind"), "remind".to_owned())].into(),
        };
        let recent = format!("{:016x}", LaneId::of("/airport/:code", "recent").0);
        let bell = format!("{:016x}", LaneId::of("/airport/:code", "bell").0);
        let line = text(Position(12), &HEAD, &record(), &names);
        let expected = format!(
            "12 slot 17 LSN 5 (epoch 1, incarnation 3) 2026-01-01T00:00:00.123Z; /airport/JFK; client `loader` sequence \
             7; answer [1]; message 2199023255555/1 of slot 9; timer \
             remind[7] was due at 2026-01-01T00:00:00Z, next at 2026-01-01T00:00:10Z; late = 3; {recent}[\"UA1\"] = true; {recent}[\"UA0\"] removed; \
             {recent} cleared; {bell} emits null; timer remind is due at 2026-01-01T00:00:01Z and every 1000 ms; timer \
             0000000000000005[3] is cancelled; slot 5 has all messages up to 2199023255560/2; client `old` keeps \
             its highest sequence only; client `older` is forgotten"
        );
        assert_eq!(line, expected);
        let shown: serde_json::Value =
            serde_json::from_str(&object(Position(12), &HEAD, &record(), &names)).unwrap();
        assert_eq!(
            shown,
            json!({
                "position": 12, "slot": 17, "lsn": 5, "version": 2_199_023_255_557_u64, "epoch": 1, "incarnation": 3,
                "timeMs": 1_767_225_600_123_u64, "generation": 4, "agent": "/airport/JFK", "client": "loader",
                "sequence": 7, "refused": false, "answer": [1], "from": {"slot": 9, "place": "2199023255555/1"},
                "changes": [
                    {"lane": "late", "set": 3},
                    {"lane": recent, "update": {"key": "UA1", "value": true}},
                    {"lane": recent, "remove": {"key": "UA0"}},
                    {"lane": recent, "clear": {}},
                    {"lane": bell, "event": null},
                ],
                "fired": {"timer": "remind", "key": 7, "dueMs": 1_767_225_600_000_u64, "nextMs": 1_767_225_610_000_u64},
                "timers": [
                    {"timer": "remind", "key": null, "dueMs": 1_767_225_601_000_u64, "everyMs": 1_000},
                    {"timer": "0000000000000005", "key": 3, "cancelled": true},
                ],
                "taken": [{"slot": 5, "place": "2199023255560/2"}], "idle": ["old"], "gone": ["older"],
            })
        );
    }

    #[test]
    fn records_are_chosen_by_slot_and_by_the_address_in_any_form() {
        let has = |slot, agent| wanted(slot, agent).unwrap().has(&HEAD, &record());
        for (slot, agent, expected) in [
            (None, None, true),
            (Some(17), None, true),
            (Some(16), None, false),
            (None, Some("/airport/%4AFK"), true),
            (None, Some("/airport/LGA"), false),
            (Some(16), Some("/airport/JFK"), false),
        ] {
            assert_eq!(has(slot, agent), expected, "{slot:?} {agent:?}");
        }
        assert!(wanted(None, Some("airport")).is_err());
    }
}
