//! All functions that an expression can call, by name, form and number of arguments.

use super::function::{Form, Function};
use super::{convert, geo, list, math, optional, text, time};

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

pub fn has(form: Form, name: &str) -> bool {
    all().any(|function| function.form == form && function.name == name)
}

pub fn all() -> impl Iterator<Item = &'static Function> {
    [
        convert::FUNCTIONS,
        text::FUNCTIONS,
        math::FUNCTIONS,
        geo::FUNCTIONS,
        list::FUNCTIONS,
        time::FUNCTIONS,
        optional::FUNCTIONS,
    ]
    .into_iter()
    .flatten()
}
