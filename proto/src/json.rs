//! Values as JSON texts.

use crate::value::Value;

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
    let _ = text;
    unimplemented!()
}

/// Without spaces.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    let _ = (value, out);
    unimplemented!()
}

/// How long the text is that `write` makes.
pub fn length(value: &Value) -> usize {
    let _ = value;
    unimplemented!()
}
