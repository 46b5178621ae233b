//! Laws of an owner's node, another node that hangs on it, and clients of both, whatever is told when, and however often
//! owners are lost and found, nodes are started anew, and clients come back with the token that they have: every client
//! ends with the owner's state, at each token it has the state of that version, and `synced` says that it was told all
//! that was acknowledged before it came. Of an event lane: what was emitted before it came is not told, and what is emitted after
//! `synced` is told once or lies in a gap.

use super::*;
use crate::broken;
use crate::map::{Map, Stamp, keep_few};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use proto::ring;

#[derive(Clone, Debug)]
enum Step {
    /// A record, which is acknowledged when it has been told to the owner's mirror; `None` removes.
    Record(Vec<(u8, Option<u8>)>),
    Clear,
    /// What the second node has asked comes to the first.
    Ask,
    /// So many bytes of what is due go to the second node.
    Carry(usize),
    /// The connection between the nodes breaks: what is under way is lost.
    Break,
    /// The lane is attached anew to the shard of its own node.
    Again,
    /// A record of the slot that is of another lane.
    Elsewhere,
    /// The owner's node starts anew; true: with another history, and without the lowest key.
    Restart(bool),
    /// The other node starts anew.
    RestartFar,
    /// The shard does what its node has asked.
    Shard,
    /// The clients of the first or second node look.
    Look(bool),
    /// A client of the first or second node comes or goes; one that comes may be one that has gone, or have a token of
    /// nowhere.
    Open(bool, Option<usize>),
    Lie(bool),
    Close(bool),
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let changes = proptest::collection::vec((0..20_u8, proptest::option::weighted(0.7, any::<u8>())), 1..4);
    let step = prop_oneof![
        10 => changes.prop_map(Step::Record),
        1 => Just(Step::Clear),
        6 => Just(Step::Ask),
        6 => (1..200_usize).prop_map(Step::Carry),
        1 => Just(Step::Break),
        1 => Just(Step::Again),
        2 => Just(Step::Elsewhere),
        1 => proptest::bool::weighted(0.3).prop_map(Step::Restart),
        1 => Just(Step::RestartFar),
        4 => Just(Step::Shard),
        8 => any::<bool>().prop_map(Step::Look),
        6 => (any::<bool>(), proptest::option::weighted(0.7, any::<usize>()))
            .prop_map(|(near, from)| Step::Open(near, from)),
        1 => any::<bool>().prop_map(Step::Lie),
        4 => any::<bool>().prop_map(Step::Close),
        1 => Just(Step::Tick),
    ];
    proptest::collection::vec(step, 1..120)
}

/// What each key was, by version; `None`: it was not there.
type History = BTreeMap<i64, Vec<(u64, Option<String>)>>;

/// A client that folds what its link is told.
struct Client {
    links: Links,
    state: BTreeMap<String, String>,
    id: Option<u64>,
    /// The last token, and what it had then.
    at_id: Option<(u64, BTreeMap<String, String>)>,
    synced: bool,
    /// All up to this version was acknowledged when it came.
    came: u64,
    /// And this when it was told `synced`, in this watch or in those that it goes on from.
    synced_at: Option<u64>,
    /// It goes on from a token.
    is_back: bool,
    items: Vec<u64>,
    gaps: Vec<(u64, u64)>,
}

/// What a client has that has gone.
#[derive(Clone, Default)]
struct Left {
    state: BTreeMap<String, String>,
    token: Option<u64>,
    items: Vec<u64>,
    gaps: Vec<(u64, u64)>,
    /// What was emitted after this version, it has or lies in a gap.
    since: Option<u64>,
}

impl Client {
    fn new(serving: &Serving, world: &World, from: Left, credit: Option<u32>) -> Client {
        let links = Links::new(serving);
        let Left { state, token, items, gaps, since } = from;
        links.open(1, "/a", world.lane, token, credit);
        Client {
            links,
            at_id: token.map(|token| (token, state.clone())),
            state,
            id: token,
            synced: false,
            came: world.version,
            synced_at: since.filter(|_| token != Some(0)),
            is_back: since.is_some() && token != Some(0),
            items,
            gaps,
        }
    }

    fn leave(self) -> Left {
        let token = Some(self.at_id.as_ref().map_or(0, |(id, _)| *id));
        let items = self.items.into_iter().filter(|item| token.is_some_and(|token| item / ITEMS <= token));
        let (items, gaps, since) = (items.collect(), self.gaps, self.synced_at);
        Left { state: self.at_id.map(|(_, state)| state).unwrap_or_default(), token, items, gaps, since }
    }

    /// Each key is what it was at this version, or what it became later.
    fn has_the_state_of(&self, version: u64, history: &History) {
        for (key, values) in history {
            let begin = values.iter().rposition(|(at, _)| *at <= version);
            let ours = self.state.get(&key.to_string());
            let mut later = values[begin.unwrap_or(0)..].iter().map(|(_, value)| value.as_ref());
            let is_here = later.any(|value| value == ours) || begin.is_none() && ours.is_none();
            assert!(is_here, "{key} is {ours:?} at {version}: {values:?}");
        }
    }

    fn look(&mut self, world: &World) {
        for output in taken(&self.links) {
            let LinkOutput::Event { event: Event { kind, key, value, id, gap }, .. } = output else {
                panic!("{output:?}")
            };
            let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
            match kind {
                EventKind::Update => {
                    self.state.insert(text(key), text(value));
                }
                EventKind::Remove => {
                    self.state.remove(&text(key));
                }
                EventKind::Clear => self.state.clear(),
                EventKind::Reset => {
                    (self.state, self.id, self.synced) = (BTreeMap::new(), None, false);
                    (self.at_id, self.is_back) = (None, false);
                    (self.synced_at, self.items, self.gaps) = (None, Vec::new(), Vec::new());
                }
                EventKind::Synced => {
                    self.synced = true;
                    self.synced_at.get_or_insert(world.version);
                    self.has_the_state_of(self.came, &world.history);
                }
                EventKind::Event => {
                    let item: u64 = text(value).parse().unwrap();
                    let is_due = self.is_back || self.synced && item / ITEMS > self.came;
                    assert!(is_due, "{item} for who came at {}", self.came);
                    self.items.push(item);
                }
                EventKind::Gap => self.gaps.push(gap),
                EventKind::Stale => {}
                other @ EventKind::Set => panic!("{other:?}"),
            }
            if let Some(id) = id {
                assert!(self.synced && self.id.is_none_or(|before| before <= id));
                self.id = Some(id);
                self.at_id = Some((id, self.state.clone()));
                if world.lane == "map" {
                    self.has_the_state_of(id, &world.history);
                }
            }
        }
        self.links.credit(1, 3);
    }
}

/// More than one record has.
const ITEMS: u64 = 10;
/// So many items an owner keeps for those who come back.
const KEPT: usize = 12;

struct World {
    lane: &'static str,
    version: u64,
    entries: Map,
    history: History,
    /// Each is its version times [`ITEMS`], and its number in the record.
    items: Vec<u64>,
    near: (Arc<Node>, Serving),
    far: (Arc<Node>, Serving),
    /// The attachments of the near node to its own shard.
    told: Vec<u64>,
    /// The stream between the nodes.
    peer: PeerLinks,
    /// The question of each attachment that is under way.
    under_way: BTreeMap<u64, u64>,
    now_ms: u64,
    left: Vec<Left>,
}

impl World {
    fn new(lane: &'static str) -> World {
        let (near, far) = (Node::start(), Node::start());
        *far.0.owner.lock().unwrap() = Some(Owner::Node(0));
        let peer = PeerLinks::new(&near.1);
        World {
            lane,
            version: 0,
            entries: Map::default(),
            history: History::new(),
            items: Vec::new(),
            near,
            far,
            told: Vec::new(),
            peer,
            under_way: BTreeMap::new(),
            now_ms: 0,
            left: Vec::new(),
        }
    }

    fn ask(&mut self) {
        let mut since = self.far.0.since().into_iter();
        for (attach, attachment, _) in self.far.0.asked() {
            if attach {
                let since = since.next().expect("each attachment asks for something");
                self.peer.open(attachment, "/a", self.lane, since, None);
            } else {
                self.peer.close(attachment);
                self.under_way.remove(&attachment);
            }
        }
        for question in self.far.0.questions() {
            let before = self.under_way.insert(question.attachment, question.number);
            assert_eq!(before, None, "one question at a time: {question:?}");
            self.peer.ask(question);
        }
        assert_eq!(self.near.0.questions(), []);
    }

    fn shard(&mut self) {
        let mut since = self.near.0.since().into_iter();
        for (attach, attachment, _) in self.near.0.asked() {
            self.told.retain(|told| *told != attachment);
            if attach {
                self.told.push(attachment);
                let since = since.next().expect("each attachment asks for something").changed;
                let update = if self.lane == "supply" { self.items_after(since) } else { self.whole() };
                self.near.1.update(&mut vec![(attachment, Ok(update))]);
            }
        }
    }

    fn whole(&self) -> Update {
        let (entries, version) = (Some(self.entries.clone()), self.version);
        let known_from = self.entries.known_from();
        let begin = Some(Begin { removed: known_from, horizon: known_from, ..Begin::WHOLE });
        Update { version, begin, synced: true, changes: vec![], entries, answered: 1 }
    }

    /// The owner keeps the last few.
    fn items_after(&self, since: u64) -> Update {
        let gone = self.items.len().checked_sub(KEPT + 1);
        let horizon = gone.map_or(0, |gone| self.items[gone] / ITEMS);
        let is_of_this =
            since > 0 && since <= self.version && ring::history(since) == ring::history(self.version);
        let changed = if is_of_this { since.max(horizon) } else { 0 };
        let items = self.items.iter().filter(|item| is_of_this && **item / ITEMS > changed);
        let changes = items.map(|item| event(item / ITEMS, item.cast_signed())).collect();
        let begin = Some(Begin { changed, removed: u64::MAX, horizon });
        Update { version: self.version, begin, synced: true, changes, entries: None, answered: 1 }
    }

    fn tell(&self, changes: &[Versioned]) {
        for attachment in &self.told {
            let update = Update {
                version: self.version,
                begin: None,
                synced: false,
                changes: changes.to_vec(),
                entries: None,
                answered: 0,
            };
            self.near.1.update(&mut vec![(*attachment, Ok(update))]);
        }
    }

    fn record(&mut self, record: Vec<(u8, Option<u8>)>) {
        self.version += 1;
        let mut changes = Vec::new();
        if self.lane == "supply" {
            let items = (0..record.len() as u64).map(|place| self.version * ITEMS + place);
            changes = items.clone().map(|item| event(self.version, item as i64)).collect();
            self.items.extend(items);
            return self.tell(&changes);
        }
        for ((key, value), index) in record.into_iter().zip(0..) {
            let (key, stamp) = (i64::from(key), Stamp { version: self.version, index });
            match value {
                Some(value) => {
                    let value = format!("{value} of {}", self.version);
                    changes.push(put(self.version, key, &value));
                    self.note(key, Some(&value));
                    self.entries.put(Value::Int(key), Value::text(&value), stamp);
                }
                None if self.entries.remove(&Value::Int(key), stamp).is_some() => {
                    self.note(key, None);
                    changes.push(at(self.version, Change::Remove(Value::Int(key))));
                }
                None => {}
            }
        }
        self.tell(&changes);
    }

    fn note(&mut self, key: i64, value: Option<&str>) {
        let value = value.map(|value| format!("\"{value}\""));
        self.history.entry(key).or_default().push((self.version, value));
    }

    fn carry(&mut self, bytes: usize) -> usize {
        let mut updates = Vec::new();
        self.peer.next_updates(bytes, &mut updates);
        let count = updates.len();
        for (attachment, said) in &updates {
            if said.as_ref().is_ok_and(|update| Some(&update.answered) == self.under_way.get(attachment)) {
                self.under_way.remove(attachment);
            }
        }
        self.far.1.update(&mut updates);
        count
    }

    fn tick(&mut self, ms: u64) {
        self.now_ms += ms;
        self.near.1.tick(self.now_ms);
        self.far.1.tick(self.now_ms);
    }

    /// What is under way between the nodes is lost.
    fn cut(&mut self) {
        self.peer = PeerLinks::new(&self.near.1);
        self.far.0.asked();
        self.far.0.since();
        self.far.0.questions();
        self.under_way.clear();
    }

    /// Records may be gone: the last change of the lowest key is.
    fn lose(&mut self) {
        self.version += ring::version(1, 0);
        let mut kept = Map::default();
        for (key, entry) in self.entries.entries().skip(1) {
            kept.put(key.clone(), entry.value.clone(), Stamp { version: entry.version(), index: 0 });
        }
        let first = self.entries.entries().next().map(|(key, _)| int(key));
        if let Some(key) = first {
            self.note(key, None);
        }
        self.entries = kept;
    }

    fn step(&mut self, step: Step, near: &mut Vec<Client>, far: &mut Vec<Client>) {
        match step {
            Step::Record(changes) => self.record(changes),
            Step::Clear => {
                if self.lane == "map" && !self.entries.is_empty() {
                    self.version += 1;
                    let cleared = self.entries.clear(Stamp { version: self.version, index: 0 });
                    cleared.entries().for_each(|(key, _)| self.note(int(key), None));
                    self.tell(&[at(self.version, Change::Clear)]);
                }
            }
            Step::Ask => self.ask(),
            Step::Carry(bytes) => {
                self.carry(bytes);
            }
            Step::Break => {
                self.cut();
                self.far.1.lost(&[1]);
            }
            Step::Elsewhere => self.version += 1,
            Step::Restart(is_lost) => {
                self.left.extend(near.drain(..).map(Client::leave));
                self.near = Node::start();
                self.told.clear();
                if is_lost {
                    self.lose();
                }
                self.cut();
                self.far.1.lost(&[1]);
            }
            Step::RestartFar => {
                self.left.extend(far.drain(..).map(Client::leave));
                self.far = Node::start();
                *self.far.0.owner.lock().unwrap() = Some(Owner::Node(0));
                self.cut();
            }
            Step::Again => self.near.1.lost(&[1]),
            Step::Shard => self.shard(),
            Step::Look(true) => near.iter_mut().for_each(|client| client.look(self)),
            Step::Look(false) => far.iter_mut().for_each(|client| client.look(self)),
            Step::Open(is_near, from) => {
                let from = from.filter(|_| !self.left.is_empty()).map(|place| place % self.left.len());
                let from = from.map_or_else(Left::default, |place| self.left[place].clone());
                let (serving, clients) = if is_near { (&self.near.1, near) } else { (&self.far.1, far) };
                clients.push(Client::new(serving, self, from, None));
            }
            Step::Lie(is_near) => {
                let lie = Left { token: Some(self.version + 1_000), ..Left::default() };
                let (serving, clients) = if is_near { (&self.near.1, near) } else { (&self.far.1, far) };
                clients.push(Client::new(serving, self, lie, None));
            }
            Step::Close(is_near) => {
                let clients = if is_near { near } else { far };
                self.left.extend(clients.pop().map(Client::leave));
            }
            Step::Tick => self.tick(700),
        }
    }
}

/// Takes the steps, lets everything settle, and gives all clients that are left.
fn run(lane: &'static str, steps: Vec<Step>) -> (World, Vec<Client>) {
    let mut world = World::new(lane);
    keep_few(3);
    let mut near = vec![Client::new(&world.near.1, &world, Left::default(), Some(2))];
    let mut far = vec![Client::new(&world.far.1, &world, Left::default(), Some(5))];
    for step in steps {
        world.step(step, &mut near, &mut far);
    }
    far.append(&mut near);
    // Who lacks something says so when it looks.
    for _ in 0..5 {
        world.tick(100);
        world.ask();
        world.shard();
        while world.carry(100) > 0 {}
        for client in &mut far {
            (0..40).for_each(|_| client.look(&world));
        }
    }
    (world, far)
}

fn int(key: &Value) -> i64 {
    let Value::Int(key) = key else { panic!("{key:?}") };
    *key
}

fn json_of(value: &Value) -> String {
    let mut text = Vec::new();
    proto::json::write(value, &mut text);
    String::from_utf8(text).unwrap()
}

fn ends_with_the_owners_state(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (world, clients) = run("map", steps);
    let state: BTreeMap<String, String> =
        world.entries.values().map(|(key, value)| (int(key).to_string(), json_of(value))).collect();
    for client in clients {
        prop_assert!(client.synced);
        prop_assert_eq!(&client.state, &state);
        prop_assert!(client.id.is_some_and(|id| id <= world.version));
    }
    Ok(())
}

/// What the simulation's watchers, whose lanes lose few entries, seldom meet.
#[test]
fn whatever_is_broken_of_watches_that_come_back_is_noticed() {
    for broken in broken::simulated::OF_LINKS {
        let config =
            Config { cases: 3_000, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        broken::simulated::set(Some(broken));
        let done = runner.run(&steps(), ends_with_the_owners_state);
        broken::simulated::set(None);
        assert!(matches!(done, Err(TestError::Fail(..))), "{broken:?}: {done:?}");
    }
}

proptest! {
    #[test]
    fn every_client_ends_with_the_owners_state(steps in steps()) {
        ends_with_the_owners_state(steps)?;
    }

    #[test]
    fn every_item_after_synced_is_told_once_or_lies_in_a_gap(steps in steps()) {
        let (world, clients) = run("supply", steps);
        for client in clients {
            prop_assert!(client.items.is_sorted_by(|one, next| one < next), "{:?}", client.items);
            let synced_at = client.synced_at.expect("it is synced");
            for item in world.items.iter().filter(|item| *item / ITEMS > synced_at) {
                let in_gap = |(from, to): &(u64, u64)| (*from..=*to).contains(&(item / ITEMS));
                prop_assert!(client.items.contains(item) || client.gaps.iter().any(in_gap), "{item} of {:?}: {:?}, {:?}, synced at {synced_at}, id {:?}", world.items, client.items, client.gaps, client.id);
            }
        }
    }
}
