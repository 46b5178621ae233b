//! What a record's body says: the effects of one command, whole. Pure: bytes in, values out.
//!
//! Version 2: a format byte, history, slot time, plan generation, agent (empty: of the slot itself). Then sections, in the
//! order of their tags, each with its length, and only those that say something: event (a value that changes and sends
//! may refer to), key of a command that was done or refused, answer, origin, changes, sends, trims, idle clients, gone
//! clients, timers that fired, were set or cancelled. The highest bit of a tag lets a reader pass over a section that it does not know.

use super::codec::{Broken, Reader, SKIPPABLE, place, section, text, varint};
use super::event::{Message, Place};
use super::outbox::Trims;
use crate::log::Head;
use bytes::Bytes;
use proto::address::{Address, Slot};
use proto::binary;
use proto::plan::{Lane, LaneId};
use proto::value::{Text, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

mod timers;

pub use crate::link::Change;
pub use timers::{Fired, Set, TimerChange};

const FORMAT: u8 = 2;
/// A value is the record's event.
const EVENT: u8 = 0;
const OTHER: u8 = 1;

/// The sections of a record. Their numbers are for ever.
mod tag {
    pub const EVENT: u8 = 1;
    /// The key of a command that took effect.
    pub const DONE: u8 = 2;
    /// That of one that was refused.
    pub const REFUSED: u8 = 3;
    pub const ANSWER: u8 = 4;
    pub const ORIGIN: u8 = 5;
    pub const CHANGES: u8 = 6;
    pub const SENDS: u8 = 7;
    pub const TRIMS: u8 = 8;
    pub const IDLE: u8 = 9;
    pub const GONE: u8 = 10;
    /// The timer whose turn this is.
    pub const FIRED: u8 = 11;
    /// Timers that are set or cancelled.
    pub const TIMERS: u8 = 12;
    /// The agent has ended: its timers before this are gone, and what the plan did not have of its lanes.
    pub const ENDED: u8 = 13;
}

/// A record, as it is read back.
#[derive(Debug, Default, PartialEq)]
pub struct Record {
    pub history: u16,
    pub time_ms: u64,
    pub generation: u64,
    pub agent: String,
    pub key: Option<(Arc<str>, u64)>,
    /// The command with this key was refused; else it took effect.
    pub is_refused: bool,
    /// What a rule has answered to it, as JSON.
    pub answer: Option<Bytes>,
    pub origin: Option<(Slot, Place)>,
    pub changes: Vec<(LaneId, Change)>,
    pub sends: Vec<Sent>,
    pub trims: Vec<(Slot, Place)>,
    pub idle: Vec<Arc<str>>,
    pub gone: Vec<Arc<str>>,
    pub fired: Option<Fired>,
    pub timers: Vec<TimerChange>,
    pub is_ended: bool,
}

/// A send in the record of its sender. Its place is the record's, and its index in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    pub to: Slot,
    pub previous: Place,
    pub agent: Text,
    pub lane: Text,
    pub body: Value,
    pub hops: u8,
}

/// What every record begins with.
pub struct Begin<'a> {
    pub history: u16,
    pub time_ms: u64,
    pub generation: u64,
    pub agent: &'a str,
}

/// What a record is made of.
pub struct Parts<'a> {
    pub begin: Begin<'a>,
    /// A value that changes and sends may refer to: it stands in the record once.
    pub event: Option<&'a Value>,
    pub key: Option<&'a (Arc<str>, u64)>,
    pub is_refused: bool,
    /// Kept for who sends the command with this key again.
    pub answer: Option<&'a [u8]>,
    pub origin: Option<(Slot, Place)>,
    /// By index of the lane in `lanes`.
    pub changes: &'a [(usize, Change)],
    pub lanes: &'a [Lane],
    pub sends: &'a [Sent],
    pub trims: Trims<'a>,
    pub idle: &'a [Arc<str>],
    pub gone: &'a [Arc<str>],
    pub fired: Option<&'a Fired>,
    pub timers: &'a [TimerChange],
    pub is_ended: bool,
}

static NO_TRIMS: BTreeMap<Slot, Place> = BTreeMap::new();

impl<'a> Parts<'a> {
    /// A record of the slot itself, with nothing in it yet.
    pub fn of_slot(begin: Begin<'a>) -> Parts<'a> {
        Parts {
            begin,
            event: None,
            key: None,
            is_refused: false,
            answer: None,
            origin: None,
            changes: &[],
            lanes: &[],
            sends: &[],
            trims: NO_TRIMS.iter().take(0),
            idle: &[],
            gone: &[],
            fired: None,
            timers: &[],
            is_ended: false,
        }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        let Parts {
            begin,
            event,
            key,
            is_refused,
            answer,
            origin,
            changes,
            lanes,
            sends,
            trims,
            idle,
            gone,
            fired,
            timers,
            is_ended,
        } = self;
        out.push(FORMAT);
        varint(begin.history.into(), out);
        varint(begin.time_ms, out);
        varint(begin.generation, out);
        text(begin.agent, out);
        if let Some(event) = event {
            section(tag::EVENT, out, |out| binary::encode(event, out));
        }
        if let Some((client, sequence)) = key {
            section(if *is_refused { tag::REFUSED } else { tag::DONE }, out, |out| {
                varint(*sequence, out);
                out.extend_from_slice(client.as_bytes());
            });
        }
        if let Some(answer) = answer {
            section(tag::ANSWER, out, |out| out.extend_from_slice(answer));
        }
        if let Some((slot, at)) = origin {
            section(tag::ORIGIN, out, |out| {
                varint((*slot).into(), out);
                place(*at, out);
            });
        }
        list(tag::CHANGES, changes.iter(), out, |(lane, change), out| {
            self.change(lanes[*lane].id, change, out);
        });
        list(tag::SENDS, sends.iter(), out, |sent, out| self.send(sent, out));
        list(tag::TRIMS, trims.clone(), out, |(to, at), out| {
            varint((*to).into(), out);
            place(*at, out);
        });
        for (tag, clients) in [(tag::IDLE, idle), (tag::GONE, gone)] {
            list(tag, clients.iter(), out, |client, out| text(client, out));
        }
        list(tag::FIRED, fired.iter(), out, |fired, out| fired.write(out));
        list(tag::TIMERS, timers.iter(), out, TimerChange::write);
        if *is_ended {
            section(tag::ENDED, out, |_| {});
        }
    }

    fn change(&self, lane: LaneId, change: &Change, out: &mut Vec<u8>) {
        out.extend_from_slice(&lane.0.to_le_bytes());
        match change {
            Change::Set(value) => {
                out.push(1);
                self.value(value, out);
            }
            Change::Put(key, value) => {
                out.push(2);
                binary::encode(key, out);
                self.value(value, out);
            }
            Change::Remove(key) => {
                out.push(3);
                binary::encode(key, out);
            }
            Change::Clear => out.push(4),
            Change::Event(value) => {
                out.push(5);
                self.value(value, out);
            }
        }
    }

    fn send(&self, sent: &Sent, out: &mut Vec<u8>) {
        varint(sent.to.into(), out);
        place(sent.previous, out);
        text(&sent.agent, out);
        text(&sent.lane, out);
        out.push(sent.hops);
        self.value(&sent.body, out);
    }

    fn value(&self, value: &Value, out: &mut Vec<u8>) {
        if self.event.is_some_and(|event| is_same(event, value)) {
            out.push(EVENT);
        } else {
            out.push(OTHER);
            binary::encode(value, out);
        }
    }
}

/// What the removal of an entry takes of a record.
pub fn removal_bytes(key: &Value) -> usize {
    let mut bytes = Vec::new();
    binary::encode(key, &mut bytes);
    size_of::<LaneId>() + 1 + bytes.len()
}

/// Whether two values are one in memory.
pub fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Record(a), Value::Record(b)) => std::ptr::eq(a.members(), b.members()),
        (Value::List(a), Value::List(b)) => std::ptr::eq(&raw const **a, &raw const **b),
        _ => false,
    }
}

/// A section of one after the other, or none.
fn list<T>(
    tag: u8,
    mut all: impl ExactSizeIterator<Item = T>,
    out: &mut Vec<u8>,
    mut one: impl FnMut(T, &mut Vec<u8>),
) {
    if all.len() > 0 {
        section(tag, out, |out| all.by_ref().for_each(|each| one(each, out)));
    }
}

impl Record {
    pub fn decode(bytes: &[u8]) -> Result<Record, String> {
        read(Reader::new(bytes)).map_err(|why| format!("its body is broken: {why}"))
    }

    /// The sends of it, as they are on their way.
    pub fn messages(&mut self, head: Head) -> impl Iterator<Item = Message> + use<> {
        let (history, sender) = (self.history, Address::trusted(&self.agent));
        std::mem::take(&mut self.sends).into_iter().zip(1..).map(move |(sent, index)| {
            sent.message(head.slot, Place { history, lsn: head.lsn, index }, sender.clone())
        })
    }
}

impl Sent {
    pub fn message(self, from: Slot, place: Place, sender: Address) -> Message {
        let Sent { to, previous, agent, lane, body, hops } = self;
        Message { from, to, place, previous, sender, agent: Address::trusted(&agent), lane, body, hops }
    }
}

/// The sends of a record that was read again, each with what it costs in memory.
pub fn messages(head: Head, body: &[u8]) -> Result<impl Iterator<Item = (Message, usize)> + use<>, String> {
    let mut record = Record::decode(body)?;
    let cost = cost(body.len(), record.sends.len());
    Ok(record.messages(head).map(move |message| (message, cost)))
}

/// What each of so many sends of a record costs in memory, about.
pub fn cost(record: usize, sends: usize) -> usize {
    size_of::<Message>() + record / sends.max(1)
}

/// Sections stand in the order of their numbers, so that each is there once and there is one form of a record.
fn read(mut reader: Reader) -> Result<Record, Broken> {
    if reader.byte()? != FORMAT {
        return Err("an unknown format");
    }
    let mut record = Record {
        history: reader.history()?,
        time_ms: reader.varint()?,
        generation: reader.varint()?,
        agent: reader.text()?.to_owned(),
        ..Record::default()
    };
    let (mut event, mut before) = (None, 0);
    while !reader.is_empty() {
        let (tag, mut section) = reader.section()?;
        let number = tag & !SKIPPABLE;
        if number <= before {
            return Err("sections out of order");
        }
        before = number;
        read_section(tag, &mut section, &mut record, &mut event)?;
        if !section.is_empty() {
            return Err("a section is longer than what it says");
        }
    }
    Ok(record)
}

fn read_section(
    tag: u8,
    section: &mut Reader,
    record: &mut Record,
    event: &mut Option<Value>,
) -> Result<(), Broken> {
    match tag {
        tag::EVENT => *event = Some(section.value()?),
        tag::DONE | tag::REFUSED => {
            let sequence = section.varint()?;
            let client = section.take(section.bytes.len())?;
            let client = std::str::from_utf8(client).map_err(|_| "a client's name that is no UTF-8")?;
            if record.key.replace((client.into(), sequence)).is_some() {
                return Err("two keys");
            }
            record.is_refused = tag == tag::REFUSED;
        }
        tag::ANSWER if record.key.is_none() => return Err("an answer without a key"),
        tag::ANSWER => record.answer = Some(Bytes::copy_from_slice(section.take(section.bytes.len())?)),
        tag::ORIGIN => record.origin = Some((section.slot()?, section.place()?)),
        tag::CHANGES => record.changes = section.all(|each| read_change(each, event.as_ref()))?,
        tag::SENDS => record.sends = section.all(|each| read_send(each, event.as_ref()))?,
        tag::TRIMS => record.trims = section.all(|each| Ok((each.slot()?, each.place()?)))?,
        tag::IDLE => record.idle = section.all(|each| Ok(each.text()?.into()))?,
        tag::GONE => record.gone = section.all(|each| Ok(each.text()?.into()))?,
        tag::FIRED => record.fired = Some(Fired::read(section)?),
        tag::TIMERS => record.timers = section.all(TimerChange::read)?,
        tag::ENDED => record.is_ended = true,
        _ if tag & SKIPPABLE != 0 => drop(section.take(section.bytes.len())?),
        _ => return Err("a section that this version does not know"),
    }
    Ok(())
}

fn read_change(reader: &mut Reader, event: Option<&Value>) -> Result<(LaneId, Change), Broken> {
    let id = LaneId(reader.u64()?);
    let change = match reader.byte()? {
        1 => Change::Set(read_value(reader, event)?),
        2 => Change::Put(reader.value()?, read_value(reader, event)?),
        3 => Change::Remove(reader.value()?),
        4 => Change::Clear,
        5 => Change::Event(read_value(reader, event)?),
        _ => return Err("an unknown change"),
    };
    Ok((id, change))
}

fn read_send(reader: &mut Reader, event: Option<&Value>) -> Result<Sent, Broken> {
    let (to, previous) = (reader.slot()?, reader.place()?);
    let (agent, lane) = (Text::new(reader.text()?), Text::new(reader.text()?));
    let hops = reader.byte()?;
    Ok(Sent { to, previous, agent, lane, hops, body: read_value(reader, event)? })
}

fn read_value(reader: &mut Reader, event: Option<&Value>) -> Result<Value, Broken> {
    match reader.byte()? {
        EVENT => event.cloned().ok_or("there is no event"),
        OTHER => reader.value(),
        _ => Err("an unknown value"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Vec<u8> {
        let key = ("c".into(), 7);
        let begin = Begin { history: 1, time_ms: 300, generation: 2, agent: "/a/1" };
        let mut out = Vec::new();
        Parts { key: Some(&key), answer: Some(b"5"), ..Parts::of_slot(begin) }.write(&mut out);
        out
    }

    #[test]
    fn these_are_the_bytes() {
        let begin = [2, 1, 0xac, 2, 2, 4, b'/', b'a', b'/', b'1'];
        let sections = [2, 2, 7, b'c', 4, 1, b'5'];
        assert_eq!(written(), [&begin[..], &sections].concat());
    }

    #[test]
    fn a_section_that_is_not_known_is_passed_over_only_if_it_may_be() {
        let read = |more: &[u8]| Record::decode(&[&written(), more].concat());
        let known = Record::decode(&written()).unwrap();
        assert_eq!(known.answer.as_deref(), Some(&b"5"[..]));
        let cases: [(&[u8], Result<(), &str>); 8] = [
            (&[], Ok(())),
            (&[0x63 | SKIPPABLE, 3, 1, 2, 3], Ok(())),
            (&[0x63, 3, 1, 2, 3], Err("a section that this version does not know")),
            (&[0x63 | SKIPPABLE, 3, 1, 2], Err("it ends too early")),
            (&[0x63 | SKIPPABLE, 0, 0x62 | SKIPPABLE, 0], Err("sections out of order")),
            (&[4, 1, b'6'], Err("sections out of order")),
            (&[5, 5, 1, 1, 1, 1, 0], Err("a section is longer than what it says")),
            (&[1], Err("it ends too early")),
        ];
        for (more, expected) in cases {
            let expected = expected.map_err(|why| format!("its body is broken: {why}"));
            assert_eq!(read(more).map(|record| assert_eq!(record, known)), expected, "{more:?}");
        }
        let both = [&[2, 1, 1, 1, 0][..], &[2, 1, 7], &[3, 1, 7]].concat();
        assert_eq!(Record::decode(&both), Err("its body is broken: two keys".into()));
        let answer = [&[2, 1, 1, 1, 0][..], &[4, 1, b'5']].concat();
        assert_eq!(Record::decode(&answer), Err("its body is broken: an answer without a key".into()));
    }
}
