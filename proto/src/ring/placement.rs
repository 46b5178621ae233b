//! Which node a slot goes to: the one that scores highest for it among those whose share is not full.
//!
//! *Guarantees.* Each node gets the floor or the ceiling of its share. Only surplus and orphaned slots move, so that
//! one node more or fewer moves nothing between the others. Whole numbers only, and no order of the input counts: the
//! same nodes and owners give the same placement on every machine, for ever. *Assumptions.* There is a node.

use xxhash_rust::xxh3::xxh3_64;

/// The owner of each slot, by ordinal, when it had those in `now`.
pub fn place(nodes: &[u16], now: &[Option<u16>]) -> Vec<u16> {
    let mut shares = Shares::of(nodes, now);
    let mut pool = shares.orphans(now);
    pool.extend(shares.shed());
    pool.sort_unstable();
    for slot in pool {
        shares.assign(slot);
    }
    shares.owners(now.len())
}

/// How many slots two placements give to different nodes.
pub fn moved(before: &[u16], after: &[u16]) -> usize {
    before.iter().zip(after).filter(|(before, after)| before != after).count()
}

/// What `node` scores for `slot`.
fn score(slot: u16, node: u16) -> u64 {
    let ([a, b], [c, d]) = (slot.to_le_bytes(), node.to_le_bytes());
    xxh3_64(&[a, b, c, d])
}

struct Share {
    node: u16,
    quota: usize,
    slots: Vec<u16>,
}

impl Share {
    fn has_room(&self) -> bool {
        self.slots.len() < self.quota
    }
}

/// By ordinal.
struct Shares(Vec<Share>);

impl Shares {
    fn of(nodes: &[u16], now: &[Option<u16>]) -> Shares {
        let mut nodes = nodes.to_vec();
        nodes.sort_unstable();
        nodes.dedup();
        assert!(!nodes.is_empty(), "slots are placed on at least one node");
        let share = |node| Share { node, quota: 0, slots: Vec::new() };
        let mut shares = Shares(nodes.into_iter().map(share).collect());
        for (slot, owner) in (0..).zip(now) {
            if let Some(index) = owner.and_then(|owner| shares.find(owner)) {
                shares.0[index].slots.push(slot);
            }
        }
        shares.set_quotas(now.len());
        shares
    }

    fn find(&self, node: u16) -> Option<usize> {
        self.0.binary_search_by_key(&node, |share| share.node).ok()
    }

    /// Whoever has most may keep the ceiling: so the fewest slots move.
    fn set_quotas(&mut self, slots: usize) {
        let (floor, over) = (slots / self.0.len(), slots % self.0.len());
        let mut by_load: Vec<&mut Share> = self.0.iter_mut().collect();
        by_load.sort_by_key(|share| std::cmp::Reverse(share.slots.len()));
        for (rank, share) in by_load.into_iter().enumerate() {
            share.quota = floor + usize::from(rank < over);
        }
    }

    fn orphans(&self, now: &[Option<u16>]) -> Vec<u16> {
        let orphaned = |owner: Option<u16>| owner.is_none_or(|owner| self.find(owner).is_none());
        (0..).zip(now).filter(|(_, owner)| orphaned(**owner)).map(|(slot, _)| slot).collect()
    }

    /// Takes from each node what it has over its share: the slots that those with room score highest for.
    fn shed(&mut self) -> Vec<u16> {
        let receivers: Vec<u16> =
            self.0.iter().filter(|share| share.has_room()).map(|share| share.node).collect();
        let wanted = |slot: u16| receivers.iter().map(|node| score(slot, *node)).max();
        let mut shed = Vec::new();
        for share in self.0.iter_mut().filter(|share| share.slots.len() > share.quota) {
            share.slots.sort_by_cached_key(|slot| (wanted(*slot), *slot));
            shed.extend(share.slots.drain(share.quota..));
        }
        shed
    }

    fn assign(&mut self, slot: u16) {
        let best =
            self.0.iter_mut().filter(|share| share.has_room()).max_by_key(|share| score(slot, share.node));
        best.expect("the shares add up to all slots").slots.push(slot);
    }

    fn owners(&self, slots: usize) -> Vec<u16> {
        let mut owners = vec![0; slots];
        for share in &self.0 {
            for slot in &share.slots {
                owners[usize::from(*slot)] = share.node;
            }
        }
        owners
    }
}
