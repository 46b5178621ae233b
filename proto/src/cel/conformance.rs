//! The conformance cases of CEL's specification, in `tests/data/cel_spec_tests.json`: every one passes, or is one of
//! the reasons or differences that are listed here.

use super::tests::{Agent, value};
use super::val::{Kind, Val};
use super::{COST_MAX, Cost, Name, Names, Program, Run};
use crate::value::Value;
use serde_json::Value as Json;
use std::cmp::Ordering;
use std::collections::BTreeMap;

const CASES: &str = include_str!("../../../tests/data/cel_spec_tests.json");

/// What Shoal's language does not have, and how many cases ask for it.
const NOT_THERE: [(&str, usize); 7] = [
    ("addresses of networks", 69),
    ("cel.block", 37),
    ("containers and qualified variables", 23),
    ("enums", 85),
    ("names in backticks", 6),
    ("protobuf messages", 605),
    ("types known before evaluation", 25),
];

/// What Shoal's language has otherwise, on purpose: section, name, and why.
const UNKNOWN: &str =
    "what is not declared does not compile, so that no plan with a wrong name is ever in force";
const WHOLE: &str = "a stored 2.0 is an int, so that rounding takes ints";

const DIFFERENT: [(&str, &str, &str); 23] = [
    ("variables", "unbound_is_runtime_error", UNKNOWN),
    ("functions", "unbound_is_runtime_error", UNKNOWN),
    ("ceil", "dyn_error", WHOLE),
    ("floor", "dyn_error", WHOLE),
    ("round", "dyn_error", WHOLE),
    ("trunc", "dyn_error", WHOLE),
    ("receiver_function_names", "as", UNKNOWN),
    ("receiver_function_names", "break", UNKNOWN),
    ("receiver_function_names", "const", UNKNOWN),
    ("receiver_function_names", "continue", UNKNOWN),
    ("receiver_function_names", "else", UNKNOWN),
    ("receiver_function_names", "for", UNKNOWN),
    ("receiver_function_names", "function", UNKNOWN),
    ("receiver_function_names", "if", UNKNOWN),
    ("receiver_function_names", "import", UNKNOWN),
    ("receiver_function_names", "let", UNKNOWN),
    ("receiver_function_names", "loop", UNKNOWN),
    ("receiver_function_names", "package", UNKNOWN),
    ("receiver_function_names", "namespace", UNKNOWN),
    ("receiver_function_names", "return", UNKNOWN),
    ("receiver_function_names", "var", UNKNOWN),
    ("receiver_function_names", "void", UNKNOWN),
    ("receiver_function_names", "while", UNKNOWN),
];

struct Case {
    file: String,
    section: String,
    name: String,
    text: String,
    json: Json,
}

fn cases() -> Vec<Case> {
    let cases: Vec<Json> = serde_json::from_str(CASES).unwrap();
    let text = |json: &Json, name: &str| json[name].as_str().unwrap().to_owned();
    cases
        .into_iter()
        .map(|json| Case {
            file: text(&json, "file"),
            section: text(&json, "sec"),
            name: text(&json, "name"),
            text: text(&json, "expr"),
            json,
        })
        .collect()
}

impl Case {
    fn not_there(&self) -> Option<&'static str> {
        let file = self.file.as_str();
        let qualified = self.json["bind"].as_object().unwrap().keys().any(|name| name.contains('.'));
        let cases = [
            (file == "network_ext", "addresses of networks"),
            (file == "block_ext", "cel.block"),
            (file == "enums", "enums"),
            (self.json["check_only"] == true, "types known before evaluation"),
            (self.json["proto"] == true || self.json["want"]["t"] == "object", "protobuf messages"),
            (self.text.contains(".`"), "names in backticks"),
            (self.json["container"] != "" || qualified, "containers and qualified variables"),
        ];
        cases.into_iter().find(|(there, _)| *there).map(|(_, reason)| reason)
    }

    fn differs(&self) -> bool {
        DIFFERENT.iter().any(|(section, name, _)| *section == self.section && *name == self.name)
    }

    /// What the case says of what was found, if it is wrong.
    fn judge(&self) -> Result<(), String> {
        let mut text = self.text.clone();
        let mut names = Names::default();
        let mut values = Vec::new();
        for (name, bound) in self.json["bind"].as_object().unwrap() {
            match (bound["t"].as_str().unwrap(), storable(bound)) {
                (_, Some(value)) => {
                    names.lanes.push(Name {
                        name: name.clone(),
                        lane: values.len(),
                        map: false,
                        double: false,
                    });
                    values.push(value);
                }
                (kind, None) => text = format!("[{}].map({name}, {text})[0]", literal(kind, bound)),
            }
        }
        let want = &self.json["want"];
        let error = want["t"] == "error";
        let program = match Program::compile(&text, &names) {
            Ok(program) => program,
            Err(_) if error => return Ok(()),
            Err(error) => return Err(format!("at {}: {error}", error.at)),
        };
        let scope = Agent { values, maps: Vec::new(), event: Value::Null, parameters: Value::Null };
        let mut cost = Cost(COST_MAX);
        let found = Run::new(&scope, &mut cost).eval(&program.root);
        match found {
            Err(_) if error => Ok(()),
            Err(fault) => Err(fault.0),
            Ok(found) if error => Err(format!("is no error but {}", found.kind())),
            Ok(found) if same(want, &found) => Ok(()),
            Ok(found) => Err(format!("a wrong {}", found.kind())),
        }
    }
}

fn storable(bound: &Json) -> Option<Value> {
    let text = || bound["v"].as_str().unwrap();
    match bound["t"].as_str().unwrap() {
        "null" => Some(Value::Null),
        "int" => Some(Value::Int(text().parse().unwrap())),
        "double" => Value::number(text().parse().unwrap()),
        "list" => Some(Value::List(bound["v"].as_array().unwrap().iter().filter_map(storable).collect())),
        "map" => {
            let entries = bound["v"].as_array().unwrap().iter();
            let members: Vec<_> = entries
                .map(|entry| (entry[0]["v"].as_str().unwrap().into(), storable(&entry[1]).unwrap()))
                .collect();
            Some(Value::record(members))
        }
        "bool" | "string" => Some(value(&bound["v"])),
        _ => None,
    }
}

fn literal(kind: &str, bound: &Json) -> String {
    match kind {
        "uint" => format!("{}u", bound["v"].as_str().unwrap()),
        "bytes" => {
            let bytes = bound["v"].as_array().unwrap().iter().filter_map(Json::as_u64);
            bytes.fold("b'".to_owned(), |text, byte| format!("{text}\\x{byte:02x}")) + "'"
        }
        "duration" => format!("duration('{}.{:09}s')", bound["s"], bound["n"].as_u64().unwrap()),
        other => panic!("a variable of type {other}"),
    }
}

fn same(want: &Json, found: &Val<'_>) -> bool {
    let text = || want["v"].as_str().unwrap();
    match (want["t"].as_str().unwrap(), found) {
        ("null", Val::Null) => true,
        ("bool", Val::Bool(found)) => want["v"] == *found,
        ("int", Val::Int(found)) => text().parse() == Ok(*found),
        ("uint", Val::Uint(found)) => text().parse() == Ok(*found),
        ("double", Val::Double(found)) => {
            let want: f64 = text().parse().unwrap();
            want.partial_cmp(found).map_or(want.is_nan() && found.is_nan(), Ordering::is_eq)
        }
        ("string", found) => found.as_text() == Some(text()),
        ("bytes", Val::Bytes(found)) => want["v"]
            .as_array()
            .unwrap()
            .iter()
            .map(|byte| byte.as_u64().unwrap() as u8)
            .eq(found.iter().copied()),
        ("type", Val::Type(found)) => found.name() == text(),
        ("list", Val::List(found)) => {
            let want = want["v"].as_array().unwrap();
            want.len() == found.len() && want.iter().zip(found.iter()).all(|(want, found)| same(want, &found))
        }
        ("map", Val::Map(found)) => {
            let want = want["v"].as_array().unwrap();
            want.len() == found.len()
                && found.entries().all(|(key, value)| {
                    want.iter().any(|entry| same(&entry[0], &key) && same(&entry[1], &value))
                })
        }
        _ => false,
    }
}

#[test]
fn the_cases_of_the_specification_pass_but_for_what_is_listed() {
    let mut not_there: BTreeMap<&str, usize> = BTreeMap::new();
    let mut differing = 0;
    let mut wrong = Vec::new();
    for case in cases() {
        if let Some(reason) = case.not_there() {
            *not_there.entry(reason).or_default() += 1;
            continue;
        }
        let place = format!("{}/{}/{}: {}", case.file, case.section, case.name, case.text);
        match (case.judge(), case.differs()) {
            (Ok(()), false) => {}
            (Err(_), true) => differing += 1,
            (Ok(()), true) => wrong.push(format!("{place}: does not differ any more")),
            (Err(error), false) => wrong.push(format!("{place}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{} cases\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(differing, DIFFERENT.len());
    assert_eq!(not_there, NOT_THERE.into_iter().collect());
}

#[test]
fn every_type_has_a_name_of_its_own() {
    let mut names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Kind::ALL.len());
}
