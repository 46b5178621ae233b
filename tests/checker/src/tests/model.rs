//! Shoal in small: slots with records, an outbox, clients, watchers. It makes histories that break nothing, out of a list
//! of choices.

use crate::{Change, End, Final, History, Kind, Lane, Op, Read, State, Told, Watch, Write};
use std::collections::{BTreeMap, VecDeque};

/// What is chosen, one number at a time; when there are no more, everything ends.
#[derive(Debug)]
pub struct Choices(VecDeque<u32>);

impl Choices {
    /// So many from a seed.
    pub fn of_seed(seed: u64, count: usize) -> Choices {
        let mut state = seed;
        let next = || {
            // SplitMix64.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)) as u32
        };
        Choices(std::iter::repeat_with(next).take(count).collect())
    }

    pub fn of(list: Vec<u32>) -> Choices {
        Choices(list.into())
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0.pop_front().map_or(0, |next| next as usize % n.max(1))
    }

    fn one_in(&mut self, n: usize) -> bool {
        !self.0.is_empty() && self.below(n) == n - 1
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() { None } else { Some(&all[self.below(all.len())]) }
    }
}

/// The lanes of one agent.
#[derive(Clone, Copy, Debug)]
struct Agent {
    slot: usize,
    note: Lane,
    notes: Lane,
    last: Lane,
    counts: Lane,
    items: Lane,
    heard: Lane,
    hear: Lane,
    rang: Lane,
}

#[derive(Clone, Debug)]
struct Committed {
    version: u64,
    changes: Vec<(Lane, Change)>,
}

#[derive(Debug)]
struct Pending {
    op: Op,
    slot: usize,
    keyed: bool,
    /// Attempts under way.
    open: u32,
    /// The version at which it took effect.
    version: Option<u64>,
    /// It will have no effect any more.
    refused: bool,
}

#[derive(Debug)]
struct Asked {
    read: Read,
    lane: Lane,
    local: bool,
    /// The slot's version when it was asked.
    least: u64,
}

#[derive(Clone, Debug)]
struct Watcher {
    watch: Watch,
    lane: Lane,
    /// The slot's version when it was opened.
    least: u64,
    reset: bool,
    synced: bool,
    /// What is to be told up to here has been; `None`: nothing has.
    upto: Option<u64>,
    left: bool,
}

/// Its slot, what it does, and the write that scheduled it.
type Timer = (usize, Vec<(Lane, Change)>, Op);

type Outbox = VecDeque<Vec<(Lane, Change)>>;

pub struct Model {
    pub history: History,
    pub finals: Vec<Final>,
    agents: Vec<Agent>,
    kinds: BTreeMap<Lane, (usize, Kind)>,
    slots: Vec<Vec<Committed>>,
    /// By sender's and receiver's slot: messages that have left.
    outboxes: BTreeMap<(usize, usize), Outbox>,
    /// Timers that have not fired.
    timers: Vec<Timer>,
    pending: Vec<Pending>,
    asked: Vec<Asked>,
    watchers: Vec<Watcher>,
    unique: u64,
    sequence: u64,
}

const SLOTS: usize = 2;
const KEYS: usize = 4;
const FIRST: u64 = 1_000;

impl Model {
    /// A history that breaks nothing.
    pub fn run(mut choices: Choices) -> Model {
        let mut model = Model::new();
        while !choices.0.is_empty() {
            model.step(&mut choices);
        }
        model.heal();
        model
    }

    fn new() -> Model {
        let mut history = History::default();
        let mut kinds = BTreeMap::new();
        let mut agents = Vec::new();
        for number in 0..3 {
            let slot = number % SLOTS;
            let mut lane = |name: &str, kind: Kind| {
                let lane = history.lane(slot as u32, &format!("/a/{number}"), name, kind.clone());
                kinds.insert(lane, (slot, kind));
                lane
            };
            let value = Kind::Value { initial: "null".into() };
            agents.push(Agent {
                slot,
                note: lane("note", value.clone()),
                notes: lane("notes", Kind::Map),
                last: lane("last", value),
                counts: lane("counts", Kind::Map),
                items: lane("items", Kind::Items),
                heard: lane("heard", Kind::Map),
                hear: lane("hear", Kind::Items),
                rang: lane("rang", Kind::Map),
            });
        }
        Model {
            history,
            finals: Vec::new(),
            agents,
            kinds,
            slots: vec![Vec::new(); SLOTS],
            outboxes: BTreeMap::new(),
            timers: Vec::new(),
            pending: Vec::new(),
            asked: Vec::new(),
            watchers: Vec::new(),
            unique: 0,
            sequence: 0,
        }
    }

    fn step(&mut self, choices: &mut Choices) {
        match choices.below(18) {
            0..=3 => self.send(choices),
            4..=6 => self.take_effect(choices),
            7 | 8 => self.answer(choices),
            9 => self.deliver(choices),
            10 => self.ask(choices),
            11 => self.give(choices),
            12 => self.open(choices),
            13 | 14 => self.tell(choices),
            15 => self.fire(choices),
            16 => self.cancel(choices),
            _ => self.leave(choices),
        }
    }

    fn version(&self, slot: usize) -> u64 {
        self.slots[slot].last().map_or(0, |last| last.version)
    }

    fn commit(&mut self, slot: usize, changes: Vec<(Lane, Change)>, step: u64) -> u64 {
        let version = self.version(slot).max(FIRST) + step;
        self.slots[slot].push(Committed { version, changes });
        version
    }

    fn unique(&mut self) -> String {
        self.unique += 1;
        format!("\"{}\"", self.unique)
    }

    fn send(&mut self, choices: &mut Choices) {
        let agent = self.agents[choices.below(self.agents.len())];
        let (value, key) = (self.unique(), format!("\"k{}\"", choices.below(KEYS)));
        let mut write = match choices.below(9) {
            0 | 1 => Write::of([(agent.note, Change::Set(value))]),
            2 | 3 => Write::of([(agent.notes, Change::Put(key, value))]),
            4 => Write::of([(agent.notes, Change::Remove(key))]),
            5 if choices.one_in(2) => Write::of([(agent.notes, Change::Clear)]),
            6 => Write::of([(agent.counts, Change::Put(value.clone(), "1".into()))])
                .schedules([(agent.rang, Change::Put(value, "1".into()))]),
            _ => {
                let to = self.agents[choices.below(self.agents.len())];
                Write::of([
                    (agent.counts, Change::Put(value.clone(), "1".into())),
                    (agent.last, Change::Set(value.clone())),
                    (agent.items, Change::Emit(value.clone())),
                ])
                .sends([(to.heard, Change::Put(value.clone(), "1".into())), (to.hear, Change::Emit(value))])
            }
        };
        let keyed = choices.one_in(2);
        if keyed {
            self.sequence += 1;
            write = write.keyed("c", self.sequence);
        }
        let op = self.history.sent(write);
        self.pending.push(Pending { op, slot: agent.slot, keyed, open: 1, version: None, refused: false });
    }

    fn take_effect(&mut self, choices: &mut Choices) {
        let waiting: Vec<usize> = (0..self.pending.len())
            .filter(|at| self.pending[*at].version.is_none() && !self.pending[*at].refused)
            .collect();
        let Some(at) = choices.pick(&waiting).copied() else { return };
        let (op, slot) = (self.pending[at].op, self.pending[at].slot);
        if choices.one_in(8) {
            self.pending[at].refused = true;
            return;
        }
        let write = self.history.writes[op.0 as usize].clone();
        let version = self.commit(slot, write.changes, 1 + choices.below(2) as u64);
        self.pending[at].version = Some(version);
        self.timers.extend(write.timers.into_iter().map(|changes| (slot, changes, op)));
        for message in write.sends {
            let to = self.kinds[&message[0].0].0;
            self.outboxes.entry((slot, to)).or_default().push_back(message);
        }
    }

    fn answer(&mut self, choices: &mut Choices) {
        let open: Vec<usize> = (0..self.pending.len()).filter(|at| self.pending[*at].open > 0).collect();
        let Some(at) = choices.pick(&open).copied() else { return };
        let pending = &mut self.pending[at];
        let end = match (pending.version, pending.refused) {
            _ if choices.one_in(4) => End::Unknown,
            (Some(version), _) => End::Done(version),
            (None, true) => End::Refused,
            (None, false) if pending.open == 1 && !pending.keyed => {
                pending.refused = true;
                End::NotDone
            }
            (None, false) => End::Unknown,
        };
        pending.open -= 1;
        let (op, again) = (pending.op, pending.keyed && choices.one_in(2));
        pending.open += u32::from(again);
        self.history.ended(op, end);
        if again {
            self.history.again(op);
        }
    }

    fn deliver(&mut self, choices: &mut Choices) {
        let full: Vec<(usize, usize)> =
            self.outboxes.iter().filter(|(_, queue)| !queue.is_empty()).map(|(pair, _)| *pair).collect();
        let Some(pair) = choices.pick(&full).copied() else { return };
        let message = self.outboxes.get_mut(&pair).and_then(VecDeque::pop_front).expect("a message");
        self.commit(pair.1, message, 1);
    }

    /// Some timer, in any order.
    fn fire(&mut self, choices: &mut Choices) {
        if !self.timers.is_empty() {
            let at = choices.below(self.timers.len());
            let (slot, changes, _) = self.timers.swap_remove(at);
            self.commit(slot, changes, 1);
        }
    }

    /// Whether it comes in time, the client does not know.
    fn cancel(&mut self, choices: &mut Choices) {
        let ops: Vec<Op> = self.pending.iter().map(|pending| pending.op).collect();
        let Some(op) = choices.pick(&ops).copied().filter(|_| choices.one_in(4)) else { return };
        self.history.cancels(op);
        if choices.one_in(2) {
            self.timers.retain(|(_, _, of)| *of != op);
        }
    }

    fn any_lane(&self, choices: &mut Choices, with_items: bool) -> Lane {
        let lanes: Vec<Lane> = self
            .kinds
            .iter()
            .filter(|(_, (_, kind))| with_items || *kind != Kind::Items)
            .map(|(lane, _)| *lane)
            .collect();
        lanes[choices.below(lanes.len())]
    }

    fn ask(&mut self, choices: &mut Choices) {
        let (lane, local) = (self.any_lane(choices, false), choices.one_in(4));
        let read = self.history.asked(lane, local);
        let least = if local { 0 } else { self.version(self.kinds[&lane].0) };
        self.asked.push(Asked { read, lane, local, least });
    }

    fn give(&mut self, choices: &mut Choices) {
        if self.asked.is_empty() {
            return;
        }
        let Asked { read, lane, local, least } = self.asked.swap_remove(choices.below(self.asked.len()));
        let versions = self.versions(lane, least);
        let at = if local { 0 } else { least };
        let upto = choices.pick(&versions).copied().unwrap_or(at).max(at);
        let (version, state) = self.state(lane, upto);
        self.history.got(read, version, state);
    }

    /// Versions of a lane's slot from one on.
    fn versions(&self, lane: Lane, least: u64) -> Vec<u64> {
        let slot = self.kinds[&lane].0;
        self.slots[slot]
            .iter()
            .map(|committed| committed.version)
            .filter(|version| *version >= least)
            .collect()
    }

    /// The changes of a lane within some versions.
    fn changes(&self, lane: Lane, after: u64, upto: u64) -> Vec<(u64, Change)> {
        let within =
            self.slots[self.kinds[&lane].0].iter().filter(|of| of.version > after && of.version <= upto);
        within
            .flat_map(|of| of.changes.iter().map(|(lane, change)| (of.version, *lane, change.clone())))
            .filter(|(_, of, _)| *of == lane)
            .map(|(version, _, change)| (version, change))
            .collect()
    }

    /// The version of the lane's last change that did something, and the state.
    fn state(&self, lane: Lane, upto: u64) -> (u64, State) {
        let (mut last, mut value, mut entries) = (0, "null".to_owned(), BTreeMap::new());
        for (version, change) in self.changes(lane, 0, upto) {
            let before = entries.clone();
            match change {
                Change::Set(new) => {
                    (last, value) = (version, new);
                }
                Change::Put(key, new) => drop(entries.insert(key, new)),
                Change::Remove(key) => drop(entries.remove(&key)),
                Change::Clear => entries.clear(),
                Change::Emit(_) => {}
            }
            if entries != before {
                last = version;
            }
        }
        match self.kinds[&lane].1 {
            Kind::Value { .. } => (last, State::Value(value)),
            _ => (last, State::Map(entries.into_iter().collect())),
        }
    }

    fn open(&mut self, choices: &mut Choices) {
        let ended: Vec<Watcher> = self.watchers.iter().filter(|watcher| watcher.left).cloned().collect();
        let earlier = choices.pick(&ended).filter(|_| choices.one_in(2)).cloned();
        let lane = earlier.as_ref().map_or_else(|| self.any_lane(choices, true), |earlier| earlier.lane);
        let token = earlier.as_ref().and_then(|earlier| self.history.token(earlier.watch));
        let from = earlier.zip(token).map(|(earlier, token)| (earlier.watch, token));
        let watch = self.history.watches(lane, from);
        let reset = token == Some(0) || token.is_some() && choices.one_in(4);
        self.watchers.push(Watcher {
            watch,
            lane,
            least: self.version(self.kinds[&lane].0),
            reset,
            synced: false,
            upto: token.filter(|_| !reset),
            left: false,
        });
    }

    fn tell(&mut self, choices: &mut Choices) {
        let live: Vec<usize> = (0..self.watchers.len()).filter(|at| !self.watchers[*at].left).collect();
        let Some(at) = choices.pick(&live).copied() else { return };
        match choices.below(16) {
            0 => self.history.told(self.watchers[at].watch, Told::Stale, None),
            1 if self.watchers[at].upto.is_some() => {
                let watcher = &mut self.watchers[at];
                (watcher.reset, watcher.synced, watcher.upto) = (true, false, None);
            }
            _ => {
                let versions = self.versions(self.watchers[at].lane, 0);
                let upto = choices.pick(&versions).copied().unwrap_or_default();
                let part = choices.one_in(4);
                self.tell_upto(at, upto, part, choices);
            }
        }
    }

    /// Tells a watcher what happened up to a version; `part`: only the first of it, and no id.
    fn tell_upto(&mut self, at: usize, upto: u64, part: bool, choices: &mut Choices) {
        let Watcher { watch, lane, least, reset, synced, upto: told, .. } = self.watchers[at].clone();
        let upto = upto.max(told.unwrap_or_default());
        let is_items = self.kinds[&lane].1 == Kind::Items;
        if reset {
            self.history.told(watch, Told::Reset, None);
            self.watchers[at].reset = false;
        }
        let syncs = !synced && (upto >= least);
        let mut events = match told {
            None if is_items && !syncs => return,
            None if is_items => Vec::new(),
            None => self.first_state(lane, upto, choices),
            Some(told) if is_items => self.items(lane, told, upto, choices),
            Some(told) => conflated(self.changes(lane, told, upto)),
        };
        if part && !events.is_empty() {
            events.truncate(choices.below(events.len()));
            for event in events {
                self.history.told(watch, event, None);
            }
            // What was told in part is told again only after `reset`, or to a watch that goes on from an earlier id.
            let watcher = &mut self.watchers[at];
            (watcher.reset, watcher.synced, watcher.upto) = (true, false, None);
            watcher.left = choices.one_in(2);
            if watcher.left {
                self.history.left(watch);
            }
            return;
        }
        // All of the lane up to its last change is all of it up to a later version of its slot.
        let id = if is_items && told.is_none() { upto.max(least) } else { upto };
        let count = events.len();
        for (number, event) in events.into_iter().enumerate() {
            let is_last = number + 1 == count && !syncs && told.is_some();
            self.history.told(watch, event, is_last.then_some(id));
        }
        if syncs {
            self.history.told(watch, Told::Synced, Some(id));
            self.watchers[at].synced = true;
        }
        if syncs || told.is_some() {
            self.watchers[at].upto = Some(id);
        } else {
            let watcher = &mut self.watchers[at];
            (watcher.reset, watcher.upto) = (true, None);
        }
    }

    /// A state that is older in part, and what has changed since.
    fn first_state(&self, lane: Lane, upto: u64, choices: &mut Choices) -> Vec<Told> {
        let versions = self.versions(lane, 0);
        let begun = choices.pick(&versions).copied().unwrap_or_default().min(upto);
        match self.state(lane, begun).1 {
            State::Value(_) => {
                let State::Value(value) = self.state(lane, upto).1 else { unreachable!("of one kind") };
                vec![Told::Set(value)]
            }
            State::Map(entries) => {
                let entries = entries.into_iter().map(|(key, value)| Told::Update(key, value));
                entries.chain(conflated(self.changes(lane, begun, upto))).collect()
            }
        }
    }

    fn items(&self, lane: Lane, after: u64, upto: u64, choices: &mut Choices) -> Vec<Told> {
        let items = self.changes(lane, after, upto);
        let lost = if choices.one_in(2) { choices.below(items.len() + 1) } else { 0 };
        let gap = (lost > 0).then(|| Told::Gap { from: items[0].0, to: items[lost - 1].0 });
        let rest = items.into_iter().skip(lost).filter_map(|(_, change)| match change {
            Change::Emit(item) => Some(Told::Event(item)),
            _ => None,
        });
        gap.into_iter().chain(rest).collect()
    }

    fn leave(&mut self, choices: &mut Choices) {
        let live: Vec<usize> = (0..self.watchers.len()).filter(|at| !self.watchers[*at].left).collect();
        if let Some(at) = choices.pick(&live).copied()
            && choices.one_in(2)
        {
            self.watchers[at].left = true;
            self.history.left(self.watchers[at].watch);
        }
    }

    /// Everything that waits comes to its end.
    fn heal(&mut self) {
        let mut none = Choices::of(Vec::new());
        while self.outboxes.values().any(|queue| !queue.is_empty()) {
            self.deliver(&mut none);
        }
        while !self.timers.is_empty() {
            self.fire(&mut none);
        }
        for at in 0..self.watchers.len() {
            if !self.watchers[at].left {
                let now = self.version(self.kinds[&self.watchers[at].lane].0);
                for _ in 0..2 {
                    self.tell_upto(at, now, false, &mut none);
                }
            }
        }
        for (lane, (slot, kind)) in &self.kinds {
            if *kind != Kind::Items {
                let (version, state) = self.state(*lane, self.version(*slot));
                self.finals.push(Final { lane: *lane, version, state });
            }
        }
    }
}

/// The last change of each key, in the order of changes; a clear stands for all before it.
fn conflated(changes: Vec<(u64, Change)>) -> Vec<Told> {
    let mut told: Vec<Told> = Vec::new();
    for (_, change) in changes {
        match change {
            Change::Set(value) => told = vec![Told::Set(value)],
            Change::Put(key, value) => {
                told.retain(|told| !is_of(told, &key));
                told.push(Told::Update(key, value));
            }
            Change::Remove(key) => {
                told.retain(|told| !is_of(told, &key));
                told.push(Told::Remove(key));
            }
            Change::Clear => told = vec![Told::Clear],
            Change::Emit(_) => {}
        }
    }
    told
}

fn is_of(told: &Told, key: &str) -> bool {
    matches!(told, Told::Update(of, _) | Told::Remove(of) if of == key)
}
