//! All slots of a plan in one shard, with its log in memory: what is written is durable at once.

use super::cases::Asked;
use crate::done::{Done, End, Said};
use crate::link::{Change, Update};
use crate::log::{Head, Position};
use crate::refusal::Refusal;
use crate::shard::{
    Assignment, Attach, Body, Command, Effect, Event, Fetch, Message, Ownership, Place, Read, Room, Shard,
    messages,
};
use hashbrown::{HashMap, HashSet};
use proto::address::{Address, Slot};
use proto::json;
use proto::plan::{Access, AgentPlanSpec, Error, LaneKind, Plan};
use proto::value::Value;
use std::collections::VecDeque;
use std::sync::Arc;

/// So many messages between agents and timers follow from one command at most.
pub const MESSAGES_MAX: usize = 10_000;

const FAULTS: &str = "faults";

/// A lane of an agent, as watches name it.
type Watch = Arc<(Address, String)>;
type Out = Effect<(), Watch>;

pub struct OneNode {
    shard: Shard<(), Watch>,
    /// As clients see the plan.
    plan: Arc<Assignment>,
    /// With internal lanes readable, for who looks at the agents' states.
    open: Arc<Assignment>,
    /// Records that messages may be read from again; the first of them is at `first`.
    log: Vec<(Head, Vec<u8>)>,
    first: u64,
    watched: HashSet<Watch>,
    /// What came on event lanes since the command began.
    items: HashMap<Watch, Vec<Value>>,
    /// Messages and timers that were refused since the command began.
    faults: Vec<Value>,
}

/// What has come of one command.
pub struct Outcome {
    pub end: End,
    /// Each as the lane `faults` of its receiver has it.
    pub faults: Vec<Value>,
    /// More messages were to be delivered, and timers to fire, than are.
    pub is_endless: bool,
}

impl OneNode {
    pub fn new(spec: &AgentPlanSpec) -> Result<OneNode, Vec<Error>> {
        let assignment = |is_open: bool| -> Result<_, Vec<Error>> {
            let mut plan = Plan::parse(&spec.to_json())?;
            let lanes = plan.kinds.iter_mut().flat_map(|kind| kind.lanes.iter_mut());
            for lane in lanes.filter(|lane| is_open && lane.access == Access::Internal) {
                lane.access = Access::ReadOnly;
            }
            let owned = vec![Some(Ownership { epoch: 1, history: 0 }); plan.slots as usize];
            Ok(Arc::new(Assignment { plan: Arc::new(plan), generation: 1, owned }))
        };
        let (plan, open) = (assignment(false)?, assignment(true)?);
        let mut shard = Shard::new(1, Room::OF_NODE);
        shard.handle(Event::Configured(open.clone()), 0);
        Ok(OneNode {
            shard,
            plan,
            open,
            log: Vec::new(),
            first: 0,
            watched: HashSet::new(),
            items: HashMap::new(),
            faults: Vec::new(),
        })
    }

    /// From now on what comes on a lane is kept, if it has no state.
    pub fn watch(&mut self, agent: &Address, lane: &str) {
        let watch = Arc::new((agent.clone(), lane.to_owned()));
        if self.watched.insert(watch.clone()) {
            let (agent, lane, slot) = (agent.clone(), lane.to_owned(), self.slot_of(agent));
            let attach = Attach { watch, agent, slot, lane, since: 0, limit: None };
            self.shard.handle(Event::Attach(attach), 0);
            self.settle();
        }
    }

    /// Lets fire what is due until then, each timer at its time; then runs a command, and all messages that follow from it.
    pub fn step(&mut self, command: Option<&Asked>, now_ms: u64) -> Outcome {
        self.items.clear();
        let mut left = MESSAGES_MAX;
        let mut is_endless = !self.wait(now_ms, &mut left);
        let mut end = Ok(Done { version: 0, said: Said::Nothing });
        if let (Some(asked), false) = (command, is_endless) {
            let (answer, effects) = self.command(asked, now_ms);
            end = answer;
            is_endless = !self.deliver(effects, now_ms, &mut left);
        }
        self.first += std::mem::take(&mut self.log).len() as u64;
        Outcome { end, faults: std::mem::take(&mut self.faults), is_endless }
    }

    /// False: more is due than is right.
    fn wait(&mut self, now_ms: u64, left: &mut usize) -> bool {
        while let Some(due_ms) = self.shard.next_due().filter(|due_ms| *due_ms <= now_ms) {
            if *left == 0 {
                return false;
            }
            *left -= 1;
            self.shard.fire(due_ms);
            let effects = self.settle().into();
            if !self.deliver(effects, due_ms, left) {
                return false;
            }
        }
        true
    }

    fn command(&mut self, Asked { agent, lane, body }: &Asked, now_ms: u64) -> (End, VecDeque<Out>) {
        self.watch(agent, FAULTS);
        let mut text = Vec::new();
        json::write(body, &mut text);
        let command = Event::Command(Command {
            reply: (),
            id: 0,
            stream: 0,
            slot: self.slot_of(agent),
            agent: agent.clone(),
            lane: lane.to_owned(),
            body: text.into(),
            key: None,
        });
        let is_hidden = self.lane_of(agent, lane).is_some_and(|(access, _)| access == Access::Internal);
        if is_hidden {
            // For clients it does not exist.
            self.shard.handle(Event::Configured(self.plan.clone()), now_ms);
        }
        self.shard.handle(command, now_ms);
        if is_hidden {
            self.shard.handle(Event::Configured(self.open.clone()), now_ms);
            self.watched.clear();
        }
        let mut end = Err(Refusal::unavailable("there is no answer", ""));
        let effects = self.settle().into_iter().filter_map(|effect| match effect {
            Effect::Answer { end: answer, .. } => {
                end = answer;
                None
            }
            other => Some(other),
        });
        let effects = effects.collect();
        (end, effects)
    }

    /// False: there are more than is right.
    fn deliver(&mut self, mut effects: VecDeque<Out>, now_ms: u64, left: &mut usize) -> bool {
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Send(message) => {
                    if *left == 0 {
                        return false;
                    }
                    *left -= 1;
                    self.watch(&message.agent, FAULTS);
                    self.shard.handle(Event::Message(message), now_ms);
                }
                Effect::Taken(taken) => self.shard.handle(Event::Taken(taken), now_ms),
                Effect::Fetch(from, fetch) => {
                    let (to, messages) = (fetch.to, self.fetch(&fetch));
                    self.shard.handle(Event::Fetched { from, to, messages }, now_ms);
                }
                _ => continue,
            }
            effects.extend(self.settle());
        }
        true
    }

    /// The state of a lane, or what came on it since the command began.
    pub fn state(&mut self, agent: &Address, lane: &str) -> Result<Value, Refusal> {
        let kind = self.lane_of(agent, lane).map(|(_, kind)| kind);
        if matches!(kind, Some(LaneKind::Command | LaneKind::Supply)) {
            let watch = Arc::new((agent.clone(), lane.to_owned()));
            return Ok(Value::list(self.items.get(&watch).cloned().unwrap_or_default()));
        }
        let slot = self.slot_of(agent);
        let (agent, lane) = (agent.clone(), lane.to_owned());
        self.shard.handle(Event::Read(Read { reply: (), id: 0, slot, agent, lane, if_none_match: None }), 0);
        let got = self.settle().into_iter().find_map(|effect| match effect {
            Effect::Got { end, .. } => Some(end),
            _ => None,
        });
        match got.unwrap_or_else(|| Err(Refusal::unavailable("there is no answer", "")))?.body {
            Body::Value(value) => Ok(value),
            Body::Map(map) if map.has_only_texts_as_keys() => {
                let text = |key: &Value| if let Value::Text(text) = key { text.clone() } else { "".into() };
                Ok(Value::record(
                    map.values().map(|(key, value)| (text(key), value.clone())).collect::<Vec<_>>(),
                ))
            }
            Body::Map(map) => {
                let pair = |(key, value): (&Value, &Value)| Value::list([key.clone(), value.clone()]);
                Ok(Value::list(map.values().map(pair).collect::<Vec<_>>()))
            }
        }
    }

    fn lane_of(&self, agent: &Address, lane: &str) -> Option<(Access, LaneKind)> {
        let plan = &self.plan.plan;
        let (_, lane) = plan.kinds[plan.find(agent)?.kind].lane(lane)?;
        Some((lane.access, lane.kind))
    }

    /// Any slot for an address without a route: the shard refuses it.
    fn slot_of(&self, agent: &Address) -> Slot {
        self.plan.plan.find(agent).map_or(0, |found| found.slot)
    }

    /// Writes what is to be written, and gives out what leaves then; what was told to watches is kept here.
    fn settle(&mut self) -> Vec<Out> {
        let records = self.shard.records();
        for (head, body) in records.heads() {
            self.log.push((*head, records.buffer()[body.clone()].to_vec()));
        }
        let end = Position(self.first + self.log.len() as u64);
        self.shard.appended(end);
        let mut out = Vec::new();
        self.shard.release(end, &mut out);
        let (told, out) = out.into_iter().partition(|effect| matches!(effect, Effect::Update { .. }));
        let told: Vec<Out> = told;
        for effect in told {
            if let Effect::Update { to, update } = effect {
                self.told(&to, update);
            }
        }
        out
    }

    /// A watch begins with the state of its lane, which is nothing new.
    fn told(&mut self, watch: &Watch, update: Update) {
        for changed in update.changes.into_iter().filter(|_| update.begin.is_none()) {
            match changed.change {
                Change::Event(item) => self.items.entry(watch.clone()).or_default().push(item),
                Change::Put(_, fault) if watch.1 == FAULTS => self.faults.push(fault),
                _ => {}
            }
        }
    }

    /// Messages that the shard does not keep in memory, each with what it costs there.
    fn fetch(&self, fetch: &Fetch) -> Vec<(Message, usize)> {
        let mut found = Vec::new();
        for (position, place) in &fetch.places {
            found.extend(self.message(*position, *place, fetch.to));
        }
        found
    }

    fn message(&self, position: Position, place: Place, to: Slot) -> Option<(Message, usize)> {
        let (head, body) = self.log.get(usize::try_from(position.0.checked_sub(self.first)?).ok()?)?;
        let mut of_record = messages(*head, body).ok()?;
        of_record.find(|(message, _)| (message.to, message.place) == (to, place))
    }
}
