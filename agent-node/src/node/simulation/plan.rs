//! The plan that is simulated: what each of its lanes shows of a write.

use checker::{Change, History, Kind, Lane, Op, Write};
use proto::address::Address;
use proto::plan::Plan;
use serde_json::json;
use std::sync::LazyLock;

pub const PLAN_UID: &str = "5d1e6f6a-0000-4000-8000-000000000003";
pub const SLOTS: u32 = 256;
/// So few that clients meet at them.
const CELLS: u64 = 5;
const TALLIES: u64 = 3;
const KEYS: u64 = 4;

/// How often a timer of `again` fires, and the time between.
const TURNS: u64 = 3;
const TURN_MS: u64 = 700;

/// `note` counts each event by its id, so that one with two effects shows, and sends it on to be counted again. A timer
/// of `ring` does the same when it fires, and says -1 when it fires early, -2 when it was cancelled, and -3 when time has
/// fallen since the last one was scheduled. One of `again`
/// counts its turns, and says -1 when one is left out or comes twice.
pub fn spec(generation: u64) -> String {
    json!({
        "replicas": 3,
        "slots": SLOTS,
        "storage": {"size": "1Gi"},
        "agents": [
            {
                "route": "/cell/:id",
                "lanes": [
                    {"name": "value", "type": "Value", "initial": "", "access": "ReadWrite"},
                    {"name": "entries", "type": "Map", "access": "ReadWrite"},
                    {"name": "note", "type": "Command"},
                    {"name": "seen", "type": "Map"},
                    {"name": "last", "type": "Value", "initial": ""},
                    {"name": "bell", "type": "Supply", "queue": {"items": 16}},
                    {"name": "wait", "type": "Command"},
                    {"name": "repeat", "type": "Command"},
                    {"name": "hush", "type": "Command"},
                    {"name": "rang", "type": "Map"},
                    {"name": "turns", "type": "Map"},
                    {"name": "dues", "type": "Map", "access": "Internal"},
                    {"name": "hushed", "type": "Map", "access": "Internal"},
                    {"name": "clock", "type": "Value", "initial": "1970-01-01T00:00:00Z", "access": "Internal"},
                    {"name": format!("unused{generation}"), "type": "Value", "initial": generation},
                ],
                "timers": [{"name": "ring"}, {"name": "again", "afterOutage": "Each"}],
                "rules": rules(),
            },
            {
                "route": "/tally/:digit",
                "lanes": [
                    {"name": "took", "type": "Command"},
                    {"name": "counts", "type": "Map"},
                ],
                "rules": [{"command": "took", "do": [
                    {"put": {"lane": "counts", "key": "event", "to": "counts[?event].orValue(0) + 1"}},
                ]}],
            },
        ],
    })
    .to_string()
}

/// The rules of a cell.
fn rules() -> serde_json::Value {
    let saw = json!({"put": {"lane": "seen", "key": "event.id", "to": "seen[?event.id].orValue(0) + 1"}});
    let rang = "now < timestamp(event.due) ? -1 : key in hushed ? -2 : now < timestamp(clock) ? -3 : rang[?key].orValue(0) + 1";
    let turned = format!(
        "!(key in dues) ? 1 : timestamp(event.due) - timestamp(dues[key]) != duration('{TURN_MS}ms') ? -1 : turns[key] + 1"
    );
    json!([
        {"command": "note", "do": [
            saw,
            {"set": {"lane": "last", "to": "event.id"}},
            {"emit": {"lane": "bell", "body": "event.id"}},
            {"send": {"agent": "'/tally/' + event.to", "lane": "took", "body": "event.id"}},
        ]},
        {"command": "wait", "do": [
            saw,
            {"remove": {"lane": "hushed", "key": "event.id"}},
            {"set": {"lane": "clock", "to": "now"}},
            {"schedule": {"timer": "ring", "key": "event.id", "after": "event.after"}},
        ]},
        {"command": "hush", "do": [
            saw,
            {"put": {"lane": "hushed", "key": "event.of", "to": "true"}},
            {"cancel": {"timer": "ring", "key": "event.of"}},
        ]},
        {"command": "repeat", "do": [
            saw,
            {"schedule": {"timer": "again", "key": "event.id", "every": format!("duration('{TURN_MS}ms')")}},
        ]},
        {"timer": "ring", "do": [
            {"put": {"lane": "rang", "key": "key", "to": rang}},
            {"emit": {"lane": "bell", "body": "key"}},
        ]},
        {"timer": "again", "do": [
            {"put": {"lane": "turns", "key": "key", "to": turned}},
            {"put": {"lane": "dues", "key": "key", "to": "event.due"}},
            {"cancel": {"timer": "again", "key": "key", "when": format!("turns[key] >= {TURNS}")}},
        ]},
    ])
}

static PLAN: LazyLock<Plan> = LazyLock::new(|| Plan::parse(spec(1).as_bytes()).expect("a plan"));

/// An agent's lane, as clients name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub agent: String,
    pub lane: &'static str,
}

pub fn cell(number: u64) -> String {
    format!("/cell/{}", number % CELLS)
}

/// The lanes that have a state.
pub fn states() -> Vec<Name> {
    let of_cell = |cell| {
        ["value", "entries", "seen", "last", "rang", "turns"]
            .map(|lane| Name { agent: self::cell(cell), lane })
    };
    let of_tally = |digit| Name { agent: format!("/tally/{digit}"), lane: "counts" };
    (0..CELLS).flat_map(of_cell).chain((0..TALLIES).map(of_tally)).collect()
}

/// Those that can be watched.
pub fn watched() -> Vec<Name> {
    let bells = (0..CELLS).map(|cell| Name { agent: self::cell(cell), lane: "bell" });
    states().into_iter().chain(bells).collect()
}

pub fn lane(history: &mut History, Name { agent, lane }: &Name) -> Lane {
    let kind = match *lane {
        "value" | "last" => Kind::Value { initial: "\"\"".into() },
        "bell" => Kind::Items,
        _ => Kind::Map,
    };
    let found = PLAN.find(&Address::trusted(agent)).expect("an agent of the plan");
    history.lane(found.slot.into(), agent, lane, kind)
}

/// A write that no other is like: what it asks of whom, and what comes of it.
pub struct Asked {
    pub name: Name,
    pub body: String,
    pub write: Write,
    /// A timer that is scheduled, by its key.
    pub alarms: Option<String>,
    /// The write whose timer is cancelled.
    pub cancels: Option<Op>,
}

/// A timer that was scheduled by a write.
pub struct Alarm {
    pub op: Op,
    pub agent: String,
    pub key: String,
}

/// `which` chooses among all kinds, and what they are done to.
pub fn write(history: &mut History, alarms: &[Alarm], number: u64, which: u64) -> Asked {
    let agent = cell(which);
    let value = format!("\"n{number}\"");
    let key = format!("\"k{}\"", which / 64 % KEYS);
    let mut of = |lane: &'static str| {
        let name = Name { agent: agent.clone(), lane };
        (self::lane(history, &name), name)
    };
    let ((in_value, value_name), (in_map, map_name)) = (of("value"), of("entries"));
    let map = |body: serde_json::Value, change: Change| Asked {
        name: map_name.clone(),
        body: body.to_string(),
        write: Write::of([(in_map, change)]),
        alarms: None,
        cancels: None,
    };
    let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    match which / 512 % 20 {
        0..3 => Asked {
            name: value_name,
            body: value.clone(),
            write: Write::of([(in_value, Change::Set(value))]),
            alarms: None,
            cancels: None,
        },
        3..7 => {
            let body = json!({"update": {"key": parsed(&key), "value": parsed(&value)}});
            map(body, Change::Put(key, value))
        }
        7..9 => map(json!({"remove": {"key": parsed(&key)}}), Change::Remove(key)),
        9 => map(json!({"clear": {}}), Change::Clear),
        10..14 => of_timer(history, alarms, &agent, &format!("n{number}"), which / 8192),
        _ => {
            let to = which / 8192 % TALLIES;
            let (seen, _) = of("seen");
            let (last, _) = of("last");
            let (bell, note) = of("bell");
            let counts = self::lane(history, &Name { agent: format!("/tally/{to}"), lane: "counts" });
            let changes = [
                (seen, Change::Put(value.clone(), "1".into())),
                (last, Change::Set(value.clone())),
                (bell, Change::Emit(value.clone())),
            ];
            Asked {
                name: Name { lane: "note", ..note },
                body: json!({"id": parsed(&value), "to": to.to_string()}).to_string(),
                write: Write::of(changes).sends([(counts, Change::Put(value, "1".into()))]),
                alarms: None,
                cancels: None,
            }
        }
    }
}

/// Schedules a timer, which fires once or some times, or cancels one.
fn of_timer(history: &mut History, alarms: &[Alarm], agent: &str, id: &str, which: u64) -> Asked {
    let mut lane = |lane: &'static str| self::lane(history, &Name { agent: agent.to_owned(), lane });
    let (seen, rang, turns, bell) = (lane("seen"), lane("rang"), lane("turns"), lane("bell"));
    let key = format!("\"{id}\"");
    let write = Write::of([(seen, Change::Put(key.clone(), "1".into()))]);
    let named = |lane| Name { agent: agent.to_owned(), lane };
    let last = alarms.iter().rev().find(|alarm| alarm.agent == agent);
    match (which % 4, last) {
        (0, Some(Alarm { op, key: of, .. })) => Asked {
            name: named("hush"),
            body: json!({"id": id, "of": of}).to_string(),
            write,
            alarms: None,
            cancels: Some(*op),
        },
        (1, _) => {
            let turn = |turn: u64| vec![(turns, Change::Put(key.clone(), turn.to_string()))];
            let body = json!({"id": id}).to_string();
            let write = (1..=TURNS).fold(write, |write, number| write.schedules(turn(number)));
            Asked { name: named("repeat"), body, write, alarms: None, cancels: None }
        }
        _ => {
            let after = format!("{}ms", which / 4 % 3_000);
            let fires = [(rang, Change::Put(key.clone(), "1".into())), (bell, Change::Emit(key.clone()))];
            Asked {
                name: named("wait"),
                body: json!({"id": id, "after": after}).to_string(),
                write: write.schedules(fires),
                alarms: Some(id.to_owned()),
                cancels: None,
            }
        }
    }
}
