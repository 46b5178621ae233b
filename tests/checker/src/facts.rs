//! What a history says of each write before any state is looked at: whether it happened, at which version, and between
//! which others.

use crate::history::{Change, End, Final, Happening, History, Kind, Lane, Op, State, Told};
use crate::violation::{Rule, Violation};
use std::collections::{HashMap, HashSet};

/// What of a write a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Itself,
    /// By its place among the messages.
    Message(usize),
    Timer(usize),
}

/// The changes that one record makes: those of a write, of one message that it sends, or of one timer that it schedules.
#[derive(Debug)]
pub struct Record<'a> {
    pub op: Op,
    pub slot: u32,
    pub part: Part,
    pub changes: &'a [(Lane, Change)],
    /// When the write was sent for the first time.
    pub sent: usize,
    /// It certainly had no effect.
    pub dead: bool,
    /// It certainly had its effect: it was acknowledged or seen.
    pub happened: bool,
    pub version: Option<u64>,
    /// Its version is above this one.
    pub above: u64,
    /// Its version is at most this one.
    pub most: u64,
}

/// What a lane held, as somebody saw it: of a Value lane the key is empty.
pub type Place<'a> = (Lane, &'a str);

/// Who wrote what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Nothing is there, or the initial value.
    Initial,
    Record(u32),
}

#[derive(Debug)]
pub struct Facts<'a> {
    pub history: &'a History,
    pub finals: &'a [Final],
    pub records: Vec<Record<'a>>,
    pub damaged: HashSet<u32>,
    /// The records of each write: its own, then those of its messages, then those of its timers.
    pub of_write: Vec<std::ops::Range<u32>>,
    /// Who sets what.
    sources: HashMap<(Lane, &'a str, &'a str), u32>,
    /// Who emits what, and the place of that among its changes.
    emits: HashMap<(Lane, &'a str), (u32, u32)>,
    /// When each write was acknowledged.
    pub acknowledged: Vec<Option<usize>>,
    pub at_version: HashMap<(u32, u64), u32>,
    pub violations: Vec<Violation>,
}

/// How a write ended, over all its attempts.
#[derive(Clone, Copy, Default)]
struct Outcome {
    open: u32,
    done: bool,
    version: Option<u64>,
    /// One attempt at least may have had its effect.
    doubt: bool,
}

impl<'a> Facts<'a> {
    pub fn new(history: &'a History, finals: &'a [Final]) -> Facts<'a> {
        let damaged = history.happened.iter().filter_map(|happening| match happening {
            Happening::Damaged(slot) => Some(*slot),
            _ => None,
        });
        let mut facts = Facts {
            history,
            finals,
            records: Vec::new(),
            damaged: damaged.collect(),
            of_write: Vec::new(),
            sources: HashMap::new(),
            emits: HashMap::new(),
            acknowledged: vec![None; history.writes.len()],
            at_version: HashMap::new(),
            violations: Vec::new(),
        };
        facts.add_records();
        facts.end_writes();
        facts.look_at_what_was_seen();
        facts
    }

    pub fn broken(&mut self, rule: Rule, text: String) {
        self.violations.push(Violation::new(rule, text));
    }

    /// The name of a record for a violation.
    pub fn name(&self, record: u32) -> String {
        let Record { op, part, sent, .. } = &self.records[record as usize];
        let what = self.history.write(*op);
        match part {
            Part::Itself => format!("[{sent}] {what}"),
            Part::Message(number) => format!("message {number} of [{sent}] {what}"),
            Part::Timer(number) => format!("timer {number} of [{sent}] {what}"),
        }
    }

    pub fn value_name(&self, source: Source) -> String {
        match source {
            Source::Initial => "nothing or what the lane began with".into(),
            Source::Record(record) => format!("what {} writes", self.name(record)),
        }
    }

    fn add_records(&mut self) {
        let history = self.history;
        for (at, happening) in history.happened.iter().enumerate() {
            let Happening::Sent(op) = happening else { continue };
            let write = &history.writes[op.0 as usize];
            let first = self.records.len() as u32;
            self.add_record(*op, Part::Itself, &write.changes, at);
            for (number, changes) in write.sends.iter().enumerate() {
                self.add_record(*op, Part::Message(number), changes, at);
            }
            for (number, changes) in write.timers.iter().enumerate() {
                self.add_record(*op, Part::Timer(number), changes, at);
            }
            self.of_write.push(first..self.records.len() as u32);
        }
    }

    fn add_record(&mut self, op: Op, part: Part, changes: &'a [(Lane, Change)], sent: usize) {
        let id = self.records.len() as u32;
        let slot = changes.first().map_or(u32::MAX, |(lane, _)| self.history.declared(*lane).slot);
        for (place, (lane, change)) in changes.iter().enumerate() {
            assert_eq!(self.history.declared(*lane).slot, slot, "one record changes one slot");
            let is_new = match change {
                Change::Set(value) => self.sources.insert((*lane, "", value), id).is_none(),
                Change::Put(key, value) => self.sources.insert((*lane, key, value), id).is_none(),
                Change::Emit(item) => self.emits.insert((*lane, item), (id, place as u32)).is_none(),
                Change::Remove(_) | Change::Clear => true,
            };
            assert!(is_new, "two writes that nothing tells apart: {}", self.history.write(op));
        }
        self.records.push(Record {
            op,
            slot,
            part,
            changes,
            sent,
            dead: false,
            happened: false,
            version: None,
            above: 0,
            most: u64::MAX,
        });
    }

    fn end_writes(&mut self) {
        let mut outcomes = vec![Outcome::default(); self.history.writes.len()];
        for (at, happening) in self.history.happened.iter().enumerate() {
            match happening {
                Happening::Sent(op) | Happening::Again(op) => outcomes[op.0 as usize].open += 1,
                Happening::Ended(op, end) => {
                    let outcome = &mut outcomes[op.0 as usize];
                    let before = *outcome;
                    outcome.open = outcome.open.saturating_sub(1);
                    if matches!(end, End::Done(_) | End::DoneBefore) {
                        self.acknowledged[op.0 as usize].get_or_insert(at);
                    }
                    match end {
                        End::Done(version) => {
                            outcome.done = true;
                            outcome.version.get_or_insert(*version);
                        }
                        End::DoneBefore => outcome.done = true,
                        End::Unknown => outcome.doubt = true,
                        End::Refused | End::NotDone => {}
                    }
                    self.judge_answer(at, *op, *end, before);
                }
                _ => {}
            }
        }
        for (op, Outcome { open, done, version, doubt }) in outcomes.into_iter().enumerate() {
            for id in self.of_write[op].clone() {
                let sender = self.records[self.of_write[op].start as usize].slot;
                let record = &mut self.records[id as usize];
                record.dead = !done && !doubt && open == 0;
                let sound = !self.damaged.contains(&sender) && !self.damaged.contains(&record.slot);
                record.happened = done && sound && !self.history.may_not_fire(record.op, record.part);
                match (version, record.part) {
                    (Some(version), Part::Itself) if sound => self.versioned(id, version),
                    // It fires after it was scheduled.
                    (Some(version), Part::Timer(_)) if sound => record.above = version,
                    _ => {}
                }
            }
        }
    }

    /// An answer beside those that the same write had before.
    fn judge_answer(&mut self, at: usize, op: Op, end: End, before: Outcome) {
        let first = self.of_write[op.0 as usize].start;
        if self.damaged.contains(&self.records[first as usize].slot) {
            return;
        }
        let told = match (end, before.version) {
            (End::Done(version), Some(first)) if version != first => {
                format!("is answered by version {version}, and was by {first}")
            }
            (End::Refused, _) if before.done => "is refused, and was done before".into(),
            _ => return,
        };
        self.broken(Rule::Retry, format!("{} {told} at [{at}].", self.name(first)));
    }

    /// A record has this version.
    fn versioned(&mut self, id: u32, version: u64) {
        let record = &mut self.records[id as usize];
        if record.changes.is_empty() {
            return;
        }
        if let Some(known) = record.version {
            if known != version {
                let text = format!("{} has version {known} and {version}.", self.name(id));
                self.broken(Rule::Version, text);
            }
            return;
        }
        record.version = Some(version);
        (record.above, record.most) = (version.saturating_sub(1), version);
        let slot = record.slot;
        if let Some(other) = self.at_version.insert((slot, version), id) {
            let text = format!("{} and {} have one version, {version}.", self.name(other), self.name(id));
            self.broken(Rule::Version, text);
        }
    }

    /// Who wrote a value that was seen at `at`; `None`: nobody may have, which is said.
    pub fn source(&self, (lane, key): Place<'a>, value: &'a str, at: usize) -> Option<Source> {
        if let Kind::Value { initial } = &self.history.declared(lane).kind
            && initial == value
        {
            return Some(Source::Initial);
        }
        self.sources.get(&(lane, key, value)).map(|record| Source::Record(*record)).filter(|source| {
            let Source::Record(id) = source else { return true };
            let record = &self.records[*id as usize];
            !record.dead && record.sent < at
        })
    }

    /// Who emits an item that was seen.
    pub fn emitter(&self, lane: Lane, item: &str) -> Option<(u32, u32)> {
        self.emits.get(&(lane, item)).copied()
    }

    /// Each value that somebody saw is that of a write that may have happened, and shows that it has.
    fn look_at_what_was_seen(&mut self) {
        let history = self.history;
        for (at, happening) in history.happened.iter().enumerate() {
            match happening {
                Happening::Got(read, version, state) => {
                    self.look_at_state(history.reads[read.0 as usize].lane, *version, state, at);
                }
                Happening::Told(watch, told, _) => {
                    let lane = history.watches[watch.0 as usize].lane;
                    match told {
                        Told::Set(value) => {
                            self.saw((lane, ""), value, at);
                        }
                        Told::Update(key, value) => {
                            self.saw((lane, key), value, at);
                        }
                        Told::Event(item) => self.saw_item(lane, item, at),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        for Final { lane, version, state } in self.finals {
            self.look_at_state(*lane, *version, state, history.happened.len());
        }
        // Who has seen one effect of a write knows that it happened.
        for records in self.of_write.clone() {
            let ids = records.start as usize..records.end as usize;
            let sender = self.records[ids.start].slot;
            if self.damaged.contains(&sender)
                || !self.records[ids.clone()].iter().any(|record| record.happened)
            {
                continue;
            }
            for record in &mut self.records[ids] {
                let must = !self.history.may_not_fire(record.op, record.part);
                record.happened |= must && !self.damaged.contains(&record.slot);
            }
        }
    }

    fn look_at_state(&mut self, lane: Lane, version: u64, state: &'a State, at: usize) {
        match state {
            State::Map(entries) => {
                for (key, value) in entries {
                    self.saw((lane, key), value, at);
                }
            }
            State::Value(value) => match self.saw((lane, ""), value, at) {
                Some(Source::Record(id)) if !self.damaged.contains(&self.records[id as usize].slot) => {
                    self.versioned(id, version);
                }
                Some(Source::Initial) if version != 0 => {
                    let text = format!(
                        "{} is said at [{at}] to be as it began at version {version}.",
                        self.history.name(lane)
                    );
                    self.broken(Rule::Version, text);
                }
                _ => {}
            },
        }
    }

    fn saw(&mut self, place: Place<'a>, value: &'a str, at: usize) -> Option<Source> {
        let (lane, key) = place;
        if let Some(source) = self.source(place, value, at) {
            if let Source::Record(id) = source {
                let record = &mut self.records[id as usize];
                record.happened |= !self.damaged.contains(&record.slot);
            }
            return Some(source);
        }
        let seen = format!("{} {key} is {value} at [{at}]", self.history.name(lane));
        if let Some(id) = self.sources.get(&(lane, key, value)).copied() {
            self.not_to_be_seen(id, &seen, at);
            return None;
        }
        let puts = |record: &Record| {
            let mut changes = record.changes.iter();
            changes.any(|(of, change)| *of == lane && matches!(change, Change::Put(put, _) if put == key))
        };
        let writer =
            self.records.iter().position(puts).map_or_else(String::new, |id| {
                format!("; {} puts something else there", self.name(id as u32))
            });
        self.broken(Rule::Phantom, format!("{seen}, which nobody wrote{writer}."));
        None
    }

    fn saw_item(&mut self, lane: Lane, item: &str, at: usize) {
        let seen = format!("{} tells {item} at [{at}]", self.history.name(lane));
        match self.emitter(lane, item) {
            Some((id, _)) if self.records[id as usize].dead || self.records[id as usize].sent >= at => {
                self.not_to_be_seen(id, &seen, at);
            }
            Some((id, _)) => {
                let record = &mut self.records[id as usize];
                record.happened |= !self.damaged.contains(&record.slot);
            }
            None => self.broken(Rule::Phantom, format!("{seen}, which nobody emits.")),
        }
    }

    fn not_to_be_seen(&mut self, id: u32, seen: &str, at: usize) {
        if self.records[id as usize].sent >= at {
            let text = format!("{seen}, before {} was sent.", self.name(id));
            self.broken(Rule::Early, text);
        } else {
            let text = format!("{seen}, and {} was refused or not done.", self.name(id));
            self.broken(Rule::Refused, text);
        }
    }
}

impl History {
    /// Whether it is a timer that somebody may have cancelled.
    fn may_not_fire(&self, op: Op, part: Part) -> bool {
        matches!(part, Part::Timer(_)) && self.cancelled.contains(&op)
    }
}
