//! Names, operators, macros and optionals.

use super::check;

#[test]
fn lanes_and_the_command_are_read() {
    check(&[
        ("late", "7"),
        ("late + 1", "8"),
        ("event.dep_delay != null && event.dep_delay > 15", "true"),
        ("event.carrier + string(event.flight)", r#""UA1545""#),
        ("'/carrier/' + segment(event.carrier + '/ä')", r#""/carrier/UA%2F%C3%A4""#),
        ("event.tailnum != null", "false"),
        ("at == null || at.n < event.flight * 1000000", "true"),
        ("{'n': event.flight, 'dest': event.carrier}", r#"{"dest":"UA","n":1545}"#),
        ("agent.code", r#""JFK""#),
        ("here + '|' + sender", r#""/airport/JFK|""#),
        ("now", r#""2013-01-01T10:00:00.123Z""#),
        ("now - timestamp('2013-01-01T09:00:00Z') > duration('1h')", "true"),
        ("event.to['in']", r#"[1,2.5,"x"]"#),
        ("event.to['in'][1]", "2.5"),
        ("event.?to.orValue('all')", r#"{"in":[1,2.5,"x"]}"#),
        ("has(event.tailnum) && !has(event.nope)", "true"),
    ]);
}

#[test]
fn a_map_lane_is_asked_by_key_and_never_shows_keys_that_cel_has_not() {
    check(&[
        ("recent[?event.carrier].orValue(0) + 1", "1"),
        ("recent[?'a'].orValue(0) + 1", "2"),
        ("recent.a + recent['b']", "3"),
        ("recent[7] + recent[7u] + recent[7.0] + recent[true]", "13"),
        ("has(recent.a) && !has(recent.c)", "true"),
        ("'a' in recent && !('z' in recent) && 7 in recent && 7.0 in recent", "true"),
        ("0.5 in recent || [1] in recent || null in recent", "false"),
        ("recent[0.5]", "! no entry 0.5 in the lane"),
        ("recent['z']", "! no entry 'z' in the lane"),
        ("size(recent)", "6"),
        ("recent.map(k, k)", r#"[true,7,"a","b"]"#),
        ("recent.filter(k, recent[k] > 2)", "[true,7]"),
        ("recent.exists_one(k, k == 'b')", "true"),
    ]);
}

#[test]
fn numbers_of_a_double_lane_are_doubles() {
    check(&[
        ("type(speed) == double", "true"),
        ("speed / 2", "1.5"),
        ("late / 2", "3"),
        ("0.9 * speed + 0.1 * 4", "3.1"),
        ("means.a / 4", "0.5"),
        ("means['a'] / 4", "0.5"),
        ("means[?'a'].orValue(0) / 4", "0.5"),
        ("means.map(k, means[k] / 4)", "[0.5]"),
        ("type(tags)", "! a type cannot be stored"),
    ]);
}

#[test]
fn ints_and_doubles_go_together() {
    check(&[
        ("late + event.air_time", "7.5"),
        ("event.air_time - 1", "-0.5"),
        ("2 * 0.25", "0.5"),
        ("1 / 4.0", "0.25"),
        ("0.5 + 0.5", "1"),
        ("type(0.5 + 0.5) == double", "true"),
        ("7 / 2", "3"),
        ("-7 / 2", "-3"),
        ("-7 % 3", "-1"),
        ("1 == 1.0 && 1u == 1 && 1.0 == 1u && !(1 == 1.5)", "true"),
        ("1 < 1.5 && 2u > 1.5 && 1 <= 1u", "true"),
        ("event.big == 9007199254740992.0", "true"),
        ("1 + 1u", "! `+` does not take int and uint"),
        ("1.5 % 2.0", "! `%` takes whole numbers, and one of these is a double"),
    ]);
}

#[test]
fn what_has_no_result_is_a_fault() {
    check(&[
        ("1 / 0", "! a whole number is divided by zero"),
        ("1 % 0", "! a whole number is divided by zero"),
        ("9223372036854775807 + 1", "! the result of `+` does not fit into 64 bits"),
        ("-9223372036854775808 / -1", "! the result of `/` does not fit into 64 bits"),
        ("1.0 / 0.0", "! Infinity cannot be stored"),
        ("event.tailnum + 1", "! `+` does not take null and int"),
        ("event.tailnum < 1", "! `<` does not take null and int"),
        ("[1] < [2]", "! `<` does not take list and list"),
        ("event.nope", "! no member 'nope'"),
        ("event.tailnum.x", "! no member 'x': it was looked up on null, which has no members"),
        ("event.codes[3]", "! index 3 of a list of 3"),
        ("event.codes['a']", "! the index of a list is a whole number, not string"),
        ("null == 0", "false"),
        ("{'a': 1, 'a': 2}", "! a map has a key twice"),
        ("{1: 1, 1u: 2}", "! a map has a key twice"),
        ("{1.5: 1}", "! the key of a map is a string, int, uint or bool, not double"),
    ]);
}

#[test]
fn a_side_that_decides_hides_the_fault_of_the_other() {
    check(&[
        ("event.nope == 1 || true", "true"),
        ("true || event.nope == 1", "true"),
        ("event.nope == 1 && false", "false"),
        ("event.nope == 1 || false", "! no member 'nope'"),
        ("1 && true", "! a condition is a bool, and this one is of type int"),
        ("[1, 0].exists(x, 1 / x == 1)", "true"),
        ("[0, 2].exists(x, 1 / x == 1)", "! a whole number is divided by zero"),
        ("[0, 2].all(x, 1 / x == 1)", "false"),
        ("[0, 1].all(x, 1 / x == 1)", "! a whole number is divided by zero"),
        ("true ? 1 : 1 / 0", "1"),
        ("null ? 1 : 2", "! a condition is a bool, and this one is of type null"),
    ]);
}

#[test]
fn macros_walk_lists_and_the_keys_of_maps_in_order() {
    check(&[
        ("event.codes.map(x, x * 2)", "[6,2,4]"),
        ("event.codes.map(x, x > 1, x * 2)", "[6,4]"),
        ("event.codes.filter(x, x > 1)", "[3,2]"),
        ("event.codes.exists_one(x, x == 1) && event.codes.existsOne(x, x == 1)", "true"),
        ("event.codes.sortBy(x, -x)", "[3,2,1]"),
        ("{'b': 1, 'a': 2, 'c': 3}.map(k, k)", r#"["a","b","c"]"#),
        ("{'b': 1, 2: 2, true: 3}.map(k, string(k))", r#"["true","2","b"]"#),
        ("event.map(k, k)[0]", r#""air_time""#),
        ("[1, 2].map(x, [10, 20].map(y, x * y))", "[[10,20],[20,40]]"),
        ("[1, 2].map(x, [10].map(x, x))", "[[10],[10]]"),
        ("[7].map(event, event)", "[7]"),
        ("[7].map(late, .late + late)", "[14]"),
        ("[[0].map(x, 1 / x) == [1] || true].map(y, y)", "[true]"),
        ("late.map(x, x)", "! a macro walks a list or a map, not int"),
    ]);
}

#[test]
fn optionals_hold_a_value_or_nothing() {
    check(&[
        ("event.?nope.orValue(0)", "0"),
        ("event.?to", "! an optional cannot be stored: end it with .orValue(..)"),
        ("event.?nope.x.y.orValue(1)", "1"),
        ("event.?tailnum.orValue(0)", "null"),
        ("event.?tailnum.?y.orValue(0)", "! no member 'y': it was looked up on null, which has no members"),
        ("event.?tailnum.orValue(null) == null ? 0 : event.tailnum", "0"),
        ("event.?nope.orValue(null) == null ? 0 : event.nope", "0"),
        ("event.?flight.orValue(null) == null ? 0 : event.flight", "1545"),
        ("event.?tailnum.orValue(null) == null ? 0 : event.tailnum.?y.orValue(0)", "0"),
        ("event.?to.orValue(null) == null ? 0 : event.to.?y.orValue(0)", "0"),
        ("event.?to['in'][?9].orValue('none')", r#""none""#),
        ("event[?'carrier'].value()", r#""UA""#),
        ("optional.none().hasValue()", "false"),
        ("optional.of(null).hasValue()", "true"),
        ("optional.ofNonZeroValue(0).or(optional.of(2)).value()", "2"),
        ("optional.none().value()", "! the optional has no value"),
        ("optional.of(2).optMap(x, x + 1).orValue(0)", "3"),
        ("event.?to.optFlatMap(t, t[?'in']).orValue([])", r#"[1,2.5,"x"]"#),
        ("optional.of(1).optFlatMap(x, x)", "! `optFlatMap` makes an optional, not int"),
        ("optional.of(1).orValue(1 / 0)", "1"),
        ("[1, ?event.?nope, ?event.?flight]", "[1,1545]"),
        ("{'a': 1, ?'b': event.?nope}", r#"{"a":1}"#),
        ("event.flight.orValue(1)", "! an optional is wanted here, not int: read with `.?` or `[?]`"),
    ]);
}

#[test]
fn reserved_names_are_never_lanes() {
    use crate::cel::{Name, Names, Program};
    let lanes = ["event", "int", "now"].iter().enumerate();
    let names = Names {
        lanes: lanes
            .map(|(lane, name)| Name { name: (*name).into(), lane, map: false, double: false })
            .collect(),
    };
    let program = Program::compile("int(event.flight) + 1", &names).unwrap();
    assert_eq!(
        program.run(&super::agent(), &mut crate::cel::Cost(10)).unwrap(),
        crate::value::Value::Int(1546)
    );
}
