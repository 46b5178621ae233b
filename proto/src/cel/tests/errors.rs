//! What does not compile, and where.

use super::{check, run};

#[test]
fn unknown_names_are_found_where_they_stand() {
    let lanes = "only `event`, `agent`, `here`, `sender`, `now` and the lanes `late`, `at`, `speed`, `recent`, `means`, `tags`";
    check(&[
        ("lat + 1", &format!("!1 there is no `lat` here, {lanes}; write 'lat' if a text is meant")),
        ("'ä' + lat", &format!("!7 there is no `lat` here, {lanes}; write 'lat' if a text is meant")),
        ("1 +\n  lat", &format!("!7 there is no `lat` here, {lanes}; write 'lat' if a text is meant")),
        ("[1].map(x, y)", &format!("!12 there is no `y` here, {lanes}; write 'y' if a text is meant")),
        ("[1].map(x, x) + x", &format!("!17 there is no `x` here, {lanes}; write 'x' if a text is meant")),
        ("cel.bind(x, x, x)", &format!("!13 there is no `x` here, {lanes}; write 'x' if a text is meant")),
        ("late + foo(1)", "!8 there is no function `foo`"),
        ("'ä' + late.foo()", "!12 there is no function `foo`"),
        ("late.size(1)", "!6 `size` takes 0 arguments"),
        ("'a'.substring()", "!5 `substring` takes 1 or 2 arguments"),
        ("late.abs()", "!6 `abs` is written math.abs(..)"),
        ("trim('a')", "!1 `trim` is written x.trim(..)"),
        ("math.foo(1)", "!6 there is no function `math.foo`"),
        ("google.protobuf.Any", &format!("!1 there is no `google` here, {lanes}")),
        ("math.pi", &format!("!1 there is no `math` here, {lanes}")),
        ("dyn == 1", &format!("!1 there is no `dyn` here, {lanes}; write 'dyn' if a text is meant")),
    ]);
}

#[test]
fn what_may_be_meant_is_offered() {
    let check = |cases: &[(&str, &str)]| {
        for (text, want) in cases {
            let error = run(text);
            assert!(error.ends_with(want), "{text}: {error}");
        }
    };
    check(&[
        (
            "late == active",
            "the lanes `late`, `at`, `speed`, `recent`, `means`, `tags`; write 'active' if a text is meant",
        ),
        (
            "active",
            "; write \"'active'\" if a text is meant: the quotes of YAML are not those of the expression",
        ),
        (
            " active ",
            "; write \"'active'\" if a text is meant: the quotes of YAML are not those of the expression",
        ),
        ("['a', active ]", "; write 'active' if a text is meant"),
        ("active.x", "`tags`"),
        ("active [0]", "`tags`"),
        ("late == None", "; `None` is written `null`"),
        ("True", "; `True` is written `true`"),
    ]);
    check(&[
        ("late > 1 and late < 3", "!10 `and` is written `&&`"),
        ("'ä' == here or late", "!13 `or` is written `||`"),
        ("(late > 1)and(late < 3)", "!11 `and` is written `&&`"),
        ("not late", "!1 `not` is written `!`"),
        ("late > 1 && not  late", "!13 `not` is written `!`"),
        ("not(late)", "!1 there is no function `not`: `not` is written `!`"),
        ("late not in tags", "!6 `not` is written `!`"),
        ("late = 7", "!6 `=` is written `==`"),
        ("late > 1 & late < 3", "!10 `&` is written `&&`"),
        ("late > 1 | late < 3", "!10 `|` is written `||`"),
        ("sender = ", "!8 `=` is written `==`"),
        ("late == == 1", "!9 '==' is not expected here"),
        ("(event.and))", "!12 ')' is not expected here"),
        ("(event . not))", "!14 ')' is not expected here"),
        ("'ä'é late", "!4 unexpected character, or a string without its end: 'é'"),
        ("late land late", "!6 'land' is not expected here"),
    ]);
}

#[test]
fn what_is_not_there_is_said() {
    check(&[
        ("cel.block([1], cel.index(0))", "!5 there is no function `cel.block`"),
        ("cel.bind(x, 1)", "!5 `cel.bind` takes 3 arguments: a variable, its value, and what sees it"),
        ("cel.bind(x.y, 1, 1)", "!11 the name of a variable is expected here"),
        ("[1].all(i, x, x > i, 1)", "!5 `all` takes 2 or 3 arguments"),
        ("[1].all(i, i, true)", "!12 the two variables of a macro have different names"),
        ("[1].all(1, i, true)", "!9 the name of a variable is expected here"),
        ("[1].transformList(x, x)", "!5 `transformList` takes 3 or 4 arguments"),
        (
            "[1].filter(i, x, x > i)",
            "!5 `filter` has one variable: with two it is `transformList`, of maps `transformMap`",
        ),
        (
            "[1].map(i, x, x > i, x)",
            "!5 `map` has one variable: with two it is `transformList`, of maps `transformMap`",
        ),
        ("geo.distance(1, 2)", "!5 `geo.distance` takes 4 arguments"),
        ("geo.area(1)", "!5 there is no function `geo.area`"),
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
        ("event.if + if", "!12 CEL keeps the word `if` for itself: a choice is written `test ? one : other`"),
        ("late + for", "!8 CEL keeps the word `for` for itself"),
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
