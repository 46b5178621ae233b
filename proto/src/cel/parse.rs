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
    if let Some((at, error)) = foreign_at(text, at) {
        return Error { at, error };
    }
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

/// What other languages have, and how CEL writes it.
const FOREIGN: [(&str, &str); 12] = [
    ("and", "&&"),
    ("or", "||"),
    ("not", "!"),
    ("&", "&&"),
    ("|", "||"),
    ("=", "=="),
    ("True", "true"),
    ("False", "false"),
    ("None", "null"),
    ("nil", "null"),
    ("NULL", "null"),
    ("undefined", "null"),
];

/// What is said of a word or operator of another language.
pub fn foreign(word: &str) -> Option<String> {
    let (_, own) = FOREIGN.into_iter().find(|(foreign, _)| *foreign == word)?;
    Some(format!("`{word}` is written `{own}`"))
}

/// The word or operator of another language at which a text stops to be an expression, or just before it.
fn foreign_at(text: &str, at: usize) -> Option<(usize, String)> {
    let offset = text.char_indices().nth(at - 1).map_or(text.len(), |(offset, _)| offset);
    let (before, after) = text.split_at(offset);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let is_sign = |c: char| "=&|!<>".contains(c);
    let end = |of: fn(char) -> bool| after.find(|c| !of(c)).unwrap_or(after.len());
    let here = &after[..end(is_word).max(end(is_sign))];
    if let Some(error) = foreign(here) {
        return Some((at, error));
    }
    let before = before.trim_end();
    let start = before.rfind(|c| !is_word(c)).map_or(0, |last| before.ceil_char_boundary(last + 1));
    if before[..start].trim_end().ends_with('.') {
        return None; // a member of that name
    }
    foreign(&before[start..]).map(|error| (text[..start].chars().count() + 1, error))
}

/// The parser counts lines and columns from 1.
fn at_line(text: &str, (line, column): (isize, isize)) -> usize {
    let lines = usize::try_from(line - 1).unwrap_or(0);
    let before: usize = text.split_inclusive('\n').take(lines).map(|line| line.chars().count()).sum();
    before + usize::try_from(column).unwrap_or(1).max(1)
}

/// Without what else could stand there.
fn plain(message: &str) -> String {
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    let named = |word: &&str| message.ends_with(&format!("at input '.{word}'"));
    if message == "unsupported ident kind" || ["in", "null", "true", "false"].iter().any(named) {
        return "reserved words of CEL, such as `in`, cannot follow a `.`: write ['in']".into();
    }
    if let Some(word) = message.strip_prefix("reserved identifier: ") {
        let instead = if word == "if" { ": a choice is written `test ? one : other`" } else { "" };
        return format!("CEL keeps the word `{word}` for itself{instead}");
    }
    let message = message.split(" expecting ").next().unwrap_or(message);
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

    /// Whether the name is all of the text.
    pub fn is_whole(&self, name: &str) -> bool {
        self.text.trim() == name
    }

    /// What comes after a name.
    pub fn after(&self, id: u64, name: &str) -> Option<char> {
        let rest = &self.text[self.offset(id)..];
        rest.get(rest.find(name)? + name.len()..)?.trim_start().chars().next()
    }

    fn offset(&self, id: u64) -> usize {
        let start = self.info.offset_for(id).map_or(0, |(start, _)| start as usize);
        if self.text.is_char_boundary(start) { start } else { 0 }
    }

    fn at(&self, offset: usize) -> usize {
        self.text[..offset].chars().count() + 1
    }
}
