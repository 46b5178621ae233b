//! Values as JSON texts.
//!
//! *Guarantees*: what `write` makes, `parse` reads back as an equal value of the same form; `parse` never panics and
//! takes time and memory proportional to the text, whatever it is.

mod read;
#[cfg(test)]
mod tests;
mod write;

use crate::value::{DEPTH_MAX, Value};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Error {
    /// Bytes from the start of the text.
    pub at: usize,
    pub error: String,
}

/// One value and nothing else. Doubled members, lone surrogates, integers beyond int64 and more than 32 levels are
/// errors.
pub fn parse(text: &[u8]) -> Result<Value, Error> {
    read::parse(text, DEPTH_MAX, false)
}

/// For what has values within it. Integers beyond 64 bits are doubles, so that the caller can name their path.
pub(crate) fn parse_deeper(text: &[u8], levels: usize) -> Result<Value, Error> {
    read::parse(text, levels, true)
}

/// Without spaces.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    write::value(value, out);
}

/// How long the text is that `write` makes.
pub fn length(value: &Value) -> usize {
    let mut length = write::Length(0);
    write::value(value, &mut length);
    length.0
}
