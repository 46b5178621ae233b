//! Any bytes as a segment, with the laws that hold for what is read. Its sums are made right where the bytes ask for
//! it, since nobody finds a sum by chance.

use super::covered::Covered;
use super::format::{self, BLOCK, BatchHead, HEADER};
use super::judge::{Judge, Seen};

const STORE: u128 = 7;

/// What is given out are the records that the end counts, at rising places, and a damaged log names a place.
pub fn segment(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    sum(&mut bytes);
    let mut judge = Judge::new(STORE, 1, &Covered::default());
    let (mut given, mut last) = (0, None);
    let read = judge.segment(1, &bytes, None, &mut |seen| {
        if let Seen::Record(position, _, body) = seen {
            assert!(last < Some(position), "{position:?} comes after {last:?}");
            assert!(body.len() <= bytes.len());
            (given, last) = (given + 1, Some(position));
        }
        Ok(())
    });
    if read.is_err() {
        return;
    }
    let end = judge.end(1);
    assert_eq!(end.records, given);
    assert!(end.unsynced.iter().all(|range| range.end <= bytes.len()));
    assert!(end.content.is_none_or(|(segment, at)| segment == 1 && at <= bytes.len()));
    assert!(end.torn_bytes <= bytes.len() as u64);
    assert!(end.damage.is_none_or(|damage| !damage.broken.is_empty()));
}

/// Each block whose first byte is `S` gets the fixed fields and sums of a sound batch, and its records theirs.
fn sum(bytes: &mut [u8]) {
    for at in (0..bytes.len()).step_by(BLOCK) {
        let batch = &mut bytes[at..];
        if batch.len() < HEADER || batch[0] != b'S' {
            continue;
        }
        batch[..4].copy_from_slice(b"SHLB");
        batch[8..10].copy_from_slice(&format::VERSION.to_le_bytes());
        batch[16..32].copy_from_slice(&STORE.to_le_bytes());
        batch[40..48].copy_from_slice(&1_u64.to_le_bytes());
        sum_header(batch);
        let Ok(head) = BatchHead::decode(batch) else { continue };
        let seed = head.ident.seed(head.number);
        if let Some(list) = batch.get(HEADER..head.body_at()) {
            let crc = crc32c::crc32c(list);
            batch[12..16].copy_from_slice(&crc.to_le_bytes());
            sum_header(batch);
        }
        let end = head.end().min(batch.len());
        let mut from = head.body_at();
        while let Some(frames) = batch.get(from..end).filter(|frames| frames.len() >= format::RECORD) {
            let length = format::framed_length(frames);
            if length > frames.len() {
                break;
            }
            format::seal(&mut batch[from..from + length], seed, |_, _| ());
            from += length;
        }
    }
}

fn sum_header(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[8..HEADER]);
    batch[4..8].copy_from_slice(&crc.to_le_bytes());
}
