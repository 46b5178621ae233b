//! What has which shape: a plan's text against the schema of the CRD, as the API server does it, so that a plan is
//! right or wrong everywhere. Pure; every fault is found, each with the path of its field.
//!
//! *Guarantees*: `null` counts as absent where it is no value, as on the API server; unknown fields are faults.

use super::Error;
use super::{agent, later, spec};
use crate::value::{Text, Value};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use regex::Regex;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// The shape of a plan's `spec`.
pub static SPEC: LazyLock<Shape> = LazyLock::new(|| {
    let crd = super::crd();
    let schema = crd.spec.versions[0].schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
    let spec = schema.and_then(|schema| schema.properties.as_ref()?.get("spec"));
    Shape::of(spec.expect("a plan has a spec"))
});

pub struct Shape {
    nullable: bool,
    /// If there are any, the value is one of these.
    options: Vec<Value>,
    expects: Expects,
}

enum Expects {
    Record(Fields),
    List { items: Box<Shape>, count: Bounds, keys: Vec<String> },
    Text { length: Bounds, pattern: Option<Regex> },
    Integer(Bounds),
    Bool,
    IntegerOrText,
    Anything,
}

struct Fields {
    known: BTreeMap<String, Shape>,
    /// The shape of fields with any other name.
    others: Option<Box<Shape>>,
    required: Vec<String>,
    count: Bounds,
}

struct Bounds {
    least: i64,
    most: i64,
}

impl Shape {
    pub fn of(schema: &JSONSchemaProps) -> Shape {
        let options = schema.enum_.iter().flatten();
        Shape {
            nullable: schema.nullable == Some(true),
            options: options.filter_map(|json| serde_json::from_value(json.0.clone()).ok()).collect(),
            expects: Expects::of(schema),
        }
    }

    /// The value without its absent fields; what is wrong is added to `errors`.
    pub fn check(&self, value: &Value, at: &str, errors: &mut Vec<Error>) -> Value {
        match (&self.expects, value) {
            (Expects::Record(fields), Value::Record(record)) => fields.check(record.members(), at, errors),
            (Expects::List { items, count, keys }, Value::List(list)) => {
                errors.extend(count.fault(list.len(), "item").map(|error| Error::invalid(at, error)));
                find_doubled(list, keys, at, errors);
                let checked = list.iter().enumerate();
                Value::list(
                    checked
                        .map(|(n, item)| items.check(item, &format!("{at}[{n}]"), errors))
                        .collect::<Vec<_>>(),
                )
            }
            (expects, value) => {
                errors.extend(self.fault(expects, value, at));
                value.clone()
            }
        }
    }

    /// The fault of a value that has no parts.
    fn fault(&self, expects: &Expects, value: &Value, at: &str) -> Option<Error> {
        let error = match (expects, value) {
            (Expects::Anything, _)
            | (Expects::Bool, Value::Bool(_))
            | (Expects::IntegerOrText, Value::Int(_) | Value::Text(_)) => None,
            (Expects::Text { length, pattern }, Value::Text(text)) => {
                let matches = pattern.as_ref().is_none_or(|pattern| pattern.is_match(text));
                let pattern = pattern.as_ref().map(Regex::as_str).unwrap_or_default();
                let matches = if matches { None } else { Some(format!("`{text}` {}", is_none(pattern))) };
                length.fault(text.chars().count(), "character").or(matches)
            }
            (Expects::Integer(bounds), Value::Int(number)) => bounds.fault_of_number(*number),
            (expects, value) => Some(mismatch(expects, value)),
        };
        let error = match error {
            Some(error) => error,
            None if self.options.is_empty() || self.options.contains(value) => return None,
            None => return Some(self.no_option(value, at)),
        };
        Some(Error::invalid(at, error))
    }

    fn no_option(&self, value: &Value, at: &str) -> Error {
        let text = |value: &Value| match value {
            Value::Text(text) => text.to_string(),
            other => json(other),
        };
        if let Value::Text(name) = value
            && later::is_later(at, name)
        {
            return Error::not_yet(at, format!("`{name}` is not supported yet"));
        }
        let options: Vec<_> = self.options.iter().map(text).collect();
        Error::invalid(at, format!("`{}` is none of {}", text(value), options.join(", ")))
    }
}

/// What a text is not that does not match: people read words, not regular expressions.
fn is_none(pattern: &str) -> Cow<'static, str> {
    match pattern {
        agent::NAME => "is no name of a lane: a letter, then letters, digits and `_`".into(),
        agent::ROUTE => {
            "is no route: each segment begins with `/` and has letters, digits and `._~-`; parameters are \
                         written `:id`"
                .into()
        }
        spec::ORIGIN => {
            "is no origin: a scheme, a host and perhaps a port are expected, `https://shop.example`".into()
        }
        agent::SPAN => "is no duration of hours, minutes and seconds, as 1h30m is one".into(),
        other => format!("does not match {other}").into(),
    }
}

impl Fields {
    fn check(&self, members: &[(Text, Value)], at: &str, errors: &mut Vec<Error>) -> Value {
        let mut kept: Vec<(Text, Value)> = Vec::new();
        let (mut unknown, mut later) = (0, false);
        for (name, value) in members {
            let at = format!("{at}.{name}");
            match self.known.get(name.as_str()).or(self.others.as_deref()) {
                Some(shape) if *value == Value::Null && !shape.nullable => {}
                Some(shape) => kept.push((name.clone(), shape.check(value, &at, errors))),
                None => {
                    let error = self.unknown(name, &at);
                    later |= error.reason == super::Reason::NotSupportedYet;
                    unknown += 1;
                    errors.push(error);
                }
            }
        }
        if !later {
            self.check_presence(&kept, unknown, at, errors);
        }
        Value::record(kept)
    }

    fn unknown(&self, name: &str, at: &str) -> Error {
        let parent = at.strip_suffix(name).and_then(|parent| parent.strip_suffix('.')).unwrap_or_default();
        if later::is_later(parent, name) {
            return Error::not_yet(at, format!("`{name}` is not supported yet"));
        }
        let known: Vec<_> = self.known.keys().map(String::as_str).collect();
        Error::invalid(at, format!("there is no field `{name}` here, only {}", known.join(", ")))
    }

    /// Unknown fields count as some field that was meant.
    fn check_presence(&self, kept: &[(Text, Value)], unknown: usize, at: &str, errors: &mut Vec<Error>) {
        let there = |name: &String| kept.iter().any(|(kept, _)| kept == name);
        let missing = self.required.iter().filter(|name| !there(name));
        errors.extend(missing.map(|name| Error::invalid(format!("{at}.{name}"), "is missing")));
        if !self.count.hold(kept.len() + unknown) {
            let known: Vec<_> = self.known.keys().map(String::as_str).collect();
            let how = if self.count.most == 1 { "exactly" } else { "at least" };
            errors.push(Error::invalid(at, format!("{how} one of {} is expected", known.join(", "))));
        }
    }
}

impl Expects {
    fn of(schema: &JSONSchemaProps) -> Expects {
        if schema.x_kubernetes_int_or_string == Some(true) {
            return Expects::IntegerOrText;
        }
        match schema.type_.as_deref() {
            Some("object") => Expects::record(schema),
            Some("array") => Expects::list(schema),
            Some("string") => Expects::Text {
                length: Bounds::of(schema.min_length, schema.max_length),
                pattern: schema.pattern.as_ref().and_then(|pattern| Regex::new(pattern).ok()),
            },
            Some("integer") => Expects::Integer(Bounds::of(
                schema.minimum.map(|n| n as i64),
                schema.maximum.map(|n| n as i64),
            )),
            Some("boolean") => Expects::Bool,
            _ => Expects::Anything,
        }
    }

    fn record(schema: &JSONSchemaProps) -> Expects {
        let others = match &schema.additional_properties {
            Some(JSONSchemaPropsOrBool::Schema(values)) => Some(Box::new(Shape::of(values))),
            _ => None,
        };
        let known = schema.properties.iter().flatten();
        Expects::Record(Fields {
            known: known.map(|(name, schema)| (name.clone(), Shape::of(schema))).collect(),
            others,
            required: schema.required.clone().unwrap_or_default(),
            count: Bounds::of(schema.min_properties, schema.max_properties),
        })
    }

    fn list(schema: &JSONSchemaProps) -> Expects {
        let items = match &schema.items {
            Some(JSONSchemaPropsOrArray::Schema(items)) => Shape::of(items),
            _ => Shape { nullable: true, options: Vec::new(), expects: Expects::Anything },
        };
        Expects::List {
            items: Box::new(items),
            count: Bounds::of(schema.min_items, schema.max_items),
            keys: schema.x_kubernetes_list_map_keys.clone().unwrap_or_default(),
        }
    }
}

impl Bounds {
    fn of(least: Option<i64>, most: Option<i64>) -> Bounds {
        Bounds { least: least.unwrap_or(i64::MIN), most: most.unwrap_or(i64::MAX) }
    }

    fn hold(&self, count: usize) -> bool {
        (self.least..=self.most).contains(&(count as i64))
    }

    fn fault(&self, count: usize, noun: &str) -> Option<String> {
        let plural = |count: i64| if count == 1 { "" } else { "s" };
        if self.hold(count) {
            None
        } else if (count as i64) < self.least {
            Some(format!("at least {} {noun}{} expected", self.least, plural(self.least)))
        } else {
            Some(format!("at most {} {noun}{} expected, not {count}", self.most, plural(self.most)))
        }
    }

    fn fault_of_number(&self, number: i64) -> Option<String> {
        if number < self.least {
            Some(format!("{number} is less than {}", self.least))
        } else if number > self.most {
            Some(format!("{number} is more than {}", self.most))
        } else {
            None
        }
    }
}

/// Finds keys that stand twice in a list whose items have keys.
fn find_doubled(list: &[Value], keys: &[String], at: &str, errors: &mut Vec<Error>) {
    for key in keys {
        let mut seen = BTreeSet::new();
        for (n, item) in list.iter().enumerate() {
            let Value::Record(record) = item else { continue };
            if let Some(value) = record.get(key)
                && !seen.insert(value)
            {
                errors.push(Error::invalid(
                    format!("{at}[{n}].{key}"),
                    format!("{} is there twice", json(value)),
                ));
            }
        }
    }
}

fn mismatch(expects: &Expects, value: &Value) -> String {
    let expected = match expects {
        Expects::Record(_) => "fields are",
        Expects::List { .. } => "a list is",
        Expects::Text { .. } => "a text is",
        Expects::Integer(_) => "an integer is",
        Expects::Bool => "true or false is",
        Expects::IntegerOrText => "a quantity is",
        Expects::Anything => "anything is",
    };
    match (expects, value) {
        (Expects::Text { .. }, Value::Bool(_) | Value::Int(_) | Value::Double(_)) => {
            format!("{expected} expected: quote it, \"{}\"", json(value))
        }
        _ => format!("{expected} expected, not {}", super::noun(value)),
    }
}

fn json(value: &Value) -> String {
    let mut out = Vec::new();
    crate::json::write(value, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
