//! Laws of an owner's node, another node that hangs on it, and clients of both, whatever is told when, and however often
//! owners are lost and found: every client ends with the owner's state, and `synced` says that it was told all that was
//! acknowledged before it came. Of an event lane: what was emitted before it came is not told, and what is emitted after
//! `synced` is told once or lies in a gap.

use super::*;
use proptest::prelude::*;

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
    /// The shard does what its node has asked.
    Shard,
    /// The clients of the first or second node look.
    Look(bool),
    /// A client of the first or second node comes or goes; one that comes may have a token.
    Open(bool, Option<u64>),
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
        4 => Just(Step::Shard),
        8 => any::<bool>().prop_map(Step::Look),
        4 => (any::<bool>(), proptest::option::weighted(0.2, 0..10_u64))
            .prop_map(|(near, from)| Step::Open(near, from)),
        2 => any::<bool>().prop_map(Step::Close),
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
    synced: bool,
    /// All up to this version was acknowledged when it came.
    came: u64,
    /// And this when it was told `synced`.
    synced_at: Option<u64>,
    items: Vec<u64>,
    gaps: Vec<(u64, u64)>,
}

impl Client {
    fn new(serving: &Serving, world: &World, from: Option<u64>, credit: Option<u32>) -> Client {
        let links = Links::new(serving);
        links.open(1, "/a", world.lane, from, credit);
        Client {
            links,
            state: BTreeMap::new(),
            id: None,
            synced: false,
            came: world.version,
            synced_at: None,
            items: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// Each key is what it was when the client came, or what it became later.
    fn has_what_was_acknowledged(&self, history: &History) {
        for (key, values) in history {
            let begin = values.iter().rposition(|(version, _)| *version <= self.came);
            let ours = self.state.get(&key.to_string());
            let mut later = values[begin.unwrap_or(0)..].iter().map(|(_, value)| value.as_ref());
            let is_here = later.any(|value| value == ours) || begin.is_none() && ours.is_none();
            assert!(is_here, "{key} is {ours:?} for who came at {}: {values:?}", self.came);
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
                }
                EventKind::Synced => {
                    self.synced = true;
                    self.synced_at.get_or_insert(world.version);
                    self.has_what_was_acknowledged(&world.history);
                }
                EventKind::Event => {
                    let item: u64 = text(value).parse().unwrap();
                    assert!(self.synced && item / ITEMS > self.came, "{item} for who came at {}", self.came);
                    self.items.push(item);
                }
                EventKind::Gap => self.gaps.push(gap),
                EventKind::Stale => {}
                other @ EventKind::Set => panic!("{other:?}"),
            }
            if let Some(id) = id {
                assert!(self.synced && self.id.is_none_or(|before| before <= id));
                self.id = Some(id);
            }
        }
        self.links.credit(1, 3);
    }
}

/// More than one record has.
const ITEMS: u64 = 10;

struct World {
    lane: &'static str,
    version: u64,
    entries: BTreeMap<i64, (String, u64)>,
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
}

impl World {
    fn new(lane: &'static str) -> World {
        let (near, far) = (Node::start(), Node::start());
        *far.0.owner.lock().unwrap() = Some(Owner::Node(0));
        let peer = PeerLinks::new(&near.1);
        World {
            lane,
            version: 0,
            entries: BTreeMap::new(),
            history: History::new(),
            items: Vec::new(),
            near,
            far,
            told: Vec::new(),
            peer,
            under_way: BTreeMap::new(),
            now_ms: 0,
        }
    }

    fn ask(&mut self) {
        for (attach, attachment, _) in self.far.0.asked() {
            if attach {
                self.peer.open(attachment, "/a", self.lane, None);
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
        for (attach, attachment, _) in self.near.0.asked() {
            self.told.retain(|told| *told != attachment);
            if attach {
                self.told.push(attachment);
                let entries = self.entries.iter();
                let state = entries.map(|(key, (value, version))| put(*version, *key, value)).collect();
                whole(&self.near.1, attachment, self.version, state);
            }
        }
    }

    fn tell(&self, changes: &[Versioned]) {
        for attachment in &self.told {
            let update = Update {
                version: self.version,
                first: false,
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
        for (key, value) in record {
            let key = i64::from(key);
            match value {
                Some(value) => {
                    let value = format!("{value} of {}", self.version);
                    changes.push(put(self.version, key, &value));
                    self.note(key, Some(&value));
                    self.entries.insert(key, (value, self.version));
                }
                None if self.entries.remove(&key).is_some() => {
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

    fn step(&mut self, step: Step, near: &mut Vec<Client>, far: &mut Vec<Client>) {
        match step {
            Step::Record(changes) => self.record(changes),
            Step::Clear => {
                self.version += 1;
                for key in std::mem::take(&mut self.entries).into_keys() {
                    self.note(key, None);
                }
                if self.lane == "map" {
                    self.tell(&[at(self.version, Change::Clear)]);
                }
            }
            Step::Ask => self.ask(),
            Step::Carry(bytes) => {
                self.carry(bytes);
            }
            Step::Break => {
                self.peer = PeerLinks::new(&self.near.1);
                self.far.0.asked();
                self.far.0.questions();
                self.under_way.clear();
                self.far.1.lost(&[1]);
            }
            Step::Again => self.near.1.lost(&[1]),
            Step::Shard => self.shard(),
            Step::Look(true) => near.iter_mut().for_each(|client| client.look(self)),
            Step::Look(false) => far.iter_mut().for_each(|client| client.look(self)),
            Step::Open(true, from) => near.push(Client::new(&self.near.1, self, from, None)),
            Step::Open(false, from) => far.push(Client::new(&self.far.1, self, from, None)),
            Step::Close(true) => drop(near.pop()),
            Step::Close(false) => drop(far.pop()),
            Step::Tick => self.tick(700),
        }
    }
}

/// Takes the steps, lets everything settle, and gives all clients that are left.
fn run(lane: &'static str, steps: Vec<Step>) -> (World, Vec<Client>) {
    let mut world = World::new(lane);
    let mut near = vec![Client::new(&world.near.1, &world, None, Some(2))];
    let mut far = vec![Client::new(&world.far.1, &world, None, Some(5))];
    for step in steps {
        world.step(step, &mut near, &mut far);
    }
    world.tick(100);
    for _ in 0..3 {
        world.ask();
        world.shard();
        while world.carry(100) > 0 {}
    }
    far.append(&mut near);
    for client in &mut far {
        for _ in 0..200 {
            client.look(&world);
        }
    }
    (world, far)
}

proptest! {
    #[test]
    fn every_client_ends_with_the_owners_state(steps in steps()) {
        let (world, clients) = run("map", steps);
        let state: BTreeMap<String, String> = world
            .entries
            .iter()
            .map(|(key, (value, _))| (key.to_string(), format!("\"{value}\"")))
            .collect();
        for client in clients {
            prop_assert!(client.synced);
            prop_assert_eq!(&client.state, &state);
            prop_assert!(client.id.is_some_and(|id| id <= world.version));
        }
    }

    #[test]
    fn every_item_after_synced_is_told_once_or_lies_in_a_gap(steps in steps()) {
        let (world, clients) = run("supply", steps);
        for client in clients {
            prop_assert!(client.items.is_sorted_by(|one, next| one < next), "{:?}", client.items);
            let synced_at = client.synced_at.expect("it is synced");
            for item in world.items.iter().filter(|item| *item / ITEMS > synced_at) {
                let in_gap = |(from, to): &(u64, u64)| (*from..=*to).contains(&(item / ITEMS));
                prop_assert!(client.items.contains(item) || client.gaps.iter().any(in_gap), "{item}");
            }
        }
    }
}
