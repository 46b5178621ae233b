//! Whether an object is as it was applied.
//!
//! *Guarantees.* An object that has been applied, and that nobody has changed since, is never applied again: what the
//! API server adds by itself, and what others add beside it, is no drift. A field that somebody changed is one, and so
//! is one that is not wished for any more (by the hash, which stands in an annotation).

use crate::names;
use proto::plan::Quantity;
use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_64;

/// The hash of an object as it is to be applied.
pub fn hash(desired: &Value) -> String {
    format!("{:016x}", xxh3_64(desired.to_string().as_bytes()))
}

/// The hash that an object carries; empty where it has none.
pub fn hash_of(object: &Value) -> &str {
    object["metadata"]["annotations"][names::APPLIED].as_str().unwrap_or_default()
}

/// Whether `seen` is what applying `desired` makes.
pub fn is_applied(desired: &Value, seen: &Value) -> bool {
    hash_of(desired) == hash_of(seen) && covers(desired, seen)
}

/// Whether all that is desired is there.
pub fn covers(desired: &Value, seen: &Value) -> bool {
    match (desired, seen) {
        (Value::Object(desired), Value::Object(seen)) => {
            desired.iter().all(|(name, value)| member(name, value, seen))
        }
        (Value::Array(desired), Value::Array(seen)) => in_order(desired, seen),
        _ => desired == seen,
    }
}

fn member(name: &str, desired: &Value, seen: &Map<String, Value>) -> bool {
    let seen = seen.get(name).unwrap_or(&Value::Null);
    match name {
        "limits" | "requests" => quantities(desired, seen),
        // What is added to these is no addition of somebody else's own: it opens or takes away.
        "args" | "from" | "ingress" | "podSelector" | "policyTypes" => desired == seen,
        _ => covers(desired, seen),
    }
}

/// Others may have put theirs between ours.
fn in_order(desired: &[Value], seen: &[Value]) -> bool {
    let mut seen = seen.iter();
    desired.iter().all(|desired| seen.any(|seen| covers(desired, seen)))
}

/// The API server writes them in a form of its own: `1024Mi` as `1Gi`.
fn quantities(desired: &Value, seen: &Value) -> bool {
    // CPU is counted in thousandths, and the API server rounds everything up to them.
    let amount = |value: &Value| Quantity(value.as_str()?.to_owned()).milli();
    let same = |desired: &Value, seen: &Value| {
        desired == seen || amount(desired).is_some_and(|desired| Some(desired) == amount(seen))
    };
    let desired = desired.as_object().into_iter().flatten();
    desired.into_iter().all(|(name, amount)| same(amount, &seen[name]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(desired: &Value, seen: &Value, expected: bool) {
        assert_eq!(covers(desired, seen), expected, "{desired} and {seen}");
    }

    #[test]
    fn what_others_add_is_no_drift_and_what_they_change_is() {
        check(&json!({"a": 1}), &json!({"a": 1, "b": 2}), true);
        check(&json!({"a": 1}), &json!({"a": 2}), false);
        check(&json!({"a": 1}), &json!({}), false);
        check(&json!({"ports": [{"name": "x"}]}), &json!({"ports": [{"name": "x", "nodePort": 7}]}), true);
        check(&json!({"env": [{"name": "x"}]}), &json!({"env": [{"name": "theirs"}, {"name": "x"}]}), true);
        check(&json!({"args": ["a", "b"]}), &json!({"args": ["b", "a"]}), false);
        check(&json!({"args": ["a", "b"]}), &json!({"args": ["a"]}), false);
        check(&json!({"args": ["a"]}), &json!({"args": ["a", "b"]}), false);
        check(&json!({"ingress": [{"from": 1}]}), &json!({"ingress": [{"from": 1}, {}]}), false);
        check(
            &json!({"podSelector": {"matchLabels": {"a": "b"}}}),
            &json!({"podSelector": {"matchLabels": {"a": "b", "c": "d"}}}),
            false,
        );
    }

    #[test]
    fn quantities_are_compared_by_what_they_amount_to() {
        for (desired, seen, expected) in [
            ("1024Mi", "1Gi", true),
            ("0.5", "500m", true),
            ("1500m", "1.5", true),
            ("1", "1000m", true),
            ("1Gi", "1G", false),
            ("10Gi", "20Gi", false),
            ("1e3", "1k", true),
            ("1.1Gi", "1181116006400m", true),
            ("1.1Gi", "1181116006", false),
        ] {
            check(&json!({"requests": {"cpu": desired}}), &json!({"requests": {"cpu": seen}}), expected);
            let named = |amount: &str| json!({"name": amount});
            check(&named(desired), &named(seen), desired == seen);
        }
        check(&json!({"limits": {"cpu": "1"}}), &json!({}), false);
    }

    #[test]
    fn a_field_that_is_wished_no_more_shows_in_the_hash() {
        let object = |body: Value| {
            let mut object = json!({"metadata": {"name": "x"}, "spec": body});
            object["metadata"]["annotations"] = json!({names::APPLIED: hash(&object)});
            object
        };
        let before = object(json!({"nodeSelector": {"disk": "ssd"}}));
        assert!(is_applied(&before, &before));
        assert!(!is_applied(&object(json!({})), &before));
    }
}
