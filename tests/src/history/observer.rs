//! What all clients of a run share: the lanes of the plan, the history, and how far the run is.

use checker::{Change, Final, History, Kind, Lane, Told, Watch, Write};
use proto::address::slot;
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// How many agents there are, and how many keys clients write in a Map.
pub const THINGS: usize = 8;
const KEYS: usize = 6;

/// A lane by its name.
pub type Named = (usize, &'static str);

/// What one client needs.
pub struct Seat {
    pub observer: Arc<Observer>,
    pub addresses: Vec<String>,
    pub random: StdRng,
}

impl Seat {
    pub fn address(&mut self) -> String {
        self.addresses[self.random.random_range(0..self.addresses.len())].clone()
    }
}

/// A write as clients send it, and what it does.
#[derive(Clone, Debug)]
pub struct Asked {
    pub agent: String,
    pub lane: &'static str,
    pub body: String,
    pub write: Write,
}

pub struct Observer {
    seen: Mutex<Seen>,
    lanes: BTreeMap<Named, Lane>,
    names: HashMap<Lane, Named>,
    unique: AtomicU64,
    /// How much has happened.
    happened: watch::Sender<usize>,
    ends: watch::Sender<bool>,
}

#[derive(Default)]
struct Seen {
    history: History,
    live: BTreeMap<Watch, Following>,
    /// The last writes are under way.
    is_last: bool,
    /// The items of the last writes.
    last_items: HashMap<Lane, HashSet<String>>,
}

/// A watch that has not ended.
struct Following {
    lane: Lane,
    /// It was opened when the last writes were under way.
    is_last: bool,
    synced: bool,
    id: Option<u64>,
    /// The items of the last writes that it was told; with a gap, it may be told them no more.
    items: HashSet<String>,
    gap: bool,
}

impl Observer {
    pub fn new(slots: u32) -> Observer {
        let mut history = History::default();
        let mut lanes = BTreeMap::new();
        for thing in 0..THINGS {
            let agent = agent(thing);
            let slot = u32::from(slot(&agent, slots));
            let value = Kind::Value { initial: "null".into() };
            for (name, kind) in [
                ("note", value.clone()),
                ("notes", Kind::Map),
                ("count", Kind::Items),
                ("counts", Kind::Map),
                ("last", value),
                ("done", Kind::Items),
                ("hear", Kind::Items),
                ("heard", Kind::Map),
                ("rang", Kind::Map),
            ] {
                lanes.insert((thing, name), history.lane(slot, &agent, name, kind));
            }
        }
        Observer {
            seen: Mutex::new(Seen { history, ..Seen::default() }),
            names: lanes.iter().map(|(name, lane)| (*lane, *name)).collect(),
            lanes,
            unique: AtomicU64::new(1),
            happened: watch::Sender::new(0),
            ends: watch::Sender::new(false),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes something into the history.
    pub fn note<T>(&self, what: impl FnOnce(&mut History) -> T) -> T {
        let mut seen = self.seen();
        let noted = what(&mut seen.history);
        self.happened.send_replace(seen.history.len());
        noted
    }

    /// The history, which ends here.
    pub fn take(&self) -> History {
        std::mem::take(&mut self.seen().history)
    }

    /// Waits until so much more has happened, whatever it is.
    pub async fn goes_on(&self, more: usize) {
        let until = *self.happened.borrow() + more;
        let _ = self.happened.subscribe().wait_for(|now| *now >= until).await;
    }

    pub fn ends(&self) {
        self.ends.send_replace(true);
    }

    pub fn is_ending(&self) -> bool {
        *self.ends.borrow()
    }

    pub fn lane(&self, named: Named) -> Lane {
        self.lanes[&named]
    }

    /// Agent and name of a lane.
    pub fn named(&self, lane: Lane) -> (String, &'static str) {
        let (thing, name) = self.names[&lane];
        (agent(thing), name)
    }

    pub fn any_lane(&self, random: &mut StdRng) -> Lane {
        let place = random.random_range(0..self.lanes.len());
        *self.lanes.values().nth(place).expect("a lane")
    }

    /// Those that can be read.
    pub fn lanes_with_state(&self) -> impl Iterator<Item = Lane> {
        let with_state = |name: &str| ["note", "notes", "counts", "last", "heard", "rang"].contains(&name);
        self.lanes.iter().filter(move |((_, name), _)| with_state(name)).map(|(_, lane)| *lane)
    }

    pub fn any_write(&self, random: &mut StdRng) -> Asked {
        let thing = random.random_range(0..THINGS);
        let key = format!("k{}", random.random_range(0..KEYS));
        match random.random_range(0..32) {
            0..=6 => self.set(thing),
            7..=13 => self.put(thing, &key),
            14..=17 => {
                let change = Change::Remove(json!(key).to_string());
                self.asked(thing, "notes", &json!({"remove": {"key": key}}), change)
            }
            18 => self.asked(thing, "notes", &json!({"clear": {}}), Change::Clear),
            _ => self.count(thing, random.random_range(0..THINGS)),
        }
    }

    /// A write that changes this lane; where messages alone do, one that sends one.
    pub fn write_to(&self, lane: Lane) -> Asked {
        let (thing, name) = self.names[&lane];
        match name {
            "note" => self.set(thing),
            "notes" => self.put(thing, "k0"),
            _ => self.count(thing, thing),
        }
    }

    fn asked(&self, thing: usize, lane: &'static str, body: &Value, change: Change) -> Asked {
        let write = Write::of([(self.lane((thing, lane)), change)]);
        Asked { agent: agent(thing), lane, body: body.to_string(), write }
    }

    fn unique(&self) -> u64 {
        self.unique.fetch_add(1, Ordering::Relaxed)
    }

    fn set(&self, thing: usize) -> Asked {
        let value = self.unique();
        self.asked(thing, "note", &json!(value), Change::Set(value.to_string()))
    }

    fn put(&self, thing: usize, key: &str) -> Asked {
        let value = self.unique();
        let body = json!({"update": {"key": key, "value": value}});
        self.asked(thing, "notes", &body, Change::Put(json!(key).to_string(), value.to_string()))
    }

    /// A command that is counted at two agents, and once more later.
    fn count(&self, thing: usize, to: usize) -> Asked {
        let id = self.unique().to_string();
        let body = json!({"id": id, "to": agent(to)});
        let item = json!(id).to_string();
        let lane = |name| self.lane((thing, name));
        let write = Write::of([
            (lane("counts"), Change::Put(item.clone(), "1".into())),
            (lane("last"), Change::Set(item.clone())),
            (lane("done"), Change::Emit(item.clone())),
            (lane("count"), Change::Emit(item.clone())),
        ]);
        let write = write.sends([
            (self.lane((to, "heard")), Change::Put(item.clone(), "1".into())),
            (self.lane((to, "hear")), Change::Emit(item.clone())),
        ]);
        let write = write.schedules([(lane("rang"), Change::Put(item, "1".into()))]);
        Asked { agent: agent(thing), lane: "count", body: body.to_string(), write }
    }

    /// The text of an item of a lane, as the history has it: a command to `count` goes by its id.
    pub fn item(&self, lane: Lane, item: &Value) -> String {
        if self.names[&lane].1 == "count" { item["id"].to_string() } else { item.to_string() }
    }

    /// Another number each time.
    pub fn turn(&self) -> usize {
        self.unique() as usize
    }

    pub fn last_begin(&self) {
        self.seen().is_last = true;
    }

    /// Writes to each lane of an agent, and a message to each other agent.
    pub fn last_writes(&self, thing: usize) -> Vec<Asked> {
        let mut writes = vec![self.set(thing), self.put(thing, "last")];
        writes.extend((0..THINGS).map(|to| self.count(thing, to)));
        let mut seen = self.seen();
        for write in &writes {
            for (lane, change) in write.write.changes.iter().chain(write.write.sends.iter().flatten()) {
                if let Change::Emit(item) = change {
                    seen.last_items.entry(*lane).or_default().insert(item.clone());
                }
            }
        }
        writes
    }

    /// The keys that the last messages put into a `heard`, and the last timers into a `rang`.
    pub fn last_keys(&self, thing: usize) -> [(Lane, HashSet<String>); 2] {
        [("heard", "hear"), ("rang", "count")].map(|(lane, items)| {
            let items = self.seen().last_items.get(&self.lane((thing, items))).cloned();
            (self.lane((thing, lane)), items.unwrap_or_default())
        })
    }

    pub fn opened(&self, lane: Lane, from: Option<(Watch, u64)>) -> Watch {
        let watch = self.note(|history| history.watches(lane, from));
        let mut seen = self.seen();
        let is_last = seen.is_last;
        let following =
            Following { lane, is_last, synced: false, id: None, items: HashSet::new(), gap: false };
        seen.live.insert(watch, following);
        watch
    }

    pub fn told(&self, watch: Watch, told: Told, id: Option<u64>) {
        let mut seen = self.seen();
        let is_last = seen.is_last;
        if let Some(following) = seen.live.get_mut(&watch) {
            following.id = id.or(following.id);
            match &told {
                Told::Synced => following.synced = true,
                Told::Event(item) if is_last => drop(following.items.insert(item.clone())),
                Told::Gap { .. } if is_last => following.gap = true,
                _ => {}
            }
        }
        drop(seen);
        self.note(|history| history.told(watch, told, id));
    }

    pub fn left(&self, watch: Watch) {
        self.seen().live.remove(&watch);
        self.note(|history| history.left(watch));
    }

    /// Waits until each watch that is there has been told what the lanes hold in the end.
    pub async fn watchers_have_all(&self, finals: &[Final]) {
        let mut versions: HashMap<Lane, u64> = HashMap::new();
        for Final { lane, version, .. } in finals {
            let least = versions.entry(*lane).or_default();
            *least = (*least).max(*version);
        }
        let mut happened = self.happened.subscribe();
        while !self.seen().all_is_told(&versions) {
            if happened.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Seen {
    fn all_is_told(&self, versions: &HashMap<Lane, u64>) -> bool {
        self.live.values().all(|following| {
            let told = match (versions.get(&following.lane), self.last_items.get(&following.lane)) {
                (Some(version), _) => following.id.is_some_and(|id| id >= *version),
                (None, Some(items)) => {
                    following.is_last || following.gap || items.is_subset(&following.items)
                }
                (None, None) => true,
            };
            following.synced && told
        })
    }
}

pub fn agent(thing: usize) -> String {
    format!("/thing/{thing}")
}
