//! From a plan's spec to what runs. The schema has been checked when this begins; here is what a schema cannot say.

use super::agent;
use super::reserved::FAULTS;
use super::spec::AgentPlanSpec;
use super::step::{Cancel, Only, Schedule};
use super::{
    Access, Act, Error, Expr, Kind, Lane, LaneId, LaneKind, On, Plan, Queue, Retain, Rule, Schema, Step,
    Time, Timer, TimerId, pods, reserved, shape, span,
};
use crate::address::Route;
use crate::cel::{Name, Names, Program};
use crate::json;
use crate::origin::Origin;
use crate::value::{DEPTH_MAX, Text, Value};
use std::collections::HashMap;

/// The deepest spec; it is deeper than the deepest `initial` in it.
const LEVELS_MAX: usize = 100;
/// The longest `initial`, as JSON.
const INITIAL_MAX: usize = 16 << 10;
/// The most entries of a Map lane that says nothing else; with so many, `put` is refused.
const ENTRIES_MAX: usize = 1_000_000;
/// How many entries the lane of faults keeps.
const FAULTS_KEPT: usize = 16;
const STORAGE_MIN: u128 = 1 << 30;

pub fn plan(spec: &[u8]) -> Result<Plan, Vec<Error>> {
    let spec = json::parse_deeper(spec, LEVELS_MAX)
        .map_err(|error| vec![Error::invalid(format!("spec:{}", error.at), error.error)])?;
    of(&typed(&spec)?)
}

/// The spec in its types, or what its schema says against it.
pub fn typed(spec: &Value) -> Result<AgentPlanSpec, Vec<Error>> {
    let mut errors = Vec::new();
    let spec = shape::SPEC.check(spec, "spec", &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let spec = serde_yaml_ng::to_value(spec).and_then(serde_yaml_ng::from_value);
    spec.map_err(|error| vec![Error::invalid("spec", error.to_string())])
}

/// What a spec means, or all that no schema says against it.
pub fn of(spec: &AgentPlanSpec) -> Result<Plan, Vec<Error>> {
    let mut errors = Vec::new();
    if spec.storage.size.value().is_none_or(|size| size < STORAGE_MIN) {
        let error = format!("`{}` is no quantity of at least 1Gi", spec.storage.size);
        errors.push(Error::invalid("spec.storage.size", error));
    }
    find_reserved_labels(spec, &mut errors);
    let origins = origins(spec, &mut errors);
    let agents = spec.agents.iter().enumerate();
    let kinds: Vec<_> = agents.map(|(n, agent)| Parser::new(spec, n, &mut errors).kind(agent)).collect();
    find_same_shape(&kinds, &mut errors);
    find_same_id(&kinds, &mut errors);
    find_same_timer_id(&kinds, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let kinds: Vec<Kind> = kinds.into_iter().flatten().collect();
    let mut order: Vec<usize> = (0..kinds.len()).collect();
    order.sort_by_key(|kind| kinds[*kind].route.precedence());
    Ok(Plan { slots: spec.slots as u32, kinds, order, origins })
}

fn find_reserved_labels(spec: &AgentPlanSpec, errors: &mut Vec<Error>) {
    let reserved = |name: &&String| pods::RESERVED_LABELS.iter().any(|prefix| name.starts_with(prefix));
    for name in spec.pods.labels.keys().filter(reserved) {
        let error = format!("`{name}`: labels of shoal.dev and app.kubernetes.io are the operator's");
        errors.push(Error::invalid("spec.pods.labels", error));
    }
}

fn origins(spec: &AgentPlanSpec, errors: &mut Vec<Error>) -> Vec<Origin> {
    let parsed = spec.http.origins.iter().enumerate().filter_map(|(n, text)| {
        let origin = Origin::parse(text);
        if origin.is_none() {
            let error =
                format!("`{text}` is no origin, as https://shop.example or http://10.0.0.1:8080 is one");
            errors.push(Error::invalid(format!("spec.http.origins[{n}]"), error));
        }
        origin
    });
    parsed.collect()
}

fn find_same_shape(kinds: &[Option<Kind>], errors: &mut Vec<Error>) {
    let mut shapes = HashMap::new();
    for (n, kind) in kinds.iter().enumerate() {
        let Some(kind) = kind else { continue };
        if let Some(first) = shapes.insert(kind.route.shape(), n) {
            let error = format!("matches the same addresses as spec.agents[{first}].route");
            errors.push(Error::invalid(format!("spec.agents[{n}].route"), error));
        }
    }
}

fn find_same_id(kinds: &[Option<Kind>], errors: &mut Vec<Error>) {
    let mut ids = HashMap::new();
    for (n, kind) in kinds.iter().enumerate() {
        for (lane, Lane { id, name, .. }) in kind.iter().flat_map(|kind| kind.lanes.iter().enumerate()) {
            if name == FAULTS && kind.as_ref().is_some_and(|kind| lane + 1 < kind.lanes.len()) {
                continue; // its name is refused already
            }
            if let Some((kind, other)) = ids.insert(*id, (n, lane)) {
                let error =
                    format!("has the same id as spec.agents[{kind}].lanes[{other}]: choose another name");
                errors.push(Error::invalid(format!("spec.agents[{n}].lanes[{lane}].name"), error));
            }
        }
    }
}

fn find_same_timer_id(kinds: &[Option<Kind>], errors: &mut Vec<Error>) {
    let mut ids = HashMap::new();
    for (n, kind) in kinds.iter().enumerate() {
        for (timer, Timer { id, .. }) in kind.iter().flat_map(|kind| kind.timers.iter().enumerate()) {
            if let Some((kind, other)) = ids.insert(*id, (n, timer)) {
                let error =
                    format!("has the same id as spec.agents[{kind}].timers[{other}]: choose another name");
                errors.push(Error::invalid(format!("spec.agents[{n}].timers[{timer}].name"), error));
            }
        }
    }
}

/// Parses one kind of agents.
struct Parser<'a> {
    spec: &'a AgentPlanSpec,
    at: String,
    lanes: Vec<Lane>,
    timers: Vec<Timer>,
    names: Names,
    errors: &'a mut Vec<Error>,
}

impl<'a> Parser<'a> {
    fn new(spec: &'a AgentPlanSpec, agent: usize, errors: &'a mut Vec<Error>) -> Self {
        let at = format!("spec.agents[{agent}]");
        Self { spec, at, lanes: Vec::new(), timers: Vec::new(), names: Names::default(), errors }
    }

    fn fault(&mut self, at: &str, error: impl Into<String>) -> Reported {
        self.errors.push(Error::invalid(format!("{}.{at}", self.at), error));
        Reported
    }

    /// `None`: its route is wrong. Other faults leave gaps in what is returned, and are in `errors`.
    fn kind(mut self, agent: &agent::Agent) -> Option<Kind> {
        for (n, lane) in agent.lanes.iter().enumerate() {
            let lane = self.lane(&agent.route, n, lane);
            self.lanes.push(lane);
        }
        self.lanes.push(faults(&agent.route));
        let lanes = self.lanes.iter().enumerate().filter_map(name).collect();
        self.names = Names { lanes, item: false, key: false };
        let timer = |timer: &agent::TimerSpec| Timer {
            name: Text::new(&timer.name),
            id: TimerId::of(&agent.route, &timer.name),
            after_outage: timer.after_outage,
        };
        self.timers = agent.timers.iter().map(timer).collect();
        self.find_second_answers(&agent.rules);
        let rules = agent.rules.iter().enumerate().filter_map(|(n, rule)| self.rule(n, rule).ok()).collect();
        let route = match Route::parse(&agent.route) {
            Ok(route) => route,
            Err(error) => {
                self.fault("route", error.0);
                return None;
            }
        };
        let partition_by = self.partition_by(&route, agent.partition_by.as_deref().unwrap_or_default());
        let expire_ms = self.span("expire", agent.expire.as_deref());
        Some(Kind { route, partition_by, lanes: self.lanes, timers: self.timers, expire_ms, rules })
    }

    fn partition_by(&mut self, route: &Route, parameters: &[String]) -> Vec<usize> {
        let mut places = Vec::new();
        for (n, name) in parameters.iter().enumerate() {
            match route.place(name) {
                None => {
                    self.fault(&format!("partitionBy[{n}]"), format!("the route has no parameter `:{name}`"));
                }
                Some(place) if places.contains(&place) => {
                    self.fault(&format!("partitionBy[{n}]"), format!("`{name}` is there twice"));
                }
                Some(place) => places.push(place),
            }
        }
        places
    }

    fn lane(&mut self, route: &str, n: usize, lane: &agent::LaneSpec) -> Lane {
        if let Some(error) = reserved::fault(&lane.name, lane.kind) {
            self.fault(&format!("lanes[{n}].name"), error);
        }
        let kind = lane.kind;
        let mut only = |there: bool, field: &str, kinds: &str| {
            if there {
                self.fault(
                    &format!("lanes[{n}].{field}"),
                    format!("{field} is for {kinds} lanes, this is a {kind}"),
                );
            }
        };
        only(lane.retain.is_some() && kind != LaneKind::Map, "retain", "Map");
        only(lane.queue.is_some() && !has_queue(kind), "queue", "Command and Supply");
        only(lane.initial.is_some() && kind != LaneKind::Value, "initial", "Value");
        if kind == LaneKind::Supply && lane.access == Some(Access::ReadWrite) {
            self.fault(&format!("lanes[{n}].access"), "a Supply lane takes nothing from clients");
        }
        let access = if kind == LaneKind::Command { Access::ReadWrite } else { Access::ReadOnly };
        let entries = lane.retain.as_ref().and_then(|retain| retain.entries);
        let age = lane.retain.as_ref().and_then(|retain| retain.age.as_deref());
        let age_ms = self.span(&format!("lanes[{n}].retain.age"), age);
        Lane {
            name: Text::new(&lane.name),
            id: LaneId::of(route, &lane.name),
            kind,
            access: lane.access.unwrap_or(access),
            schema: lane.schema.kind,
            initial: self.initial(n, lane),
            retain: Retain {
                entries: entries.map_or(ENTRIES_MAX, |entries| entries as usize),
                evict: entries.is_some(),
                age_ms,
            },
            queue: lane.queue.as_ref().map_or(Queue::default(), |queue| Queue {
                items: queue.items as usize,
                overflow: queue.overflow,
            }),
        }
    }

    /// A duration, in milliseconds: from a second to a hundred years.
    fn span(&mut self, at: &str, text: Option<&str>) -> Option<u64> {
        let text = text?;
        let millis = span::millis(text);
        if millis.is_none() {
            self.fault(at, format!("`{text}` is no duration from 1s to 876000h, as 1h30m is one"));
        }
        millis
    }

    fn initial(&mut self, n: usize, lane: &agent::LaneSpec) -> Value {
        let Some(initial) = &lane.initial else { return lane.schema.kind.initial() };
        let at = format!("lanes[{n}].initial");
        if let Some(large) = large_integer(initial, at.clone()) {
            self.fault(&large, "the integer does not fit into 64 bits");
            return Value::Null;
        }
        let error = if json::length(initial) > INITIAL_MAX {
            format!("at most {INITIAL_MAX} bytes of JSON are expected")
        } else if initial.depth() > DEPTH_MAX {
            format!("at most {DEPTH_MAX} levels are expected")
        } else {
            match lane.schema.kind.admit(initial.clone()) {
                Ok(initial) => return initial,
                Err(error) => error,
            }
        };
        self.fault(&at, error);
        Value::Null
    }

    fn rule(&mut self, n: usize, rule: &agent::Rule) -> Result<Rule, Reported> {
        let at = format!("rules[{n}]");
        let on = self.trigger(&at, rule);
        self.names.key = rule.timer.is_some();
        let when = self.optional(&format!("{at}.when"), rule.when.as_deref());
        let steps = rule.steps.iter().enumerate();
        let steps: Vec<_> = steps.map(|(n, step)| self.step(&format!("{at}.do[{n}]"), step)).collect();
        if rule.timer.is_some() {
            for n in (0..rule.steps.len()).filter(|n| rule.steps[*n].answer.is_some()) {
                self.fault(&format!("{at}.do[{n}].answer"), "nobody hears the answer to a timer");
            }
        }
        self.names.key = false;
        Ok(Rule { on: on?, when: when?, steps: steps.into_iter().collect::<Result<_, _>>()? })
    }

    /// What runs a rule.
    fn trigger(&mut self, at: &str, rule: &agent::Rule) -> Result<On, Reported> {
        match (&rule.command, &rule.timer) {
            (Some(command), None) => {
                self.lane_of(&format!("{at}.command"), command, LaneKind::Command).map(On::Command)
            }
            (None, Some(timer)) => self.timer_of(&format!("{at}.timer"), timer).map(On::Timer),
            _ => Err(self.fault(at, "exactly one of command, timer is expected")),
        }
    }

    fn timer_of(&mut self, at: &str, name: &str) -> Result<usize, Reported> {
        if let Some(place) = self.timers.iter().position(|timer| timer.name == name) {
            return Ok(place);
        }
        let names: Vec<_> = self.timers.iter().map(|timer| &*timer.name).collect();
        let error = format!("there is no timer `{name}` among the `timers` here, only {}", list(&names));
        Err(self.fault(at, error))
    }

    fn step(&mut self, at: &str, step: &agent::Step) -> Result<Step, Reported> {
        let Some(only) = step.only() else { return Err(self.fault(at, "a step is missing")) };
        let at = format!("{at}.{}", only.name());
        let each = self.optional(&format!("{at}.each"), only.each());
        self.names.item = only.each().is_some();
        let act = self.act(&at, only);
        let when = self.optional(&format!("{at}.when"), only.when());
        self.names.item = false;
        Ok(Step { act: act?, when: when?, each: each? })
    }

    /// A command is answered once. Here is found what can only answer a second time; what may do so is refused when it
    /// happens.
    fn find_second_answers(&mut self, rules: &[agent::Rule]) {
        let mut always: HashMap<&str, String> = HashMap::new();
        for (n, rule) in rules.iter().enumerate() {
            let Some(command) = rule.command.as_deref() else { continue };
            let mut first = always.get(command).cloned();
            for (k, _) in rule.steps.iter().enumerate().filter(|(_, step)| step.answer.is_some()) {
                let at = format!("rules[{n}].do[{k}].answer");
                match &first {
                    Some(first) => {
                        let error = format!("the command is answered before by {}.{first}", self.at);
                        self.fault(&at, error);
                    }
                    None => first = Some(at),
                }
            }
            if let (None, Some(first)) = (&rule.when, first) {
                always.entry(command).or_insert(first);
            }
        }
    }

    /// All parts are looked at before the first fault ends it.
    fn act(&mut self, at: &str, step: Only<'_>) -> Result<Act, Reported> {
        let mut lane = |lane, kind| self.lane_of(&format!("{at}.lane"), lane, kind);
        let lane = match step {
            Only::Set(set) => lane(&set.lane, LaneKind::Value),
            Only::Put(put) => lane(&put.lane, LaneKind::Map),
            Only::Remove(remove) => lane(&remove.lane, LaneKind::Map),
            Only::Clear(clear) => lane(&clear.lane, LaneKind::Map),
            Only::Emit(emit) => lane(&emit.lane, LaneKind::Supply),
            Only::Send(send) => self.receiver(&format!("{at}.lane"), &send.lane).map(|()| 0),
            Only::Schedule(Schedule { timer, .. }) | Only::Cancel(Cancel { timer, .. }) => {
                self.timer_of(&format!("{at}.timer"), timer)
            }
            Only::Refuse(_) | Only::End(_) | Only::Answer(_) => Ok(0),
        };
        let path = format!("{}.{at}", self.at);
        let mut expression = |name: &str, text: &str| self.expression(&format!("{at}.{name}"), text);
        Ok(match step {
            Only::Set(set) => {
                let to = expression("to", &set.to);
                Act::Set { lane: lane?, to: to? }
            }
            Only::Put(put) => {
                let (key, to) = (expression("key", &put.key), expression("to", &put.to));
                Act::Put { lane: lane?, key: key?, to: to? }
            }
            Only::Remove(remove) => {
                let key = expression("key", &remove.key);
                Act::Remove { lane: lane?, key: key? }
            }
            Only::Clear(_) => Act::Clear { lane: lane? },
            Only::Emit(emit) => {
                let body = expression("body", &emit.body);
                Act::Emit { lane: lane?, body: body? }
            }
            Only::Send(send) => {
                let agent = expression("agent", &send.agent);
                let body = expression("body", send.body.as_deref().unwrap_or("event"));
                lane?;
                Act::Send { agent: agent?, lane: Text::new(&send.lane), body: body? }
            }
            Only::Refuse(refuse) => {
                Act::Refuse { with: expression("with", &refuse.with)?, code: refuse.code as u16, at: path }
            }
            Only::Schedule(schedule) => {
                let key = self.optional(&format!("{at}.key"), schedule.key.as_deref());
                let time = self.time(at, schedule);
                Act::Schedule { timer: lane?, key: key?, time: time? }
            }
            Only::Cancel(cancel) => {
                let key = self.optional(&format!("{at}.key"), cancel.key.as_deref());
                Act::Cancel { timer: lane?, key: key? }
            }
            Only::End(_) => Act::End,
            Only::Answer(text) => Act::Answer { with: self.expression(at, text)? },
        })
    }

    fn time(&mut self, at: &str, schedule: &Schedule) -> Result<Time, Reported> {
        let Schedule { after, at: moment, every, .. } = schedule;
        let mut expression = |name: &str, text: &str| self.expression(&format!("{at}.{name}"), text);
        match (after, moment, every) {
            (Some(after), None, None) => expression("after", after).map(Time::After),
            (None, Some(moment), None) => expression("at", moment).map(Time::At),
            (None, None, Some(every)) => expression("every", every).map(Time::Every),
            _ => Err(self.fault(at, "exactly one of after, at, every is expected")),
        }
    }

    fn lane_of(&mut self, at: &str, name: &str, kind: LaneKind) -> Result<usize, Reported> {
        let own = &self.lanes[..self.lanes.len() - 1];
        let error = match own.iter().position(|lane| lane.name == name) {
            Some(place) if own[place].kind == kind => return Ok(place),
            Some(place) => format!("`{name}` is a {} lane, a {kind} lane is expected", own[place].kind),
            None => {
                let names: Vec<_> =
                    own.iter().filter(|lane| lane.kind == kind).map(|lane| &*lane.name).collect();
                format!("there is no {kind} lane `{name}` here, only {}", list(&names))
            }
        };
        Err(self.fault(at, error))
    }

    /// Which kind of agents a send goes to is known only when it runs; but some kind must have the lane.
    fn receiver(&mut self, at: &str, name: &str) -> Result<(), Reported> {
        let mut lanes = self.spec.agents.iter().flat_map(|agent| &agent.lanes);
        if lanes.any(|lane| lane.name == name && lane.kind == LaneKind::Command) {
            return Ok(());
        }
        Err(self.fault(at, format!("no agent of this plan has a Command lane `{name}`")))
    }

    fn optional(&mut self, at: &str, text: Option<&str>) -> Result<Option<Expr>, Reported> {
        text.map(|text| self.expression(at, text)).transpose()
    }

    fn expression(&mut self, at: &str, text: &str) -> Result<Expr, Reported> {
        match Program::compile(text, &self.names) {
            Ok(program) => Ok(Expr { at: format!("{}.{at}", self.at), program }),
            Err(error) => Err(self.fault(&format!("{at}:{}", error.at), error.error)),
        }
    }
}

/// What is wrong is among the errors already.
#[derive(Debug, Clone, Copy)]
struct Reported;

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

fn has_queue(kind: LaneKind) -> bool {
    matches!(kind, LaneKind::Command | LaneKind::Supply)
}

/// Where a whole number stands that is a double since it does not fit into 64 bits. kubectl writes `1e20` as digits, so
/// what it was written as cannot count.
fn large_integer(value: &Value, at: String) -> Option<String> {
    match value {
        Value::Double(number) => (number.fract() == 0.0).then_some(at),
        Value::List(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(n, item)| large_integer(item, format!("{at}[{n}]")))
        }
        Value::Record(record) => {
            let mut members = record.members().iter();
            members.find_map(|(name, member)| large_integer(member, format!("{at}.{name}")))
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Text(_) => None,
    }
}

fn faults(route: &str) -> Lane {
    Lane {
        name: Text::const_new(FAULTS),
        id: LaneId::of(route, FAULTS),
        kind: LaneKind::Map,
        access: Access::ReadOnly,
        schema: Schema::Any,
        initial: Value::Null,
        retain: Retain { entries: FAULTS_KEPT, evict: true, age_ms: None },
        queue: Queue::default(),
    }
}

/// State is what expressions can name.
fn name((place, lane): (usize, &Lane)) -> Option<Name> {
    let state = matches!(lane.kind, LaneKind::Value | LaneKind::Map) && lane.name != FAULTS;
    state.then(|| Name {
        name: lane.name.to_string(),
        lane: place,
        map: lane.kind == LaneKind::Map,
        double: lane.schema == Schema::Double,
    })
}

impl Default for Retain {
    fn default() -> Self {
        Self { entries: ENTRIES_MAX, evict: false, age_ms: None }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self { items: 1024, overflow: super::Overflow::default() }
    }
}
