//! Rules and their steps, right and wrong, each with the path of what is wrong.

use super::wrong::check;
use expect_test::{Expect, expect};

/// One agent with a lane of each type; `rule` is a rule of it.
fn check_rule(rule: &str, expected: &Expect) {
    let lanes =
        "{name: c, type: Command}, {name: v, type: Value}, {name: m, type: Map}, {name: s, type: Supply}";
    check(
        &format!(
            "{{agents: [{{route: '/a/:x', timers: [{{name: t}}], lanes: [{lanes}], rules: [{rule}]}}]}}"
        ),
        expected,
    );
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
    ("{timer: t, do: [{clear: {lane: m}}]}", expect![""]),
    (
        "{when: 'true', do: [{clear: {lane: m}}]}",
        expect![[r#"
            I spec.agents[0].rules[0]: exactly one of command, timer is expected
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
            I spec.agents[0].rules[0].do[0]: exactly one of answer, cancel, clear, emit, end, put, refuse, remove, schedule, send, set is expected
        "#]],
    ),
    (
        "{command: c, do: [{set: null}]}",
        expect![[r#"
            I spec.agents[0].rules[0].do[0]: exactly one of answer, cancel, clear, emit, end, put, refuse, remove, schedule, send, set is expected
        "#]],
    ),
    (
        "{command: c, do: [{set: {lane: v, to: '1'}, clear: {lane: m}}]}",
        expect![[r#"
            I spec.agents[0].rules[0].do[0]: exactly one of answer, cancel, clear, emit, end, put, refuse, remove, schedule, send, set is expected
        "#]],
    ),
    (
        "{command: c, do: [{sett: {lane: v, to: '1'}}]}",
        expect![[r#"
            I spec.agents[0].rules[0].do[0].sett: there is no field `sett` here, only answer, cancel, clear, emit, end, put, refuse, remove, schedule, send, set
        "#]],
    ),
    (
        "{timer: t, when: key == 'a', do: [{set: {lane: v, to: '[key, event.due]', when: key != null}}]}",
        expect![[""]],
    ),
    (
        "{command: c, timer: t, do: [{clear: {lane: m}}]}",
        expect![[r#"
        I spec.agents[0].rules[0]: exactly one of command, timer is expected
    "#]],
    ),
    (
        "{timer: x, do: [{set: {lane: v, to: key}}]}",
        expect![[r#"
        I spec.agents[0].rules[0].timer: there is no timer `x` among the `timers` here, only t
    "#]],
    ),
    (
        "{timer: t, do: [{answer: key}, {schedule: {timer: t, every: \"duration('1h')\"}}]}",
        expect![[r#"
        I spec.agents[0].rules[0].do[0].answer: nobody hears the answer to a timer
    "#]],
    ),
    (
        "{command: c, do: [{set: {lane: v, to: key}}]}",
        expect![[r#"
        I spec.agents[0].rules[0].do[0].set.to:1: there is no `key` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `v`, `m`; `key` is there in a rule of a timer
    "#]],
    ),
    (
        "{command: c, do: [{schedule: {timer: t, key: item, after: event.x, each: event.of}}, {cancel: {timer: t, key: v}}, {cancel: {timer: t}}, \
         {schedule: {timer: t, at: now, when: v == 1}}]}",
        expect![[""]],
    ),
    (
        "{command: c, do: [{schedule: {timer: x, key: nope, after: nope}}, {cancel: {timer: c, key: nope}}]}",
        expect![[r#"
        I spec.agents[0].rules[0].do[0].schedule.timer: there is no timer `x` among the `timers` here, only t
        I spec.agents[0].rules[0].do[0].schedule.key:1: there is no `nope` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `v`, `m`; write "'nope'" if a text is meant: the quotes of YAML are not those of the expression
        I spec.agents[0].rules[0].do[0].schedule.after:1: there is no `nope` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `v`, `m`; write "'nope'" if a text is meant: the quotes of YAML are not those of the expression
        I spec.agents[0].rules[0].do[1].cancel.timer: there is no timer `c` among the `timers` here, only t
        I spec.agents[0].rules[0].do[1].cancel.key:1: there is no `nope` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `v`, `m`; write "'nope'" if a text is meant: the quotes of YAML are not those of the expression
    "#]],
    ),
    (
        "{command: c, do: [{schedule: {timer: t, after: v, every: v}}, {schedule: {timer: t, key: v, at: 5, do: x}}]}",
        expect![[r#"
        I spec.agents[0].rules[0].do[1].schedule.at: a text is expected: quote it, "5"
        I spec.agents[0].rules[0].do[1].schedule.do: there is no field `do` here, only after, at, each, every, key, timer, when
    "#]],
    ),
    ("{timer: t, do: [{end: {}}]}", expect![[""]]),
    (
        "{command: c, do: [{end: {}}, {end: {when: v > 1}}, {end: {each: m}}]}",
        expect![[r#"
        I spec.agents[0].rules[0].do[2].end.each: there is no field `each` here, only when
    "#]],
    ),
    (
        "{command: c, do: [{schedule: {timer: t}}]}",
        expect![[r#"
            I spec.agents[0].rules[0].do[0].schedule: exactly one of after, at, every is expected
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
        "{command: c, do: [{set: {lane: v, to: item + 1, when: item > 1, each: event}}, {clear: {lane: m, each: m, when: item == 'a'}}, \
         {refuse: {with: string(item), each: '[1]'}}, {answer: 'event.map(item, item)'}]}",
        expect![[""]],
    ),
    (
        "{command: c, do: [{put: {lane: m, key: itm, to: item.x, when: item, each: item.y}}, {set: {lane: v, to: item}}]}",
        expect![[r#"
            I spec.agents[0].rules[0].do[0].put.each:1: there is no `item` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `v`, `m`; `item` is there in a step with `each`, but not in `each` itself
            I spec.agents[0].rules[0].do[0].put.key:1: there is no `itm` here, only `event`, `agent`, `here`, `sender`, `now`, `item` and the lanes `v`, `m`; write "'itm'" if a text is meant: the quotes of YAML are not those of the expression
            I spec.agents[0].rules[0].do[1].set.to:1: there is no `item` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `v`, `m`; `item` is there in a step with `each`, but not in `each` itself
        "#]],
    ),
    (
        "{command: c, do: [{set: {lane: v, to: '1', each: 1}}]}",
        expect![[r#"
        I spec.agents[0].rules[0].do[0].set.each: a text is expected: quote it, "1"
    "#]],
    ),
    (
        "{command: c, do: [{refuse: {with: \"'no'\"}}, {refuse: {with: \"'no'\", code: 409, when: 'true'}}]}",
        expect![[""]],
    ),
    (
        "{command: c, do: [{refuse: {code: 404}}, {refuse: {with: nope, code: '409'}}, {refuse: {with: \"'x'\", to: \"'y'\"}}]}",
        expect![[r#"
            I spec.agents[0].rules[0].do[0].refuse.code: `404` is none of 409, 422, 429
            I spec.agents[0].rules[0].do[0].refuse.with: is missing
            I spec.agents[0].rules[0].do[1].refuse.code: an integer is expected, not a text
            I spec.agents[0].rules[0].do[2].refuse.to: there is no field `to` here, only code, each, when, with
        "#]],
    ),
    (
        "{command: c, do: [{refuse: 'no'}, {answer: {to: '1'}}, {answer: 1}, {answer: ''}]}",
        expect![[r#"
        I spec.agents[0].rules[0].do[0].refuse: fields are expected, not a text
        I spec.agents[0].rules[0].do[1].answer: a text is expected, not a record
        I spec.agents[0].rules[0].do[2].answer: a text is expected: quote it, "1"
        I spec.agents[0].rules[0].do[3].answer: at least 1 character expected
    "#]],
    ),
    (
        "{command: c, do: [{refuse: {with: nope, when: 1 +}}, {answer: v + nope}]}",
        expect![[r#"
        I spec.agents[0].rules[0].do[0].refuse.with:1: there is no `nope` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `v`, `m`; write "'nope'" if a text is meant: the quotes of YAML are not those of the expression
        I spec.agents[0].rules[0].do[0].refuse.when:4: it ends where more is expected
        I spec.agents[0].rules[0].do[1].answer:5: there is no `nope` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `v`, `m`; write 'nope' if a text is meant
    "#]],
    ),
    (
        "{command: c, do: [{answer: v}, {answer: v}]}",
        expect![[r#"
        I spec.agents[0].rules[0].do[1].answer: the command is answered before by spec.agents[0].rules[0].do[0].answer
    "#]],
    ),
    (
        "{command: c, when: 'true', do: [{answer: v}]}, {command: c, do: [{answer: v}]}, {command: c, when: 'true', do: [{answer: v}]}",
        expect![[r#"
            I spec.agents[0].rules[2].do[0].answer: the command is answered before by spec.agents[0].rules[1].do[0].answer
        "#]],
    ),
    (
        "{command: c, do: [{answer: v}]}, {command: c, when: 'true', do: [{clear: {lane: m}}]}, {command: c, do: [{answer: v}]}",
        expect![[r#"
            I spec.agents[0].rules[2].do[0].answer: the command is answered before by spec.agents[0].rules[0].do[0].answer
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
