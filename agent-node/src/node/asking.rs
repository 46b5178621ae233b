//! The stream that this node opens to one other: opens it again and again, asks, and takes the answers.

use crate::link::Owner;
use crate::lock::lock;
use crate::node::configure;
use crate::node::core::{Core, Event};
use crate::peer::asks::Asks;
use crate::peer::certificates::InForce;
use crate::peer::gossip::Gossip;
use crate::peer::hello::{Called, Rejected};
use crate::peer::mailbox::Mail;
use crate::peer::peers::{Peer, Target};
use crate::peer::share::{Added, Share};
use crate::peer::wire::{self, Batch, Incoming};
use crate::peer::{Answered, transport};
use futures::{Stream, stream};
use proto::trust;
use proto::wire::peer::{Frame, peers_client::PeersClient};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tracing::{info, warn};

/// The kinds of things that share the stream: commands, messages of agents, and all else that is asked.
const COMMANDS: usize = 0;
const MESSAGES: usize = 1;
const ASKS: usize = 2;

/// From the call until the other side has said who it is.
const HELLO: Duration = Duration::from_secs(3);
const AGAIN_MIN: Duration = Duration::from_millis(50);
const AGAIN_MAX: Duration = Duration::from_secs(1);
/// The largest gRPC message; a frame is closed much earlier, but one item may be large.
pub const MESSAGE_MAX: usize = 32 << 20;

#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("{}", trust::told(.0))]
    Transport(#[from] tonic::transport::Error),
    #[error("{}", .0.message())]
    Status(Box<Status>),
    #[error("the other node rejects this node: {0}")]
    TurnedAway(String),
    #[error(transparent)]
    Rejected(#[from] Rejected),
    #[error(transparent)]
    Wire(#[from] wire::Error),
    #[error("the other node did not send its first message in time")]
    Silent,
    #[error("the other node closed the stream")]
    Ended,
    #[error("this node has new certificates and connects again")]
    Recalled,
}

impl From<Status> for Lost {
    fn from(status: Status) -> Lost {
        Lost::Status(Box::new(status))
    }
}

/// Keeps a stream to the peer open, until the node closes.
pub async fn run(core: Arc<Core>, peer: Arc<Peer>) {
    let mut target = peer.target.subscribe();
    let (mut again, mut said) = (AGAIN_MIN, String::new());
    loop {
        let wanted = target.borrow_and_update().clone();
        let reached = Mutex::new(false);
        tokio::select! {
            () = core.life.closing.cancelled() => return lost(&core, &peer),
            _ = target.changed() => again = AGAIN_MIN,
            why = call(&core, &peer, wanted.as_ref(), &reached) => {
                if *lock(&reached) {
                    (again, said) = (AGAIN_MIN, String::new());
                }
                let why = why.to_string();
                // Nodes start together: who is not there yet is there in a moment.
                let first = again == AGAIN_MIN && said.is_empty();
                if why != said && !first {
                    warn!(other = peer.ordinal, why, "cannot connect to another node");
                    said = why;
                }
            }
        }
        lost(&core, &peer);
        tokio::select! {
            () = core.life.closing.cancelled() => return,
            _ = target.changed() => again = AGAIN_MIN,
            () = sleep(again) => again = (again * 2).min(AGAIN_MAX),
        }
    }
}

/// Until the stream breaks. Without a target it waits to be dropped.
async fn call(core: &Arc<Core>, peer: &Arc<Peer>, target: Option<&Target>, reached: &Mutex<bool>) -> Lost {
    let Some(target) = target else { return std::future::pending().await };
    let with = core.certificates.in_force();
    tokio::select! {
        () = with.replaced.cancelled() => Lost::Recalled,
        ended = exchange(core, peer, target, &with, reached) => ended.err().unwrap_or(Lost::Ended),
    }
}

async fn exchange(
    core: &Arc<Core>,
    peer: &Arc<Peer>,
    target: &Target,
    with: &Arc<InForce>,
    reached: &Mutex<bool>,
) -> Result<(), Lost> {
    let channel = transport::connect(&target.at, &core.certificates, with).await?;
    let mut client = PeersClient::new(channel)
        .max_decoding_message_size(MESSAGE_MAX)
        .max_encoding_message_size(MESSAGE_MAX);
    let gossip = Arc::new(Mutex::new(Gossip::default()));
    let over = CancellationToken::new();
    let _ended_with_this_call = over.clone().drop_guard();
    let asking = Asking {
        core: core.clone(),
        peer: peer.clone(),
        gossip: gossip.clone(),
        said_hello: false,
        share: Share::default(),
        over,
    };
    let greet = async {
        let mut frames = client.exchange(asking.frames()).await?.into_inner();
        let first = frames.message().await?.ok_or(Lost::Ended)?;
        Ok::<_, Lost>((frames, wire::open(first)?))
    };
    let (frames, first) = timeout(HELLO, greet).await.map_err(|_| Lost::Silent)??;
    let said = first.hello.as_ref().ok_or(Lost::Silent)?;
    let greeted = core.greeted(said, Some(Called { ordinal: peer.ordinal, store: target.store }))?;
    if let Some(rejection) = first.rejected {
        if let Some(later) = greeted.later_start(&rejection, &core.identity) {
            core.has_later_start(&later);
        }
        return Err(Lost::TurnedAway(rejection.error));
    }
    *lock(reached) = true;
    info!(other = peer.ordinal, at = target.at, "connected to another node");
    self::reached(core, peer);
    listen(core, peer, &gossip, frames, first).await
}

async fn listen(
    core: &Arc<Core>,
    peer: &Peer,
    gossip: &Mutex<Gossip>,
    mut frames: Streaming<Frame>,
    first: Incoming,
) -> Result<(), Lost> {
    let mut incoming = first;
    loop {
        let Incoming { numbers, wants_configuration, configuration, answered, .. } = incoming;
        deliver(core, peer, answered);
        lock(gossip).heard(core.numbers(), numbers, wants_configuration);
        if let Some(given) = configuration {
            configure::by_peer(core, given).await;
        }
        if wants_configuration || core.numbers().behind(numbers) {
            peer.due.notify_one();
        }
        match frames.message().await? {
            Some(frame) => incoming = wire::open(frame)?,
            None => return Ok(()),
        }
    }
}

fn deliver(core: &Core, peer: &Peer, answered: Answered) {
    let Answered { settled, pieces, mut updates, taken } = answered;
    if !settled.is_empty() {
        let now_ms = core.now_ms();
        core.forwards(|forwards, out| {
            for (id, end) in settled {
                forwards.settled(peer.ordinal, id, end, now_ms, out);
            }
        });
    }
    for piece in pieces {
        let answered = peer.asks().answered(piece, &core.reads);
        if let Some((to, end)) = answered {
            to.post(&mut vec![Mail::Got(0, end)]);
        }
    }
    core.update(&mut updates);
    let mut here: Vec<Vec<Event>> = core.inboxes.iter().map(|_| Vec::new()).collect();
    for taken in taken {
        here[core.shard(taken.from)].push(Event::Taken(taken));
    }
    core.put_unbounded(&mut here);
}

/// The other side is who it should be: everything unanswered goes to it.
fn reached(core: &Core, peer: &Peer) {
    core.forwards(|forwards, out| forwards.connected(peer.ordinal, out));
    peer.ask(Asks::connect);
    // Only now: what a ring gives to this node before it counts as connected is dropped, and found here.
    let slots = core.slots_of(Owner::Node(peer.ordinal));
    core.put_to_all(|| Event::Resend(slots.clone()));
    core.lost(&slots);
}

fn lost(core: &Core, peer: &Peer) {
    core.forwards(|forwards, out| forwards.disconnected(peer.ordinal, out));
    let was = std::mem::take(&mut peer.asks().connected);
    peer.asks().disconnect();
    if was {
        core.lost(&core.slots_of(Owner::Node(peer.ordinal)));
    }
}

/// What this node says on the stream.
struct Asking {
    core: Arc<Core>,
    peer: Arc<Peer>,
    gossip: Arc<Mutex<Gossip>>,
    said_hello: bool,
    /// The classes [`COMMANDS`], [`MESSAGES`] and [`ASKS`].
    share: Share<3>,
    /// The call has ended, while its connection may ask for frames for a moment longer. It is cancelled before
    /// [`lost`] takes the locks of what is to be sent again, and read under each of them: so nothing of what goes again
    /// goes into a frame that nobody reads.
    over: CancellationToken,
}

impl Asking {
    /// Frames are made when the connection has room for one; until then what is due gathers.
    fn frames(self) -> impl Stream<Item = Frame> + Send + 'static {
        stream::unfold(self, |mut asking| async move {
            let frame = asking.next().await?;
            Some((frame, asking))
        })
    }

    async fn next(&mut self) -> Option<Frame> {
        loop {
            let batch = self.compose();
            if !batch.is_empty() {
                return Some(batch.finish(self.core.numbers()));
            }
            tokio::select! {
                () = self.core.life.closing.cancelled() => return None,
                () = self.over.cancelled() => return None,
                () = self.peer.due.notified() => {}
            }
            if self.over.is_cancelled() {
                // The stream that follows is the one to be woken.
                self.peer.due.notify_one();
                return None;
            }
        }
    }

    fn compose(&mut self) -> Batch {
        let mut batch = Batch::default();
        if !std::mem::replace(&mut self.said_hello, true) {
            batch.hello(self.core.hello());
            return batch;
        }
        self.core.gossip(&self.gossip, &mut batch);
        let Asking { core, peer, share, over, .. } = self;
        share.fill(batch.room(), |kind, bytes| {
            let (before, full) = (batch.bytes(), batch.bytes() + bytes);
            let has_more = match kind {
                COMMANDS => core.forwards(|forwards, _| {
                    let mut add = |forward| {
                        batch.forward(forward);
                        batch.bytes() < full
                    };
                    !over.is_cancelled() && forwards.send_to(peer.ordinal, &mut add)
                }),
                MESSAGES | ASKS => {
                    let mut asks = peer.asks();
                    let add = if kind == MESSAGES { Asks::add_messages } else { Asks::add_asked };
                    !over.is_cancelled() && add(&mut asks, &mut batch, full)
                }
                _ => false,
            };
            Added { bytes: batch.bytes() - before, has_more }
        });
        batch
    }
}
