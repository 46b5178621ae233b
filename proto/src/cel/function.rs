//! The functions that an expression can call, by name, form and number of arguments. Each library lists its own.

use super::val::Val;
use super::{Cost, Fault, convert, list, math, optional, text, time};
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

pub const SPACES: [&str; 5] = ["base64", "lists", "math", "optional", "strings"];

pub const fn global(name: &'static str, arguments: usize, call: Call) -> Function {
    Function { name, form: Form::Global, least: arguments, most: arguments, call }
}

pub const fn method(name: &'static str, least: usize, most: usize, call: Call) -> Function {
    Function { name, form: Form::Method, least, most, call }
}

pub const fn of(space: &'static str, name: &'static str, arguments: usize, call: Call) -> Function {
    Function { name, form: Form::Of(space), least: arguments, most: arguments, call }
}

pub enum Found {
    Function(&'static Function),
    /// There are functions of this name and form, with so many arguments.
    OtherArguments(String),
    /// There is one of this name, in another form.
    OtherForm(&'static Function),
    Nothing,
}

pub fn find(form: Form, name: &str, arguments: usize) -> Found {
    let named = || all().filter(|function| function.name == name);
    let mut same = named().filter(|function| function.form == form).peekable();
    if same.peek().is_none() {
        return named().next().map_or(Found::Nothing, Found::OtherForm);
    }
    let receiver = usize::from(form == Form::Method);
    let mut counts = Vec::new();
    for function in same {
        if (function.least..=function.most).contains(&arguments) {
            return Found::Function(function);
        }
        counts.extend((function.least..=function.most).map(|count| (count - receiver).to_string()));
    }
    Found::OtherArguments(counts.join(" or "))
}

fn all() -> impl Iterator<Item = &'static Function> {
    [
        convert::FUNCTIONS,
        text::FUNCTIONS,
        math::FUNCTIONS,
        list::FUNCTIONS,
        time::FUNCTIONS,
        optional::FUNCTIONS,
    ]
    .into_iter()
    .flatten()
}

/// Of an argument that is none of those that the function takes.
#[cold]
pub fn wrong(name: &str, argument: &Val<'_>) -> Fault {
    Fault(format!("`{name}` does not take {}", argument.kind()))
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
