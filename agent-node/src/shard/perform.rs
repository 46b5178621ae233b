//! What commands, messages and timers do to a slot, and the record of it.

use super::agent::Agent;
use super::codec::SECTION;
use super::due;
use super::event::{Assignment, Command, Effect, Place, RouteCounts};
use super::marks::Marks;
use super::names::{self, Look, Piece};
use super::outbox::{Outbox, TRIM_BYTES};
use super::record::{Begin, Change, Fired, Parts, Set, TimerChange};
use super::records::{Full, RECORD_MAX, Records};
use super::rules::{Given, Run, fits, is_key};
use super::slot::{Numbers, Slot};
use super::window::Known;
use super::{Shard, lane_of, slot_of};
use crate::broken::{self, Broken};
use crate::done::{Done, End, Said};
use crate::link::{Update, Versioned};
use crate::log::{Head, Position, RECORD_HEAD};
use crate::map::Stamp;
use crate::refusal::{Fate, Refusal};
use proto::address::{self, Address};
use proto::json;
use proto::plan::{Access, Kind, LaneKind, On, TimerId};
use proto::value::{BODY_MAX, Text, Value};
use std::sync::Arc;

/// The most bytes of the effects in one command's record.
const EFFECTS_MAX: usize = 1 << 20;
/// So many bytes of names one tick forgets at most.
const NAMES_PIECE: usize = 256 << 10;

/// Where an effect comes from: a client, with or without a key, another slot, or a timer.
pub(super) enum Origin<'a> {
    Client(Option<&'a super::Key>),
    Slot(address::Slot, Place),
    Timer(&'a Fired),
}

impl<'a> Origin<'a> {
    fn timer(&self) -> Option<&'a Fired> {
        if let Origin::Timer(fired) = self { Some(fired) } else { None }
    }
}

/// What one command, message or timer asks of its agent.
pub(super) enum Ask<'a> {
    /// For a Command lane.
    Command(usize),
    Set(usize),
    /// A change of a Map lane, as clients write it.
    Map(usize),
    /// The rules of a timer.
    Timer(usize),
    /// The agent has had no command for too long.
    End,
    /// It has more time than when that was set.
    Longer(Set),
    /// Entries of a lane go that were not changed for so long.
    Age {
        lane: usize,
        age_ms: u64,
    },
    /// What the agent's `faults` will show.
    Fault {
        of: Source<'a>,
        error: &'a str,
    },
}

/// What was refused without anybody who hears of it.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    Message { sender: &'a str, lane: &'a str },
    Timer { name: &'a str, key: &'a Value },
}

/// What a slot writes of itself, beside its trims.
#[derive(Clone, Copy, Default)]
pub(super) struct OwnRecord<'a> {
    pub origin: Option<(address::Slot, Place)>,
    /// The key of a command that was refused.
    pub refused: Option<&'a (Arc<str>, u64)>,
    pub idle: &'a [Arc<str>],
    pub gone: &'a [Arc<str>],
}

/// One command to one agent, whoever it comes from.
pub(super) struct Call<'a> {
    pub agent: &'a Address,
    pub slot: address::Slot,
    pub ask: Ask<'a>,
    pub event: &'a Value,
    /// The timer's, or null.
    pub key: &'a Value,
    /// Address of the agent that sent it, or nothing.
    pub sender: &'a str,
    pub hops: u8,
    pub origin: Origin<'a>,
}

impl<R: Clone, W: Clone + Eq> Shard<R, W> {
    pub(super) fn command(&mut self, command: Command<R>, now_ms: u64) {
        let held = self.holds.of(command.stream, command.slot).cloned();
        let (is_held, records) = (held.is_some(), self.records.heads().len());
        let end = held.map_or_else(|| self.run_command(&command, now_ms), Err);
        if broken::is(Broken::EarlyRetry) && end.is_ok() && self.records.heads().len() == records {
            let answer = Effect::Answer { to: command.reply, id: command.id, end };
            return self.gate.hold(Position(0), answer);
        }
        if let Err(refusal) = &end
            && !is_held
        {
            self.holds.note(command.stream, command.slot, refusal);
            self.note_refused(&command, refusal, now_ms);
            self.count_refused(&command, refusal);
        }
        self.hold(command.slot, Effect::Answer { to: command.reply, id: command.id, end });
    }

    /// A command with a key that was refused is never said to be done: that it was refused is in the log before its
    /// client hears of it. A node has no use for that of commands that it passes on under its own name.
    fn note_refused(&mut self, command: &Command<R>, refusal: &Refusal, now_ms: u64) {
        let Some(key) = command.key.as_ref().filter(|(client, _)| !names::is_of_node(client)) else { return };
        if refusal.fate() != Fate::Final || refusal.is_of_repeat() {
            return;
        }
        let (client, sequence) = key;
        if self.names.has_refused(command.slot, client, *sequence) {
            return;
        }
        let said = OwnRecord { refused: Some(key), ..OwnRecord::default() };
        if self.control(command.slot, now_ms, RECORD_MAX, &said).is_some() {
            self.names.refuse(command.slot, client, *sequence, now_ms);
        }
    }

    /// What no route matches is counted by the ways in only.
    fn count_refused(&mut self, command: &Command<R>, refusal: &Refusal) {
        if !refusal.by_rule && (refusal.fate() != Fate::Final || refusal.is_of_repeat()) {
            return;
        }
        let found = self.configuration.as_ref().and_then(|given| given.plan.find(&command.agent));
        if let Some(counts) = found.and_then(|found| self.routes.get_mut(found.kind)) {
            *if refusal.by_rule { &mut counts.declined } else { &mut counts.refused } += 1;
        }
    }

    fn run_command(&mut self, command: &Command<R>, now_ms: u64) -> End {
        let configuration = self.owns(command.slot)?;
        let (kind, index) = lane_of(&configuration.plan, &command.agent, command.slot, &command.lane)?;
        let lane = &configuration.plan.kinds[kind].lanes[index];
        if lane.access != Access::ReadWrite {
            let text = format!("{} is a {} lane that clients can't write", lane.name, lane.kind);
            return Err(Refusal::new(405, text, &*command.lane));
        }
        if let Some((client, sequence)) = &command.key {
            let version = self.slot(command.slot).numbers.next_version();
            match self.names.look(command.slot, client, *sequence, version, now_ms) {
                Look::Known(Known::New) => {}
                Look::Known(Known::Done { .. }) if broken::is(Broken::IgnoredWindow) => {}
                Look::Known(Known::Done { version, is_said }) => {
                    let said = || self.names.said(command.slot, client, version);
                    let said = if is_said { said().map_or(Said::Gone, Said::Json) } else { Said::Nothing };
                    return Ok(Done { version, said });
                }
                Look::Known(Known::DoneBefore) => {
                    let text = "a command with this sequence number was executed before";
                    return Err(Refusal::new(409, text, "sequence"));
                }
                Look::Known(Known::Forgotten) => {
                    let text = "a command with this sequence number was executed or refused before: which of the two \
                                is not remembered";
                    return Err(Refusal { outcome_unknown: true, ..Refusal::new(409, text, "sequence") });
                }
                Look::Full(retry_after_s) => {
                    let text = "this node has no room for the names of more clients at present; use one name for \
                                many commands, or try again when an older one may go";
                    return Err(Refusal { retry_after_s, ..Refusal::full(text, "client") });
                }
            }
        }
        if slot_of(&mut self.slots, command.slot).outbox.is_full(&self.outboxes) {
            return Err(Refusal::full(
                "too many messages of this slot wait for their receivers",
                command.agent.as_str(),
            ));
        }
        if command.body.len() > BODY_MAX {
            return Err(Refusal::too_large());
        }
        let body = json::parse(&command.body).map_err(|error| Refusal::in_body(error.error, error.at))?;
        let admit = |value: Value| lane.schema.admit(value).map_err(|error| Refusal::in_body(error, 0));
        let (ask, event) = match lane.kind {
            LaneKind::Command => (Ask::Command(index), admit(body)?),
            LaneKind::Value => (Ask::Set(index), admit(body)?),
            LaneKind::Map => (Ask::Map(index), body),
            LaneKind::Supply => {
                return Err(Refusal::new(405, "a Supply lane can't be written", &*command.lane));
            }
        };
        let Command { agent, slot, key, .. } = command;
        let origin = Origin::Client(key.as_ref());
        let (event, key) = (&event, &Value::Null);
        let call = Call { agent, slot: *slot, ask, event, key, sender: "", hops: 1, origin };
        self.perform(&configuration, kind, &call, now_ms)
    }

    /// Runs what is asked of an agent of the kind with this index, writes its record, and holds back what it sends and
    /// shows.
    pub(super) fn perform(
        &mut self,
        configuration: &Assignment,
        kind: usize,
        call: &Call,
        clock_ms: u64,
    ) -> End {
        let (index, since_ms) = (kind, self.due.since_ms);
        let (layout, kind) = (self.layouts.of(kind).clone(), &configuration.plan.kinds[kind]);
        let Call { agent: address, slot: id, ref ask, event, key, sender, hops, ref origin } = *call;
        let slot = slot_of(&mut self.slots, id);
        let Slot { numbers, agents, outbox, timers: scheduled, seen, recent: _ } = slot;
        let (version, now_ms) = (numbers.next_version(), numbers.time(clock_ms, since_ms));
        let plan = &configuration.plan;
        let given = Given { plan, kind, address, event, key, sender, now_ms, version, hops };
        let mut new = None;
        let (found, fired) = (agents.find(address), origin.timer());
        let agent = match found {
            Some(place) => {
                self.taking.before_change(id, place, agents);
                agents.at(place)
            }
            None => new.insert(Agent::default()),
        };
        let mut run = Run::new(&given, agent.lanes(&layout));
        let done = asked(&mut run, ask, &given, scheduled.marks());
        run.set_lifetimes(found, scheduled, fired.is_none());
        let done = done.and_then(|()| self.watches.room(address, kind, &run.changes, now_ms));
        let done = done.and_then(|()| {
            let room = due::admit(&self.due, scheduled, fired, &run.timers, self.timer_bytes_max);
            room.map_err(|why| due::refused(why, address, matches!(origin, Origin::Client(_))))
        });
        let done = done.and_then(|()| {
            let begin = Begin {
                history: numbers.history,
                time_ms: now_ms,
                generation: configuration.generation,
                agent: address.as_str(),
            };
            let head = head(configuration, self.incarnation, id, numbers.lsn + 1);
            write(&mut self.records, head, (numbers, outbox), begin, &mut run, &given, origin)
        });
        if let Err(refusal) = done {
            run.undo();
            return Err(refusal);
        }
        let (changes, sends) = (std::mem::take(&mut run.changes), std::mem::take(&mut run.sends));
        let (timers, is_ended) = (std::mem::take(&mut run.timers), run.is_ended);
        let said = run.answer.take();
        if is_ended {
            agent.end_hidden(Stamp { version, index: 0 }, &[]);
        }
        if let Some(agent) = new {
            agents.add(address.clone(), agent);
        }
        count(&mut self.routes[index], origin, ask);
        match origin {
            Origin::Client(Some((client, sequence))) => {
                self.names.settle(id, client, *sequence, (version, said.clone()), now_ms);
            }
            Origin::Client(None) | Origin::Timer(_) => {}
            Origin::Slot(from, place) => {
                seen.insert(*from, *place);
            }
        }
        self.touched.push(id);
        let of_timers = due::Said { fired, is_ended, changes: &timers, is_command: fired.is_none() };
        if self.change_timers(id, address, &of_timers) {
            self.rekey(id, clock_ms);
        }
        self.show(id, kind, address, version, &changes);
        self.post(address, id, sends);
        Ok(Done { version, said: said.map_or(Said::Nothing, Said::Json) })
    }

    /// Tells watchers of the agent's lanes, and keeps items for those who come back.
    fn show(
        &mut self,
        slot: address::Slot,
        kind: &Kind,
        address: &Address,
        version: u64,
        changes: &[(usize, Change)],
    ) {
        let end = super::gate::GATHERED;
        for (lane, change) in changes {
            if let (Change::Event(item), Some(Some(slot))) = (change, self.slots.get_mut(usize::from(slot))) {
                slot.recent.push(address, kind.lanes[*lane].id, version, item.clone());
            }
        }
        for watching in self.watches.of(address) {
            let Some((index, _)) = kind.lane(&watching.lane) else { continue };
            let of_lane = changes.iter().filter(|(lane, _)| *lane == index);
            let changes: Vec<Versioned> =
                of_lane.map(|(_, change)| Versioned { change: change.clone(), version }).collect();
            if !changes.is_empty() {
                watching.told(changes.len());
                let update =
                    Update { version, begin: None, synced: false, changes, entries: None, answered: 0 };
                self.gate.hold(end, Effect::Update { to: watching.watch.clone(), update });
            }
        }
    }

    /// Writes, in no more than `granted` bytes of the log, what can be forgotten. What does not fit waits.
    pub(super) fn tidy(&mut self, now_ms: u64, granted: usize) {
        let mut left = granted;
        let configuration = self.configuration.clone();
        let owned = |slot| configuration.as_ref().is_some_and(|configuration| configuration.owns(slot));
        for (id, Piece { idle, gone }) in self.names.due(now_ms, NAMES_PIECE.min(granted / 2), owned) {
            let said = OwnRecord { idle: &idle, gone: &gone, ..OwnRecord::default() };
            let most = left.saturating_sub(RECORD_HEAD);
            let Some(bytes) = self.control(id, now_ms, most, &said) else { continue };
            self.names.forget(id, &idle, &gone);
            left -= bytes + RECORD_HEAD;
        }
        for id in 0..self.slots.len() {
            if self.slots[id].as_ref().is_some_and(|slot| slot.has_trims_to_say()) {
                let most = left.saturating_sub(RECORD_HEAD);
                let written = self.control(id as address::Slot, now_ms, most, &OwnRecord::default());
                left -= written.map_or(0, |bytes| bytes + RECORD_HEAD);
            }
        }
    }

    /// A record of the slot itself, of at most `most` bytes. The answer is how many it has; `None`: there is none.
    pub(super) fn control(
        &mut self,
        id: address::Slot,
        now_ms: u64,
        most: usize,
        said: &OwnRecord,
    ) -> Option<usize> {
        let configuration = self.owns(id).ok()?;
        let (incarnation, since_ms) = (self.incarnation, self.due.since_ms);
        let slot = slot_of(&mut self.slots, id);
        let time_ms = slot.numbers.time(now_ms, since_ms);
        let begin =
            Begin { history: slot.numbers.history, time_ms, generation: configuration.generation, agent: "" };
        let head = head(&configuration, incarnation, id, slot.numbers.lsn + 1);
        let (OwnRecord { origin, refused, idle, gone }, trims) = (*said, slot.outbox.next_trims());
        let is_refused = refused.is_some();
        let parts = Parts { key: refused, is_refused, origin, trims, idle, gone, ..Parts::of_slot(begin) };
        let bytes = self.records.add(head, &parts, most).ok()?;
        slot.outbox.trims_said();
        slot.numbers.count(head);
        self.touched.push(id);
        Some(bytes)
    }
}

fn head(configuration: &Assignment, incarnation: u64, slot: address::Slot, lsn: u64) -> Head {
    let epoch = configuration.owned[usize::from(slot)].map_or(0, |owned| owned.epoch);
    Head { slot, epoch, incarnation, lsn }
}

fn count(counts: &mut RouteCounts, origin: &Origin, ask: &Ask) {
    match origin {
        Origin::Client(_) => counts.done += 1,
        Origin::Slot(..) if matches!(ask, Ask::Fault { .. }) => {}
        Origin::Slot(..) => counts.messages += 1,
        Origin::Timer(_) => {}
    }
}

fn asked(run: &mut Run, ask: &Ask, given: &Given, marks: &Marks) -> Result<(), Refusal> {
    match ask {
        Ask::Command(lane) => run.command(*lane),
        Ask::Set(lane) => {
            run.set(*lane, given.event.clone());
            Ok(())
        }
        Ask::Map(lane) => change_map(run, *lane, given),
        Ask::Timer(timer) => run.rules(On::Timer(*timer)),
        Ask::Longer(set) => {
            run.timers.push(TimerChange { timer: TimerId::EXPIRE, key: Value::Null, set: Some(*set) });
            Ok(())
        }
        Ask::End => {
            run.end();
            Ok(())
        }
        Ask::Age { lane, age_ms } => {
            run.age(*lane, *age_ms, marks);
            Ok(())
        }
        Ask::Fault { of, error } => keep_fault(run, given, *of, error),
    }
}

/// `{"update": {"key": k, "value": v}}`, `{"remove": {"key": k}}` or `{"clear": {}}`.
fn change_map(run: &mut Run, lane: usize, given: &Given) -> Result<(), Refusal> {
    let form = || {
        let forms = r#"{"update": {"key": k, "value": v}}, {"remove": {"key": k}} or {"clear": {}}"#;
        Refusal::in_body(format!("a change of a Map lane is {forms}"), 0)
    };
    let Value::Record(change) = given.event else { return Err(form()) };
    let [(name, Value::Record(with))] = change.members() else { return Err(form()) };
    let key = || {
        let key = with.get("key").cloned().ok_or_else(form)?;
        is_key(&key).map_err(|error| Refusal::bad(error, "key"))?;
        Ok(key)
    };
    match (name.as_str(), with.members().len()) {
        ("update", 2) => {
            let value = with.get("value").cloned().ok_or_else(form)?;
            let value =
                given.kind.lanes[lane].schema.admit(value).map_err(|error| Refusal::bad(error, "value"))?;
            fits(&value, BODY_MAX).map_err(|error| Refusal::bad(error, "value"))?;
            run.put(lane, key()?, value)
                .map_err(|error| Refusal::new(422, error, &*given.kind.lanes[lane].name))
        }
        ("remove", 1) => {
            run.remove(lane, key()?);
            Ok(())
        }
        ("clear", 0) => {
            run.clear(lane);
            Ok(())
        }
        _ => Err(form()),
    }
}

fn keep_fault(run: &mut Run, given: &Given, of: Source, error: &str) -> Result<(), Refusal> {
    let Some((index, _)) = given.kind.lane("faults") else { return Ok(()) };
    let number = match run.lanes()[index].map().last_key() {
        Some(Value::Int(last)) => last + 1,
        _ => 1,
    };
    let short: String = error.chars().take(1000).collect();
    let [first, second] = match of {
        Source::Message { sender, lane } => [("sender", Value::text(sender)), ("lane", Value::text(lane))],
        Source::Timer { name, key } => [("timer", Value::text(name)), ("key", key.clone())],
    };
    let members = [
        (Text::new("at"), Value::text(given.address.as_str())),
        (Text::new(first.0), first.1),
        (Text::new(second.0), second.1),
        (Text::new("error"), Value::text(&short)),
        (Text::new("time"), Value::Int(given.now_ms as i64)),
    ];
    let kept = run.put(index, Value::Int(number), Value::record(members));
    kept.map_err(|error| Refusal::new(422, error, "faults"))
}

/// The record of what was run. Nothing has happened if it would be too large.
fn write(
    records: &mut Records,
    head: Head,
    (numbers, outbox): (&mut Numbers, &mut Outbox),
    begin: Begin,
    run: &mut Run,
    given: &Given,
    origin: &Origin,
) -> Result<(), Refusal> {
    let (key, from, fired) = match origin {
        Origin::Client(key) => (*key, None, None),
        Origin::Slot(from, place) => (None, Some((*from, *place)), None),
        Origin::Timer(fired) => (None, None, Some(*fired)),
    };
    for index in 0..run.sends.len() {
        let to = run.sends[index].to;
        let before = run.sends[..index].iter().rposition(|sent| sent.to == to);
        run.sends[index].previous = before.map_or_else(
            || outbox.last(to),
            |before| Place { history: numbers.history, lsn: head.lsn, index: before as u32 + 1 },
        );
    }
    let trims = outbox.next_trims();
    // What the slot says beside the effects does not make them too long.
    let answer = run.answer.as_deref().filter(|_| key.is_some());
    let beside = trims.len() * TRIM_BYTES + answer.map_or(0, <[u8]>::len) + 2 * SECTION;
    let most = EFFECTS_MAX + run.surplus_bytes + beside;
    let parts = Parts {
        event: matches!(given.event, Value::Record(_) | Value::List(_)).then_some(given.event),
        key,
        answer,
        origin: from,
        changes: &run.changes,
        lanes: &given.kind.lanes,
        sends: &run.sends,
        trims,
        fired,
        timers: &run.timers,
        is_ended: run.is_ended,
        ..Parts::of_slot(begin)
    };
    if let Err(Full { bytes }) = records.add(head, &parts, most) {
        let text = format!("its effects are {bytes} bytes, and at most {EFFECTS_MAX} may be");
        return Err(Refusal::new(422, text, given.address.as_str()));
    }
    outbox.trims_said();
    numbers.count(head);
    Ok(())
}
