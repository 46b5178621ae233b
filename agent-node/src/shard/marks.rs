//! When records of a slot were made, about: so that an entry of a Map lane, which knows the record that changed it last,
//! need not know the time of it.
//!
//! *Guarantees*: no record is taken for younger than it is; none is taken for younger by more than a second, or by a
//! sixteenth of its age and a second. There are no more than [`MOST`] marks, whatever time goes by, and however many
//! records come.

/// With so many, those that say least go.
const MOST: usize = 512;
/// Two marks are so far apart at least.
const STEP_MS: u64 = 1_000;
/// And by this part of their age.
const PART: u64 = 16;

/// In order: an LSN, and the time of its record.
#[derive(Debug, Default)]
pub struct Marks(Vec<(u64, u64)>);

impl Marks {
    /// A record was made.
    pub fn add(&mut self, lsn: u64, time_ms: u64) {
        match &mut self.0[..] {
            // The last mark stands for all records within a second.
            [.., before, last] if time_ms < before.1 + STEP_MS => *last = (lsn, time_ms),
            _ => self.0.push((lsn, time_ms)),
        }
        if self.0.len() >= MOST {
            self.thin(time_ms);
        }
    }

    /// The record up to which all are at least so old.
    pub fn upto(&self, time_ms: u64) -> u64 {
        let place = self.0.partition_point(|(_, time)| *time <= time_ms);
        place.checked_sub(1).map_or(0, |place| self.0[place].0)
    }

    /// The time by which a record was made, if that is known.
    pub fn time(&self, lsn: u64) -> Option<u64> {
        let place = self.0.partition_point(|(mark, _)| *mark < lsn);
        self.0.get(place).map(|(_, time)| *time)
    }

    pub fn all(&self) -> &[(u64, u64)] {
        &self.0
    }

    pub fn clear(&mut self) {
        self.0 = Vec::new();
    }

    /// Takes out each without which its neighbours are not too far apart.
    fn thin(&mut self, now_ms: u64) {
        let mut kept: Vec<(u64, u64)> = Vec::with_capacity(MOST / 2);
        let mut all = std::mem::take(&mut self.0).into_iter().rev().peekable();
        while let Some(mark) = all.next() {
            if let (Some(after), Some(before)) = (kept.last(), all.peek())
                && after.1 - before.1 <= STEP_MS + (now_ms.saturating_sub(after.1)) / PART
            {
                continue;
            }
            kept.push(mark);
        }
        kept.reverse();
        self.0 = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_record_is_taken_for_much_younger_or_at_all_older(
            steps in proptest::collection::vec(prop_oneof![8 => 0..300_u64, 3 => 0..60_000_u64, 1 => 0..100_000_000_u64], 1..3_000)
        ) {
            let (mut marks, mut times, mut now) = (Marks::default(), vec![0], 0);
            for (step, lsn) in steps.into_iter().zip(1..) {
                now += step;
                marks.add(lsn, now);
                times.push(now);
            }
            prop_assert!(marks.0.len() <= MOST);
            prop_assert!(marks.0.is_sorted());
            for lsn in 1..times.len() as u64 {
                let (own, said) = (times[lsn as usize], marks.time(lsn).expect("the last one is marked"));
                prop_assert!(said >= own);
                prop_assert!(said - own <= 2 * STEP_MS + (now - own) / PART * 2, "{lsn}: {own} is {said} at {now}");
                prop_assert!(marks.upto(said) >= lsn);
                prop_assert!(marks.upto(own.saturating_sub(1)) < lsn || own == 0);
            }
        }
    }
}
