//! What a scalar without quotes means: as `kubectl apply -f` reads it, which is YAML 1.1 as `sigs.k8s.io/yaml` has it,
//! and as `kubectl apply -k` does, which reads with kustomize first. Where the two differ it means nothing.
//!
//! *Guarantees*: what is a value here is the same value to both; `tests/tests/crd.rs` compares them.

use crate::value::Value;
use regex::Regex;
use std::sync::LazyLock;

static FLOAT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$").expect("a regex"));
static DATE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}($|[Tt ])").expect("a regex"));
/// Numbers to one of the two, or with a sign where nobody expects one.
static ODD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^[-+]?0[bBoO][-+]").expect("a regex"));

/// Its value, or what is to be written in its place.
pub fn plain(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Err(is_bool(text, true)),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => return Err(is_bool(text, false)),
        _ => {}
    }
    match text.as_bytes()[0] {
        b'.' if is_not_finite(text) => Err("the number is not finite".into()),
        b'.' if FLOAT.is_match(text) => float(text),
        b'0'..=b'9' | b'+' | b'-' => number(text),
        _ => Ok(Value::text(text)),
    }
}

fn is_bool(word: &str, means: bool) -> String {
    format!("without quotes, kubectl reads `{word}` as {means}: write \"{word}\" or {means}")
}

fn is_not_finite(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN")
}

fn number(text: &str) -> Result<Value, String> {
    if is_not_finite(text) {
        return Err("the number is not finite".into());
    }
    if DATE.is_match(text) {
        return Err(format!(
            "without quotes, kustomize writes the time `{text}` otherwise: write \"{text}\""
        ));
    }
    let digits = text.replace('_', "");
    if ODD.is_match(&digits) {
        return Err(format!(
            "`{text}` is a number to some readers of YAML and a text to others: write \"{text}\""
        ));
    }
    match integer(&digits) {
        Some(integer) => integer,
        None if FLOAT.is_match(&digits) => float(&digits),
        None => Ok(Value::text(text)),
    }
}

/// With the prefixes of Go: `0x`, `0o`, `0b`, and `0` alone for base 8.
fn integer(text: &str) -> Option<Result<Value, String>> {
    let (negative, unsigned) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (base, digits) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &unsigned[2..]),
        [b'0', b'o' | b'O', ..] => (8, &unsigned[2..]),
        [b'0', b'b' | b'B', ..] => (2, &unsigned[2..]),
        [b'0', _, ..] => (8, &unsigned[1..]),
        _ => (10, unsigned),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(base)) {
        return None;
    }
    let number = i128::from_str_radix(digits, base).ok();
    let number = number.and_then(|number| i64::try_from(if negative { -number } else { number }).ok());
    Some(number.map(Value::Int).ok_or_else(too_large))
}

fn float(text: &str) -> Result<Value, String> {
    match text.parse().ok().and_then(Value::number) {
        // The API server gets it as digits.
        Some(Value::Double(number)) if number.fract() == 0.0 => Err(too_large()),
        Some(number) => Ok(number),
        None => Err("the number is beyond what a double can hold".into()),
    }
}

fn too_large() -> String {
    "the integer does not fit into 64 bits".into()
}
