//! The links of one stream, grouped by lane: a lane that changes marks the group once, whatever it holds.
//!
//! *Guarantees.* Links are told in turn, none more than a slice at a time; a lane that has more to tell than there is
//! room for goes to the end of the line. A link without credit, or a stream that is not read, costs nothing more than
//! the mark. A link with a rate that has more to tell than its rate lets it waits for its turn, and while all of a lane's
//! links do, the lane's changes wake nobody; the stream has one time at which it looks again, and none while nothing waits.

use super::due::{Due, Mark};
use super::lane::{Grant, WatchState, WatchedLane};
use super::mirror::{Budget, Cursor, Told};
use super::pace::{Pace, Rate};
use super::table::Number;
use crate::map::Stamp;
use crate::refusal::Refusal;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

/// What one link may be told before it is the next one's turn.
const SLICE: Budget = Budget { events: 128, bytes: 16 << 10 };

pub struct Groups<K> {
    pub due: Arc<Due>,
    lanes: Vec<Option<Group<K>>>,
    free: Vec<u32>,
    by_lane: HashMap<u64, u32>,
    links: HashMap<K, Place>,
    /// Links with a rate.
    paced: usize,
    /// When which lanes are looked at whatever changes, because links of theirs wait for their rate.
    turns: BTreeSet<(Instant, u32)>,
    /// What owners are to be told.
    pub grants: Vec<Grant>,
    /// Lanes of which somebody needs more than is here.
    pub wanting: Vec<Number>,
}

struct Group<K> {
    lane: Arc<WatchedLane>,
    mark: Arc<Mark>,
    members: Vec<Member<K>>,
    /// Whose turn it is.
    turn: usize,
    /// Nobody in it can go on without credit, or before a turn.
    parked: bool,
    /// When the first of those that wait for their rate may be told. It stands in [`Groups::turns`].
    next_turn: Option<Instant>,
}

struct Member<K> {
    link: K,
    cursor: Cursor,
    credit: Option<u32>,
    /// What credit was spent on so far.
    spent: u64,
    /// Few links have a rate.
    pace: Option<Box<Pace>>,
}

/// What has become of a link that was looked at.
enum Looked {
    /// It has been told all that there is.
    AllTold,
    More,
    NoCredit,
    /// There is something new, which its rate does not let it be told before.
    Until(Instant),
    Overrun,
}

#[derive(Clone, Copy)]
struct Place {
    group: u32,
    member: u32,
}

/// Says to a link what its lane has for it.
pub trait Teller<K> {
    /// Why links of this kind to the lane can't go on.
    fn ends(&self, lane: &WatchState) -> Option<Refusal>;
    /// Whether what the link is told now is paid for by its credit.
    fn pays(&self, _cursor: &Cursor) -> bool {
        true
    }
    /// Tells the link what is due. Gives how far it came, and how many events its credit pays for.
    fn tell_link(
        &mut self,
        link: K,
        lane: &WatchState,
        cursor: &mut Cursor,
        budget: &mut Budget,
    ) -> (Told, usize);
    /// Whether a link that has missed items of an event lane ends.
    fn overrun_ends(&self, lane: &WatchState) -> bool;
    fn ended(&mut self, link: K, refusal: Refusal);
}

impl<K> Default for Groups<K> {
    fn default() -> Self {
        Groups {
            due: Arc::default(),
            lanes: Vec::new(),
            free: Vec::new(),
            by_lane: HashMap::new(),
            links: HashMap::new(),
            paced: 0,
            turns: BTreeSet::new(),
            grants: Vec::new(),
            wanting: Vec::new(),
        }
    }
}

impl<K: Copy + Eq + Hash> Groups<K> {
    pub fn len(&self) -> usize {
        self.links.len()
    }

    pub fn has(&self, link: K) -> bool {
        self.links.contains_key(&link)
    }

    pub fn lane_of(&self, link: K) -> Option<&WatchedLane> {
        let Place { group, .. } = self.links.get(&link)?;
        self.lanes[*group as usize].as_ref().map(|group| &*group.lane)
    }

    /// There is something to tell the link beside what its lane says.
    pub fn wake(&mut self, link: K) {
        if let Some(Place { group, .. }) = self.links.get(&link)
            && let Some(group) = &mut self.lanes[*group as usize]
        {
            group.wake();
        }
    }

    /// Adds a link. The caller has counted one watcher of `lane`. False: the stream had a link to this lane before, and
    /// the caller takes the extra watcher off again.
    pub fn open(&mut self, link: K, lane: Arc<WatchedLane>, cursor: Cursor, credit: Option<u32>) -> bool {
        let known = self.by_lane.get(&lane.number).copied();
        let group = known.unwrap_or_else(|| self.add(lane));
        let Some(of) = &mut self.lanes[group as usize] else { return false };
        self.links.insert(link, Place { group, member: of.members.len() as u32 });
        of.members.push(Member { link, cursor, credit, spent: 0, pace: None });
        of.wake();
        known.is_none()
    }

    /// The link is told no more often than this from now on.
    pub fn pace(&mut self, link: K, rate: Rate) {
        let Some(Place { group, member }) = self.links.get(&link).copied() else { return };
        let Some(group) = &mut self.lanes[group as usize] else { return };
        let before = group.members[member as usize].pace.replace(Box::new(Pace::new(rate)));
        self.paced += usize::from(before.is_none());
    }

    pub fn has_rates(&self) -> bool {
        self.paced > 0
    }

    /// When there is something to tell, even if nothing changes any more.
    pub fn next_turn(&self) -> Option<Instant> {
        self.turns.first().map(|(at, _)| *at)
    }

    fn add(&mut self, lane: Arc<WatchedLane>) -> u32 {
        let place = self.free.pop().unwrap_or(self.lanes.len() as u32);
        let mark = Arc::new(Mark::new(self.due.clone(), place));
        lane.join(mark.clone());
        self.by_lane.insert(lane.number, place);
        // Most lanes have one link.
        let members = Vec::with_capacity(1);
        let group = Some(Group { lane, mark, members, turn: 0, parked: false, next_turn: None });
        match self.lanes.get_mut(place as usize) {
            Some(free) => *free = group,
            None => self.lanes.push(group),
        }
        place
    }

    /// Removes a link. The lane comes back when the stream has no other link to it.
    pub fn close(&mut self, link: K) -> Option<Arc<WatchedLane>> {
        let Place { group: place, member } = self.links.remove(&link)?;
        let group = self.lanes[place as usize].as_mut()?;
        let closed = group.members.swap_remove(member as usize);
        self.paced -= usize::from(closed.pace.is_some());
        if let Some(moved) = group.members.get(member as usize) {
            self.links.insert(moved.link, Place { group: place, member });
        }
        if !group.members.is_empty() {
            // What only this one had not passed can be let go.
            group.wake();
            return None;
        }
        let Group { lane, mark, next_turn, .. } = self.lanes[place as usize].take()?;
        if let Some(at) = next_turn {
            self.turns.remove(&(at, place));
        }
        lane.leave(&mark);
        self.by_lane.remove(&lane.number);
        self.free.push(place);
        Some(lane)
    }

    /// Closes all links for good. Gives each lane once, so that its watcher can be taken off.
    pub fn close_all(&mut self) -> Vec<Arc<WatchedLane>> {
        self.links.clear();
        self.by_lane.clear();
        self.turns.clear();
        self.paced = 0;
        let groups = self.lanes.drain(..).flatten();
        groups
            .map(|Group { lane, mark, .. }| {
                lane.leave(&mark);
                lane
            })
            .collect()
    }

    pub fn credit(&mut self, link: K, events: u32) {
        let Some(Place { group, member }) = self.links.get(&link).copied() else { return };
        let Some(group) = &mut self.lanes[group as usize] else { return };
        if let Some(credit) = &mut group.members[member as usize].credit {
            *credit = credit.saturating_add(events);
            group.wake();
        }
    }

    /// Sets how many events the link may be told in all, those that it was told already among them.
    pub fn limit(&mut self, link: K, events: u64) {
        let Some(Place { group, member }) = self.links.get(&link).copied() else { return };
        let Some(group) = &mut self.lanes[group as usize] else { return };
        let Member { credit, spent, .. } = &mut group.members[member as usize];
        if credit.is_some() {
            *credit = Some(events.saturating_sub(*spent).try_into().unwrap_or(u32::MAX));
            group.wake();
        }
    }

    /// Tells what is due, as far as there is room. Gives the links that have ended, which are closed, each with its lane if
    /// the stream has no other link to it. `now` where links have a rate.
    pub fn tell_due(
        &mut self,
        now: Option<Instant>,
        room: &mut Budget,
        teller: &mut impl Teller<K>,
    ) -> Vec<(K, Option<Arc<WatchedLane>>)> {
        if let Some(now) = now {
            self.take_turns(now);
        }
        let (mut ended, mut closed) = (Vec::new(), Vec::new());
        while !room.is_spent()
            && let Some(place) = self.due.pop()
        {
            let Some(Some(group)) = self.lanes.get_mut(place as usize) else { continue };
            let before = group.next_turn;
            let tasks = (&mut self.grants, &mut self.wanting);
            if group.tell_members(now, room, teller, &mut ended, tasks) {
                group.mark.set();
            }
            if group.next_turn != before {
                if let Some(at) = before {
                    self.turns.remove(&(at, place));
                }
                self.turns.extend(group.next_turn.map(|at| (at, place)));
            }
            // At once: the lane may be due again before this ends, and nobody ends twice.
            closed.extend(ended.drain(..).map(|link| (link, self.close(link))));
        }
        closed
    }

    /// Lanes are looked at in which somebody has waited for this time.
    fn take_turns(&mut self, now: Instant) {
        while let Some((at, place)) = self.turns.first().copied().filter(|(at, _)| *at <= now) {
            self.turns.remove(&(at, place));
            if let Some(Some(group)) = self.lanes.get_mut(place as usize) {
                group.next_turn = None;
                group.wake();
            }
        }
    }
}

impl<K: Copy> Group<K> {
    /// Someone in it may have something to be told.
    fn wake(&mut self) {
        if std::mem::take(&mut self.parked) {
            self.mark.rouse();
        } else {
            self.mark.set();
        }
    }

    /// True: there is more for those who can take it.
    fn tell_members(
        &mut self,
        now: Option<Instant>,
        room: &mut Budget,
        teller: &mut impl Teller<K>,
        ended: &mut Vec<K>,
        (grants, wanting): (&mut Vec<Grant>, &mut Vec<Number>),
    ) -> bool {
        self.mark.clear();
        self.parked = false;
        let mut lane = self.lane.lock();
        if let Some(refusal) = teller.ends(&lane) {
            for member in &self.members {
                teller.ended(member.link, refusal.clone());
                ended.push(member.link);
            }
            return false;
        }
        let (mut passed, mut more, mut waiting, mut awaits) = (Stamp::end_of(u64::MAX), false, 0, false);
        let (count, mut next_turn) = (self.members.len(), None);
        for step in 0..count {
            let turn = (self.turn + step) % count;
            if room.is_spent() {
                self.turn = turn;
                return true;
            }
            let member = &mut self.members[turn];
            match member.look(&lane, now, room, teller) {
                Looked::AllTold => {}
                Looked::More => more = true,
                Looked::NoCredit => waiting += 1,
                Looked::Until(at) => {
                    waiting += 1;
                    next_turn = Some(next_turn.map_or(at, |first: Instant| first.min(at)));
                }
                Looked::Overrun => {
                    ended.push(member.link);
                    continue;
                }
            }
            passed = passed.min(lane.mirror.passed(&member.cursor));
            awaits |= lane.mirror.awaits(&member.cursor);
            if let Some(since) = lane.mirror.lacks(&member.cursor)
                && lane.want(since)
            {
                wanting.push(self.lane.number);
            }
        }
        self.next_turn = next_turn;
        self.mark.set_awaits(awaits);
        if lane.mirror.keeps_items() {
            self.mark.pass(passed);
            grants.extend(lane.passed());
        }
        drop(lane);
        self.parked = !more && waiting == count && self.mark.park();
        more
    }
}

impl<K: Copy> Member<K> {
    /// Tells it a slice of what there is for it, if it can take something now.
    fn look(
        &mut self,
        lane: &WatchState,
        now: Option<Instant>,
        room: &mut Budget,
        teller: &mut impl Teller<K>,
    ) -> Looked {
        let Member { link, cursor, credit, spent, pace } = self;
        if lane.mirror.overrun(cursor) && teller.overrun_ends(lane) {
            let text = "the link fell behind by more than the lane's queue holds";
            teller.ended(*link, Refusal::full(text, ""));
            return Looked::Overrun;
        }
        let mut paced = pace.as_mut().zip(now);
        if let Some((pace, now)) = &paced
            && let Some(at) = pace.waits_until(*now)
            && lane.mirror.has_more(cursor)
        {
            return Looked::Until(at);
        }
        let most = credit.filter(|_| teller.pays(cursor)).map_or(usize::MAX, |credit| credit as usize);
        let given =
            Budget { events: SLICE.events.min(room.events).min(most), bytes: SLICE.bytes.min(room.bytes) };
        let mut budget = given;
        let (told, costs) = teller.tell_link(*link, lane, cursor, &mut budget);
        let events = given.events - budget.events;
        room.events -= events;
        room.bytes -= given.bytes - budget.bytes;
        if let Some(credit) = credit {
            *credit = credit.saturating_sub(costs as u32);
            *spent += costs as u64;
        }
        if let Some((pace, now)) = &mut paced {
            pace.tells(*now, events, told, cursor.is_synced());
        }
        match told {
            Told::All => Looked::AllTold,
            Told::Part if *credit == Some(0) => Looked::NoCredit,
            Told::Part => Looked::More,
        }
    }
}
