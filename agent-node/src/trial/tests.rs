//! Cases that hold, cases that do not, and files that are none.
#![allow(clippy::needless_raw_string_hashes)] // expect-test writes them

use super::*;
use expect_test::{Expect, expect};
use proto::plan::AgentPlan;
use proto::shown::Output;

const PLAN: &str = "
apiVersion: shoal.dev/v1alpha1
kind: AgentPlan
metadata: {name: p}
spec:
  slots: 256
  agents:
  - route: /a/:id
    lanes:
    - {name: add, type: Command}
    - {name: tell, type: Command}
    - {name: round, type: Command}
    - {name: flood, type: Command}
    - {name: buy, type: Command}
    - {name: secret, type: Command, access: Internal}
    - {name: sum, type: Value, initial: 0}
    - {name: at, type: Value}
    - {name: own, type: Value, access: Internal}
    - {name: note, type: Value, access: ReadWrite}
    - {name: by, type: Map}
    - {name: bell, type: Supply}
    - {name: remind, type: Command}
    timers:
    - {name: later}
    - {name: tick, afterOutage: Each}
    rules:
    - command: add
      do:
      - set: {lane: sum, to: sum + event}
      - set: {lane: at, to: string(now)}
      - set: {lane: own, to: sum}
      - put: {lane: by, key: event, to: sum}
      - emit: {lane: bell, body: sum}
    - command: tell
      do:
      - send: {agent: \"'/a/' + event.to\", lane: add, body: event.of}
      - send: {agent: \"'/a/' + event.to\", lane: secret, body: event.of}
    - command: secret
      do:
      - emit: {lane: bell, body: \"'secret'\"}
    - command: round
      do:
      - send: {agent: here, lane: round}
    - command: flood
      do:
      - send: {agent: here, lane: flood}
      - send: {agent: here, lane: flood}
    - command: buy
      do:
      - set: {lane: sum, each: event, to: sum + item}
      - refuse: {when: sum > 10, code: 409, with: \"'only 10 are there, not ' + string(sum)\"}
      - answer: \"{'left': 10 - sum, 'of': 10}\"
    - command: remind
      do:
      - schedule: {timer: later, key: event.id, after: event.after}
      - schedule: {timer: tick, every: \"'1m'\", when: has(event.tick)}
      - cancel: {timer: tick, when: has(event.stop)}
    - timer: later
      do:
      - set: {lane: at, to: now}
      - set: {lane: sum, to: sum + key}
      - send: {agent: \"'/a/2'\", lane: add, body: key}
    - timer: tick
      do:
      - emit: {lane: bell, body: event.due}
";

fn spec(plan: &str) -> AgentPlanSpec {
    AgentPlan::from_yaml(&plan.replace("\\\"", "\"")).unwrap_or_else(|errors| panic!("{errors:?}")).spec
}

fn check(cases: &str, expected: &Expect) {
    let spec = spec(PLAN);
    let cases = read(cases).unwrap_or_else(|errors| panic!("{errors:?}"));
    let mut said = String::new();
    for case in &cases {
        let differences = run(&spec, case).unwrap();
        said += &Report { file: "f", case, differences }.shown(Output::Text);
        said += "\n";
    }
    expected.assert_eq(&said);
}

#[test]
fn what_is_as_expected_is_ok() {
    check(
        r#"
- name: values, maps, items, internal lanes, and times
  now: "2013-01-31T05:00:00Z"
  commands:
  - {agent: /a/1, lane: add, body: 2, lanes: {/a/1: {sum: 2, own: 2, by: [[2, 2]], bell: [2], add: [2], at: "2013-01-31T05:00:00Z"}}}
  - {agent: /a/1, lane: add, body: 3, lanes: {/a/1: {sum: 5, by: [[2, 2], [3, 5]], bell: [5], at: "2013-01-31T05:00:00Z"}}}
  - {agent: /a/1, lane: add, body: 1, now: 1359608400001, lanes: {/a/1: {at: "2013-01-31T05:00:00.001Z"}, /a/2: {sum: 0}}}
- name: messages are delivered, to internal lanes too, and each case begins anew
  commands:
  - {agent: /a/1, lane: tell, body: {to: "2", of: 7}, lanes: {/a/1: {sum: 0}, /a/2: {sum: 7, bell: [7, secret], at: "2000-01-01T00:00:00Z"}}}
- name: what clients may write
  commands:
  - {agent: /a/1, lane: note, body: {b: 1, a: [2]}, lanes: {/a/1: {note: {a: [2], b: 1}}}}
- name: refusals by their parts
  commands:
  - {agent: /a/1, lane: add, body: x, refused: 422, lanes: {/a/1: {sum: 0, bell: []}}}
  - {agent: /a/1, lane: add, body: x, refused: {at: "spec.agents[0].rules[0].do[0].set.to", error: does not take}}
  - {agent: /b/1, lane: add, refused: {code: 404, at: /b/1}}
  - {agent: /a/1, lane: secret, refused: 404}
  - {agent: /a/1, lane: add, body: 1, lanes: {/a/1: {bell: [1], sum: 1}}}
- name: what rules answer, and what they refuse
  commands:
  - {agent: /a/1, lane: buy, body: [1, 2], answer: {of: 10, left: 7}}
  - {agent: /a/1, lane: buy, body: [8], refused: {code: 409, error: only 10, at: "spec.agents[0].rules[5].do[1].refuse"}, lanes: {/a/1: {sum: 3}}}
  - {agent: /a/1, lane: buy, body: [7]}
- name: timers fire at their time, each before what comes later
  commands:
  - {agent: /a/1, lane: remind, body: {id: 5, after: 10m, tick: true}, lanes: {/a/1: {sum: 0, bell: []}}}
  - {now: "2000-01-01T00:02:30Z", lanes: {/a/1: {sum: 0, bell: ["2000-01-01T00:01:00Z", "2000-01-01T00:02:00Z"]}}}
  - {agent: /a/1, lane: remind, body: {id: x, after: 8m, stop: true}}
  - {now: "2000-01-01T01:00:00Z", faults: 1, lanes: {/a/1: {sum: 5, at: "2000-01-01T00:10:00Z", bell: []}, /a/2: {sum: 5, at: "2000-01-01T00:10:00Z"}}}
- name: messages that are refused are counted, and go around 64 times
  commands:
  - {agent: /a/1, lane: tell, body: {to: "2", of: x}, faults: 1, lanes: {/a/2: {sum: 0, bell: [secret]}}}
  - {agent: /a/1, lane: round, faults: 1}
"#,
        &expect![[r#"
            f:2: ok: values, maps, items, internal lanes, and times
            f:8: ok: messages are delivered, to internal lanes too, and each case begins anew
            f:11: ok: what clients may write
            f:14: ok: refusals by their parts
            f:21: ok: what rules answer, and what they refuse
            f:26: ok: timers fire at their time, each before what comes later
            f:32: ok: messages that are refused are counted, and go around 64 times
        "#]],
    );
}

#[test]
fn what_differs_is_named() {
    check(
        r#"
- name: a state, and an end
  commands:
  - {agent: /a/1, lane: add, body: 2, lanes: {/a/1: {sum: 3, by: {}, bell: []}, /a/x: {none: 1}, /c: {sum: 0}}}
  - {agent: /a/1, lane: add, body: x}
  - {agent: /a/1, lane: add, body: 1, refused: {code: 422, error: nope}}
  - {agent: /a/1, lane: add, body: x, refused: {code: 404}}
  - {agent: /a/1, lane: tell, body: {to: "2", of: x}}
- name: answers
  commands:
  - {agent: /a/9, lane: buy, body: [1], answer: {left: 8, of: 10}}
  - {agent: /a/9, lane: add, body: 1, answer: null}
- name: more messages than are delivered
  commands:
  - {agent: /a/1, lane: flood}
  - {agent: /a/1, lane: add, body: 1, lanes: {/a/1: {sum: 7}}}
"#,
        &expect![[r#"
            f:2: differs: a state, and an end
              f:4: command 1: /a/1 bell: expected [], got [2]
              f:4: command 1: /a/1 by: expected {}, got [[2,2]]
              f:4: command 1: /a/1 sum: expected 3, got 2
              f:4: command 1: /a/x none: expected 1, got {"refused":{"code":404,"error":"/a/x has no lane none","at":"/a/x"}}
              f:4: command 1: /c sum: expected 0, got {"refused":{"code":404,"error":"no route matches","at":"/c"}}
              f:5: command 2: /a/1 add: expected "done", got {"refused":{"code":422,"error":"`+` does not take int and string","at":"spec.agents[0].rules[0].do[0].set.to"}}
              f:6: command 3: /a/1 add: expected {"refused":{"code":422,"error":"nope"}}, got "done"
              f:7: command 4: /a/1 add: expected {"refused":{"code":404}}, got {"refused":{"code":422,"error":"`+` does not take int and string","at":"spec.agents[0].rules[0].do[0].set.to"}}
              f:8: command 5: /a/1 faults: expected 0, got [{"at":"/a/2","sender":"/a/1","lane":"add","error":"`+` does not take int and string (at spec.agents[0].rules[0].do[0].set.to)","time":946684800000}]
            f:9: differs: answers
              f:11: command 1: /a/9 buy: expected {"answer":{"left":8,"of":10}}, got {"answer":{"left":9,"of":10}}
              f:12: command 2: /a/9 add: expected {"answer":null}, got "done"
            f:13: differs: more messages than are delivered
              f:15: command 1: /a/1 flood: expected "an end", got "more than 10000 messages and timers follow from it"
        "#]],
    );
}

#[test]
fn a_difference_is_one_object_to_programs() {
    let cases =
        read("- {name: c, commands: [{agent: /a/1, lane: add, body: 2, lanes: {/a/1: {sum: 3}}}]}").unwrap();
    let differences = run(&spec(PLAN), &cases[0]).unwrap();
    let said = Report { file: "f", case: &cases[0], differences }.shown(Output::Json);
    expect![[r#"{"file":"f","line":1,"case":"c","ok":false,"differences":[{"line":1,"command":1,"agent":"/a/1","lane":"sum","expected":3,"got":2}]}"#]].assert_eq(&said);
}

#[test]
fn what_is_no_file_of_cases_is_told_with_its_lines() {
    for (text, expected) in [
        (
            "",
            expect![[r#"
            line 1: a list is expected, with one item at least
        "#]],
        ),
        (
            "- {name: a\n",
            expect![[r#"
            line 2: this is no YAML, did not find expected ',' or '}' while parsing a flow mapping: an expression with commas, brackets or `: ` has to stand in quotes
        "#]],
        ),
        (
            "- name: 1\n  when: x\n- commands: []\n- 1\n",
            expect![[r#"
            [0].when: line 2: there is no such field, only name, now, commands
            [0].name: line 1: a text is expected
            [0]: line 1: `commands` is missing
            [1]: line 3: `name` is missing
            [1].commands: line 3: a list is expected, with one item at least
            [2]: line 4: a mapping is expected, of name, now, commands
        "#]],
        ),
        (
            "- name: a\n  now: yesterday\n  commands:\n  - {agent: a, lane: 1, now: -1, faults: -1, refused: no way,\n     \
             lanes: [1]}\n  - agent: /a\n    lane: x\n    lanes:\n      /a: 1\n      b: {}\n",
            expect![[r#"
                [0].now: line 2: a time is expected, such as "2013-01-31T05:00:00Z", or milliseconds since 1970
                [0].commands[0].agent: line 4: an address begins with `/`, which `a` does not
                [0].commands[0].lane: line 4: a text is expected
                [0].commands[0].now: line 4: a time is expected, such as "2013-01-31T05:00:00Z", or milliseconds since 1970
                [0].commands[0].refused: line 4: a mapping is expected, of code, at, error
                [0].commands[0].faults: line 4: a whole number is expected, not below 0
                [0].commands[0].lanes: line 5: a mapping of addresses to lanes is expected, such as {/airport/JFK: {late: 1}}
                [0].commands[1].lanes./a: line 9: a mapping of addresses to lanes is expected, such as {/airport/JFK: {late: 1}}
                [0].commands[1].lanes.b: line 10: an address begins with `/`, which `b` does not
            "#]],
        ),
    ] {
        let errors = read(text).unwrap_err();
        let said = errors.iter().map(|error| format!("{error}\n")).collect::<Vec<_>>().concat();
        expected.assert_eq(&said);
    }
}

#[test]
fn the_cases_of_the_samples_hold() {
    for (plan, cases) in [
        (
            include_str!("../../../crds/samples/flights.yaml"),
            include_str!("../../../crds/samples/cases/flights.yaml"),
        ),
        (
            include_str!("../../../crds/samples/chat.yaml"),
            include_str!("../../../crds/samples/cases/chat.yaml"),
        ),
    ] {
        let plan = AgentPlan::from_yaml(plan).unwrap();
        for case in read(cases).unwrap() {
            assert_eq!(run(&plan.spec, &case), Ok(vec![]), "{}", case.name);
        }
    }
}
