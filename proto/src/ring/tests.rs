//! Laws of placement, and the bytes of a ring.

use super::*;
use expect_test::expect_file;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fmt::Write as _;

const UID: &str = "0b6c5f0e-7c1a-4a43-9d5c-1f2e3d4c5b6a";

fn members(count: u16) -> Vec<Member> {
    let member = |ordinal| Member { ordinal, store: StoreId(u128::from(ordinal) * 7 + 1), incarnation: 3 };
    (0..count).map(member).collect()
}

fn loads(nodes: &[u16], owners: &[u16]) -> Vec<usize> {
    nodes.iter().map(|node| owners.iter().filter(|owner| *owner == node).count()).collect()
}

fn spread(loads: &[usize]) -> usize {
    loads.iter().max().unwrap() - loads.iter().min().unwrap()
}

fn kept(owners: &[u16]) -> Vec<Option<u16>> {
    owners.iter().copied().map(Some).collect()
}

/// A few nodes of any ordinals, and a power of two of slots.
fn nodes_and_slots() -> impl Strategy<Value = (Vec<u16>, usize)> {
    let nodes = prop::collection::btree_set(0..300_u16, 1..40);
    (nodes, 0..12_u32).prop_map(|(nodes, bits)| (nodes.into_iter().collect(), 1 << bits))
}

proptest! {
    #[test]
    fn every_slot_has_one_owner_and_loads_differ_by_at_most_one((nodes, slots) in nodes_and_slots()) {
        let owners = place(&nodes, &vec![None; slots]);
        prop_assert_eq!(owners.len(), slots);
        let loads = loads(&nodes, &owners);
        prop_assert_eq!(loads.iter().sum::<usize>(), slots);
        prop_assert!(spread(&loads) <= 1);
    }

    #[test]
    fn one_node_more_takes_its_share_and_nothing_moves_between_the_others(
        (nodes, slots) in nodes_and_slots(), new in 300..400_u16,
    ) {
        let before = place(&nodes, &vec![None; slots]);
        let more = [nodes.clone(), vec![new]].concat();
        let after = place(&more, &kept(&before));
        prop_assert!(spread(&loads(&more, &after)) <= 1);
        prop_assert!(before.iter().zip(&after).all(|(before, after)| before == after || *after == new));
        prop_assert!(moved(&before, &after) <= slots.div_ceil(nodes.len()) + nodes.len());
    }

    #[test]
    fn one_node_fewer_gives_its_slots_away_and_nothing_moves_between_the_others(
        (nodes, slots) in nodes_and_slots(), gone in any::<prop::sample::Index>(),
    ) {
        prop_assume!(nodes.len() > 1);
        let gone = *gone.get(&nodes);
        let before = place(&nodes, &vec![None; slots]);
        let fewer: Vec<u16> = nodes.iter().copied().filter(|node| *node != gone).collect();
        let after = place(&fewer, &kept(&before));
        prop_assert!(spread(&loads(&fewer, &after)) <= 1);
        prop_assert!(before.iter().zip(&after).all(|(before, after)| before == after || *before == gone));
        prop_assert!(moved(&before, &after) <= slots.div_ceil(nodes.len()) + nodes.len());
    }

    #[test]
    fn a_placement_that_is_even_is_left_alone(
        (nodes, slots) in nodes_and_slots(), (others, _) in nodes_and_slots(),
    ) {
        let anywhere = place(&others, &vec![None; slots]);
        let even = place(&nodes, &kept(&anywhere));
        prop_assert!(spread(&loads(&nodes, &even)) <= 1);
        prop_assert_eq!(place(&nodes, &kept(&even)), even);
    }

    #[test]
    fn the_order_in_which_nodes_are_named_does_not_count((nodes, slots) in nodes_and_slots(), seed in any::<u64>()) {
        let mut other = nodes.clone();
        other.sort_by_key(|node| xxh3_64(&(seed ^ u64::from(*node)).to_le_bytes()));
        prop_assert_eq!(place(&nodes, &vec![None; slots]), place(&other, &vec![None; slots]));
    }

    #[test]
    fn a_ring_comes_back_from_its_bytes(count in 1..40_u16, bits in 0..10_u32, nonce: u64, base: u64, epochs in prop::collection::vec(1..u64::MAX, 1..9)) {
        let mut ring = Ring::begin(UID, members(count), 1 << bits, nonce);
        ring.base = base % 3 * base;
        for (slot, epoch) in ring.slots.iter_mut().zip(epochs.iter().cycle()) {
            slot.epoch = *epoch;
        }
        prop_assert_eq!(Ring::decode(&ring.encode()), Ok(ring));
    }

    #[test]
    fn bytes_that_are_no_ring_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), newer: bool) {
        prop_assert!(Ring::decode(&bytes).is_err());
        // Also when the head is one, and only what follows is not.
        prop_assert!(Ring::decode(&form::seal(1 + u16::from(newer), &bytes)).is_err());
    }

    #[test]
    fn a_ring_with_one_byte_changed_or_cut_is_refused(at in any::<prop::sample::Index>(), change in 1..=255_u8, base in 0..3_u64) {
        let whole = Ring { base, ..Ring::begin(UID, members(3), 256, 1) }.encode();
        let at = at.index(whole.len());
        let mut changed = whole.clone();
        changed[at] ^= change;
        prop_assert!(Ring::decode(&changed).is_err());
        prop_assert!(Ring::decode(&whole[..at]).is_err());
    }
}

/// Tables that have the right sum, and cannot be.
#[test]
fn a_table_that_no_ring_can_have_is_refused_with_the_reason() {
    let check = |change: fn(&mut Ring), why: &str| {
        let mut ring = Ring::begin(UID, members(3), 16, 1);
        change(&mut ring);
        let error = Ring::decode(&ring.encode()).expect_err(why).0;
        assert!(error.contains(why), "{error}");
    };
    check(|ring| ring.parent = 1, "its revision is not above");
    check(|ring| ring.members.clear(), "no members");
    check(|ring| ring.members = members(257), "no members, or too many");
    check(|ring| ring.members.swap(0, 1), "not in the order");
    check(|ring| ring.members[1].store = ring.members[0].store, "member twice");
    check(|ring| ring.slots.clear(), "wrong number of slots");
    check(|ring| ring.slots.truncate(15), "wrong number of slots");
    check(|ring| ring.slots[3].owner = 3, "cannot be");
    check(|ring| ring.slots[3].epoch = 0, "cannot be");
    check(|ring| ring.slots[3].history = 1 << 13, "cannot be");
}

#[test]
fn a_newer_format_is_refused_by_its_number() {
    let mut bytes = Ring::begin(UID, members(3), 16, 1).encode();
    bytes[4] = 9;
    let error = Ring::decode(&bytes).unwrap_err();
    assert_eq!(
        error.0,
        "the ring has format 9, and this version reads 1 and 2: run the version that wrote it"
    );
}

#[test]
fn the_first_ring_begins_at_revision_and_epoch_one_with_the_plans_history() {
    let mut unordered = members(5);
    unordered.reverse();
    let ring = Ring::begin(UID, unordered, 4096, 77);
    assert_eq!((ring.revision, ring.parent, ring.nonce), (1, 0, 77));
    assert_eq!(ring.members, members(5));
    assert!(ring.slots.iter().all(|slot| slot.epoch == 1 && slot.history == first_history(UID)));
    assert_eq!(ring.loads(), [820, 819, 819, 819, 819]);
    assert_eq!(ring.member(3).map(|member| member.store), Some(StoreId(22)));
    assert_eq!(ring.member(5), None);
    let histories: BTreeSet<u16> = (0..10_000).map(|n| first_history(&format!("{UID}{n}"))).collect();
    assert!(histories.len() > 3_500 && histories.iter().all(|history| *history < 1 << 12));
}

#[test]
fn the_largest_ring_is_small() {
    let mut ring = Ring::begin(&"u".repeat(36), members(256), 16384, u64::MAX);
    const { assert!(form::BYTES_MAX <= 24 * 16384) };
    assert!(ring.encode().len() < 40_000, "{} bytes at the beginning", ring.encode().len());
    // Every slot with a life of its own, which deflate can do little about.
    for (n, slot) in ring.slots.iter_mut().enumerate() {
        slot.epoch = xxh3_64(&n.to_le_bytes());
        slot.history = (slot.epoch % u64::from(HISTORY_END)) as u16;
    }
    let bytes = ring.encode();
    assert!(bytes.len() <= 24 * 16384, "{} bytes", bytes.len());
    assert_eq!(Ring::decode(&bytes), Ok(ring));
}

/// Written by the first version; every later one places and reads the same.
#[test]
fn placement_and_form_never_change() {
    let mut text = String::new();
    let three = place(&[0, 1, 2], &[None; 64]);
    let four = place(&[0, 1, 2, 3], &kept(&three));
    let two = place(&[0, 2, 3], &kept(&four));
    for (name, owners) in [("0 1 2", three), ("and 3", four), ("without 1", two)] {
        let row: Vec<String> = owners.iter().map(u16::to_string).collect();
        let _ = writeln!(text, "{name}: {}", row.concat());
    }
    for (nodes, slots) in [(3, 256), (7, 4096), (50, 4096), (256, 16384)] {
        let ring = Ring::begin(UID, members(nodes), slots, 1);
        let owners: Vec<u8> = ring.slots.iter().flat_map(|slot| slot.owner.to_le_bytes()).collect();
        let _ = writeln!(text, "{nodes} nodes, {slots} slots: xxh3 {:016x}", xxh3_64(&owners));
        let _ = writeln!(text, "  the table: xxh3 {:016x}", xxh3_64(&form::table(&ring)));
    }
    let _ = writeln!(text, "first history of {UID}: {}", first_history(UID));
    expect_file!["../../vectors/ring.txt"].assert_eq(&text);
}

#[test]
fn a_ring_that_the_first_version_wrote_is_read() {
    let bytes = include_bytes!("../../vectors/ring-format-1.bin");
    assert!(Ring::decode(bytes) == Ok(Ring::begin(UID, members(3), 256, 5)));
}

#[test]
fn at_fifty_nodes_the_fullest_is_under_one_percent_over_the_mean() {
    let nodes: Vec<u16> = (0..50).collect();
    let owners = place(&nodes, &vec![None; 4096]);
    let fullest = loads(&nodes, &owners).into_iter().max().unwrap();
    assert!(fullest * 50 * 100 < 4096 * 101);
    let after = place(&(0..51).collect::<Vec<_>>(), &kept(&owners));
    assert_eq!(moved(&owners, &after), 4096 / 51);
}

#[test]
fn a_raised_ring_keeps_its_owners_and_raises_all_that_can_be_left_behind() {
    let mut before = Ring::begin(UID, members(3), 16, 1);
    before.revision = 7;
    let started = |member: Member| Member { incarnation: member.incarnation + 5, ..member };
    let members: Vec<Member> = before.members.iter().copied().map(started).collect();
    let after = before.raised(0, members.clone(), 12, "new").unwrap();
    assert_eq!((after.revision, after.parent, after.base), (8, 7, 12));
    assert_eq!((&after.members, &after.plan_uid), (&members, &before.plan_uid));
    let step = after.slots[0].history - before.slots[0].history;
    assert!((1..=31).contains(&step));
    let other = before.raised(0, members.clone(), 12, "other").unwrap();
    assert_ne!(other.slots[0].history, after.slots[0].history, "one moment, adopted twice");
    for (after, before) in after.slots.iter().zip(&before.slots) {
        let risen = Owned { owner: before.owner, epoch: before.epoch + 1, history: before.history + step };
        assert_eq!(*after, risen);
    }
    assert_eq!(Ring::decode(&after.encode()).as_ref(), Ok(&after));
    // One of revision 9 was lost: it may have raised each epoch twice, and this goes beyond it.
    let beyond = before.raised(9, members.clone(), 12, "new").unwrap();
    assert_eq!((beyond.revision, beyond.parent), (10, 7));
    assert!(beyond.slots.iter().zip(&before.slots).all(|(after, before)| after.epoch == before.epoch + 3));
    // Nor are versions given twice: each of the lost rings may have raised histories by 31.
    let step = beyond.slots[0].history - before.slots[0].history;
    assert!((63..=93).contains(&step), "{step}");
    for out_of_reach in [1 << 13, i64::MAX as u64, u64::MAX - 1, u64::MAX] {
        assert_eq!(before.raised(out_of_reach, members.clone(), 12, "new"), None, "{out_of_reach}");
    }
    assert_eq!(before.raised(7, members.clone(), 12, "new").unwrap().revision, 8);
    before.slots[3].history = HISTORY_END - 1;
    assert_eq!(before.raised(0, members, 12, "new"), None);
}
