//! What is said of the right parts of a plan whose schema refuses others.

use super::HEAD;
use crate::json;
use crate::plan::{AgentPlan, Error, Plan};
use crate::value::Value;
use expect_test::{Expect, expect};

const FLIGHTS: &str = include_str!("../../../../crds/samples/flights.yaml");

/// Two kinds of agents; the last rule of the second is wrong, and so is the first of the first.
const SPEC: &str = "\
spec:
  agents:
  - route: /a/:id
    lanes:
    - {name: c, type: Command}
    - {name: v, type: Value}
    rules:
    - command: c
      do:
      - set: {lane: v, to: 1 +}
  - route: /b
    lanes:
    - {name: d, type: Command}
    - {name: w, type: Value}
    - {name: m, type: Map}
    rules:
    - command: d
      do:
      - set: {lane: w, to: event}
      - put: {lane: m, key: event, to: w}
    - command: d
      do:
      - send: {agent: \"'/a/1'\", lane: c}
      - set: {lane: w, to: nothing}
";

fn said(text: &str) -> String {
    let errors = Plan::from_yaml(text).err().unwrap_or_default();
    errors.iter().map(|error| format!("{error}\n")).collect::<Vec<_>>().concat()
}

fn check(changes: &[(&str, &str)], expected: &Expect) {
    let mut text = format!("{HEAD}{SPEC}");
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    expected.assert_eq(&said(&text));
}

#[test]
fn wrong_expressions_are_said_beside_what_the_schema_refuses() {
    check(
        &[],
        &expect![[r#"
            spec.agents[0].rules[0].do[0].set.to:4: line 13: it ends where more is expected
            spec.agents[1].rules[1].do[1].set.to:1: line 27: there is no `nothing` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `w`, `m`; write "'nothing'" if a text is meant: the quotes of YAML are not those of the expression
        "#]],
    );
    check(
        &[("name: p", "name: P")],
        &expect![[r#"
            metadata.name: line 3: `P` is no name of a plan: a lower-case letter, then up to 39 letters, digits and `-`
            spec.agents[0].rules[0].do[0].set.to:4: line 13: it ends where more is expected
            spec.agents[1].rules[1].do[1].set.to:1: line 27: there is no `nothing` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `w`, `m`; write "'nothing'" if a text is meant: the quotes of YAML are not those of the expression
        "#]],
    );
    check(
        &[("spec:", "spec:\n  replica: 3")],
        &expect![[r#"
            spec.replica: line 5: there is no field `replica` here, only agents, durability, http, management, pods, recovery, replicas, service, slots, storage
            spec.agents[0].rules[0].do[0].set.to:4: line 14: it ends where more is expected
            spec.agents[1].rules[1].do[1].set.to:1: line 28: there is no `nothing` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `w`, `m`; write "'nothing'" if a text is meant: the quotes of YAML are not those of the expression
        "#]],
    );
    check(
        &[("/a/:id", "a/{id}\n    partitionBy: [id]")],
        &expect![[r#"
            spec.agents[0].route: line 6: `a/{id}` is no route: each segment begins with `/` and has letters, digits and `._~-`; parameters are written `:id`
            spec.agents[0].rules[0].do[0].set.to:4: line 14: it ends where more is expected
            spec.agents[1].rules[1].do[1].set.to:1: line 28: there is no `nothing` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `w`, `m`; write "'nothing'" if a text is meant: the quotes of YAML are not those of the expression
        "#]],
    );
    check(
        &[("command: d\n", "command: 7\n")],
        &expect![[r#"
            spec.agents[0].rules[0].do[0].set.to:4: line 13: it ends where more is expected
            spec.agents[1].rules[0].command: line 20: a text is expected: quote it, "7"
            spec.agents[1].rules[1].do[1].set.to:1: line 27: there is no `nothing` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `w`, `m`; write "'nothing'" if a text is meant: the quotes of YAML are not those of the expression
        "#]],
    );
    check(
        &[(
            "    - command: d\n      do:\n      - set: {lane: w, to: event}",
            "    - comand: d\n      do:\n      - set: {lane: w, to: event}",
        )],
        &expect![[r#"
            spec.agents[0].rules[0].do[0].set.to:4: line 13: it ends where more is expected
            spec.agents[1].rules[0].comand: line 20: there is no field `comand` here, only command, do, timer, when
            spec.agents[1].rules[1].do[1].set.to:1: line 27: there is no `nothing` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `w`, `m`; write "'nothing'" if a text is meant: the quotes of YAML are not those of the expression
        "#]],
    );
    check(
        &[("to: event}", "too: event}")],
        &expect![[r#"
            spec.agents[0].rules[0].do[0].set.to:4: line 13: it ends where more is expected
            spec.agents[1].rules[0].do[0].set.too: line 22: there is no field `too` here, only each, lane, to, when
            spec.agents[1].rules[0].do[0].set.to: line 22: is missing
            spec.agents[1].rules[1].do[1].set.to:1: line 27: there is no `nothing` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `w`, `m`; write "'nothing'" if a text is meant: the quotes of YAML are not those of the expression
        "#]],
    );
}

#[test]
fn what_misses_only_what_was_left_out_is_not_said() {
    check(
        &[("{name: w, type: Value}", "{name: w, type: Values}")],
        &expect![[r#"
            spec.agents[0].rules[0].do[0].set.to:4: line 13: it ends where more is expected
            spec.agents[1].lanes[1].type: line 17: `Values` is none of Value, Map, Command, Supply
            spec.agents[1].rules[1].do[1].set.to:1: line 27: there is no `nothing` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `m`; write "'nothing'" if a text is meant: the quotes of YAML are not those of the expression
        "#]],
    );
    check(
        &[("{name: m, type: Map}", "{type: Map}")],
        &expect![[r#"
            spec.agents[0].rules[0].do[0].set.to:4: line 13: it ends where more is expected
            spec.agents[1].lanes[2].name: line 18: is missing
        "#]],
    );
    check(
        &[("{name: c, type: Command}", "{name: c, type: Command, queue: 7}")],
        &expect![[r#"
            spec.agents[0].lanes[0].queue: line 8: fields are expected, not an integer
            spec.agents[0].rules[0].do[0].set.to:4: line 13: it ends where more is expected
            spec.agents[1].rules[1].do[1].set.to:1: line 27: there is no `nothing` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `w`, `m`; write "'nothing'" if a text is meant: the quotes of YAML are not those of the expression
        "#]],
    );
    check(
        &[("{name: c, type: Command}", "{name: c, type: Comand}")],
        &expect![[r#"
            spec.agents[0].lanes[0].type: line 8: `Comand` is none of Value, Map, Command, Supply
            spec.agents[0].rules[0].do[0].set.to:4: line 13: it ends where more is expected
            spec.agents[1].rules[1].do[1].set.to:1: line 27: there is no `nothing` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `w`, `m`; write "'nothing'" if a text is meant: the quotes of YAML are not those of the expression
        "#]],
    );
    check(
        &[("    lanes:\n    - {name: c", "    lane:\n    - {name: c")],
        &expect![[r#"
            spec.agents[0].lanes: line 6: is missing
            spec.agents[0].lane: line 8: there is no field `lane` here, only expire, lanes, partitionBy, route, rules, timers
            spec.agents[1].rules[1].do[1].set.to:1: line 27: there is no `nothing` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `w`, `m`; write "'nothing'" if a text is meant: the quotes of YAML are not those of the expression
        "#]],
    );
    check(
        &[("agents:", "agenten:")],
        &expect![[r#"
        spec.agents: line 5: is missing
        spec.agenten: line 6: there is no field `agenten` here, only agents, durability, http, management, pods, recovery, replicas, service, slots, storage
    "#]],
    );
}

/// Every leaf of a plan in which nothing is wrong, replaced by something that no schema takes.
#[test]
fn whatever_part_is_wrong_nothing_is_said_of_the_others_that_are_right() {
    let plan = AgentPlan::from_yaml(FLIGHTS).unwrap();
    let spec = json::parse(&plan.spec.to_json()).unwrap();
    let known = Error::invalid("metadata.name", "is missing");
    let (mut leaves, mut count) = (Vec::new(), 0);
    find_leaves(&spec, &mut Vec::new(), &mut leaves);
    for leaf in &leaves {
        let wrong = replaced(&spec, leaf, &Value::list([Value::list([])]));
        let more = crate::plan::beside::more(&wrong, std::slice::from_ref(&known));
        count += usize::from(crate::plan::parse::typed(&wrong).is_err());
        assert!(more.is_empty(), "{leaf:?}: {more:?}");
    }
    assert!(count > 50, "{count} of {} leaves are refused by the schema", leaves.len());
}

fn parts(value: &Value) -> Vec<Value> {
    match value {
        Value::Record(record) => record.members().iter().map(|(_, value)| value.clone()).collect(),
        Value::List(items) => items.to_vec(),
        _ => Vec::new(),
    }
}

fn find_leaves(value: &Value, path: &mut Vec<usize>, leaves: &mut Vec<Vec<usize>>) {
    let parts = parts(value);
    if parts.is_empty() {
        leaves.push(path.clone());
    }
    for (n, part) in parts.iter().enumerate() {
        path.push(n);
        find_leaves(part, path, leaves);
        path.pop();
    }
}

fn replaced(value: &Value, path: &[usize], by: &Value) -> Value {
    let Some((first, rest)) = path.split_first() else { return by.clone() };
    let mut parts = parts(value);
    parts[*first] = replaced(&parts[*first], rest, by);
    match value {
        Value::Record(record) => {
            let names = record.members().iter().map(|(name, _)| name.clone());
            Value::record(names.zip(parts).collect::<Vec<_>>())
        }
        _ => Value::list(parts),
    }
}
