//! An independent count of a feed of departures: what every lane of `crds/samples/flights.yaml` must hold in the end.
//! It knows nothing of Shoal: plain sums over the lines of the file.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value, json};

const KEPT: usize = 100;

/// Agent and lane -> what it must hold.
pub type Lanes = BTreeMap<(String, &'static str), Value>;

/// January 2013, as it lies in the repository.
pub fn january() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/flights-2013-01.jsonl.gz")
}

/// February, made by `data/make-flights`.
pub fn february() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/flights-2013-02.jsonl.gz")
}

/// Every line's agent and body, in order.
pub fn departures(path: &Path) -> std::io::Result<Vec<(String, Value)>> {
    let lines = BufReader::new(MultiGzDecoder::new(std::fs::File::open(path)?)).lines();
    lines
        .filter(|line| line.as_ref().map_or(true, |text| !text.is_empty()))
        .map(|line| {
            let mut line: Value = serde_json::from_str(&line?)?;
            let agent = line["agent"].as_str().unwrap_or_default().to_owned();
            Ok((agent, line["body"].take()))
        })
        .collect()
}

pub fn count(departures: &[(String, Value)]) -> Lanes {
    let mut lanes = Lanes::new();
    let mut recent: BTreeMap<&str, Vec<(String, &Value)>> = BTreeMap::new();
    for (airport, event) in departures {
        add(&mut lanes, airport, "flights", 1);
        add(
            &mut lanes,
            airport,
            "late",
            i64::from(event["dep_delay"].as_i64().is_some_and(|delay| delay > 15)),
        );
        keep(recent.entry(airport).or_default(), event);
        fly(&mut lanes, event);
    }
    for (airport, entries) in recent {
        let entries: Map<String, Value> =
            entries.into_iter().map(|(key, event)| (key, event.clone())).collect();
        lanes.insert((airport.to_owned(), "recent"), entries.into());
    }
    lanes
}

fn fly(lanes: &mut Lanes, event: &Value) {
    let carrier = format!("/carrier/{}", text(event, "carrier"));
    add(lanes, &carrier, "flights", 1);
    add(lanes, &carrier, "miles", number(event, "distance"));
    add(lanes, &carrier, "cancelled", i64::from(event["dep_time"].is_null()));
    let from = lanes.entry((carrier, "from")).or_insert_with(|| json!({}));
    let origin = text(event, "origin");
    from[origin] = json!(from[origin].as_i64().unwrap_or(0) + 1);
    if event["tailnum"].is_null() {
        return;
    }
    let plane = format!("/plane/{}", text(event, "tailnum"));
    add(lanes, &plane, "flights", 1);
    add(lanes, &plane, "miles", number(event, "distance"));
    let n =
        number(event, "month") * 1_000_000 + number(event, "day") * 10_000 + number(event, "sched_dep_time");
    let at = lanes.entry((plane, "at")).or_insert(Value::Null);
    if at["n"].as_i64().is_none_or(|latest| latest < n) {
        *at = json!({"dest": text(event, "dest"), "n": n});
    }
}

fn add(lanes: &mut Lanes, agent: &str, lane: &'static str, n: i64) {
    let total = lanes.entry((agent.to_owned(), lane)).or_insert_with(|| json!(0));
    *total = json!(total.as_i64().unwrap_or(0) + n);
}

/// The entries changed last stay.
fn keep<'a>(entries: &mut Vec<(String, &'a Value)>, event: &'a Value) {
    let key = format!("{}{}", text(event, "carrier"), number(event, "flight"));
    entries.retain(|(other, _)| *other != key);
    entries.push((key, event));
    if entries.len() > KEPT {
        entries.remove(0);
    }
}

fn text<'a>(event: &'a Value, name: &str) -> &'a str {
    event[name].as_str().unwrap_or_default()
}

fn number(event: &Value, name: &str) -> i64 {
    event[name].as_i64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn january_is_counted_whole() {
        let departures = departures(&january()).unwrap();
        let lanes = count(&departures);
        let sum = |of: &str, lane: &str| -> i64 {
            let chosen = lanes.iter().filter(|((agent, name), _)| agent.starts_with(of) && *name == lane);
            chosen.map(|(_, value)| value.as_i64().unwrap()).sum()
        };
        let agents = |of: &str| {
            lanes.keys().filter(|(agent, lane)| agent.starts_with(of) && *lane == "flights").count()
        };
        assert_eq!(departures.len(), 27_004);
        assert_eq!((agents("/airport/"), agents("/carrier/")), (3, 16));
        assert_eq!((sum("/airport/", "flights"), sum("/carrier/", "flights")), (27_004, 27_004));
        assert_eq!(sum("/carrier/", "cancelled"), 521);
    }
}
