//! Arithmetic. An int with a double makes a double; whatever does not fit is a fault.

use super::node::Binary;
use super::val::{Bytes, List, Map, Span, Val};
use super::{Cost, Fault, time};
use crate::value::Text;

/// `+ - * / %`.
#[inline]
pub fn arithmetic<'a>(op: Binary, a: &Val<'a>, b: &Val<'a>, cost: &mut Cost) -> Result<Val<'a>, Fault> {
    match (a, b) {
        (Val::Int(a), Val::Int(b)) => ints(op, *a, *b),
        (Val::Double(a), Val::Double(b)) => doubles(op, *a, *b),
        (Val::Int(a), Val::Double(b)) => doubles(op, *a as f64, *b),
        (Val::Double(a), Val::Int(b)) => doubles(op, *a, *b as f64),
        (Val::Uint(a), Val::Uint(b)) => uints(op, *a, *b),
        _ => match op {
            Binary::Add => add(a, b, cost),
            Binary::Subtract => subtract(a, b),
            _ => Err(mismatch(op, a, b)),
        },
    }
}

#[inline]
fn ints<'a>(op: Binary, a: i64, b: i64) -> Result<Val<'a>, Fault> {
    match op {
        Binary::Add => a.checked_add(b),
        Binary::Subtract => a.checked_sub(b),
        Binary::Multiply => a.checked_mul(b),
        Binary::Divide => a.checked_div(b),
        _ => a.checked_rem(b),
    }
    .map(Val::Int)
    .ok_or_else(|| overflow(op, b == 0))
}

fn uints<'a>(op: Binary, a: u64, b: u64) -> Result<Val<'a>, Fault> {
    match op {
        Binary::Add => a.checked_add(b),
        Binary::Subtract => a.checked_sub(b),
        Binary::Multiply => a.checked_mul(b),
        Binary::Divide => a.checked_div(b),
        _ => a.checked_rem(b),
    }
    .map(Val::Uint)
    .ok_or_else(|| overflow(op, b == 0))
}

#[inline]
fn doubles<'a>(op: Binary, a: f64, b: f64) -> Result<Val<'a>, Fault> {
    Ok(Val::Double(match op {
        Binary::Add => a + b,
        Binary::Subtract => a - b,
        Binary::Multiply => a * b,
        Binary::Divide => a / b,
        _ => return Err(Fault("`%` takes whole numbers, and one of these is a double".into())),
    }))
}

#[cold]
fn overflow(op: Binary, zero: bool) -> Fault {
    match op {
        Binary::Divide | Binary::Remainder if zero => Fault("a whole number is divided by zero".into()),
        _ => Fault(format!("the result of `{}` does not fit into 64 bits", op.symbol())),
    }
}

fn add<'a>(a: &Val<'a>, b: &Val<'a>, cost: &mut Cost) -> Result<Val<'a>, Fault> {
    if let (Some(a), Some(b)) = (a.as_text(), b.as_text()) {
        return Ok(Val::text(concatenate(a, b, cost)?));
    }
    match (a, b) {
        (Val::Bytes(a), Val::Bytes(b)) => {
            cost.charge_text(a.len() + b.len())?;
            Ok(Val::Bytes(Bytes::Built([&a[..], &b[..]].concat().into())))
        }
        (Val::List(a), Val::List(b)) => {
            cost.charge(a.len() + b.len())?;
            Ok(Val::list(a.iter().chain(b.iter()).collect()))
        }
        (Val::Time(time), Val::Span(span)) | (Val::Span(span), Val::Time(time)) => time::later(*time, *span),
        (Val::Span(a), Val::Span(b)) => time::span(a.0.checked_add(b.0)),
        _ => Err(mismatch(Binary::Add, a, b)),
    }
}

fn concatenate(a: &str, b: &str, cost: &mut Cost) -> Result<Text, Fault> {
    cost.charge_text(a.len() + b.len())?;
    let mut text = Text::with_capacity(a.len() + b.len());
    text.push_str(a);
    text.push_str(b);
    Ok(text)
}

fn subtract<'a>(a: &Val<'a>, b: &Val<'a>) -> Result<Val<'a>, Fault> {
    match (a, b) {
        (Val::Time(a), Val::Time(b)) => time::between(*a, *b),
        (Val::Time(time), Val::Span(span)) => match span.0.checked_neg() {
            Some(back) => time::later(*time, Span(back)),
            None => time::span(None),
        },
        (Val::Span(a), Val::Span(b)) => time::span(a.0.checked_sub(b.0)),
        _ => Err(mismatch(Binary::Subtract, a, b)),
    }
}

pub fn negate<'a>(value: &Val<'a>) -> Result<Val<'a>, Fault> {
    match value {
        Val::Int(value) => value.checked_neg().map(Val::Int).ok_or_else(|| overflow(Binary::Subtract, false)),
        Val::Double(value) => Ok(Val::Double(-value)),
        other => Err(Fault(format!("`-` takes an int or a double, not {}", other.kind()))),
    }
}

#[cold]
pub fn mismatch(op: Binary, a: &Val<'_>, b: &Val<'_>) -> Fault {
    Fault(format!("`{}` does not take {} and {}", op.symbol(), a.kind(), b.kind()))
}

/// The key or index of `list[key]` and `map[key]`.
pub fn at<'a>(of: &Val<'a>, key: &Val<'a>) -> Result<Option<Val<'a>>, Fault> {
    match of {
        Val::Map(map) => Ok(map.get(key)),
        Val::List(list) => position(list, key),
        other => Err(Fault(format!("`[]` takes a list or a map, not {}", other.kind()))),
    }
}

fn position<'a>(list: &List<'a>, key: &Val<'a>) -> Result<Option<Val<'a>>, Fault> {
    let Some(at) = key.as_whole() else {
        return Err(Fault(format!("the index of a list is a whole number, not {}", key.kind())));
    };
    Ok(usize::try_from(at).ok().and_then(|at| list.get(at)))
}

/// What there is not, said with its name.
#[cold]
pub fn absent(of: &Val<'_>, key: &Val<'_>) -> Fault {
    let key = match key {
        Val::Int(key) => key.to_string(),
        Val::Uint(key) => format!("{key}u"),
        Val::Bool(key) => key.to_string(),
        Val::Double(key) => key.to_string(),
        other => match other.as_text() {
            Some(text) => format!("'{}'", shortened(text)),
            None => format!("of type {}", other.kind()),
        },
    };
    match of {
        Val::List(list) => Fault(format!("index {key} of a list of {}", list.len())),
        Val::Map(Map::Lane(_) | Map::DoubleLane(_)) => Fault(format!("no entry {key} in the lane")),
        _ => Fault(format!("no member {key}")),
    }
}

fn shortened(text: &str) -> &str {
    match text.char_indices().nth(64) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}
