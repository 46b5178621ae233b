//! What keeps the order of a client's stream: after a command that was not admitted, those that follow it on the same
//! stream to the same slot are not admitted either, and get the same answer.

use crate::refusal::{Fate, Refusal};
use hashbrown::HashMap;
use proto::address::Slot;

/// Where commands come from that must keep their order: one client's stream. 0: alone.
pub type Stream = u64;

#[derive(Debug, Default)]
pub struct Holds {
    slots: HashMap<(Stream, Slot), Refusal>,
}

impl Holds {
    /// Remembers a refusal that another try may not meet, and says whether it is the first of its stream and slot.
    /// Commands that are alone hold nothing back.
    pub fn note(&mut self, stream: Stream, slot: Slot, refusal: &Refusal) -> bool {
        if stream == 0 || refusal.fate() == Fate::Final || self.slots.contains_key(&(stream, slot)) {
            return false;
        }
        self.slots.insert((stream, slot), refusal.clone());
        true
    }

    /// Why a command may not go on, if it may not.
    pub fn of(&self, stream: Stream, slot: Slot) -> Option<&Refusal> {
        if self.slots.is_empty() { None } else { self.slots.get(&(stream, slot)) }
    }

    /// How many streams are held back, each counted once for each slot.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub fn ended(&mut self, stream: Stream) {
        self.slots.retain(|(held, _), _| *held != stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_holds_its_stream_and_slot_until_the_stream_ends() {
        let mut holds = Holds::default();
        assert!(!holds.note(0, 5, &Refusal::full("a", "")));
        assert!(!holds.note(1, 5, &Refusal::bad("b", "")));
        assert!(holds.note(2, 5, &Refusal::full("c", "")));
        assert!(!holds.note(2, 5, &Refusal::unavailable("d", "")));
        for (stream, slot, expected) in [(0, 5, None), (1, 5, None), (2, 6, None), (2, 5, Some("c"))] {
            let said = holds.of(stream, slot).map(|refusal| refusal.error.as_str());
            assert_eq!(said, expected, "{stream} {slot}");
        }
        holds.ended(2);
        assert!(holds.of(2, 5).is_none());
    }
}
