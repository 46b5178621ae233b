//! A thread that reads from the log again what shards do not keep in memory, so that no shard waits for the disk.

use crate::log::{self, Reader};
use crate::node::core::{Core, Event};
use crate::node::life::FailsWithThread;
use crate::shard::{self, Fetch, Message};
use proto::address::Slot;
use std::sync::{Arc, mpsc};

/// Messages of this slot are wanted.
pub type Ask = (Slot, Fetch);

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Log(#[from] log::Error),
    #[error(
        "record {at} of the log, of slot {from}, is not the one that was written: {why}; the disk may be faulty, see \
         the kernel's log"
    )]
    Other { from: Slot, at: u64, why: String },
}

pub struct Backlog {
    pub core: Arc<Core>,
    pub reader: Reader,
    pub asked: mpsc::Receiver<Ask>,
}

impl Backlog {
    /// Until nobody can ask any more, or what was written can't be read.
    pub fn run(mut self) {
        let core = self.core.clone();
        let _fails = FailsWithThread(&core.life);
        while let Ok(ask) = self.asked.recv() {
            if !self.answer(ask) {
                return;
            }
        }
    }

    /// Answers what was asked, and waits for no more. False: nothing was.
    #[cfg(test)]
    pub fn turn(&mut self) -> bool {
        self.asked.try_recv().is_ok_and(|ask| self.answer(ask))
    }

    fn answer(&mut self, (from, fetch): Ask) -> bool {
        match read(&mut self.reader, from, &fetch) {
            Ok(messages) => {
                self.core.inbox(from).put_always(Event::Fetched { from, to: fetch.to, messages });
                true
            }
            Err(error) => {
                self.core.life.fail(&error.to_string());
                false
            }
        }
    }
}

/// The first of them at least.
fn read(reader: &mut Reader, from: Slot, fetch: &Fetch) -> Result<Vec<(Message, usize)>, Error> {
    let Fetch { to, places, bytes: enough } = fetch;
    let (mut messages, mut bytes) = (Vec::new(), 0);
    for of_record in places.chunk_by(|(one, _), (other, _)| one == other) {
        let at = of_record[0].0;
        let other = |why| Error::Other { from, at: at.0, why };
        let (head, body) = reader.record(at)?;
        let sent = shard::messages(head, body).map_err(other)?;
        let wanted = |(message, _): &(Message, usize)| {
            (message.from, message.to) == (from, *to)
                && of_record.iter().any(|(_, place)| *place == message.place)
        };
        let before = messages.len();
        messages.extend(sent.filter(wanted));
        if messages.len() < before + of_record.len() {
            return Err(other("a message that it sent is missing".into()));
        }
        bytes += body.len();
        if bytes > *enough {
            break;
        }
    }
    Ok(messages)
}
