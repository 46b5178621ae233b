//! One client's commands: to the shards of this node, or on to other owners. They are gathered while the client's
//! message is read, and go out together.

use crate::done::End;
use crate::holds::Holds;
use crate::link::Owner;
use crate::node::core::{Core, Event, Reply};
use crate::node::hold::Hold;
use crate::node::request::{Full, Request, Ticket};
use crate::node::routing::{self, Routed};
use crate::peer::mailbox::{Mail, Mailbox};
use crate::refusal::{Fate, Refusal};
use crate::shard::{Command, Stream};
use proto::address::Slot;
use std::sync::Arc;

/// The most commands of one client that are unanswered.
const UNANSWERED_MAX: usize = 4_096;
const BYTES_MAX: usize = 16 << 20;
/// So many go out though the message may have more.
const BATCH: usize = 512;

pub struct Commands {
    core: Arc<Core>,
    /// The node lives as long as its clients' streams.
    _hold: Arc<Hold>,
    stream: Stream,
    mailbox: Reply,
    unanswered: Unanswered,
    /// By shard of this node.
    here: Vec<Vec<Event>>,
    /// With their owners.
    away: Vec<(u16, Command<Reply>)>,
    gathered: usize,
    /// Answers to commands that went nowhere.
    refused: Vec<Mail>,
    mail: Vec<Mail>,
    holds: Holds,
    /// A refusal that no slot can be told of: nothing that follows is admitted.
    shut: Option<Refusal>,
    used: bool,
}

/// The ticket and the size of each command that is not answered, under a number of this stream.
#[derive(Default)]
struct Unanswered {
    commands: Vec<Option<(Ticket, u32)>>,
    free: Vec<u64>,
    count: usize,
    bytes: usize,
}

impl Unanswered {
    /// Bodies are small enough for their sizes.
    fn add(&mut self, ticket: Ticket, bytes: u32) -> u64 {
        self.count += 1;
        self.bytes += bytes as usize;
        if let Some(place) = self.free.pop() {
            self.commands[place as usize] = Some((ticket, bytes));
            return place;
        }
        self.commands.push(Some((ticket, bytes)));
        self.commands.len() as u64 - 1
    }

    fn remove(&mut self, place: u64) -> Option<Ticket> {
        let (ticket, bytes) = self.commands.get_mut(place as usize)?.take()?;
        self.free.push(place);
        self.count -= 1;
        self.bytes -= bytes as usize;
        Some(ticket)
    }
}

/// Where a command goes.
pub enum Way {
    Here(Command<Reply>),
    Away(u16, Command<Reply>),
}

impl Way {
    pub fn find(core: &Core, request: Request, to: &Reply, id: u64, stream: Stream) -> Result<Way, Refusal> {
        let Request { agent, lane, body, key } = request;
        core.life.open(&agent)?;
        let routing = core.routing.load();
        let routing = routing.as_ref().ok_or_else(|| routing::unknown(&agent))?;
        let Routed { address: agent, slot, owner, kind: _ } = routing.route(&agent)?;
        let command = Command { reply: to.clone(), id, stream, slot, agent, lane, body, key };
        match owner {
            Owner::Here => Ok(Way::Here(command)),
            Owner::Node(node) => Ok(Way::Away(node, command)),
            Owner::Nobody => Err(Refusal::unavailable(
                "no node owns the slot of this agent at present",
                command.agent.as_str(),
            )),
        }
    }

    fn slot(&self) -> Slot {
        match self {
            Way::Here(command) | Way::Away(_, command) => command.slot,
        }
    }
}

/// What is said of a command that its shard has no room for.
pub fn shard_full(command: &Command<Reply>) -> Refusal {
    Refusal::full("too many commands wait in the shard", command.agent.as_str())
}

/// The shard has heard of a new ring before this node routed by it.
pub fn not_here(refusal: Refusal) -> Refusal {
    match refusal.fate() {
        Fate::Elsewhere => Refusal::unavailable("the slot has moved", refusal.at),
        Fate::Final | Fate::Later => refusal,
    }
}

impl Commands {
    pub(super) fn new(core: Arc<Core>, hold: Arc<Hold>) -> Commands {
        Commands {
            stream: core.new_stream(),
            mailbox: Arc::new(Mailbox::default()),
            unanswered: Unanswered::default(),
            here: core.inboxes.iter().map(|_| Vec::new()).collect(),
            away: Vec::new(),
            gathered: 0,
            refused: Vec::new(),
            mail: Vec::new(),
            holds: Holds::default(),
            shut: None,
            used: false,
            core,
            _hold: hold,
        }
    }

    /// How many may be submitted now.
    pub fn room(&self) -> usize {
        if self.unanswered.bytes >= BYTES_MAX { 0 } else { UNANSWERED_MAX - self.unanswered.count }
    }

    /// Takes a command. It goes out with the next call of `answers` at the latest.
    pub fn submit(&mut self, ticket: Ticket, request: Request) -> Result<(), Full> {
        if self.room() == 0 {
            return Err(Full);
        }
        let place = self.unanswered.add(ticket, request.body.len() as u32);
        if let Err(refusal) = self.gather(place, request) {
            self.refused.push(Mail::End(place, Err(refusal)));
        } else if self.gathered >= BATCH {
            self.flush();
        }
        Ok(())
    }

    /// Waits until something is answered, and adds all that is. May be dropped at any await.
    pub async fn answers(&mut self, out: &mut Vec<(Ticket, End)>) {
        self.flush();
        loop {
            self.mailbox.drain(&mut self.mail);
            let mail = self.refused.drain(..).chain(self.mail.drain(..));
            let before = out.len();
            for mail in mail {
                if let Mail::End(place, end) = mail {
                    let end = end.map_err(not_here);
                    out.extend(self.unanswered.remove(place).map(|ticket| (ticket, end)));
                }
            }
            if out.len() > before {
                return;
            }
            self.mailbox.came().await;
        }
    }

    fn gather(&mut self, place: u64, request: Request) -> Result<(), Refusal> {
        if let Some(refusal) = &self.shut {
            return Err(refusal.clone());
        }
        let way = Way::find(&self.core, request, &self.mailbox, place, self.stream);
        let way = way.inspect_err(|refusal| {
            self.shut = Some(refusal).filter(|refusal| refusal.fate() != Fate::Final).cloned();
        })?;
        if let Some(refusal) = self.holds.of(self.stream, way.slot()) {
            return Err(refusal.clone());
        }
        self.gathered += 1;
        match way {
            Way::Here(command) => self.here[self.core.shard(command.slot)].push(Event::Command(command)),
            Way::Away(owner, command) => self.away.push((owner, command)),
        }
        Ok(())
    }

    fn flush(&mut self) {
        if self.gathered == 0 {
            return;
        }
        (self.gathered, self.used) = (0, true);
        let mut full = Vec::new();
        for (shard, events) in self.here.iter_mut().enumerate() {
            self.core.inboxes[shard].put(events, &mut full);
        }
        for event in full {
            if let Event::Command(command) = event {
                let refusal = shard_full(&command);
                self.holds.note(self.stream, command.slot, &refusal);
                self.refused.push(Mail::End(command.id, Err(refusal)));
            }
        }
        if !self.away.is_empty() {
            self.core.pass_on(&mut self.away);
        }
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        if !self.used {
            return;
        }
        let (core, stream) = (&self.core, self.stream);
        core.put_to_all(|| Event::Ended(stream));
        core.forwards(|forwards, out| forwards.ended(stream, out));
        core.peers.ended(stream);
    }
}
