//! Which slots' snapshots are taken next, and which segments and files may go: decides, from what the log and the files
//! hold.
//!
//! A slot is due when the oldest record that its newest snapshot lacks lies a *period* back in the log, or when the one
//! that its second snapshot lacks lies two of them back. So each slot is taken at its own time, one that has no records
//! is taken once more and never again, and the log holds about two periods. A period is three quarters of one snapshot
//! of everything, and a round takes an eighth of it at most, or one slot, so that all together is at most four times
//! that: two live snapshots, a quarter of garbage, what is being written, one and a half times of log. Where one slot
//! is most of everything, a round is longer and so a period is shorter.

use super::format::Kept;
use super::index::{Index, LIVE};
use crate::broken::{self, Broken};
use crate::log::Held;
use proto::address::Slot;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What nodes with little in them need beside four times a snapshot of everything.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The least period, in bytes of the log.
    pub period: u64,
    /// A round takes so much at least, if so much is due.
    pub round: u64,
    /// So much of the files may be garbage in any case.
    pub garbage: u64,
    /// No segment counts for less: small ones are many after many starts.
    pub segment: u64,
}

pub const LIMITS: Limits = Limits { period: 64 << 20, round: 16 << 20, garbage: 32 << 20, segment: 1 << 20 };

/// What the sizes of snapshots make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of one snapshot of everything.
    pub whole: u64,
    pub period: u64,
    /// A round takes so much at most, or one slot.
    pub round: u64,
    /// So much garbage there may be in any case, and more where the log is shorter than it may be.
    pub garbage: u64,
    /// What files and log may have together.
    pub disk: u64,
}

impl Limits {
    /// `whole`: one snapshot of everything; `largest`: the longest one of a slot.
    pub fn bounds(&self, whole: u64, largest: u64) -> Bounds {
        let round = self.round.max(whole / 8).max(largest);
        // What two live snapshots, a round and some garbage leave of four times everything, for two periods.
        let left = (2 * whole).saturating_sub(round + whole / 4) / 2;
        let period = self.period.max(left.min(whole / 4 * 3));
        let garbage = self.garbage.max(whole / 4);
        Bounds { whole, period, round, garbage, disk: 2 * whole + 2 * period + garbage + round / 2 * 3 }
    }
}

/// What there is.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    pub log: &'a VecDeque<Held>,
    pub index: &'a Index,
    pub limits: Limits,
}

/// What is written next, into one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Slots that are asked for their snapshots.
    pub take: Vec<Slot>,
    pub copy: Vec<Copied>,
}

/// A snapshot that is written again as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Copied {
    pub slot: Slot,
    pub from: u64,
    /// The first one is not needed any more: its file is mostly garbage. Otherwise the two are the slot's two.
    pub moves: bool,
}

/// What is not needed any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// All segments before this one.
    pub before: u64,
    pub files: Vec<u64>,
}

/// How far back in the log the records are that a slot's two newest snapshots lack.
#[derive(Clone, Copy, Debug, Default)]
struct Lacks {
    newest: Option<u64>,
    second: Option<u64>,
}

pub fn gone(seen: &Seen) -> Gone {
    let files = seen.index.live_bytes().into_iter().filter(|(_, live)| *live == 0).map(|(file, _)| file);
    let live = |slot: Slot| seen.index.live(slot).map(|(_, kept)| kept);
    let pins = seen.index.slots().flat_map(live).filter_map(|kept: &Kept| kept.pin);
    let pin = pins.min();
    let enough = if broken::is(Broken::EarlyDrop) { 0 } else { LIVE - 1 };
    let mut before = 0;
    for (held, next) in seen.log.iter().zip(seen.log.iter().skip(1)) {
        let is_covered = held
            .slots
            .iter()
            .all(|run| live(run.slot).nth(enough).is_some_and(|second: &Kept| second.lsn >= run.last));
        if held.is_open() || !is_covered || pin.is_some_and(|pin| pin < next.first) {
            break;
        }
        before = next.segment;
    }
    Gone { before, files: files.collect() }
}

/// By what is there.
pub fn bounds(seen: &Seen) -> Bounds {
    let newest = seen.index.slots().filter_map(|slot| Some(seen.index.of(slot).next()?.1.bytes));
    let (whole, largest) = newest.fold((0, 0), |(sum, most), bytes| (sum + bytes, bytes.max(most)));
    seen.limits.bounds(whole, largest)
}

/// What is to be written now, if anything is.
pub fn round(seen: &Seen) -> Option<Round> {
    let bounds = bounds(seen);
    let (mut round, bytes) = due(seen, &bounds);
    collect(seen, &bounds, bytes, &mut round);
    (!round.take.is_empty() || !round.copy.is_empty()).then_some(round)
}

/// The slots that are due, those first that the log is kept for longest, and what they will take.
fn due(seen: &Seen, bounds: &Bounds) -> (Round, u64) {
    let period = bounds.period;
    let mut due: Vec<(u64, Slot, bool)> = Vec::new();
    for (slot, lacks) in lacks(seen) {
        let newest = lacks.newest.filter(|age| *age >= period);
        let second = lacks.second.filter(|age| *age >= 2 * period);
        if let Some(age) = newest.max(second) {
            due.push((age, slot, lacks.newest.is_some()));
        }
    }
    due.sort_unstable_by_key(|&(age, slot, _)| (std::cmp::Reverse(age), slot));
    let (mut round, mut bytes) = (Round::default(), 0);
    for (_, slot, has_changed) in due {
        let newest = seen.index.of(slot).next();
        let more = newest.map_or(0, |(_, kept)| kept.bytes);
        if bytes > 0 && bytes + more > bounds.round {
            break;
        }
        bytes += more;
        match newest {
            Some((from, _)) if !has_changed => round.copy.push(Copied { slot, from, moves: false }),
            _ => round.take.push(slot),
        }
    }
    (round, bytes)
}

fn lacks(seen: &Seen) -> BTreeMap<Slot, Lacks> {
    let mut rest: u64 = seen.log.iter().map(|held| held.bytes.max(seen.limits.segment)).sum();
    let lsns = |slot: Slot| {
        let mut live = seen.index.live(slot).map(|(_, kept)| kept.lsn);
        (live.next().unwrap_or(0), live.next().unwrap_or(0))
    };
    let mut all: BTreeMap<Slot, Lacks> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for held in seen.log {
        for run in held.slots.iter() {
            let (newest, second) = lsns(run.slot);
            let lacks = all.entry(run.slot).or_default();
            if known.insert(run.slot) && run.first > second + 1 {
                // The log does not go back to the second one: there is none to fall back on.
                lacks.second = Some(u64::MAX);
            }
            lacks.newest = lacks.newest.or((run.last > newest).then_some(rest));
            lacks.second = lacks.second.or((run.last > second).then_some(rest));
        }
        rest -= held.bytes.max(seen.limits.segment);
    }
    for slot in seen.index.slots() {
        if seen.index.live(slot).count() < LIVE && known.insert(slot) {
            all.entry(slot).or_default().second = Some(u64::MAX);
        }
    }
    all
}

/// Where files and log are too much together, what is live in the files with most garbage is written again, a part of a
/// round each time.
fn collect(seen: &Seen, bounds: &Bounds, due: u64, round: &mut Round) {
    let files = seen.index.files();
    let in_files: u64 = files.values().map(|filed| filed.bytes).sum();
    let in_log: u64 = seen.log.iter().map(|held| held.bytes).sum();
    let most = bounds.round / 2;
    let has = in_files + in_log + due + most;
    let in_live: u64 = seen.index.live_bytes().values().sum();
    let more_garbage = (in_files - in_live).saturating_sub(bounds.garbage);
    let mut excess = has.saturating_sub(bounds.disk).min(more_garbage);
    let mut by_garbage: Vec<(u64, u64, u64)> = (seen.index.live_bytes().into_iter())
        .filter_map(|(file, live)| Some((file, files.get(&file)?.bytes.saturating_sub(live), live)))
        .filter(|(_, _, live)| *live > 0)
        .collect();
    by_garbage.sort_unstable_by(|one, other| {
        (u128::from(other.1) * u128::from(one.2)).cmp(&(u128::from(one.1) * u128::from(other.2)))
    });
    let taken = round.take.iter().copied().chain(round.copy.iter().map(|copied| copied.slot));
    let mut taken: BTreeSet<Slot> = taken.collect();
    let mut written = 0;
    for (file, garbage, live) in by_garbage {
        // With little garbage, to collect it costs more than it gives.
        if excess == 0 || garbage < live / 32 {
            return;
        }
        for slot in seen.index.live_in(file) {
            let bytes = files[&file].kept[&slot].bytes;
            if written > 0 && written + bytes > most {
                return;
            }
            if taken.insert(slot) {
                written += bytes;
                round.copy.push(Copied { slot, from: file, moves: true });
            }
        }
        excess = excess.saturating_sub(garbage);
    }
}

#[cfg(test)]
mod tests;
