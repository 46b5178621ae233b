//! Expressions: CEL over a command, an agent's lanes and the time. Parsed by the `cel` crate, evaluated here over
//! Shoal's own values, with a bound on cost.

use crate::value::Value;

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
pub struct Program {}

/// What an expression sees.
pub trait Scope {
    /// Of a Value lane.
    fn value(&self, lane: usize) -> &Value;
    /// Of a Map lane.
    fn map(&self, lane: usize) -> &dyn Entries;
    fn event(&self) -> &Value;
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

/// Of one command.
pub const COST_MAX: u32 = 100_000;

impl Program {
    pub fn compile(text: &str, names: &Names) -> Result<Program, Error> {
        let _ = (text, names);
        unimplemented!()
    }

    /// The value, in the form in which it can be stored.
    pub fn run(&self, scope: &dyn Scope, cost: &mut Cost) -> Result<Value, Fault> {
        let _ = (scope, cost);
        unimplemented!()
    }

    /// For `when`: what is no bool is a fault.
    pub fn test(&self, scope: &dyn Scope, cost: &mut Cost) -> Result<bool, Fault> {
        let _ = (scope, cost);
        unimplemented!()
    }
}
