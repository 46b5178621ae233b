//! Commands that another node passes on: decides which become events of a shard, and which are refused at the door, so
//! that those of one stream and slot are admitted in order or not at all. For one connection.

use super::Forward;
use crate::holds::Holds;
use crate::link::Owner;
use crate::refusal::Refusal;
use crate::shard::{Command, Stream};
use hashbrown::{HashMap, HashSet};
use proto::address::Slot;

#[derive(Debug, Default)]
pub struct Admission {
    holds: Holds,
    /// Slots of which one command was sent elsewhere; what follows is too, until the sender begins again.
    shut: HashSet<Slot>,
    /// The sender's numbers for clients' streams, and this node's.
    streams: HashMap<Stream, Stream>,
}

impl Admission {
    /// `owner` of the command's slot, as far as this node may judge.
    pub fn admit<R>(
        &mut self,
        forward: Forward,
        owner: Owner,
        reply: R,
        new_stream: impl FnOnce() -> Stream,
    ) -> Result<Command<R>, (u64, Refusal)> {
        let Forward { command, again } = forward;
        let Command { reply: (), id, stream, slot, agent, lane, body, key } = command;
        if again {
            self.shut.remove(&slot);
        }
        if owner != Owner::Here || self.shut.contains(&slot) {
            self.shut.insert(slot);
            return Err((id, Refusal::elsewhere(agent.as_str())));
        }
        let stream = match stream {
            0 => 0,
            theirs => *self.streams.entry(theirs).or_insert_with(new_stream),
        };
        if let Some(refusal) = self.holds.of(stream, slot) {
            return Err((id, refusal.clone()));
        }
        Ok(Command { reply, id, stream, slot, agent, lane, body, key: Some(key) })
    }

    /// The shard had no room for it.
    pub fn refused(&mut self, stream: Stream, slot: Slot, refusal: &Refusal) {
        self.holds.note(stream, slot, refusal);
    }

    /// This node's number of a stream that is over.
    pub fn ended(&mut self, theirs: Stream) -> Option<Stream> {
        let stream = self.streams.remove(&theirs)?;
        self.holds.ended(stream);
        Some(stream)
    }

    /// This node's numbers of all streams: the connection is over.
    pub fn end(self) -> impl Iterator<Item = Stream> {
        self.streams.into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proto::address::Address;

    fn forward(id: u64, stream: Stream, slot: Slot, again: bool) -> Forward {
        let (agent, lane, body) = (Address::trusted("/a/1"), "x".to_owned(), Bytes::new());
        Forward {
            command: Command { reply: (), id, stream, slot, agent, lane, body, key: ("c".into(), id) },
            again,
        }
    }

    fn said(admission: &mut Admission, forward: Forward, owner: Owner) -> Result<Stream, u16> {
        let admitted = admission.admit(forward, owner, (), || 70);
        admitted.map(|command| command.stream).map_err(|(_, refusal)| refusal.code)
    }

    #[test]
    fn after_a_slot_that_is_not_ours_all_waits_until_the_sender_begins_again() {
        let mut admission = Admission::default();
        for (forward, owner, expected) in [
            (forward(1, 0, 5, false), Owner::Node(2), Err(421)),
            (forward(2, 0, 5, false), Owner::Here, Err(421)),
            (forward(3, 9, 6, false), Owner::Here, Ok(70)),
            (forward(1, 0, 5, true), Owner::Here, Ok(0)),
            (forward(2, 0, 5, false), Owner::Here, Ok(0)),
        ] {
            assert_eq!(said(&mut admission, forward, owner), expected);
        }
    }

    #[test]
    fn after_a_refusal_for_want_of_room_the_stream_gets_no_further_in_that_slot() {
        let mut admission = Admission::default();
        assert_eq!(said(&mut admission, forward(1, 9, 5, false), Owner::Here), Ok(70));
        admission.refused(70, 5, &Refusal::full("full", ""));
        assert_eq!(said(&mut admission, forward(2, 9, 5, false), Owner::Here), Err(429));
        assert_eq!(said(&mut admission, forward(3, 9, 6, false), Owner::Here), Ok(70));
        assert_eq!(admission.ended(9), Some(70));
        assert_eq!(said(&mut admission, forward(4, 9, 5, false), Owner::Here), Ok(70));
        assert_eq!(admission.end().collect::<Vec<_>>(), [70]);
    }
}
