//! Bytes of segments that were cut, lost or changed: what is a torn tail, and what is damage.

mod law;
mod written;

use super::super::format::{BLOCK, HEADER, NotABatch, RECORD, frame};
use super::*;
use proptest::prelude::*;
use written::{STORE, Written, read, read_from};

/// Three synced batches and the mark after them.
fn three() -> Written {
    let mut written = Written::new();
    for records in [&[(1, 10), (2, 10)][..], &[(1, 10), (3, 10), (1, 10)], &[(2, 10)]] {
        written.batch(records);
        written.sync();
    }
    written.mark();
    written
}

fn lost(slot: u16, after: u64, to: u64) -> Lost {
    Lost { slot, after, to }
}

#[test]
fn damage_names_the_broken_part_and_exactly_the_slots_that_lost_something() {
    let second = BLOCK * 2;
    let records = second + HEADER + 2 * 10;
    let record = RECORD + 10;
    let cases: [(usize, Part, &[Lost]); 6] = [
        (BLOCK, Part::Header, &[lost(1, 0, 1), lost(2, 0, 1)]),
        (second, Part::Header, &[lost(1, 1, 3), lost(3, 0, 1)]),
        (records, Part::Record, &[lost(1, 1, 2)]),
        (records + record + RECORD, Part::Record, &[lost(3, 0, 1)]),
        (records + 2 * record, Part::Record, &[lost(1, 2, 3)]),
        (BLOCK * 3 + HEADER + 4 * 10, Part::Record, &[lost(2, 1, 2)]),
    ];
    for (at, part, lost) in cases {
        let mut written = three();
        written.segments[0].bytes[at] ^= 1;
        let (_, end) = written.read();
        let damage = end.damage.unwrap();
        assert_eq!((damage.broken.len(), damage.broken[0].part), (1, part), "{at}");
        assert_eq!((&damage.lost[..], damage.unnamed), (lost, false), "{at}");
    }
}

#[test]
fn what_holds_no_record_costs_none() {
    let second = BLOCK * 2;
    for (at, part) in [
        (0, Part::Header),
        (50, Part::Header),
        (HEADER, Part::Filler),
        (BLOCK - 1, Part::Filler),
        (second + HEADER, Part::List),
        (second + HEADER + 2 * 10 + 3 * (RECORD + 10), Part::Filler),
        (BLOCK * 3 - 1, Part::Filler),
    ] {
        let mut written = three();
        written.segments[0].bytes[at] ^= 1;
        let (records, end) = written.read();
        assert_eq!((records, end.damage), (written.records.clone(), None), "{at}");
        let parts: Vec<_> = end.warnings.iter().map(|place| place.part).collect();
        assert_eq!(parts, [part], "{at}");
    }
}

#[test]
fn a_broken_opening_of_a_segment_with_records_on_both_sides_loses_nothing() {
    let mut written = three();
    written.roll();
    for records in [&[(1, 10)][..], &[(7, 10)]] {
        written.batch(records);
        written.sync();
    }
    written.mark();
    for at in [0, 90, HEADER, HEADER + 25, HEADER + 40, BLOCK - 1] {
        let mut broken = written.segments.clone();
        broken[1].bytes[at] ^= 0x10;
        let (records, end) = read(&broken);
        assert_eq!((&records, &end.damage, end.warnings.len()), (&written.records, &None, 1), "{at}");
        assert_eq!((end.warnings[0].segment, end.torn_bytes), (2, 0), "{at}");
    }
}

#[test]
fn two_batches_gone_in_a_row_name_their_slots() {
    let mut written = three();
    written.segments[0].bytes[BLOCK] ^= 1;
    written.segments[0].bytes[BLOCK * 2] ^= 1;
    let (records, end) = written.read();
    assert_eq!(records, []);
    let damage = end.damage.unwrap();
    assert_eq!(
        (&damage.lost[..], damage.unnamed),
        (&[lost(1, 0, 3), lost(2, 0, 1), lost(3, 0, 1)][..], false)
    );
    assert_eq!(
        damage.to_string(),
        "segment 1 at byte 4096: the header of a batch is broken; slot 1 lost LSN 1 to 3; \
         slot 2 lost LSN 1 to 1; slot 3 lost LSN 1 to 1"
    );
}

#[test]
fn three_batches_gone_in_a_row_say_that_there_may_be_more_until_an_opening_names_all() {
    let mut written = Written::new();
    for slot in [5, 6, 7, 8] {
        written.batch(&[(slot, 10)]);
        written.sync();
    }
    for at in 1..4 {
        written.segments[0].bytes[at * BLOCK] ^= 1;
    }
    let damage = written.read().1.damage.unwrap();
    assert_eq!((&damage.lost[..], damage.unnamed), (&[lost(6, 0, 1), lost(7, 0, 1)][..], true));
    assert!(damage.to_string().ends_with("other slots may have lost records too"), "{damage}");
    written.roll();
    let damage = written.read().1.damage.unwrap();
    assert_eq!(damage.lost, [lost(5, 0, 1), lost(6, 0, 1), lost(7, 0, 1)]);
    assert!(!damage.unnamed);
}

#[test]
fn two_faults_in_one_group_lose_records_in_both_batches() {
    let mut written = Written::new();
    for slot in 0..8 {
        written.batch(&[(slot, 30)]);
    }
    written.sync();
    written.mark();
    written.segments[0].bytes[5 * BLOCK] ^= 1;
    written.break_body(7);
    let damage = written.read().1.damage.unwrap();
    assert_eq!((&damage.lost[..], damage.unnamed), (&[lost(4, 0, 1), lost(7, 0, 1)][..], false));
    assert_eq!(damage.broken.len(), 2);
}

#[test]
fn a_segment_that_is_not_there_is_damage_that_names_all_its_slots() {
    let mut written = Written::new();
    for slot in [1, 2, 3] {
        for more in [0, 10, 20, 30] {
            written.batch(&[(slot + more, 5)]);
            written.sync();
        }
        written.roll();
    }
    for (segment, slot) in [(0, 1), (1, 2), (2, 3)] {
        let mut gone = written.segments.clone();
        gone[segment].bytes.clear();
        let damage = read(&gone).1.damage.unwrap();
        let slots: Vec<_> = damage.lost.iter().map(|lost| lost.slot).collect();
        assert_eq!((slots, damage.unnamed), (vec![slot, slot + 10, slot + 20, slot + 30], false));
        assert_eq!(damage.broken[0].part, Part::Segment);
    }
    written.segments.pop();
    let damage = written.read().1.damage.unwrap();
    assert_eq!((damage.lost.len(), damage.unnamed), (0, true));
    let text =
        "segment 3: the file of the segment after it is not there; other slots may have lost records too";
    assert_eq!(damage.to_string(), text);
}

#[test]
fn a_tail_that_was_written_anew_counts_once_and_what_was_cut_does_not_come_back() {
    for (whole_again, opening_broken) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut written = Written::new();
        written.batch(&[(1, 10)]);
        written.sync();
        written.batch(&[(1, 20), (2, 20), (3, 20)]);
        // The last record of the tail is torn when the tail is renewed, and whole again when it is read later.
        let whole = written.segments[0].clone();
        written.break_body(3);
        let (records, end) = written.read();
        assert_eq!((records.len(), &end.damage), (3, &None));
        assert_eq!((end.until.synced, end.until.records), (1, 1));
        assert!(end.torn_bytes > 0);
        written.restart(end);
        written.batch(&[(3, 4)]);
        written.sync();
        written.mark();
        if whole_again {
            written.segments[0] = whole;
        }
        written.segments[1].bytes[70] ^= u8::from(opening_broken);
        let (records, end) = written.read();
        assert_eq!(records, written.records);
        assert_eq!((end.damage, end.torn_bytes, end.records), (None, 0, 4));
    }
}

#[test]
fn a_log_ends_within_its_file_whatever_a_header_promises() {
    let mut written = three();
    written.roll();
    for length in [BLOCK, HEADER + 5, HEADER] {
        written.segments[1].bytes.truncate(length);
        let end = written.read().1;
        assert!(end.content.is_some_and(|(segment, at)| segment == 2 && at <= length), "{end:?}");
    }
}

#[test]
fn a_segment_that_was_made_and_never_begun_is_none() {
    let older = three().segments[0].bytes.clone();
    for content in [vec![0; 3 * BLOCK], vec![7; BLOCK], older] {
        let torn = if content[0] == 7 { BLOCK as u64 } else { 0 };
        let mut written = three();
        written.closing();
        written.add_file(content.clone());
        let (records, end) = written.read();
        assert_eq!((records, end.damage, end.torn_bytes), (written.records.clone(), None, torn));
        let mut judge = Judge::new(STORE, 1, &Covered::default());
        assert_eq!(judge.segment(2, &content, None, &mut |_| Ok(())), Ok(false));
    }
}

/// Three segments with slots of which some have no records in the last one.
fn three_segments() -> Written {
    let mut written = three();
    written.roll();
    written.batch(&[(1, 10), (4, 10)]);
    written.sync();
    written.roll();
    written.batch(&[(1, 10), (5, 10), (2, 10)]);
    written.sync();
    written.mark();
    written
}

fn covered(lsns: &[(u16, u64)]) -> Covered {
    let mut covered = Covered::default();
    for &(slot, lsn) in lsns {
        covered.note(slot, lsn, Position(0));
    }
    covered
}

/// The first segment that is there, what snapshots have, what is lost.
type Case<'a> = (u64, &'a [(u16, u64)], &'a [Lost]);

#[test]
fn segments_may_go_when_snapshots_have_what_was_in_them_and_only_then() {
    let written = three_segments();
    // What the log has before the third segment: 1: 4, 2: 2, 3: 1, 4: 1.
    let cases: [Case; 7] = [
        (1, &[], &[]),
        (3, &[(1, 4), (2, 2), (3, 1), (4, 1)], &[]),
        (3, &[(1, 5), (2, 3), (3, 1), (4, 1), (5, 1)], &[]),
        (3, &[(1, 4), (2, 2), (3, 1)], &[lost(4, 0, 1)]),
        (3, &[(1, 2), (2, 2), (4, 1)], &[lost(1, 2, 4), lost(3, 0, 1)]),
        (2, &[(1, 3), (2, 2), (3, 1)], &[]),
        (2, &[(1, 3), (2, 1), (3, 1)], &[lost(2, 1, 2)]),
    ];
    for (first, lsns, lost) in cases {
        let (records, end) = read_from(&written.segments, first, &covered(lsns));
        let damage = end.damage.map(|damage| (damage.lost, damage.broken.len(), damage.unnamed));
        let wanted = (!lost.is_empty()).then(|| (lost.to_vec(), 1, false));
        assert_eq!(damage, wanted, "{first} {lsns:?}");
        if lost.is_empty() {
            let there = &written.records[[0, 6, 8][first as usize - 1]..];
            assert_eq!((&records[..], end.position), (there, Position(11)), "{first} {lsns:?}");
            assert_eq!((end.until.records, end.until.reached[1]), (11, 5));
            assert_eq!(end.until.reached[3], 1, "a slot without records in what is there");
        }
    }
}

#[test]
fn without_the_opening_after_segments_that_have_gone_snapshots_and_records_say_what_is_missing() {
    let mut written = three_segments();
    written.segments[1].bytes[60] ^= 1;
    let all = covered(&[(1, 3), (2, 2), (3, 1)]);
    let (records, end) = read_from(&written.segments, 2, &all);
    assert_eq!((&records[..], end.damage, end.warnings.len()), (&written.records[6..], None, 1));
    // A record that does not follow, and a slot that only the next opening names.
    for (lsns, lost) in [(&[(1, 2), (2, 2), (3, 1)][..], lost(1, 2, 3)), (&[(1, 3), (2, 2)], lost(3, 0, 1))] {
        let (_, end) = read_from(&written.segments, 2, &covered(lsns));
        assert_eq!(end.damage.unwrap().lost, [lost], "{lsns:?}");
    }
}

#[test]
fn a_log_that_ends_before_what_snapshots_know_is_damaged() {
    let written = three();
    let mut known = Covered::default();
    known.note(1, 1, Position(6));
    assert_eq!(read_from(&written.segments, 1, &known).1.damage, None);
    known.note(1, 1, Position(7));
    let damage = read_from(&written.segments, 1, &known).1.damage.unwrap();
    assert_eq!((damage.lost.len(), damage.unnamed), (0, true));
    assert!(damage.to_string().contains("the log ends before records"), "{damage}");
}

#[test]
fn a_segment_missing_between_others_is_damage_though_the_first_have_gone() {
    let mut written = three_segments();
    written.roll();
    written.batch(&[(1, 10)]);
    written.sync();
    written.segments[2].bytes.clear();
    let (_, end) = read_from(&written.segments, 2, &covered(&[(1, 9), (2, 9), (3, 9), (4, 9), (5, 9)]));
    let lost_there = [lost(1, 4, 5), lost(2, 2, 3), lost(5, 0, 1)];
    assert_eq!(end.damage.unwrap().lost, lost_there);
}

#[test]
fn bytes_of_another_store_segment_or_salt_are_no_batches() {
    for change in 0..3 {
        let mut written = three();
        let at = written.segments[0].bytes.len() - BLOCK;
        let mut ident = written.ident;
        match change {
            0 => ident.store += 1,
            1 => ident.segment += 1,
            _ => ident.salt += 1,
        }
        let mut frames = Vec::new();
        frame(&Head { slot: 1, lsn: 9, ..Head::default() }, b"forged", &mut frames);
        let mut forged = Vec::new();
        written.chain.batch(&ident, &frames, &mut forged);
        written.segments[0].bytes.truncate(at);
        written.segments[0].bytes.extend_from_slice(&forged);
        let (records, end) = written.read();
        assert_eq!((records, end.damage), (written.records.clone(), None));
        assert_eq!(end.torn_bytes > 0, change != 1, "another segment's batch is what an older log has left");
    }
}

#[test]
fn a_refusal_names_the_record() {
    let written = three();
    let mut judge = Judge::new(STORE, 1, &Covered::default());
    let refusal = judge.segment(1, &written.segments[0].bytes, None, &mut |seen| match seen {
        Seen::Record(_, head, _) if head.slot == 3 => Err("no".into()),
        _ => Ok(()),
    });
    let head = Head { slot: 3, epoch: 1, incarnation: 1, lsn: 1 };
    assert_eq!(refusal, Err(Stop::Refused { head, why: "no".into() }));
}

/// The first segment, its opening of this format and with this change.
fn of_format(format: u16, summed: usize, change: impl Fn(&mut [u8])) -> Result<bool, Stop> {
    let mut bytes = three().segments.remove(0).bytes;
    bytes[8..10].copy_from_slice(&format.to_le_bytes());
    change(&mut bytes);
    let crc = crc32c::crc32c(&bytes[8..summed]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    assert!(!matches!(BatchHead::decode(&bytes), Err(NotABatch::Broken)));
    Judge::new(STORE, 1, &Covered::default()).segment(1, &bytes, None, &mut |_| Ok(()))
}

#[test]
fn another_format_is_one_only_in_a_batch_of_this_store_and_segment() {
    assert_eq!(of_format(1, 96, |_| ()), Err(Stop::OtherFormat(1)));
    assert_eq!(of_format(9, HEADER, |_| ()), Err(Stop::OtherFormat(9)));
    assert_eq!(of_format(9, HEADER, |bytes| bytes[17] ^= 1), Ok(true), "of another store");
    assert_eq!(of_format(9, HEADER, |bytes| bytes[40] ^= 1), Ok(true), "of another segment");
    let mut bytes = three().segments.remove(0).bytes;
    bytes[8] = 9;
    assert_eq!(
        Judge::new(STORE, 1, &Covered::default()).segment(1, &bytes, None, &mut |_| Ok(())),
        Ok(true),
        "its sum is wrong"
    );
}

/// Batches, as slots and lengths of their records, and whether a segment begins before them.
type Group = (Vec<Vec<(u16, usize)>>, bool);

/// Groups of batches that one sync brings to the disk, some of them after the beginning of a segment.
fn groups() -> impl Strategy<Value = Vec<Group>> {
    let records = prop::collection::vec((0..5_u16, 0..3000_usize), 1..6);
    prop::collection::vec((prop::collection::vec(records, 1..4), any::<bool>()), 1..8)
}

fn write(groups: &[Group]) -> Written {
    let mut written = Written::new();
    for (batches, roll) in groups {
        if *roll {
            written.roll();
        }
        for batch in batches {
            written.batch(batch);
        }
        written.sync();
    }
    written
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_was_written_comes_back(groups in groups(), marked: bool) {
        let mut written = write(&groups);
        if marked {
            written.mark();
        }
        let (records, end) = written.read();
        prop_assert_eq!(&records, &written.records);
        prop_assert_eq!((end.damage, end.torn_bytes), (None, 0));
        let tail = if marked { 0 } else { groups.last().unwrap().0.iter().map(Vec::len).sum() };
        prop_assert_eq!(end.until.records as usize, records.len() - tail);
    }

    #[test]
    fn a_chain_goes_on_after_a_start_as_if_there_had_been_none(groups in groups(), more in groups(), marked: bool) {
        let mut written = write(&groups);
        if marked {
            written.mark();
        }
        let (_, end) = written.read();
        written.restart(end);
        for batch in more.iter().flat_map(|(batches, _)| batches) {
            written.batch(batch);
            written.sync();
        }
        let (records, end) = written.read();
        prop_assert_eq!(&records, &written.records);
        prop_assert_eq!((end.damage, end.torn_bytes), (None, 0));
    }

    #[test]
    fn a_cut_anywhere_in_the_tail_leaves_a_prefix(groups in groups(), marked: bool, cut: prop::sample::Index) {
        let mut written = write(&groups);
        if marked {
            written.mark();
        }
        let last = written.segments.len() - 1;
        let cut = cut.index(written.segments[last].bytes.len() + 1).max(1);
        written.segments[last].bytes.truncate(cut);
        let (records, end) = written.read();
        prop_assert_eq!(&end.damage, &None);
        prop_assert_eq!(&records[..], &written.records[..records.len()]);
        let whole = |item: &&written::Item| item.segment < last || item.at + item.bytes.len() <= cut;
        let least: usize = written.items.iter().filter(whole).map(|item| item.records.len()).sum();
        prop_assert!(records.len() >= least, "{} of at least {}", records.len(), least);
    }

    #[test]
    fn blocks_of_an_unsynced_group_may_be_missing_in_any_way(
        groups in groups(),
        last in prop::collection::vec(prop::collection::vec((0..5_u16, 0..3000_usize), 1..6), 1..4),
        roll: bool,
        missing in prop::collection::vec(any::<bool>(), 64),
    ) {
        let mut written = write(&groups);
        let acknowledged = written.records.len();
        let mut from = written.segments.last().unwrap().bytes.len();
        if roll {
            written.roll();
            from = 0;
        }
        for batch in &last {
            written.batch(batch);
        }
        let tail = &mut written.segments.last_mut().unwrap().bytes[from..];
        for (sector, gone) in tail.chunks_mut(512).zip(missing.iter().cycle()) {
            if *gone {
                sector.fill(0);
            }
        }
        let (records, end) = written.read();
        prop_assert_eq!(&end.damage, &None);
        prop_assert_eq!(&records[..], &written.records[..records.len()]);
        prop_assert!(records.len() >= acknowledged);
        written.restart(end);
        let (records, end) = written.read();
        prop_assert_eq!((&records, &end.damage, end.torn_bytes), (&written.records, &None, 0));
    }

    #[test]
    fn no_bytes_make_it_panic(mut groups in groups(), noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        groups.truncate(3);
        let mut written = write(&groups);
        for (at, byte) in noise {
            let segment = &mut written.segments[0].bytes;
            let length = segment.len();
            segment[at.index(length)] = byte;
        }
        written.read();
    }
}
