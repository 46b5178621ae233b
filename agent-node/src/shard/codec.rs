//! Bytes of records and snapshots: numbers, texts, places, values, and sections with a tag and a length. Pure.
//!
//! *Guarantees*: what was written is read as the same; bytes that nobody wrote are an error, take no memory out of
//! proportion, and end nothing.

use super::event::Place;
use proto::address::Slot;
use proto::binary;
use proto::value::Value;

/// The bit of a section's tag that lets readers pass over it who do not know it.
pub const SKIPPABLE: u8 = 0x80;
/// The most that a section's tag and length take.
pub const SECTION: usize = 1 + 5;

/// What bytes that can't be read are told as.
pub type Broken = &'static str;

pub const TOO_SHORT: Broken = "it ends too early";

pub fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub fn text(text: &str, out: &mut Vec<u8>) {
    varint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

pub fn place(place: Place, out: &mut Vec<u8>) {
    varint(place.history.into(), out);
    varint(place.lsn, out);
    varint(place.index.into(), out);
}

/// Its tag, its length, and what `write` adds. There is one byte for the length: what needs more moves by as much.
pub fn section(tag: u8, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let at = out.len();
    out.push(0);
    write(out);
    let length = out.len() - at - 1;
    if length < 0x80 {
        out[at] = length as u8;
    } else {
        let mut bytes = Vec::with_capacity(SECTION);
        varint(length as u64, &mut bytes);
        out.splice(at..=at, bytes);
    }
}

/// Bytes that are being read.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    pub bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next section: its tag, and its bytes.
    pub fn section(&mut self) -> Result<(u8, Reader<'a>), Broken> {
        let tag = self.byte()?;
        let length = self.varint()? as usize;
        Ok((tag, Reader { bytes: self.take(length)? }))
    }

    /// All that is left, one after the other.
    pub fn all<T>(&mut self, one: impl Fn(&mut Self) -> Result<T, Broken>) -> Result<Vec<T>, Broken> {
        let mut all = Vec::new();
        while !self.is_empty() {
            all.push(one(self)?);
        }
        Ok(all)
    }

    pub fn byte(&mut self) -> Result<u8, Broken> {
        Ok(self.take(1)?[0])
    }

    pub fn u64(&mut self) -> Result<u64, Broken> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().map_err(|_| TOO_SHORT)?))
    }

    pub fn varint(&mut self) -> Result<u64, Broken> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number without end")
    }

    pub fn text(&mut self) -> Result<&'a str, Broken> {
        let length = self.varint()? as usize;
        std::str::from_utf8(self.take(length)?).map_err(|_| "a text that is no UTF-8")
    }

    pub fn value(&mut self) -> Result<Value, Broken> {
        binary::decode(&mut self.bytes).map_err(|binary::Error(why)| why)
    }

    pub fn place(&mut self) -> Result<Place, Broken> {
        let (history, lsn) = (self.history()?, self.varint()?);
        Ok(Place { history, lsn, index: self.index()? })
    }

    pub fn history(&mut self) -> Result<u16, Broken> {
        u16::try_from(self.varint()?).map_err(|_| "a history out of range")
    }

    pub fn index(&mut self) -> Result<u32, Broken> {
        u32::try_from(self.varint()?).map_err(|_| "an index out of range")
    }

    pub fn slot(&mut self) -> Result<Slot, Broken> {
        Slot::try_from(self.varint()?).map_err(|_| "a slot out of range")
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(TOO_SHORT)?;
        self.bytes = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_of_all_lengths_come_back() {
        for length in [0, 1, 126, 127, 128, 129, 16_383, 16_384, 3 << 20] {
            let (mut out, bytes) = (vec![9], vec![length as u8; length]);
            section(3, &mut out, |out| out.extend_from_slice(&bytes));
            section(4 | SKIPPABLE, &mut out, |out| text("end", out));
            assert!(out.len() <= 1 + length + 2 * SECTION + 4);
            let mut reader = Reader::new(&out[1..]);
            let (tag, all) = reader.section().unwrap();
            assert_eq!((tag, all.bytes), (3, &bytes[..]), "{length}");
            let (tag, mut last) = reader.section().unwrap();
            assert_eq!((tag, last.text(), reader.is_empty()), (4 | SKIPPABLE, Ok("end"), true));
        }
    }

    #[test]
    fn a_section_that_is_longer_than_what_there_is_is_an_error() {
        for bytes in [&[3][..], &[3, 2, 1], &[3, 0xff, 0xff, 0xff, 0xff, 0x0f, 1]] {
            assert_eq!(Reader::new(bytes).section().unwrap_err(), TOO_SHORT);
        }
        assert!(
            Reader::new(&[3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).section().is_err()
        );
    }
}
