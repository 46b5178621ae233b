//! Rules and their steps, right and wrong, each with the path of what is wrong.

use super::wrong::check;
use expect_test::{Expect, expect};

/// One agent with a lane of each type; `rule` is a rule of it.
fn check_rule(rule: &str, expected: &Expect) {
    let lanes =
        "{name: c, type: Command}, {name: v, type: Value}, {name: m, type: Map}, {name: s, type: Supply}";
    check(&format!("{{agents: [{{route: '/a/:x', lanes: [{lanes}], rules: [{rule}]}}]}}"), expected);
}

/// Rules, and what is wrong with each.
const RULES: &[(&str, Expect)] = &[
    ("{command: c, do: [{set: {lane: v, to: event}}]}", expect![[""]]),
    (
        "{command: c}",
        expect![[r#"
        I spec.agents[0].rules[0].do: is missing
    "#]],
    ),
    (
        "{command: c, do: []}",
        expect![[r#"
        I spec.agents[0].rules[0].do: at least 1 item expected
    "#]],
    ),
    (
        "{command: x, do: [{clear: {lane: m}}]}",
        expect![[r#"
        I spec.agents[0].rules[0].command: there is no Command lane `x` here, only c
    "#]],
    ),
    (
        "{command: v, do: [{clear: {lane: m}}]}",
        expect![[r#"
        I spec.agents[0].rules[0].command: `v` is a Value lane, a Command lane is expected
    "#]],
    ),
    (
        "{timer: t, do: [{clear: {lane: m}}]}",
        expect![[r#"
        N spec.agents[0].rules[0].timer: `timer` is not supported yet
    "#]],
    ),
    (
        "{when: 'true', do: [{clear: {lane: m}}]}",
        expect![[r#"
        I spec.agents[0].rules[0].command: is missing
    "#]],
    ),
    (
        "{command: c, when: true, do: [{clear: {lane: m}}]}",
        expect![[r#"
        I spec.agents[0].rules[0].when: a text is expected: quote it, "true"
    "#]],
    ),
    (
        "{command: c, when: 'v + nope', do: [{clear: {lane: m}}]}",
        expect![[r#"
            I spec.agents[0].rules[0].when:5: there is no `nope` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `v`, `m`; write 'nope' if a text is meant
        "#]],
    ),
    (
        "{command: c, do: [{}]}",
        expect![[r#"
        I spec.agents[0].rules[0].do[0]: exactly one of clear, emit, put, remove, send, set is expected
    "#]],
    ),
    (
        "{command: c, do: [{set: null}]}",
        expect![[r#"
        I spec.agents[0].rules[0].do[0]: exactly one of clear, emit, put, remove, send, set is expected
    "#]],
    ),
    (
        "{command: c, do: [{set: {lane: v, to: '1'}, clear: {lane: m}}]}",
        expect![[r#"
        I spec.agents[0].rules[0].do[0]: exactly one of clear, emit, put, remove, send, set is expected
    "#]],
    ),
    (
        "{command: c, do: [{sett: {lane: v, to: '1'}}]}",
        expect![[r#"
        I spec.agents[0].rules[0].do[0].sett: there is no field `sett` here, only clear, emit, put, remove, send, set
    "#]],
    ),
    (
        "{command: c, do: [{schedule: {timer: t}}]}",
        expect![[r#"
        N spec.agents[0].rules[0].do[0].schedule: `schedule` is not supported yet
    "#]],
    ),
    (
        "{command: c, do: [{set: {lane: v}}]}",
        expect![[r#"
        I spec.agents[0].rules[0].do[0].set.to: is missing
    "#]],
    ),
    (
        "{command: c, do: [{set: {lane: v, to: 1}}]}",
        expect![[r#"
        I spec.agents[0].rules[0].do[0].set.to: a text is expected: quote it, "1"
    "#]],
    ),
    (
        "{command: c, do: [{set: {lane: v, to: ''}}]}",
        expect![[r#"
        I spec.agents[0].rules[0].do[0].set.to: at least 1 character expected
    "#]],
    ),
    (
        "{command: c, do: [{set: {lane: v, to: '1', each: v}}]}",
        expect![[r#"
        N spec.agents[0].rules[0].do[0].set.each: `each` is not supported yet
    "#]],
    ),
    (
        "{command: c, do: [{set: {lane: m, to: '1'}}]}",
        expect![[r#"
        I spec.agents[0].rules[0].do[0].set.lane: `m` is a Map lane, a Value lane is expected
    "#]],
    ),
    (
        "{command: c, do: [{put: {lane: v, key: '1', to: '1'}}]}",
        expect![[r#"
        I spec.agents[0].rules[0].do[0].put.lane: `v` is a Value lane, a Map lane is expected
    "#]],
    ),
    (
        "{command: c, do: [{remove: {lane: faults, key: '1'}}]}",
        expect![[r#"
        I spec.agents[0].rules[0].do[0].remove.lane: there is no Map lane `faults` here, only m
    "#]],
    ),
    (
        "{command: c, do: [{emit: {lane: c, body: event}}]}",
        expect![[r#"
        I spec.agents[0].rules[0].do[0].emit.lane: `c` is a Command lane, a Supply lane is expected
    "#]],
    ),
    ("{command: c, do: [{send: {agent: here, lane: c}}]}", expect![[""]]),
    (
        "{command: c, do: [{send: {agent: here, lane: d, body: nope}}]}",
        expect![[r#"
            I spec.agents[0].rules[0].do[0].send.lane: no agent of this plan has a Command lane `d`
            I spec.agents[0].rules[0].do[0].send.body:1: there is no `nope` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `v`, `m`; write "'nope'" if a text is meant: the quotes of YAML are not those of the expression
        "#]],
    ),
    (
        "{command: c, do: [{put: {lane: m, key: 'v + nope', to: nope, when: f(1)}}]}",
        expect![[r#"
            I spec.agents[0].rules[0].do[0].put.key:5: there is no `nope` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `v`, `m`; write 'nope' if a text is meant
            I spec.agents[0].rules[0].do[0].put.to:1: there is no `nope` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `v`, `m`; write "'nope'" if a text is meant: the quotes of YAML are not those of the expression
            I spec.agents[0].rules[0].do[0].put.when:1: there is no function `f`
        "#]],
    ),
];

#[test]
fn rules_and_steps() {
    for (rule, expected) in RULES {
        check_rule(rule, expected);
    }
}
