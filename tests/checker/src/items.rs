//! What watchers of Command and Supply lanes are told: each item once and in order, or a `gap`.

use crate::facts::{Facts, Part};
use crate::folds::{Course, begins_with_reset, wanted};
use crate::history::{Change, Kind, Lane, Told, Watch};
use crate::violation::Rule;
use std::collections::{HashMap, HashSet};

/// An item: its record, and its place among the record's changes.
type Item = (u32, u32);

pub fn check(facts: &mut Facts, courses: &[Course]) {
    let wanted = wanted(facts);
    let mut items: HashMap<Lane, Vec<Item>> = HashMap::new();
    for (id, record) in facts.records.iter().enumerate() {
        for (place, (lane, change)) in record.changes.iter().enumerate() {
            if matches!(change, Change::Emit(_)) && !record.dead {
                items.entry(*lane).or_default().push((id as u32, place as u32));
            }
        }
    }
    let mut kept: HashMap<(Watch, u64), HashSet<Item>> = HashMap::new();
    for (number, course) in courses.iter().enumerate() {
        let watch = Watch(number as u32);
        let lane = facts.history.watches[number].lane;
        let declared = facts.history.declared(lane);
        if declared.kind != Kind::Items || facts.damaged.contains(&declared.slot) {
            continue;
        }
        begins_with_reset(facts, watch, course);
        let of_lane = items.get(&lane).map_or(&[][..], Vec::as_slice);
        let mut queue = Queue { watch, lane, opened: course.opened, items: of_lane, ..Queue::default() };
        if let Some((earlier, token)) = facts.history.watches[number].from
            && let Some(told) = kept.get(&(earlier, token))
        {
            queue.resume(token, told);
            if wanted.contains(&(watch, token)) {
                kept.insert((watch, token), queue.told.clone());
            }
        }
        for (at, told, id) in &course.events {
            queue.told(facts, *at, told, *id);
            if let Some(id) = id
                && wanted.contains(&(watch, *id))
            {
                kept.insert((watch, *id), queue.told.clone());
            }
        }
        queue.end(facts, course.lives);
        if course.lives && !queue.synced {
            let text = format!("watch {number} is not synced in the end.");
            facts.broken(Rule::Diverged, text);
        }
    }
}

/// What one watcher has been told, since it began or was reset.
#[derive(Debug)]
struct Queue<'a> {
    watch: Watch,
    lane: Lane,
    opened: usize,
    items: &'a [Item],
    /// It goes on from a token.
    resumed: bool,
    synced: bool,
    /// Items of higher versions are due, once it has begun.
    start: Option<u64>,
    /// When it was told so.
    begun: usize,
    told: HashSet<Item>,
    gaps: Vec<(u64, u64)>,
    /// Version and place of the last item.
    last: (u64, u32),
    last_id: Option<u64>,
    /// By slot that sends messages: version and number of the last one that was told.
    senders: HashMap<u32, (u64, usize)>,
}

impl Default for Queue<'_> {
    fn default() -> Self {
        Queue {
            watch: Watch(0),
            lane: Lane(0),
            opened: 0,
            items: &[],
            resumed: false,
            synced: false,
            start: None,
            begun: 0,
            told: HashSet::new(),
            gaps: Vec::new(),
            last: (0, 0),
            last_id: None,
            senders: HashMap::new(),
        }
    }
}

impl Queue<'_> {
    fn resume(&mut self, token: u64, told: &HashSet<Item>) {
        (self.start, self.last_id) = (Some(token), Some(token));
        (self.begun, self.resumed, self.told) = (self.opened, true, told.clone());
    }

    fn told(&mut self, facts: &mut Facts, at: usize, told: &Told, id: Option<u64>) {
        match told {
            Told::Event(item) => self.item(facts, at, item),
            Told::Gap { from, to } => self.gap(facts, at, *from, *to),
            Told::Reset => {
                self.end(facts, false);
                let Queue { watch, lane, opened, items, .. } = *self;
                *self = Queue { watch, lane, opened, items, ..Queue::default() };
            }
            Told::Synced => {
                self.synced = true;
                if self.start.is_none() {
                    (self.start, self.begun) = (id, at);
                }
            }
            Told::Stale => {}
            Told::Set(_) | Told::Update(..) | Told::Remove(_) | Told::Clear => {
                let text = format!("watch {} of a lane of items is told {told} at [{at}].", self.watch.0);
                facts.broken(Rule::Phantom, text);
            }
        }
        let Some(id) = id else { return };
        if self.last_id.is_some_and(|last| last > id) || self.last.0 > id {
            let last = self.last_id.unwrap_or_default();
            let text = format!(
                "watch {} is told the id {id} at [{at}], after the id {last} and an item of version {}.",
                self.watch.0, self.last.0
            );
            facts.broken(Rule::Token, text);
        }
        self.last_id = Some(id);
    }

    fn item(&mut self, facts: &mut Facts, at: usize, text: &str) {
        let Some(item) = facts.emitter(self.lane, text) else { return };
        let record = &facts.records[item.0 as usize];
        let version = record.version;
        let is_old = facts.acknowledged[record.op.0 as usize].is_some_and(|done| done < self.opened)
            && record.part == Part::Itself;
        let wrong = if !self.told.insert(item) {
            Some((Rule::Duplicate, "again"))
        } else if self.start.is_none() {
            Some((Rule::Reorder, "before it is synced"))
        } else if is_old && !self.resumed {
            Some((Rule::Reorder, "though it was acknowledged before the watch was opened"))
        } else if version.is_some_and(|version| self.last_id.is_some_and(|last| version <= last)) {
            Some((Rule::Token, "after an id that says that it was told"))
        } else if version.is_some_and(|version| (version, item.1) < self.last) {
            Some((Rule::Reorder, "after a later one"))
        } else {
            None
        };
        if let Some(version) = version {
            self.last = self.last.max((version, item.1));
        }
        if let Some((rule, when)) = wrong {
            let text = format!(
                "watch {} is told {text} at [{at}], of {}, {when}.",
                self.watch.0,
                facts.name(item.0)
            );
            return facts.broken(rule, text);
        }
        self.keeps_order(facts, at, item);
    }

    /// Messages of one slot come in the order in which they were sent.
    fn keeps_order(&mut self, facts: &mut Facts, at: usize, item: Item) {
        let record = &facts.records[item.0 as usize];
        let own = &facts.records[facts.of_write[record.op.0 as usize].start as usize];
        let (Part::Message(number), Some(version)) = (record.part, own.version) else { return };
        let last = self.senders.entry(own.slot).or_default();
        if (version, number) < *last {
            let text = format!(
                "watch {} is told at [{at}] of {}, which was sent at version {version}, after one of version {}.",
                self.watch.0,
                facts.name(item.0),
                last.0
            );
            return facts.broken(Rule::Order, text);
        }
        *last = (version, number);
    }

    fn gap(&mut self, facts: &mut Facts, at: usize, from: u64, to: u64) {
        if from > to || to < self.last.0 || self.start.is_none() {
            let text = format!(
                "watch {} is told of a gap {from}-{to} at [{at}], after an item of version {}.",
                self.watch.0, self.last.0
            );
            facts.broken(Rule::Reorder, text);
        }
        self.gaps.push((from, to));
        self.last = self.last.max((to, 0));
    }

    /// What was due is told, or lies in a gap.
    fn end(&self, facts: &mut Facts, lives: bool) {
        let Some(start) = self.start else { return };
        let upto = if lives { u64::MAX } else { self.last.0.max(self.last_id.unwrap_or_default()) };
        for item in self.items {
            let record = &facts.records[item.0 as usize];
            let is_old = facts.acknowledged[record.op.0 as usize].is_some_and(|done| done < self.opened)
                && record.part == Part::Itself;
            if self.told.contains(item) || is_old && !self.resumed {
                continue;
            }
            let (is_due, low, high) = match record.version {
                Some(version) => (version > start && version <= upto, version, version),
                None => (lives && record.happened && record.sent > self.begun, record.above, record.most),
            };
            if is_due && !self.gaps.iter().any(|(from, to)| *from <= high && low <= *to) {
                let Change::Emit(text) = &record.changes[item.1 as usize].1 else { continue };
                let text = format!(
                    "watch {} of {}, which is told all after version {start} until {}, is not told {text}, of {}.",
                    self.watch.0,
                    facts.history.name(self.lane),
                    if lives { "the end".into() } else { format!("version {upto}") },
                    facts.name(item.0)
                );
                return facts.broken(Rule::Missing, text);
            }
        }
    }
}
