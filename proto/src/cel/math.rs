//! The `math` library. `ceil floor round trunc` take whole numbers too: which of them a stored number is depends on
//! its value.

use super::compare::Compared;
use super::function::{Function, of, wrong};
use super::val::Val;
use super::{Cost, Fault, compare};
use std::cmp::Ordering;

pub static FUNCTIONS: &[Function] = &[
    of("math", "abs", 1, |_, args| abs(&args[0])),
    of("math", "atan2", 2, |cost, args| curve("atan2", args, cost, |[y, x]| libm::atan2(y, x))),
    of("math", "bitAnd", 2, |_, args| bits("bitAnd", args, |a, b| a & b)),
    of("math", "bitNot", 1, |_, args| not(&args[0])),
    of("math", "bitOr", 2, |_, args| bits("bitOr", args, |a, b| a | b)),
    of("math", "bitShiftLeft", 2, |_, args| shift("bitShiftLeft", args, u64::checked_shl)),
    of("math", "bitShiftRight", 2, |_, args| shift("bitShiftRight", args, u64::checked_shr)),
    of("math", "bitXor", 2, |_, args| bits("bitXor", args, |a, b| a ^ b)),
    of("math", "ceil", 1, |_, args| rounded("ceil", args, f64::ceil)),
    of("math", "cos", 1, |cost, args| curve("cos", args, cost, |[x]| libm::cos(x))),
    of("math", "exp", 1, |cost, args| curve("exp", args, cost, |[x]| libm::exp(x))),
    of("math", "floor", 1, |_, args| rounded("floor", args, f64::floor)),
    of("math", "greatest", 1, |cost, args| extreme("greatest", &args[0], Ordering::Greater, cost)),
    of("math", "isFinite", 1, |_, args| is("isFinite", args, f64::is_finite)),
    of("math", "isInf", 1, |_, args| is("isInf", args, f64::is_infinite)),
    of("math", "isNaN", 1, |_, args| is("isNaN", args, f64::is_nan)),
    of("math", "least", 1, |cost, args| extreme("least", &args[0], Ordering::Less, cost)),
    of("math", "log", 1, |cost, args| curve("log", args, cost, |[x]| libm::log(x))),
    of("math", "pow", 2, |cost, args| curve("pow", args, cost, |[x, y]| libm::pow(x, y))),
    of("math", "round", 1, |_, args| rounded("round", args, f64::round)),
    of("math", "sign", 1, |_, args| sign(&args[0])),
    of("math", "sin", 1, |cost, args| curve("sin", args, cost, |[x]| libm::sin(x))),
    of("math", "sqrt", 1, |_, args| Ok(Val::Double(number("sqrt", &args[0])?.sqrt()))),
    of("math", "trunc", 1, |_, args| rounded("trunc", args, f64::trunc)),
];

/// What one of the functions costs that take as long as several nodes of the tree.
const CURVE: usize = 8;

/// A function of doubles, whatever the type of its arguments: NaN and infinities come out where arithmetic has them.
fn curve<'a, const N: usize>(
    name: &str,
    args: &[Val<'a>],
    cost: &mut Cost,
    make: fn([f64; N]) -> f64,
) -> Result<Val<'a>, Fault> {
    cost.charge(CURVE)?;
    let mut numbers = [0.0; N];
    for (place, arg) in numbers.iter_mut().zip(args) {
        *place = number(name, arg)?;
    }
    Ok(Val::Double(make(numbers)))
}

pub fn number(name: &str, value: &Val<'_>) -> Result<f64, Fault> {
    match value {
        Val::Double(value) => Ok(*value),
        Val::Int(value) => Ok(*value as f64),
        Val::Uint(value) => Ok(*value as f64),
        other => Err(wrong(name, other)),
    }
}

fn is<'a>(name: &str, args: &[Val<'a>], test: fn(f64) -> bool) -> Result<Val<'a>, Fault> {
    number(name, &args[0]).map(|number| Val::Bool(test(number)))
}

fn rounded<'a>(name: &str, args: &[Val<'a>], round: fn(f64) -> f64) -> Result<Val<'a>, Fault> {
    match &args[0] {
        Val::Double(value) => Ok(Val::Double(round(*value))),
        Val::Int(_) | Val::Uint(_) => Ok(args[0].clone()),
        other => Err(wrong(name, other)),
    }
}

fn abs<'a>(value: &Val<'a>) -> Result<Val<'a>, Fault> {
    match value {
        Val::Int(value) => {
            value.checked_abs().map(Val::Int).ok_or_else(|| Fault("the result of `abs` does not fit".into()))
        }
        Val::Uint(value) => Ok(Val::Uint(*value)),
        Val::Double(value) => Ok(Val::Double(value.abs())),
        other => Err(wrong("abs", other)),
    }
}

fn sign<'a>(value: &Val<'a>) -> Result<Val<'a>, Fault> {
    match value {
        Val::Int(value) => Ok(Val::Int(value.signum())),
        Val::Uint(value) => Ok(Val::Uint((*value).min(1))),
        Val::Double(value) if *value == 0.0 || value.is_nan() => Ok(Val::Double(*value)),
        Val::Double(value) => Ok(Val::Double(value.signum())),
        other => Err(wrong("sign", other)),
    }
}

/// The first number of a list, or of one number, that no other is beyond.
fn extreme<'a>(name: &str, of: &Val<'a>, beyond: Ordering, cost: &mut Cost) -> Result<Val<'a>, Fault> {
    let Val::List(list) = of else {
        return number(name, of).map(|_| of.clone());
    };
    cost.charge(list.len())?;
    let mut best: Option<Val<'a>> = None;
    for item in list.iter() {
        number(name, &item)?;
        if best.as_ref().is_none_or(|best| compare::numbers(&item, best) == Compared::Order(beyond)) {
            best = Some(item);
        }
    }
    best.ok_or_else(|| Fault(format!("`{name}` of an empty list")))
}

fn bits<'a>(name: &str, args: &[Val<'a>], make: fn(u64, u64) -> u64) -> Result<Val<'a>, Fault> {
    match (&args[0], &args[1]) {
        (Val::Int(a), Val::Int(b)) => Ok(Val::Int(make(*a as u64, *b as u64) as i64)),
        (Val::Uint(a), Val::Uint(b)) => Ok(Val::Uint(make(*a, *b))),
        (a, b) => {
            Err(Fault(format!("`{name}` takes two ints or two uints, not {} and {}", a.kind(), b.kind())))
        }
    }
}

fn not<'a>(value: &Val<'a>) -> Result<Val<'a>, Fault> {
    match value {
        Val::Int(value) => Ok(Val::Int(!value)),
        Val::Uint(value) => Ok(Val::Uint(!value)),
        other => Err(wrong("bitNot", other)),
    }
}

/// Bits that are shifted in are 0, of a negative int as well.
fn shift<'a>(name: &str, args: &[Val<'a>], make: fn(u64, u32) -> Option<u64>) -> Result<Val<'a>, Fault> {
    let Val::Int(by) = args[1] else { return Err(wrong(name, &args[1])) };
    if by < 0 {
        return Err(Fault(format!("`{name}` by {by} bits")));
    }
    let shifted = |value: u64| u32::try_from(by).ok().and_then(|by| make(value, by)).unwrap_or(0);
    match &args[0] {
        Val::Int(value) => Ok(Val::Int(shifted(*value as u64) as i64)),
        Val::Uint(value) => Ok(Val::Uint(shifted(*value))),
        other => Err(wrong(name, other)),
    }
}
