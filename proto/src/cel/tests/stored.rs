//! What comes out, and in which form.

use super::{COST_MAX, Cost, Fault, Program, Value, agent, check, names};

#[test]
fn results_have_the_form_in_which_they_are_stored() {
    check(&[
        ("7u", "7"),
        ("18446744073709551615u", "! 18446744073709551615u is beyond 2^63 - 1 and cannot be stored"),
        ("2.0", "2"),
        ("-0.0", "0"),
        ("1e300", "1e300"),
        ("0.0 / 0.0", "! NaN cannot be stored"),
        ("duration('90s')", r#""90s""#),
        ("[now]", r#"["2013-01-01T10:00:00.123Z"]"#),
        ("int", "! a type cannot be stored"),
        ("{'b': 1, 'a': [1u, 2.0]}", r#"{"a":[1,2],"b":1}"#),
        ("{1: 2}", "! a map with a key of type int cannot be stored: use string(..)"),
        ("[optional.none()]", "! an optional cannot be stored: end it with .orValue(..)"),
        ("means", r#"{"a":2}"#),
        ("recent", "! a map with a key of type bool cannot be stored: use string(..)"),
    ]);
}

#[test]
fn what_was_stored_before_is_not_copied() {
    let agent = agent();
    let run =
        |text: &str| Program::compile(text, &names()).unwrap().run(&agent, &mut Cost(COST_MAX)).unwrap();
    let Value::Record(event) = &agent.event else { panic!("the event is a record") };
    let Value::Record(passed) = run("event") else { panic!("what is passed on is a record") };
    assert!(std::ptr::eq(event.members(), passed.members()));
    let Value::Record(wrapped) = run("{'of': event}") else { panic!("what is made is a record") };
    let Some(Value::Record(inner)) = wrapped.get("of") else { panic!("it holds the event") };
    assert!(std::ptr::eq(event.members(), inner.members()));
}

#[test]
fn a_lane_cannot_grow_deeper_without_end() {
    let mut agent = agent();
    let program = Program::compile("[at]", &names()).unwrap();
    let mut levels = 0;
    let fault = loop {
        match program.run(&agent, &mut Cost(COST_MAX)) {
            Ok(value) => agent.values[1] = value,
            Err(fault) => break fault,
        }
        levels += 1;
    };
    assert_eq!(levels, crate::value::DEPTH_MAX);
    assert_eq!(fault, Fault("lists and records lie in one another more than 32 levels deep".into()));
}

#[test]
fn a_condition_is_a_bool() {
    let test = |text: &str| Program::compile(text, &names()).unwrap().test(&agent(), &mut Cost(COST_MAX));
    assert_eq!(test("late > 5"), Ok(true));
    assert_eq!(test("late"), Err(Fault("a condition is a bool, and this one is of type int".into())));
    assert_eq!(
        test("event.?carrier"),
        Err(Fault("a condition is a bool, and this one is of type optional".into()))
    );
}
