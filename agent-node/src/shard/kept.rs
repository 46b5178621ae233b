//! What rules have said in answers to commands with a key, for clients that send them again.
//!
//! *Guarantees*: it takes no more memory than it is let have; what is there for longest goes first. Whether something
//! was said is no matter of this file: the windows know it.

use bytes::Bytes;
use hashbrown::HashMap;
use proto::address::Slot;
use std::collections::BTreeMap;

/// What one takes of the memory beside its text.
const ONE: usize = 192;

/// By slot and version of the command.
#[derive(Debug, Default)]
pub struct Kept {
    said: HashMap<(Slot, u64), (u64, Bytes)>,
    /// The oldest first.
    by_age: BTreeMap<u64, (Slot, u64)>,
    /// The age of the next one.
    next: u64,
    bytes: usize,
}

impl Kept {
    pub fn get(&self, slot: Slot, version: u64) -> Option<&Bytes> {
        self.said.get(&(slot, version)).map(|(_, said)| said)
    }

    pub fn add(&mut self, slot: Slot, version: u64, said: Bytes) {
        self.remove(slot, version);
        self.bytes += ONE + said.len();
        self.said.insert((slot, version), (self.next, said));
        self.by_age.insert(self.next, (slot, version));
        self.next += 1;
    }

    pub fn remove(&mut self, slot: Slot, version: u64) {
        if let Some((age, said)) = self.said.remove(&(slot, version)) {
            self.by_age.remove(&age);
            self.bytes -= ONE + said.len();
        }
    }

    /// Until it has no more bytes than these.
    pub fn shrink(&mut self, most: usize) {
        while self.bytes > most
            && let Some((_, (slot, version))) = self.by_age.first_key_value()
        {
            self.remove(*slot, *version);
        }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    #[cfg(test)]
    pub fn all(&self) -> impl Iterator<Item = (Slot, u64)> {
        self.said.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_nothing_is_counted_that_is_gone() {
        let mut kept = Kept::default();
        for version in 1..=100 {
            kept.add(3, version, Bytes::from(vec![b'x'; 100]));
        }
        kept.add(4, 1, Bytes::from_static(b"7"));
        assert_eq!(kept.bytes(), 100 * (ONE + 100) + ONE + 1);
        kept.remove(3, 100);
        kept.remove(3, 100);
        kept.shrink(10 * (ONE + 100));
        let there: Vec<_> = (1..=100).filter(|version| kept.get(3, *version).is_some()).collect();
        assert_eq!(there, (91..=99).collect::<Vec<_>>());
        assert_eq!(kept.get(4, 1).map(|said| &said[..]), Some(&b"7"[..]));
        kept.shrink(0);
        assert_eq!((kept.bytes(), kept.said.len(), kept.by_age.len()), (0, 0, 0));
    }
}
