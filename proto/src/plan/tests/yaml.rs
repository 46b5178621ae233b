//! YAML is read as kubectl reads it.

use super::{HEAD, faults};
use crate::plan::{AgentPlan, Plan};
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
                I line 2: this is no YAML, did not find expected ',' or ']' while parsing a flow sequence: an expression with commas, brackets or `: ` has to stand in quotes
            "#]],
        ),
        (
            format!("{HEAD}{SPEC}---\n{HEAD}{SPEC}"),
            expect![[r#"
                I line 6: another document begins here, and one plan is expected
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
                I metadata.name: line 3: `name` is there twice: kubectl takes the last one, kustomize none
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
        ("{b: 1, a: 0.25}", r#"{"name":"v","type":"Value","initial":{"a":0.25,"b":1}}"#),
        ("{'1': x}", r#"{"name":"v","type":"Value","initial":{"1":"x"}}"#),
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
                I spec.agents[0].lanes[0].initial: line 4: the number is not finite
            "#]],
        ),
        (
            "18446744073709551615",
            expect![[r#"
                I spec.agents[0].lanes[0].initial: line 4: the integer does not fit into 64 bits
            "#]],
        ),
        (
            "!secret x",
            expect![[r#"
                I spec.agents[0].lanes[0].initial: line 4: the tag !secret means nothing here
            "#]],
        ),
        (
            "{a: 1, a: 2}",
            expect![[r#"
                I spec.agents[0].lanes[0].initial.a: line 4: `a` is there twice: kubectl takes the last one, kustomize none
            "#]],
        ),
    ] {
        check(&lane(initial), &expected);
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once_each_with_its_line() {
    let plan = format!(
        "{HEAD}spec:\n  storage: {{size: 1Gi}}\n  agents:\n  - route: /a\n    lanes:\n    - {{name: c, type: Command}}\n    - name: v\n      type: \
         Value\n      initial: [1, {{b: 1e19}}]\n    rules:\n    - command: c\n      do:\n      - set: {{lane: v, to: 1 +}}\n      - set:\n          \
         lane: w\n          to: event\n"
    );
    let errors = Plan::from_yaml(&plan).unwrap_err();
    let said = errors.iter().map(|error| format!("{error}\n")).collect::<Vec<_>>().concat();
    expect![[r#"
        spec.agents[0].lanes[1].initial[1].b: line 12: the integer does not fit into 64 bits
        spec.agents[0].rules[0].do[0].set.to:4: line 16: it ends where more is expected
        spec.agents[0].rules[0].do[1].set.lane: line 18: there is no Value lane `w` here, only v
    "#]]
    .assert_eq(&said);
    let plan = plan.replace("1e19", "1");
    let errors = Plan::from_yaml(&plan).unwrap_err();
    let said = errors.iter().map(|error| format!("{error}\n")).collect::<Vec<_>>().concat();
    expect![[r#"
        spec.agents[0].rules[0].do[0].set.to:4: line 16: it ends where more is expected
        spec.agents[0].rules[0].do[1].set.lane: line 18: there is no Value lane `w` here, only v
    "#]]
    .assert_eq(&said);
}

#[test]
fn what_cannot_be_read_is_no_second_error() {
    check(
        &format!("{HEAD}spec: {{agents: [{{route: /a, lanes: [{{name: n, type: Value}}]}}]}}\n"),
        &expect![[r#"
            I spec.agents[0].lanes[0].name: line 4: without quotes, kubectl reads `n` as false: write "n" or false
        "#]],
    );
}

#[test]
fn a_flow_with_an_expression_says_that_it_needs_quotes() {
    check(
        &format!(
            "{HEAD}spec:\n  agents:\n  - rules:\n    - do: [{{set: {{lane: v, to: max([1, 2]) + [a: b}}}}]\n"
        ),
        &expect![[r#"
            I line 7: this is no YAML, did not find expected ',' or '}' while parsing a flow mapping: an expression with commas, brackets or `: ` has to stand in quotes
        "#]],
    );
}

/// Each alias holds what was before it: a hundred lines are a thousand levels, or a million values.
#[test]
fn aliases_make_nothing_large_or_deep() {
    let chain = |of: &str| {
        let lines =
            (1..200).map(|n| format!("      l{n}: &a{n} {}\n", of.replace('*', &format!("*a{}", n - 1))));
        format!(
            "{HEAD}spec:\n  agents:\n  - initial:\n      l0: &a0 [1]\n{}",
            lines.collect::<Vec<_>>().concat()
        )
    };
    for (of, said) in [
        ("[[[[[*]]]]]", "more than 100 lists and mappings"),
        ("{a: *}", "more than 100 lists and mappings"),
        ("[*, *, *]", "more than 100 lists and mappings"),
    ] {
        assert!(faults(&chain(of)).contains(said), "{of}");
    }
    let wide = (1..20).map(|n| format!("      l{n}: &a{n} [{0}, {0}, {0}]\n", format!("*a{}", n - 1)));
    let wide = format!(
        "{HEAD}spec:\n  agents:\n  - initial:\n      l0: &a0 [1]\n{}",
        wide.collect::<Vec<_>>().concat()
    );
    assert!(faults(&wide).contains("more than 100000 values"));
    let merged =
        (1..20).map(|n| format!("      l{n}: &a{n} {{<<: [{0}, {0}, {0}]}}\n", format!("*a{}", n - 1)));
    let merged = format!(
        "{HEAD}spec:\n  agents:\n  - initial:\n      l0: &a0 {{b: 1}}\n{}",
        merged.collect::<Vec<_>>().concat()
    );
    assert!(faults(&merged).contains("more than 100000 values"));
}

/// What the parser gives up on with a panic.
#[test]
fn a_tag_that_is_not_whole_is_refused_like_any_text() {
    for text in ["[!,]", "{!, a}", "!<%FF%FE%80> x", "!%C3%28 x", "\"\\", "\"a\\\r"] {
        let said = faults(&format!("{HEAD}spec:\n  agents: {text}\n"));
        assert!(said.contains("line "), "{text}: {said}");
    }
}
