//! What reads bytes and texts of strangers here, each with the laws that hold for any input. `tests/fuzz` feeds them.

use crate::address::{Address, decoded, segment, slot};
use crate::plan::{Checked, Plan};
use crate::ring::Ring;
use crate::shown::{self, Target};
use crate::value::Value;
use crate::{binary, json, origin};

/// A name, and what takes any bytes and panics when a law is broken.
pub type Fuzzed = (&'static str, fn(&[u8]));

pub const TARGETS: &[Fuzzed] =
    &[("address", address), ("json", json), ("plan", plan), ("ring", ring), ("value", value)];

/// The most memory that any of them may take at once for an input of so many bytes.
pub fn memory_max(bytes: usize) -> usize {
    (4 << 20) + 512 * bytes
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// What is read as JSON is written so that it is read as the same, and `length` says its length before.
fn json(bytes: &[u8]) {
    let Ok(value) = json::parse(bytes) else { return };
    let mut written = Vec::new();
    json::write(&value, &mut written);
    assert_eq!(json::length(&value), written.len());
    assert_eq!(json::parse(&written).as_ref(), Ok(&value));
    round_trips(&value);
}

/// The same of the binary form, whose bytes are never longer than those they were read from.
fn value(mut bytes: &[u8]) {
    let before = bytes.len();
    let Ok(value) = binary::decode(&mut bytes) else { return };
    assert!(round_trips(&value) <= before);
}

fn round_trips(value: &Value) -> usize {
    let mut written = Vec::new();
    binary::encode(value, &mut written);
    let mut rest = &written[..];
    assert_eq!(binary::decode(&mut rest).as_ref(), Ok(value));
    assert!(rest.is_empty());
    written.len()
}

/// An address has one normal form, which is its own; a segment made of any text is decoded to it.
fn address(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Ok(address) = Address::parse(text) {
        assert_eq!(Address::parse(address.as_str()).as_ref(), Ok(&address));
        assert!(address.segments().count() > 0);
        assert!(slot(address.as_str(), 256) < 256);
    }
    assert_eq!(decoded(&segment(text)), text);
    let _ = text.parse::<Target>();
    let _ = shown::body(text);
    if let (Some(origin), Some(host)) = (origin::Origin::parse(text), origin::Host::parse(text)) {
        let _ = (origin.is_of(host), host.is_this_machine());
    }
}

/// A plan that is taken is taken again in the form in which nodes get it, and has no errors in a check of its text.
fn plan(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Checked { plans: _, errors } = Plan::check_yaml(text);
    if let Ok((plan, _)) = Plan::from_yaml(text) {
        assert_eq!(errors, []);
        let json = plan.spec.for_nodes().to_json();
        assert!(Plan::parse(&json).is_ok(), "{}", String::from_utf8_lossy(&json));
    }
    let _ = Plan::parse(bytes);
}

/// A ring that is read is written as the bytes that it was read from.
fn ring(bytes: &[u8]) {
    let Ok(ring) = Ring::decode(bytes) else { return };
    assert_eq!(ring.encode(), bytes);
    assert_eq!(ring.loads().iter().sum::<u32>() as usize, ring.slots.len());
    for slot in 0..ring.slots.len() {
        let _ = ring.owner(slot as u16);
    }
}
