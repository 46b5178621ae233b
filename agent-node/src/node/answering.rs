//! Streams that other nodes open to this one: takes what they ask, and answers.

use crate::link::{Owner, PeerLinks, Update};
use crate::lock::lock;
use crate::node::asking::MESSAGE_MAX;
use crate::node::commands::shard_full;
use crate::node::configure;
use crate::node::core::{Core, Event, Reply};
use crate::node::delivery;
use crate::peer::admission::Admission;
use crate::peer::gossip::Gossip;
use crate::peer::hello::Rejected;
use crate::peer::mailbox::{Mail, Mailbox};
use crate::peer::peers::{Accepted, Peer};
use crate::peer::share::{Added, Share};
use crate::peer::wire::{self, Batch, Incoming, Reading};
use crate::peer::{Asked, Attach, Hello, Numbers};
use crate::refusal::Refusal;
use crate::shard;
use futures::{Stream, stream};
use proto::wire::peer::{Frame, peers_server};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::{Instrument as _, debug, warn};

/// The kinds of things that share the stream: what became of commands and messages, answers to reads, updates of lanes.
const MAIL: usize = 0;
const READS: usize = 1;
const LINKS: usize = 2;

/// From the opening of the stream until its first frame.
const HELLO: Duration = Duration::from_secs(3);

pub fn server(core: Arc<Core>) -> peers_server::PeersServer<PeersService> {
    peers_server::PeersServer::new(PeersService { core })
        .max_decoding_message_size(MESSAGE_MAX)
        .max_encoding_message_size(MESSAGE_MAX)
}

/// What other nodes call.
pub struct PeersService {
    core: Arc<Core>,
}

#[tonic::async_trait]
impl peers_server::Peers for PeersService {
    type ExchangeStream = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

    async fn exchange(
        &self,
        request: Request<Streaming<Frame>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let mut frames = request.into_inner();
        let first = timeout(HELLO, frames.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no first frame"))??;
        let first = first.ok_or_else(|| Status::invalid_argument("no first frame"))?;
        let first = wire::open(first).map_err(|error| broken(&error))?;
        let said =
            first.hello.as_ref().ok_or_else(|| Status::invalid_argument("no Hello in the first frame"))?;
        match open(&self.core, said) {
            Err(turned_away) => Ok(Response::new(Box::pin(stream::once(async { Ok(*turned_away) })))),
            Ok((listening, answering)) => {
                let listening = tokio::spawn(listening.run(frames, first).in_current_span());
                Ok(Response::new(Box::pin(Answers { answering, listening }.frames())))
            }
        }
    }
}

/// Opens the two halves of a stream of a node that says so of itself. It takes the place of the one before: nothing that
/// still comes on that is taken. An error: a node that is turned away is told so by this frame.
pub(super) fn open(core: &Arc<Core>, said: &Hello) -> Result<(Listening, Answering), Box<Frame>> {
    let other = said.identity.ordinal;
    if let Err(rejected) = core.greeted(said, None) {
        if let Rejected::NotMeant { .. } = rejected {
            // The caller tries its next address, and says so itself when it has no other.
            debug!(other, why = %rejected, "another node was turned away");
        } else {
            warn!(other, why = %rejected, "another node was turned away");
        }
        let mut batch = Batch::default();
        batch.hello(core.hello());
        batch.rejection(rejected.rejection());
        return Err(Box::new(batch.finish(core.numbers())));
    }
    let peer = core.peers.get_or_add(other);
    let (mailbox, replaced) = (Arc::new(Mailbox::default()), CancellationToken::new());
    let number = peer.accept(Accepted { mailbox: mailbox.clone(), replaced: replaced.clone() });
    let answering = Answering::new(core, mailbox, replaced);
    let listening = Listening {
        core: core.clone(),
        peer,
        number,
        mailbox: answering.mailbox.clone(),
        gossip: answering.gossip.clone(),
        links: answering.links.clone(),
        admission: Admission::default(),
    };
    Ok((listening, answering))
}

fn broken(error: &wire::Error) -> Status {
    Status::invalid_argument(error.to_string())
}

/// What this node says on the stream, and the task that listens on it, which ends with it.
struct Answers {
    answering: Answering,
    listening: JoinHandle<Result<(), Status>>,
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Answers {
    /// Frames are made when the connection has room for one; until then what is due gathers.
    fn frames(self) -> impl Stream<Item = Result<Frame, Status>> + Send + 'static {
        stream::unfold(Some(self), |answers| async {
            let mut answers = answers?;
            match answers.next().await {
                Ok(frame) => frame.map(|frame| (Ok(frame), Some(answers))),
                Err(status) => Some((Err(status), None)),
            }
        })
    }

    async fn next(&mut self) -> Result<Option<Frame>, Status> {
        let Answers { answering, listening } = self;
        loop {
            if let Some(frame) = answering.frame() {
                return Ok(Some(frame));
            }
            tokio::select! {
                () = answering.mailbox.came() => {}
                () = answering.links.came() => {}
                () = answering.replaced.cancelled() => return Ok(None),
                () = answering.core.life.closing.cancelled() => return Ok(None),
                ended = &mut *listening => {
                    return ended.unwrap_or_else(|error| Err(Status::internal(error.to_string()))).map(|()| None);
                }
            }
        }
    }
}

/// What this node says on the stream.
pub(super) struct Answering {
    core: Arc<Core>,
    gossip: Arc<Mutex<Gossip>>,
    links: Arc<PeerLinks>,
    mailbox: Reply,
    pub(super) replaced: CancellationToken,
    said_hello: bool,
    /// The classes [`MAIL`], [`READS`] and [`LINKS`].
    share: Share<3>,
    /// Empty, with the memory that it has already.
    came: Vec<Mail>,
    /// Taken out of the mailbox, and not sent yet.
    mail: VecDeque<Mail>,
    readings: VecDeque<Reading>,
    updates: Vec<(u64, Result<Update, Refusal>)>,
}

impl Answering {
    fn new(core: &Arc<Core>, mailbox: Reply, replaced: CancellationToken) -> Answering {
        Answering {
            core: core.clone(),
            gossip: Arc::default(),
            links: Arc::new(PeerLinks::new(&core.serving)),
            mailbox,
            replaced,
            said_hello: false,
            share: Share::default(),
            came: Vec::new(),
            mail: VecDeque::new(),
            readings: VecDeque::new(),
            updates: Vec::new(),
        }
    }

    /// What is due now.
    pub(super) fn frame(&mut self) -> Option<Frame> {
        let batch = self.compose();
        (!batch.is_empty()).then(|| batch.finish(self.core.numbers()))
    }

    fn compose(&mut self) -> Batch {
        let mut batch = Batch::default();
        if !std::mem::replace(&mut self.said_hello, true) {
            batch.hello(self.core.hello());
        }
        self.core.gossip(&self.gossip, &mut batch);
        self.sort_mail();
        let mut share = std::mem::take(&mut self.share);
        share.fill(batch.room(), |kind, bytes| {
            let before = batch.bytes();
            let has_more = match kind {
                MAIL => self.add_mail(&mut batch, before + bytes),
                READS => self.add_readings(&mut batch, before + bytes),
                LINKS => self.add_updates(&mut batch, bytes),
                _ => false,
            };
            Added { bytes: batch.bytes() - before, has_more }
        });
        self.share = share;
        batch
    }

    /// Takes what has come, so that each kind shows all that it has before any gets its turn.
    fn sort_mail(&mut self) {
        self.mailbox.drain(&mut self.came);
        for mail in self.came.drain(..) {
            match mail {
                Mail::Got(id, Ok(got)) => self.readings.push_back(Reading::new(id, got)),
                mail => self.mail.push_back(mail),
            }
        }
    }

    /// Until the batch has `full` bytes. True: there is more.
    fn add_mail(&mut self, batch: &mut Batch, full: usize) -> bool {
        while batch.bytes() < full {
            match self.mail.pop_front() {
                Some(Mail::End(id, end)) => batch.settled(id, end),
                Some(Mail::Taken(taken)) => batch.taken(taken),
                Some(Mail::Got(id, Err(refusal))) => batch.unread(id, refusal),
                Some(Mail::Detached(attachment, refusal)) => batch.detached(attachment, refusal),
                Some(Mail::Got(id, Ok(answer))) => self.readings.push_back(Reading::new(id, answer)),
                None => return false,
            }
        }
        true
    }

    fn add_readings(&mut self, batch: &mut Batch, full: usize) -> bool {
        while batch.bytes() < full {
            let Some(reading) = self.readings.pop_front() else { return false };
            // The next in turn goes first, so that a long answer does not hold up short ones.
            self.readings.extend(batch.got(reading, full.saturating_sub(batch.bytes())));
        }
        true
    }

    fn add_updates(&mut self, batch: &mut Batch, bytes: usize) -> bool {
        let has_more = self.links.next_updates(bytes, &mut self.updates);
        for (attachment, said) in self.updates.drain(..) {
            match said {
                Ok(update) => batch.update(attachment, update),
                Err(refusal) => batch.detached(attachment, refusal),
            }
        }
        has_more
    }
}

/// Takes what the other node asks.
pub(super) struct Listening {
    core: Arc<Core>,
    peer: Arc<Peer>,
    number: u64,
    mailbox: Reply,
    gossip: Arc<Mutex<Gossip>>,
    links: Arc<PeerLinks>,
    admission: Admission,
}

/// However it ends, also in the middle of anything: what the shards remember of the streams that came by it goes.
impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(_turn) = self.peer.turn(self.number) {
            *self.peer.accepted() = None;
        }
        for stream in std::mem::take(&mut self.admission).end() {
            self.core.put_to_all(|| Event::Ended(stream));
        }
    }
}

impl Listening {
    async fn run(mut self, mut frames: Streaming<Frame>, first: Incoming) -> Result<(), Status> {
        self.listen(&mut frames, first).await
    }

    async fn listen(&mut self, frames: &mut Streaming<Frame>, first: Incoming) -> Result<(), Status> {
        let mut incoming = first;
        loop {
            if let Some(given) = incoming.configuration.take() {
                configure::by_peer(&self.core, given).await;
            }
            if !self.hear(incoming) {
                return Ok(());
            }
            match frames.message().await? {
                Some(frame) => incoming = wire::open(frame).map_err(|error| broken(&error))?,
                None => return Ok(()),
            }
        }
    }

    /// Takes in what a frame says but for a configuration. False: a newer stream has come, and what was asked on this one
    /// was asked again on that.
    pub(super) fn hear(&mut self, incoming: Incoming) -> bool {
        let Incoming { numbers, wants_configuration, asked, .. } = incoming;
        if !self.admit(asked, numbers) {
            return false;
        }
        lock(&self.gossip).heard(self.core.numbers(), numbers, wants_configuration);
        if wants_configuration || self.core.numbers().behind(numbers) {
            self.mailbox.wake();
        }
        true
    }

    fn admit(&mut self, asked: Asked, theirs: Numbers) -> bool {
        let peer = self.peer.clone();
        let Some(_turn) = peer.turn(self.number) else { return false };
        let Asked { forwards, reads, attaches, detaches, limits, questions, messages, ended } = asked;
        let ours = self.core.numbers();
        let judges = theirs.generation <= ours.generation && self.core.life.open("").is_ok();
        let (mut here, mut mail) = (self.core.inboxes.iter().map(|_| Vec::new()).collect::<Vec<_>>(), vec![]);
        for forward in forwards {
            let owner = if judges { self.core.owner(forward.command.slot) } else { Owner::Nobody };
            let new_stream = || self.core.new_stream();
            match self.admission.admit(forward, owner, self.mailbox.clone(), new_stream) {
                Ok(command) => here[self.core.shard(command.slot)].push(Event::Command(command)),
                Err((id, refusal)) => mail.push(Mail::End(id, Err(refusal))),
            }
        }
        for crate::peer::Read { id, slot, agent, lane, if_none_match } in reads {
            if !judges || self.core.owner(slot) != Owner::Here {
                let refusal = Refusal::elsewhere(agent.as_str());
                mail.push(Mail::Got(id, Err(refusal)));
                continue;
            }
            let reply = self.mailbox.clone();
            let read = shard::Read { reply, id, slot, agent, lane, if_none_match };
            here[self.core.shard(slot)].push(Event::Read(read));
        }
        for message in messages {
            if judges {
                here[self.core.shard(message.to)].push(Event::Message(message));
            } else {
                mail.push(Mail::Taken(delivery::refused(&message)));
            }
        }
        self.put(&mut here, &mut mail);
        for Attach { attachment, slot: _, agent, lane, since, limit } in attaches {
            if judges {
                self.links.open(attachment, agent.as_str(), &lane, since, limit);
            } else {
                let refusal = Refusal::elsewhere(agent.as_str());
                mail.push(Mail::Detached(attachment, refusal));
            }
        }
        for attachment in detaches {
            self.links.close(attachment);
        }
        for limit in limits {
            self.links.limit(limit.attachment, limit.items);
        }
        for question in questions {
            self.links.ask(question);
        }
        for stream in ended {
            if let Some(stream) = self.admission.ended(stream) {
                self.core.put_to_all(|| Event::Ended(stream));
            }
        }
        self.mailbox.post(&mut mail);
        true
    }

    fn put(&mut self, here: &mut [Vec<Event>], mail: &mut Vec<Mail>) {
        let mut full = Vec::new();
        for (inbox, events) in self.core.inboxes.iter().zip(here) {
            inbox.put(events, &mut full);
        }
        for event in full {
            match event {
                Event::Command(command) => {
                    let refusal = shard_full(&command);
                    self.admission.refused(command.stream, command.slot, &refusal);
                    mail.push(Mail::End(command.id, Err(refusal)));
                }
                Event::Read(read) => {
                    let refusal = Refusal::full("too many reads wait in the shard", read.agent.as_str());
                    mail.push(Mail::Got(read.id, Err(refusal)));
                }
                Event::Message(message) => mail.push(Mail::Taken(delivery::refused(&message))),
                _ => {}
            }
        }
    }
}
