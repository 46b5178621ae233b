//! A plan from a YAML file, for dev mode: what kubectl and the API server do to one, in one step.
//!
//! kubectl reads YAML 1.1, where bare `on off yes no y n` are booleans, also as keys. Here they are texts; so that a
//! plan never means two things, they are refused until they are quoted. Whether one is quoted cannot be seen in what
//! is parsed. It is found by reading the file a second time with a number in the place of each such word: where a
//! text became a number, the word was bare.

use super::spec::AgentPlan;
use super::{Error, crd, parse};
use crate::value::{Record, Text, Value};
use regex::Regex;
use serde_yaml_ng::Value as Yaml;
use std::sync::LazyLock;

/// As they may stand bare, and not within a longer word or a quoted text of one word.
static BARE: LazyLock<Regex> = LazyLock::new(|| {
    let words = "y|Y|yes|Yes|YES|n|N|no|No|NO|on|On|ON|off|Off|OFF";
    Regex::new(&format!(r"(?m)(?:^|[\s,\[{{])({words})(?:$|[\s,\]}}:])")).expect("a regex")
});

/// Stands for the first bare word, the next one for the second; the plan's own numbers are compared by place.
const NUMBER: u64 = 7_000_000_000_000;

const FIELDS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
const API_VERSION: &str = "shoal.dev/v1alpha1";
/// What a person writes there, and what Kubernetes adds.
const METADATA: [&str; 11] = [
    "name",
    "namespace",
    "labels",
    "annotations",
    "uid",
    "generation",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "ownerReferences",
    "finalizers",
];

impl AgentPlan {
    /// All that is wrong with its fields. Its expressions, and what else a schema cannot say, are checked by
    /// [`super::Plan::parse`] of [`super::AgentPlanSpec::to_json`].
    pub fn from_yaml(text: &str) -> Result<AgentPlan, Vec<Error>> {
        let tree = read(text).map_err(|error| vec![error])?;
        let mut errors = bare_words(text, &tree);
        let plan = value(&tree, "", &mut errors);
        root(&plan, &mut errors);
        let Value::Record(plan) = &plan else { return Err(errors) };
        let absent = Value::record([]);
        let spec = parse::typed(plan.get("spec").unwrap_or(&absent)).map_err(|more| errors.extend(more));
        let (Ok(spec), true) = (spec, errors.is_empty()) else { return Err(errors) };
        let mut parsed = AgentPlan::new("", spec);
        let metadata = plan.get("metadata").map(serde_yaml_ng::to_value);
        if let Some(metadata) = metadata {
            let metadata = metadata.and_then(serde_yaml_ng::from_value);
            parsed.metadata =
                metadata.map_err(|error| vec![Error::invalid("metadata", error.to_string())])?;
        }
        Ok(parsed)
    }
}

fn read(text: &str) -> Result<Yaml, Error> {
    let mut tree: Yaml = serde_yaml_ng::from_str(text).map_err(|error| {
        let place = error.location().map_or("yaml".into(), |at| format!("line {}", at.line()));
        Error::invalid(place, error.to_string())
    })?;
    tree.apply_merge().map_err(|error| Error::invalid("yaml", error.to_string()))?;
    Ok(tree)
}

/// What is around the spec.
fn root(plan: &Value, errors: &mut Vec<Error>) {
    let Value::Record(plan) = plan else {
        errors.push(Error::invalid("yaml", "an AgentPlan is expected"));
        return;
    };
    unknown(plan, "", &FIELDS, errors);
    for (field, expected) in [("apiVersion", API_VERSION), ("kind", "AgentPlan")] {
        if plan.get(field) != Some(&Value::text(expected)) {
            errors.push(Error::invalid(field, format!("`{expected}` is expected")));
        }
    }
    match plan.get("metadata") {
        Some(Value::Record(metadata)) => {
            unknown(metadata, "metadata.", &METADATA, errors);
            name(metadata.get("name"), errors);
        }
        _ => name(None, errors),
    }
}

fn unknown(record: &Record, at: &str, known: &[&str], errors: &mut Vec<Error>) {
    let unknown = record.members().iter().filter(|(name, _)| !known.contains(&name.as_str()));
    errors.extend(unknown.map(|(name, _)| Error::invalid(format!("{at}{name}"), "there is no such field")));
}

fn name(name: Option<&Value>, errors: &mut Vec<Error>) {
    static NAME: LazyLock<Regex> = LazyLock::new(|| Regex::new(crd::NAME).expect("a regex"));
    match name {
        Some(Value::Text(name)) if NAME.is_match(name) => {}
        Some(Value::Text(name)) => errors.push(Error::invalid(
            "metadata.name",
            format!(
                "`{name}` is no name of a plan: a lower-case letter, then up to 39 letters, digits and `-`"
            ),
        )),
        Some(_) => errors.push(Error::invalid("metadata.name", "a text is expected")),
        None => errors.push(Error::invalid("metadata.name", "is missing")),
    }
}

fn path(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

/// As JSON has it: keys are texts.
fn value(tree: &Yaml, at: &str, errors: &mut Vec<Error>) -> Value {
    let fault = |error: &str| Error::invalid(at, error);
    match tree {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => Value::Bool(*value),
        Yaml::Number(number) => match number.as_i64().map(Value::Int) {
            Some(int) => int,
            None if number.is_u64() => {
                errors.push(fault("the integer does not fit into 64 bits"));
                Value::Null
            }
            None => number.as_f64().and_then(Value::number).unwrap_or_else(|| {
                errors.push(fault("the number is not finite"));
                Value::Null
            }),
        },
        Yaml::String(text) => Value::text(text),
        Yaml::Sequence(items) => {
            let items = items.iter().enumerate();
            Value::list(items.map(|(n, item)| value(item, &format!("{at}[{n}]"), errors)).collect::<Vec<_>>())
        }
        Yaml::Mapping(entries) => {
            let members = entries.iter().map(|(name, member)| {
                let name = key(name);
                let value = value(member, &path(at, &name), errors);
                (name, value)
            });
            let members: Vec<(Text, Value)> = members.collect();
            Record::new(members).map_or_else(
                |_| {
                    errors.push(fault("a field is there twice"));
                    Value::Null
                },
                Value::Record,
            )
        }
        Yaml::Tagged(tagged) => {
            errors.push(fault(&format!("the tag {} means nothing here", tagged.tag)));
            Value::Null
        }
    }
}

fn key(name: &Yaml) -> Text {
    match name {
        Yaml::String(name) => Text::new(name),
        Yaml::Bool(name) => Text::new(name.to_string()),
        Yaml::Number(name) => Text::new(name.to_string()),
        _ => Text::new("?"),
    }
}

fn bare_words(text: &str, tree: &Yaml) -> Vec<Error> {
    let mut words = Vec::new();
    let mut numbered = String::with_capacity(text.len());
    let (mut from, mut copied) = (0, 0);
    while let Some(word) = BARE.captures_at(text, from).and_then(|found| found.get(1)) {
        numbered.push_str(&text[copied..word.start()]);
        numbered.push_str(&(NUMBER + words.len() as u64).to_string());
        words.push(word);
        (from, copied) = (word.end(), word.end());
    }
    numbered.push_str(&text[copied..]);
    let mut found = Vec::new();
    if let Ok(numbered) = read(&numbered) {
        compare(tree, &numbered, "", &mut |at: &str, number: u64| {
            let word = number.checked_sub(NUMBER).and_then(|n| words.get(n as usize));
            if let Some(word) = word {
                let line = text[..word.start()].matches('\n').count() + 1;
                let word = word.as_str();
                let means = word.to_ascii_lowercase().starts_with('y') || word.eq_ignore_ascii_case("on");
                let error = format!(
                    "line {line}: without quotes, kubectl reads `{word}` as {means}: write \"{word}\" or {means}"
                );
                found.push(Error::invalid(at, error));
            }
        });
    }
    found
}

/// Tells where a text of the first tree is a number in the second.
fn compare(tree: &Yaml, numbered: &Yaml, at: &str, found: &mut impl FnMut(&str, u64)) {
    match (tree, numbered) {
        (Yaml::String(_), Yaml::Number(number)) => {
            number.as_u64().into_iter().for_each(|number| found(at, number));
        }
        (Yaml::Sequence(items), Yaml::Sequence(others)) => {
            for (n, (item, other)) in items.iter().zip(others).enumerate() {
                compare(item, other, &format!("{at}[{n}]"), found);
            }
        }
        (Yaml::Mapping(entries), Yaml::Mapping(others)) => {
            for ((name, member), (other_name, other_member)) in entries.iter().zip(others) {
                let at = path(at, &key(name));
                compare(name, other_name, &at, found);
                compare(member, other_member, &at, found);
            }
        }
        _ => {}
    }
}
