//! What was seen of Value and Map lanes, key by key: which value was there, from which version to which.

use crate::facts::{Facts, Place, Record, Source};
use crate::history::{Change, End, Happening, Kind, Lane, State, Told};
use crate::violation::Rule;
use std::collections::HashMap;

/// Who saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Read,
    Watch,
    Final,
}

/// The value of one key held from one version to another one, both included.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub from: u64,
    /// What was known of the slot before it was asked for makes this one higher than `from`.
    pub to: u64,
    pub source: Source,
    /// When it was seen.
    pub at: usize,
    pub by: By,
}

/// A watcher did not have a key from one id to another one. It may have come and gone in between, since watchers are told
/// the last change of a key only, so that this says something at the ids alone.
#[derive(Clone, Copy, Debug)]
pub struct Absent {
    pub from: u64,
    pub to: u64,
    /// The place of the watcher's ids.
    pub ids: usize,
    /// When the last of them was told.
    pub at: usize,
}

/// What was seen of one lane. A Value lane has one key, the empty text.
#[derive(Debug, Default)]
pub struct LaneSeen<'a> {
    pub keys: Vec<&'a str>,
    by_key: HashMap<&'a str, u32>,
    pub seen: Vec<Vec<Seen>>,
    pub absent: Vec<Vec<Absent>>,
    pub has_final: bool,
}

impl<'a> LaneSeen<'a> {
    fn add_key(&mut self, key: &'a str) {
        let next = self.keys.len() as u32;
        self.by_key.entry(key).or_insert_with(|| {
            self.keys.push(key);
            self.seen.push(Vec::new());
            self.absent.push(Vec::new());
            next
        });
    }

    /// The place of a key that some write changes.
    pub fn key(&self, key: &str) -> Option<usize> {
        self.by_key.get(key).map(|place| *place as usize)
    }
}

/// For each lane what was seen of it, and what was known of its slot before each read and watch.
#[derive(Debug)]
pub struct Sights<'a> {
    pub lanes: Vec<LaneSeen<'a>>,
    /// By watch: no state or item that was known when it was opened has a higher version.
    pub floors: Vec<u64>,
    /// The versions of which watchers held the state, in order: a list for each watch, and one more after each `reset`.
    pub ids: Vec<Vec<u64>>,
}

impl<'a> Sights<'a> {
    /// Goes through the history once, in order of time.
    pub fn new(facts: &mut Facts<'a>) -> Sights<'a> {
        let history = facts.history;
        let mut sights = Sights {
            lanes: history.lanes.iter().map(|_| LaneSeen::default()).collect(),
            floors: vec![0; history.watches.len()],
            ids: Vec::new(),
        };
        sights.add_keys(facts);
        let mut known = Known::default();
        let mut floors = vec![0; history.reads.len()];
        for (at, happening) in history.happened.iter().enumerate() {
            known.raise_by(facts, happening);
            match happening {
                Happening::Sent(op) => {
                    for id in facts.of_write[op.0 as usize].clone() {
                        known.begin(facts, id);
                    }
                }
                Happening::Asked(read) => {
                    let reading = &history.reads[read.0 as usize];
                    floors[read.0 as usize] = if reading.local { 0 } else { known.of(facts, reading.lane) };
                }
                Happening::Opened(watch) => {
                    let lane = history.watches[watch.0 as usize].lane;
                    sights.floors[watch.0 as usize] = known.of(facts, lane);
                }
                Happening::Got(read, version, state) => {
                    let reading = &history.reads[read.0 as usize];
                    let to = floors[read.0 as usize].max(*version);
                    let seen = Seen { from: *version, to, source: Source::Initial, at, by: By::Read };
                    sights.add_state(facts, reading.lane, state, seen);
                    if !reading.local {
                        has_version(facts, reading.lane, *version, at);
                    }
                }
                _ => {}
            }
        }
        for state in facts.finals {
            sights.lanes[state.lane.0 as usize].has_final = true;
            let at = history.happened.len();
            let seen = Seen { from: state.version, to: u64::MAX, source: Source::Initial, at, by: By::Final };
            sights.add_state(facts, state.lane, &state.state, seen);
            has_version(facts, state.lane, state.version, at);
        }
        sights
    }

    fn add_keys(&mut self, facts: &Facts<'a>) {
        for record in &facts.records {
            for (lane, change) in record.changes {
                match change {
                    Change::Put(key, _) | Change::Remove(key) => self.lanes[lane.0 as usize].add_key(key),
                    Change::Set(_) | Change::Clear | Change::Emit(_) => {}
                }
            }
        }
        for (lane, declared) in self.lanes.iter_mut().zip(&facts.history.lanes) {
            if matches!(declared.kind, Kind::Value { .. }) {
                lane.add_key("");
            }
        }
    }

    /// A whole state. Values that nobody wrote are violations already, and nothing follows from them.
    fn add_state(&mut self, facts: &Facts<'a>, lane: Lane, state: &'a State, seen: Seen) {
        if facts.damaged.contains(&facts.history.declared(lane).slot) {
            return;
        }
        let own = &mut self.lanes[lane.0 as usize];
        let mut sources = vec![Some(Source::Initial); own.keys.len()];
        let mut put = |(lane, key): Place<'a>, value: &'a str| {
            if let Some(place) = own.by_key.get(key) {
                sources[*place as usize] = facts.source((lane, key), value, seen.at);
            }
        };
        match state {
            State::Value(value) => put((lane, ""), value),
            State::Map(entries) => entries.iter().for_each(|(key, value)| put((lane, key), value)),
        }
        for (all, source) in own.seen.iter_mut().zip(sources) {
            all.extend(source.map(|source| Seen { source, ..seen }));
        }
    }
}

/// The highest version of each slot that somebody has seen, as time goes on.
#[derive(Default)]
struct Known(HashMap<u32, u64>);

impl Known {
    fn of(&self, facts: &Facts, lane: Lane) -> u64 {
        let slot = facts.history.declared(lane).slot;
        self.0.get(&slot).copied().unwrap_or_default()
    }

    fn raise(&mut self, facts: &Facts, slot: u32, version: u64) {
        if !facts.damaged.contains(&slot) {
            let known = self.0.entry(slot).or_default();
            *known = version.max(*known);
        }
    }

    fn raise_by(&mut self, facts: &Facts, happening: &Happening) {
        let history = facts.history;
        match happening {
            Happening::Ended(op, End::Done(version)) => {
                let own = facts.of_write[op.0 as usize].start;
                self.raise(facts, facts.records[own as usize].slot, *version);
            }
            Happening::Got(read, version, state) => {
                let lane = history.reads[read.0 as usize].lane;
                self.raise(facts, history.declared(lane).slot, *version);
                if let State::Value(value) = state {
                    self.raise_by_value(facts, (lane, ""), value);
                }
            }
            Happening::Told(watch, told, id) => {
                let lane = history.watches[watch.0 as usize].lane;
                self.raise(facts, history.declared(lane).slot, id.unwrap_or_default());
                match told {
                    Told::Set(value) => self.raise_by_value(facts, (lane, ""), value),
                    Told::Update(key, value) => self.raise_by_value(facts, (lane, key), value),
                    Told::Event(item) => {
                        self.raise_by_record(facts, facts.emitter(lane, item).map(|(id, _)| id));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn raise_by_value(&mut self, facts: &Facts, place: Place, value: &str) {
        if let Some(Source::Record(id)) = facts.source(place, value, usize::MAX) {
            self.raise_by_record(facts, Some(id));
        }
    }

    fn raise_by_record(&mut self, facts: &Facts, id: Option<u32>) {
        let record = id.map(|id| &facts.records[id as usize]);
        if let Some((record, version)) = record.and_then(|record| Some((record, record.version?))) {
            self.raise(facts, record.slot, version);
        }
    }

    /// A write is sent: it takes effect after all that is known now.
    fn begin(&self, facts: &mut Facts, id: u32) {
        let record = &mut facts.records[id as usize];
        let known = self.0.get(&record.slot).copied().unwrap_or_default();
        record.above = record.above.max(known);
        if let Some(version) = record.version
            && version <= known
        {
            let text =
                format!("{} has version {version}, and {known} was known when it was sent.", facts.name(id));
            facts.broken(Rule::Version, text);
        }
    }
}

/// What the owner says to be a lane's version is that of a record that changes the lane.
fn has_version(facts: &mut Facts, lane: Lane, version: u64, at: usize) {
    let slot = facts.history.declared(lane).slot;
    if version == 0 || facts.damaged.contains(&slot) {
        return;
    }
    let changes = |record: &Record| record.changes.iter().any(|(of, _)| *of == lane);
    let known = facts.at_version.get(&(slot, version)).copied();
    let is_right = known.map_or_else(
        || {
            facts.records.iter().any(|record| {
                let fits = record.version.is_none() && record.above < version && version <= record.most;
                fits && !record.dead && record.sent < at && changes(record)
            })
        },
        |id| changes(&facts.records[id as usize]),
    );
    if !is_right {
        let whose = known.map_or_else(|| "no write".to_owned(), |id| facts.name(id));
        let text = format!(
            "{} has version {version} at [{at}], which is that of {whose} and of no change of it.",
            facts.history.name(lane)
        );
        facts.broken(Rule::Version, text);
    }
}
