//! Expressions: CEL over a command, an agent's lanes and the time. Parsed by the `cel` crate, evaluated here over
//! Shoal's own values, with a bound on cost.
//!
//! *Guarantees*
//! - The same text over the same scope gives the same value or the same fault, on every node: maps are walked in key
//!   order, functions of doubles give the same bits on every machine, and nothing here reads a clock or a random source.
//! - No text and no value makes it panic, overflow its stack, or work for longer than [`COST_MAX`] allows.
//! - Lanes and the command are read in place: what an expression does not touch costs nothing, however large it is.
//!
//! *Assumptions*
//! - A [`Scope`] answers for every lane that it was named with in [`Names`], and for no other.
//!
//! `proto/docs/cel.md` says what of CEL is there, what differs, and what it costs.

mod compare;
mod compile;
mod convert;
mod eval;
mod format;
mod function;
mod geo;
mod library;
mod list;
mod math;
mod node;
mod number;
mod optional;
mod parse;
mod store;
mod text;
mod time;
mod val;
mod walk;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;

use crate::value::Value;
use eval::Run;
use node::Node;
use std::sync::Arc;

pub use time::millis as millis_of_time;

/// An expression that does not compile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Error {
    /// Characters from the start of the text, the first is 1.
    pub at: usize,
    pub error: String,
}

/// What an expression may name, besides `event agent here sender now`.
#[derive(Debug, Clone, Default)]
pub struct Names {
    pub lanes: Vec<Name>,
    /// There is an `item` as well.
    pub item: bool,
    /// There is a `key` as well.
    pub key: bool,
}

#[derive(Debug, Clone)]
pub struct Name {
    pub name: String,
    /// What `Scope` is asked with.
    pub lane: usize,
    pub map: bool,
    /// Numbers of this lane are always doubles.
    pub double: bool,
}

/// A compiled expression.
#[derive(Debug)]
pub struct Program {
    root: Node,
}

/// What an expression sees.
pub trait Scope {
    /// The value of a Value lane.
    fn value(&self, lane: usize) -> &Value;
    /// The entries of a Map lane.
    fn map(&self, lane: usize) -> &dyn Entries;
    fn event(&self) -> &Value;
    /// The element that a step runs for. Asked for only if [`Names`] have one.
    fn item(&self) -> &Value;
    /// What a timer was scheduled with. Asked for only if [`Names`] have one.
    fn key(&self) -> &Value;
    /// The parameters of the route, decoded: a record of texts.
    fn agent(&self) -> &Value;
    fn here(&self) -> &str;
    fn sender(&self) -> &str;
    fn now_ms(&self) -> i64;
}

/// A Map lane as expressions see it.
pub trait Entries {
    fn get(&self, key: &Value) -> Option<&Value>;
    fn len(&self) -> usize;
    /// In key order.
    fn iter(&self) -> Box<dyn Iterator<Item = (&Value, &Value)> + '_>;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why an evaluation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub String);

/// What is left of a command's budget.
#[derive(Debug, Clone, Copy)]
pub struct Cost(pub u32);

/// What all expressions of one command may cost.
pub const COST_MAX: u32 = 100_000;

/// The longest text of an expression, in characters.
pub const TEXT_MAX: usize = 2048;

impl Program {
    pub fn compile(text: &str, names: &Names) -> Result<Program, Error> {
        Ok(Program { root: compile::compile(text, names)? })
    }

    /// The value, in the form in which it can be stored.
    pub fn run(&self, scope: &dyn Scope, cost: &mut Cost) -> Result<Value, Fault> {
        let value = Run::new(scope, cost).eval(&self.root)?;
        store::store(value, cost)
    }

    /// For `when`: what is no bool is a fault.
    pub fn test(&self, scope: &dyn Scope, cost: &mut Cost) -> Result<bool, Fault> {
        match Run::new(scope, cost).eval(&self.root)? {
            val::Val::Bool(value) => Ok(value),
            other => Err(Fault(format!("a condition is a bool, and this one is of type {}", other.kind()))),
        }
    }
}

impl Program {
    /// For `each`: the elements of a list, or the keys of a map in their order, in the form in which they can be stored.
    /// More than so many are a fault.
    pub fn items(&self, scope: &dyn Scope, cost: &mut Cost, most: usize) -> Result<Arc<[Value]>, Fault> {
        let value = Run::new(scope, cost).eval(&self.root)?;
        let count = match &value {
            val::Val::List(list) => list.len(),
            val::Val::Map(map) => map.len(),
            other => {
                return Err(Fault(format!(
                    "a step runs for each element of a list or a map, not of {}",
                    other.kind()
                )));
            }
        };
        if count > most {
            return Err(Fault(format!("a step runs for at most {most} elements, and here are {count}")));
        }
        cost.charge(count)?;
        if let val::Val::Map(map) = value {
            cost.charge(walk::before(&map))?;
            return map.entries().map(|(key, _)| store::store(key, cost)).collect();
        }
        match store::store(value, cost)? {
            Value::List(items) => Ok(items),
            other => Ok([other].into()),
        }
    }
}

impl Program {
    /// For `after` and `every`: a duration, or its text, in whole milliseconds, rounded up.
    pub fn span_ms(&self, scope: &dyn Scope, cost: &mut Cost) -> Result<i64, Fault> {
        let value = Run::new(scope, cost).eval(&self.root)?;
        time::span_millis(&value).ok_or_else(|| expected("a duration such as duration('5m')", &value))
    }

    /// For `at`: a timestamp, or its text, in milliseconds since 1970, rounded up.
    pub fn time_ms(&self, scope: &dyn Scope, cost: &mut Cost) -> Result<i64, Fault> {
        let value = Run::new(scope, cost).eval(&self.root)?;
        let text = "a timestamp such as now + duration('5m') or '2013-01-31T05:00:00Z'";
        time::time_millis(&value).ok_or_else(|| expected(text, &value))
    }
}

/// The value is not what the field is for.
fn expected(what: &str, value: &val::Val) -> Fault {
    match value.as_text() {
        Some(text) => {
            Fault(format!("{what} is expected, not '{}'", text.chars().take(64).collect::<String>()))
        }
        None => Fault(format!("{what} is expected, not one of type {}", value.kind())),
    }
}

impl Cost {
    #[inline]
    fn charge(&mut self, amount: usize) -> Result<(), Fault> {
        match u32::try_from(amount).ok().and_then(|amount| self.0.checked_sub(amount)) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => Err(self.exhausted()),
        }
    }

    /// For a text that is scanned or built.
    #[inline]
    fn charge_text(&mut self, bytes: usize) -> Result<(), Fault> {
        self.charge(bytes / 64)
    }

    /// Nothing is left afterwards, so that no operator that absorbs a fault goes on.
    #[cold]
    fn exhausted(&mut self) -> Fault {
        self.0 = 0;
        Fault(format!(
            "the expressions of one command cost more than {COST_MAX}: simplify them, or send less data"
        ))
    }
}
