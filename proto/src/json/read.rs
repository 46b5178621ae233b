//! From JSON to a value, in one pass and without a tree between them: every command's body comes through here.

use super::Error;
use crate::value::{Record, Text, Value};
use std::sync::Arc;

/// The one member of objects that stand for what JSON does not have.
const RECON: &str = "$recon";

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    levels_max: usize,
    /// Integers beyond 64 bits are doubles.
    takes_large: bool,
    /// Items and members of the lists and records that are still open.
    items: Vec<Value>,
    members: Vec<(Text, Value)>,
    /// Where the names of `members` are.
    places: Vec<usize>,
}

pub fn parse(text: &[u8], levels_max: usize, takes_large: bool) -> Result<Value, Error> {
    let text = std::str::from_utf8(text)
        .map_err(|error| Error { at: error.valid_up_to(), error: "the text is no UTF-8".into() })?;
    let mut parser = Parser {
        text,
        bytes: text.as_bytes(),
        at: 0,
        levels_max,
        takes_large,
        items: Vec::new(),
        members: Vec::new(),
        places: Vec::new(),
    };
    parser.space();
    let value = parser.value(levels_max)?;
    parser.space();
    match parser.peek() {
        None => Ok(value),
        Some(_) => parser.fail("something follows the value"),
    }
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn fail<T>(&self, error: impl Into<String>) -> Result<T, Error> {
        fail(self.at, error)
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn skip_if(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn value(&mut self, levels: usize) -> Result<Value, Error> {
        match self.peek() {
            Some(b'"') => Ok(Value::Text(self.text()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'{' | b'[') if levels == 0 => self.fail(format!("more than {} levels", self.levels_max)),
            Some(b'{') => self.record(levels - 1),
            Some(b'[') => self.list(levels - 1),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(_) => self.fail("a value is expected here"),
            None => self.fail("the text ends where a value is expected"),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Error> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(value)
        } else {
            self.fail("a value is expected here")
        }
    }

    fn list(&mut self, levels: usize) -> Result<Value, Error> {
        let first = self.items.len();
        self.at += 1;
        self.space();
        if self.skip_if(b']') {
            return Ok(Value::List(Arc::default()));
        }
        loop {
            self.space();
            let item = self.value(levels)?;
            self.items.push(item);
            if !self.goes_on(b']')? {
                break;
            }
        }
        Ok(Value::List(self.items.drain(first..).collect()))
    }

    /// Whether another item or member follows: a comma, or else the end.
    fn goes_on(&mut self, end: u8) -> Result<bool, Error> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(false)
            }
            Some(_) => self.fail(format!("`,` or `{}` is expected here", char::from(end))),
            None => self.fail(format!("the text ends before its `{}`", char::from(end))),
        }
    }

    fn record(&mut self, levels: usize) -> Result<Value, Error> {
        let (begin, first) = (self.at, self.members.len());
        self.at += 1;
        self.space();
        if self.skip_if(b'}') {
            return Ok(Value::Record(Record::default()));
        }
        if self.members.capacity() == 0 {
            self.members.reserve(24);
            self.places.reserve(24);
        }
        loop {
            self.member(levels)?;
            if !self.goes_on(b'}')? {
                break;
            }
        }
        self.end_record(begin, first)
    }

    fn member(&mut self, levels: usize) -> Result<(), Error> {
        self.space();
        let place = self.at;
        if self.peek() != Some(b'"') {
            return self.fail("a member's name in quotes is expected here");
        }
        let name = self.text()?;
        self.space();
        if !self.skip_if(b':') {
            return self.fail("`:` is expected here");
        }
        self.space();
        let value = self.value(levels)?;
        self.members.push((name, value));
        self.places.push(place);
        Ok(())
    }

    fn end_record(&mut self, begin: usize, first: usize) -> Result<Value, Error> {
        let members: Arc<[(Text, Value)]> = self.members.drain(first..).collect();
        if let [(name, _)] = &members[..]
            && name == RECON
        {
            return fail(begin, format!("values in the form of {RECON} are not there yet"));
        }
        let record = Record::new(members.clone()).or_else(|twice| {
            fail(self.places[first + twice], format!("`{}` is there twice", members[twice].0))
        })?;
        self.places.truncate(first);
        Ok(Value::Record(record))
    }

    /// A text whose quote is next.
    fn text(&mut self) -> Result<Text, Error> {
        let begin = self.at + 1;
        self.at = plain(self.bytes, begin);
        if self.skip_if(b'"') {
            return Ok(Text::new(&self.text[begin..self.at - 1]));
        }
        let mut text = String::from(&self.text[begin..self.at]);
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return self.fail("a control character must be escaped"),
                None => return self.fail("the text ends before its quote"),
            }
            let begin = self.at;
            self.at = plain(self.bytes, begin);
            text.push_str(&self.text[begin..self.at]);
        }
        self.at += 1;
        Ok(text.into())
    }

    /// The character that an escape stands for.
    fn escape(&mut self) -> Result<char, Error> {
        let plain = match self.bytes.get(self.at + 1) {
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(*byte),
            Some(b'u') => return self.unicode(),
            _ => return self.fail("no such escape"),
        };
        self.at += 2;
        Ok(plain)
    }

    fn unicode(&mut self) -> Result<char, Error> {
        let high = self.unit(self.at)?;
        let (code, length) = match high {
            0xd800..=0xdbff => match self.unit(self.at + 6) {
                Ok(low @ 0xdc00..=0xdfff) => (0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00), 12),
                _ => return self.fail("half a surrogate pair"),
            },
            _ => (high, 6),
        };
        match char::from_u32(code) {
            Some(char) => {
                self.at += length;
                Ok(char)
            }
            None => self.fail("half a surrogate pair"),
        }
    }

    /// The number in `\u0000` at a place.
    fn unit(&self, at: usize) -> Result<u32, Error> {
        let digits = self.bytes.get(at + 2..at + 6).filter(|_| self.bytes[at..].starts_with(b"\\u"));
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let code =
            digits.and_then(|digits| digits.iter().try_fold(0, |code, byte| Some(code << 4 | digit(byte)?)));
        code.map_or_else(|| fail(at, "\\u and four hexadecimal digits are expected here"), Ok)
    }

    fn number(&mut self) -> Result<Value, Error> {
        let begin = self.at;
        let negative = self.skip_if(b'-');
        let whole = self.digits()?;
        if self.at - begin - usize::from(negative) > 1 && self.bytes[begin + usize::from(negative)] == b'0' {
            return fail(begin, "a number has no zeros before it");
        }
        if !matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return self.integer(begin, negative, whole);
        }
        if self.skip_if(b'.') {
            self.digits()?;
        }
        if self.skip_if(b'e') || self.skip_if(b'E') {
            let _ = self.skip_if(b'+') || self.skip_if(b'-');
            self.digits()?;
        }
        let number = self.text[begin..self.at].parse().ok().and_then(Value::number);
        number.map_or_else(|| fail(begin, "the number is beyond what a double can hold"), Ok)
    }

    /// Passes over digits; their number, if it is small.
    fn digits(&mut self) -> Result<i64, Error> {
        let (begin, mut number) = (self.at, 0_i64);
        while let Some(byte @ b'0'..=b'9') = self.peek() {
            number = number.wrapping_mul(10).wrapping_add(i64::from(byte - b'0'));
            self.at += 1;
        }
        if self.at == begin { self.fail("a digit is expected here") } else { Ok(number) }
    }

    fn integer(&self, begin: usize, negative: bool, small: i64) -> Result<Value, Error> {
        if self.at - begin <= 18 {
            return Ok(Value::Int(if negative { -small } else { small }));
        }
        let digits = &self.text[begin..self.at];
        let large = || digits.parse().ok().and_then(Value::number).filter(|_| self.takes_large);
        let number = digits.parse().ok().map(Value::Int).or_else(large);
        number.map_or_else(|| fail(begin, "the integer does not fit into 64 bits"), Ok)
    }
}

fn fail<T>(at: usize, error: impl Into<String>) -> Result<T, Error> {
    Err(Error { at, error: error.into() })
}

/// The first place at or behind `at` that ends a text or needs a look: a quote, a backslash, a control character.
fn plain(bytes: &[u8], mut at: usize) -> usize {
    while let Some(Ok(eight)) = bytes.get(at..at + 8).map(<[u8; 8]>::try_from) {
        if special(u64::from_le_bytes(eight)) {
            break;
        }
        at += 8;
    }
    let rest = &bytes[at..];
    at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)).unwrap_or(rest.len())
}

/// Whether any of eight bytes is a quote, a backslash or a control character.
fn special(eight: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes;
    let quote = zero(eight ^ (ONES * u64::from(b'"')));
    let backslash = zero(eight ^ (ONES * u64::from(b'\\')));
    let control = eight.wrapping_sub(ONES * 0x20) & !eight;
    (quote | backslash | control) & HIGH != 0
}
