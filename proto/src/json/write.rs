//! From a value to JSON, into a buffer or only counted.

use crate::value::Value;
use std::io::Write as _;

pub trait Out {
    fn put(&mut self, bytes: &[u8]);
}

impl Out for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

pub struct Length(pub usize);

impl Out for Length {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

pub fn value(value: &Value, out: &mut impl Out) {
    match value {
        Value::Null => out.put(b"null"),
        Value::Bool(true) => out.put(b"true"),
        Value::Bool(false) => out.put(b"false"),
        Value::Int(number) => integer(*number, out),
        Value::Double(number) => double(*number, out),
        Value::Text(string) => text(string, out),
        Value::List(items) => {
            let mut mark: &[u8] = b"[";
            for item in items.iter() {
                out.put(mark);
                self::value(item, out);
                mark = b",";
            }
            out.put(if items.is_empty() { b"[]" } else { b"]" });
        }
        Value::Record(record) => {
            let mut mark: &[u8] = b"{";
            for (name, member) in record.members() {
                out.put(mark);
                text(name, out);
                out.put(b":");
                self::value(member, out);
                mark = b",";
            }
            out.put(if record.members().is_empty() { b"{}" } else { b"}" });
        }
    }
}

fn integer(number: i64, out: &mut impl Out) {
    let mut digits = [0; 20];
    let (mut at, mut rest) = (digits.len(), number.unsigned_abs());
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.put(b"-");
    }
    out.put(&digits[at..]);
}

/// The shortest text that reads back, and shows that it is no integer: `Debug` has `.` or `e`, always.
fn double(number: f64, out: &mut impl Out) {
    let mut text = [0; 32];
    let mut rest = &mut text[..];
    write!(rest, "{number:?}").expect("no double is longer");
    let length = 32 - rest.len();
    out.put(&text[..length]);
}

fn text(text: &str, out: &mut impl Out) {
    out.put(b"\"");
    let bytes = text.as_bytes();
    let mut begin = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.put(&bytes[begin..at]);
        escape(*byte, out);
        begin = at + 1;
    }
    out.put(&bytes[begin..]);
    out.put(b"\"");
}

fn escape(byte: u8, out: &mut impl Out) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' => out.put(b"\\\""),
        b'\\' => out.put(b"\\\\"),
        b'\n' => out.put(b"\\n"),
        b'\r' => out.put(b"\\r"),
        b'\t' => out.put(b"\\t"),
        _ => {
            out.put(b"\\u00");
            out.put(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}
