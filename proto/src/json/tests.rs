//! JSON as it is read and written, beside what another library makes of it.

use super::*;
use crate::value::{self, Value};
use proptest::prelude::*;

fn text(value: &Value) -> String {
    let mut out = Vec::new();
    write(value, &mut out);
    assert_eq!(length(value), out.len());
    String::from_utf8(out).unwrap()
}

#[test]
fn texts_are_read_and_written_in_one_form() {
    for (json, expected) in [
        ("null", "null"),
        (" true ", "true"),
        ("false", "false"),
        ("0", "0"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("0e9", "0"),
        ("1.0", "1"),
        ("1e0", "1"),
        ("1E+2", "100"),
        ("-12.50", "-12.5"),
        ("1e-400", "0"),
        ("0.1", "0.1"),
        ("5e-324", "5e-324"),
        ("1e21", "1e21"),
        ("123456789012345678", "123456789012345678"),
        ("9007199254740992.0", "9007199254740992"),
        ("9007199254740993.0", "9007199254740992"),
        ("9007199254740994.0", "9007199254740994"),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775807.0", "9.223372036854776e18"),
        (r#""""#, r#""""#),
        (r#""a\/\"\\\b\f\n\r\t\u0000\u00e9""#, "\"a/\\\"\\\\\\u0008\\u000c\\n\\r\\t\\u0000\u{e9}\""),
        (r#""\ud83d\ude00""#, "\"\u{1f600}\""),
        ("\"\u{7f}\u{2028}\"", "\"\u{7f}\u{2028}\""),
        (r#""exactly sixteen!""#, r#""exactly sixteen!""#),
        (r#""seven b\n eight by""#, r#""seven b\n eight by""#),
        ("[]", "[]"),
        ("[ ]", "[]"),
        (" [ 1 , [ 2 ] ,{}] ", "[1,[2],{}]"),
        ("{ }", "{}"),
        (r#"{ "b" : 1 , "a" : {"b":[]}, "":null}"#, r#"{"b":1,"a":{"b":[]},"":null}"#),
        (r#"{"\u0061":1}"#, r#"{"a":1}"#),
        (r#"{"$recon":1,"b":2}"#, r#"{"$recon":1,"b":2}"#),
    ] {
        let value = parse(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {} {error}", error.at));
        assert_eq!(text(&value), expected, "{json}");
    }
}

#[test]
fn what_is_no_json_is_refused_at_its_place() {
    let deep = format!("{}1{}", "[".repeat(33), "]".repeat(33));
    let many = (0..50).map(|n| format!("\"m{n}\":0,")).collect::<Vec<_>>().concat();
    let twice = format!("{{{many}\"m7\":1}}");
    for (json, at, error) in [
        ("", 0, "the text ends where a value is expected"),
        ("  ", 2, "the text ends where a value is expected"),
        ("nul", 0, "a value is expected here"),
        ("hello", 0, "a value is expected here"),
        ("'a'", 0, "a value is expected here"),
        ("\u{feff}1", 0, "a value is expected here"),
        ("1 2", 2, "something follows the value"),
        ("[1,]", 3, "a value is expected here"),
        ("[1 2]", 3, "`,` or `]` is expected here"),
        ("[1", 2, "the text ends before its `]`"),
        ("{\"a\" 1}", 5, "`:` is expected here"),
        ("{a:1}", 1, "a member's name in quotes is expected here"),
        ("{\"a\":1,}", 7, "a member's name in quotes is expected here"),
        ("{\"a\":1", 6, "the text ends before its `}`"),
        ("{\"a\":1,\"b\":2,\"a\":3}", 13, "`a` is there twice"),
        ("[{\"x\":1},{\"a\":1,\"\\u0061\":3}]", 16, "`a` is there twice"),
        (&twice, twice.len() - 7, "`m7` is there twice"),
        ("{\"$recon\":\"@a\"}", 0, "values in the form of $recon are not there yet"),
        ("[1,{\"$recon\":1}]", 3, "values in the form of $recon are not there yet"),
        ("01", 0, "a number has no zeros before it"),
        ("-01.5", 0, "a number has no zeros before it"),
        ("-", 1, "a digit is expected here"),
        ("+1", 0, "a value is expected here"),
        (".5", 0, "a value is expected here"),
        ("1.", 2, "a digit is expected here"),
        ("1e", 2, "a digit is expected here"),
        ("[9223372036854775808]", 1, "the integer does not fit into 64 bits"),
        ("-9223372036854775809", 0, "the integer does not fit into 64 bits"),
        ("1e400", 0, "the number is beyond what a double can hold"),
        ("NaN", 0, "a value is expected here"),
        ("\"a", 2, "the text ends before its quote"),
        ("\"a\nb\"", 2, "a control character must be escaped"),
        ("\"12345678\t\"", 9, "a control character must be escaped"),
        ("\"\\x\"", 1, "no such escape"),
        ("\"\\", 1, "no such escape"),
        ("\"\\u12g4\"", 1, "\\u and four hexadecimal digits are expected here"),
        ("\"\\u+123\"", 1, "\\u and four hexadecimal digits are expected here"),
        ("\"\\u12", 1, "\\u and four hexadecimal digits are expected here"),
        ("\"a\\ud800\"", 2, "half a surrogate pair"),
        ("\"\\ud800\\u0041\"", 1, "half a surrogate pair"),
        ("\"\\ude00\"", 1, "half a surrogate pair"),
        (&deep, 32, "more than 32 levels"),
    ] {
        let expected = Error { at, error: error.into() };
        assert_eq!(parse(json.as_bytes()), Err(expected), "{json}");
    }
    assert_eq!(parse(b"\"a\xff\"").unwrap_err().at, 2);
    assert!(parse(&deep.as_bytes()[1..deep.len() - 1]).is_ok());
}

#[test]
fn a_long_text_of_brackets_or_members_takes_no_long_time() {
    assert!(parse("[".repeat(256 << 10).as_bytes()).is_err());
    let members: Vec<_> = (0..30_000).map(|n| format!("\"{n}\":{n}")).collect();
    let record = parse(format!("{{{}}}", members.join(",")).as_bytes()).unwrap();
    let Value::Record(record) = record else { panic!("{record:?}") };
    assert!((0..30_000).all(|n| record.get(&n.to_string()) == Some(&Value::Int(n))));
}

proptest! {
    #[test]
    fn values_come_back_in_the_same_form(value in value::tests::stored()) {
        let back = parse(text(&value).as_bytes()).unwrap();
        prop_assert_eq!(format!("{:?}", back), format!("{:?}", value));
    }

    #[test]
    fn it_reads_what_others_write_and_writes_what_others_read(value in value::tests::stored()) {
        let theirs = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(&parse(theirs.as_bytes()).unwrap(), &value);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&text(&value)).is_ok());
    }

    #[test]
    fn it_takes_only_what_others_take(json in "[\\[\\]{}:,\"\\\\u0d8-9.eE+ntrfalsi ]{0,24}") {
        if parse(json.as_bytes()).is_ok() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{}", json);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = parse(&bytes);
    }
}
