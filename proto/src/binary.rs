//! Values in the form in which records and frames between nodes carry them. It is kept on disks: what a byte means
//! here never changes, more tags may come.
//!
//! | first byte | value |
//! |---|---|
//! | `0x00` `0x01` `0x02` | null, false, true |
//! | `0x03` | integer: zigzag varint |
//! | `0x04` | double: 8 bytes, little-endian |
//! | `0x05` | text: varint length, UTF-8 |
//! | `0x06` | list: varint count, values |
//! | `0x07` | record: varint count, for each member its name (varint length, UTF-8) and value |
//! | `0x40..=0x7f` | text of 0 to 63 bytes, which follow |
//! | `0x80..=0xff` | integer from 0 to 127 |
//!
//! *Guarantees*: `decode` never panics, and takes memory proportional to the bytes, whatever they are.

#[cfg(test)]
mod tests;

use crate::value::{Record, Text, Value};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a value is broken: {0}")]
pub struct Error(pub &'static str);

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INTEGER: u8 = 3;
const DOUBLE: u8 = 4;
const TEXT: u8 = 5;
const LIST: u8 = 6;
const RECORD: u8 = 7;
const SHORT_TEXT: u8 = 0x40;
const SMALL_INTEGER: u8 = 0x80;

/// More than any stored value has, so that nothing written can be unreadable.
const LEVELS: usize = 128;

/// Appends the value; its end can be told from its bytes.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(value) => out.push(if *value { TRUE } else { FALSE }),
        Value::Int(number @ 0..=127) => out.push(SMALL_INTEGER | *number as u8),
        Value::Int(number) => {
            out.push(INTEGER);
            varint(zigzag(*number), out);
        }
        Value::Double(number) => {
            out.push(DOUBLE);
            out.extend_from_slice(&number.to_le_bytes());
        }
        Value::Text(text) if text.len() < 64 => {
            out.push(SHORT_TEXT | text.len() as u8);
            out.extend_from_slice(text.as_bytes());
        }
        Value::Text(text) => {
            out.push(TEXT);
            encode_text(text, out);
        }
        Value::List(items) => {
            out.push(LIST);
            varint(items.len() as u64, out);
            items.iter().for_each(|item| encode(item, out));
        }
        Value::Record(record) => {
            out.push(RECORD);
            varint(record.members().len() as u64, out);
            for (name, member) in record.members() {
                encode_text(name, out);
                encode(member, out);
            }
        }
    }
}

/// Takes one value from the front of `bytes`.
pub fn decode(bytes: &mut &[u8]) -> Result<Value, Error> {
    value(bytes, LEVELS)
}

fn encode_text(text: &str, out: &mut Vec<u8>) {
    varint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn value(bytes: &mut &[u8], levels: usize) -> Result<Value, Error> {
    let tag = split_off(bytes, 1)?[0];
    match tag {
        NULL => Ok(Value::Null),
        FALSE => Ok(Value::Bool(false)),
        TRUE => Ok(Value::Bool(true)),
        INTEGER => take_varint(bytes).map(|number| Value::Int((number >> 1) as i64 ^ -((number & 1) as i64))),
        DOUBLE => double(split_off(bytes, 8)?),
        TEXT => take_text(bytes).map(Value::Text),
        LIST | RECORD if levels == 0 => Err(Error("too many levels")),
        LIST => list(bytes, levels - 1),
        RECORD => record(bytes, levels - 1),
        SHORT_TEXT..SMALL_INTEGER => text(split_off(bytes, usize::from(tag & 0x3f))?).map(Value::Text),
        SMALL_INTEGER.. => Ok(Value::Int(i64::from(tag & 0x7f))),
        _ => Err(Error("an unknown tag")),
    }
}

fn double(bytes: &[u8]) -> Result<Value, Error> {
    let bytes = bytes.try_into().map_err(|_| Error("it ends too early"))?;
    Value::number(f64::from_le_bytes(bytes)).ok_or(Error("a number that is not finite"))
}

fn list(bytes: &mut &[u8], levels: usize) -> Result<Value, Error> {
    let count = take_length(bytes)?;
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        items.push(value(bytes, levels)?);
    }
    Ok(Value::list(items))
}

fn record(bytes: &mut &[u8], levels: usize) -> Result<Value, Error> {
    let count = take_length(bytes)?;
    let mut members = Vec::with_capacity(count);
    for _ in 0..count {
        members.push((take_text(bytes)?, value(bytes, levels)?));
    }
    Record::new(members).map(Value::Record).map_err(|_| Error("a member is there twice"))
}

fn split_off<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Error> {
    bytes.split_off(..length).ok_or(Error("it ends too early"))
}

fn take_text(bytes: &mut &[u8]) -> Result<Text, Error> {
    let length = take_length(bytes)?;
    text(split_off(bytes, length)?)
}

fn text(bytes: &[u8]) -> Result<Text, Error> {
    std::str::from_utf8(bytes).map(Text::new).map_err(|_| Error("a text is no UTF-8"))
}

/// A length, of no more bytes, items or members than can follow: each takes a byte at least.
fn take_length(bytes: &mut &[u8]) -> Result<usize, Error> {
    let length = usize::try_from(take_varint(bytes)?).unwrap_or(usize::MAX);
    if length > bytes.len() { Err(Error("it ends too early")) } else { Ok(length) }
}

fn take_varint(bytes: &mut &[u8]) -> Result<u64, Error> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = split_off(bytes, 1)?[0];
        if shift == 63 && byte > 1 {
            break;
        }
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(Error("a length or integer of more than 64 bits"))
}
