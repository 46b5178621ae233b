//! Tables over what is due and what may go, and workloads of all kinds, which have to stay within the bounds.

use super::super::index::Filed;
use super::super::index::tests::{filed, kept};
use super::*;
use crate::log::{Position, Segmented as Contents};
use proptest::prelude::*;

const SMALL: Limits = Limits { period: 64 << 10, round: 16 << 10, garbage: 32 << 10, segment: 1 << 10 };
const SEGMENT: u64 = 8 << 10;

/// Snapshots, as slots and LSNs, by file.
type Files<'a> = &'a [&'a [(Slot, u64)]];

/// Segments with the last LSN of each slot at their ends; the one that is being written follows.
fn log(segments: &[&[(Slot, u64)]]) -> Contents {
    let (mut contents, mut reached) = (Contents::default(), vec![0; 16]);
    for (n, lasts) in segments.iter().enumerate() {
        contents.begun(n as u64 + 1, 30 << 10, Position(100 * n as u64));
        for &(slot, last) in *lasts {
            reached[usize::from(slot)] = last;
        }
        contents.ended(&reached);
    }
    contents.begun(segments.len() as u64 + 1, 30 << 10, Position(100 * segments.len() as u64));
    contents
}

fn index(files: &[&[(Slot, u64)]]) -> Index {
    let mut index = Index::default();
    for (n, snapshots) in files.iter().enumerate() {
        let snapshots: Vec<_> = snapshots.iter().map(|&(slot, lsn)| (slot, kept(lsn, 1000))).collect();
        index.add(n as u64 + 1, filed(&snapshots));
    }
    index
}

#[test]
fn a_segment_goes_when_each_slot_in_it_has_two_snapshots_past_it_and_nobody_reads_it() {
    let contents = log(&[&[(1, 5), (2, 5)], &[(1, 9)], &[(2, 8)]]);
    let cases: [(Files, u64, &[u64]); 7] = [
        (&[], 0, &[]),
        (&[&[(1, 5), (2, 5)]], 0, &[]),
        (&[&[(1, 5), (2, 5)], &[(1, 5), (2, 5)]], 2, &[]),
        (&[&[(1, 5), (2, 5)], &[(1, 9), (2, 4)]], 0, &[]),
        (&[&[(1, 9), (2, 5)], &[(1, 9), (2, 5)]], 3, &[]),
        (&[&[(1, 9), (2, 8)], &[(1, 9), (2, 8)]], 4, &[]),
        (&[&[(1, 9), (2, 8)], &[(1, 9), (2, 8)], &[(1, 10)], &[(1, 11), (2, 9)]], 4, &[1]),
    ];
    for (files, before, gone_files) in cases {
        let index = index(files);
        let seen = Seen { log: contents.held(), index: &index, limits: SMALL };
        assert_eq!(gone(&seen), Gone { before, files: gone_files.to_vec() }, "{files:?}");
    }
    for (pin, before) in [(0, 0), (99, 0), (100, 2), (250, 3), (300, 4)] {
        let mut index = index(&[&[(1, 9), (2, 8)], &[(1, 9)]]);
        index.add(3, filed(&[(2, Kept { pin: Some(Position(pin)), ..kept(8, 1000) })]));
        let seen = Seen { log: contents.held(), index: &index, limits: SMALL };
        assert_eq!(gone(&seen).before, before, "{pin}");
    }
}

#[test]
fn a_slot_is_due_a_period_after_its_first_new_record_and_once_more_two_after_that() {
    let copy = |slot, from| Copied { slot, from, moves: false };
    // With one segment more than the 64 KiB of a period behind it, what is in the first is a period old.
    let contents = log(&[&[(1, 5)], &[(2, 5)], &[(3, 5)]]);
    let (first, second) = ([copy(1, 1)], [copy(1, 2)]);
    let cases: [(Files, &[Slot], &[Copied]); 5] = [
        (&[], &[1, 2], &[]),
        (&[&[(1, 4), (2, 5)]], &[1], &[]),
        (&[&[(1, 5), (2, 5)]], &[], &[]),
        (&[&[(1, 5), (2, 5)], &[(1, 5)]], &[], &[]),
        (&[&[(1, 5), (2, 5)], &[(1, 5)], &[(1, 5), (2, 5)]], &[], &[]),
    ];
    for (files, take, copies) in cases {
        let index = index(files);
        let seen = Seen { log: contents.held(), index: &index, limits: SMALL };
        let round = round(&seen).unwrap_or_default();
        assert_eq!((&round.take[..], &round.copy[..]), (take, copies), "{files:?}");
    }
    // Two periods behind the first, a second snapshot is due: a copy, since nothing has changed.
    let contents = log(&[&[(1, 5)], &[(2, 5)], &[(2, 6)], &[(2, 7)]]);
    for (files, copies) in [
        (&[&[(1, 5), (2, 7)][..]][..], &first[..]),
        (&[&[(2, 7)], &[(1, 5)]], &second),
        (&[&[(1, 5), (2, 7)], &[(1, 5)]], &[]),
    ] {
        let index = index(files);
        let seen = Seen { log: contents.held(), index: &index, limits: SMALL };
        assert_eq!(round(&seen).unwrap_or_default().copy, copies, "{files:?}");
    }
}

#[test]
fn a_slot_that_has_nothing_to_fall_back_on_gets_a_second_snapshot_at_once() {
    let mut contents = log(&[&[(1, 5)], &[(2, 5)]]);
    contents.dropped();
    for (files, take, copies) in
        [(&[&[(1, 5), (2, 5)][..]][..], &[][..], 1), (&[&[(1, 5)], &[(1, 5), (2, 5)]], &[], 0)]
    {
        let index = index(files);
        let seen = Seen { log: contents.held(), index: &index, limits: SMALL };
        let round = round(&seen).unwrap_or_default();
        assert_eq!((&round.take[..], round.copy.len()), (take, copies), "{files:?}");
    }
}

/// Slots that are written to, and what is on the disk.
struct Node {
    contents: Contents,
    index: Index,
    reached: Vec<u64>,
    /// Bytes of a snapshot of each slot.
    sizes: Vec<u64>,
    records: u64,
    in_segment: u64,
    segments: u64,
    files: u64,
    logged: u64,
    snapshotted: u64,
    looked_at: u64,
}

impl Node {
    fn new(sizes: Vec<u64>) -> Node {
        let mut contents = Contents::default();
        contents.begun(1, SEGMENT, Position(0));
        Node {
            contents,
            index: Index::default(),
            reached: vec![0; sizes.len()],
            sizes,
            records: 0,
            in_segment: 0,
            segments: 1,
            files: 0,
            logged: 0,
            snapshotted: 0,
            looked_at: 0,
        }
    }

    fn write(&mut self, slot: usize, bytes: u64) {
        self.reached[slot] += 1;
        self.records += 1;
        self.logged += bytes;
        self.in_segment += bytes;
        if self.in_segment >= SEGMENT {
            self.contents.ended(&self.reached);
            (self.segments, self.in_segment) = (self.segments + 1, 0);
            self.contents.begun(self.segments, SEGMENT, Position(self.records));
        }
    }

    fn seen(&self) -> Seen<'_> {
        Seen { log: self.contents.held(), index: &self.index, limits: SMALL }
    }

    /// Does what is due, and looks at what there is.
    fn turn(&mut self) {
        if std::mem::replace(&mut self.looked_at, self.segments) == self.segments {
            return;
        }
        for _ in 0..1000 {
            let Some(round) = round(&self.seen()) else { return };
            let mut filed = Filed { bytes: 100, ..Filed::default() };
            let copied = round.copy.iter().map(|copied| {
                let of = self.index.files()[&copied.from].kept[&copied.slot].clone();
                (copied.slot, of)
            });
            let taken = round.take.iter().map(|&slot| {
                let place = usize::from(slot);
                (slot, kept(self.reached[place], self.sizes[place]))
            });
            for (slot, kept) in taken.chain(copied) {
                filed.bytes += kept.bytes;
                assert!(filed.kept.insert(slot, kept).is_none(), "a file has one snapshot of a slot");
            }
            self.files += 1;
            self.snapshotted += filed.bytes;
            self.index.add(self.files, filed);
            self.look();
            for copied in round.copy.iter().filter(|copied| copied.moves) {
                self.index.forget(copied.from, copied.slot);
            }
            let Gone { before, files } = gone(&self.seen());
            for file in files {
                self.index.remove(file);
            }
            while self.contents.held().front().is_some_and(|first| first.segment < before) {
                self.contents.dropped();
            }
            self.falls_back();
        }
        panic!("it never ends");
    }

    fn log_bytes(&self) -> u64 {
        self.contents.held().iter().map(|held| held.bytes).sum()
    }

    fn look(&mut self) {
        let files: u64 = self.index.files().values().map(|filed| filed.bytes).sum();
        let whole: u64 =
            self.sizes.iter().zip(&self.reached).filter(|(_, lsn)| **lsn > 0).map(|(size, _)| size).sum();
        let all = files + self.log_bytes();
        let named = 2 * SMALL.period + SMALL.garbage + 2 * SMALL.round + 6 * SEGMENT;
        assert!(
            all <= 4 * whole + named,
            "{all} bytes with {whole} in all: {files} in files, {} in the log",
            self.log_bytes()
        );
    }

    /// What any one snapshot that is damaged leaves can be made again from the one before and the log.
    fn falls_back(&self) {
        let mut firsts: BTreeMap<Slot, u64> = BTreeMap::new();
        for run in self.contents.held().iter().flat_map(|held| held.slots.iter()) {
            firsts.entry(run.slot).or_insert(run.first);
        }
        for (slot, first) in firsts {
            let second = self.index.live(slot).nth(1).map_or(0, |(_, kept)| kept.lsn);
            assert!(
                first <= second + 1,
                "slot {slot}: the log begins with {first}, and the second has {second}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: ProptestConfig::default().cases.div_ceil(8), max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_hot_or_cold_the_disk_stays_bounded_and_a_damaged_snapshot_costs_nothing(
        sizes in prop::collection::vec(prop_oneof![Just(300_u64), 100..4_000_u64, 1_000..40_000_u64], 1..60),
        hot in 1..60_usize,
        skew in 0..100_u64,
        length in 50..400_u64,
        mut random: u64,
    ) {
        let (mut node, slots) = (Node::new(sizes.clone()), sizes.len());
        let hot = hot.min(slots);
        let mut draw = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        for n in 0..6_000 {
            // Each is written once, then mostly those that are hot now.
            let slot = if n < slots as u64 {
                n as usize
            } else if draw(100) < skew {
                (draw(hot as u64) as usize + (n / 2_000) as usize) % slots
            } else {
                draw(slots as u64) as usize
            };
            node.write(slot, length);
            node.turn();
        }
        node.look();
        let period = SMALL.bounds(sizes.iter().sum(), *sizes.iter().max().unwrap()).period;
        prop_assert!(node.log_bytes() <= 2 * period + 4 * SEGMENT, "{} in the log", node.log_bytes());
        // An all hot node writes everything once a period; what is copied comes on top.
        let limit = node.logged / 4 * 8 + 4 * sizes.iter().sum::<u64>();
        prop_assert!(node.snapshotted <= limit, "{} for {}", node.snapshotted, node.logged);
    }
}

#[test]
fn a_node_that_is_all_hot_writes_less_than_one_and_a_half_bytes_of_snapshots_for_each_of_the_log() {
    let mut node = Node::new(vec![4_000; 200]);
    let mut before = (0, 0);
    for n in 0..60_000_u64 {
        if n == 20_000 {
            before = (node.logged, node.snapshotted);
        }
        node.write((n * 7 % 200) as usize, 200);
        node.turn();
    }
    let (logged, snapshotted) = (node.logged - before.0, node.snapshotted - before.1);
    assert!(snapshotted * 2 <= logged * 3, "{snapshotted} of snapshots, {logged} of log");
    println!("{:.2} bytes of snapshots for each of the log", snapshotted as f64 / logged as f64);
}

#[test]
fn cold_slots_are_written_twice_whatever_others_do() {
    let mut node = Node::new(vec![3_000; 40]);
    for n in 0..40 {
        node.write(n, 100);
    }
    for _ in 0..40_000 {
        node.write(0, 100);
        node.turn();
    }
    let cold = 39 * 3_000;
    let hot = node.logged / SMALL.bounds(40 * 3_000, 3_000).period * 3_000;
    assert!(node.snapshotted < 2 * cold + 2 * hot + 40_000, "{}", node.snapshotted);
}
