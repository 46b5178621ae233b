//! What does not compile, and where.

use super::check;

#[test]
fn unknown_names_are_found_where_they_stand() {
    let lanes = "only `event`, `agent`, `here`, `sender`, `now` and the lanes `late`, `at`, `speed`, `recent`, `means`, `tags`";
    check(&[
        ("lat + 1", &format!("!1 there is no `lat` here, {lanes}")),
        ("'ä' + lat", &format!("!7 there is no `lat` here, {lanes}")),
        ("1 +\n  lat", &format!("!7 there is no `lat` here, {lanes}")),
        ("[1].map(x, y)", &format!("!12 there is no `y` here, {lanes}")),
        ("[1].map(x, x) + x", &format!("!17 there is no `x` here, {lanes}")),
        ("late + foo(1)", "!8 there is no function `foo`"),
        ("'ä' + late.foo()", "!12 there is no function `foo`"),
        ("late.size(1)", "!6 `size` takes 0 arguments"),
        ("'a'.substring()", "!5 `substring` takes 1 or 2 arguments"),
        ("late.abs()", "!6 `abs` is written math.abs(..)"),
        ("trim('a')", "!1 `trim` is written x.trim(..)"),
        ("math.foo(1)", "!6 there is no function `math.foo`"),
        ("google.protobuf.Any", &format!("!1 there is no `google` here, {lanes}")),
        ("dyn", &format!("!1 there is no `dyn` here, {lanes}")),
    ]);
}

#[test]
fn what_is_not_there_is_said() {
    check(&[
        ("cel.bind(x, 1, x)", "!5 there is no `cel.bind`"),
        ("[1].all(i, x, x > i)", "!5 `all` with two variables is not supported"),
        ("[1].transformList(i, x, x)", "!5 `transformList` with two variables is not supported"),
        ("{'a': 1}.transformMap(k, v, v)", "!10 `transformMap` with two variables is not supported"),
        ("Point{x: 1}", "!6 message types are not supported, so Point{..} cannot be constructed: use a map"),
        ("event.`a-b`", "!6 unsupported syntax: '`'"),
        ("'a'.format()", "!5 `format` takes 1 arguments"),
    ]);
}

#[test]
fn syntax_errors_have_a_place() {
    check(&[
        ("", "!1 the expression is empty"),
        (" \n", "!1 the expression is empty"),
        ("late +", "!7 it ends where more is expected"),
        ("late + + 1", "!8 '+' is not expected here"),
        ("(late", "!6 ')' is missing before the end"),
        ("event.if + if", "!12 reserved identifier: if"),
        ("event.in", "!7 reserved words of CEL, such as `in`, cannot follow a `.`: write ['in']"),
        ("event.?in", "!6 reserved words of CEL, such as `in`, cannot follow a `.`: write ['in']"),
        ("'abc", "!1 unexpected character, or a string without its end: ''abc'"),
        ("9223372036854775808", "!1 invalid int literal"),
        ("1e999", "!1 invalid double literal"),
        ("has(late)", "!5 invalid argument to has() macro"),
        ("[1].map(x.y, 1)", "!10 argument must be a simple name"),
        ("[1].sortBy(1, 1)", "!12 the name of a variable is expected here"),
    ]);
}
