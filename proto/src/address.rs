//! Addresses of agents in normal form, the routes that they match, and the slots that they lie in.
//!
//! *Guarantees*: the normal form of a normal form is itself; two texts whose decoded segments are equal have one normal
//! form, however they were escaped; `parse` takes time proportional to the text and never panics.

mod route;
#[cfg(test)]
mod tests;

pub use route::{Route, Segment, hash_input};

use crate::value::Text;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The longest address in normal form, in bytes.
pub const BYTES_MAX: usize = 1024;
pub const SEGMENTS_MAX: usize = 16;
/// The longest segment, decoded, in bytes.
pub const SEGMENT_BYTES_MAX: usize = 256;

/// First segments that name no agent, as nodes answer there themselves; and all that begin with `shoal`, `.` or `_`.
pub const RESERVED: [&str; 6] = ["console", "openapi.json", "metrics", "livez", "readyz", "healthz"];
pub const RESERVED_PREFIX: &str = "shoal";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// In normal form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(Arc<str>);

impl Address {
    pub fn parse(text: &str) -> Result<Address, Error> {
        let path = path(text)?;
        let normal = if is_normal(path) { Cow::Borrowed(path) } else { normal(path)?.into() };
        within_limits(&normal)?;
        Ok(Address(normal.into()))
    }

    /// What is known to be in normal form: it came out of a log or a peer.
    pub fn trusted(text: &str) -> Address {
        Address(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Percent-encoded.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').skip(1)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A hash partition.
pub type Slot = u16;

/// The slot of a hash input, for a power of two of slots: the top bits, so that twice as many only split them.
pub fn slot(input: &str, slots: u32) -> Slot {
    let hash = xxhash_rust::xxh3::xxh3_64(input.as_bytes());
    hash.checked_shr(64 - slots.trailing_zeros()).unwrap_or(0) as Slot
}

/// Escapes a text, so that it is one segment of an address. Only `.` and `..` have no such form.
pub fn segment(text: &str) -> Text {
    let mut out = String::with_capacity(text.len());
    text.bytes().for_each(|byte| push(byte, is_plain(byte), &mut out));
    out.into()
}

/// Whether a first segment names no agent.
pub fn is_reserved(segment: &str) -> bool {
    RESERVED.contains(&segment) || segment.starts_with(RESERVED_PREFIX) || segment.starts_with(['.', '_'])
}

/// The text of a segment in normal form.
pub fn decoded(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return segment.into();
    }
    let mut out = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Ok(Some(byte)) = next_byte(&mut rest) {
        out.push(byte);
    }
    String::from_utf8_lossy(&out).into_owned().into()
}

/// Without scheme and host.
fn path(text: &str) -> Result<&str, Error> {
    if let Some(mark) = text.find(['?', '#']) {
        return Err(Error(format!("an address has no `{}`", &text[mark..=mark])));
    }
    if text.starts_with('/') {
        return Ok(text);
    }
    let scheme = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    match text.split_once("://") {
        Some((before, rest))
            if text.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme(before) =>
        {
            Ok(rest.find('/').map_or("/", |begin| &rest[begin..]))
        }
        _ => Err(Error(format!("an address begins with `/`, which `{}` does not", excerpt(text)))),
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Most addresses are: no work, no copy. Says no also where it would need a closer look.
fn is_normal(path: &str) -> bool {
    path.bytes().all(|byte| is_plain(byte) || byte == b'/') && !path.contains("/.")
}

fn normal(path: &str) -> Result<String, Error> {
    let mut segments = Vec::new();
    let last = path.matches('/').count() - 1;
    for (place, segment) in path.split('/').skip(1).enumerate() {
        let segment = normal_segment(segment)?;
        match segment.as_str() {
            "." => {}
            ".." => drop(segments.pop()),
            _ => {
                segments.push(segment);
                continue;
            }
        }
        if place == last {
            segments.push(String::new());
        }
    }
    Ok(segments.iter().fold(String::new(), |path, segment| path + "/" + segment))
}

fn normal_segment(segment: &str) -> Result<String, Error> {
    let (mut out, mut decoded) = (String::with_capacity(segment.len()), Vec::with_capacity(segment.len()));
    let mut rest = segment.as_bytes();
    while let Some(byte) = next_byte(&mut rest)? {
        push(byte, is_plain(byte), &mut out);
        decoded.push(byte);
    }
    match std::str::from_utf8(&decoded) {
        Ok(_) => Ok(out),
        Err(_) => Err(Error(format!("`{}` is no UTF-8", excerpt(segment)))),
    }
}

/// The next byte of a segment, escaped or not.
fn next_byte(rest: &mut &[u8]) -> Result<Option<u8>, Error> {
    let Some((first, behind)) = rest.split_first() else { return Ok(None) };
    if *first != b'%' {
        *rest = behind;
        return Ok(Some(*first));
    }
    let digit = |place: usize| char::from(*behind.get(place)?).to_digit(16);
    let (Some(high), Some(low)) = (digit(0), digit(1)) else {
        return Err(Error("`%` in an address is followed by two hexadecimal digits".into()));
    };
    *rest = &behind[2..];
    Ok(Some((high << 4 | low) as u8))
}

fn push(byte: u8, plain: bool, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if plain {
        out.push(char::from(byte));
    } else {
        out.push('%');
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

/// What stands in a segment as itself: what RFC 3986 calls `pchar`, but for escapes.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

fn within_limits(normal: &str) -> Result<(), Error> {
    if normal.len() > BYTES_MAX {
        return Err(Error(format!(
            "an address has at most {BYTES_MAX} bytes, this one has {}",
            normal.len()
        )));
    }
    if normal.matches('/').count() > SEGMENTS_MAX {
        return Err(Error(format!("an address has at most {SEGMENTS_MAX} segments")));
    }
    let decoded = |segment: &str| segment.len() - 2 * segment.matches('%').count();
    match normal.split('/').find(|segment| decoded(segment) > SEGMENT_BYTES_MAX) {
        Some(_) => Err(Error(format!("a segment of an address has at most {SEGMENT_BYTES_MAX} bytes"))),
        None => Ok(()),
    }
}
