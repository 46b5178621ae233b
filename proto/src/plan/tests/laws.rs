//! Any text and any spec: a plan or errors, never a panic.

use crate::json;
use crate::plan::{AgentPlan, Plan};
use crate::value::{self, Value};
use proptest::prelude::*;

const FLIGHTS: &str = include_str!("../../../../crds/samples/flights.yaml");

/// Puts a value in some place of another.
fn replaced(whole: &Value, path: &mut impl Iterator<Item = usize>, by: &Value) -> Value {
    let Some(step) = path.next() else { return by.clone() };
    match whole {
        Value::List(items) if !items.is_empty() => {
            let mut items = items.to_vec();
            let at = step % items.len();
            items[at] = replaced(&items[at], path, by);
            Value::list(items)
        }
        Value::Record(record) if !record.members().is_empty() => {
            let mut members = record.members().to_vec();
            let at = step % members.len();
            members[at].1 = replaced(&members[at].1, path, by);
            Value::record(members)
        }
        _ => by.clone(),
    }
}

fn flights() -> Value {
    let plan = AgentPlan::from_yaml(FLIGHTS).unwrap();
    json::parse(&plan.spec.to_json()).unwrap()
}

proptest! {
    #[test]
    fn no_spec_makes_it_panic(by in value::tests::stored(), path in prop::collection::vec(0_usize..64, 0..8)) {
        let spec = replaced(&flights(), &mut path.into_iter(), &by);
        let mut text = Vec::new();
        json::write(&spec, &mut text);
        if let Err(errors) = Plan::parse(&text) {
            prop_assert!(!errors.is_empty());
            prop_assert!(errors.iter().all(|error| error.at.starts_with("spec")), "{:?}", errors);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[-a-z:{}\\[\\], \n'\"#&*!|>0-9]{0,80}", cut in any::<prop::sample::Index>()) {
        prop_assert!(AgentPlan::from_yaml(&text).is_err());
        let at = cut.index(FLIGHTS.len());
        let _ = AgentPlan::from_yaml(&format!("{}{text}{}", &FLIGHTS[..at], &FLIGHTS[at..]));
    }
}

#[test]
fn a_plan_says_the_same_after_another_round() {
    let plan = AgentPlan::from_yaml(FLIGHTS).unwrap();
    let json = plan.spec.to_json();
    let back: crate::plan::AgentPlanSpec = serde_json::from_slice(&json).unwrap();
    assert_eq!(back, plan.spec);
    assert_eq!(back.to_json(), json);
}
