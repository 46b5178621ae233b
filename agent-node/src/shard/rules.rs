//! Running a command: its changes are made in the agent's lanes at once, so that each step sees those before it, and
//! taken back if any step fails.
//!
//! *Guarantees*: after an error the lanes are as they were. The cost of a command is bounded.

use super::agent::States;
use super::lane::{LaneState, Undo};
use super::marks::Marks;
use super::record::{self, Change, Sent, Set, TimerChange, is_same};
use super::timers::{DUE_MAX, EVERY_MAX, Timers, kept_every};
use crate::map::Stamp;
use crate::refusal::Refusal;
use bytes::Bytes;
use proto::address::Address;
use proto::cel::{COST_MAX, Cost, Entries, Fault, Program, Scope};
use proto::json;
use proto::plan::{Act, Expr, Kind, LaneKind, On, Plan, Step, Time, TimerId, noun};
use proto::value::{BODY_MAX, DEPTH_MAX, Text, Value};
use std::cell::OnceCell;
use std::sync::Arc;

const KEY_MAX: usize = 1 << 10;
const STEPS_MAX: usize = 256;
/// The most elements of one `each`.
const ITEMS_MAX: usize = 1_024;
/// The longest answer of a rule, as JSON.
const ANSWER_MAX: usize = 1 << 10;
/// So many entries go with one command because a plan has made their lanes smaller, beside the one for each new entry.
const SURPLUS_MAX: usize = 64;
/// So many entries go in one turn for their age.
const AGED_MAX: usize = 256;
/// The shortest time between two turns of a timer.
const EVERY_MIN: u64 = 100;
/// Below it a value's JSON can't be over the limit, whatever is in it.
const SMALL: usize = BODY_MAX / 8;

/// Reads a time or a duration.
type Read = fn(&Program, &dyn Scope, &mut Cost) -> Result<i64, Fault>;

/// What a command comes with.
pub struct Given<'a> {
    pub plan: &'a Plan,
    pub kind: &'a Kind,
    pub address: &'a Address,
    pub event: &'a Value,
    /// What the timer was scheduled with that runs rules.
    pub key: &'a Value,
    pub sender: &'a str,
    pub now_ms: u64,
    /// The version of the record that is to be.
    pub version: u64,
    /// The hops of the messages that it sends.
    pub hops: u8,
}

pub struct Run<'a> {
    given: &'a Given<'a>,
    lanes: States<'a>,
    parameters: OnceCell<Value>,
    cost: Cost,
    steps: usize,
    undo: Vec<(usize, Undo)>,
    /// Entries that went because a plan has made their lanes smaller, and what their removals take of the record.
    surplus: usize,
    pub surplus_bytes: usize,
    pub changes: Vec<(usize, Change)>,
    pub sends: Vec<Sent>,
    pub timers: Vec<TimerChange>,
    /// The agent has ended, and what is here has come since.
    pub is_ended: bool,
    /// As JSON.
    pub answer: Option<Bytes>,
    /// What the step that runs has as `item`.
    item: Value,
}

/// The agent as an expression sees it.
struct View<'a> {
    given: &'a Given<'a>,
    lanes: &'a States<'a>,
    parameters: &'a OnceCell<Value>,
    item: &'a Value,
}

impl Scope for View<'_> {
    fn value(&self, lane: usize) -> &Value {
        match &self.lanes[lane] {
            LaneState::Value(value, _) => value,
            _ => &self.given.kind.lanes[lane].initial,
        }
    }

    fn map(&self, lane: usize) -> &dyn Entries {
        self.lanes[lane].map()
    }

    fn event(&self) -> &Value {
        self.given.event
    }

    fn item(&self) -> &Value {
        self.item
    }

    fn key(&self) -> &Value {
        self.given.key
    }

    fn agent(&self) -> &Value {
        self.parameters.get_or_init(|| self.given.kind.parameters(self.given.address))
    }

    fn here(&self) -> &str {
        self.given.address.as_str()
    }

    fn sender(&self) -> &str {
        self.given.sender
    }

    fn now_ms(&self) -> i64 {
        self.given.now_ms as i64
    }
}

fn fault(expr: &Expr, error: impl Into<String>) -> Refusal {
    Refusal::new(422, error, &*expr.at)
}

impl<'a> Run<'a> {
    pub fn new(given: &'a Given<'a>, lanes: States<'a>) -> Run<'a> {
        Run {
            given,
            lanes,
            parameters: OnceCell::new(),
            cost: Cost(COST_MAX),
            steps: 0,
            undo: Vec::new(),
            surplus: 0,
            surplus_bytes: 0,
            changes: Vec::new(),
            sends: Vec::new(),
            timers: Vec::new(),
            is_ended: false,
            answer: None,
            item: Value::Null,
        }
    }

    /// A command to a Command lane.
    pub fn command(&mut self, lane: usize) -> Result<(), Refusal> {
        self.rules(On::Command(lane))?;
        self.changes.push((lane, Change::Event(self.given.event.clone())));
        Ok(())
    }

    /// Those that begin with this.
    pub fn rules(&mut self, on: On) -> Result<(), Refusal> {
        for rule in self.given.kind.rules.iter().filter(|rule| rule.on == on) {
            if self.holds(rule.when.as_ref())? {
                rule.steps.iter().try_for_each(|step| self.step(step))?;
            }
        }
        Ok(())
    }

    /// The agent's lanes, as they are now.
    pub fn lanes(&self) -> &States<'a> {
        &self.lanes
    }

    /// Takes back what was done.
    pub fn undo(&mut self) {
        while let Some((lane, undo)) = self.undo.pop() {
            self.lanes[lane].undo(undo);
        }
        self.changes.clear();
        self.sends.clear();
        self.timers.clear();
    }

    fn holds(&mut self, when: Option<&Expr>) -> Result<bool, Refusal> {
        let Some(expr) = when else { return Ok(true) };
        let view =
            View { given: self.given, lanes: &self.lanes, parameters: &self.parameters, item: &self.item };
        expr.program.test(&view, &mut self.cost).map_err(|error| fault(expr, error.0))
    }

    fn value(&mut self, expr: &Expr) -> Result<Value, Refusal> {
        let view =
            View { given: self.given, lanes: &self.lanes, parameters: &self.parameters, item: &self.item };
        expr.program.run(&view, &mut self.cost).map_err(|error| fault(expr, error.0))
    }

    /// A value that fits the lane.
    fn admitted(&mut self, lane: usize, expr: &Expr) -> Result<Value, Refusal> {
        let value = self.value(expr)?;
        let value = self.given.kind.lanes[lane].schema.admit(value).map_err(|error| fault(expr, error))?;
        if !is_same(&value, self.given.event) {
            fits(&value, BODY_MAX).map_err(|error| fault(expr, error))?;
        }
        Ok(value)
    }

    fn key(&mut self, expr: &Expr) -> Result<Value, Refusal> {
        let key = self.value(expr)?;
        is_key(&key).map_err(|error| fault(expr, error))?;
        Ok(key)
    }

    fn step(&mut self, step: &Step) -> Result<(), Refusal> {
        let Some(each) = &step.each else { return self.run(step) };
        for item in self.items(each)?.iter() {
            self.item = item.clone();
            self.run(step)?;
        }
        Ok(())
    }

    /// The elements that a step runs for, as they are before it runs for any.
    fn items(&mut self, expr: &Expr) -> Result<Arc<[Value]>, Refusal> {
        let view =
            View { given: self.given, lanes: &self.lanes, parameters: &self.parameters, item: &Value::Null };
        expr.program.items(&view, &mut self.cost, ITEMS_MAX).map_err(|error| fault(expr, error.0))
    }

    fn run(&mut self, step: &Step) -> Result<(), Refusal> {
        if !self.holds(step.when.as_ref())? {
            return Ok(());
        }
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(Refusal::new(
                422,
                format!("a command takes at most {STEPS_MAX} steps"),
                self.given.address.as_str(),
            ));
        }
        match &step.act {
            Act::Set { lane, to } => {
                let value = self.admitted(*lane, to)?;
                self.set(*lane, value);
            }
            Act::Put { lane, key, to } => {
                let (at, key) = (key, self.key(key)?);
                let value = self.admitted(*lane, to)?;
                self.put(*lane, key, value).map_err(|error| fault(at, error))?;
            }
            Act::Remove { lane, key } => {
                let key = self.key(key)?;
                self.remove(*lane, key);
            }
            Act::Clear { lane } => self.clear(*lane),
            Act::Emit { lane, body } => {
                let value = self.admitted(*lane, body)?;
                self.changes.push((*lane, Change::Event(value)));
            }
            Act::Send { agent, lane, body } => self.send(agent, lane, body)?,
            Act::Refuse { with, code, at } => return Err(self.refusal(with, *code, at)),
            Act::Answer { with } => self.answer(with)?,
            Act::End => self.end(),
            Act::Schedule { timer, key, time } => self.schedule(*timer, key.as_ref(), time)?,
            Act::Cancel { timer, key } => {
                let (timer, key) = (self.given.kind.timers[*timer].id, self.timer_key(key.as_ref())?);
                self.timers.push(TimerChange { timer, key, set: None });
            }
        }
        Ok(())
    }

    /// All lanes are as in the beginning.
    pub fn end(&mut self) {
        for (place, lane) in self.given.kind.lanes.iter().enumerate() {
            match &self.lanes[place] {
                LaneState::Value(..) => self.set(place, lane.initial.clone()),
                LaneState::Map(_) => self.clear(place),
                LaneState::Untouched => {}
            }
        }
        self.timers.clear();
        self.is_ended = true;
    }

    /// Removes entries of a lane that were not changed since a record, a piece at a time, and looks again when the next
    /// one is too old.
    pub fn age(&mut self, lane: usize, age_ms: u64, marks: &Marks) {
        let now_ms = self.given.now_ms;
        let upto = marks.upto(now_ms.saturating_sub(age_ms));
        for _ in 0..AGED_MAX {
            let Some((oldest, _)) = self.lanes[lane].map().oldest_entry().filter(|(_, lsn)| *lsn <= upto)
            else {
                break;
            };
            let oldest = oldest.clone();
            self.remove(lane, oldest);
        }
        let Some((_, lsn)) = self.lanes[lane].map().oldest_entry() else { return };
        let due_ms = marks.time(lsn).unwrap_or(now_ms).saturating_add(age_ms).min(DUE_MAX);
        let (timer, key) = (TimerId::age(self.given.kind.lanes[lane].id), Value::Null);
        self.timers.push(TimerChange { timer, key, set: Some(Set { due_ms, every_ms: 0 }) });
    }

    /// Sets what looks at the age of the agent and of its lanes, where it is not set.
    pub fn set_lifetimes(&mut self, agent: Option<u32>, scheduled: &Timers, is_command: bool) {
        let now_ms = self.given.now_ms;
        let is_set = |timer, every_ms: u64| {
            let there = agent.and_then(|agent| scheduled.get(agent, timer));
            there.is_some_and(|there| there.every_ms == every_ms)
        };
        let set = |timer, due_ms: u64, every_ms| TimerChange {
            timer,
            key: Value::Null,
            set: Some(Set { due_ms: due_ms.min(DUE_MAX), every_ms }),
        };
        if let Some(expire_ms) = self.given.kind.expire_ms.filter(|_| is_command).map(kept_every)
            && (self.is_ended || !is_set(TimerId::EXPIRE, expire_ms))
        {
            self.timers.push(set(TimerId::EXPIRE, now_ms + expire_ms, expire_ms));
        }
        for (lane, change) in &self.changes {
            let Some(age_ms) = self.given.kind.lanes[*lane].retain.age_ms else { continue };
            let timer = TimerId::age(self.given.kind.lanes[*lane].id);
            if matches!(change, Change::Put(..))
                && (self.is_ended || !is_set(timer, 0))
                && !self.timers.iter().any(|change| change.timer == timer)
            {
                self.timers.push(set(timer, now_ms + age_ms, 0));
            }
        }
    }

    fn timer_key(&mut self, key: Option<&Expr>) -> Result<Value, Refusal> {
        key.map_or(Ok(Value::Null), |key| self.key(key))
    }

    fn schedule(&mut self, timer: usize, key: Option<&Expr>, time: &Time) -> Result<(), Refusal> {
        let (timer, key) = (self.given.kind.timers[timer].id, self.timer_key(key)?);
        let now_ms = self.given.now_ms;
        let (expr, due_ms, every_ms) = match time {
            Time::After(expr) => (expr, now_ms.saturating_add(self.millis(expr, Program::span_ms)?), 0),
            Time::At(expr) => (expr, self.millis(expr, Program::time_ms)?, 0),
            Time::Every(expr) => {
                let every_ms = self.millis(expr, Program::span_ms)?;
                if !(EVERY_MIN..=EVERY_MAX).contains(&every_ms) {
                    let error =
                        format!("a timer fires every {EVERY_MIN} ms at most, and every 68 years at least");
                    return Err(fault(expr, error));
                }
                (expr, now_ms.saturating_add(kept_every(every_ms)), kept_every(every_ms))
            }
        };
        if due_ms > DUE_MAX {
            return Err(fault(expr, "it would fire after the year 9999"));
        }
        self.timers.push(TimerChange { timer, key, set: Some(Set { due_ms, every_ms }) });
        Ok(())
    }

    /// What is before 1970, or negative, is 0.
    fn millis(&mut self, expr: &Expr, read: Read) -> Result<u64, Refusal> {
        let view =
            View { given: self.given, lanes: &self.lanes, parameters: &self.parameters, item: &self.item };
        let millis = read(&expr.program, &view, &mut self.cost).map_err(|error| fault(expr, error.0))?;
        Ok(u64::try_from(millis).unwrap_or(0))
    }

    fn refusal(&mut self, with: &Expr, code: u16, at: &str) -> Refusal {
        match self.value(with) {
            Ok(Value::Text(text)) => Refusal::by_rule(code, &*text, at),
            Ok(other) => fault(with, format!("a refusal says a text, not {}", noun(&other))),
            Err(refusal) => refusal,
        }
    }

    /// Nobody waits for the answer to a message of an agent.
    fn answer(&mut self, with: &Expr) -> Result<(), Refusal> {
        if !self.given.sender.is_empty() {
            return Ok(());
        }
        if self.answer.is_some() {
            return Err(fault(with, "another step of this command has answered before"));
        }
        let value = self.value(with)?;
        fits(&value, ANSWER_MAX).map_err(|error| fault(with, error))?;
        let mut text = Vec::new();
        json::write(&value, &mut text);
        self.answer = Some(text.into_boxed_slice().into());
        Ok(())
    }

    /// The order of the change that comes next.
    fn stamp(&self) -> Stamp {
        Stamp { version: self.given.version, index: self.changes.len() as u32 }
    }

    pub fn set(&mut self, lane: usize, value: Value) {
        self.undo.push((lane, self.lanes[lane].set(value.clone(), self.given.version)));
        self.changes.push((lane, Change::Set(value)));
    }

    pub fn put(&mut self, lane: usize, key: Value, value: Value) -> Result<(), String> {
        let retain = self.given.kind.lanes[lane].retain;
        let map = self.lanes[lane].map();
        let is_new = !map.has(&key);
        if is_new && !retain.evict && map.len() >= retain.entries {
            return Err(format!("the lane has {} entries, and no more fit", retain.entries));
        }
        let stamp = self.stamp();
        self.undo.push((lane, self.lanes[lane].put(key.clone(), value.clone(), stamp)));
        self.changes.push((lane, Change::Put(key, value)));
        if retain.evict {
            self.evict(lane, retain.entries, is_new);
        }
        Ok(())
    }

    /// Removes the entries that were changed longest ago: one for a new one, and a few more while a lane has more
    /// than `most` because a plan has made it smaller. Those do not count among the command's effects.
    fn evict(&mut self, lane: usize, most: usize, mut for_new: bool) {
        while self.lanes[lane].map().len() > most
            && (for_new || self.surplus < SURPLUS_MAX)
            && let Some(oldest) = self.lanes[lane].map().oldest().cloned()
        {
            if !std::mem::take(&mut for_new) {
                self.surplus += 1;
                self.surplus_bytes += record::removal_bytes(&oldest);
            }
            self.remove(lane, oldest);
        }
    }

    /// If it is not there, nothing happens.
    pub fn remove(&mut self, lane: usize, key: Value) {
        let stamp = self.stamp();
        if let Some(undo) = self.lanes[lane].remove(&key, stamp) {
            self.undo.push((lane, undo));
            self.changes.push((lane, Change::Remove(key)));
        }
    }

    pub fn clear(&mut self, lane: usize) {
        let stamp = self.stamp();
        if let Some(undo) = self.lanes[lane].clear(stamp) {
            self.undo.push((lane, undo));
            self.changes.push((lane, Change::Clear));
        }
    }

    fn send(&mut self, agent: &Expr, lane: &Text, body: &Expr) -> Result<(), Refusal> {
        let Value::Text(text) = self.value(agent)? else {
            return Err(fault(agent, "an address is a text"));
        };
        let address = Address::parse(&text).map_err(|error| fault(agent, error.to_string()))?;
        let found = self.given.plan.find(&address);
        let found = found.ok_or_else(|| fault(agent, format!("no route matches {address}")))?;
        let kind = &self.given.plan.kinds[found.kind];
        if !kind.lane(lane).is_some_and(|(_, lane)| lane.kind == LaneKind::Command) {
            return Err(fault(agent, format!("{address} has no Command lane {lane}")));
        }
        let body_at = body;
        let body = self.value(body)?;
        if !is_same(&body, self.given.event) {
            fits(&body, BODY_MAX).map_err(|error| fault(body_at, error))?;
        }
        self.sends.push(Sent {
            to: found.slot,
            previous: super::event::Place::default(),
            agent: Text::new(address.as_str()),
            lane: lane.clone(),
            body,
            hops: self.given.hops,
        });
        Ok(())
    }
}

/// Whether a value can be stored, and is not too large.
pub fn fits(value: &Value, limit: usize) -> Result<(), String> {
    let small = match value {
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Double(_) => true,
        Value::Text(text) => text.len() < limit.min(SMALL) / 8,
        Value::List(_) | Value::Record(_) => false,
    };
    if small {
        return Ok(());
    }
    if value.depth() > DEPTH_MAX {
        return Err(format!("a value has at most {DEPTH_MAX} levels"));
    }
    let length = json::length(value);
    if length > limit { Err(format!("{length} bytes as JSON, and at most {limit} may be")) } else { Ok(()) }
}

pub fn is_key(key: &Value) -> Result<(), String> {
    if matches!(key, Value::Null) {
        return Err("null is no key".into());
    }
    fits(key, KEY_MAX)
}
