//! Who is told of changes of which lane, and of which commands have to wait until there is room for what they emit.

use crate::link::Change;
use crate::refusal::Refusal;
use proto::address::{Address, Slot};
use proto::plan::Kind;
use proto::value::Text;
use std::collections::HashMap;

/// A watcher whose queue is full holds commands back for so long. Then it misses items like any other.
const BLOCK_MS: u64 = 5_000;

#[derive(Debug)]
pub struct Watches<W> {
    agents: HashMap<Address, Box<WatchedAgent<W>>>,
    /// How many of them may hold back commands.
    blocking: usize,
}

#[derive(Debug)]
struct WatchedAgent<W> {
    slot: Slot,
    lanes: Vec<Watching<W>>,
}

#[derive(Debug)]
pub struct Watching<W> {
    pub lane: Text,
    pub watch: W,
    room: Option<Box<Room>>,
}

/// How far a queue that blocks has come, counted from the beginning of the watch.
#[derive(Debug)]
struct Room {
    limit: u64,
    told: u64,
    /// Since when commands are held back.
    full_ms: Option<u64>,
}

impl<W> Watching<W> {
    /// So many changes more.
    pub fn told(&mut self, changes: usize) {
        if let Some(room) = &mut self.room {
            room.told += changes as u64;
        }
    }
}

impl Room {
    fn takes(&mut self, items: usize, now_ms: u64) -> bool {
        self.told + items as u64 <= self.limit
            || now_ms >= self.full_ms.get_or_insert(now_ms).saturating_add(BLOCK_MS)
    }
}

impl<W: Clone + Eq> Watches<W> {
    pub fn new() -> Self {
        Watches { agents: HashMap::new(), blocking: 0 }
    }

    pub fn add(&mut self, agent: Address, slot: Slot, lane: String, watch: W, limit: Option<u64>) {
        // Most agents have one watched lane.
        let begin = || Box::new(WatchedAgent { slot, lanes: Vec::with_capacity(1) });
        let lanes = &mut self.agents.entry(agent).or_insert_with(begin).lanes;
        if !lanes.iter().any(|other| other.lane == lane && other.watch == watch) {
            let lane = lane.into();
            let room = limit.map(|limit| Box::new(Room { limit, told: 0, full_ms: None }));
            self.blocking += usize::from(room.is_some());
            lanes.push(Watching { lane, watch, room });
        }
    }

    pub fn remove(&mut self, agent: &Address, lane: &str, watch: &W) {
        if let Some(WatchedAgent { lanes, .. }) = self.agents.get_mut(agent).map(Box::as_mut) {
            let removed = lanes.extract_if(.., |other| other.lane == lane && other.watch == *watch);
            self.blocking -= removed.filter(|watching| watching.room.is_some()).count();
            if lanes.is_empty() {
                self.agents.remove(agent);
            }
        }
    }

    pub fn limit(&mut self, agent: &Address, lane: &str, watch: &W, limit: u64) {
        let watching = self.of(agent).iter_mut().find(|other| other.lane == lane && other.watch == *watch);
        if let Some(Watching { room: Some(room), .. }) = watching
            && limit > room.limit
        {
            room.limit = limit;
            if room.told < limit {
                room.full_ms = None;
            }
        }
    }

    /// Whether all who watch an agent can take what a command changes.
    pub fn room(
        &mut self,
        agent: &Address,
        kind: &Kind,
        changes: &[(usize, Change)],
        now_ms: u64,
    ) -> Result<(), Refusal> {
        if self.blocking == 0 {
            return Ok(());
        }
        for Watching { lane, room, .. } in self.of(agent) {
            let (Some(room), Some((index, _))) = (room, kind.lane(lane)) else { continue };
            let items = changes.iter().filter(|(lane, _)| *lane == index).count();
            if items > 0 && !room.takes(items, now_ms) {
                let text = format!("a watcher of {lane} has not taken its items yet, and its queue is full");
                return Err(Refusal::full(text, agent.as_str()));
            }
        }
        Ok(())
    }

    /// Who watches an agent.
    pub fn of(&mut self, agent: &Address) -> &mut [Watching<W>] {
        if self.agents.is_empty() {
            return &mut [];
        }
        self.agents.get_mut(agent).map_or(&mut [], |watched| &mut watched.lanes)
    }

    /// Takes out those of which `keep` says why they have to end.
    pub fn end<E>(&mut self, mut ends: impl FnMut(&Address, Slot, &str) -> Option<E>) -> Vec<(Slot, W, E)> {
        let mut ended = Vec::new();
        self.agents.retain(|agent, watched| {
            let WatchedAgent { slot, lanes } = &mut **watched;
            lanes.retain(|watching| match ends(agent, *slot, &watching.lane) {
                None => true,
                Some(why) => {
                    self.blocking -= usize::from(watching.room.is_some());
                    ended.push((*slot, watching.watch.clone(), why));
                    false
                }
            });
            !lanes.is_empty()
        });
        ended
    }
}
