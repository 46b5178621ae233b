//! The expressions of `crds/samples/flights.yaml` over a flight, beside the `cel` crate's own evaluation of the same; and
//! what a unit of cost takes in expressions of every kind that the table of costs names:
//! `cargo bench --workspace --bench cel`.
//!
//! A round times one and the other in many short turns and keeps the best of each, so that what else runs on the machine
//! is in neither. Ours includes the value in the form in which it is stored; the crate is given its variables ready
//! made. Without `--bench` among the arguments it runs shortly, which only shows that it works.

use cel::objects::{Key, Map};
use proto::cel::{COST_MAX, Cost, Entries, Name, Names, Program, Scope};
use proto::value::Value;
use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

/// Evaluations in a turn.
const TIMES: u32 = 500;

fn main() {
    let full = std::env::args().any(|arg| arg == "--bench");
    let (rounds, turns) = if full { (15, 40) } else { (2, 2) };
    let (_, flight) = tests::flights::departures(&tests::flights::january()).expect("the feed").remove(0);
    println!("{rounds} rounds of {turns} turns of {TIMES} evaluations");
    println!("nanoseconds, and how many times longer the crate takes");
    println!("{:<62} {:>6} {:>6} {:>24}", "", "ours", "crate", "ratio min/median/max");
    let mut ratios = Vec::new();
    for kind in kinds() {
        let agent = Agent::new(&kind.lanes, value(&flight));
        for text in &kind.texts {
            ratios.push(compared(text, &kind.lanes, &agent, rounds, turns));
        }
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "of the medians: {:.1} / {:.1} / {:.1}",
        ratios[0],
        ratios[ratios.len() / 2],
        ratios[ratios.len() - 1]
    );
    costs(rounds, turns);
}

/// One or more for each row of the table of costs, over [`event`].
const COSTED: [&str; 17] = [
    "event.n + 1",
    "event.list.map(x, x + 1)",
    "event.list.exists(x, x == 101)",
    "event.list == event.same",
    "event.text + 'a'",
    "event.text.contains('b')",
    "event.record.exists(k, k == 'x')",
    "event.list.sort()",
    "event.list.transformMapEntry(i, x, {string(i): x})",
    "math.pow(event.x, event.y)",
    "math.exp(event.x)",
    "math.log(event.x)",
    "math.sin(event.x)",
    "math.atan2(event.x, event.y)",
    "geo.distance(event.x, event.y, event.y, event.x)",
    "event.text.matches('(a|b)*c')",
    "event.text.matches(event.pattern)",
];

/// What a command may bring: some of it large, so that what is costed outweighs what is around it.
fn event() -> serde_json::Value {
    let list: Vec<i64> = (0..100).map(|n| n * 37 % 100).collect();
    let record: serde_json::Map<_, _> = (0..100).map(|n| (format!("k{n}"), n.into())).collect();
    serde_json::json!({
        "n": 1, "x": 0.7, "y": 51.5, "text": "a".repeat(4_096), "pattern": "(a|b)*c",
        "list": list, "same": list, "record": record,
    })
}

/// Nanoseconds for a unit of cost: the median of the rounds, each the best of its turns.
fn costs(rounds: usize, turns: u32) {
    let agent = Agent::new(&[], value(&event()));
    println!("\n{:<62} {:>6} {:>8} {:>8}", "", "cost", "ns", "ns/cost");
    for text in COSTED {
        let program = Program::compile(text, &Names::default()).expect(text);
        let mut left = Cost(COST_MAX);
        program.run(&agent, &mut left).expect(text);
        let cost = COST_MAX - left.0;
        let run = || {
            black_box(program.run(black_box(&agent), &mut Cost(COST_MAX)).expect(text));
        };
        let best = |_| (0..turns).map(|_| timed(run)).fold(f64::MAX, f64::min);
        let ns = sorted((0..rounds).map(best))[rounds / 2];
        println!("{text:<62} {cost:>6} {ns:>8.0} {:>8.1}", ns / f64::from(cost));
    }
}

/// The median ratio.
fn compared(text: &str, lanes: &[OneLane], agent: &Agent, rounds: usize, turns: u32) -> f64 {
    let names = Names {
        lanes: lanes.iter().enumerate().map(|(lane, of)| of.name(lane)).collect(),
        item: false,
        key: false,
    };
    let program = Program::compile(text, &names).expect(text);
    let env = Arc::new(cel::Env::stdlib());
    let other = env.compile(text).expect(text);
    let mut context = cel::Context::with_env(env);
    let segment = |text: Arc<String>| proto::address::segment(&text).to_string();
    context.add_function("segment", segment).expect("a new function");
    context.add_variable_from_value("event", theirs(&agent.event));
    for (lane, of) in lanes.iter().enumerate() {
        let value = if of.map { theirs(&Value::record(vec![])) } else { theirs(&agent.values[lane]) };
        context.add_variable_from_value(of.name.clone(), value);
    }
    let ours = || {
        black_box(program.run(black_box(agent), &mut Cost(COST_MAX)).expect(text));
    };
    let crates = || {
        black_box(other.execute(black_box(&context)).expect(text));
    };
    let seen: Vec<(f64, f64)> = (0..rounds)
        .map(|_| {
            let turns = (0..turns).map(|_| (timed(ours), timed(crates)));
            turns.fold((f64::MAX, f64::MAX), |best, turn| (best.0.min(turn.0), best.1.min(turn.1)))
        })
        .collect();
    let median = |of: fn(&(f64, f64)) -> f64| sorted(seen.iter().map(of))[rounds / 2];
    let ratios = sorted(seen.iter().map(|(ours, crates)| crates / ours));
    println!(
        "{:<62} {:>6.0} {:>6.0} {:>24}",
        text.chars().take(60).collect::<String>(),
        median(|round| round.0),
        median(|round| round.1),
        format!("{:.1} / {:.1} / {:.1}", ratios[0], ratios[rounds / 2], ratios[rounds - 1]),
    );
    ratios[rounds / 2]
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Nanoseconds of one.
fn timed(one: impl Fn()) -> f64 {
    let start = Instant::now();
    (0..TIMES).for_each(|_| one());
    start.elapsed().as_nanos() as f64 / f64::from(TIMES)
}

struct Kind {
    lanes: Vec<OneLane>,
    texts: Vec<String>,
}

struct OneLane {
    name: String,
    map: bool,
    initial: serde_json::Value,
}

impl OneLane {
    fn name(&self, lane: usize) -> Name {
        Name { name: self.name.clone(), lane, map: self.map, double: false }
    }
}

fn kinds() -> Vec<Kind> {
    let text = include_str!("../../crds/samples/flights.yaml");
    let plan: serde_json::Value = serde_yaml_ng::from_str(text).expect("the sample");
    let agents = plan["spec"]["agents"].as_array().expect("agents");
    agents
        .iter()
        .map(|agent| {
            let lanes = agent["lanes"].as_array().expect("lanes").iter();
            let state = lanes.filter(|lane| lane["type"] == "Value" || lane["type"] == "Map");
            let mut texts = Vec::new();
            expressions(&agent["rules"], &mut texts);
            Kind {
                lanes: state
                    .map(|lane| OneLane {
                        name: lane["name"].as_str().expect("a name").to_owned(),
                        map: lane["type"] == "Map",
                        initial: lane["initial"].clone(),
                    })
                    .collect(),
                texts,
            }
        })
        .collect()
}

fn expressions(of: &serde_json::Value, texts: &mut Vec<String>) {
    match of {
        serde_json::Value::Array(items) => items.iter().for_each(|item| expressions(item, texts)),
        serde_json::Value::Object(members) => {
            for (name, member) in members {
                match member.as_str() {
                    Some(text) if matches!(name.as_str(), "to" | "key" | "body" | "agent" | "when") => {
                        texts.push(text.to_owned());
                    }
                    _ => expressions(member, texts),
                }
            }
        }
        _ => {}
    }
}

struct Agent {
    values: Vec<Value>,
    entries: Table,
    event: Value,
    parameters: Value,
}

impl Agent {
    fn new(lanes: &[OneLane], event: Value) -> Agent {
        let values = lanes.iter().map(|lane| value(&lane.initial)).collect();
        Agent { values, entries: Table::default(), event, parameters: Value::record(vec![]) }
    }
}

#[derive(Default)]
struct Table(BTreeMap<Value, Value>);

impl Entries for Table {
    fn get(&self, key: &Value) -> Option<&Value> {
        self.0.get(key)
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn iter(&self) -> Box<dyn Iterator<Item = (&Value, &Value)> + '_> {
        Box::new(self.0.iter())
    }
}

impl Scope for Agent {
    fn value(&self, lane: usize) -> &Value {
        &self.values[lane]
    }

    fn map(&self, _: usize) -> &dyn Entries {
        &self.entries
    }

    fn event(&self) -> &Value {
        &self.event
    }

    fn item(&self) -> &Value {
        &self.event
    }

    fn key(&self) -> &Value {
        &self.event
    }

    fn agent(&self) -> &Value {
        &self.parameters
    }

    fn here(&self) -> &'static str {
        "/airport/JFK"
    }

    fn sender(&self) -> &'static str {
        ""
    }

    fn now_ms(&self) -> i64 {
        1_357_034_400_000
    }
}

fn value(json: &serde_json::Value) -> Value {
    proto::json::parse(&serde_json::to_vec(json).expect("JSON")).expect("a value")
}

/// As the crate has it: by hand, since what comes in by serde has unsigned numbers.
fn theirs(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(value) => cel::Value::Bool(*value),
        Value::Int(value) => cel::Value::Int(*value),
        Value::Double(value) => cel::Value::Float(*value),
        Value::Text(text) => cel::Value::String(Arc::new(text.to_string())),
        Value::List(items) => cel::Value::List(Arc::new(items.iter().map(theirs).collect())),
        Value::Record(record) => {
            let members = record.members().iter();
            let map: HashMap<Key, cel::Value> = members
                .map(|(name, value)| (Key::String(Arc::new(name.to_string())), theirs(value)))
                .collect();
            cel::Value::Map(Map { map: Arc::new(map) })
        }
    }
}
