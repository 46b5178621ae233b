//! The names of clients that a shard remembers in all of its slots, each with its window: what they take of the memory,
//! who is let in, and who may be forgotten when.
//!
//! *Guarantees*: a name is not forgotten before it has been silent for an hour. Then it keeps one number, for as long
//! as [`REMEMBER_MS`] if there is room; when there is none, the one that has been silent for longest goes first. Names
//! are let in, and their windows grow, only within the shard's [`Room`]; replaying what was let in asks for none. Only a
//! number that was refused asks each time, and comes to the same each time: without room, only the highest is kept.
//! Nodes that pass commands on have names as well: there are no more of them than nodes, so that they need not ask. The
//! names of a node's earlier starts, of which nothing can come any more, keep one number at once, and that for an hour.
//! What rules have said in answers is kept in what names leave of [`Room::new`], a quarter of it at most, and gives way to
//! them. So it refuses nobody, and a command that is sent again may find its answer gone.
//! *Assumptions*: what `due` gives is forgotten by a record, and then here.
//!
//! Each shard has an equal share of the node's room. A name is forgotten by a record of its own slot, and only that
//! slot's shard writes those: were the room one for all, a shard would have to wait until another one makes room.

mod saved;

use super::kept::Kept;
use super::window::{Known, Window};
use bytes::Bytes;
use proto::address::Slot;
use proto::ring::StoreId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Without a command for so long, a client keeps its highest sequence only.
pub const IDLE_MS: u64 = 60 * 60 * 1000;
/// Without one for so long, nothing.
pub const REMEMBER_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// What a name takes of the memory, beside its text and its answers.
const NAME: usize = 256;
/// What it takes of a record beside its text, and what a record takes beside its names.
const IN_RECORD: usize = 3;
const RECORD: usize = 128;
/// So many names are looked at in one turn.
const LOOK: usize = 4_096;
const LOOK_TO_REFUSE: usize = 64;

/// How many bytes names may take, answers included, and timers and messages.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Beyond it no new one is let in.
    pub new: usize,
    /// Beyond it no window grows. One that is full need not.
    pub growth: usize,
    /// Room for names of nodes' earlier starts: beyond it they go at once.
    pub ended: usize,
    /// No more timers are scheduled beyond it.
    pub timers: usize,
    /// With so many messages that wait for their receivers, commands from outside are refused.
    pub messages: usize,
    /// With so many bytes of them in memory, each pair of slots keeps few there.
    pub message_bytes: usize,
}

impl Room {
    pub const OF_NODE: Room = Room {
        new: 256 << 20,
        growth: 512 << 20,
        ended: 32 << 20,
        timers: 256 << 20,
        messages: 2 << 20,
        message_bytes: 128 << 20,
    };

    /// One shard's of so many.
    #[must_use]
    pub fn share(self, shards: usize) -> Room {
        Room {
            new: self.new / shards,
            growth: self.growth / shards,
            ended: self.ended / shards,
            timers: self.timers / shards,
            messages: self.messages / shards,
            message_bytes: self.message_bytes / shards,
        }
    }
}

/// Whether a command may run.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    Known(Known),
    /// There is no room for the name, or for its window: perhaps after so many seconds.
    Full(u32),
}

/// What one record forgets: the answers of names, or all of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Piece {
    pub idle: Vec<Arc<str>>,
    pub gone: Vec<Arc<str>>,
}

/// What is held of names in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub names: u64,
    pub bytes: u64,
}

#[derive(Debug)]
pub struct Names {
    room: Room,
    slots: hashbrown::HashMap<Slot, HashMap<Arc<str>, Client>>,
    groups: [Group; 3],
    /// What rules have said to clients, and to nodes that pass commands on.
    said: [Kept; 2],
    /// The latest start of each node that was heard of.
    starts: HashMap<StoreId, u64>,
    /// The names of nodes that may still send.
    nodes: BTreeSet<(StoreId, u64, Slot)>,
}

#[derive(Debug, Default)]
struct Client {
    window: Window,
    last_ms: u64,
    listed_ms: u64,
    of: Of,
}

/// Whose name it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Of {
    #[default]
    Client,
    Node,
    /// A node's, of an earlier start.
    Ended,
}

const ALL: [Of; 3] = [Of::Client, Of::Node, Of::Ended];

/// When a command came last, in which slot, under which name.
type Listed = (u64, Slot, Arc<str>);

#[derive(Debug, Default)]
struct Group {
    held: Held,
    /// Those with answers. A command may have come since they were listed.
    active: BTreeSet<Listed>,
    /// Those that have kept one number.
    floors: BTreeSet<Listed>,
}

impl Of {
    /// Silent for so long, it keeps one number.
    fn idle_ms(self) -> u64 {
        if self == Of::Ended { 0 } else { IDLE_MS }
    }

    fn remember_ms(self) -> u64 {
        if self == Of::Ended { IDLE_MS } else { REMEMBER_MS }
    }

    /// With more bytes than these, those that have kept one number go early. A part of the room is left to new ones.
    fn roomy(self, room: &Room) -> usize {
        match self {
            Of::Client => room.new - room.new / 8,
            Of::Node => usize::MAX,
            Of::Ended => room.ended,
        }
    }
}

/// The name under which a node passes commands on. No client can have it: theirs are without spaces.
pub fn of_node(store: StoreId, incarnation: u64) -> String {
    format!("node {store} {incarnation}")
}

/// Whether a name is one under which a node passes commands on.
pub fn is_of_node(name: &str) -> bool {
    node(name).is_some()
}

fn node(name: &str) -> Option<(StoreId, u64)> {
    let (store, incarnation) = name.strip_prefix("node ")?.split_once(' ')?;
    Some((store.parse().ok()?, incarnation.parse().ok()?))
}

impl Names {
    pub fn new(room: Room) -> Names {
        Names {
            room,
            slots: hashbrown::HashMap::new(),
            groups: Default::default(),
            said: Default::default(),
            starts: HashMap::new(),
            nodes: BTreeSet::new(),
        }
    }

    /// Whether a command may run that would have this version.
    pub fn look(&mut self, slot: Slot, name: &str, sequence: u64, version: u64, now_ms: u64) -> Look {
        let client = self.slots.get(&slot).and_then(|clients| clients.get(name));
        let known = client.map_or(Known::New, |client| client.window.look(sequence));
        if known != Known::New {
            return Look::Known(known);
        }
        let fits = match client {
            Some(Client { of: Of::Node | Of::Ended, .. }) => true,
            Some(client) => {
                let growth = client.window.growth(sequence, version);
                growth == 0 || self.bytes(Of::Client) + growth <= self.room.growth
            }
            None if node(name).is_some() => true,
            None => {
                let bytes = NAME + name.len() + Window::default().growth(sequence, version);
                self.bytes(Of::Client) + bytes <= self.room.new
            }
        };
        if fits { Look::Known(Known::New) } else { Look::Full(self.seconds_until_room(now_ms)) }
    }

    /// A command took effect, and a rule may have said something in the answer. Never refused: `look` is for that.
    pub fn settle(
        &mut self,
        slot: Slot,
        name: &Arc<str>,
        sequence: u64,
        (version, said): (u64, Option<Bytes>),
        now_ms: u64,
    ) {
        let (is_said, mut gone) = (said.is_some(), None);
        self.change(slot, name, now_ms, |window| gone = window.settle(sequence, version, is_said));
        if is_said || gone.is_some() {
            let kept = &mut self.said[of_whom(name)];
            if let Some(said) = said {
                kept.add(slot, version, said);
            }
            if let Some(gone) = gone {
                kept.remove(slot, gone);
            }
        }
        self.let_said_give_way();
    }

    /// What a rule has said in the answer to a command with this version.
    pub fn said(&self, slot: Slot, name: &str, version: u64) -> Option<Bytes> {
        self.said[of_whom(name)].get(slot, version).cloned()
    }

    fn let_said_give_way(&mut self) {
        let most = self.room.new.saturating_sub(self.bytes(Of::Client)).min(self.room.new / 4);
        let [clients, nodes] = &mut self.said;
        clients.shrink(most / 4 * 3);
        nodes.shrink(most / 4);
    }

    /// A command was refused, and may run with its number later. Of a known client without room for one more number
    /// only the highest is kept.
    pub fn refuse(&mut self, slot: Slot, name: &Arc<str>, sequence: u64, now_ms: u64) {
        let bytes = self.bytes(Of::Client);
        if let Some(client) = self.slots.get_mut(&slot).and_then(|clients| clients.get_mut(name)) {
            let growth = client.window.growth_of_refused();
            if growth > 0 && bytes + growth > self.room.growth {
                return client.window.forget(sequence);
            }
        }
        self.change(slot, name, now_ms, |window| window.refuse(sequence));
        self.let_said_give_way();
    }

    /// Whether it is remembered that a command was refused.
    pub fn has_refused(&self, slot: Slot, name: &str, sequence: u64) -> bool {
        let client = self.slots.get(&slot).and_then(|clients| clients.get(name));
        client.is_some_and(|client| client.window.has_refused(sequence))
    }

    /// Changes the window of a name, which is new if it is not known, and lists it where it belongs then.
    fn change(&mut self, slot: Slot, name: &Arc<str>, now_ms: u64, change: impl FnOnce(&mut Window)) {
        let clients = self.slots.entry(slot).or_default();
        let client = if let Some(client) = clients.get_mut(name) {
            client
        } else {
            let of = whose(name, slot, &self.starts, &mut self.nodes);
            self.groups[of as usize].held.gain(1, NAME + name.len());
            clients.entry(name.clone()).or_insert(Client { of, ..Client::default() })
        };
        let group = &mut self.groups[client.of as usize];
        client.last_ms = client.last_ms.max(now_ms);
        if !client.window.is_active() {
            let listed = group.floors.take(&(client.listed_ms, slot, name.clone()));
            client.listed_ms = client.last_ms;
            group.active.insert((
                client.last_ms,
                slot,
                listed.map_or_else(|| name.clone(), |(_, _, name)| name),
            ));
        }
        let before = client.window.bytes();
        change(&mut client.window);
        group.held.change(before, client.window.bytes());
    }

    /// A record says that these have kept one number, or nothing.
    pub fn forget(&mut self, slot: Slot, idle: &[Arc<str>], gone: &[Arc<str>]) {
        let Some(clients) = self.slots.get_mut(&slot) else { return };
        for name in idle {
            let Some(client) = clients.get_mut(name).filter(|client| client.window.is_active()) else {
                continue;
            };
            let group = &mut self.groups[client.of as usize];
            let listed = group.active.take(&(client.listed_ms, slot, name.clone()));
            client.listed_ms = client.last_ms;
            group.floors.insert((
                client.last_ms,
                slot,
                listed.map_or_else(|| name.clone(), |(_, _, name)| name),
            ));
            client.window.said().for_each(|version| self.said[of_whom(name)].remove(slot, version));
            let before = client.window.bytes();
            client.window.fall_back();
            group.held.change(before, client.window.bytes());
        }
        for name in gone {
            let Some(client) = clients.remove(name) else { continue };
            client.window.said().for_each(|version| self.said[of_whom(name)].remove(slot, version));
            let group = &mut self.groups[client.of as usize];
            let listed = (client.listed_ms, slot, name.clone());
            if !group.active.remove(&listed) {
                group.floors.remove(&listed);
            }
            group.held.lose(1, NAME + name.len() + client.window.bytes());
            if let Some((store, start)) = node(name) {
                self.nodes.remove(&(store, start, slot));
            }
        }
        if clients.is_empty() {
            self.slots.remove(&slot);
        }
    }

    /// A node has said which start of its store it is: nothing comes of the earlier ones any more.
    pub fn started(&mut self, store: StoreId, start: u64) {
        let latest = self.starts.entry(store).or_default();
        if start <= *latest {
            return;
        }
        *latest = start;
        let ended: Vec<_> = self.nodes.range((store, 0, 0)..(store, start, 0)).copied().collect();
        for (store, start, slot) in ended {
            self.nodes.remove(&(store, start, slot));
            let name: Arc<str> = of_node(store, start).into();
            let client = self.slots.get_mut(&slot).and_then(|clients| clients.get_mut(&name));
            let Some(client) = client else { continue };
            client.of = Of::Ended;
            let bytes = NAME + name.len() + client.window.bytes();
            let [_, nodes, ended] = &mut self.groups;
            nodes.held.lose(1, bytes);
            ended.held.gain(1, bytes);
            let listed = (client.listed_ms, slot, name);
            if let Some(listed) = nodes.active.take(&listed) {
                ended.active.insert(listed);
            } else if let Some(listed) = nodes.floors.take(&listed) {
                ended.floors.insert(listed);
            }
        }
    }

    /// Whether `due` has something to give, as far as can be told at once.
    pub fn is_due(&self, now_ms: u64) -> bool {
        ALL.iter().any(|of| {
            let group = &self.groups[*of as usize];
            let silent = |listed: Option<&Listed>| listed.map(|listed| now_ms.saturating_sub(listed.0));
            silent(group.active.first()).is_some_and(|silent_ms| silent_ms >= of.idle_ms())
                || silent(group.floors.first()).is_some_and(|silent_ms| {
                    silent_ms >= of.remember_ms() || self.bytes(*of) > of.roomy(&self.room)
                })
        })
    }

    /// What records should forget now, by slot, in no more than so many bytes of all of them.
    pub fn due(&mut self, now_ms: u64, bytes: usize, owned: impl Fn(Slot) -> bool) -> BTreeMap<Slot, Piece> {
        let mut pieces = Pieces { pieces: BTreeMap::new(), left: bytes };
        for of in ALL {
            self.list_anew(of, LOOK, |listed_ms| now_ms.saturating_sub(listed_ms) >= of.idle_ms());
            let group = &self.groups[of as usize];
            let mut over = self.bytes(of).saturating_sub(of.roomy(&self.room));
            let idle = group.active.iter().filter(|(_, slot, _)| owned(*slot)).take(LOOK);
            let idle = idle.take_while(|listed| now_ms.saturating_sub(listed.0) >= of.idle_ms());
            for listed in idle.filter(|listed| !self.is_stale(listed)) {
                if !pieces.add(listed, |piece| &mut piece.idle) {
                    return pieces.pieces;
                }
                over = over.saturating_sub(self.window_bytes(listed));
            }
            let floors = group.floors.iter().filter(|(_, slot, _)| owned(*slot)).take(LOOK);
            for listed in floors {
                if over == 0 && now_ms.saturating_sub(listed.0) < of.remember_ms() {
                    break;
                }
                if !pieces.add(listed, |piece| &mut piece.gone) {
                    return pieces.pieces;
                }
                over = over.saturating_sub(NAME + listed.2.len());
            }
        }
        pieces.pieces
    }

    /// Names of clients, and their bytes, with what rules have said to them.
    pub fn clients(&self) -> Held {
        self.groups[Of::Client as usize].held + Held { names: 0, bytes: self.said[0].bytes() as u64 }
    }

    /// Names of nodes, those of earlier starts included.
    pub fn nodes(&self) -> Held {
        let [_, nodes, ended] = &self.groups;
        nodes.held + ended.held + Held { names: 0, bytes: self.said[1].bytes() as u64 }
    }

    fn bytes(&self, of: Of) -> usize {
        self.groups[of as usize].held.bytes as usize
    }

    fn client(&self, (_, slot, name): &Listed) -> Option<&Client> {
        self.slots.get(slot)?.get(name)
    }

    fn window_bytes(&self, listed: &Listed) -> usize {
        self.client(listed).map_or(0, |client| client.window.bytes())
    }

    /// A command has come since it was listed.
    fn is_stale(&self, listed: &Listed) -> bool {
        self.client(listed).is_some_and(|client| client.last_ms > listed.0)
    }

    /// Lists names of which commands have come since where they belong now: of the first so many that `meant` means.
    fn list_anew(&mut self, of: Of, most: usize, meant: impl Fn(u64) -> bool) {
        for _ in 0..most {
            let Some(first) = self.groups[of as usize].active.first() else { return };
            if !meant(first.0) || !self.is_stale(first) {
                return;
            }
            let group = &mut self.groups[of as usize];
            let Some((_, slot, name)) = group.active.pop_first() else { return };
            let client = self.slots.get_mut(&slot).and_then(|clients| clients.get_mut(&name));
            let Some(client) = client else { continue };
            client.listed_ms = client.last_ms;
            group.active.insert((client.last_ms, slot, name));
        }
    }

    /// Until a client's name may go.
    fn seconds_until_room(&mut self, now_ms: u64) -> u32 {
        self.list_anew(Of::Client, LOOK_TO_REFUSE, |_| true);
        let group = &self.groups[Of::Client as usize];
        if !group.floors.is_empty() {
            return 1;
        }
        let until_ms = group.active.first().map_or(0, |first| (first.0 + IDLE_MS).saturating_sub(now_ms));
        until_ms.div_ceil(1_000).clamp(1, IDLE_MS / 1_000) as u32
    }
}

fn whose(
    name: &str,
    slot: Slot,
    starts: &HashMap<StoreId, u64>,
    nodes: &mut BTreeSet<(StoreId, u64, Slot)>,
) -> Of {
    match node(name) {
        None => Of::Client,
        Some((store, start)) if starts.get(&store).is_some_and(|latest| *latest > start) => Of::Ended,
        Some((store, start)) => {
            nodes.insert((store, start, slot));
            Of::Node
        }
    }
}

/// The place in [`Names::said`].
fn of_whom(name: &str) -> usize {
    usize::from(is_of_node(name))
}

/// What one turn forgets.
struct Pieces {
    pieces: BTreeMap<Slot, Piece>,
    left: usize,
}

impl Pieces {
    /// False: it does not fit any more.
    fn add(&mut self, (_, slot, name): &Listed, part: impl Fn(&mut Piece) -> &mut Vec<Arc<str>>) -> bool {
        let record = if self.pieces.contains_key(slot) { 0 } else { RECORD };
        let Some(left) = self.left.checked_sub(record + IN_RECORD + name.len()) else { return false };
        self.left = left;
        part(self.pieces.entry(*slot).or_default()).push(name.clone());
        true
    }
}

impl std::ops::Add for Held {
    type Output = Held;

    fn add(self, other: Held) -> Held {
        Held { names: self.names + other.names, bytes: self.bytes + other.bytes }
    }
}

impl Held {
    fn gain(&mut self, names: u64, bytes: usize) {
        self.names += names;
        self.bytes += bytes as u64;
    }

    fn lose(&mut self, names: u64, bytes: usize) {
        self.names -= names;
        self.bytes -= bytes as u64;
    }

    fn change(&mut self, before: usize, after: usize) {
        self.bytes = self.bytes - before as u64 + after as u64;
    }
}

#[cfg(test)]
mod tests;
