//! A plan from a YAML file, for dev mode and `check`: what kubectl and the API server do to one, in one step. What they
//! would read as two things is refused with its line.

mod scalar;
mod tree;

use super::spec::AgentPlan;
use super::{Error, Plan, beside, crd, parse};
use crate::value::{Record, Value};
use regex::Regex;
use std::collections::HashSet;
use std::sync::LazyLock;

pub use tree::Lines;

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
    /// [`Plan::parse`] of [`super::AgentPlanSpec::to_json`].
    pub fn from_yaml(text: &str) -> Result<AgentPlan, Vec<Error>> {
        plan(one(text)?).0
    }
}

impl Plan {
    /// A plan and what it means, or all that is wrong with it, each with its line and in their order.
    pub fn from_yaml(text: &str) -> Result<(AgentPlan, Plan), Vec<Error>> {
        whole(one(text)?)
    }

    /// All plans of a text as `kubectl apply` takes it: it may have several documents, and those of other kinds are
    /// none of ours.
    pub fn check_yaml(text: &str) -> Checked {
        let documents = match tree::documents(text) {
            Ok(documents) => documents,
            Err(error) => return Checked { plans: Vec::new(), errors: vec![error] },
        };
        let count = documents.len();
        let plans: Vec<_> = documents.into_iter().filter(|read| !is_of_another_kind(&read.value)).collect();
        let mut checked = Checked::default();
        if plans.is_empty() && count > 0 {
            let error = Error::invalid("", "there is no AgentPlan in it");
            checked.errors.push(Error { line: Some(1), ..error });
        }
        for read in plans {
            match whole(read) {
                Ok((plan, _)) => checked.plans.push(plan.metadata.name.unwrap_or_default()),
                Err(errors) => checked.errors.extend(errors),
            }
        }
        checked
    }
}

/// What is in a text with plans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// The names of those in which nothing is wrong.
    pub plans: Vec<String>,
    /// All that is wrong, each with its line.
    pub errors: Vec<Error>,
}

/// The value of a text with one document, and the line of each path in it.
pub fn read_yaml(text: &str) -> Result<(Value, Lines), Vec<Error>> {
    let tree::Read { value, errors, lines, line: _ } = one(text)?;
    if errors.is_empty() { Ok((value, lines)) } else { Err(errors) }
}

fn one(text: &str) -> Result<tree::Read, Vec<Error>> {
    tree::read(text).map_err(|error| vec![error])
}

fn is_of_another_kind(document: &Value) -> bool {
    let Value::Record(document) = document else { return false };
    let other = |field, is_ours: fn(&str) -> bool| match document.get(field) {
        Some(Value::Text(text)) => !is_ours(text),
        _ => false,
    };
    other("apiVersion", |text| text.starts_with("shoal.dev/")) && other("kind", |text| text == "AgentPlan")
}

/// A plan that was read, and what it means.
fn whole(read: tree::Read) -> Result<(AgentPlan, Plan), Vec<Error>> {
    let first = read.line;
    let text = read.value.clone();
    let (plan, lines) = plan(read);
    let parsed = match plan {
        Ok(plan) => Plan::parse(&plan.spec.to_json()).map(|parsed| (plan, parsed)),
        Err(mut errors) => {
            errors.extend(spec(&text).map(|spec| beside::more(spec, &errors)).unwrap_or_default());
            Err(errors)
        }
    };
    parsed.map_err(|mut errors| {
        for error in &mut errors {
            error.line = error.line.or_else(|| lines.of(&error.at)).or(Some(first));
        }
        errors.sort_by_key(|error| error.line);
        errors
    })
}

fn plan(read: tree::Read) -> (Result<AgentPlan, Vec<Error>>, tree::Lines) {
    let tree::Read { value: plan, mut errors, lines, line: _ } = read;
    root(&plan, &mut errors);
    (typed(&plan, errors), lines)
}

fn typed(plan: &Value, mut errors: Vec<Error>) -> Result<AgentPlan, Vec<Error>> {
    let Value::Record(plan) = plan else { return Err(errors) };
    let absent = Value::record([]);
    let spec = parse::typed(plan.get("spec").unwrap_or(&absent)).map_err(|more| {
        // What could not be read is not missing as well.
        let known: HashSet<String> = errors.iter().map(|error| error.at.clone()).collect();
        errors.extend(more.into_iter().filter(|error| !known.contains(&error.at)));
    });
    let (Ok(spec), true) = (spec, errors.is_empty()) else { return Err(errors) };
    let mut parsed = AgentPlan::new("", spec);
    if let Some(metadata) = plan.get("metadata").map(serde_yaml_ng::to_value) {
        let metadata = metadata.and_then(serde_yaml_ng::from_value);
        parsed.metadata = metadata.map_err(|error| vec![Error::invalid("metadata", error.to_string())])?;
    }
    Ok(parsed)
}

fn spec(plan: &Value) -> Option<&Value> {
    match plan {
        Value::Record(plan) => plan.get("spec"),
        _ => None,
    }
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
        Some(Value::Text(name)) if crd::RESERVED_ENDS.iter().any(|end| name.ends_with(end)) => {
            errors.push(Error::invalid(
                "metadata.name",
                format!(
                    "`{name}` would be the name of a Service of another plan: it ends in -nodes or -metrics"
                ),
            ));
        }
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
