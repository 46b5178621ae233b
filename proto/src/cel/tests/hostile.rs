//! Texts and values that were made to hurt. The laws try what nobody thought of.

use super::{COST_MAX, Cost, Error, Program, TEXT_MAX, Value, agent, names, run};
use std::thread;
use std::time::{Duration, Instant};

/// Less than any thread of ours has.
const STACK: usize = 1 << 20;

/// How often `more` fits between the two.
fn longest(start: &str, more: &str, end: &str) -> String {
    let times = (TEXT_MAX - start.len() - end.len()) / more.len();
    format!("{start}{}{end}", more.repeat(times))
}

/// On a small stack.
fn compiled(text: String) -> Result<(), Error> {
    let compile = move || Program::compile(&text, &names()).map(|_| ());
    thread::Builder::new().stack_size(STACK).spawn(compile).unwrap().join().expect("no panic")
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let openings = [
        "(",
        "[",
        "{1:",
        "size(",
        "[1].map(x,",
        "-(",
        "!(",
        "late[",
        "true?1:",
        "[[1].map(x,",
        "{'a':[",
        "cel.bind(x,1,",
        "cel.bind(x,",
        "[1].all(i,v,",
        "math.sin(",
    ];
    for open in openings {
        for text in [longest("", open, ""), longest("", open, "1")] {
            let error = compiled(text.clone()).expect_err(&text);
            assert!(error.at >= 1, "{text}: {error}");
        }
        let close: String =
            open.chars().filter_map(|open| "([{".find(open).map(|at| [")", "]", "}"][at])).collect();
        let balanced =
            format!("{}1{}", open.repeat(100), close.chars().rev().collect::<String>().repeat(100));
        let error = compiled(balanced.clone()).expect_err(&balanced);
        assert_eq!(error.error, "the expression is nested more than 32 levels deep", "{balanced}");
    }
}

#[test]
fn long_chains_are_an_error_and_no_overflow() {
    let chains = [
        ("1", "+1", ""),
        ("1", "*1", ""),
        ("1", "==1", ""),
        ("1", " in 1", ""),
        ("late", ".a", ""),
        ("late", "[0]", ""),
        ("late", ".?a", ""),
        ("'a'", ".trim()", ""),
        ("[1]", ".map(x,x)", ""),
    ];
    for (start, more, end) in chains {
        let text = longest(start, more, end);
        let error = compiled(text.clone()).expect_err(&text);
        assert_eq!(error.error, "the expression is too long a chain, or nested too deeply", "{text}");
    }
    for (start, more, end) in [("true", "&&true", ""), ("-", "-", "1"), ("!", "!", "true"), ("[", "1,", "1]")]
    {
        let text = longest(start, more, end);
        assert_eq!(compiled(text.clone()), Ok(()), "{text}");
    }
}

#[test]
fn a_chain_as_long_as_it_may_be_is_evaluated() {
    let text = format!("1{}", "+1".repeat(190));
    let on_small_stack = thread::Builder::new().stack_size(STACK).spawn(move || run(&text)).unwrap();
    assert_eq!(on_small_stack.join().unwrap(), "191");
}

#[test]
fn texts_have_a_bound_in_characters() {
    let text = |length: usize| format!("'{}'", "é".repeat(length - 2));
    assert_eq!(compiled(text(TEXT_MAX)), Ok(()));
    let error = compiled(text(TEXT_MAX + 1)).unwrap_err();
    assert_eq!(
        (error.at, error.error.as_str()),
        (2049, "the expression has 2049 characters, and 2048 is the most")
    );
}

#[test]
fn what_costs_too_much_is_a_fault_and_takes_no_long_time() {
    let doubled = |start: &str, times: usize| {
        (0..times).fold(start.to_owned(), |text, _| format!("[{text}].map(t, t + t)[0]"))
    };
    let many = [
        "lists.range(100000)".to_owned(),
        "lists.range(9223372036854775807)".into(),
        "lists.range(20000).map(x, [x, x])".into(),
        "lists.range(1000).exists(x, lists.range(1000).exists(y, x + y < 0))".into(),
        "lists.range(1000).all(x, lists.range(1000).all(y, x / 0 == y))".into(),
        "lists.range(1000).exists(x, lists.range(1000).exists(y, false)) || true || late == 7".into(),
        doubled("'0123456789'", 25),
        doubled("[1]", 25),
        doubled("b'0123456789'", 25),
        // Six times six, shared until it is stored.
        (0..6).fold("lists.range(30)".to_owned(), |text, _| format!("[{text}].map(a, [a, a, a, a, a, a])")),
        format!("[{}].map(t, lists.range(40000).map(i, t))", doubled("'0123456789'", 16)),
        "lists.range(3000).map(i, i % 2 == 0 ? dyn(i) : dyn([i])).distinct()".into(),
        "[lists.range(20000)].map(l, lists.range(100).map(i, l.sort()))".into(),
        "[lists.range(20000)].map(l, lists.range(100).map(i, l == l))".into(),
        "[lists.range(20000)].map(l, lists.range(100).map(i, -1 in l))".into(),
        "lists.range(1000).map(i, 'a'.matches('a' + string(i)))".into(),
        format!("[{}].map(t, lists.range(1000).map(i, t.replace('0', t)))", doubled("'0123456789'", 8)),
        format!("[{}].map(t, lists.range(1000).map(i, t.split('').size()))", doubled("'0123456789'", 8)),
        "'%s%s%s%s'.format([lists.range(50000), 1, 2, 3])".into(),
        "lists.range(20000).transformMapEntry(i, v, {string(-v): i})".into(),
        "lists.range(30000).transformMap(i, v, lists.range(v))".into(),
        "lists.range(1000).exists(i, v, lists.range(1000).exists(j, w, i + w < 0))".into(),
        format!(
            "[{}].map(t, lists.range(500).transformMapEntry(i, v, {{t + string(i): i}}))",
            doubled("'0123456789'", 12)
        ),
        "lists.range(1000).map(i, event).map(e, e.transformMapEntry(k, v, {k: v}))".into(),
        "lists.range(20000).all(i, math.sin(i) < 2 && math.pow(i, 0.5) >= 0 && math.log(i) < 100)".into(),
        "lists.range(5000).all(i, geo.distance(0, 0, 0, i % 180) >= 0)".into(),
        // Bound again and again: what is bound is evaluated once, where it stands.
        (0..20).fold("lists.range(30000)".to_owned(), |text, _| format!("cel.bind(x, {text}, x + x)")),
        "lists.range(1000).all(i, cel.bind(x, lists.range(1000), true))".into(),
        "cel.bind(x, lists.range(200000), true)".into(),
        "cel.bind(x, lists.range(200000), true) || true".into(),
    ];
    for text in many {
        let start = Instant::now();
        let found = run(&text);
        assert!(
            found.starts_with("! the expressions of one command cost more than 100000"),
            "{text}: {found:.200}"
        );
        assert!(start.elapsed() < Duration::from_secs(5), "{text}: {:?}", start.elapsed());
    }
}

#[test]
fn a_wide_command_makes_nothing_slow() {
    let members: Vec<_> = (0..20_000).map(|n| (format!("m{n}").into(), Value::Int(n))).collect();
    let mut agent = agent();
    agent.event = Value::record(members);
    for text in [
        "lists.range(2000).exists(i, event.exists(k, true) && i < 0)",
        "lists.range(10000).exists(i, event['m' + string(i)] < 0)",
        "lists.range(2000).exists(i, event == {'of': i})",
        "event.map(k, event[k])",
    ] {
        let program = Program::compile(text, &names()).unwrap();
        let start = Instant::now();
        let _ = program.run(&agent, &mut Cost(COST_MAX));
        assert!(start.elapsed() < Duration::from_secs(2), "{text}: {:?}", start.elapsed());
    }
}

/// Keys that expressions do not see cost as well, since they are walked.
#[test]
fn a_lane_with_keys_that_are_not_seen_makes_nothing_slow() {
    let mut agent = agent();
    agent.maps[3] = (0..200_000).map(|n| (Value::Double(f64::from(n) + 0.5), Value::Null)).collect();
    let texts = [
        "lists.range(9000).exists(i, recent.exists(k, true))",
        "lists.range(9000).exists(i, recent.exists(k, v, true))",
        "lists.range(9000).exists(i, recent.transformMapEntry(k, v, {k: v}).size() > 0)",
    ];
    for text in texts {
        let program = Program::compile(text, &names()).unwrap();
        let start = Instant::now();
        let fault = program.run(&agent, &mut Cost(COST_MAX)).expect_err(text);
        assert!(fault.0.starts_with("the expressions of one command cost more"), "{text}: {fault}");
        assert!(start.elapsed() < Duration::from_secs(2), "{text}: {:?}", start.elapsed());
    }
}

#[test]
fn bound_values_within_bound_values_need_no_deep_stack() {
    let text = (0..28).rev().fold("x".to_owned(), |text, level| {
        let before = if level == 0 { "1" } else { "x" };
        format!("cel.bind(x, {before}{}, {text})", "+1".repeat(20))
    });
    let on_small_stack = thread::Builder::new().stack_size(STACK).spawn(move || run(&text)).unwrap();
    assert_eq!(on_small_stack.join().unwrap(), "561");
}

#[test]
fn the_budget_is_one_for_all_expressions_of_a_command() {
    let program = Program::compile("late + 1", &names()).unwrap();
    let mut cost = Cost(7);
    assert_eq!(program.run(&agent(), &mut cost), Ok(Value::Int(8)));
    assert_eq!(cost.0, 4);
    assert_eq!(program.run(&agent(), &mut cost), Ok(Value::Int(8)));
    assert!(program.run(&agent(), &mut cost).is_err());
    assert_eq!(cost.0, 0);
}

#[test]
fn no_operator_absorbs_the_end_of_the_budget() {
    for text in [
        "(late == 7) || true",
        "[1, 2].exists(x, true)",
        "[1, 2].all(x, x < 0)",
        "late > 100 && late > 0",
        "[1, 2].exists(i, x, true)",
        "[1].all(i, x, x < 0)",
        "cel.bind(x, late + 1, true)",
        "math.sin(0) < 1 || true",
    ] {
        let program = Program::compile(text, &names()).unwrap();
        let mut whole = Cost(COST_MAX);
        let answer = program.run(&agent(), &mut whole).unwrap();
        let needed = COST_MAX - whole.0;
        for less in 0..needed {
            assert!(program.run(&agent(), &mut Cost(less)).is_err(), "{text} with {less} of {needed}");
        }
        assert_eq!(program.run(&agent(), &mut Cost(needed)), Ok(answer), "{text}");
    }
}
