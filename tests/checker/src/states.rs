//! Whether what was seen of Value and Map lanes are states that one order of their changes gives.
//!
//! Versions order the changes of a slot. Most writes have one: they were acknowledged, or a read of a Value lane showed
//! them. The others have bounds, which each sight makes narrower. Key by key, each sight must be what the last change
//! before it left; what no known change explains, one that is not known must, once.

use crate::facts::{Facts, Part, Source};
use crate::history::{Change, Lane};
use crate::seen::{Absent, By, LaneSeen, Seen, Sights};
use crate::violation::Rule;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A change of a key whose version is known.
#[derive(Clone, Copy, Debug)]
struct Dated {
    version: u64,
    record: u32,
    /// False: it removes.
    puts: bool,
}

/// All changes of one lane.
#[derive(Debug, Default)]
struct Changes {
    /// By key, in order of versions.
    dated: Vec<Vec<Dated>>,
    clears: Vec<Dated>,
    /// By key: records without a version that remove it.
    removers: Vec<Vec<u32>>,
    clearers: Vec<u32>,
    /// By key: records that put something there.
    writers: Vec<Vec<u32>>,
}

pub fn check(facts: &mut Facts, sights: &mut Sights) {
    let mut changes: Vec<Changes> = sights.lanes.iter().map(Changes::new).collect();
    for id in 0..facts.records.len() as u32 {
        add_changes(facts, sights, &mut changes, id);
    }
    for (number, changes) in changes.iter_mut().enumerate() {
        changes.clears.sort_by_key(|dated| dated.version);
        let lane = Lane(number as u32);
        for key in 0..changes.dated.len() {
            changes.dated[key].sort_by_key(|dated| dated.version);
            let mut seen = std::mem::take(&mut sights.lanes[number].seen[key]);
            let absent = std::mem::take(&mut sights.lanes[number].absent[key]);
            for absent in absent {
                changes.add_absent(key, &absent, &sights.ids[absent.ids], &mut seen);
            }
            seen.sort_by_key(|seen| (seen.from, seen.to));
            let name = sights.lanes[number].keys[key];
            let name = format!("{} {name}", facts.history.name(lane));
            Walk { facts, changes, key, name: name.trim_end(), used: HashSet::new(), explained: None }
                .walk(&seen);
            sights.lanes[number].seen[key] = seen;
        }
    }
    nothing_that_happened_is_lost(facts, sights, &changes);
    messages_keep_their_order(facts);
}

impl Changes {
    fn new(lane: &LaneSeen) -> Changes {
        let keys = lane.keys.len();
        Changes {
            dated: vec![Vec::new(); keys],
            removers: vec![Vec::new(); keys],
            writers: vec![Vec::new(); keys],
            ..Changes::default()
        }
    }

    /// The last change of a key at or before a version, of those that have one.
    fn last(&self, key: usize, version: u64) -> Option<Dated> {
        let before =
            |all: &[Dated]| all[..all.partition_point(|dated| dated.version <= version)].last().copied();
        match (before(&self.clears), before(&self.dated[key])) {
            (Some(clear), Some(own)) if clear.version > own.version => Some(clear),
            (clear, own) => own.or(clear),
        }
    }

    /// The ids at which a watcher lacks a key and something might be there: after each change and sight of it.
    fn add_absent(&self, key: usize, absent: &Absent, ids: &[u64], seen: &mut Vec<Seen>) {
        let Absent { from, to, at, .. } = *absent;
        let puts = self.dated[key].iter().filter(|dated| dated.puts).map(|dated| dated.version);
        let sights = seen.iter().filter(|seen| seen.source != Source::Initial).map(|seen| seen.from);
        let within = puts.chain(sights).filter(|version| *version > from && *version < to);
        let mut due: Vec<u64> = within.map(|version| ids[ids.partition_point(|id| *id < version)]).collect();
        due.extend([from, to]);
        due.sort_unstable();
        due.dedup();
        let point = |version| Seen { from: version, to: version, source: Source::Initial, at, by: By::Watch };
        seen.extend(due.into_iter().map(point));
    }

    /// Whether a known change removes the key after one version and at or before another one.
    fn removes(&self, key: usize, after: u64, upto: u64) -> bool {
        let within = |dated: &&Dated| dated.version > after && dated.version <= upto && !dated.puts;
        self.clears.iter().chain(&self.dated[key]).any(|dated| within(&dated))
    }
}

/// What one record does in the end to each key that it changes.
fn add_changes(facts: &Facts, sights: &Sights, changes: &mut [Changes], id: u32) {
    let record = &facts.records[id as usize];
    if record.dead {
        return;
    }
    let mut ends: HashMap<(Lane, Option<&str>), bool> = HashMap::new();
    for (lane, change) in record.changes {
        match change {
            Change::Set(_) => drop(ends.insert((*lane, Some("")), true)),
            Change::Put(key, _) => drop(ends.insert((*lane, Some(key)), true)),
            Change::Remove(key) => drop(ends.insert((*lane, Some(key)), false)),
            Change::Clear => {
                ends.retain(|(of, _), _| of != lane);
                ends.insert((*lane, None), false);
            }
            Change::Emit(_) => {}
        }
    }
    for ((lane, key), puts) in ends {
        let changes = &mut changes[lane.0 as usize];
        let key = key.and_then(|key| sights.lanes[lane.0 as usize].key(key));
        if let (true, Some(key)) = (puts, key) {
            changes.writers[key].push(id);
        }
        match (record.version, key) {
            (Some(version), Some(key)) => changes.dated[key].push(Dated { version, record: id, puts }),
            (Some(version), None) => changes.clears.push(Dated { version, record: id, puts }),
            (None, Some(key)) if !puts => changes.removers[key].push(id),
            (None, None) => changes.clearers.push(id),
            (None, Some(_)) => {}
        }
    }
}

/// One key's sights, from the lowest version to the highest.
struct Walk<'a, 'b> {
    facts: &'b mut Facts<'a>,
    changes: &'b Changes,
    key: usize,
    name: &'b str,
    /// Removals without a version that have explained an absence.
    used: HashSet<u32>,
    /// Why nothing is there although something was at this version is known.
    explained: Option<u64>,
}

impl Walk<'_, '_> {
    fn walk(&mut self, seen: &[Seen]) {
        let mut current: Option<Seen> = None;
        let mut gone: HashSet<Source> = HashSet::new();
        for seen in seen {
            let said = self.facts.violations.len();
            self.judge(seen, current.as_ref());
            if self.facts.violations.len() > said {
                // It is wrong by itself: nothing follows from it for the others.
                continue;
            }
            match &mut current {
                Some(current) if current.source == seen.source => current.to = current.to.max(seen.to),
                Some(before) => {
                    self.follows(seen, before, &gone);
                    gone.insert(before.source);
                    let to = before.to.max(seen.to);
                    current = Some(Seen { to, ..*seen });
                }
                None => current = Some(*seen),
            }
        }
    }

    /// One sight beside the changes of which the versions are known.
    fn judge(&mut self, seen: &Seen, before: Option<&Seen>) {
        let last = self.changes.last(self.key, seen.to);
        match seen.source {
            Source::Record(id) => self.judge_value(id, seen, last),
            Source::Initial => self.judge_absence(seen, before, last.filter(|last| last.puts)),
        }
    }

    /// Nothing is there, though `put` or what was seen `before` was.
    fn judge_absence(&mut self, seen: &Seen, before: Option<&Seen>, put: Option<Dated>) {
        if let Some(put) = put.filter(|put| put.version > seen.from) {
            return self.lacks(seen, put);
        }
        let before = before.filter(|before| before.source != Source::Initial && before.to < seen.from);
        let after = put.map(|put| put.version).max(before.map(|before| before.to));
        let Some(after) = after.filter(|after| Some(*after) > self.explained) else { return };
        let is_removed = self.changes.removes(self.key, after, seen.from) || self.may_be_removed(seen, after);
        self.explained = Some(after);
        if is_removed {
            return;
        }
        match (before, put) {
            (_, Some(put)) => self.lacks(seen, put),
            (Some(before), None) => {
                let text = format!(
                    "{} holds nothing ({}) after {} ({}), and nothing has removed that.",
                    self.name,
                    seen.place(),
                    self.facts.value_name(before.source),
                    before.place()
                );
                let rule = if seen.by == By::Final { Rule::Lost } else { seen.rule() };
                self.facts.broken(rule, text);
            }
            (None, None) => {}
        }
    }

    fn judge_value(&mut self, id: u32, seen: &Seen, last: Option<Dated>) {
        let record = &self.facts.records[id as usize];
        if let Some(version) = record.version
            && version > seen.from
        {
            let text = format!(
                "{} holds at version {} what {} writes, which has version {version} ({}).",
                self.name,
                seen.from,
                self.facts.name(id),
                seen.place()
            );
            return self.facts.broken(seen.rule(), text);
        }
        let overwritten = match record.version {
            Some(_) => last.filter(|last| last.record != id),
            None => last.filter(|last| last.version > seen.from),
        };
        if let Some(last) = overwritten {
            return self.lacks(seen, last);
        }
        let record = &mut self.facts.records[id as usize];
        if record.version.is_none() {
            record.above = record.above.max(last.map_or(0, |last| last.version));
            record.most = record.most.min(seen.from);
            self.has_a_version(id, seen);
        }
    }

    /// All that was seen of a write without a version fits one version.
    fn has_a_version(&mut self, id: u32, seen: &Seen) {
        let record = &mut self.facts.records[id as usize];
        let above = record.above;
        if above < record.most {
            return;
        }
        // Once said, nothing more follows from it.
        (record.above, record.most) = (0, u64::MAX);
        let text = format!(
            "{} holds what {} writes at version {} ({}), and by what else was seen its version is above {above}.",
            self.name,
            self.facts.name(id),
            seen.from,
            seen.place()
        );
        self.facts.broken(seen.rule(), text);
    }

    /// Another value than the sight before.
    fn follows(&mut self, seen: &Seen, before: &Seen, gone: &HashSet<Source>) {
        if seen.from <= before.to {
            let text = format!(
                "{} holds {} ({}) and {} ({}) at version {}.",
                self.name,
                self.facts.value_name(before.source),
                before.place(),
                self.facts.value_name(seen.source),
                seen.place(),
                seen.from
            );
            let rule = match (before.by, seen.by) {
                (By::Final, _) | (_, By::Final) => Rule::Lost,
                _ if seen.from > before.from => Rule::Stale,
                _ => seen.rule(),
            };
            return self.facts.broken(rule, text);
        }
        match seen.source {
            Source::Record(id) if self.facts.records[id as usize].version.is_none() => {
                if gone.contains(&seen.source) {
                    let text = format!(
                        "{} holds what {} writes again ({}), after something else.",
                        self.name,
                        self.facts.name(id),
                        seen.place()
                    );
                    self.facts.broken(Rule::Doubled, text);
                }
                let record = &mut self.facts.records[id as usize];
                record.above = record.above.max(before.to);
                self.has_a_version(id, seen);
            }
            Source::Record(_) | Source::Initial => {}
        }
    }

    /// Whether a write of which the version is not known may have removed the key between a version and this sight.
    fn may_be_removed(&mut self, seen: &Seen, after: u64) -> bool {
        let fits = |facts: &Facts, id: u32| {
            let record = &facts.records[id as usize];
            record.sent < seen.at && record.above < seen.from && record.most > after
        };
        let removers = self.changes.removers[self.key].iter().copied().filter(|id| fits(self.facts, *id));
        let mut clearers = self.changes.clearers.iter().copied().filter(|id| fits(self.facts, *id));
        let (clearer, another) = (clearers.next(), clearers.next());
        let Some(clearer) = clearer else {
            // Each removes it once. Of several, that one goes which fits the fewest others.
            let unused = removers.filter(|id| !self.used.contains(id));
            let remover = unused.min_by_key(|id| self.facts.records[*id as usize].most);
            self.used.extend(remover);
            return remover.is_some();
        };
        if another.is_none() && removers.count() == 0 {
            let record = &mut self.facts.records[clearer as usize];
            record.above = record.above.max(after);
            record.most = record.most.min(seen.from);
            record.happened = true;
        }
        true
    }

    /// A change at or before the sight that it does not show.
    fn lacks(&mut self, seen: &Seen, change: Dated) {
        let rule = match seen.by {
            By::Final => Rule::Lost,
            _ if change.version > seen.from => Rule::Stale,
            _ => seen.rule(),
        };
        let text = format!(
            "{} holds {} ({}), and lacks {}, which has version {}.",
            self.name,
            self.facts.value_name(seen.source),
            seen.place(),
            self.facts.name(change.record),
            change.version
        );
        self.facts.broken(rule, text);
    }
}

impl Seen {
    /// What is broken if a state is none that the lane had.
    fn rule(&self) -> Rule {
        match self.by {
            By::Read | By::Final => Rule::State,
            By::Watch => Rule::Token,
        }
    }

    fn place(&self) -> String {
        let by = match self.by {
            By::Read => "read at",
            By::Watch => "told until",
            By::Final => "at the end",
        };
        let at = if self.by == By::Final { String::new() } else { format!(" [{}]", self.at) };
        format!("{by}{at}, version {}", self.from)
    }
}

/// What happened without a version that is known is there in the end, or something may have overwritten it.
fn nothing_that_happened_is_lost(facts: &mut Facts, sights: &Sights, changes: &[Changes]) {
    for id in 0..facts.records.len() as u32 {
        let record = &facts.records[id as usize];
        if !record.happened || record.version.is_some() {
            continue;
        }
        for (lane, change) in record.changes {
            let (own, of_lane) = (&sights.lanes[lane.0 as usize], &changes[lane.0 as usize]);
            let key = match change {
                Change::Set(_) => "",
                Change::Put(key, _) => key,
                _ => continue,
            };
            let Some(key) = own.key(key).filter(|_| own.has_final) else { continue };
            let is_there = |seen: &Seen| seen.by == By::Final && seen.source == Source::Record(id);
            let after = |other: u32| other != id && facts.records[other as usize].most > record.above;
            let overwritten = of_lane.writers[key].iter().any(|other| after(*other))
                || of_lane.removers[key].iter().chain(&of_lane.clearers).any(|other| after(*other))
                || of_lane.removes(key, record.above, u64::MAX);
            if !overwritten && !own.seen[key].iter().any(is_there) {
                let text =
                    format!("{} is not there in the end: {}.", facts.history.name(*lane), facts.name(id));
                facts.broken(Rule::Lost, text);
                break;
            }
        }
    }
}

/// Where a message stands among those of its slot: by version and number. And its record.
type Place = (u64, usize, u32);

/// Messages of one slot to another one take effect in the order in which they were sent.
fn messages_keep_their_order(facts: &mut Facts) {
    let mut pairs: BTreeMap<(u32, u32), Vec<Place>> = BTreeMap::new();
    for (id, record) in facts.records.iter().enumerate() {
        let own = &facts.records[facts.of_write[record.op.0 as usize].start as usize];
        if let (Part::Message(number), Some(version)) = (record.part, own.version) {
            pairs.entry((own.slot, record.slot)).or_default().push((version, number, id as u32));
        }
    }
    for mut sent in pairs.into_values() {
        sent.sort_unstable();
        let mut before: Option<u32> = None;
        for (_, _, id) in sent {
            let above = before.map_or(0, |before| facts.records[before as usize].above);
            if let Some(before) = before
                && above >= facts.records[id as usize].most
            {
                let text = format!(
                    "{} took effect at version {above} at most, and before it {}, which was sent later.",
                    facts.name(before),
                    facts.name(id)
                );
                facts.broken(Rule::Order, text);
            }
            if facts.records[id as usize].above > above || before.is_none() {
                before = Some(id);
            }
        }
    }
}
