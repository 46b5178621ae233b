//! From a text to the syntax tree of the `cel` crate, and back from a node to its place in the text.

use super::{Error, TEXT_MAX};
use cel::common::ast::{IdedExpr, SourceInfo};
use cel::parser::{ParseErrors, Parser};

/// The most parentheses, brackets, arguments and conditions in one another.
const NESTING_MAX: u16 = 32;

pub struct Parsed<'t> {
    pub root: IdedExpr,
    pub places: Places<'t>,
}

/// Where the nodes of a tree stand in its text.
pub struct Places<'t> {
    text: &'t str,
    info: SourceInfo,
}

pub fn parse(text: &str) -> Result<Parsed<'_>, Error> {
    let length = text.chars().count();
    if length == 0 || text.trim().is_empty() {
        return Err(Error { at: 1, error: "the expression is empty".into() });
    }
    if length > TEXT_MAX {
        let error = format!("the expression has {length} characters, and {TEXT_MAX} is the most");
        return Err(Error { at: TEXT_MAX + 1, error });
    }
    Parser::new()
        .max_recursion_depth(NESTING_MAX)
        .error_recovery_limit(4)
        .enable_optional_syntax(true)
        .parse_with_source_info(text)
        .map(|(root, info)| Parsed { root, places: Places { text, info } })
        .map_err(|errors| first(text, errors))
}

fn first(text: &str, errors: ParseErrors) -> Error {
    let Some(error) = errors.errors.into_iter().next() else {
        return Error { at: 1, error: "this is no expression".into() };
    };
    let at = at_line(text, error.pos);
    let message = match error.source {
        Some(source) if error.msg == "UNKNOWN" => source.to_string(),
        _ => error.msg,
    };
    // The parser says so in its own words, as what it wraps.
    let error = if message.contains("Recursion limit") {
        format!("the expression is nested more than {NESTING_MAX} levels deep")
    } else {
        plain(&message)
    };
    Error { at, error }
}

/// The parser counts lines and columns from 1.
fn at_line(text: &str, (line, column): (isize, isize)) -> usize {
    let lines = usize::try_from(line - 1).unwrap_or(0);
    let before: usize = text.split_inclusive('\n').take(lines).map(|line| line.chars().count()).sum();
    before + usize::try_from(column).unwrap_or(1).max(1)
}

/// Without the long list of what else could stand there.
fn plain(message: &str) -> String {
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    let named = |word: &&str| message.ends_with(&format!("at input '.{word}'"));
    if message == "unsupported ident kind" || ["in", "null", "true", "false"].iter().any(named) {
        return "reserved words of CEL, such as `in`, cannot follow a `.`: write ['in']".into();
    }
    let message = message.split(" expecting {").next().unwrap_or(message);
    let message = message.replace("'<EOF>'", "the end").trim().to_owned();
    let after = |words| message.strip_prefix(words);
    if let Some("the end") = after("mismatched input ") {
        "it ends where more is expected".into()
    } else if let Some(what) = after("mismatched input ").or_else(|| after("extraneous input ")) {
        format!("{what} is not expected here")
    } else if let Some((what, place)) = after("missing ").and_then(|rest| rest.split_once(" at ")) {
        format!("{what} is missing before {place}")
    } else if let Some(what) = after("token recognition error at: ") {
        format!("unexpected character, or a string without its end: {what}")
    } else if let Some(what) = after("no viable alternative at input ") {
        format!("{what} can't be read")
    } else {
        message
    }
}

impl Places<'_> {
    /// Characters up to the node, the first is 1.
    pub fn node(&self, id: u64) -> usize {
        self.at(self.offset(id))
    }

    /// The parser keeps the parenthesis of a call, and the dot of a member: the name stands before or after it.
    pub fn name(&self, id: u64, name: &str) -> usize {
        let offset = self.offset(id);
        let (before, after) = self.text.split_at(offset);
        match (before.trim_end().strip_suffix(name), after.find(name)) {
            (Some(start), _) => self.at(start.len()),
            (None, Some(start)) => self.at(offset + start),
            (None, None) => self.at(offset),
        }
    }

    fn offset(&self, id: u64) -> usize {
        let start = self.info.offset_for(id).map_or(0, |(start, _)| start as usize);
        if self.text.is_char_boundary(start) { start } else { 0 }
    }

    fn at(&self, offset: usize) -> usize {
        self.text[..offset].chars().count() + 1
    }
}
