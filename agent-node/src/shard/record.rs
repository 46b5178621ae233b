//! What a record's body says: the effects of one command, whole. Pure: bytes in, values out.
//!
//! Version 1: a format byte, history, slot time, plan generation, agent (empty: of the slot itself), event (a value that
//! changes and sends may refer to), key with what its command came to (done, refused, or done with an answer, which
//! follows), origin, changes, sends, trims, idle
//! clients, gone clients.

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

pub use crate::link::Change;

const FORMAT: u8 = 1;
/// A value is the record's event.
const EVENT: u8 = 0;
const OTHER: u8 = 1;
const NO_KEY: u8 = 0;
const DONE: u8 = 1;
const REFUSED: u8 = 2;
/// It took effect, and a rule has answered.
const ANSWERED: u8 = 3;

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
        }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        let Parts { begin, event, key, is_refused, answer, origin, changes, lanes, sends, trims, idle, gone } =
            self;
        out.push(FORMAT);
        varint(begin.history.into(), out);
        varint(begin.time_ms, out);
        varint(begin.generation, out);
        text(begin.agent, out);
        out.push(u8::from(event.is_some()));
        if let Some(event) = event {
            binary::encode(event, out);
        }
        out.push(match key {
            None => NO_KEY,
            Some(_) if *is_refused => REFUSED,
            Some(_) if answer.is_some() => ANSWERED,
            Some(_) => DONE,
        });
        if let Some((client, sequence)) = key {
            text(client, out);
            varint(*sequence, out);
            if let Some(answer) = answer {
                count(answer.len(), out);
                out.extend_from_slice(answer);
            }
        }
        out.push(u8::from(origin.is_some()));
        if let Some((slot, at)) = origin {
            varint((*slot).into(), out);
            place(*at, out);
        }
        count(changes.len(), out);
        for (lane, change) in *changes {
            self.change(lanes[*lane].id, change, out);
        }
        count(sends.len(), out);
        for sent in *sends {
            self.send(sent, out);
        }
        count(trims.len(), out);
        for (to, at) in trims.clone() {
            varint((*to).into(), out);
            place(*at, out);
        }
        for clients in [idle, gone] {
            count(clients.len(), out);
            clients.iter().for_each(|client| text(client, out));
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

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn count(count: usize, out: &mut Vec<u8>) {
    varint(count as u64, out);
}

fn text(text: &str, out: &mut Vec<u8>) {
    varint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn place(place: Place, out: &mut Vec<u8>) {
    varint(place.history.into(), out);
    varint(place.lsn, out);
    varint(place.index.into(), out);
}

/// What a body that can't be read is told as.
type Broken = &'static str;

struct Reader<'a> {
    bytes: &'a [u8],
    event: Option<Value>,
}

impl Record {
    pub fn decode(bytes: &[u8]) -> Result<Record, String> {
        let mut reader = Reader { bytes, event: None };
        let record = reader.record().map_err(|why| format!("its body is broken: {why}"))?;
        if reader.bytes.is_empty() { Ok(record) } else { Err("its body is longer than what it says".into()) }
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

impl<'a> Reader<'a> {
    fn record(&mut self) -> Result<Record, Broken> {
        if self.byte()? != FORMAT {
            return Err("an unknown format");
        }
        let history = u16::try_from(self.varint()?).map_err(|_| "a history out of range")?;
        let (time_ms, generation, agent) = (self.varint()?, self.varint()?, self.text()?.to_owned());
        if self.flag()? {
            self.event = Some(self.plain()?);
        }
        let end = self.byte()?;
        let key = match end {
            NO_KEY => None,
            DONE | REFUSED | ANSWERED => Some((self.text()?.into(), self.varint()?)),
            _ => return Err("a key of an unknown kind"),
        };
        let answer =
            if end == ANSWERED { Some(Bytes::copy_from_slice(self.text()?.as_bytes())) } else { None };
        let origin = if self.flag()? { Some((self.slot()?, self.place()?)) } else { None };
        Ok(Record {
            history,
            time_ms,
            generation,
            agent,
            key,
            is_refused: end == REFUSED,
            answer,
            origin,
            changes: self.list(Reader::change)?,
            sends: self.list(Reader::send)?,
            trims: self.list(|reader| Ok((reader.slot()?, reader.place()?)))?,
            idle: self.list(|reader| Ok(reader.text()?.into()))?,
            gone: self.list(|reader| Ok(reader.text()?.into()))?,
        })
    }

    fn list<T>(&mut self, one: impl Fn(&mut Self) -> Result<T, Broken>) -> Result<Vec<T>, Broken> {
        let count = self.varint()? as usize;
        // Each is at least a byte long, so that a broken count takes no memory.
        let mut all = Vec::with_capacity(count.min(self.bytes.len()));
        for _ in 0..count {
            all.push(one(self)?);
        }
        Ok(all)
    }

    fn change(&mut self) -> Result<(LaneId, Change), Broken> {
        let id = self.take(8)?.try_into().map_err(|_| "it ends too early")?;
        let change = match self.byte()? {
            1 => Change::Set(self.value()?),
            2 => Change::Put(self.plain()?, self.value()?),
            3 => Change::Remove(self.plain()?),
            4 => Change::Clear,
            5 => Change::Event(self.value()?),
            _ => return Err("an unknown change"),
        };
        Ok((LaneId(u64::from_le_bytes(id)), change))
    }

    fn send(&mut self) -> Result<Sent, Broken> {
        let (to, previous) = (self.slot()?, self.place()?);
        let (agent, lane) = (Text::new(self.text()?), Text::new(self.text()?));
        let hops = self.byte()?;
        Ok(Sent { to, previous, agent, lane, hops, body: self.value()? })
    }

    fn value(&mut self) -> Result<Value, Broken> {
        match self.byte()? {
            EVENT => self.event.clone().ok_or("there is no event"),
            OTHER => self.plain(),
            _ => Err("an unknown value"),
        }
    }

    fn plain(&mut self) -> Result<Value, Broken> {
        binary::decode(&mut self.bytes).map_err(|binary::Error(why)| why)
    }

    fn place(&mut self) -> Result<Place, Broken> {
        let history = u16::try_from(self.varint()?).map_err(|_| "a history out of range")?;
        let (lsn, index) = (self.varint()?, self.varint()?);
        Ok(Place { history, lsn, index: u32::try_from(index).map_err(|_| "an index out of range")? })
    }

    fn slot(&mut self) -> Result<Slot, Broken> {
        Slot::try_from(self.varint()?).map_err(|_| "a slot out of range")
    }

    fn flag(&mut self) -> Result<bool, Broken> {
        Ok(self.byte()? != 0)
    }

    fn byte(&mut self) -> Result<u8, Broken> {
        Ok(self.take(1)?[0])
    }

    fn text(&mut self) -> Result<&'a str, Broken> {
        let length = self.varint()? as usize;
        std::str::from_utf8(self.take(length)?).map_err(|_| "a text that is no UTF-8")
    }

    fn varint(&mut self) -> Result<u64, Broken> {
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

    fn take(&mut self, count: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or("it ends too early")?;
        self.bytes = rest;
        Ok(taken)
    }
}
