//! A window in a snapshot.

use super::super::codec::{Broken, Reader, varint};
use super::{ANSWERS, REFUSED, Refused, Window};
use std::collections::VecDeque;

impl Window {
    pub fn encode(&self, out: &mut Vec<u8>) {
        varint(self.floor, out);
        varint(self.forgotten, out);
        let answers = self.answers.as_deref();
        varint(answers.map_or(0, |answers| answers.len() as u64), out);
        let mut before = (self.floor, 0);
        for answer in answers.iter().flat_map(|answers| answers.all()) {
            varint(answer.sequence - before.0, out);
            varint(zigzag(answer.version.wrapping_sub(before.1)) << 1 | u64::from(answer.is_said), out);
            before = (answer.sequence, answer.version);
        }
        let refused = self.refused.as_deref();
        varint(refused.map_or(0, |refused| refused.sequences.len() as u64), out);
        let mut before = 0;
        for sequence in refused.iter().flat_map(|refused| &refused.sequences) {
            varint(sequence - before, out);
            before = *sequence;
        }
    }

    pub fn decode(reader: &mut Reader) -> Result<Window, Broken> {
        let mut window = Window { floor: reader.varint()?, forgotten: reader.varint()?, ..Window::default() };
        let (mut sequence, mut version) = (window.floor, 0_u64);
        for _ in 0..count(reader, ANSWERS)? {
            sequence = after(sequence, reader.varint()?)?;
            let mark = reader.varint()?;
            version = version.wrapping_add(unzigzag(mark >> 1));
            window.settle(sequence, version, mark & 1 == 1);
        }
        let refused = count(reader, REFUSED)?;
        let (mut sequences, mut sequence) = (VecDeque::with_capacity(refused), 0);
        for place in 0..refused {
            let step = reader.varint()?;
            // Only the first may be 0.
            sequence = if place == 0 { step } else { after(sequence, step)? };
            sequences.push_back(sequence);
        }
        window.refused = (refused > 0).then(|| Box::new(Refused { sequences }));
        Ok(window)
    }
}

fn count(reader: &mut Reader, most: usize) -> Result<usize, Broken> {
    usize::try_from(reader.varint()?).ok().filter(|count| *count <= most).ok_or("more than a window has")
}

fn after(sequence: u64, step: u64) -> Result<u64, Broken> {
    sequence.checked_add(step).filter(|next| *next > sequence).ok_or("sequences out of order")
}

/// Small numbers of either sign as small ones. Versions have 56 bits, so that none is cut.
fn zigzag(difference: u64) -> u64 {
    let signed = difference as i64;
    (signed << 1 ^ signed >> 63) as u64
}

fn unzigzag(number: u64) -> u64 {
    number >> 1 ^ (number & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_window_comes_back_as_it_was(
            steps in proptest::collection::vec((0_u8..10, 0_u64..3_000, 0_u64..1 << 20), 0..2_500),
            far in any::<bool>(),
        ) {
            let mut window = Window::default();
            for (kind, sequence, version) in steps {
                let sequence = if far { sequence << 33 } else { sequence };
                match kind {
                    0..=5 => drop(window.settle(sequence, version << 3, version % 3 == 0)),
                    6..=8 => window.refuse(sequence),
                    _ if version % 500 == 0 => window.fall_back(),
                    _ => window.forget(sequence),
                }
            }
            let mut bytes = Vec::new();
            window.encode(&mut bytes);
            let mut reader = Reader::new(&bytes);
            let read = Window::decode(&mut reader).unwrap();
            prop_assert!(reader.is_empty());
            let all = |window: &Window| (
                window.floor,
                window.forgotten,
                window.answers.iter().flat_map(|answers| answers.all()).collect::<Vec<_>>(),
                window.refused.iter().flat_map(|refused| refused.sequences.clone()).collect::<Vec<_>>(),
            );
            prop_assert_eq!(all(&read), all(&window));
            for cut in 0..bytes.len().min(300) {
                let _ = Window::decode(&mut Reader::new(&bytes[..cut]));
            }
        }
    }
}
