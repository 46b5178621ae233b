//! What leaves a shard, sorted by where it goes: each place is locked and woken once for all that a batch has for it.
//!
//! *Guarantees.* Mirrors come first: who has an answer, or sees what came of a message, and then watches a lane that was
//! changed with it, finds that change in the mirror of the owner's node.

use crate::link::Owner;
use crate::link::Update;
use crate::node::backlog::Ask;
use crate::node::core::{Core, Event, Reply, Watch};
use crate::peer::mailbox::Mail;
use crate::refusal::Refusal;
use crate::shard::{Effect, Message, Place, Taken, Verdict};
use proto::address::Slot;
use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};

pub struct Delivery {
    pub core: Arc<Core>,
    backlog: mpsc::Sender<Ask>,
    /// For clients and other nodes, in the order in which it left.
    mail: Vec<(Reply, Mail)>,
    /// Empty, with the memory that it has already.
    run: Vec<Mail>,
    /// By shard of this node.
    here: Vec<Vec<Event>>,
    /// By ordinal.
    messages: BTreeMap<u16, Vec<Message>>,
    taken: BTreeMap<u16, Vec<Mail>>,
    updates: Vec<(Watch, Result<Update, Refusal>)>,
    spare: Vec<Effect<Reply, Watch>>,
}

impl Delivery {
    pub fn new(core: Arc<Core>, backlog: mpsc::Sender<Ask>) -> Delivery {
        Delivery {
            here: core.inboxes.iter().map(|_| Vec::new()).collect(),
            core,
            backlog,
            mail: Vec::new(),
            run: Vec::new(),
            messages: BTreeMap::new(),
            taken: BTreeMap::new(),
            updates: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// An empty list that has its memory already.
    pub fn spare(&mut self) -> Vec<Effect<Reply, Watch>> {
        std::mem::take(&mut self.spare)
    }

    pub fn deliver(&mut self, mut effects: Vec<Effect<Reply, Watch>>) {
        let routing = self.core.routing.load_full();
        let owner = |slot: Slot| routing.as_ref().map_or(Owner::Nobody, |routing| routing.owner(slot));
        for effect in effects.drain(..) {
            match effect {
                Effect::Answer { to, id, end } => self.mail.push((to, Mail::End(id, end))),
                Effect::Got { to, id, end } => {
                    let end = end.and_then(|got| self.core.reads.admit(got, ""));
                    self.mail.push((to, Mail::Got(id, end)));
                }
                Effect::Update { to, update } => self.updates.push((to, Ok(update))),
                Effect::Closed { to, refusal } => self.updates.push((to, Err(refusal))),
                Effect::Send(message) => match owner(message.to) {
                    Owner::Here => self.here[self.core.shard(message.to)].push(Event::Message(message)),
                    Owner::Node(node) => self.messages.entry(node).or_default().push(message),
                    Owner::Nobody => {}
                },
                Effect::Taken(taken) => match owner(taken.from) {
                    Owner::Here => self.here[self.core.shard(taken.from)].push(Event::Taken(taken)),
                    Owner::Node(node) => self.taken.entry(node).or_default().push(Mail::Taken(taken)),
                    Owner::Nobody => {}
                },
                // It ends before the shards only when the node has failed.
                Effect::Fetch(from, fetch) => drop(self.backlog.send((from, fetch))),
            }
        }
        self.spare = effects;
        self.hand_over();
    }

    /// Who gets several in a row is woken once.
    fn post(&mut self) {
        let mut mail = self.mail.drain(..).peekable();
        while let Some((to, first)) = mail.next() {
            self.run.push(first);
            while let Some((_, more)) = mail.next_if(|(next, _)| Arc::ptr_eq(next, &to)) {
                self.run.push(more);
            }
            to.post(&mut self.run);
        }
    }

    fn hand_over(&mut self) {
        self.core.update(&mut self.updates);
        self.post();
        for (node, mail) in &mut self.taken {
            self.core.peers.answer(*node, mail);
        }
        let mut full = Vec::new();
        for (shard, events) in self.here.iter_mut().enumerate() {
            self.core.inboxes[shard].put(events, &mut full);
        }
        for (node, messages) in &mut self.messages {
            self.core.peers.send(*node, messages);
            full.extend(messages.drain(..).map(Event::Message));
        }
        for event in full {
            if let Event::Message(message) = event {
                self.core.inbox(message.from).put_always(Event::Taken(refused(&message)));
            }
        }
    }
}

/// There is no room for it: it will come again.
pub fn refused(message: &Message) -> Taken {
    Taken { from: message.from, to: message.to, seen: Place::default(), verdict: Verdict::Refused }
}
