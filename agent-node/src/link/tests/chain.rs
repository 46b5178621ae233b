//! A law: an owner's node, another node that hangs on it, and clients of both. Whatever is told when, and however often
//! owners are lost and found, every client ends with the owner's state.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    /// A record; `None` removes.
    Record(Vec<(u8, Option<u8>)>),
    Clear,
    /// So many bytes of what is due go to the other node.
    Carry(usize),
    /// The connection between the nodes breaks: what is under way is lost.
    Break,
    /// A client of the first or second node looks.
    Look(bool),
    /// A client of the second node comes or goes.
    Open,
    Close,
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let changes = proptest::collection::vec((0..20_u8, proptest::option::weighted(0.7, any::<u8>())), 1..4);
    let step = prop_oneof![
        10 => changes.prop_map(Step::Record),
        1 => Just(Step::Clear),
        6 => (1..200_usize).prop_map(Step::Carry),
        1 => Just(Step::Break),
        4 => any::<bool>().prop_map(Step::Look),
        1 => Just(Step::Open),
        1 => Just(Step::Close),
        1 => Just(Step::Tick),
    ];
    proptest::collection::vec(step, 1..80)
}

/// A client that folds what its link is told.
struct Client {
    links: Links,
    state: BTreeMap<String, String>,
    id: Option<u64>,
    synced: bool,
}

impl Client {
    fn new(serving: &Serving, credit: Option<u32>) -> Client {
        let links = Links::new(serving);
        links.open(1, "/a", "map", None, credit);
        Client { links, state: BTreeMap::new(), id: None, synced: false }
    }

    fn look(&mut self) {
        for output in taken(&self.links) {
            let LinkOutput::Event { event: Event { kind, key, value, id, gap: _ }, .. } = output else {
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
                EventKind::Synced => self.synced = true,
                EventKind::Stale => {}
                other => panic!("{other:?}"),
            }
            if let Some(id) = id {
                assert!(self.synced && self.id.is_none_or(|before| before <= id));
                self.id = Some(id);
            }
        }
        self.links.credit(1, 3);
    }
}

struct World {
    version: u64,
    entries: BTreeMap<i64, (String, u64)>,
    near: (Arc<Node>, Serving),
    far: (Arc<Node>, Serving),
    /// The attachments of the near node to its own shard.
    told: Vec<u64>,
    /// The stream between the nodes.
    peer: PeerLinks,
    now_ms: u64,
}

impl World {
    fn new() -> World {
        let (near, far) = (Node::start(), Node::start());
        *far.0.owner.lock().unwrap() = Some(Owner::Node(0));
        let peer = PeerLinks::new(&near.1);
        World { version: 0, entries: BTreeMap::new(), near, far, told: Vec::new(), peer, now_ms: 0 }
    }

    /// The shard and the connection do what was asked of them.
    fn asked(&mut self) {
        for (attach, attachment, _) in self.far.0.asked() {
            if attach {
                self.peer.open(attachment, "/a", "map", None);
            } else {
                self.peer.close(attachment);
            }
        }
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
            };
            self.near.1.update(&mut vec![(*attachment, Ok(update))]);
        }
    }

    fn record(&mut self, record: Vec<(u8, Option<u8>)>) {
        self.version += 1;
        let mut changes = Vec::new();
        for (key, value) in record {
            let key = i64::from(key);
            match value {
                Some(value) => {
                    let value = value.to_string();
                    changes.push(put(self.version, key, &value));
                    self.entries.insert(key, (value, self.version));
                }
                None if self.entries.remove(&key).is_some() => {
                    changes.push(at(self.version, Change::Remove(Value::Int(key))));
                }
                None => {}
            }
        }
        self.tell(&changes);
    }

    fn carry(&self, bytes: usize) -> usize {
        let mut updates = Vec::new();
        self.peer.next_updates(bytes, &mut updates);
        let count = updates.len();
        self.far.1.update(&mut updates);
        count
    }

    fn tick(&mut self, ms: u64) {
        self.now_ms += ms;
        self.near.1.tick(self.now_ms);
        self.far.1.tick(self.now_ms);
    }

    fn step(&mut self, step: Step, near: &mut Client, far: &mut Vec<Client>) {
        match step {
            Step::Record(changes) => self.record(changes),
            Step::Clear => {
                self.version += 1;
                self.entries.clear();
                self.tell(&[at(self.version, Change::Clear)]);
            }
            Step::Carry(bytes) => {
                self.carry(bytes);
            }
            Step::Break => {
                self.peer = PeerLinks::new(&self.near.1);
                self.far.1.lost(&[1]);
            }
            Step::Look(true) => near.look(),
            Step::Look(false) => far.iter_mut().for_each(Client::look),
            Step::Open => far.push(Client::new(&self.far.1, None)),
            Step::Close => {
                far.pop();
            }
            Step::Tick => self.tick(700),
        }
        self.asked();
    }
}

proptest! {
    #[test]
    fn every_client_ends_with_the_owners_state(steps in steps()) {
        let mut world = World::new();
        let mut near = Client::new(&world.near.1, Some(2));
        let mut far = vec![Client::new(&world.far.1, Some(5))];
        for step in steps {
            world.step(step, &mut near, &mut far);
        }
        world.tick(100);
        world.asked();
        while world.carry(100) > 0 {}
        let state: BTreeMap<String, String> = world
            .entries
            .iter()
            .map(|(key, (value, _))| (key.to_string(), format!("\"{value}\"")))
            .collect();
        for client in far.iter_mut().chain([&mut near]) {
            for _ in 0..200 {
                client.look();
            }
            prop_assert!(client.synced);
            prop_assert_eq!(&client.state, &state);
            prop_assert!(client.id.is_some_and(|id| id <= world.version));
        }
    }
}
