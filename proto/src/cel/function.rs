//! What a function is that an expression can call. Each library lists its own.

use super::val::Val;
use super::{Cost, Fault};
use std::fmt;

/// The arguments, the receiver first.
pub type Call = for<'a> fn(&mut Cost, &[Val<'a>]) -> Result<Val<'a>, Fault>;

pub struct Function {
    pub name: &'static str,
    pub form: Form,
    /// With the receiver.
    pub least: usize,
    pub most: usize,
    pub call: Call,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `size(x)`
    Global,
    /// `x.size()`
    Method,
    /// `math.abs(x)`
    Of(&'static str),
}

/// No function has more.
pub const ARGUMENTS_MAX: usize = 4;

/// A variable may have such a name: a call of a function that there is, as `math.abs(x)`, is always the function.
pub const SPACES: [&str; 7] = ["base64", "cel", "geo", "lists", "math", "optional", "strings"];

pub const fn global(name: &'static str, arguments: usize, call: Call) -> Function {
    Function { name, form: Form::Global, least: arguments, most: arguments, call }
}

pub const fn method(name: &'static str, least: usize, most: usize, call: Call) -> Function {
    Function { name, form: Form::Method, least, most, call }
}

pub const fn of(space: &'static str, name: &'static str, arguments: usize, call: Call) -> Function {
    Function { name, form: Form::Of(space), least: arguments, most: arguments, call }
}

/// The fault of an argument that is none of those that the function takes.
#[cold]
pub fn wrong(name: &str, argument: &Val<'_>) -> Fault {
    Fault(format!("`{name}` does not take {}", argument.kind()))
}

/// A whole number among the arguments.
pub fn whole(name: &str, args: &[Val<'_>], at: usize) -> Result<i64, Fault> {
    match args[at] {
        Val::Int(value) => Ok(value),
        ref other => Err(wrong(name, other)),
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.name)
    }
}

impl fmt::Display for Function {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.form {
            Form::Global => write!(out, "{}(..)", self.name),
            Form::Method => write!(out, "x.{}(..)", self.name),
            Form::Of(space) => write!(out, "{space}.{}(..)", self.name),
        }
    }
}
