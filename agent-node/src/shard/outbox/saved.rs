//! An outbox in a snapshot: of each pair of slots the place of its last message, the messages that are in memory, and
//! where in the log the others are.

use super::super::codec::{Broken, Reader, place, text, varint};
use super::super::event::Message;
use super::{InLog, InMemory, Outbox, Pair, RecordAt, Total};
use crate::log::Position;
use proto::address::{Address, Slot};
use proto::binary;
use proto::value::Text;

/// What an item of the section is.
const PAIR: u8 = 0;
const MESSAGE: u8 = 1;
const IN_LOG: u8 = 2;

impl Outbox {
    /// Gives `item` what writes each item: of a pair, then of its messages in order.
    pub fn encode(&self, mut item: impl FnMut(&dyn Fn(&mut Vec<u8>))) {
        let mut pairs: Vec<_> = self.last.iter().collect();
        pairs.sort_unstable_by_key(|(to, _)| **to);
        for (to, last) in pairs {
            item(&|out| {
                out.push(PAIR);
                varint((*to).into(), out);
                place(*last, out);
            });
            let Some(pair) = self.pairs.get(to) else { continue };
            pair.queue.iter().for_each(|waiting| item(&|out| waiting.encode(out)));
            for waiting in &pair.rest {
                let RecordAt::Log(Position(position)) = waiting.record else {
                    unreachable!("what was gathered has been appended")
                };
                item(&|out| {
                    out.push(IN_LOG);
                    place(waiting.place, out);
                    varint(position, out);
                });
            }
        }
    }

    /// The first record of the log that has a message which is nowhere else, or that is being read: it may be read after its
    /// message was taken.
    pub fn first_in_log(&self) -> Option<Position> {
        let waits = |waiting: &InLog| match waiting.record {
            RecordAt::Log(position) => Some(position),
            RecordAt::Gathered(_) => None,
        };
        let of_pair = |pair: &Pair| pair.fetching.into_iter().chain(pair.rest.front().and_then(waits)).min();
        self.pairs.values().filter_map(|pair| of_pair(pair)).min()
    }

    /// Takes back one item of the slot `from`. `to`: the slot of the last pair that was read.
    pub fn decode(
        &mut self,
        from: Slot,
        to: &mut Option<Slot>,
        reader: &mut Reader,
        total: &mut Total,
    ) -> Result<(), Broken> {
        let kind = reader.byte()?;
        if kind == PAIR {
            let slot = reader.slot()?;
            *to = Some(slot);
            self.last.insert(slot, reader.place()?);
            return Ok(());
        }
        let to = to.ok_or("a message without its pair")?;
        let pair = self.pairs.entry(to).or_default();
        match kind {
            MESSAGE => {
                let waiting = InMemory::decode(from, to, reader)?;
                let bytes = waiting.bytes;
                pair.bytes += bytes;
                pair.queue.push_back(waiting);
                self.gain(1, bytes, total);
            }
            IN_LOG => {
                let place = reader.place()?;
                let record = RecordAt::Log(Position(reader.varint()?));
                pair.rest.push_back(InLog { place, record });
                self.gain(1, 0, total);
            }
            _ => return Err("an unknown item of an outbox"),
        }
        Ok(())
    }
}

impl InMemory {
    fn encode(&self, out: &mut Vec<u8>) {
        let Message { from: _, to: _, place: own, previous, sender, agent, lane, body, hops } = &self.message;
        out.push(MESSAGE);
        varint(self.bytes as u64, out);
        place(*own, out);
        place(*previous, out);
        text(sender.as_str(), out);
        text(agent.as_str(), out);
        text(lane, out);
        out.push(*hops);
        binary::encode(body, out);
    }

    fn decode(from: Slot, to: Slot, reader: &mut Reader) -> Result<InMemory, Broken> {
        let bytes = reader.varint()? as usize;
        let (place, previous) = (reader.place()?, reader.place()?);
        let (sender, agent) = (Address::trusted(reader.text()?), Address::trusted(reader.text()?));
        let (lane, hops) = (Text::new(reader.text()?), reader.byte()?);
        let message = Message { from, to, place, previous, sender, agent, lane, body: reader.value()?, hops };
        Ok(InMemory { message, bytes })
    }
}
