//! Bytes of segments that were cut, lost or changed: what is a torn tail, and what is damage.

use super::super::chain::Chain;
use super::super::format::{HEADER, Ident, RECORD, frame};
use super::*;
use proptest::prelude::*;

const STORE: u128 = 0xabc;

type Records = Vec<(Head, Vec<u8>)>;

/// A log in memory, written as the writer does it.
struct Written {
    segments: Vec<Vec<u8>>,
    records: Records,
    chain: Chain,
    ident: Ident,
    lsns: Vec<u64>,
    /// Where each batch lies: segment, byte, records before it.
    batches: Vec<(usize, usize, usize)>,
}

impl Written {
    fn new() -> Written {
        let mut written = Written {
            segments: Vec::new(),
            records: Vec::new(),
            chain: Chain::new(STORE, 1, 0, 0, Vec::new()),
            ident: Ident { store: STORE, segment: 0, salt: 1 },
            lsns: vec![0; 1 << 16],
            batches: Vec::new(),
        };
        written.roll();
        written
    }

    fn roll(&mut self) {
        self.ident.segment += 1;
        self.ident.salt += 99;
        self.segments.push(Vec::new());
        self.mark(Kind::Opening);
    }

    fn batch(&mut self, records: &[(u16, usize)]) {
        let mut frames = Vec::new();
        let before = self.records.len();
        for &(slot, length) in records {
            let lsn = &mut self.lsns[usize::from(slot)];
            *lsn += 1;
            let head = Head { slot, epoch: 1, incarnation: 1, lsn: *lsn };
            let body = (0..length).map(|n| (n * 31 + self.records.len()) as u8).collect::<Vec<_>>();
            frame(&head, &body, &mut frames);
            self.records.push((head, body));
        }
        let segment = self.segments.len() - 1;
        self.batches.push((segment, self.segments[segment].len(), before));
        self.chain.batch(&self.ident, &frames, &mut self.segments[segment]);
    }

    fn sync(&mut self) {
        self.chain.synced = self.chain.number - 1;
    }

    fn mark(&mut self, kind: Kind) {
        self.chain.mark(kind, &self.ident, self.segments.last_mut().unwrap());
    }

    /// What comes back.
    fn read(&self) -> (Records, End) {
        read(&self.segments)
    }
}

fn read(segments: &[Vec<u8>]) -> (Records, End) {
    let mut records = Vec::new();
    let mut scan = Scan::new(STORE);
    let openings: Vec<Option<u64>> = segments
        .iter()
        .map(|bytes| {
            BatchHead::decode(bytes).ok().filter(|head| head.kind == Kind::Opening).map(|head| head.number)
        })
        .collect();
    for (place, bytes) in segments.iter().enumerate() {
        let until = openings[place + 1..].iter().find_map(|opening| *opening);
        let mut each = |seen: Seen| {
            if let Seen::Record(_, head, body) = seen {
                records.push((head, body.to_vec()));
            }
            Ok(())
        };
        scan.segment(place as u64 + 1, bytes, until, &mut each).unwrap();
    }
    (records, scan.end())
}

/// Three synced batches and the mark after them.
fn three() -> Written {
    let mut written = Written::new();
    for records in [&[(1, 10), (2, 10)][..], &[(1, 10), (3, 10), (1, 10)], &[(2, 10)]] {
        written.batch(records);
        written.sync();
    }
    written.mark(Kind::Mark);
    written
}

fn lost(slot: u16, after: u64, to: u64) -> Lost {
    Lost { slot, after, to }
}

#[test]
fn damage_names_exactly_the_slots_that_lost_something() {
    let second = BLOCK * 2;
    let list = HEADER + 2 * 10;
    let record = RECORD + 10;
    let cases: [(usize, &str, &[Lost]); 8] = [
        (BLOCK, "the header of a batch is broken", &[lost(1, 0, 1), lost(2, 0, 1)]),
        (second, "the header of a batch is broken", &[lost(1, 1, 3), lost(3, 0, 1)]),
        (second + HEADER, "the list in a batch's header is broken", &[lost(1, 1, 3), lost(3, 0, 1)]),
        (second + list, "a record is broken", &[lost(1, 1, 3), lost(3, 0, 1)]),
        (second + list + record + RECORD, "a record is broken", &[lost(1, 2, 3), lost(3, 0, 1)]),
        (second + list + 2 * record, "a record is broken", &[lost(1, 2, 3)]),
        (second + list + 3 * record, "what follows the records is not zero", &[]),
        (BLOCK * 3 + HEADER + 2 * 10, "a record is broken", &[lost(2, 1, 2)]),
    ];
    for (at, why, lost) in cases {
        let mut written = three();
        written.segments[0][at] ^= 1;
        let (records, end) = written.read();
        assert_eq!(end.damage.len(), 1, "{at}: {:?}", end.damage);
        assert_eq!(end.damage[0].harmless, lost.is_empty());
        assert_eq!(records == written.records, lost.is_empty(), "what is harmless withholds nothing");
        assert_eq!(
            (end.damage[0].why, &end.damage[0].lost[..], end.damage[0].more),
            (why, lost, false),
            "{at}"
        );
    }
}

#[test]
fn two_batches_gone_in_a_row_say_that_there_may_be_more() {
    let mut written = three();
    written.segments[0][BLOCK] ^= 1;
    written.segments[0][BLOCK * 2] ^= 1;
    let (records, end) = written.read();
    assert_eq!(records, []);
    assert_eq!(end.damage.len(), 1);
    assert!(end.damage[0].more);
    let text = end.damage[0].to_string();
    assert!(text.contains("slot 3 lost LSN 1 to 1"), "{text}");
    assert!(text.contains("other slots may have lost records too"), "{text}");
}

#[test]
fn a_segment_gone_from_the_middle_is_damage() {
    let mut written = Written::new();
    for slot in [1, 2, 3] {
        written.batch(&[(slot, 5)]);
        written.sync();
        written.roll();
    }
    written.segments[1].clear();
    let (records, end) = written.read();
    assert_eq!(records.len(), 1);
    assert_eq!(end.damage[0].lost, [lost(2, 0, 1)]);
}

#[test]
fn a_tail_that_was_written_anew_counts_once_and_what_was_cut_does_not_come_back() {
    for broken in [false, true] {
        let mut written = Written::new();
        written.batch(&[(1, 10)]);
        written.sync();
        written.batch(&[(1, 20), (2, 20), (3, 20)]);
        let (first, at, _) = written.batches[1];
        // The last record of the tail is torn when the tail is renewed, and whole again when it is read later.
        let whole = written.segments[first].clone();
        written.segments[first][at + HEADER + 10 + 2 * (RECORD + 20)] ^= 1;
        let (records, end) = written.read();
        assert_eq!((records.len(), end.damage.len(), end.synced, end.first), (3, 0, 1, 1));
        assert!(end.torn_bytes > 0);
        let frames = end.unsynced.iter().flat_map(|range| written.segments[0][range.clone()].to_vec());
        let frames: Vec<u8> = frames.collect();
        written.chain = Chain::new(STORE, 2, end.synced, end.first, end.list);
        written.roll();
        written.chain.batch(&written.ident, &frames, &mut written.segments[1]);
        written.records.truncate(3);
        written.lsns[3] = 0;
        written.sync();
        written.batch(&[(3, 4)]);
        written.sync();
        written.mark(Kind::Mark);
        if !broken {
            written.segments[0] = whole;
        }
        let (records, end) = written.read();
        assert_eq!(records, written.records);
        assert_eq!((end.damage.len(), end.torn_bytes, end.records), (0, 0, 4));
    }
}

#[test]
fn a_segment_that_was_made_and_never_begun_is_none() {
    for content in [vec![], vec![0; 3 * BLOCK], vec![7; BLOCK]] {
        let mut written = three();
        written.segments.push(content.clone());
        let (records, end) = written.read();
        assert_eq!((records, end.damage), (written.records.clone(), vec![]));
        let mut scan = Scan::new(STORE);
        assert_eq!(scan.segment(1, &content, None, &mut |_| Ok(())), Ok(false));
    }
}

#[test]
fn bytes_of_another_store_segment_or_salt_are_no_batches() {
    for change in 0..3 {
        let mut written = three();
        let at = written.segments[0].len() - BLOCK;
        let mut ident = written.ident;
        match change {
            0 => ident.store += 1,
            1 => ident.segment += 1,
            _ => ident.salt += 1,
        }
        written.segments[0].truncate(at);
        let mut frames = Vec::new();
        frame(&Head { slot: 1, lsn: 9, ..Head::default() }, b"forged", &mut frames);
        written.chain.batch(&ident, &frames, &mut written.segments[0]);
        let (records, end) = written.read();
        assert_eq!(records, written.records);
        assert_eq!(end.damage, []);
        assert!(end.torn_bytes > 0);
    }
}

#[test]
fn a_refusal_names_the_record_and_a_newer_format_its_segment() {
    let written = three();
    let mut scan = Scan::new(STORE);
    let refusal = scan.segment(1, &written.segments[0], None, &mut |seen| match seen {
        Seen::Record(_, head, _) if head.slot == 3 => Err("no".into()),
        _ => Ok(()),
    });
    let head = Head { slot: 3, epoch: 1, incarnation: 1, lsn: 1 };
    assert_eq!(refusal, Err(Stop::Refused { head, why: "no".into() }));
    let mut bytes = written.segments[0].clone();
    bytes[8] = 9;
    let crc = crc32c::crc32c(&bytes[8..HEADER]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    let newer = Scan::new(STORE).segment(1, &bytes, None, &mut |_| Ok(()));
    assert_eq!(newer, Err(Stop::Newer { segment: 1, format: 9 }));
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
            written.mark(Kind::Mark);
        }
        let (records, end) = written.read();
        prop_assert_eq!(&records, &written.records);
        prop_assert_eq!((end.damage, end.torn_bytes), (vec![], 0));
        let tail = if marked { 0 } else { groups.last().unwrap().0.iter().map(Vec::len).sum() };
        prop_assert_eq!(end.first as usize, records.len() - tail);
    }

    #[test]
    fn a_cut_anywhere_in_the_tail_leaves_a_prefix(groups in groups(), marked: bool, cut: prop::sample::Index) {
        let mut written = write(&groups);
        if marked {
            written.mark(Kind::Mark);
        }
        let last = written.segments.len() - 1;
        let cut = cut.index(written.segments[last].len() + 1);
        written.segments[last].truncate(cut);
        let (records, end) = written.read();
        prop_assert_eq!(&end.damage, &vec![]);
        prop_assert_eq!(&records[..], &written.records[..records.len()]);
        let whole = |&&(segment, at, _): &&(usize, usize, usize)| segment < last || at + BLOCK <= cut;
        let least = written.batches
            .iter().rfind(whole).map_or(0, |batch| batch.2);
        prop_assert!(records.len() >= least, "{} of at least {}", records.len(), least);
    }

    #[test]
    fn a_flipped_byte_before_the_mark_is_found(
        groups in groups(),
        segment: prop::sample::Index,
        at: prop::sample::Index,
        flip in 1..=255_u8,
    ) {
        let mut written = write(&groups);
        let last = written.segments.len() - 1;
        let marked_at = written.segments[last].len();
        written.mark(Kind::Mark);
        // A segment of nothing but its opening loses nothing with it.
        let segment = written.batches[segment.index(written.batches.len())].0;
        let length = if segment == last { marked_at } else { written.segments[segment].len() };
        written.segments[segment][at.index(length)] ^= flip;
        let (records, end) = written.read();
        prop_assert_eq!(&records[..], &written.records[..records.len()]);
        prop_assert!(!end.damage.is_empty());
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
        let mut from = written.segments.last().unwrap().len();
        if roll {
            written.roll();
            from = 0;
        }
        for batch in &last {
            written.batch(batch);
        }
        let tail = &mut written.segments.last_mut().unwrap()[from..];
        for (sector, gone) in tail.chunks_mut(512).zip(missing.iter().cycle()) {
            if *gone {
                sector.fill(0);
            }
        }
        let (records, end) = written.read();
        prop_assert_eq!(&end.damage, &vec![]);
        prop_assert_eq!(&records[..], &written.records[..records.len()]);
        prop_assert!(records.len() >= acknowledged);
    }

    #[test]
    fn no_bytes_make_it_panic(mut groups in groups(), noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        groups.truncate(3);
        let mut written = write(&groups);
        for (at, byte) in noise {
            let segment = &mut written.segments[0];
            let length = segment.len();
            segment[at.index(length)] = byte;
        }
        written.read();
    }
}
