//! A thread that reads from the log again what shards do not keep in memory, so that no shard waits for the disk.

use crate::log::{self, Reader};
use crate::node::core::{Core, Event};
use crate::node::life::FailsWithThread;
use crate::shard::{self, Fetch, Message};
use proto::address::Slot;
use std::sync::mpsc;

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

/// Until nobody can ask any more.
pub fn run(core: &Core, mut reader: Reader, asked: &mpsc::Receiver<Ask>) {
    let _fails = FailsWithThread(&core.life);
    while let Ok((from, fetch)) = asked.recv() {
        match read(&mut reader, from, &fetch) {
            Ok(messages) => core.inbox(from).put_always(Event::Fetched { from, to: fetch.to, messages }),
            Err(error) => return core.life.fail(&error.to_string()),
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
