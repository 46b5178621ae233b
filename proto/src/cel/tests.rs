//! Expressions: what they give, and what is refused.

mod documented;
mod errors;
mod hostile;
mod language;
mod laws;
mod libraries;
mod stored;

use super::*;
use std::collections::BTreeMap;

/// A scope of a few lanes.
#[derive(Debug)]
pub(super) struct Agent {
    pub values: Vec<Value>,
    pub maps: Vec<BTreeMap<Value, Value>>,
    pub event: Value,
    pub parameters: Value,
}

impl Entries for BTreeMap<Value, Value> {
    fn get(&self, key: &Value) -> Option<&Value> {
        BTreeMap::get(self, key)
    }

    fn len(&self) -> usize {
        BTreeMap::len(self)
    }

    fn iter(&self) -> Box<dyn Iterator<Item = (&Value, &Value)> + '_> {
        Box::new(BTreeMap::iter(self))
    }
}

impl Scope for Agent {
    fn value(&self, lane: usize) -> &Value {
        &self.values[lane]
    }

    fn map(&self, lane: usize) -> &dyn Entries {
        &self.maps[lane]
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
        1_357_034_400_123
    }
}

pub(super) fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(int) => Value::Int(int),
            None => Value::number(number.as_f64().unwrap()).unwrap(),
        },
        serde_json::Value::String(text) => Value::text(text),
        serde_json::Value::Array(items) => Value::List(items.iter().map(value).collect()),
        serde_json::Value::Object(members) => {
            let members: Vec<_> = members.iter().map(|(name, member)| (name.into(), value(member))).collect();
            Value::record(members)
        }
    }
}

fn json(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Double(value) => format!("{value:?}"),
        Value::Text(text) => format!("{:?}", text.as_str()),
        Value::List(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(",")),
        Value::Record(record) => {
            let members: Vec<_> =
                record.members().iter().map(|(name, value)| format!("{name:?}:{}", json(value))).collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

const LANES: [(&str, bool, bool); 6] = [
    ("late", false, false),
    ("at", false, false),
    ("speed", false, true),
    ("recent", true, false),
    ("means", true, true),
    ("tags", false, false),
];

fn names() -> Names {
    let lanes = LANES.iter().enumerate();
    Names {
        lanes: lanes
            .map(|(lane, (name, map, double))| Name {
                name: (*name).into(),
                lane,
                map: *map,
                double: *double,
            })
            .collect(),
        item: false,
        key: false,
    }
}

fn agent() -> Agent {
    let event = r#"{"carrier": "UA", "flight": 1545, "dep_delay": 16, "air_time": 0.5, "tailnum": null,
        "to": {"in": [1, 2.5, "x"]}, "codes": [3, 1, 2], "big": 9007199254740993}"#;
    let map = |entries: Vec<(Value, i64)>| {
        entries.into_iter().map(|(key, value)| (key, Value::Int(value))).collect()
    };
    let recent = map(vec![
        (Value::text("b"), 2),
        (Value::text("a"), 1),
        (Value::Int(7), 3),
        (Value::Bool(true), 4),
        (Value::Double(0.5), 5),
        (Value::List(vec![Value::Int(1)].into()), 6),
    ]);
    let values = ["7", "null", "3", "null", "null", r#"["x", "y"]"#];
    Agent {
        values: values.iter().map(|text| value(&serde_json::from_str(text).unwrap())).collect(),
        maps: vec![
            BTreeMap::new(),
            BTreeMap::new(),
            BTreeMap::new(),
            recent,
            map(vec![(Value::text("a"), 2)]),
            BTreeMap::new(),
        ],
        event: value(&serde_json::from_str(event).unwrap()),
        parameters: value(&serde_json::from_str(r#"{"code": "JFK"}"#).unwrap()),
    }
}

/// What an expression gives, as JSON, or `! ` and why not.
fn run(text: &str) -> String {
    let program = match Program::compile(text, &names()) {
        Ok(program) => program,
        Err(error) => return format!("!{} {error}", error.at),
    };
    match program.run(&agent(), &mut Cost(COST_MAX)) {
        Ok(value) => json(&value),
        Err(fault) => format!("! {fault}"),
    }
}

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (text, want) in cases {
        assert_eq!(&run(text), want, "{text}");
    }
}
