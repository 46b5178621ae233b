//! `text.format([..])`: `%s %d %f %e %x %X %o %b %%`, with a precision for `%f` and `%e`.

use super::val::{Map, Val};
use super::{Cost, Fault, convert};
use crate::value::Text;
use std::fmt::Write as _;

/// Digits after the point.
const PRECISION_MAX: usize = 100;

pub fn format(pattern: &str, arguments: &Val<'_>, cost: &mut Cost) -> Result<Text, Fault> {
    let Val::List(arguments) = arguments else {
        return Err(Fault(format!("`format` takes a list, not {}", arguments.kind())));
    };
    cost.charge_text(pattern.len())?;
    let mut arguments = arguments.iter();
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let (precision, after) = precision(after)?;
        let mut chars = after.chars();
        let Some(clause) = chars.next() else { return Err(Fault("the text to format ends with `%`".into())) };
        rest = chars.as_str();
        let Some(argument) = arguments.next() else {
            return Err(Fault("there are more places to format than values".into()));
        };
        let start = out.len();
        one(clause, precision, &argument, &mut out, cost)?;
        cost.charge(1 + (out.len() - start) / 64)?;
    }
    out.push_str(rest);
    Ok(out.into())
}

/// `.3` before the letter.
fn precision(text: &str) -> Result<(Option<usize>, &str), Fault> {
    let Some(digits) = text.strip_prefix('.') else { return Ok((None, text)) };
    let end = digits.find(|char: char| !char.is_ascii_digit()).unwrap_or(digits.len());
    match digits[..end].parse() {
        Ok(precision) if precision <= PRECISION_MAX => Ok((Some(precision), &digits[end..])),
        _ => Err(Fault(format!("`%.{}` is no precision up to {PRECISION_MAX}", &digits[..end]))),
    }
}

fn one(
    clause: char,
    precision: Option<usize>,
    value: &Val<'_>,
    out: &mut String,
    cost: &mut Cost,
) -> Result<(), Fault> {
    let wrong = || Fault(format!("`%{clause}` does not take {}", value.kind()));
    match clause {
        's' => return spoken(value, out, cost),
        'd' => match value {
            Val::Int(_) | Val::Uint(_) => out.push_str(&convert::to_text(value, cost)?),
            Val::Double(double) if !double.is_finite() => out.push_str(&convert::to_text(value, cost)?),
            _ => return Err(wrong()),
        },
        'f' | 'e' => {
            let number = match value {
                Val::Int(value) => *value as f64,
                Val::Uint(value) => *value as f64,
                Val::Double(value) => *value,
                _ => return Err(wrong()),
            };
            decimal(clause, precision.unwrap_or(6), number, out);
        }
        'b' | 'o' | 'x' | 'X' => match value {
            Val::Int(value) => {
                out.push_str(if *value < 0 { "-" } else { "" });
                digits(clause, value.unsigned_abs(), out);
            }
            Val::Uint(value) => digits(clause, *value, out),
            Val::Bool(value) if clause == 'b' => digits(clause, (*value).into(), out),
            Val::Bytes(bytes) if matches!(clause, 'x' | 'X') => octets(clause, bytes, out),
            _ => match value.as_text() {
                Some(text) if matches!(clause, 'x' | 'X') => octets(clause, text.as_bytes(), out),
                _ => return Err(wrong()),
            },
        },
        _ => return Err(Fault(format!("there is no `%{clause}`"))),
    }
    Ok(())
}

// Writing into a `String` cannot fail.

fn decimal(clause: char, precision: usize, number: f64, out: &mut String) {
    if !number.is_finite() {
        out.push_str(&super::convert::double_text(number));
    } else if clause == 'f' {
        let _ = write!(out, "{number:.precision$}");
    } else {
        let text = format!("{number:.precision$e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        let _ = write!(out, "{digits}e{sign}{exponent:0>2}");
    }
}

fn digits(clause: char, value: u64, out: &mut String) {
    let _ = match clause {
        'b' => write!(out, "{value:b}"),
        'o' => write!(out, "{value:o}"),
        'x' => write!(out, "{value:x}"),
        _ => write!(out, "{value:X}"),
    };
}

fn octets(clause: char, bytes: &[u8], out: &mut String) {
    for byte in bytes {
        let _ = if clause == 'x' { write!(out, "{byte:02x}") } else { write!(out, "{byte:02X}") };
    }
}

/// `%s` takes everything but optionals. Maps are said in the order of their keys' texts.
fn spoken(value: &Val<'_>, out: &mut String, cost: &mut Cost) -> Result<(), Fault> {
    cost.charge(1)?;
    match value {
        Val::Null => out.push_str("null"),
        Val::Type(kind) => out.push_str(kind.name()),
        Val::Bytes(bytes) => {
            cost.charge_text(bytes.len())?;
            out.push_str(&String::from_utf8_lossy(bytes));
        }
        Val::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                spoken(&item, out, cost)?;
            }
            out.push(']');
        }
        Val::Map(map) => entries(map, out, cost)?,
        _ => {
            let said = convert::to_text(value, cost)?;
            cost.charge_text(said.len())?;
            out.push_str(&said);
        }
    }
    Ok(())
}

fn entries(map: &Map<'_>, out: &mut String, cost: &mut Cost) -> Result<(), Fault> {
    cost.charge(map.len())?;
    let mut entries = Vec::with_capacity(map.len());
    for (key, value) in map.entries() {
        entries.push((convert::to_text(&key, cost)?, value));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    out.push('{');
    for (at, (key, value)) in entries.iter().enumerate() {
        out.push_str(if at > 0 { ", " } else { "" });
        out.push_str(key);
        out.push_str(": ");
        spoken(value, out, cost)?;
    }
    out.push('}');
    Ok(())
}
