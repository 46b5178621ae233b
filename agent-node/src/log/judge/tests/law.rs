//! Every byte flipped, and every pair of sectors torn: the verdict is what one says who knows what was written.

use super::super::super::format::{HEADER, Head, Kind, RECORD};
use super::super::{Damage, End};
use super::three;
use super::written::{File, Item, Records, SECTOR, Written, read};
use std::collections::BTreeSet;

/// What has to come of a log, out of the bytes that were written and those that are there. It shares no step with the
/// reader: it looks for nothing, since it knows where everything lies.
#[derive(Debug, Default, PartialEq)]
struct Verdict {
    mark: u64,
    lost: BTreeSet<(u16, u64)>,
    unnamed: bool,
    given: Vec<Head>,
    /// How many of them are up to the mark.
    synced: usize,
    warned: bool,
}

impl Item {
    fn is_whole(&self, files: &[File], from: usize, to: usize) -> bool {
        let bytes = &files[self.segment].bytes;
        bytes[self.at + from..self.at + to] == self.bytes[from..to]
    }

    fn has_header(&self, files: &[File]) -> bool {
        self.is_whole(files, 0, HEADER)
    }

    fn has_list(&self, files: &[File]) -> bool {
        self.is_whole(files, HEADER, self.head.body_at())
    }

    /// Whether its lists name the slots of a batch.
    fn names(&self, batch: u64) -> bool {
        match self.head.kind {
            Kind::Opening => batch < self.head.number,
            Kind::Records | Kind::Mark => batch + 2 >= self.head.number && batch < self.head.number,
            Kind::Closing => false,
        }
    }
}

/// What was written, without batches that a later segment does not count.
fn counted(written: &Written) -> Vec<&Item> {
    let counts = |item: &&Item| {
        let later = written.items.iter().filter(|later| later.segment > item.segment);
        let mut begun = later.filter(|later| later.head.kind == Kind::Opening);
        item.head.kind != Kind::Records || !begun.any(|opening| opening.head.number <= item.head.number)
    };
    written.items.iter().filter(counts).collect()
}

fn verdict(items: &[&Item], files: &[File]) -> Verdict {
    let readable: Vec<&Item> = items.iter().copied().filter(|item| item.has_header(files)).collect();
    let mut verdict = Verdict {
        mark: readable.iter().map(|item| item.head.synced).max().unwrap_or(0),
        ..Verdict::default()
    };
    let named = |batch| readable.iter().any(|item| item.names(batch) && item.has_list(files));
    let mut torn = false;
    for item in items.iter().filter(|item| !item.overwritten) {
        let synced = item.head.number <= verdict.mark;
        let header = item.has_header(files);
        for (at, head) in &item.records {
            if header && item.is_whole(files, at.start, at.end) {
                if !torn {
                    verdict.given.push(*head);
                    verdict.synced += usize::from(synced);
                }
                continue;
            }
            torn = true;
            if synced {
                verdict.lost.insert((head.slot, head.lsn));
                let head_is_whole = header && item.is_whole(files, at.start, at.start + RECORD);
                verdict.unnamed |= !named(item.head.number) && !head_is_whole;
            }
        }
        let whole = header && item.has_list(files) && item.is_whole(files, item.head.end(), item.bytes.len());
        let costs = item.head.kind == Kind::Closing && !header;
        verdict.warned |= synced && !whole && !costs;
    }
    verdict
}

fn check(records_written: &Records, items: &[&Item], files: &[File], what: &dyn Fn() -> String) {
    let wanted = verdict(items, files);
    let (records, End { until, damage, warnings, .. }) = read(files);
    assert_eq!(until.synced, wanted.mark, "the mark: {}", what());
    let Some(Damage { lost, unnamed, broken }) = damage else {
        assert!(wanted.lost.is_empty(), "{:?} are lost and nobody says so: {}", wanted.lost, what());
        let given: Vec<Head> = records.iter().map(|(head, _)| *head).collect();
        assert_eq!(given, wanted.given, "{}", what());
        assert!(records[..] == records_written[..records.len()], "{}", what());
        assert_eq!(!warnings.is_empty(), wanted.warned, "{warnings:?}: {}", what());
        let mut reached = vec![0; 1 << 16];
        for head in &given[..wanted.synced] {
            reached[usize::from(head.slot)] = head.lsn;
        }
        assert!(until.reached == reached && until.records == wanted.synced as u64, "{}", what());
        return;
    };
    let named: BTreeSet<(u16, u64)> =
        lost.iter().flat_map(|lost| (lost.after + 1..=lost.to).map(|lsn| (lost.slot, lsn))).collect();
    assert!(
        !broken.is_empty() && !wanted.lost.is_empty(),
        "{broken:?} {lost:?}, and nothing is lost: {}",
        what()
    );
    assert_eq!(unnamed, wanted.unnamed, "{}", what());
    if unnamed {
        assert!(named.is_subset(&wanted.lost), "{named:?} of {:?}: {}", wanted.lost, what());
    } else {
        assert_eq!(named, wanted.lost, "{}", what());
    }
}

/// Groups, marks that batches took the place of, a list that is longer than a sector, records of several sectors, a
/// second segment, and a group that was not synced.
fn long() -> Written {
    let mut written = three();
    let many: Vec<(u16, usize)> = (10..70).map(|slot| (slot, 5)).collect();
    written.batch(&many);
    written.sync();
    written.mark();
    written.batch(&[(1, 700), (3, 20)]);
    written.batch(&[(4, 10)]);
    written.sync();
    written.mark();
    written.roll();
    written.batch(&[(1, 10), (5, 600)]);
    written.sync();
    written.mark();
    written.batch(&[(2, 30)]);
    written.sync();
    written.batch(&[(6, 10)]);
    written.batch(&[(1, 10), (7, 10)]);
    written
}

fn ended() -> Written {
    let mut written = long();
    written.sync();
    written.mark();
    written
}

/// Segments over older ones, and a tail that was written anew while it was not cut where it lay.
fn recycled() -> Written {
    let older = long();
    let mut written = three();
    // Something that is no batch at all.
    let mut left = older.segments[1].bytes.clone();
    left.extend_from_slice(&older.segments[0].bytes);
    written.recycled = left.into_iter().map(|byte| byte ^ 0x11).collect();
    written.roll();
    written.batch(&[(1, 10), (5, 600)]);
    written.sync();
    written.batch(&[(2, 30), (4, 900)]);
    written.recycled = older.segments[0].bytes.clone();
    let (_, end) = written.read();
    written.restart(end);
    written.batch(&[(5, 10), (8, 10)]);
    written.sync();
    written.mark();
    written.batch(&[(8, 10)]);
    written.sync();
    written.mark();
    written
}

#[test]
fn every_byte_flipped_has_the_verdict_of_one_who_knows() {
    for (name, written) in [("long", long()), ("ended", ended()), ("recycled", recycled())] {
        let items = counted(&written);
        check(&written.records, &items, &written.segments, &|| name.into());
        let mut files = written.segments.clone();
        for segment in 0..files.len() {
            for at in 0..files[segment].bytes.len() {
                let byte = files[segment].bytes[at];
                files[segment].bytes[at] ^= 1 << (at % 8);
                check(&written.records, &items, &files, &|| {
                    format!("{name}: byte {at} of segment {}", segment + 1)
                });
                files[segment].bytes[at] = byte;
            }
        }
    }
}

/// A sector, and what stands in it.
type Torn<'a> = (usize, usize, &'a [u8]);

#[test]
fn every_pair_of_sectors_torn_has_the_verdict_of_one_who_knows() {
    const ZEROS: [u8; SECTOR] = [0; SECTOR];
    for (name, written) in [("long", long()), ("ended", ended()), ("recycled", recycled())] {
        let items = counted(&written);
        let mut torn: Vec<Torn> = Vec::new();
        for (segment, file) in written.segments.iter().enumerate() {
            for at in (0..file.bytes.len()).step_by(SECTOR) {
                let (has, before) = (&file.bytes[at..at + SECTOR], &file.before[at..at + SECTOR]);
                torn.extend((*has != ZEROS).then_some((segment, at, &ZEROS[..])));
                torn.extend((has != before && *before != ZEROS).then_some((segment, at, before)));
            }
        }
        let mut files = written.segments.clone();
        let tear = |files: &mut Vec<File>, &(segment, at, bytes): &Torn| {
            files[segment].bytes[at..at + SECTOR].copy_from_slice(bytes);
        };
        let mend = |files: &mut Vec<File>, &(segment, at, _): &Torn| {
            files[segment].bytes[at..at + SECTOR]
                .copy_from_slice(&written.segments[segment].bytes[at..at + SECTOR]);
        };
        for (n, one) in torn.iter().enumerate() {
            tear(&mut files, one);
            for other in &torn[n..] {
                tear(&mut files, other);
                check(&written.records, &items, &files, &|| {
                    let place = |(segment, at, bytes): &Torn| {
                        format!(
                            "{at} of segment {} ({})",
                            segment + 1,
                            if **bytes == ZEROS { "zeros" } else { "old" }
                        )
                    };
                    format!("{name}: {} and {}", place(one), place(other))
                });
                mend(&mut files, other);
                tear(&mut files, one);
            }
            mend(&mut files, one);
        }
    }
}
