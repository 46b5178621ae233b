//! What this node asks of one other, beside clients' commands: keeps what goes into the next frames, and what a broken
//! connection leaves of it.
//!
//! *Guarantees.* Bounded: reads and messages that find no room come back; of attachments there are no more than lanes
//! that are watched. Reads go again on the next connection, since they change nothing. Messages, attachments and ends
//! of streams are dropped with the connection: the shards and the serving side begin anew when they hear of the next.

use super::turned_away::TurnedAway;
use super::wire::Batch;
use super::{Attach, Limit, Piece, Read};
use crate::link::Question;
use crate::peer::mailbox::Mailbox;
use crate::reads::{Answer, Reads};
use crate::refusal::Refusal;
use crate::shard::{Body, Got, Message, Stream, Taken};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const READS_MAX: usize = 1_024;
const MESSAGES_MAX: usize = 65_536;

#[derive(Debug, Default)]
pub struct Asks {
    pub connected: bool,
    last_read: u64,
    reads: BTreeMap<u64, Reading>,
    unsent: VecDeque<u64>,
    attaches: VecDeque<Attach>,
    detaches: VecDeque<u64>,
    /// The last one of each attachment.
    limits: BTreeMap<u64, u64>,
    /// The last one of each attachment.
    questions: BTreeMap<u64, u64>,
    messages: VecDeque<Message>,
    /// Messages that found no room.
    turned_away: TurnedAway,
    ended: VecDeque<Stream>,
}

/// A read that is not answered yet.
#[derive(Debug)]
struct Reading {
    read: Read,
    to: Arc<Mailbox>,
    /// What has come of it.
    got: Option<Answer>,
}

impl Reading {
    fn gather(&mut self, piece: Got, reads: &Reads) -> Result<(), Refusal> {
        let at = self.read.agent.as_str();
        match (&mut self.got, piece.body) {
            (Some(answer), Body::Map(more)) => answer.extend(&more, at),
            (got, body) => {
                *got = Some(reads.admit(Got { body, ..piece }, at)?);
                Ok(())
            }
        }
    }
}

impl Asks {
    /// Queues a read. Gives its number, by which `forget_read` drops it.
    pub fn read(&mut self, read: Read, to: Arc<Mailbox>) -> Result<u64, Refusal> {
        if self.reads.len() >= READS_MAX {
            return Err(Refusal::full("too many reads wait for the owner", read.agent.as_str()));
        }
        self.last_read += 1;
        let id = self.last_read;
        self.reads.insert(id, Reading { read: Read { id, ..read }, to, got: None });
        self.unsent.push_back(id);
        Ok(id)
    }

    pub fn forget_read(&mut self, id: u64) {
        self.reads.remove(&id);
    }

    /// The whole answer, once it is there, or why it can't be had: `reads` is the budget that it is charged to.
    pub fn answered(
        &mut self,
        piece: Piece,
        reads: &Reads,
    ) -> Option<(Arc<Mailbox>, Result<Answer, Refusal>)> {
        let Piece { id, end, more } = piece;
        let reading = self.reads.get_mut(&id)?;
        let gathered = end.and_then(|got| reading.gather(got, reads));
        if let Err(refusal) = gathered {
            return self.reads.remove(&id).map(|reading| (reading.to, Err(refusal)));
        }
        if more {
            return None;
        }
        let Reading { to, got, .. } = self.reads.remove(&id)?;
        Some((to, Ok(got?)))
    }

    pub fn queue_attach(&mut self, attach: Attach) {
        if self.connected {
            self.attaches.push_back(attach);
        }
    }

    pub fn detach(&mut self, attachment: u64) {
        if self.connected {
            self.detaches.push_back(attachment);
            self.limits.remove(&attachment);
            self.questions.remove(&attachment);
        }
    }

    pub fn limit(&mut self, limit: Limit) {
        if self.connected {
            self.limits.insert(limit.attachment, limit.items);
        }
    }

    pub fn question(&mut self, question: Question) {
        if self.connected {
            self.questions.insert(question.attachment, question.number);
        }
    }

    /// Tells the other node that a client's stream has ended here.
    pub fn ended(&mut self, stream: Stream) {
        if self.connected {
            self.ended.push_back(stream);
        }
    }

    /// Takes as many messages as there is room for and leaves the others. Without a connection it drops them all: their
    /// shards send them again when the node is reached.
    pub fn send(&mut self, messages: &mut Vec<Message>) {
        if !self.connected {
            return messages.clear();
        }
        let room = MESSAGES_MAX.saturating_sub(self.messages.len()).min(messages.len());
        self.messages.extend(messages.drain(..room));
        for message in &*messages {
            self.turned_away.note(message);
        }
    }

    pub fn connect(&mut self) {
        self.connected = true;
    }

    /// Drops all but the reads, which go again from the beginning on the next connection.
    pub fn disconnect(&mut self) {
        let Self { reads, last_read, .. } = std::mem::take(self);
        self.unsent = reads.keys().copied().collect();
        self.reads = reads;
        self.last_read = last_read;
        for reading in self.reads.values_mut() {
            reading.got = None;
        }
    }

    /// Moves into the frame all that is asked but messages, until it has `full` bytes. True: there is more.
    pub fn add_asked(&mut self, batch: &mut Batch, full: usize) -> bool {
        while batch.bytes() < full {
            // Of an attachment, its beginning goes before its limits, its questions and its end.
            if let Some(id) = self.unsent.pop_front() {
                if let Some(reading) = self.reads.get(&id) {
                    batch.read(reading.read.clone());
                }
            } else if let Some(attach) = self.attaches.pop_front() {
                batch.add_attach(attach);
            } else if let Some(attachment) = self.detaches.pop_front() {
                batch.detach(attachment);
            } else if let Some((attachment, items)) = self.limits.pop_first() {
                batch.limit(Limit { attachment, items });
            } else if let Some((attachment, number)) = self.questions.pop_first() {
                batch.question(Question { attachment, number });
            } else if let Some(stream) = self.ended.pop_front() {
                batch.ended(stream);
            } else {
                return false;
            }
        }
        true
    }

    /// Moves messages into the frame, until it has `full` bytes. True: there are more.
    pub fn add_messages(&mut self, batch: &mut Batch, full: usize) -> bool {
        while batch.bytes() < full {
            let Some(message) = self.messages.pop_front() else { return false };
            batch.message(&message);
        }
        true
    }

    /// What senders are to hear whose messages found no room before, when there is some.
    pub fn call(&mut self) -> Vec<Taken> {
        if self.messages.len() > MESSAGES_MAX / 2 { Vec::new() } else { self.turned_away.call() }
    }
}
