//! Histories that are right but for one thing, each by its name, and what the check must say of it.

use super::model::{Choices, Model};
use crate::facts::{Facts, Part};
use crate::history::{Happening, Reading};
use crate::{Change, End, Final, History, Lane, Op, Read, Rule, State, Told, Watch};
use std::collections::BTreeMap;

/// What is broken in a history; false: there is no place for it in this one.
type Break = fn(&mut Case) -> bool;

const BROKEN: &[(&str, Break, &[Rule])] = &[
    ("an acknowledged entry is not there in the end", entry_is_lost, &[Rule::Lost]),
    ("the effect of an acknowledged message is not there in the end", message_is_lost, &[Rule::Lost]),
    ("an older value is there in the end", value_is_older_in_the_end, &[Rule::Lost]),
    ("a removed entry is there again in the end", removed_entry_is_back, &[Rule::Lost]),
    ("an effect came twice", effect_came_twice, &[Rule::Phantom]),
    ("a message came twice", message_came_twice, &[Rule::Phantom]),
    ("the effect of a timer is not there in the end", timer_is_lost, &[Rule::Lost]),
    ("a timer fired twice", timer_fired_twice, &[Rule::Phantom]),
    ("a message without its write", message_without_its_write, &[Rule::Lost]),
    ("a value that nobody wrote", nobody_wrote_it, &[Rule::Phantom]),
    ("what was refused is seen", refused_is_seen, &[Rule::Refused]),
    ("what was not sent yet is seen", seen_before_it_is_sent, &[Rule::Early]),
    ("a retry is done at another version", retry_has_another_version, &[Rule::Retry]),
    ("a retry is refused after it was done", retry_is_refused, &[Rule::Retry]),
    ("two writes have one version", two_writes_have_one_version, &[Rule::Version]),
    ("a later write has a lower version", later_write_has_a_lower_version, &[Rule::Version]),
    ("a read has a version of another lane", read_has_a_foreign_version, &[Rule::Version]),
    ("one version has two values", one_version_has_two_values, &[Rule::Version]),
    ("a read lacks what was acknowledged before", read_lacks_the_acknowledged, &[Rule::Stale]),
    ("a read lacks what a read showed before", read_lacks_what_was_shown, &[Rule::Stale]),
    ("a read shows what is lost later", read_shows_what_is_lost, &[Rule::Lost]),
    ("a local read lacks an entry of its version", local_read_lacks_an_entry, &[Rule::State]),
    (
        "an id says more than was told",
        id_says_more,
        &[Rule::Token, Rule::Stale, Rule::Duplicate, Rule::State],
    ),
    ("an id falls", id_falls, &[Rule::Token]),
    ("an update is left out", update_is_left_out, &[Rule::Token, Rule::Stale]),
    ("an update is told again", update_is_told_again, &[Rule::Duplicate]),
    ("an older value is told after a newer one", values_change_places, &[Rule::Reorder, Rule::Duplicate]),
    ("synced comes before the state is whole", synced_is_early, &[Rule::Token, Rule::Stale]),
    ("a watch that came with 0 is not reset", resume_without_reset, &[Rule::Resume]),
    ("a watch that came back lacks an update", resume_lacks_an_update, &[Rule::Token, Rule::Stale]),
    ("a watch that came back is told what it had", resume_tells_again, &[Rule::Duplicate, Rule::Token]),
    ("a watch ends with an older value", watch_ends_with_an_older_value, &[Rule::Diverged]),
    ("a watch is not synced in the end", watch_is_not_synced, &[Rule::Diverged]),
    ("an item is left out", item_is_left_out, &[Rule::Missing]),
    ("an item comes twice", item_comes_twice, &[Rule::Duplicate]),
    ("two items change places", items_change_places, &[Rule::Reorder, Rule::Token]),
    ("an item comes before synced", item_before_synced, &[Rule::Reorder]),
    ("a gap is left out", gap_is_left_out, &[Rule::Missing]),
    ("messages of one slot change places", messages_change_places, &[Rule::Order]),
];

/// How many histories are looked at at most, and in how many of them each must find a place.
const HISTORIES: u64 = 3_000;
const PLACES: usize = 12;

#[test]
fn each_broken_history_is_named() {
    let mut wrong = Vec::new();
    for (name, make, rules) in BROKEN {
        let mut places = 0;
        for seed in 0..HISTORIES {
            let Model { history, finals, .. } = Model::run(Choices::of_seed(seed, 900));
            let mut case = Case { history, finals, choices: Choices::of_seed(!seed, 100) };
            if !make(&mut case) {
                continue;
            }
            places += 1;
            let violations = case.history.check(&case.finals);
            if !violations.iter().any(|violation| rules.contains(&violation.rule)) {
                wrong.push(format!("{name}, seed {seed}: {violations:#?}"));
                break;
            }
            if places == PLACES {
                break;
            }
        }
        if places < PLACES && wrong.last().is_none_or(|last| !last.starts_with(name)) {
            wrong.push(format!("{name}: {places} of {HISTORIES} histories have a place for it"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

struct Case {
    history: History,
    finals: Vec<Final>,
    choices: Choices,
}

/// One event of a watch.
#[derive(Clone, Debug)]
struct Event {
    /// Its place in the history.
    at: usize,
    watch: Watch,
    told: Told,
    id: Option<u64>,
}

impl Case {
    fn pick<T>(&mut self, mut all: Vec<T>) -> Option<T> {
        if all.is_empty() { None } else { Some(all.swap_remove(self.choices.below(all.len()))) }
    }

    fn name(&self, lane: Lane) -> &str {
        &self.history.lanes[lane.0 as usize].name
    }

    fn lane_of(&self, watch: Watch) -> Lane {
        self.history.watches[watch.0 as usize].lane
    }

    /// Version of each write that has one.
    fn versions(&self) -> BTreeMap<Op, u64> {
        let facts = Facts::new(&self.history, &self.finals);
        let own = facts.records.iter().filter(|record| record.part == Part::Itself);
        own.filter_map(|record| Some((record.op, record.version?))).collect()
    }

    /// The write that sets, puts or emits a value in a lane.
    fn writer(&self, lane: Lane, value: &str) -> Option<Op> {
        let writes = (0..).zip(&self.history.writes);
        let by = writes.filter(|(_, write)| {
            write.changes.iter().chain(write.sends.iter().chain(&write.timers).flatten()).any(
                |(of, change)| {
                    let is = match change {
                        Change::Set(new) | Change::Emit(new) => new == value,
                        Change::Put(key, new) => new == value || key == value,
                        Change::Remove(_) | Change::Clear => false,
                    };
                    is && *of == lane
                },
            )
        });
        by.map(|(op, _)| Op(op)).next()
    }

    /// When it was sent, and when it was first answered so.
    fn sent(&self, op: Op) -> usize {
        let is = |happening: &Happening| matches!(happening, Happening::Sent(sent) if *sent == op);
        self.history.happened.iter().position(is).expect("it was sent")
    }

    fn done(&self, op: Op) -> Option<usize> {
        let is = |happening: &Happening| matches!(happening, Happening::Ended(of, End::Done(_)) if *of == op);
        self.history.happened.iter().position(is)
    }

    fn all_done(&self) -> Vec<(Op, usize)> {
        let ops = (0..self.history.writes.len() as u32).map(Op);
        ops.filter_map(|op| Some((op, self.done(op)?))).collect()
    }

    fn events(&self) -> Vec<Event> {
        let events = self.history.happened.iter().enumerate().filter_map(|(at, happening)| match happening {
            Happening::Told(watch, told, id) => {
                Some(Event { at, watch: *watch, told: told.clone(), id: *id })
            }
            _ => None,
        });
        events.collect()
    }

    /// Whether a watch is told an id after this place, before it is told `reset`.
    fn has_id_after(&self, event: &Event) -> bool {
        let after =
            self.events().into_iter().filter(|later| later.watch == event.watch && later.at > event.at);
        after.take_while(|later| later.told != Told::Reset).any(|later| later.id.is_some())
    }

    /// The ids that a watch was told before, since `reset`.
    fn ids_before(&self, event: &Event) -> Vec<u64> {
        let before =
            self.events().into_iter().filter(|earlier| earlier.watch == event.watch && earlier.at < event.at);
        let since: Vec<Event> = before.collect();
        since.iter().rev().take_while(|earlier| earlier.told != Told::Reset).filter_map(|of| of.id).collect()
    }

    fn retell(&mut self, at: usize, new: Told) {
        if let Happening::Told(_, told, _) = &mut self.history.happened[at] {
            *told = new;
        }
    }

    fn set_id(&mut self, at: usize, new: u64) {
        if let Happening::Told(_, _, id) = &mut self.history.happened[at] {
            *id = Some(new);
        }
    }

    /// The place of an entry in the final states of lanes with this name, whose write is acknowledged.
    fn entry(&mut self, name: &str) -> Option<(usize, usize)> {
        let mut all = Vec::new();
        for (at, Final { lane, state, .. }) in self.finals.iter().enumerate() {
            let State::Map(entries) = state else { continue };
            for (place, (key, _)) in entries.iter().enumerate() {
                let op = self.writer(*lane, key);
                if self.name(*lane) == name && op.is_some_and(|op| self.done(op).is_some()) {
                    all.push((at, place));
                }
            }
        }
        self.pick(all)
    }

    fn change_entry(&mut self, (at, place): (usize, usize), value: Option<&str>) {
        let State::Map(entries) = &mut self.finals[at].state else { return };
        match value {
            Some(value) => entries[place].1 = value.to_owned(),
            None => drop(entries.remove(place)),
        }
    }

    /// The answers of reads: their places in the history.
    fn answers(&self, is_right: impl Fn(Read, &Reading, u64, &State) -> bool) -> Vec<usize> {
        let answers = self.history.happened.iter().enumerate().filter(|(_, happening)| match happening {
            Happening::Got(read, version, state) => {
                is_right(*read, &self.history.reads[read.0 as usize], *version, state)
            }
            _ => false,
        });
        answers.map(|(at, _)| at).collect()
    }

    fn asked(&self, read: Read) -> usize {
        let is = |happening: &Happening| matches!(happening, Happening::Asked(asked) if *asked == read);
        self.history.happened.iter().position(is).expect("it was asked")
    }

    /// A read that is asked and answered at one place of the history.
    fn read_at(&mut self, at: usize, lane: Lane, version: u64, state: State) {
        let read = Read(self.history.reads.len() as u32);
        self.history.reads.push(Reading { lane, local: false });
        self.history.happened.insert(at, Happening::Got(read, version, state));
        self.history.happened.insert(at, Happening::Asked(read));
    }

    /// A command that may have had its effect, and had none.
    fn undone(&mut self) -> Option<Op> {
        let facts = Facts::new(&self.history, &self.finals);
        let undone = facts.records.iter().filter(|record| {
            let has_message = !self.history.writes[record.op.0 as usize].sends.is_empty();
            has_message && !record.happened && !record.dead
        });
        let all = undone.map(|record| record.op).collect();
        self.pick(all)
    }

    /// Values of a Value lane, by the versions of their writes.
    fn values(&self, lane: Lane) -> BTreeMap<u64, String> {
        let versions = self.versions();
        let mut values = BTreeMap::new();
        for (op, version) in versions {
            for (of, change) in &self.history.writes[op.0 as usize].changes {
                if let Change::Set(value) = change
                    && *of == lane
                {
                    values.insert(version, value.clone());
                }
            }
        }
        values
    }
}

fn entry_is_lost(case: &mut Case) -> bool {
    case.entry("counts").map(|place| case.change_entry(place, None)).is_some()
}

fn message_is_lost(case: &mut Case) -> bool {
    case.entry("heard").map(|place| case.change_entry(place, None)).is_some()
}

fn timer_is_lost(case: &mut Case) -> bool {
    // One that was cancelled may be lost.
    case.history.cancelled.is_empty()
        && case.entry("rang").map(|place| case.change_entry(place, None)).is_some()
}

fn timer_fired_twice(case: &mut Case) -> bool {
    case.entry("rang").map(|place| case.change_entry(place, Some("2"))).is_some()
}

fn effect_came_twice(case: &mut Case) -> bool {
    case.entry("counts").map(|place| case.change_entry(place, Some("2"))).is_some()
}

fn message_came_twice(case: &mut Case) -> bool {
    case.entry("heard").map(|place| case.change_entry(place, Some("2"))).is_some()
}

fn value_is_older_in_the_end(case: &mut Case) -> bool {
    let mut all = Vec::new();
    for (at, Final { lane, version, .. }) in case.finals.iter().enumerate() {
        let acknowledged = |value: &str| case.writer(*lane, value).is_some_and(|op| case.done(op).is_some());
        let values = case.values(*lane);
        if values.get(version).is_some_and(|value| acknowledged(value)) {
            let older = values.range(..*version).filter(|(_, value)| acknowledged(value));
            all.extend(older.map(|(version, value)| (at, *version, value.clone())));
        }
    }
    let Some((at, version, value)) = case.pick(all) else { return false };
    (case.finals[at].version, case.finals[at].state) = (version, State::Value(value));
    true
}

fn removed_entry_is_back(case: &mut Case) -> bool {
    let versions = case.versions();
    let mut all = Vec::new();
    for (op, done) in case.all_done() {
        for (lane, change) in &case.history.writes[op.0 as usize].changes {
            let Change::Remove(key) = change else { continue };
            let Some(at) = case.finals.iter().position(|state| state.lane == *lane) else { continue };
            let State::Map(entries) = &case.finals[at].state else { continue };
            if entries.iter().any(|(of, _)| of == key) {
                continue;
            }
            for (earlier, version) in &versions {
                let changes = &case.history.writes[earlier.0 as usize].changes;
                if let [(of, Change::Put(put, value))] = &changes[..]
                    && (of, put) == (lane, key)
                    && *version < versions[&op]
                {
                    all.push((at, key.clone(), value.clone(), done));
                }
            }
        }
    }
    let Some((at, key, value, _)) = case.pick(all) else { return false };
    if let State::Map(entries) = &mut case.finals[at].state {
        entries.push((key, value));
    }
    true
}

fn message_without_its_write(case: &mut Case) -> bool {
    let Some(op) = case.undone() else { return false };
    let [(heard, Change::Put(key, value)), ..] = &case.history.writes[op.0 as usize].sends[0][..] else {
        return false;
    };
    let (heard, entry) = (*heard, (key.clone(), value.clone()));
    let Some(end) = case.finals.iter_mut().find(|state| state.lane == heard) else { return false };
    if let State::Map(entries) = &mut end.state {
        entries.push(entry);
    }
    true
}

fn nobody_wrote_it(case: &mut Case) -> bool {
    let answers = case.answers(|_, _, _, state| matches!(state, State::Value(_)));
    let Some(at) = case.pick(answers) else { return false };
    let Happening::Got(_, _, state) = &mut case.history.happened[at] else { return false };
    *state = State::Value("\"nobody's\"".into());
    true
}

fn refused_is_seen(case: &mut Case) -> bool {
    let Some((at, place)) = case.entry("counts") else { return false };
    let State::Map(entries) = &case.finals[at].state else { return false };
    let op = case.writer(case.finals[at].lane, &entries[place].0).expect("a writer");
    for happening in &mut case.history.happened {
        if let Happening::Ended(of, end) = happening
            && *of == op
        {
            *end = End::Refused;
        }
    }
    // One that is still open may have had it.
    case.history.happened.retain(|happening| !matches!(happening, Happening::Again(of) if *of == op));
    true
}

fn seen_before_it_is_sent(case: &mut Case) -> bool {
    let mut all = Vec::new();
    for (op, version) in case.versions() {
        if let [(lane, Change::Set(value))] = &case.history.writes[op.0 as usize].changes[..] {
            all.push((case.sent(op), *lane, version, value.clone()));
        }
    }
    let Some((at, lane, version, value)) = case.pick(all) else { return false };
    case.read_at(at, lane, version, State::Value(value));
    true
}

fn keyed_and_done(case: &mut Case) -> Option<(Op, usize)> {
    let done = case.all_done();
    let keyed = done.into_iter().filter(|(op, _)| case.history.writes[op.0 as usize].key.is_some());
    let all = keyed.collect();
    case.pick(all)
}

fn retry_has_another_version(case: &mut Case) -> bool {
    let Some((op, at)) = keyed_and_done(case) else { return false };
    let Happening::Ended(_, End::Done(version)) = case.history.happened[at] else { return false };
    case.history.happened.insert(at + 1, Happening::Ended(op, End::Done(version + 1)));
    case.history.happened.insert(at + 1, Happening::Again(op));
    true
}

fn retry_is_refused(case: &mut Case) -> bool {
    let Some((op, at)) = keyed_and_done(case) else { return false };
    case.history.happened.insert(at + 1, Happening::Ended(op, End::Refused));
    case.history.happened.insert(at + 1, Happening::Again(op));
    true
}

/// Two acknowledged writes of one slot; the first is acknowledged before the other is sent.
fn one_after_the_other(case: &mut Case) -> Option<(Op, Op)> {
    let slot = |op: Op| {
        let (lane, _) = case.history.writes[op.0 as usize].changes[0];
        case.history.lanes[lane.0 as usize].slot
    };
    let done = case.all_done();
    let mut all = Vec::new();
    for (first, done_at) in &done {
        let later = done.iter().filter(|(op, _)| slot(*op) == slot(*first) && case.sent(*op) > *done_at);
        all.extend(later.map(|(op, _)| (*first, *op)));
    }
    case.pick(all)
}

fn answer_by(case: &mut Case, op: Op, version: u64) {
    for happening in &mut case.history.happened {
        if let Happening::Ended(of, End::Done(done)) = happening
            && *of == op
        {
            *done = version;
        }
    }
}

fn two_writes_have_one_version(case: &mut Case) -> bool {
    let Some((first, second)) = one_after_the_other(case) else { return false };
    let version = case.versions()[&first];
    answer_by(case, second, version);
    true
}

fn later_write_has_a_lower_version(case: &mut Case) -> bool {
    let Some((first, second)) = one_after_the_other(case) else { return false };
    let version = case.versions()[&first] - 1;
    answer_by(case, second, version);
    true
}

fn read_has_a_foreign_version(case: &mut Case) -> bool {
    let versions = case.versions();
    let answers = case.answers(|_, reading, version, state| {
        !reading.local && version > 0 && matches!(state, State::Map(_))
    });
    let mut all = Vec::new();
    for at in answers {
        let Happening::Got(read, ..) = case.history.happened[at] else { continue };
        let lane = case.history.reads[read.0 as usize].lane;
        for (op, version) in &versions {
            let changes = &case.history.writes[op.0 as usize].changes;
            let slot = |lane: Lane| case.history.lanes[lane.0 as usize].slot;
            if slot(changes[0].0) == slot(lane) && changes.iter().all(|(of, _)| *of != lane) {
                all.push((at, *version));
            }
        }
    }
    let Some((at, foreign)) = case.pick(all) else { return false };
    let Happening::Got(_, version, _) = &mut case.history.happened[at] else { return false };
    *version = foreign;
    true
}

fn one_version_has_two_values(case: &mut Case) -> bool {
    let lanes: Vec<Lane> = case.finals.iter().map(|state| state.lane).collect();
    let mut all = Vec::new();
    for lane in lanes {
        let values: Vec<(u64, String)> = case.values(lane).into_iter().collect();
        all.extend(values.windows(2).map(|two| (lane, two[0].0, two[1].1.clone())));
    }
    let Some((lane, version, value)) = case.pick(all) else { return false };
    let end = case.history.happened.len();
    case.read_at(end, lane, version, State::Value(value));
    true
}

fn read_lacks_the_acknowledged(case: &mut Case) -> bool {
    let answers = case.answers(|_, reading, version, state| {
        !reading.local && version > 0 && matches!(state, State::Value(_))
    });
    let mut all = Vec::new();
    for at in answers {
        let Happening::Got(read, ..) = case.history.happened[at] else { continue };
        let (lane, asked) = (case.history.reads[read.0 as usize].lane, case.asked(read));
        let sets = |op: Op| case.history.writes[op.0 as usize].changes.iter().any(|(of, _)| *of == lane);
        if case.all_done().iter().any(|(op, done)| sets(*op) && *done < asked) {
            all.push(at);
        }
    }
    let Some(at) = case.pick(all) else { return false };
    let Happening::Got(_, version, state) = &mut case.history.happened[at] else { return false };
    (*version, *state) = (0, State::Value("null".into()));
    true
}

fn read_lacks_what_was_shown(case: &mut Case) -> bool {
    let answers = case.answers(|_, _, version, state| version > 0 && matches!(state, State::Value(_)));
    let Some(at) = case.pick(answers) else { return false };
    let Happening::Got(read, ..) = case.history.happened[at] else { return false };
    let lane = case.history.reads[read.0 as usize].lane;
    case.read_at(at + 1, lane, 0, State::Value("null".into()));
    true
}

fn read_shows_what_is_lost(case: &mut Case) -> bool {
    let Some(op) = case.undone() else { return false };
    let (counts, Change::Put(key, value)) = case.history.writes[op.0 as usize].changes[0].clone() else {
        return false;
    };
    let end = case.finals.iter().find(|state| state.lane == counts).expect("a final state").clone();
    let State::Map(mut entries) = end.state else { return false };
    entries.push((key, value));
    let at = case.history.happened.len();
    case.read_at(at, counts, end.version + 1, State::Map(entries));
    true
}

fn local_read_lacks_an_entry(case: &mut Case) -> bool {
    let versions = case.versions();
    let answers = case.answers(|_, reading, version, state| {
        let counts = case.history.lanes[reading.lane.0 as usize].name == "counts";
        let State::Map(entries) = state else { return false };
        let op = entries.first().and_then(|(key, _)| case.writer(reading.lane, key));
        counts && reading.local && op.and_then(|op| versions.get(&op)).is_some_and(|of| *of <= version)
    });
    let Some(at) = case.pick(answers) else { return false };
    let Happening::Got(_, _, State::Map(entries)) = &mut case.history.happened[at] else { return false };
    entries.remove(0);
    true
}

fn id_says_more(case: &mut Case) -> bool {
    let mut all = Vec::new();
    for event in case.events().into_iter().filter(|event| event.id.is_some()) {
        let lane = case.lane_of(event.watch);
        let later = case.values(lane).into_iter().find(|(version, _)| Some(*version) > event.id);
        let acknowledged = later.as_ref().and_then(|(_, value)| case.done(case.writer(lane, value)?));
        all.extend(later.filter(|_| acknowledged.is_some()).map(|(version, _)| (event.at, version)));
    }
    let Some((at, version)) = case.pick(all) else { return false };
    case.set_id(at, version);
    true
}

fn id_falls(case: &mut Case) -> bool {
    let events = case.events().into_iter().filter(|event| event.id.is_some());
    let later = events.filter_map(|event| Some((event.at, *case.ids_before(&event).first()?)));
    let all = later.filter(|(_, before)| *before > 0).collect();
    let Some((at, before)) = case.pick(all) else { return false };
    case.set_id(at, before - 1);
    true
}

/// Updates of entries that nothing removes, after which an id comes.
fn updates(case: &Case) -> Vec<Event> {
    let versions = case.versions();
    let mut events = case.events();
    events.retain(|event| {
        let lane = case.lane_of(event.watch);
        let Told::Update(key, _) = &event.told else { return false };
        let version = case.writer(lane, key).and_then(|op| versions.get(&op));
        case.name(lane) == "counts" && event.id.is_none() && version.is_some() && case.has_id_after(event)
    });
    events
}

fn update_is_left_out(case: &mut Case) -> bool {
    let all = updates(case);
    let Some(event) = case.pick(all) else { return false };
    case.history.happened.remove(event.at);
    true
}

fn update_is_told_again(case: &mut Case) -> bool {
    let all = updates(case);
    let Some(event) = case.pick(all) else { return false };
    case.history.happened.insert(event.at, case.history.happened[event.at].clone());
    true
}

fn values_change_places(case: &mut Case) -> bool {
    let events = case.events();
    let mut all = Vec::new();
    for first in &events {
        let next = events.iter().find(|next| next.watch == first.watch && next.at > first.at);
        let (Told::Set(a), Some(next)) = (&first.told, next) else { continue };
        let values = case.values(case.lane_of(first.watch));
        let version =
            |value: &String| values.iter().find(|(_, of)| *of == value).map(|(version, _)| *version);
        if let Told::Set(b) = &next.told
            && let (Some(older), Some(newer)) = (version(a), version(b))
            && older < newer
        {
            all.push((first.clone(), next.clone()));
        }
    }
    let Some((first, next)) = case.pick(all) else { return false };
    case.retell(first.at, next.told);
    case.retell(next.at, first.told);
    true
}

fn synced_is_early(case: &mut Case) -> bool {
    let events = case.events();
    let all = updates(case).into_iter().filter_map(|update| {
        let next = events.iter().find(|next| next.watch == update.watch && next.at > update.at)?;
        (next.told == Told::Synced).then_some((update.at, next.at))
    });
    let all = all.collect();
    let Some((update, synced)) = case.pick(all) else { return false };
    case.history.happened.swap(update, synced);
    true
}

fn resume_without_reset(case: &mut Case) -> bool {
    let events = case.events();
    let mut all = Vec::new();
    for (number, watching) in case.history.watches.iter().enumerate() {
        let mut own =
            events.iter().filter(|event| event.watch.0 as usize == number && event.told != Told::Stale);
        if let (Some((_, 0)), Some(reset), Some(next)) = (watching.from, own.next(), own.next())
            && next.told != Told::Reset
        {
            all.push(reset.at);
        }
    }
    let Some(at) = case.pick(all) else { return false };
    case.history.happened.remove(at);
    true
}

/// Whether an event is of a watch that goes on from a token and was not reset.
fn is_resumed(case: &Case, event: &Event) -> bool {
    let from = case.history.watches[event.watch.0 as usize].from;
    let events = case.events();
    let mut before = events.iter().filter(|of| of.watch == event.watch && of.at < event.at);
    from.is_some_and(|(_, token)| token > 0) && before.all(|of| of.told != Told::Reset)
}

fn resume_lacks_an_update(case: &mut Case) -> bool {
    let all = updates(case).into_iter().filter(|event| is_resumed(case, event)).collect();
    let Some(event) = case.pick(all) else { return false };
    case.history.happened.remove(event.at);
    true
}

fn resume_tells_again(case: &mut Case) -> bool {
    let versions = case.versions();
    let mut all = Vec::new();
    for event in case.events().into_iter().filter(|event| is_resumed(case, event)) {
        let lane = case.lane_of(event.watch);
        let Some((_, token)) = case.history.watches[event.watch.0 as usize].from else { continue };
        for (op, version) in &versions {
            let changes = &case.history.writes[op.0 as usize].changes;
            let emits = changes.iter().find(|(of, change)| *of == lane && matches!(change, Change::Emit(_)));
            if let Some((_, Change::Emit(item))) = emits
                && *version <= token
                && case.sent(*op) < event.at
            {
                all.push((event.at, event.watch, item.clone()));
            }
        }
    }
    let Some((at, watch, item)) = case.pick(all) else { return false };
    case.history.happened.insert(at, Happening::Told(watch, Told::Event(item), None));
    true
}

fn lives(case: &Case, watch: Watch) -> bool {
    let left = |happening: &Happening| matches!(happening, Happening::Left(left) if *left == watch);
    !case.history.happened.iter().any(left)
}

fn watch_ends_with_an_older_value(case: &mut Case) -> bool {
    let events = case.events();
    let mut all = Vec::new();
    for event in events.iter().filter(|event| matches!(event.told, Told::Set(_)) && lives(case, event.watch))
    {
        let is_last = events.iter().all(|later| later.watch != event.watch || later.at <= event.at);
        if is_last && !case.ids_before(event).is_empty() {
            all.push(event.at);
        }
    }
    let Some(at) = case.pick(all) else { return false };
    case.history.happened.remove(at);
    true
}

fn watch_is_not_synced(case: &mut Case) -> bool {
    let live = (0..case.history.watches.len() as u32).map(Watch).filter(|watch| lives(case, *watch));
    let all = live.collect();
    let Some(watch) = case.pick(all) else { return false };
    let synced =
        |happening: &Happening| matches!(happening, Happening::Told(of, Told::Synced, _) if *of == watch);
    case.history.happened.retain(|happening| !synced(happening));
    true
}

/// Items of which the version is known, and the versions.
fn items(case: &Case) -> Vec<(Event, u64)> {
    let versions = case.versions();
    let items = case.events().into_iter().filter_map(|event| {
        let lane = case.lane_of(event.watch);
        let Told::Event(item) = &event.told else { return None };
        let version = *versions.get(&case.writer(lane, item)?)?;
        (case.name(lane) == "items").then_some((event, version))
    });
    items.collect()
}

fn item_is_left_out(case: &mut Case) -> bool {
    let all = items(case).into_iter().map(|(event, _)| event);
    let all = all.filter(|event| event.id.is_none() && case.has_id_after(event)).collect();
    let Some(event) = case.pick(all) else { return false };
    case.history.happened.remove(event.at);
    true
}

fn item_comes_twice(case: &mut Case) -> bool {
    let all = items(case);
    let Some((event, _)) = case.pick(all) else { return false };
    case.history.happened.insert(event.at, Happening::Told(event.watch, event.told, None));
    true
}

/// Those of these events that follow one another in one watch.
fn neighbours(case: &Case, chosen: &[Event]) -> Vec<(Event, Event)> {
    let events = case.events();
    let next = |first: &Event| {
        let next = events.iter().find(|next| next.watch == first.watch && next.at > first.at)?;
        chosen.iter().find(|event| event.at == next.at).cloned()
    };
    chosen.iter().filter_map(|first| Some((first.clone(), next(first)?))).collect()
}

fn items_change_places(case: &mut Case) -> bool {
    let all: Vec<Event> = items(case).into_iter().map(|(event, _)| event).collect();
    let pairs = neighbours(case, &all);
    let Some((first, next)) = case.pick(pairs) else { return false };
    case.retell(first.at, next.told);
    case.retell(next.at, first.told);
    true
}

fn item_before_synced(case: &mut Case) -> bool {
    let done = case.all_done();
    let mut all = Vec::new();
    for event in case.events().into_iter().filter(|event| event.told == Told::Synced) {
        let lane = case.lane_of(event.watch);
        if !case.ids_before(&event).is_empty() || is_resumed(case, &event) {
            continue;
        }
        for (op, at) in &done {
            let changes = &case.history.writes[op.0 as usize].changes;
            if let Some((_, Change::Emit(item))) = changes.get(2)
                && changes[2].0 == lane
                && *at < event.at
            {
                all.push((event.at, event.watch, item.clone()));
            }
        }
    }
    let Some((at, watch, item)) = case.pick(all) else { return false };
    case.history.happened.insert(at, Happening::Told(watch, Told::Event(item), None));
    true
}

fn gap_is_left_out(case: &mut Case) -> bool {
    let versions = case.versions();
    let mut all = case.events();
    all.retain(|event| {
        let Told::Gap { from, to } = event.told else { return false };
        let (lane, opened) = (case.lane_of(event.watch), Happening::Opened(event.watch));
        let opened = case.history.happened.iter().position(|of| format!("{of:?}") == format!("{opened:?}"));
        let is_due = |(op, version): (&Op, &u64)| {
            let emits = case.history.writes[op.0 as usize].changes.iter().any(|(of, _)| *of == lane);
            emits && (from..=to).contains(version) && case.done(*op) > opened
        };
        case.name(lane) == "items" && case.has_id_after(event) && versions.iter().any(is_due)
    });
    let Some(event) = case.pick(all) else { return false };
    case.history.happened.remove(event.at);
    true
}

fn messages_change_places(case: &mut Case) -> bool {
    let versions = case.versions();
    let all: Vec<Event> = case
        .events()
        .into_iter()
        .filter(|event| {
            matches!(event.told, Told::Event(_)) && case.name(case.lane_of(event.watch)) == "hear"
        })
        .collect();
    let sender = |event: &Event| {
        let Told::Event(item) = &event.told else { return None };
        let op = case.writer(case.lane_of(event.watch), item)?;
        let (lane, _) = case.history.writes[op.0 as usize].changes[0];
        versions.get(&op).map(|_| case.history.lanes[lane.0 as usize].slot)
    };
    let mut pairs = neighbours(case, &all);
    pairs.retain(|(first, next)| sender(first).is_some() && sender(first) == sender(next));
    let Some((first, next)) = case.pick(pairs) else { return false };
    case.retell(first.at, next.told);
    case.retell(next.at, first.told);
    true
}
