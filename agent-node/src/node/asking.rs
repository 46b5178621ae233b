//! The stream that this node opens to one other: opens it again and again, asks, and takes the answers.

use crate::link::Owner;
use crate::lock::lock;
use crate::node::configure;
use crate::node::core::{Core, Event};
use crate::peer::asks::Asks;
use crate::peer::attempts::{Attempts, Next};
use crate::peer::certificates::InForce;
use crate::peer::gossip::Gossip;
use crate::peer::hello::{Called, Rejected};
use crate::peer::hints::Hints;
use crate::peer::mailbox::Mail;
use crate::peer::peers::{Peer, Target};
use crate::peer::share::{Added, Share};
use crate::peer::wire::{self, Batch, Incoming};
use crate::peer::{Answered, Configuration, Hello, transport};
use futures::{Stream, stream};
use proto::ring::StoreId;
use proto::trust;
use proto::wire::peer::{Frame, peers_client::PeersClient};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;
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
/// The largest gRPC message; a frame is closed much earlier, but one item may be large.
pub const MESSAGE_MAX: usize = 32 << 20;

#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
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
    let mut aim = Aim::new(&core, &peer);
    let mut attempts = Attempts::default();
    loop {
        let (target, hint) = aim.now();
        let Some(target) = target else {
            tokio::select! {
                () = core.life.closing.cancelled() => return,
                () = aim.changed(|| false) => attempts.begin_anew(),
            }
            continue;
        };
        let at = match attempts.next(hint) {
            Next::Hint(at) => at.to_string(),
            Next::Name => target.at.clone(),
            Next::Wait { pause, news } => {
                if let Some(why) = news {
                    warn!(other = peer.ordinal, why, "cannot connect to another node");
                }
                tokio::select! {
                    () = core.life.closing.cancelled() => return,
                    () = aim.changed(|| false) => attempts.begin_anew(),
                    () = sleep(pause) => {}
                }
                continue;
            }
        };
        let (reached, began) = (AtomicBool::new(false), Instant::now());
        tokio::select! {
            () = core.life.closing.cancelled() => return lost(&core, &peer),
            () = aim.changed(|| reached.load(Relaxed)) => attempts.begin_anew(),
            why = call(&core, &peer, &at, target.store, &reached) => {
                if reached.load(Relaxed) {
                    attempts.lost();
                } else {
                    attempts.failed(&at, &why.to_string(), began.elapsed());
                }
            }
        }
        lost(&core, &peer);
    }
}

/// What this node is told of where another one is.
struct Aim {
    ordinal: u16,
    target: watch::Receiver<Option<Target>>,
    hints: watch::Receiver<Hints>,
    hint: Option<SocketAddr>,
}

impl Aim {
    fn new(core: &Core, peer: &Peer) -> Aim {
        let (target, hints) = (peer.target.subscribe(), core.peers.hints.subscribe());
        Aim { ordinal: peer.ordinal, target, hints, hint: None }
    }

    fn now(&mut self) -> (Option<Target>, Option<SocketAddr>) {
        self.hint = self.hints.borrow_and_update().of(self.ordinal);
        (self.target.borrow_and_update().clone(), self.hint)
    }

    /// Waits for another target, or for another hint that comes while the node is not connected.
    async fn changed(&mut self, connected: impl Fn() -> bool) {
        loop {
            tokio::select! {
                _ = self.target.changed() => return,
                _ = self.hints.changed() => {
                    if self.hints.borrow_and_update().of(self.ordinal) != self.hint && !connected() {
                        return;
                    }
                }
            }
        }
    }
}

/// Until the stream breaks.
async fn call(core: &Arc<Core>, peer: &Arc<Peer>, at: &str, store: StoreId, reached: &AtomicBool) -> Lost {
    let with = core.certificates.in_force();
    tokio::select! {
        () = with.replaced.cancelled() => Lost::Recalled,
        ended = exchange(core, peer, at, store, &with, reached) => ended.err().unwrap_or(Lost::Ended),
    }
}

async fn exchange(
    core: &Arc<Core>,
    peer: &Arc<Peer>,
    at: &str,
    store: StoreId,
    with: &Arc<InForce>,
    reached: &AtomicBool,
) -> Result<(), Lost> {
    let channel = transport::connect(at, &core.certificates, with).await?;
    let mut client = PeersClient::new(channel)
        .max_decoding_message_size(MESSAGE_MAX)
        .max_encoding_message_size(MESSAGE_MAX);
    let over = CancellationToken::new();
    let _ended_with_this_call = over.clone().drop_guard();
    let asking = Asking::new(core, peer, store, over);
    let gossip = asking.gossip.clone();
    let greet = async {
        let mut frames = client.exchange(asking.frames()).await?.into_inner();
        let first = frames.message().await?.ok_or(Lost::Ended)?;
        Ok::<_, Lost>((frames, wire::open(first)?))
    };
    let (frames, first) = timeout(HELLO, greet).await.map_err(|_| Lost::Silent)??;
    greeted(core, peer, store, &first)?;
    reached.store(true, Relaxed);
    info!(other = peer.ordinal, at, "connected to another node");
    self::reached(core, peer);
    listen(core, peer, &gossip, frames, first).await
}

/// Whether the first frame of the other side is from who was called, and takes this node's stream.
pub(super) fn greeted(core: &Core, peer: &Peer, store: StoreId, first: &Incoming) -> Result<(), Lost> {
    let said = first.hello.as_ref().ok_or(Lost::Silent)?;
    let greeted = core.greeted(said, Some(Called { ordinal: peer.ordinal, store }))?;
    let Some(rejection) = &first.rejected else { return Ok(()) };
    if let Some(later) = greeted.later_start(rejection, &core.identity) {
        core.has_later_start(&later);
    }
    Err(Lost::TurnedAway(rejection.error.clone()))
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
        if let Some(given) = hear(core, peer, gossip, incoming) {
            configure::by_peer(core, given).await;
        }
        match frames.message().await? {
            Some(frame) => incoming = wire::open(frame)?,
            None => return Ok(()),
        }
    }
}

/// Takes in what a frame says; a configuration in it is given back.
pub(super) fn hear(
    core: &Core,
    peer: &Peer,
    gossip: &Mutex<Gossip>,
    incoming: Incoming,
) -> Option<Configuration> {
    let Incoming { numbers, wants_configuration, configuration, answered, .. } = incoming;
    deliver(core, peer, answered);
    lock(gossip).heard(core.numbers(), numbers, wants_configuration);
    if wants_configuration || core.numbers().behind(numbers) {
        peer.due.notify_one();
    }
    configuration
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
pub(super) fn reached(core: &Core, peer: &Peer) {
    core.forwards(|forwards, out| forwards.connected(peer.ordinal, out));
    peer.ask(Asks::connect);
    // Only now: what a ring gives to this node before it counts as connected is dropped, and found here.
    let slots = core.slots_of(Owner::Node(peer.ordinal));
    core.put_to_all(|| Event::Resend(slots.clone()));
    core.lost(&slots);
}

pub(super) fn lost(core: &Core, peer: &Peer) {
    core.forwards(|forwards, out| forwards.disconnected(peer.ordinal, out));
    let was = std::mem::take(&mut peer.asks().connected);
    peer.asks().disconnect();
    if was {
        core.lost(&core.slots_of(Owner::Node(peer.ordinal)));
    }
}

/// What this node says on the stream.
pub(super) struct Asking {
    core: Arc<Core>,
    peer: Arc<Peer>,
    pub(super) gossip: Arc<Mutex<Gossip>>,
    /// Until it is said.
    hello: Option<Hello>,
    /// The classes [`COMMANDS`], [`MESSAGES`] and [`ASKS`].
    share: Share<3>,
    /// The call has ended, while its connection may ask for frames for a moment longer. It is cancelled before
    /// [`lost`] takes the locks of what is to be sent again, and read under each of them: so nothing of what goes again
    /// goes into a frame that nobody reads.
    over: CancellationToken,
}

impl Asking {
    /// For a stream to the node that has this store.
    pub(super) fn new(core: &Arc<Core>, peer: &Arc<Peer>, store: StoreId, over: CancellationToken) -> Asking {
        Asking {
            core: core.clone(),
            peer: peer.clone(),
            gossip: Arc::default(),
            hello: Some(Hello { called: Some(store), ..core.hello() }),
            share: Share::default(),
            over,
        }
    }

    /// Frames are made when the connection has room for one; until then what is due gathers.
    fn frames(self) -> impl Stream<Item = Frame> + Send + 'static {
        stream::unfold(self, |mut asking| async move {
            let frame = asking.next().await?;
            Some((frame, asking))
        })
    }

    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.frame() {
                return Some(frame);
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

    /// What is due now.
    pub(super) fn frame(&mut self) -> Option<Frame> {
        let batch = self.compose();
        (!batch.is_empty()).then(|| batch.finish(self.core.numbers()))
    }

    fn compose(&mut self) -> Batch {
        let mut batch = Batch::default();
        if let Some(hello) = self.hello.take() {
            batch.hello(hello);
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
        let room = peer.asks().call();
        for taken in room {
            core.inbox(taken.from).put_always(Event::Taken(taken));
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[test]
    fn another_hint_wakes_who_is_not_connected_and_another_target_everybody() {
        let (targets, hints) = (watch::Sender::new(None), watch::Sender::new(Hints::default()));
        let (target, hinted) = (targets.subscribe(), hints.subscribe());
        let mut aim = Aim { ordinal: 1, target, hints: hinted, hint: None };
        let mut wakes = |connected: bool| {
            let wakes = aim.changed(|| connected).now_or_never().is_some();
            aim.now();
            wakes
        };
        let hint = |zero: &str, one: &str| {
            hints.send_replace(Hints::read(1, &[zero.to_owned(), one.to_owned()]).0);
        };
        assert!(!wakes(false), "nothing has come");
        hint("", "198.18.0.7:7778");
        assert!(wakes(false));
        hint("198.18.0.9:7778", "198.18.0.7:7778");
        assert!(!wakes(false), "that of another node");
        hint("", "198.18.0.8:7778");
        assert!(!wakes(true), "it is connected");
        hint("", "");
        assert!(wakes(false), "it is gone");
        targets.send_replace(Some(Target { at: "name:7778".to_owned(), store: StoreId(1) }));
        assert!(wakes(true));
    }
}
