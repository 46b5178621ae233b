//! A history: what clients asked of the lanes of a plan and what they were told, in the order in which it happened.
//!
//! Texts of keys, values and items are JSON. They are compared as texts, so that whoever writes a history writes one
//! value always in the same way.

use std::collections::{HashMap, HashSet};
use std::fmt;

/// A lane of an agent, by its number in one history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub(crate) u32);

/// A write, however often it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Op(pub(crate) u32);

/// A read of a Value or Map lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Read(pub(crate) u32);

/// One watch of one lane, from when it was opened until it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Watch(pub(crate) u32);

/// What a lane keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Value {
        /// What it holds at version 0. No write sets this value.
        initial: String,
    },
    Map,
    /// A Command or Supply lane: no state, and items for whoever watches.
    Items,
}

/// One change of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Set(String),
    Put(String, String),
    Remove(String),
    Clear,
    Emit(String),
}

/// What a client asks for: all changes that it makes if it takes effect, and those of the messages that it sends and the
/// timers that it schedules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// Client and sequence.
    pub key: Option<(String, u64)>,
    /// The changes of one agent, which take effect at one version, in this order.
    pub changes: Vec<(Lane, Change)>,
    /// For each message, in order, the changes of its receiver, which take effect at one version of that one's slot.
    pub sends: Vec<Vec<(Lane, Change)>>,
    /// For each timer, the changes of the same agent when it fires, which take effect at one version, in any order beside
    /// messages and other timers.
    pub timers: Vec<Vec<(Lane, Change)>>,
}

impl Write {
    pub fn of(changes: impl Into<Vec<(Lane, Change)>>) -> Write {
        Write { changes: changes.into(), ..Write::default() }
    }

    #[must_use]
    pub fn keyed(self, client: impl Into<String>, sequence: u64) -> Write {
        Write { key: Some((client.into(), sequence)), ..self }
    }

    #[must_use]
    pub fn sends(mut self, changes: impl Into<Vec<(Lane, Change)>>) -> Write {
        self.sends.push(changes.into());
        self
    }

    #[must_use]
    pub fn schedules(mut self, changes: impl Into<Vec<(Lane, Change)>>) -> Write {
        self.timers.push(changes.into());
        self
    }
}

/// How one attempt at a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It took effect at this version, now or when it was sent before.
    Done(u64),
    /// It took effect when it was sent before, and the version is not remembered.
    DoneBefore,
    /// It was refused for good: it had no effect.
    Refused,
    /// It had no effect, and may be sent again.
    NotDone,
    /// Nobody knows: no answer came, or one that says so.
    Unknown,
}

/// The state of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Value(String),
    /// Keys and values, in any order.
    Map(Vec<(String, String)>),
}

/// What a watcher was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Set(String),
    Update(String, String),
    Remove(String),
    Clear,
    Event(String),
    Synced,
    Reset,
    Gap { from: u64, to: u64 },
    Stale,
}

/// A lane as it was read when everything had healed: of which node, does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Final {
    pub lane: Lane,
    pub version: u64,
    pub state: State,
}

/// What happened, in the order in which the observer saw it: of two things of which one waited for the other, that one
/// comes first.
///
/// The values that writes set in a lane, or put at a key of it, and the items that they emit into a lane, are all
/// different, so that each shows which write it comes from. A write whose effect would differ when it came twice, such as
/// a counter at a key of its own, shows in this way that it did.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub(crate) lanes: Vec<Declared>,
    names: HashMap<(String, String), Lane>,
    pub(crate) writes: Vec<Write>,
    pub(crate) reads: Vec<Reading>,
    pub(crate) watches: Vec<Watching>,
    pub(crate) happened: Vec<Happening>,
    /// Writes whose timers may never fire.
    pub(crate) cancelled: HashSet<Op>,
}

#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub slot: u32,
    pub agent: String,
    pub name: String,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub lane: Lane,
    pub local: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Watching {
    pub lane: Lane,
    pub from: Option<(Watch, u64)>,
    /// The token to go on from.
    token: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Sent(Op),
    Again(Op),
    Ended(Op, End),
    Asked(Read),
    Got(Read, u64, State),
    Opened(Watch),
    Told(Watch, Told, Option<u64>),
    Left(Watch),
    Damaged(u32),
}

impl History {
    /// The number of a lane, which is declared when it is named for the first time. `slot` is the agent's: versions are
    /// compared within one slot.
    pub fn lane(&mut self, slot: u32, agent: &str, name: &str, kind: Kind) -> Lane {
        let next = Lane(self.lanes.len() as u32);
        let lane = *self.names.entry((agent.to_owned(), name.to_owned())).or_insert(next);
        if lane == next {
            self.lanes.push(Declared { slot, agent: agent.to_owned(), name: name.to_owned(), kind });
        }
        lane
    }

    /// A client sends a write.
    pub fn sent(&mut self, write: Write) -> Op {
        let op = Op(self.writes.len() as u32);
        self.writes.push(write);
        self.happened.push(Happening::Sent(op));
        op
    }

    /// Somebody asks that timers of a write do not fire: it may have been done before they did.
    pub fn cancels(&mut self, timers_of: Op) {
        self.cancelled.insert(timers_of);
    }

    /// A client sends a write with a key once more.
    pub fn again(&mut self, op: Op) {
        self.happened.push(Happening::Again(op));
    }

    /// One attempt at a write has ended. An attempt that is never said to have ended is one of which nothing is known.
    pub fn ended(&mut self, op: Op, end: End) {
        self.happened.push(Happening::Ended(op, end));
    }

    /// A client asks for the state of a lane; `local`: of the asked node's mirror, which may be old.
    pub fn asked(&mut self, lane: Lane, local: bool) -> Read {
        let read = Read(self.reads.len() as u32);
        self.reads.push(Reading { lane, local });
        self.happened.push(Happening::Asked(read));
        read
    }

    /// A read is answered. Those that failed say nothing.
    pub fn got(&mut self, read: Read, version: u64, state: State) {
        self.happened.push(Happening::Got(read, version, state));
    }

    /// A client opens a watch; `from`: with a token that an earlier watch of the lane gave, or with 0 as `from: 0` of the
    /// API.
    pub fn watches(&mut self, lane: Lane, from: Option<(Watch, u64)>) -> Watch {
        let watch = Watch(self.watches.len() as u32);
        self.watches.push(Watching { lane, from, token: from.map(|(_, token)| token) });
        self.happened.push(Happening::Opened(watch));
        watch
    }

    /// A watcher is told one event, which may have an id.
    pub fn told(&mut self, watch: Watch, told: Told, id: Option<u64>) {
        let token = &mut self.watches[watch.0 as usize].token;
        *token = match (&told, id) {
            (_, Some(id)) => Some(id),
            (Told::Reset, None) => Some(0),
            (Told::Stale, None) => *token,
            (_, None) => token.or(Some(0)),
        };
        self.happened.push(Happening::Told(watch, told, id));
    }

    /// The token with which a client goes on from this watch: the last id that it was told, 0 if it was told something
    /// and no id since, `None` if it was told nothing.
    pub fn token(&self, watch: Watch) -> Option<u64> {
        self.watches[watch.0 as usize].token
    }

    /// A watch has ended, whoever ended it. Those of which this is not said are there when the history ends.
    pub fn left(&mut self, watch: Watch) {
        self.happened.push(Happening::Left(watch));
    }

    /// A slot has lost something and says so: what was acknowledged there may be gone.
    pub fn damaged(&mut self, slot: u32) {
        self.happened.push(Happening::Damaged(slot));
    }

    pub fn len(&self) -> usize {
        self.happened.len()
    }

    pub fn is_empty(&self) -> bool {
        self.happened.is_empty()
    }

    pub(crate) fn declared(&self, lane: Lane) -> &Declared {
        &self.lanes[lane.0 as usize]
    }

    /// Agent and lane.
    pub(crate) fn name(&self, lane: Lane) -> String {
        let Declared { agent, name, .. } = self.declared(lane);
        format!("{agent} {name}")
    }

    pub(crate) fn write(&self, op: Op) -> String {
        let Write { key, changes, sends, timers } = &self.writes[op.0 as usize];
        let key =
            key.as_ref().map_or_else(String::new, |(client, sequence)| format!(" ({client} {sequence})"));
        let texts = |changes: &[(Lane, Change)]| {
            let texts: Vec<String> =
                changes.iter().map(|(lane, change)| format!("{} {change}", self.name(*lane))).collect();
            texts.join(", ")
        };
        let records: Vec<String> = [changes].into_iter().chain(sends).map(|changes| texts(changes)).collect();
        let timers: Vec<String> = timers.iter().map(|changes| texts(changes)).collect();
        let later = if timers.is_empty() { "" } else { "; later " };
        format!("write {}{key}: {}{later}{}", op.0, records.join("; sends "), timers.join("; "))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Change::Set(value) => write!(f, "= {value}"),
            Change::Put(key, value) => write!(f, "[{key}] = {value}"),
            Change::Remove(key) => write!(f, "[{key}] removed"),
            Change::Clear => write!(f, "cleared"),
            Change::Emit(item) => write!(f, "emits {item}"),
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Told::Set(value) => write!(f, "set {value}"),
            Told::Update(key, value) => write!(f, "update {key} = {value}"),
            Told::Remove(key) => write!(f, "remove {key}"),
            Told::Clear => write!(f, "clear"),
            Told::Event(item) => write!(f, "event {item}"),
            Told::Synced => write!(f, "synced"),
            Told::Reset => write!(f, "reset"),
            Told::Gap { from, to } => write!(f, "gap {from}-{to}"),
            Told::Stale => write!(f, "stale"),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            State::Value(value) => write!(f, "{value}"),
            State::Map(entries) => {
                let entries: Vec<String> =
                    entries.iter().map(|(key, value)| format!("{key}: {value}")).collect();
                write!(f, "{{{}}}", entries.join(", "))
            }
        }
    }
}

/// One line for each thing that happened, by the numbers that violations name.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (number, happening) in self.happened.iter().enumerate() {
            write!(f, "{number}: ")?;
            match happening {
                Happening::Sent(op) => writeln!(f, "{}", self.write(*op))?,
                Happening::Again(op) => writeln!(f, "write {} is sent again", op.0)?,
                Happening::Ended(op, end) => writeln!(f, "write {} ends: {end:?}", op.0)?,
                Happening::Asked(Read(read)) => {
                    let Reading { lane, local } = &self.reads[*read as usize];
                    let local = if *local { ", local" } else { "" };
                    writeln!(f, "read {read} of {}{local}", self.name(*lane))?;
                }
                Happening::Got(read, version, state) => {
                    writeln!(f, "read {} gives {state} at {version}", read.0)?;
                }
                Happening::Opened(Watch(watch)) => {
                    let Watching { lane, from, .. } = &self.watches[*watch as usize];
                    let from = from.map_or_else(String::new, |(watch, token)| {
                        format!(" from {token}, which watch {} gave", watch.0)
                    });
                    writeln!(f, "watch {watch} of {}{from}", self.name(*lane))?;
                }
                Happening::Told(watch, told, id) => {
                    let id = id.map_or_else(String::new, |id| format!(" id {id}"));
                    writeln!(f, "watch {}: {told}{id}", watch.0)?;
                }
                Happening::Left(watch) => writeln!(f, "watch {} ends", watch.0)?,
                Happening::Damaged(slot) => writeln!(f, "slot {slot} says that it is damaged")?,
            }
        }
        Ok(())
    }
}
