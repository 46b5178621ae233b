//! What watchers of Value and Map lanes hold after each event, and what the ids among these say of it.
//!
//! An id says that the watcher holds the lane's state of that version. So a value that a watcher holds from one id to
//! another one was there at all versions between them.

use crate::facts::{Facts, Source};
use crate::history::{Happening, Kind, Lane, State, Told, Watch};
use crate::seen::{Absent, By, Seen, Sights};
use crate::violation::Rule;
use std::collections::{HashMap, HashSet};

/// All that one watch was told.
#[derive(Clone, Debug, Default)]
pub struct Course<'a> {
    pub opened: usize,
    pub events: Vec<(usize, &'a Told, Option<u64>)>,
    /// It was there when the history ended.
    pub lives: bool,
}

/// The course of each watch.
pub fn courses<'a>(facts: &Facts<'a>) -> Vec<Course<'a>> {
    let mut courses = vec![Course::default(); facts.history.watches.len()];
    for (at, happening) in facts.history.happened.iter().enumerate() {
        match happening {
            Happening::Opened(watch) => {
                courses[watch.0 as usize] = Course { opened: at, events: Vec::new(), lives: true };
            }
            Happening::Told(watch, told, id) => courses[watch.0 as usize].events.push((at, told, *id)),
            Happening::Left(watch) => courses[watch.0 as usize].lives = false,
            _ => {}
        }
    }
    courses
}

/// Which tokens later watches go on from.
pub fn wanted(facts: &Facts) -> HashSet<(Watch, u64)> {
    facts.history.watches.iter().filter_map(|watching| watching.from).collect()
}

/// What a watch whose first event is not `reset`, though it came with 0, is told wrongly.
pub fn begins_with_reset(facts: &mut Facts, watch: Watch, course: &Course) {
    let from = facts.history.watches[watch.0 as usize].from;
    let first = course.events.iter().find(|(_, told, _)| **told != Told::Stale);
    if let (Some((_, 0)), Some((at, told, _))) = (from, first)
        && **told != Told::Reset
    {
        let text = format!("watch {} came with 0, and is told {told} first, at [{at}].", watch.0);
        facts.broken(Rule::Resume, text);
    }
}

pub fn check<'a>(facts: &mut Facts<'a>, sights: &mut Sights<'a>, courses: &[Course<'a>]) {
    let wanted = wanted(facts);
    let mut kept: HashMap<(Watch, u64), Vec<Option<Source>>> = HashMap::new();
    for (number, course) in courses.iter().enumerate() {
        let watch = Watch(number as u32);
        let lane = facts.history.watches[number].lane;
        let declared = facts.history.declared(lane);
        if declared.kind == Kind::Items || facts.damaged.contains(&declared.slot) {
            continue;
        }
        begins_with_reset(facts, watch, course);
        let mut fold = Fold::new(sights, watch, lane, sights.floors[number]);
        if let Some((earlier, token)) = facts.history.watches[number].from
            && let Some(cells) = kept.get(&(earlier, token))
        {
            fold.resume(sights, token, cells);
            if wanted.contains(&(watch, token)) {
                kept.insert((watch, token), fold.sources());
            }
        }
        for (at, told, id) in &course.events {
            fold.told(facts, sights, *at, told, *id);
            if let Some(id) = id
                && wanted.contains(&(watch, *id))
            {
                kept.insert((watch, *id), fold.sources());
            }
        }
        if course.lives {
            fold.ends_with_the_state(facts, sights);
        }
        fold.close_all(sights);
    }
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    /// `None`: what nobody wrote.
    source: Option<Source>,
    /// The first id at which it was held.
    since: Option<u64>,
    at: usize,
}

/// What one watcher holds.
struct Fold {
    watch: Watch,
    lane: Lane,
    /// What was known before the watch was opened.
    floor: u64,
    cells: Vec<Cell>,
    /// Keys that have changed since the last id.
    dirty: Vec<usize>,
    /// The last id; it is the floor where that is higher and the watch is `synced`.
    held: Option<u64>,
    /// When that was told: what took a key away may have been sent after the first id without it, and before this one.
    held_at: usize,
    last_id: Option<u64>,
    /// The highest version of a change that came since the last id.
    newest: u64,
    synced: bool,
    ids: usize,
}

impl Fold {
    fn new(sights: &mut Sights, watch: Watch, lane: Lane, floor: u64) -> Fold {
        let keys = sights.lanes[lane.0 as usize].keys.len();
        sights.ids.push(Vec::new());
        let cell = Cell { source: Some(Source::Initial), since: None, at: 0 };
        Fold {
            watch,
            lane,
            floor,
            cells: vec![cell; keys],
            dirty: (0..keys).collect(),
            held: None,
            held_at: 0,
            last_id: None,
            newest: 0,
            synced: false,
            ids: sights.ids.len() - 1,
        }
    }

    fn sources(&self) -> Vec<Option<Source>> {
        self.cells.iter().map(|cell| cell.source).collect()
    }

    fn resume(&mut self, sights: &mut Sights, token: u64, sources: &[Option<Source>]) {
        for (cell, source) in self.cells.iter_mut().zip(sources) {
            (cell.source, cell.since) = (*source, Some(token));
        }
        self.dirty.clear();
        (self.held, self.last_id) = (Some(token), Some(token));
        sights.ids[self.ids].push(token);
    }

    fn told<'a>(
        &mut self,
        facts: &mut Facts<'a>,
        sights: &mut Sights<'a>,
        at: usize,
        told: &'a Told,
        id: Option<u64>,
    ) {
        match told {
            Told::Set(value) => self.put(facts, sights, "", value, at),
            Told::Update(key, value) => self.put(facts, sights, key, value, at),
            Told::Remove(key) => {
                if let Some(place) = sights.lanes[self.lane.0 as usize].key(key) {
                    self.change(sights, place, Some(Source::Initial), at);
                }
            }
            Told::Clear => {
                for place in 0..self.cells.len() {
                    self.change(sights, place, Some(Source::Initial), at);
                }
            }
            Told::Reset => {
                self.close_all(sights);
                *self = Fold::new(sights, self.watch, self.lane, self.floor);
            }
            Told::Synced => self.synced = true,
            Told::Event(_) | Told::Gap { .. } => {
                let text = format!("watch {} of a lane with state is told {told} at [{at}].", self.watch.0);
                facts.broken(Rule::Phantom, text);
            }
            Told::Stale => {}
        }
        if let Some(id) = id {
            self.holds(facts, sights, at, id, *told == Told::Synced);
        }
    }

    fn put<'a>(
        &mut self,
        facts: &mut Facts<'a>,
        sights: &mut Sights<'a>,
        key: &'a str,
        value: &'a str,
        at: usize,
    ) {
        let Some(place) = sights.lanes[self.lane.0 as usize].key(key) else { return };
        let source = facts.source((self.lane, key), value, at);
        if let Some(Source::Record(id)) = source
            && let Some(version) = facts.records[id as usize].version
        {
            let before = match self.cells[place].source {
                Some(Source::Record(before)) => facts.records[before as usize].version.unwrap_or_default(),
                _ => 0,
            };
            let wrong = if self.held.is_some_and(|held| version <= held) || version == before {
                Some((Rule::Duplicate, "it had been told it"))
            } else if version < before || self.synced && version < self.newest {
                Some((Rule::Reorder, "it had been told a later one"))
            } else {
                None
            };
            if let Some((rule, why)) = wrong {
                let text = format!(
                    "watch {} is told at [{at}] what {} writes, of version {version}, though {why} before.",
                    self.watch.0,
                    facts.name(id)
                );
                facts.broken(rule, text);
            }
            self.newest = self.newest.max(version);
        }
        self.change(sights, place, source, at);
    }

    fn change(&mut self, sights: &mut Sights, place: usize, source: Option<Source>, at: usize) {
        self.close(sights, place);
        if self.cells[place].since.is_some() {
            self.dirty.push(place);
        }
        self.cells[place] = Cell { source, since: None, at };
    }

    /// The watcher held a value up to the last id.
    fn close(&self, sights: &mut Sights, place: usize) {
        let Cell { source, since, at } = self.cells[place];
        if let (Some(source), Some(from), Some(to)) = (source, since, self.held) {
            let own = &mut sights.lanes[self.lane.0 as usize];
            match source {
                Source::Initial => {
                    own.absent[place].push(Absent { from, to, ids: self.ids, at: at.max(self.held_at) });
                }
                Source::Record(_) => own.seen[place].push(Seen { from, to, source, at, by: By::Watch }),
            }
        }
    }

    fn close_all(&self, sights: &mut Sights) {
        (0..self.cells.len()).for_each(|place| self.close(sights, place));
    }

    /// An id: the watcher holds the state of that version.
    fn holds(&mut self, facts: &mut Facts, sights: &mut Sights, at: usize, id: u64, synced: bool) {
        if let Some(last) = self.last_id.filter(|last| *last > id) {
            let text = format!("watch {} is told the id {id} at [{at}], after {last}.", self.watch.0);
            facts.broken(Rule::Token, text);
        }
        if self.newest > id {
            let text = format!(
                "watch {} is told the id {id} at [{at}], after a change of version {}.",
                self.watch.0, self.newest
            );
            facts.broken(Rule::Token, text);
        }
        for place in self.dirty.drain(..) {
            let cell = &mut self.cells[place];
            cell.since = Some(id);
            cell.at = at;
        }
        let floor = if synced { self.floor } else { 0 };
        let held = id.max(floor).max(self.held.unwrap_or_default());
        sights.ids[self.ids].extend([id.max(self.held.unwrap_or_default()), held]);
        (self.held, self.held_at) = (Some(held), at);
        (self.last_id, self.newest) = (Some(id), 0);
    }

    /// All has healed: the watcher is `synced` and holds the lane's state.
    fn ends_with_the_state(&self, facts: &mut Facts, sights: &Sights) {
        let mut finals = facts.finals.iter().filter(|state| state.lane == self.lane);
        let Some(state) = finals.next_back() else { return };
        if !self.synced {
            let text = format!("watch {} is not synced in the end.", self.watch.0);
            return facts.broken(Rule::Diverged, text);
        }
        let own = &sights.lanes[self.lane.0 as usize];
        let end = facts.history.happened.len();
        let values: HashMap<&str, &str> = match &state.state {
            State::Value(value) => HashMap::from([("", value.as_str())]),
            State::Map(entries) => {
                entries.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
            }
        };
        for (key, cell) in own.keys.iter().zip(&self.cells) {
            let value = values.get(key);
            let source =
                value.map_or(Some(Source::Initial), |value| facts.source((self.lane, key), value, end));
            if let (Some(ends), Some(held)) = (source, cell.source)
                && ends != held
            {
                let text = format!(
                    "watch {} of {} holds {} at {key:?} in the end, and the lane holds {}.",
                    self.watch.0,
                    facts.history.name(self.lane),
                    facts.value_name(held),
                    facts.value_name(ends)
                );
                return facts.broken(Rule::Diverged, text);
            }
        }
    }
}
