//! The lanes that are watched on this node, and how each hangs on its owner. Decides when to attach and when to leave.
//!
//! *Guarantees.* One attachment per lane at a time, each try with a number of its own, higher than all before. Who finds
//! no owner is tried again after a pause that doubles up to a second. A lane that nobody watches is left after a second,
//! so that clients that come back find it. What can't be reached for five seconds is said to be stale, once.

#[cfg(test)]
mod tests;

use crate::refusal::{Fate, Refusal};
use hashbrown::{DefaultHashBuilder, HashTable};
use proto::address::{Address, Slot};
use proto::plan::{LaneKind, Queue};
use proto::value::Text;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::BuildHasher as _;

/// The number of a watched lane on this node; never used twice.
pub type Number = u64;

/// Lanes that are watched on one node, for its clients and for other nodes; also those left a moment ago.
pub const LANES_MAX: usize = 1 << 19;
const RETRY_MS_MIN: u64 = 50;
const RETRY_MS_MAX: u64 = 1_000;
const IDLE_MS: u64 = 1_000;
/// So many lanes are let go with one tick.
const LEFT_MAX: usize = 4_096;
const STALE_MS: u64 = 5_000;

/// Who has a slot, as this node knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Here,
    /// The node of this ordinal.
    Node(u16),
    Nobody,
}

/// A lane as plan and ring have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub agent: Address,
    pub slot: Slot,
    pub lane: Text,
    pub kind: LaneKind,
    pub queue: Queue,
    /// It is no lane for clients.
    pub internal: bool,
    pub owner: Owner,
}

/// What is to be done; `L` is the lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<L> {
    Attach {
        lane: L,
        attachment: u64,
        target: Target,
    },
    Detach {
        attachment: u64,
        target: Target,
    },
    /// Nobody is asked at present.
    Lose(L),
    /// Nobody could be asked for long.
    Stale(L),
    End(L, Refusal),
}

#[derive(Debug)]
pub struct Table<L> {
    lanes: BTreeMap<Number, Box<Watched<L>>>,
    /// By agent and lane.
    names: HashTable<Number>,
    hashing: DefaultHashBuilder,
    attachments: HashMap<u64, Number>,
    /// Those that a tick has to look at.
    unsettled: BTreeSet<Number>,
    /// Those that nobody watched at that time, in order. Somebody may again.
    idle: VecDeque<(u64, Number)>,
    last: Number,
    last_attachment: u64,
    now_ms: u64,
}

#[derive(Debug)]
struct Watched<L> {
    lane: L,
    target: Target,
    watchers: usize,
    /// Since when nobody watches.
    idle_ms: Option<u64>,
    upstream: Upstream,
    /// Since when its owner has not told it whole.
    behind: Behind,
    retry_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upstream {
    Attached(u64),
    Waiting { until_ms: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    No,
    Since(u64),
    Stale,
}

impl<L> Default for Table<L> {
    fn default() -> Self {
        Table {
            lanes: BTreeMap::new(),
            names: HashTable::new(),
            hashing: DefaultHashBuilder::default(),
            attachments: HashMap::new(),
            unsettled: BTreeSet::new(),
            idle: VecDeque::new(),
            last: 0,
            last_attachment: 0,
            now_ms: 0,
        }
    }
}

impl<L: Clone> Table<L> {
    /// Somebody watches a lane, which plan and ring have so now; `make` makes it if it is new.
    pub fn watch(
        &mut self,
        target: &Target,
        make: impl FnOnce(Number, &Target) -> L,
        steps: &mut Vec<Step<L>>,
    ) -> Result<L, Refusal> {
        if let Some(number) = self.number(&target.agent, &target.lane)
            && let Some(watched) = self.lanes.get_mut(&number)
        {
            watched.watchers += 1;
            watched.idle_ms = None;
            let (lane, moved) = (watched.lane.clone(), watched.target.owner != target.owner);
            if moved {
                self.attach_to(number, target.owner, steps);
            }
            return Ok(lane);
        }
        if self.lanes.len() >= LANES_MAX {
            let text = format!("{LANES_MAX} lanes are watched on this node, and no more fit");
            return Err(Refusal::full(text, target.agent.as_str()));
        }
        self.last += 1;
        let (number, owner, lane) = (self.last, target.owner, make(self.last, target));
        let watched = Watched {
            lane: lane.clone(),
            target: target.clone(),
            watchers: 1,
            idle_ms: None,
            upstream: Upstream::Waiting { until_ms: self.now_ms },
            behind: Behind::Since(self.now_ms),
            retry_ms: RETRY_MS_MIN,
        };
        self.lanes.insert(number, Box::new(watched));
        let (lanes, hashing) = (&self.lanes, &self.hashing);
        let hash_of = |number: &Number| {
            lanes.get(number).map_or(0, |watched| hash(hashing, &watched.target.agent, &watched.target.lane))
        };
        self.names.insert_unique(hash(hashing, &target.agent, &target.lane), number, hash_of);
        self.attach_to(number, owner, steps);
        Ok(lane)
    }

    /// One watcher less.
    pub fn leave(&mut self, number: Number) {
        let Some(watched) = self.lanes.get_mut(&number) else { return };
        watched.watchers = watched.watchers.saturating_sub(1);
        if watched.watchers == 0 {
            watched.idle_ms = Some(self.now_ms);
            self.idle.push_back((self.now_ms, number));
        }
    }

    pub fn lane_of(&self, attachment: u64) -> Option<&L> {
        let number = self.attachments.get(&attachment)?;
        self.lanes.get(number).map(|watched| &watched.lane)
    }

    pub fn target_of(&self, attachment: u64) -> Option<&Target> {
        let number = self.attachments.get(&attachment)?;
        self.lanes.get(number).map(|watched| &watched.target)
    }

    pub fn lane(&self, agent: &Address, lane: &str) -> Option<&L> {
        let number = self.number(agent, lane)?;
        self.lanes.get(&number).map(|watched| &watched.lane)
    }

    #[cfg(test)]
    pub fn attachment_of(&self, agent: &Address, lane: &str) -> Option<u64> {
        match self.lanes.get(&self.number(agent, lane)?)?.upstream {
            Upstream::Attached(attachment) => Some(attachment),
            Upstream::Waiting { .. } => None,
        }
    }

    fn number(&self, agent: &Address, lane: &str) -> Option<Number> {
        let is_it = |number: &Number| {
            let target = self.lanes.get(number).map(|watched| &watched.target);
            target.is_some_and(|target| target.agent == *agent && target.lane == lane)
        };
        self.names.find(hash(&self.hashing, agent, lane), is_it).copied()
    }

    /// The owner is asked anew, for more than before. Where it is not asked at present, it will be.
    pub fn again(&mut self, number: Number, steps: &mut Vec<Step<L>>) {
        if let Some(watched) = self.lanes.get(&number)
            && matches!(watched.upstream, Upstream::Attached(_))
        {
            let owner = watched.target.owner;
            self.attach_to(number, owner, steps);
        }
    }

    /// The owner has told the lane whole.
    pub fn settled(&mut self, attachment: u64) {
        let Some(number) = self.attachments.get(&attachment) else { return };
        let Some(watched) = self.lanes.get_mut(number) else { return };
        (watched.behind, watched.retry_ms) = (Behind::No, RETRY_MS_MIN);
        self.unsettled.remove(number);
    }

    /// The owner has ended an attachment. What may be other in a moment is tried again.
    pub fn closed(&mut self, attachment: u64, refusal: Refusal, steps: &mut Vec<Step<L>>) {
        let Some(number) = self.attachments.get(&attachment).copied() else { return };
        if refusal.fate() == Fate::Final {
            self.end(number, refusal, false, steps);
        } else {
            self.attachments.remove(&attachment);
            self.wait(number, steps);
        }
    }

    /// These lanes have another owner, or theirs can't be reached, or can be again.
    pub fn lost(
        &mut self,
        is_lost: impl Fn(Slot) -> bool,
        owner: impl Fn(Slot) -> Owner,
        steps: &mut Vec<Step<L>>,
    ) {
        let lost = self.lanes.iter().filter(|(_, watched)| is_lost(watched.target.slot));
        let lost: Vec<_> = lost.map(|(number, watched)| (*number, watched.target.slot)).collect();
        for (number, slot) in lost {
            self.attach_to(number, owner(slot), steps);
        }
    }

    /// The plan has changed: what it says of each lane now.
    pub fn planned(
        &mut self,
        find: impl Fn(&Target) -> Result<Target, Refusal>,
        steps: &mut Vec<Step<L>>,
        mut change: impl FnMut(&L, &Target),
    ) {
        for number in self.lanes.keys().copied().collect::<Vec<_>>() {
            let Some(watched) = self.lanes.get_mut(&number) else { continue };
            match find(&watched.target) {
                Ok(target) if target == watched.target => {}
                Ok(target) if target.kind == watched.target.kind => {
                    change(&watched.lane, &target);
                    let (old, new) = (watched.target.queue, target.queue);
                    let blocks = old != new && (old.blocks() || new.blocks());
                    let moved = blocks || target.owner != watched.target.owner;
                    watched.target = Target { owner: watched.target.owner, ..target.clone() };
                    if moved {
                        self.attach_to(number, target.owner, steps);
                    }
                }
                Ok(target) => {
                    let text = format!("the lane {} is of another kind now", target.lane);
                    self.end(number, Refusal::not_found(text, target.agent.as_str()), true, steps);
                }
                Err(refusal) => self.end(number, refusal, true, steps),
            }
        }
    }

    pub fn tick(&mut self, now_ms: u64, owner: impl Fn(Slot) -> Owner, steps: &mut Vec<Step<L>>) {
        self.now_ms = now_ms;
        self.leave_idle(steps);
        for number in self.unsettled.iter().copied().collect::<Vec<_>>() {
            let Some(watched) = self.lanes.get_mut(&number) else {
                self.unsettled.remove(&number);
                continue;
            };
            if let Behind::Since(since_ms) = watched.behind
                && now_ms >= since_ms + STALE_MS
            {
                watched.behind = Behind::Stale;
                steps.push(Step::Stale(watched.lane.clone()));
            }
            match watched.upstream {
                Upstream::Waiting { until_ms } if until_ms <= now_ms => {
                    let slot = watched.target.slot;
                    self.attach_to(number, owner(slot), steps);
                }
                Upstream::Attached(_) if watched.behind == Behind::No => {
                    self.unsettled.remove(&number);
                }
                _ => {}
            }
        }
    }

    /// Lets go lanes that nobody has watched for long enough, a number at a time: the shards have as many events of it.
    fn leave_idle(&mut self, steps: &mut Vec<Step<L>>) {
        let mut left = 0;
        while left < LEFT_MAX
            && let Some((since_ms, number)) =
                self.idle.pop_front_if(|(since_ms, _)| *since_ms + IDLE_MS <= self.now_ms)
        {
            if self.lanes.get(&number).is_some_and(|watched| watched.idle_ms == Some(since_ms)) {
                self.remove(number, steps);
                left += 1;
            }
        }
    }

    /// Asks the owner anew; what it said before this counts no more.
    fn attach_to(&mut self, number: Number, owner: Owner, steps: &mut Vec<Step<L>>) {
        let Some(watched) = self.lanes.get_mut(&number) else { return };
        if let Upstream::Attached(attachment) = watched.upstream {
            self.attachments.remove(&attachment);
            steps.push(Step::Detach { attachment, target: watched.target.clone() });
        }
        watched.target.owner = owner;
        if owner == Owner::Nobody {
            return self.wait(number, steps);
        }
        self.last_attachment += 1;
        let attachment = self.last_attachment;
        watched.upstream = Upstream::Attached(attachment);
        watched.fall_behind(self.now_ms);
        let (lane, target) = (watched.lane.clone(), watched.target.clone());
        self.attachments.insert(attachment, number);
        self.unsettled.insert(number);
        steps.push(Step::Attach { lane, attachment, target });
    }

    fn wait(&mut self, number: Number, steps: &mut Vec<Step<L>>) {
        let Some(watched) = self.lanes.get_mut(&number) else { return };
        watched.fall_behind(self.now_ms);
        watched.upstream = Upstream::Waiting { until_ms: self.now_ms + watched.retry_ms };
        watched.retry_ms = (watched.retry_ms * 2).min(RETRY_MS_MAX);
        steps.push(Step::Lose(watched.lane.clone()));
        self.unsettled.insert(number);
    }

    fn end(&mut self, number: Number, refusal: Refusal, detach: bool, steps: &mut Vec<Step<L>>) {
        let Some(watched) = self.lanes.get(&number) else { return };
        steps.push(Step::End(watched.lane.clone(), refusal));
        let mut left = Vec::new();
        self.remove(number, &mut left);
        if detach {
            steps.append(&mut left);
        }
    }

    fn remove(&mut self, number: Number, steps: &mut Vec<Step<L>>) {
        let Some(watched) = self.lanes.remove(&number) else { return };
        let Watched { target, upstream, .. } = *watched;
        let hash = hash(&self.hashing, &target.agent, &target.lane);
        if let Ok(name) = self.names.find_entry(hash, |other| *other == number) {
            name.remove();
        }
        self.unsettled.remove(&number);
        if let Upstream::Attached(attachment) = upstream {
            self.attachments.remove(&attachment);
            steps.push(Step::Detach { attachment, target });
        }
    }
}

fn hash(hashing: &DefaultHashBuilder, agent: &Address, lane: &str) -> u64 {
    hashing.hash_one((agent.as_str(), lane))
}

impl<L> Watched<L> {
    fn fall_behind(&mut self, now_ms: u64) {
        if self.behind == Behind::No {
            self.behind = Behind::Since(now_ms);
        }
    }
}
