//! YAML is read as kubectl reads it.

use super::{HEAD, faults};
use crate::plan::AgentPlan;
use expect_test::{Expect, expect};

fn check(yaml: &str, expected: &Expect) {
    expected.assert_eq(&faults(yaml));
}

const SPEC: &str = "spec: {agents: [{route: /a, lanes: [{name: v, type: Value}]}]}\n";

#[test]
fn what_is_around_the_spec() {
    for (yaml, expected) in [
        (format!("{HEAD}{SPEC}"), expect![[""]]),
        (format!("{HEAD}{SPEC}status: {{anything: 1}}\n"), expect![[""]]),
        (
            String::new(),
            expect![[r#"
            I yaml: an AgentPlan is expected
        "#]],
        ),
        (
            "- a\n".into(),
            expect![[r#"
            I yaml: an AgentPlan is expected
        "#]],
        ),
        (
            "a: [1\nb: 2\n".into(),
            expect![[r#"
            I line 2: did not find expected ',' or ']' at line 2 column 2, while parsing a flow sequence at line 1 column 4
        "#]],
        ),
        (
            format!("{HEAD}{SPEC}---\n{HEAD}{SPEC}"),
            expect![[r#"
            I yaml: deserializing from YAML containing more than one document is not supported
        "#]],
        ),
        (
            SPEC.into(),
            expect![[r#"
            I apiVersion: `shoal.dev/v1alpha1` is expected
            I kind: `AgentPlan` is expected
            I metadata.name: is missing
        "#]],
        ),
        (
            format!("{HEAD}{SPEC}data: 1\n"),
            expect![[r#"
            I data: there is no such field
        "#]],
        ),
        (
            HEAD.into(),
            expect![[r#"
            I spec.agents: is missing
        "#]],
        ),
    ] {
        check(&yaml, &expected);
    }
}

#[test]
fn the_head_says_that_it_is_a_plan_and_how_it_is_called() {
    for (yaml, expected) in [
        (
            format!("{}{SPEC}", HEAD.replace("v1alpha1", "v1")),
            expect![[r#"
            I apiVersion: `shoal.dev/v1alpha1` is expected
        "#]],
        ),
        (
            format!("{}{SPEC}", HEAD.replace("name: p", "name: P")),
            expect![[r#"
            I metadata.name: `P` is no name of a plan: a lower-case letter, then up to 39 letters, digits and `-`
        "#]],
        ),
        (
            format!("{}{SPEC}", HEAD.replace("name: p", "name: 7")),
            expect![[r#"
            I metadata.name: a text is expected
        "#]],
        ),
        (
            format!("{}{SPEC}", HEAD.replace("name: p", "names: p")),
            expect![[r#"
            I metadata.names: there is no such field
            I metadata.name: is missing
        "#]],
        ),
        (
            format!("{}{SPEC}", HEAD.replace("name: p", "name: p, name: q")),
            expect![[r#"
            I line 3: metadata: duplicate entry with key "name" at line 3 column 11
        "#]],
        ),
    ] {
        check(&yaml, &expected);
    }
}

#[test]
fn bare_words_that_kubectl_reads_otherwise_are_refused() {
    let lanes = |initial: &str| {
        format!(
            "{HEAD}spec:\n  agents:\n  - route: /a\n    lanes:\n    - name: v\n      type: Value\n      initial: {initial}\n"
        )
    };
    for (initial, expected) in [
        (
            "yes",
            expect![[r#"
            I spec.agents[0].lanes[0].initial: line 10: without quotes, kubectl reads `yes` as true: write "yes" or true
        "#]],
        ),
        ("'yes'", expect![[""]]),
        ("\"no\"", expect![[""]]),
        ("Yes sir, no", expect![[""]]),
        (
            "[on, 'off', OFF]",
            expect![[r#"
            I spec.agents[0].lanes[0].initial[0]: line 10: without quotes, kubectl reads `on` as true: write "on" or true
            I spec.agents[0].lanes[0].initial[2]: line 10: without quotes, kubectl reads `OFF` as false: write "OFF" or false
        "#]],
        ),
        (
            "{y: 1, 'n': No}",
            expect![[r#"
            I spec.agents[0].lanes[0].initial.y: line 10: without quotes, kubectl reads `y` as true: write "y" or true
            I spec.agents[0].lanes[0].initial.n: line 10: without quotes, kubectl reads `No` as false: write "No" or false
        "#]],
        ),
        ("true", expect![[""]]),
        ("\"say\n        yes\n        or no\"", expect![[""]]),
        ("|\n        yes\n        no", expect![[""]]),
        ("7000000000000 # no", expect![[""]]),
        ("ye", expect![[""]]),
    ] {
        check(&lanes(initial), &expected);
    }
    check(
        &format!("{HEAD}on: 1\n{SPEC}"),
        &expect![[r#"
        I on: line 4: without quotes, kubectl reads `on` as true: write "on" or true
        I on: there is no such field
    "#]],
    );
}

#[test]
fn a_value_means_the_same_as_to_kubectl() {
    let lane = |initial: &str| {
        let yaml = format!(
            "{HEAD}spec: {{agents: [{{route: /a, lanes: [{{name: v, type: Value, initial: {initial}}}]}}]}}"
        );
        let plan = AgentPlan::from_yaml(&yaml).unwrap_or_else(|errors| panic!("{initial}: {errors:?}"));
        serde_json::to_string(&plan.spec.agents[0].lanes[0]).unwrap()
    };
    for (initial, json) in [
        ("1.0", r#"{"name":"v","type":"Value","initial":1}"#),
        ("1e3", r#"{"name":"v","type":"Value","initial":1000}"#),
        ("0x10", r#"{"name":"v","type":"Value","initial":16}"#),
        ("null", r#"{"name":"v","type":"Value","initial":null}"#),
        ("~", r#"{"name":"v","type":"Value","initial":null}"#),
        ("{b: 1, a: 0.25}", r#"{"name":"v","type":"Value","initial":{"b":1,"a":0.25}}"#),
        ("{1: x}", r#"{"name":"v","type":"Value","initial":{"1":"x"}}"#),
    ] {
        assert_eq!(lane(initial), json);
    }
}

#[test]
fn what_no_json_can_hold_is_refused() {
    let lane = |initial: &str| {
        format!(
            "{HEAD}spec: {{agents: [{{route: /a, lanes: [{{name: v, type: Value, initial: {initial}}}]}}]}}"
        )
    };
    for (initial, expected) in [
        (
            ".inf",
            expect![[r#"
            I spec.agents[0].lanes[0].initial: the number is not finite
        "#]],
        ),
        (
            "18446744073709551615",
            expect![[r#"
            I spec.agents[0].lanes[0].initial: the integer does not fit into 64 bits
        "#]],
        ),
        (
            "!secret x",
            expect![[r#"
            I spec.agents[0].lanes[0].initial: the tag !secret means nothing here
        "#]],
        ),
        (
            "{a: 1, a: 2}",
            expect![[r#"
            I line 4: spec.agents[0].lanes[0].initial: duplicate entry with key "a" at line 4 column 69
        "#]],
        ),
    ] {
        check(&lane(initial), &expected);
    }
}
