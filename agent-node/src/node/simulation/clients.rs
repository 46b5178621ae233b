//! Clients: they write, read and watch through any node that runs, and go on at another one when theirs is gone.

use super::machine::Machine;
use super::plan::{self, Alarm, Asked, Name};
use crate::link::{EventKind, LinkOutput, Links};
use crate::node::commands::Commands;
use crate::node::handle::Node;
use crate::node::request::{Request, Ticket};
use crate::reads::Answer;
use crate::refusal::{Fate, Refusal};
use crate::shard::Body;
use checker::{End, History, Op, Read, State, Told, Watch};
use futures::FutureExt as _;
use proto::json;
use proto::value::Value;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What a client has under way at most.
const OPEN_MAX: usize = 6;

/// What clients share: who asks whom, and what is written down of it.
pub struct Room<'a> {
    pub machines: &'a [Machine],
    pub history: &'a mut History,
    pub random: &'a mut SmallRng,
    /// Counts all writes.
    pub writes: &'a mut u64,
    /// Timers that were scheduled.
    pub alarms: &'a mut Vec<Alarm>,
    /// All is to settle: nobody leaves who need not.
    pub calm: bool,
}

impl Room<'_> {
    /// A node that runs, mostly one of several.
    fn node(&mut self) -> Option<(usize, Node)> {
        let running: Vec<usize> =
            (0..self.machines.len()).filter(|machine| self.machines[*machine].process.is_some()).collect();
        let machine = *running.choose(self.random)?;
        Some((machine, self.machines[machine].node()?.clone()))
    }
}

/// Sends commands and changes on one stream after the other.
pub struct Sender {
    /// With one, what is not settled is sent again under its number.
    name: Option<Arc<str>>,
    stream: Option<(usize, Commands)>,
    last: u64,
    open: BTreeMap<u64, Sent>,
    /// Settled ones, which are sent once more now and then.
    settled: VecDeque<(u64, Sent)>,
    left: usize,
}

#[derive(Clone)]
struct Sent {
    op: Op,
    request: Request,
}

impl Sender {
    pub fn new(name: Option<&str>, left: usize) -> Sender {
        Sender {
            name: name.map(Into::into),
            stream: None,
            last: 0,
            open: BTreeMap::new(),
            settled: VecDeque::new(),
            left,
        }
    }

    pub fn is_done(&self) -> bool {
        self.left == 0 && self.open.is_empty()
    }

    pub fn lose(&mut self, machine: usize) {
        if self.stream.as_ref().is_some_and(|(at, _)| *at == machine) {
            self.close();
        }
    }

    /// What had no number is not known to be done or not.
    fn close(&mut self) {
        self.stream = None;
        if self.name.is_none() {
            self.open.clear();
        }
    }

    pub fn step(&mut self, room: &mut Room) -> bool {
        if !room.calm && room.random.random_ratio(1, 15) {
            self.close();
        }
        if self.stream.is_none() {
            if self.is_done() {
                return false;
            }
            let Some((machine, node)) = room.node() else { return false };
            let mut commands = node.commands();
            for (number, sent) in &self.open {
                room.history.again(sent.op);
                submit(&mut commands, *number, &sent.request);
            }
            self.stream = Some((machine, commands));
        }
        self.send(room);
        self.take(room)
    }

    fn send(&mut self, room: &mut Room) {
        let Some((_, commands)) = &mut self.stream else { return };
        if !room.calm && self.name.is_some() && !self.settled.is_empty() && room.random.random_ratio(1, 20) {
            let place = room.random.random_range(0..self.settled.len());
            if let Some((number, sent)) = self.settled.remove(place) {
                room.history.again(sent.op);
                submit(commands, number, &sent.request);
                self.open.insert(number, sent);
            }
        }
        while self.left > 0 && self.open.len() < OPEN_MAX && room.random.random_bool(0.15) {
            self.left -= 1;
            self.last += 1;
            *room.writes += 1;
            let Asked { name: Name { agent, lane }, body, mut write, alarms, cancels } =
                plan::write(room.history, room.alarms, *room.writes, room.random.random());
            if let Some(client) = &self.name {
                write = write.keyed(&**client, self.last);
            }
            let key = self.name.clone().map(|client| (client, self.last));
            let request = Request { agent, lane: lane.to_owned(), body: body.into(), key };
            let op = room.history.sent(write);
            room.alarms.extend(alarms.map(|key| Alarm { op, agent: request.agent.clone(), key }));
            if let Some(timers_of) = cancels {
                room.history.cancels(timers_of);
            }
            submit(commands, self.last, &request);
            self.open.insert(self.last, Sent { op, request });
        }
    }

    fn take(&mut self, room: &mut Room) -> bool {
        let Some((_, commands)) = &mut self.stream else { return false };
        let mut answers = Vec::new();
        let _ = commands.answers(&mut answers).now_or_never();
        let came = !answers.is_empty();
        let mut again = false;
        for (Ticket { id: number, .. }, end) in answers {
            let Some(sent) = self.open.get(&number) else { continue };
            let end = ended(end);
            room.history.ended(sent.op, end);
            let is_settled = !matches!(end, End::NotDone | End::Unknown);
            again |= !is_settled;
            if is_settled || self.name.is_none() {
                let sent = self.open.remove(&number);
                self.settled.extend(sent.filter(|_| is_settled).map(|sent| (number, sent)));
                self.settled.truncate(20);
            }
        }
        if again {
            self.close();
        }
        came
    }
}

fn submit(commands: &mut Commands, number: u64, request: &Request) {
    commands
        .submit(Ticket { id: number, came_us: 0 }, request.clone())
        .expect("a stream has room for so few");
}

fn ended(end: crate::done::End) -> End {
    match end {
        Ok(done) => End::Done(done.version),
        Err(refusal) if refusal.outcome_unknown => End::Unknown,
        Err(refusal) if refusal.is_of_repeat() => End::DoneBefore,
        Err(refusal) if refusal.fate() == Fate::Final => End::Refused,
        Err(_) => End::NotDone,
    }
}

/// Reads one lane after the other.
#[derive(Default)]
pub struct Reader {
    asked: Option<(usize, Read, Asking)>,
}

/// What has come of a read.
#[derive(Debug, PartialEq, Eq)]
pub enum Answered {
    NotYet,
    Refused(String),
    Got(u64, State),
}

type Asking = Pin<Box<dyn Future<Output = Result<Answer, Refusal>>>>;

impl Reader {
    pub fn lose(&mut self, machine: usize) {
        self.asked.take_if(|(at, ..)| *at == machine);
    }

    /// Asks for a lane, if nothing is asked yet.
    pub fn ask(&mut self, room: &mut Room, name: &Name, machine: usize) {
        if self.asked.is_none()
            && let Some(node) = room.machines[machine].node()
        {
            let lane = plan::lane(room.history, name);
            let read = room.history.asked(lane, false);
            self.asked = Some((machine, read, asking(node.clone(), name.clone())));
        }
    }

    pub fn ask_any(&mut self, room: &mut Room) {
        if let Some((machine, _)) = room.node()
            && let Some(name) = plan::states().choose(room.random)
        {
            self.ask(room, name, machine);
        }
    }

    pub fn step(&mut self, room: &mut Room) -> Answered {
        let Some((_, read, asking)) = self.asked.as_mut() else { return Answered::NotYet };
        let Poll::Ready(end) = asking.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            return Answered::NotYet;
        };
        let answered = match end {
            Ok(answer) => Answered::Got(answer.version, state(&answer.body)),
            Err(refusal) => Answered::Refused(refusal.with_place()),
        };
        if let Answered::Got(version, state) = &answered {
            room.history.got(*read, *version, state.clone());
        }
        self.asked = None;
        answered
    }
}

fn asking(node: Node, name: Name) -> Asking {
    Box::pin(async move { node.ask(&name.agent, name.lane, None).await })
}

fn state(body: &Body) -> State {
    match body {
        Body::Value(value) => State::Value(text(value)),
        Body::Map(map) => State::Map(map.values().map(|(key, value)| (text(key), text(value))).collect()),
    }
}

fn text(value: &Value) -> String {
    let mut out = Vec::new();
    json::write(value, &mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// Watches some lanes on one stream.
pub struct Watcher {
    names: Vec<Name>,
    links: Option<(usize, Links)>,
    open: BTreeMap<u32, (Watch, Name)>,
    /// The last watch of each lane that is not watched now.
    before: Vec<(Name, Option<Watch>)>,
    next: u32,
    /// It counts what it takes out to the node, this much at once.
    credit: Option<u32>,
}

impl Watcher {
    pub fn new(names: Vec<Name>, credit: Option<u32>) -> Watcher {
        let before = names.iter().map(|name| (name.clone(), None)).collect();
        Watcher { names, links: None, open: BTreeMap::new(), before, next: 1, credit }
    }

    pub fn lose(&mut self, machine: usize, history: &mut History) {
        if self.links.as_ref().is_some_and(|(at, _)| *at == machine) {
            self.close(history);
        }
    }

    /// Whether all of its lanes are watched.
    pub fn watches_all(&self) -> bool {
        self.open.len() == self.names.len()
    }

    pub fn close(&mut self, history: &mut History) {
        self.links = None;
        for (_, (watch, name)) in std::mem::take(&mut self.open) {
            history.left(watch);
            self.before.push((name, Some(watch)));
        }
    }

    pub fn step(&mut self, room: &mut Room) -> bool {
        if !room.calm && !self.open.is_empty() && room.random.random_ratio(1, 80) {
            self.close(room.history);
        }
        if self.links.is_none() {
            let Some((machine, node)) = room.node() else { return false };
            self.links = Some((machine, node.links()));
        }
        let Some((_, links)) = &self.links else { return false };
        for (name, before) in std::mem::take(&mut self.before) {
            let lane = plan::lane(room.history, &name);
            let token = before.and_then(|watch| Some((watch, room.history.token(watch)?)));
            let from = token.filter(|_| room.random.random_bool(0.8));
            let watch = room.history.watches(lane, from);
            links.open(self.next, &name.agent, name.lane, from.map(|(_, token)| token), self.credit);
            self.open.insert(self.next, (watch, name));
            self.next += 1;
        }
        let mut outputs = Vec::new();
        links.next_events(&mut outputs, crate::clock::now);
        let came = !outputs.is_empty();
        for output in outputs {
            match output {
                LinkOutput::Event { link, event } => {
                    let (watch, _) = self.open[&link];
                    let text =
                        |bytes: &bytes::Bytes| String::from_utf8(bytes.to_vec()).expect("JSON is UTF-8");
                    let told = match event.kind {
                        EventKind::Set => Told::Set(text(&event.value)),
                        EventKind::Update => Told::Update(text(&event.key), text(&event.value)),
                        EventKind::Remove => Told::Remove(text(&event.key)),
                        EventKind::Clear => Told::Clear,
                        EventKind::Event => Told::Event(text(&event.value)),
                        EventKind::Synced => Told::Synced,
                        EventKind::Reset => Told::Reset,
                        EventKind::Gap => Told::Gap { from: event.gap.0, to: event.gap.1 },
                        EventKind::Stale => Told::Stale,
                    };
                    room.history.told(watch, told, event.id);
                    if self.credit.is_some() {
                        links.credit(link, 1);
                    }
                }
                LinkOutput::Closed { link, .. } => {
                    if let Some((watch, name)) = self.open.remove(&link) {
                        room.history.left(watch);
                        self.before.push((name, Some(watch)));
                    }
                }
            }
        }
        came
    }
}
