//! Equality and order. Numbers compare across their types, everything else only with its own.

use super::val::{List, Map, Val};
use super::{Cost, Fault};
use std::cmp::Ordering;

pub fn equal<'a>(a: &Val<'a>, b: &Val<'a>, cost: &mut Cost) -> Result<bool, Fault> {
    Ok(match (a, b) {
        (Val::Null, Val::Null) => true,
        (Val::Bool(a), Val::Bool(b)) => a == b,
        (Val::Bytes(a), Val::Bytes(b)) => same_bytes(a, b, cost)?,
        (Val::Time(a), Val::Time(b)) => a == b,
        (Val::Span(a), Val::Span(b)) => a == b,
        (Val::Type(a), Val::Type(b)) => a == b,
        (Val::List(a), Val::List(b)) => lists(a, b, cost)?,
        (Val::Map(a), Val::Map(b)) => maps(a, b, cost)?,
        (Val::Optional(a), Val::Optional(b)) => match (a, b) {
            (Some(a), Some(b)) => equal(a, b, cost)?,
            (None, None) => true,
            _ => false,
        },
        _ => match (a.as_text(), b.as_text()) {
            (Some(a), Some(b)) => same_bytes(a.as_bytes(), b.as_bytes(), cost)?,
            _ => numbers(a, b) == Compared::Order(Ordering::Equal),
        },
    })
}

fn same_bytes(a: &[u8], b: &[u8], cost: &mut Cost) -> Result<bool, Fault> {
    if a.len() != b.len() {
        return Ok(false);
    }
    cost.charge_text(a.len())?;
    Ok(a == b)
}

fn lists<'a>(a: &List<'a>, b: &List<'a>, cost: &mut Cost) -> Result<bool, Fault> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for (a, b) in a.iter().zip(b.iter()) {
        cost.charge(1)?;
        if !equal(&a, &b, cost)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn maps<'a>(a: &Map<'a>, b: &Map<'a>, cost: &mut Cost) -> Result<bool, Fault> {
    if a.len() != b.len() {
        return Ok(false);
    }
    cost.charge(a.len())?;
    for (key, value) in a.entries() {
        match b.get(&key) {
            Some(other) if equal(&value, &other, cost)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    Order(Ordering),
    /// One is NaN: neither is less or greater.
    NotANumber,
    /// There is no order of these two types.
    Unlike,
}

pub fn order(a: &Val<'_>, b: &Val<'_>, cost: &mut Cost) -> Result<Compared, Fault> {
    let order = match (a, b) {
        (Val::Bool(a), Val::Bool(b)) => a.cmp(b),
        (Val::Time(a), Val::Time(b)) => a.cmp(b),
        (Val::Span(a), Val::Span(b)) => a.cmp(b),
        (Val::Bytes(a), Val::Bytes(b)) => {
            cost.charge_text(a.len().min(b.len()))?;
            a[..].cmp(&b[..])
        }
        _ => match (a.as_text(), b.as_text()) {
            (Some(a), Some(b)) => {
                cost.charge_text(a.len().min(b.len()))?;
                a.as_bytes().cmp(b.as_bytes())
            }
            _ => return Ok(numbers(a, b)),
        },
    };
    Ok(Compared::Order(order))
}

/// With a double, both are compared as doubles, as CEL has it.
#[inline]
pub fn numbers(a: &Val<'_>, b: &Val<'_>) -> Compared {
    let order = match (a, b) {
        (Val::Int(a), Val::Int(b)) => Some(a.cmp(b)),
        (Val::Double(a), Val::Double(b)) => a.partial_cmp(b),
        (Val::Int(a), Val::Double(b)) => (*a as f64).partial_cmp(b),
        (Val::Double(a), Val::Int(b)) => a.partial_cmp(&(*b as f64)),
        (Val::Uint(a), Val::Uint(b)) => Some(a.cmp(b)),
        (Val::Uint(a), Val::Double(b)) => (*a as f64).partial_cmp(b),
        (Val::Double(a), Val::Uint(b)) => a.partial_cmp(&(*b as f64)),
        (Val::Int(a), Val::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Val::Uint(a), Val::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        _ => return Compared::Unlike,
    };
    order.map_or(Compared::NotANumber, Compared::Order)
}

/// Values that [`exact`] orders among one another: those of one class.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Bool,
    Number,
    Text,
    Bytes,
    Time,
    Span,
}

pub fn class(value: &Val<'_>) -> Option<Class> {
    Some(match value {
        Val::Bool(_) => Class::Bool,
        Val::Int(_) | Val::Uint(_) => Class::Number,
        Val::Double(value) if !value.is_nan() => Class::Number,
        Val::Str(_) | Val::Short(_) | Val::Long(_) => Class::Text,
        Val::Bytes(_) => Class::Bytes,
        Val::Time(_) => Class::Time,
        Val::Span(_) => Class::Span,
        _ => return None,
    })
}

/// A total order of the values of one class, for sorting: [`numbers`] rounds, and is none.
pub fn exact(a: &Val<'_>, b: &Val<'_>) -> Ordering {
    match (a, b) {
        (Val::Bool(a), Val::Bool(b)) => a.cmp(b),
        (Val::Time(a), Val::Time(b)) => a.cmp(b),
        (Val::Span(a), Val::Span(b)) => a.cmp(b),
        (Val::Bytes(a), Val::Bytes(b)) => a[..].cmp(&b[..]),
        (Val::Double(a), Val::Double(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
        (Val::Double(a), b) => b.as_whole().map_or(Ordering::Equal, |b| with_double(b, *a).reverse()),
        (a, Val::Double(b)) => a.as_whole().map_or(Ordering::Equal, |a| with_double(a, *b)),
        _ => match (a.as_text(), b.as_text()) {
            (Some(a), Some(b)) => a.as_bytes().cmp(b.as_bytes()),
            _ => a.as_whole().cmp(&b.as_whole()),
        },
    }
}

/// A whole number of at most 64 bits with a double.
fn with_double(whole: i128, double: f64) -> Ordering {
    // Saturates far beyond 64 bits.
    whole.cmp(&(double.floor() as i128)).then(if double.fract() == 0.0 {
        Ordering::Equal
    } else {
        Ordering::Less
    })
}
