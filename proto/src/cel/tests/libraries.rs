//! Functions, beyond what the specification's cases try.

use super::{check, run};

#[test]
fn texts_count_characters() {
    check(&[
        ("size('πέντε') + 'añb'.indexOf('b')", "7"),
        ("'añb'.charAt(1)", r#""ñ""#),
        ("'añb'.substring(1)", r#""ñb""#),
        ("'añb'.substring(2, 1)", "! the end of a substring lies before its start"),
        ("'añb'.substring(4)", "! position 4 of a text of 3 characters"),
        ("'aña'.lastIndexOf('a', 1)", "0"),
        ("'ññ'.lastIndexOf('ñ', 0)", "0"),
        ("'añb'.split('')", r#"["a","ñ","b"]"#),
        ("'añb'.split('', 2)", r#"["a","ñb"]"#),
        ("''.split('')", r#"[""]"#),
        ("'a,b,,c'.split(',', 3)", r#"["a","b",",c"]"#),
        ("event.carrier.split('A')", r#"["U",""]"#),
        ("'  é '.trim().reverse()", r#""é""#),
        ("('x' + ' yy ' + 'z').trim().split(' ').join('-')", r#""x-yy-z""#),
        ("'ab'.replace('', '-')", r#""-a-b-""#),
        ("'aaa'.replace('a', 'b', 2)", r#""bba""#),
        ("'aaa'.replace('a', 'b', -1)", r#""bbb""#),
        ("[1].join()", "! `join` does not take int"),
    ]);
}

#[test]
fn patterns_are_checked_before_anything_runs() {
    check(&[
        ("event.carrier.matches('^[A-Z]{2}$')", "true"),
        ("matches(event.carrier, 'X')", "false"),
        ("event.carrier.matches('^' + event.carrier)", "true"),
        ("event.carrier.matches('(')", "!23 this is no pattern: unclosed group"),
        ("event.carrier.matches(event.carrier + '(')", "! this is no pattern: unclosed group"),
        ("event.carrier.matches('(?:\\\\w{100}){100}')", "!23 the pattern is too large"),
        (
            "'a'.matches([1, 2, 3, 4, 5].map(x, '0123456789012345678901234567890123456789012345678901234567890').join())",
            "! a pattern that is no constant has 256 bytes at most",
        ),
    ]);
}

#[test]
fn numbers_become_texts_and_back() {
    check(&[
        ("string(2.0)", r#""2""#),
        ("string(event.air_time)", r#""0.5""#),
        (
            "string(1e300) + ' ' + string(-1.5e-9) + ' ' + string(123456789.25)",
            r#""1e300 -1.5e-9 123456789.25""#,
        ),
        ("int('-5') + int(2.9) + int(-2.9)", "-5"),
        ("int('x')", "! 'x' is no int"),
        ("double('0.25')", "0.25"),
        ("uint(7)", "7"),
        ("uint(-1)", "! the number does not fit into a uint"),
        ("bool('true')", "true"),
        ("string(b'\\xff')", "! the bytes are no UTF-8"),
        ("bool(1)", "! `bool` does not take int"),
    ]);
}

#[test]
fn rounding_takes_whole_numbers() {
    check(&[
        (
            "math.round(2.5) + math.round(-2.5) + math.ceil(1) + math.trunc(2u) * 1u - 2u",
            "! `+` does not take double and uint",
        ),
        ("math.ceil(late) + math.floor(late) + math.round(late) + math.trunc(late)", "28"),
        ("math.floor(2.7)", "2"),
        ("math.greatest(1, 2.5, late)", "7"),
        ("math.least([3, 1.5])", "1.5"),
        ("math.greatest([])", "! `greatest` of an empty list"),
        ("math.greatest('a')", "! `greatest` does not take string"),
        ("math.sqrt(2.25)", "1.5"),
        ("math.sqrt(-1)", "! NaN cannot be stored"),
        ("math.bitShiftLeft(1, 70)", "0"),
    ]);
}

#[test]
fn curves_take_numbers_of_all_types_and_give_doubles() {
    check(&[
        ("math.pow(2, 10)", "1024"),
        ("math.pow(late, 2u)", "49"),
        ("math.pow(2.0, -1)", "0.5"),
        ("type(math.pow(2, 3)) == double", "true"),
        ("math.pow(0, 0)", "1"),
        ("math.pow(-8, 1.0 / 3)", "! NaN cannot be stored"),
        ("math.pow(10, 400)", "! Infinity cannot be stored"),
        ("math.isInf(math.pow(0, -1)) && math.isNaN(math.log(-1))", "true"),
        ("math.isInf(math.log(0)) && math.isInf(math.exp(710))", "true"),
        ("math.exp(0) + math.log(1u) + math.sin(0) + math.cos(0)", "2"),
        // The last digit is not the nearest one, and the same everywhere.
        ("math.exp(1)", "2.7182818284590455"),
        ("math.log(10)", "2.302585092994046"),
        ("math.sin(1)", "0.8414709848078965"),
        ("math.cos(1)", "0.5403023058681398"),
        ("math.sin(1e22)", "-0.8522008497671888"),
        ("math.atan2(1, -1)", "2.356194490192345"),
        ("math.atan2(0, 0)", "0"),
        ("math.isNaN(math.sin(1.0 / 0.0))", "true"),
        ("math.exp('1')", "! `exp` does not take string"),
        ("math.pow(1, null)", "! `pow` does not take null"),
        ("math.atan2(1)", "!6 `math.atan2` takes 2 arguments"),
    ]);
}

/// The figures of distances are those of the same formula in Python, with its own sines, to the metre.
#[test]
fn distances_on_the_earth_are_metres() {
    let metres = |from: &str, to: &str| format!("math.round(geo.distance({from}, {to}))");
    for (from, to, expected) in [
        ("40.7128, -74.006", "51.5074, -0.1278", "5570230"),
        ("51.5074, -0.1278", "40.7128, -74.006", "5570230"),
        ("52.52, 13.405", "52.52, 13.405", "0"),
        ("52.52, 13.405", "52.5201, 13.405", "11"),
        ("0, 0", "0, 180", "20015114"),
        ("90, 0", "-90, 77", "20015114"),
        ("90, 10", "90, -170", "0"),
        ("0, 179.5", "0, -179.5", "111195"),
        ("-33.8688, 151.2093", "35.6762, 139.6503", "7825829"),
        ("1u, 0", "0u, 0.0", "111195"),
    ] {
        assert_eq!(run(&metres(from, to)), expected, "{from} to {to}");
    }
    check(&[
        (
            "geo.distance(90.5, 0, 0, 0)",
            "! the first latitude of `geo.distance` is 90.5, and -90 to 90 degrees are taken",
        ),
        (
            "geo.distance(0, 0, -91, 0)",
            "! the second latitude of `geo.distance` is -91, and -90 to 90 degrees are taken",
        ),
        (
            "geo.distance(0, -181, 0, 0)",
            "! the first longitude of `geo.distance` is -181, and -180 to 180 degrees are taken",
        ),
        (
            "geo.distance(0, 0, 0, 1e300)",
            "! the second longitude of `geo.distance` is 1e300, and -180 to 180 degrees are taken",
        ),
        (
            "geo.distance(0.0 / 0.0, 0, 0, 0)",
            "! the first latitude of `geo.distance` is NaN, and -90 to 90 degrees are taken",
        ),
        ("geo.distance(0, 0, 0, '1')", "! `geo.distance` does not take string"),
        ("geo.distance(0, 0, null, 1)", "! `geo.distance` does not take null"),
    ]);
}

#[test]
fn lists_are_cut_and_sorted() {
    check(&[
        ("lists.range(3)", "[0,1,2]"),
        ("lists.range(-1)", "[]"),
        ("event.codes.slice(1, 3)", "[1,2]"),
        ("event.codes.slice(2, 4)", "! 2 to 4 of a list of 3"),
        ("event.codes.sort()", "[1,2,3]"),
        ("[2, 1.5, 1u, -3].sort()", "[-3,1,1.5,2]"),
        ("[9007199254740993, 9007199254740992.0, 9007199254740991].sort()[2]", "9007199254740993"),
        ("['b', 'a'].sort()", r#"["a","b"]"#),
        ("['b', 1].sort()", "! a list is sorted by numbers, strings, bools, bytes or times, all of one type"),
        (
            "[0.0 / 0.0].sort()",
            "! a list is sorted by numbers, strings, bools, bytes or times, all of one type",
        ),
        ("[{'n': 2}, {'n': 1}].sortBy(e, e.n).map(e, e.n)", "[1,2]"),
        ("[1, 1.0, 2, 'a', 'a', [1], [1.0]].distinct()", r#"[1,2,"a",[1]]"#),
        ("[3, 1, 3, 1.0].distinct()", "[3,1]"),
        ("[1, [2, [3]]].flatten()", "[1,2,[3]]"),
        ("[1, [2, [3]]].flatten(2)", "[1,2,3]"),
        ("[1, 2].reverse()", "[2,1]"),
        ("event.codes.first().orValue(0) + event.codes.last().value()", "5"),
        ("[].first().orValue('none')", r#""none""#),
        ("tags + ['z']", r#"["x","y","z"]"#),
        ("'x' in tags && !('z' in tags)", "true"),
    ]);
}

#[test]
fn times_have_parts_in_utc_at_an_offset_or_in_a_zone() {
    check(&[
        ("now.getFullYear() * 100 + now.getMonth()", "201300"),
        ("now.getHours('+05:30')", "15"),
        ("now.getDate('-11:00')", "31"),
        // An hour more from spring to autumn.
        ("timestamp('2013-01-31T05:00:00Z').getHours('Europe/Berlin')", "6"),
        ("timestamp('2013-07-31T05:00:00Z').getHours('Europe/Berlin')", "7"),
        ("timestamp('2013-01-01T04:59:59Z').getFullYear('America/New_York')", "2012"),
        (
            "now.getHours('Europe/Atlantis')",
            "! 'Europe/Atlantis' is no time zone such as Europe/Paris, UTC or +01:00",
        ),
        ("timestamp('2013-01-31T23:59:59.5+01:00')", r#""2013-01-31T22:59:59.5Z""#),
        ("timestamp('1969-12-31T23:59:59.25Z')", r#""1969-12-31T23:59:59.25Z""#),
        ("int(timestamp('1969-12-31T23:59:59.25Z'))", "-1"),
        (
            "timestamp('2013-02-29T00:00:00Z')",
            "! '2013-02-29T00:00:00Z' is no timestamp such as 2013-01-31T05:00:00Z",
        ),
        (
            "timestamp('2013-01-31 00:00:00Z')",
            "! '2013-01-31 00:00:00Z' is no timestamp such as 2013-01-31T05:00:00Z",
        ),
        (
            "timestamp('2013-01-31T00:00:00é')",
            "! '2013-01-31T00:00:00é' is no timestamp such as 2013-01-31T05:00:00Z",
        ),
        ("timestamp(0)", r#""1970-01-01T00:00:00Z""#),
        ("duration('1h30m1.5s')", r#""5401.5s""#),
        ("duration('-1.5ms')", r#""-0.0015s""#),
        ("duration('1h').getMinutes() + duration('90s').getSeconds()", "150"),
        ("duration('1h').getDate()", "! `getDate` does not take duration"),
        ("duration('1 h')", "! '1 h' is no duration such as 1h30m or 2.5s within 292 years"),
        ("duration('300000h') * 2", "! `*` does not take duration and int"),
        ("now + duration('1s') - now", r#""1s""#),
    ]);
}

#[test]
fn formats_are_bounded() {
    check(&[
        ("'%s is %.1f'.format([event.carrier, event.air_time])", r#""UA is 0.5""#),
        ("'%s'.format([event.to])", r#""{in: [1, 2.5, x]}""#),
        ("'%.101f'.format([1.0])", "! `%.101` is no precision up to 100"),
        ("'%'.format([])", "! the text to format ends with `%`"),
        ("'%s'.format([optional.none()])", "! `string` does not take optional"),
    ]);
}

#[test]
fn bytes_live_inside_an_expression() {
    check(&[
        ("base64.encode(bytes(event.carrier))", r#""VUE=""#),
        ("string(base64.decode('VUE'))", r#""UA""#),
        ("base64.decode('*')", "! this is no base64: Invalid symbol 42, offset 0."),
        ("size(b'ab' + b'c')", "3"),
        ("b'ab'", "! bytes cannot be stored yet: use base64.encode"),
    ]);
}
