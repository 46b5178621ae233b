//! All links of a node: which lanes are watched, and what their owners say of them.
//!
//! Whoever watches holds a lane and looks into it; whoever owns one says what happens to it. Nobody waits here: shards'
//! threads and the tasks of connections call in, and leave again.

use super::lane::{Asked, Grant, Heard, WatchedLane};
use super::mirror::Start;
use super::table::{Number, Owner, Step, Table, Target};
use super::{Question, Update};
use crate::link::Got;
use crate::lock::lock;
use crate::refusal::Refusal;
use proto::address::{Address, Slot};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

/// Links of clients that one node serves.
pub const LINKS_MAX: u64 = 1 << 18;

/// What the node does for its links. None of it waits, and none of it calls back.
pub trait Upstream: Send + Sync {
    /// The lane, as plan and ring have it now; lanes that are none for clients too.
    fn find(&self, agent: &str, lane: &str) -> Result<Target, Refusal>;
    fn owner(&self, slot: Slot) -> Owner;
    /// Asks `target.owner` for the state of the lane, as much of it as is asked for, and all that follows. What it says
    /// comes back by [`Serving::update`] with this number. With a limit, so many items at most, until more may come.
    fn ask_to_attach(&self, attachment: u64, target: &Target, asked: Asked);
    /// So many items of it may come in all.
    fn limit(&self, attachment: u64, target: &Target, limit: u64);
    /// Asks `target.owner`, which is another node. The answer comes by [`Serving::update`].
    fn ask(&self, question: Question, target: &Target);
    fn detach(&self, attachment: u64, target: &Target);
}

/// Clones are handles to the same.
#[derive(Clone)]
pub struct Serving {
    shared: Arc<Shared>,
}

struct Shared {
    upstream: Weak<dyn Upstream>,
    table: Mutex<Table<Arc<WatchedLane>>>,
    links: AtomicU64,
    delivered: AtomicU64,
}

impl Serving {
    pub fn new(upstream: Weak<dyn Upstream>) -> Serving {
        let (table, links, delivered) = (Mutex::default(), AtomicU64::new(0), AtomicU64::new(0));
        Serving { shared: Arc::new(Shared { upstream, table, links, delivered }) }
    }

    /// What owners say, by attachment. `updates` is empty then.
    pub fn update(&self, updates: &mut Vec<(u64, Result<Update, Refusal>)>) {
        if updates.is_empty() {
            return;
        }
        let table = self.table();
        let lanes: Vec<Option<Arc<WatchedLane>>> =
            updates.iter().map(|(attachment, _)| table.lane_of(*attachment).cloned()).collect();
        drop(table);
        for ((attachment, said), lane) in updates.drain(..).zip(lanes) {
            let Some(lane) = lane else { continue };
            match said {
                Ok(update) => {
                    let Heard { whole, grant, question, wants_more } = lane.update(attachment, update);
                    if whole {
                        self.table().settled(attachment);
                    }
                    self.grant(&mut Vec::from_iter(grant));
                    self.ask(question);
                    if wants_more {
                        self.ask_for_more(&mut vec![lane.number]);
                    }
                }
                Err(refusal) => {
                    self.act(|table, _, steps| table.closed(attachment, refusal, steps));
                }
            }
        }
    }

    /// These slots have another owner, or theirs can't be reached, or can be again.
    pub fn lost(&self, slots: &[Slot]) {
        if slots.is_empty() {
            return;
        }
        let mut is_lost = vec![false; usize::from(Slot::MAX) + 1];
        for slot in slots {
            is_lost[usize::from(*slot)] = true;
        }
        self.act(|table, upstream, steps| {
            table.lost(|slot| is_lost[usize::from(slot)], |slot| upstream.owner(slot), steps);
        });
    }

    /// There is a new plan.
    pub fn planned(&self) {
        self.act(|table, upstream, steps| {
            let find = |target: &Target| upstream.find(target.agent.as_str(), &target.lane);
            table.planned(find, steps, |lane, target| lane.change(target));
        });
    }

    /// About ten times a second; `now_ms` is of any clock that does not go back.
    pub fn tick(&self, now_ms: u64) {
        self.act(|table, upstream, steps| table.tick(now_ms, |slot| upstream.owner(slot), steps));
    }

    /// The state of a Value or Map lane that is watched here. It may be older than the owner's.
    pub fn mirror_of(&self, agent: &Address, lane: &str) -> Option<Got> {
        let lane = self.table().lane(agent, lane).cloned();
        lane?.got()
    }

    #[cfg(test)]
    pub fn attachment_of(&self, agent: &str, lane: &str) -> Option<u64> {
        self.table().attachment_of(&Address::trusted(agent), lane)
    }

    /// Open links of clients.
    pub fn open_links(&self) -> u64 {
        self.shared.links.load(Relaxed)
    }

    /// Events given to links of clients.
    pub fn delivered(&self) -> u64 {
        self.shared.delivered.load(Relaxed)
    }

    /// Counts one link of a client more, if the node has room for it.
    pub(super) fn admit_link(&self, agent: &str) -> Result<(), Refusal> {
        let one_more = |links: u64| (links < LINKS_MAX).then_some(links + 1);
        match self.shared.links.fetch_update(Relaxed, Relaxed, one_more) {
            Ok(_) => Ok(()),
            Err(_) => Err(Refusal::full(format!("this node has {LINKS_MAX} links, and no more fit"), agent)),
        }
    }

    pub(super) fn count_ended(&self, links: usize) {
        self.shared.links.fetch_sub(links as u64, Relaxed);
    }

    pub(super) fn count_delivered(&self, events: usize) {
        self.shared.delivered.fetch_add(events as u64, Relaxed);
    }

    /// The lane, with one watcher more, and the question whose answer tells all that was acknowledged until now; unless
    /// `refuse` says why not. The lane is looked up under the lock under which it is watched: a ring or plan that comes
    /// meanwhile finds either the lane here, or its own word taken for it.
    pub(super) fn watch(
        &self,
        agent: &str,
        lane: &str,
        start: Start,
        refuse: impl FnOnce(&Target) -> Option<Refusal>,
    ) -> Result<(Arc<WatchedLane>, u64), Refusal> {
        let watched = self.act(|table, upstream, steps| {
            let target = upstream.find(agent, lane)?;
            if let Some(refusal) = refuse(&target) {
                return Err(refusal);
            }
            let make = |number, target: &Target| Arc::new(WatchedLane::new(number, target));
            let lane = table.watch(&target, make, steps)?;
            // Before the steps: an attachment that is among them is asked for after it came.
            let question = lane.come(target.owner, start);
            Ok((lane, question))
        });
        let watched = watched.unwrap_or_else(|| Err(Refusal::unavailable("this node is stopping", agent)))?;
        self.ask(watched.0.question());
        Ok(watched)
    }

    /// An attachment that has ended meanwhile needs no answer: the next one is a question of its own.
    fn ask(&self, question: Option<Question>) {
        let Some(question) = question else { return };
        let Some(upstream) = self.shared.upstream.upgrade() else { return };
        if let Some(target) = self.table().target_of(question.attachment) {
            upstream.ask(question, target);
        }
    }

    pub(super) fn leave(&self, lane: &WatchedLane) {
        self.table().leave(lane.number);
        self.grant(&mut Vec::from_iter(lane.left()));
    }

    /// Tells owners that there is room again in queues that block.
    pub(super) fn grant(&self, grants: &mut Vec<Grant>) {
        if grants.is_empty() {
            return;
        }
        let Some(upstream) = self.shared.upstream.upgrade() else { return };
        let table = self.table();
        for Grant { attachment, limit } in grants.drain(..) {
            if let Some(target) = table.target_of(attachment) {
                upstream.limit(attachment, target, limit);
            }
        }
    }

    /// Asks owners for what somebody needs beside what is here.
    pub(super) fn ask_for_more(&self, wanting: &mut Vec<Number>) {
        if wanting.is_empty() {
            return;
        }
        self.act(|table, _, steps| wanting.drain(..).for_each(|number| table.again(number, steps)));
    }

    /// Changes the table and does what follows from it, before anyone else does.
    fn act<T>(
        &self,
        change: impl FnOnce(&mut Table<Arc<WatchedLane>>, &dyn Upstream, &mut Vec<Step<Arc<WatchedLane>>>) -> T,
    ) -> Option<T> {
        let upstream = self.shared.upstream.upgrade()?;
        let (mut table, mut steps) = (self.table(), Vec::new());
        let changed = change(&mut table, &*upstream, &mut steps);
        for step in steps {
            match step {
                Step::Attach { lane, attachment, target } => {
                    let asked = lane.expect_attachment(attachment, target.owner);
                    upstream.ask_to_attach(attachment, &target, asked);
                }
                Step::Detach { attachment, target } => upstream.detach(attachment, &target),
                Step::Lose(lane) => {
                    lane.expect_attachment(0, Owner::Nobody);
                }
                Step::Stale(lane) => lane.stale(),
                Step::End(lane, refusal) => lane.end(refusal),
            }
        }
        Some(changed)
    }

    fn table(&self) -> MutexGuard<'_, Table<Arc<WatchedLane>>> {
        lock(&self.shared.table)
    }
}
