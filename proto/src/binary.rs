//! Values in the form in which records and frames between nodes carry them.

use crate::value::Value;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a value is broken: {0}")]
pub struct Error(pub &'static str);

/// Appends the value; its end can be told from its bytes.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    let _ = (value, out);
    unimplemented!()
}

/// Takes one value from the front of `bytes`.
pub fn decode(bytes: &mut &[u8]) -> Result<Value, Error> {
    let _ = bytes;
    unimplemented!()
}
