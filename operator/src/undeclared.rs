//! The fields of a status that the CRD in force does not have, since it is older than the operator: the API server answers
//! an apply of such a field with an error of its own, and stores nothing of it.
//!
//! *Guarantees.* Only what the API server has named is left out, and with the plan's next generation all of it is tried
//! again.

use serde_json::Value;
use std::collections::BTreeSet;

/// What the API server says of each field that it is to apply and the CRD lacks, after its path.
const NOT_IN_SCHEMA: &str = ": field not declared in schema";
/// The most fields that are left out.
const FIELDS_MAX: usize = 64;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Undeclared {
    /// The generation at which they were named.
    generation: u64,
    /// Paths below the object: `.status.operator`, `.status.conditions[type="Ready"].since`.
    fields: BTreeSet<String>,
}

impl Undeclared {
    /// Those that are known at this generation of the plan.
    #[must_use]
    pub fn at(self, generation: u64) -> Undeclared {
        if self.generation == generation { self } else { Undeclared { generation, ..Undeclared::default() } }
    }

    /// Takes up what the API server names. The fields that were not known; empty: it says something else.
    pub fn learn(&mut self, message: &str) -> Vec<String> {
        let ends = message.match_indices(NOT_IN_SCHEMA).map(|(end, _)| &message[..end]);
        let paths = ends.filter_map(|before| Some(&before[start(before)?..]));
        let room = FIELDS_MAX.saturating_sub(self.fields.len());
        let new: Vec<String> = paths
            .filter(|path| !self.fields.contains(*path))
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .take(room)
            .collect();
        self.fields.extend(new.iter().cloned());
        new
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub fn has(&self, path: &str) -> bool {
        self.fields.contains(path)
    }

    /// The status without them.
    #[must_use]
    pub fn left_out(&self, mut status: Value) -> Value {
        for field in &self.fields {
            if let Some(path) = field.strip_prefix(".status.") {
                remove(&mut status, &names(path));
            }
        }
        status
    }
}

/// Where the path begins that ends here: at the last ` .` outside of brackets, or at the beginning.
fn start(before: &str) -> Option<usize> {
    let at = before.rfind(".status")?;
    let is_start = before[..at].chars().next_back().is_none_or(char::is_whitespace);
    is_start.then_some(at)
}

/// The names of a path. A member of a list is left out of each of its items, which are alike.
fn names(path: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let (mut begin, mut depth) = (0, 0_u32);
    for (at, character) in path.char_indices() {
        match character {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            '.' if depth == 0 => {
                names.push(&path[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    names.push(&path[begin..]);
    names.into_iter().map(|name| name.split('[').next().unwrap_or(name)).collect()
}

fn remove(value: &mut Value, names: &[&str]) {
    match (value, names) {
        (Value::Array(items), _) => items.iter_mut().for_each(|item| remove(item, names)),
        (Value::Object(members), [name]) => drop(members.remove(*name)),
        (Value::Object(members), [name, rest @ ..]) => {
            if let Some(member) = members.get_mut(*name) {
                remove(member, rest);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status() -> Value {
        json!({
            "operator": "a/o", "nodes": 3, "slots": {"total": 4, "moving": 0},
            "conditions": [{"type": "Ready", "since": 1}, {"type": "Paused", "since": 2}],
        })
    }

    fn check(message: &str, named: &[&str], left: &Value) {
        let mut undeclared = Undeclared::default().at(1);
        assert_eq!(undeclared.learn(message), named, "{message}");
        assert_eq!(undeclared.left_out(status()), *left, "{message}");
        assert!(undeclared.learn(message).is_empty(), "they are known");
        assert!(named.iter().all(|path| undeclared.has(path)));
        // Another generation tries them again.
        assert_eq!(undeclared.clone().at(1), undeclared);
        assert_eq!(undeclared.at(2).left_out(status()), status());
    }

    #[test]
    fn what_the_api_server_names_is_left_out_and_nothing_else() {
        let without = |change: fn(&mut Value)| {
            let mut status = status();
            change(&mut status);
            status
        };
        let remove = |status: &mut Value, name: &str| drop(status.as_object_mut().unwrap().remove(name));
        let of =
            "failed to create typed patch object (default/flights; shoal.dev/v1alpha1, Kind=AgentPlan): ";
        let no_operator = without(|status| drop(status.as_object_mut().unwrap().remove("operator")));
        check(
            &format!("{of}.status.operator: field not declared in schema"),
            &[".status.operator"],
            &no_operator,
        );
        check(".status.operator: field not declared in schema", &[".status.operator"], &no_operator);
        let mut two = no_operator.clone();
        remove(&mut two["slots"], "moving");
        check(
            &format!(
                "{of}errors:\n  .status.operator: field not declared in schema\n  .status.slots.moving: field not declared \
                 in schema"
            ),
            &[".status.operator", ".status.slots.moving"],
            &two,
        );
        check(
            &format!("{of}.status.conditions[type=\"Ready\"].since: field not declared in schema"),
            &[".status.conditions[type=\"Ready\"].since"],
            &without(|status| {
                for condition in status["conditions"].as_array_mut().unwrap() {
                    condition.as_object_mut().unwrap().remove("since");
                }
            }),
        );
        for message in [
            "",
            "exceeded quota: few",
            ": field not declared in schema",
            ".spec.slots: field not declared in schema",
            "x.status.operator: field not declared in schema",
            &format!("{of}.status.operator: expected string, got 7"),
        ] {
            check(message, &[], &status());
        }
        // One that is not there is no matter.
        check(".status.later: field not declared in schema", &[".status.later"], &status());
        check(
            ".status.nodes.of[0].later: field not declared in schema",
            &[".status.nodes.of[0].later"],
            &status(),
        );
    }
}
