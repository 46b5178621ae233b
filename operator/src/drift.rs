//! How an object differs from what the operator applies.
//!
//! *Guarantees.* What the API server adds by itself is no difference, and neither is a quantity in another spelling. A
//! field that is not wished for any more is one: the hash of what was applied stands in an annotation.

use crate::names;
use proto::plan::Quantity;
use serde_json::{Map, Value, json};
use std::fmt;
use xxhash_rust::xxh3::xxh3_64;

/// The most bytes of a value in one text.
const VALUE_MAX: usize = 100;
/// Others may set these and what lies in them.
const ADJUSTABLE: [&str; 11] = [
    "affinity",
    "annotations",
    "image",
    "imagePullPolicy",
    "imagePullSecrets",
    "labels",
    "nodeSelector",
    "priorityClassName",
    "resources",
    "tolerations",
    "topologySpreadConstraints",
];
/// What is added to these is no addition of somebody else's own: it opens or takes away.
const EXACT: [&str; 6] = ["args", "from", "ingress", "podSelector", "policyTypes", "selector"];
/// An addition that replaces what the operator applies.
const REPLACING: [&str; 1] = ["command"];
/// Additions to the template of pods that are worth telling: the API server makes none of them by itself.
const TOLD: [&str; 13] = [
    "affinity",
    "annotations",
    "env",
    "envFrom",
    "imagePullSecrets",
    "initContainers",
    "labels",
    "limits",
    "nodeSelector",
    "priorityClassName",
    "requests",
    "runtimeClassName",
    "tolerations",
];
/// Every member that is added to these is worth telling.
const OPEN: [&str; 5] = ["annotations", "labels", "limits", "nodeSelector", "requests"];

/// A field that is not as it is applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// `spec.template.spec.containers[node].image`
    pub path: String,
    pub kind: Kind,
    /// As it is applied; null: not at all.
    pub applied: Value,
    /// As it is there; null: not at all.
    pub seen: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Beside what is applied.
    Added,
    /// Others may set it.
    Adjusted,
    /// Only the operator may.
    Changed,
}

/// The hash of an object as it is to be applied, however its quantities are spelled.
pub fn hash(desired: &Value) -> String {
    format!("{:016x}", xxh3_64(spelled("", desired).to_string().as_bytes()))
}

/// The hash that an object carries; empty where it has none.
pub fn hash_of(object: &Value) -> &str {
    object["metadata"]["annotations"][names::APPLIED].as_str().unwrap_or_default()
}

/// The value with each quantity in one spelling.
fn spelled(name: &str, value: &Value) -> Value {
    match value {
        Value::Object(members) if is_of_quantities(name) => {
            members.iter().map(|(name, value)| (name.clone(), milli(value))).collect()
        }
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), spelled(name, value))).collect()
        }
        Value::Array(items) => items.iter().map(|item| spelled("", item)).collect(),
        _ => value.clone(),
    }
}

fn is_of_quantities(name: &str) -> bool {
    ["limits", "requests"].contains(&name)
}

/// CPU is counted in thousandths, and the API server rounds everything up to them.
fn milli(value: &Value) -> Value {
    let amount = value.as_str().and_then(|text| Quantity(text.to_owned()).milli());
    amount.map_or_else(|| value.clone(), |milli| json!(milli.to_string()))
}

/// How `seen` differs from what applying `desired` makes.
pub fn differences(desired: &Value, seen: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    Place { path: "", is_adjustable: false, is_told: false }.compare("", desired, seen, &mut found);
    found
}

/// Whether a member of this name is as it is desired, but for additions.
pub fn is_as(name: &str, desired: &Value, seen: &Value) -> bool {
    let mut found = Vec::new();
    Place { path: "", is_adjustable: false, is_told: false }.compare(name, desired, seen, &mut found);
    found.iter().all(|difference| difference.kind == Kind::Added)
}

/// Where in an object two values are compared.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a str,
    is_adjustable: bool,
    /// Additions are worth telling.
    is_told: bool,
}

impl Place<'_> {
    fn compare(self, name: &str, desired: &Value, seen: &Value, found: &mut Vec<Difference>) {
        let here = Place { is_adjustable: self.is_adjustable || ADJUSTABLE.contains(&name), ..self };
        match (desired, seen) {
            _ if desired == seen => {}
            _ if EXACT.contains(&name) => found.push(here.difference(Kind::Changed, desired, seen)),
            (Value::Object(desired), Value::Object(seen)) => here.members(name, desired, seen, found),
            (Value::Array(desired), Value::Array(seen)) => here.items(desired, seen, found),
            _ => found.push(here.difference(here.kind(), desired, seen)),
        }
    }

    fn members(
        self,
        name: &str,
        desired: &Map<String, Value>,
        seen: &Map<String, Value>,
        found: &mut Vec<Difference>,
    ) {
        let is_told = self.is_told || name == "template";
        for (member, value) in desired {
            let path = self.member(member);
            let place = Place { path: &path, is_told, ..self };
            let seen = seen.get(member).unwrap_or(&Value::Null);
            if !is_of_quantities(name) || milli(value) != milli(seen) {
                place.compare(member, value, seen, found);
            }
        }
        for (member, value) in seen.iter().filter(|(member, _)| !desired.contains_key(*member)) {
            let path = self.member(member);
            let place = Place { path: &path, ..self };
            if REPLACING.contains(&member.as_str()) {
                found.push(place.difference(Kind::Changed, &Value::Null, value));
            } else if self.is_told && (OPEN.contains(&name) || TOLD.contains(&member.as_str())) {
                found.push(place.difference(Kind::Added, &Value::Null, value));
            }
        }
    }

    /// Others may have put theirs between ours.
    fn items(self, desired: &[Value], seen: &[Value], found: &mut Vec<Difference>) {
        if desired.is_empty() || desired.iter().any(|item| name_of(item).is_none()) {
            let mut rest = seen.iter();
            let in_order = desired.iter().all(|desired| rest.any(|seen| is_as("", desired, seen)));
            if !in_order {
                found.push(self.difference(self.kind(), &json!(desired), &json!(seen)));
            }
            return;
        }
        for item in desired {
            let path = format!("{}[{}]", self.path, name_of(item).unwrap_or_default());
            let place = Place { path: &path, ..self };
            let mut named = seen.iter().filter(|seen| name_of(seen) == name_of(item));
            let first = named.clone().next().unwrap_or(&Value::Null);
            let same = named.find(|seen| is_as("", item, seen)).unwrap_or(first);
            place.compare("", item, same, found);
        }
        let ours = |item: &&Value| desired.iter().any(|ours| name_of(ours) == name_of(item));
        for item in seen.iter().filter(|item| self.is_told && !ours(item)) {
            let path = format!("{}[{}]", self.path, name_of(item).unwrap_or_default());
            found.push(Place { path: &path, ..self }.difference(Kind::Added, &Value::Null, item));
        }
    }

    fn kind(self) -> Kind {
        if self.is_adjustable { Kind::Adjusted } else { Kind::Changed }
    }

    fn difference(self, kind: Kind, applied: &Value, seen: &Value) -> Difference {
        Difference { path: self.path.to_owned(), kind, applied: applied.clone(), seen: seen.clone() }
    }

    fn member(self, name: &str) -> String {
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match self.path {
            "" => name.to_owned(),
            path if is_plain => format!("{path}.{name}"),
            path => format!("{path}[{name}]"),
        }
    }
}

fn name_of(item: &Value) -> Option<&str> {
    item["name"].as_str()
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { path, kind: _, applied, seen } = self;
        match (applied, seen) {
            (Value::Null, _) => write!(out, "{path} is added"),
            (_, Value::Null) => write!(out, "{path} is missing"),
            _ => write!(out, "{path} is {}, and was applied as {}", Short(seen), Short(applied)),
        }
    }
}

/// A value as a text of bounded length.
struct Short<'a>(&'a Value);

impl fmt::Display for Short<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.as_str().map_or_else(|| self.0.to_string(), str::to_owned);
        let end = text.floor_char_boundary(VALUE_MAX.min(text.len()));
        write!(out, "{}{}", &text[..end], if end < text.len() { "..." } else { "" })
    }
}

#[cfg(test)]
mod tests;
