//! Names, operators, macros and optionals.

use super::{COST_MAX, Cost, Name, Names, Program, Value, agent, check, names};
use crate::cel::function::{Form, SPACES};
use crate::cel::library;

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
fn macros_of_two_variables_see_keys_and_values() {
    check(&[
        ("event.codes.all(i, v, v > i)", "false"),
        ("event.codes.exists(i, v, v == i)", "true"),
        ("event.codes.existsOne(i, v, v == 3) && event.codes.exists_one(i, v, i == 2)", "true"),
        ("event.codes.existsOne(i, v, v == i)", "false"),
        ("event.codes.transformList(i, v, v * 10 + i)", "[30,11,22]"),
        ("event.codes.transformList(i, v, i > 0, v * 10 + i)", "[11,22]"),
        ("{'b': 1, 'a': 2}.transformList(k, v, k + string(v))", r#"["a2","b1"]"#),
        ("recent.transformList(k, v, v)", "[4,3,1,2]"),
        ("recent.all(k, v, recent[k] == v)", "true"),
        ("recent.exists(k, _, k == 7)", "true"),
        ("means.transformMap(k, v, v / 4)", r#"{"a":0.5}"#),
        ("event.to.transformMap(_, v, size(v))", r#"{"in":3}"#),
        ("recent.transformMap(k, v, type(k) == string && v > 1, v + 1)", r#"{"b":3}"#),
        ("['x', 'y'].transformMap(i, v, v)[1]", r#""y""#),
        ("tags.transformMapEntry(i, v, {v: i})", r#"{"x":0,"y":1}"#),
        ("tags.transformMapEntry(i, v, i > 0, {v: i, v + '2': 2})", r#"{"y":1,"y2":2}"#),
        ("['z', 'a'].transformMapEntry(i, v, {v: i}).map(k, k)", r#"["a","z"]"#),
        ("['a', 'a'].transformMapEntry(i, v, {v: i})", "! a map has a key twice"),
        ("[1, 1u].transformMapEntry(i, v, {v: i})", "! a map has a key twice"),
        ("[1].transformMapEntry(i, v, v)", "! `transformMapEntry` makes entries, such as {k: v}, not int"),
        ("[0, 2].exists(i, v, 1 / v == i)", "! a whole number is divided by zero"),
        ("[0, 1].exists(i, v, 1 / v == i)", "true"),
        ("[1].transformList(late, event, late + event + .late)", "[8]"),
        ("[1, 2].transformList(i, v, [3].transformList(j, w, v * w + i + j))", "[[3],[7]]"),
        ("[[5]].transformList(i, v, v.map(x, x + i))[0][0] + late", "12"),
        ("late.all(i, v, true)", "! a macro walks a list or a map, not int"),
    ]);
}

#[test]
fn a_bound_value_is_used_by_name() {
    check(&[
        ("cel.bind(x, late + 1, x * x)", "64"),
        ("cel.bind(x, 1, cel.bind(y, x + 1, cel.bind(x, 10, x + y)))", "12"),
        ("cel.bind(late, 1, late + .late)", "8"),
        ("cel.bind(codes, event.codes, codes.map(c, c in codes))", "[true,true,true]"),
        ("[1, 2].map(x, cel.bind(y, x * 2, y + x))", "[3,6]"),
        ("cel.bind(x, 1, x) + late", "8"),
        // As in engines that evaluate it late: what is not used cannot fail.
        ("cel.bind(x, event.nope.y, has(event.nope) ? x : 0)", "0"),
        ("cel.bind(x, event.nope.y, x)", "! no member 'nope'"),
        ("cel.bind(x, 1 / 0, x == 1 || true)", "true"),
        ("cel.bind(x, event.nope, [1].map(y, x))", "! no member 'nope'"),
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

/// What an expression gives beside Value lanes of these names, which have the values of `late` and those after it.
fn beside(lanes: &[&str], text: &str) -> Result<Value, String> {
    let name = |(lane, name): (usize, &&str)| Name { name: (*name).into(), lane, map: false, double: false };
    let names = Names { lanes: lanes.iter().enumerate().map(name).collect(), item: false, key: false };
    let program = Program::compile(text, &names).map_err(|error| error.error)?;
    program.run(&agent(), &mut Cost(COST_MAX)).map_err(|fault| fault.0)
}

#[test]
fn reserved_names_are_never_lanes() {
    let lanes = ["event", "int", "now"];
    assert_eq!(beside(&lanes, "int(event.flight) + 1"), Ok(Value::Int(1546)));
}

#[test]
fn a_lane_may_be_called_as_a_library() {
    for space in SPACES {
        assert_eq!(beside(&[space], &format!("{space} + 1")), Ok(Value::Int(8)), "{space}");
        assert_eq!(beside(&[space], &format!("[{space}, math.abs(-{space})]")).unwrap().depth(), 1);
        assert_eq!(beside(&["at", "n", space], &format!("cel.bind(x, {space}, x + 1)")), Ok(Value::Int(4)));
    }
    for (text, expected) in [
        ("geo.distance(geo, 0, geo, 0)", Ok(Value::Int(0))),
        ("geo.size()", Err("`size` does not take int".to_owned())),
        ("geo.abs()", Err("`abs` is written math.abs(..)".into())),
        ("geo.area()", Err("there is no function `area`".into())),
        ("[1].map(math, math.abs(-math))", Ok(Value::list(vec![Value::Int(1)]))),
        ("[1].exists(cel, cel.bind(math, cel, math.abs(-math) == cel))", Ok(Value::Bool(true))),
        ("cel.bind(strings, 'a', strings.size())", Ok(Value::Int(1))),
    ] {
        assert_eq!(beside(&["geo"], text), expected, "{text}");
    }
}

/// Otherwise a call on a variable that is called as the library would change its meaning with the variable.
#[test]
fn no_method_has_the_name_of_a_function_of_a_library() {
    let all = || library::all().map(|function| (function.form, function.name));
    let spaces = |name: &str| all().any(|(form, other)| other == name && matches!(form, Form::Of(_)));
    let both: Vec<_> = all().filter(|(form, name)| *form == Form::Method && spaces(name)).collect();
    assert!(both.is_empty(), "{both:?}");
    let unknown: Vec<_> =
        all().filter(|(form, _)| matches!(form, Form::Of(space) if !SPACES.contains(space))).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn times_are_read_as_they_are_or_from_their_texts() {
    let read = |text: &str, time: bool| {
        let program = Program::compile(text, &names()).unwrap();
        let read = if time { Program::time_ms } else { Program::span_ms };
        read(&program, &agent(), &mut Cost(1000)).map_err(|fault| fault.0)
    };
    for (text, millis) in [
        ("duration('90s')", 90_000),
        ("'1h'", 3_600_000),
        ("duration('1ns')", 1),
        ("'-1.0001ms'", -1),
        ("'-1.9ms'", -1),
        ("'0'", 0),
    ] {
        assert_eq!(read(text, false), Ok(millis), "{text}");
    }
    for (text, millis) in [
        ("now", 1_357_034_400_123),
        ("now + duration('1s')", 1_357_034_401_123),
        ("'1970-01-01T00:00:01Z'", 1_000),
        ("timestamp('1970-01-01T00:00:01.0000001Z')", 1_001),
        ("'1969-12-31T23:59:59.9995Z'", 0),
        ("'9999-12-31T23:59:59.999Z'", 253_402_300_799_999),
    ] {
        assert_eq!(read(text, true), Ok(millis), "{text}");
    }
    for (text, time, part) in [
        ("5", false, "a duration such as duration('5m') is expected, not one of type int"),
        ("now", false, "not one of type timestamp"),
        ("'5'", false, "not '5'"),
        ("duration('1s')", true, "a timestamp such as now + duration('5m')"),
        ("'2013-01-31'", true, "not '2013-01-31'"),
        ("1 / 0", true, "divided by zero"),
    ] {
        let error = read(text, time).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}
