//! The other nodes of the plan: for each, what is to be asked of it, and the stream that it has opened to this one.

use super::asks::Asks;
use super::{Attach, Limit, Read};
use crate::link::Question;
use crate::lock::lock;
use crate::peer::hints::Hints;
use crate::peer::mailbox::{Mail, Mailbox};
use crate::refusal::Refusal;
use crate::shard::{Message, Stream};
use arc_swap::ArcSwap;
use proto::ring::{Member, StoreId};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

#[derive(Default)]
pub struct Peers {
    all: ArcSwap<BTreeMap<u16, Arc<Peer>>>,
    /// Wakes the task that starts a task for each.
    pub more: Notify,
    /// Where their pods can be reached just now, beside each [`Target`].
    pub hints: watch::Sender<Hints>,
    /// The highest start of each store that was heard of.
    incarnations: Mutex<HashMap<StoreId, u64>>,
}

/// Where a node answers, and whose store is expected there. The ring says so; without one nobody is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub at: String,
    pub store: StoreId,
}

pub struct Peer {
    pub ordinal: u16,
    pub target: watch::Sender<Option<Target>>,
    asks: Mutex<Asks>,
    /// Something is due on the stream that we opened.
    pub due: Notify,
    accepted: Mutex<Option<Accepted>>,
    /// The number of the newest stream that the peer has opened: held while something of it is taken in.
    turn: Mutex<u64>,
}

/// The newest stream that a peer has opened to this node.
pub struct Accepted {
    pub mailbox: Arc<Mailbox>,
    /// Ends the stream: a newer one has come.
    pub replaced: CancellationToken,
}

impl Peers {
    pub fn get(&self, ordinal: u16) -> Option<Arc<Peer>> {
        self.all.load().get(&ordinal).cloned()
    }

    pub fn all(&self) -> Vec<Arc<Peer>> {
        self.all.load().values().cloned().collect()
    }

    pub fn get_or_add(&self, ordinal: u16) -> Arc<Peer> {
        if let Some(peer) = self.get(ordinal) {
            return peer;
        }
        let new = Arc::new(Peer {
            ordinal,
            target: watch::Sender::new(None),
            asks: Mutex::default(),
            due: Notify::new(),
            accepted: Mutex::default(),
            turn: Mutex::default(),
        });
        self.all.rcu(|all| {
            let mut all = BTreeMap::clone(all);
            all.entry(ordinal).or_insert_with(|| new.clone());
            all
        });
        self.more.notify_one();
        self.get(ordinal).unwrap_or(new)
    }

    /// Whom to call from now on.
    pub fn aim(&self, targets: Vec<(u16, Target)>) {
        let targets: BTreeMap<u16, Target> = targets.into_iter().collect();
        for ordinal in targets.keys() {
            self.get_or_add(*ordinal);
        }
        for peer in self.all() {
            let wanted = targets.get(&peer.ordinal).cloned();
            peer.target.send_if_modified(|target| {
                let changed = *target != wanted;
                *target = wanted;
                changed
            });
        }
    }

    /// Remembers the starts that a ring names.
    pub fn heard_of(&self, members: &[Member]) {
        for member in members {
            self.seen(member.store, member.incarnation);
        }
    }

    pub fn seen(&self, store: StoreId, incarnation: u64) {
        let mut incarnations = lock(&self.incarnations);
        let highest = incarnations.entry(store).or_default();
        *highest = incarnation.max(*highest);
    }

    pub fn incarnation(&self, store: StoreId) -> u64 {
        lock(&self.incarnations).get(&store).copied().unwrap_or(0)
    }

    pub fn wake(&self, ordinals: &[u16]) {
        let all = self.all.load();
        for ordinal in ordinals {
            if let Some(peer) = all.get(ordinal) {
                peer.due.notify_one();
            }
        }
    }

    /// All streams have something to say: this node's numbers have changed.
    pub fn wake_all(&self) {
        for peer in self.all.load().values() {
            peer.due.notify_one();
            if let Some(accepted) = &*peer.accepted() {
                accepted.mailbox.wake();
            }
        }
    }

    /// To a node whose agents have sent messages here. One that is not connected sends them again.
    pub fn answer(&self, ordinal: u16, mail: &mut Vec<Mail>) {
        if mail.is_empty() {
            return;
        }
        if let Some(peer) = self.all.load().get(&ordinal)
            && let Some(accepted) = &*peer.accepted()
        {
            accepted.mailbox.post(mail);
        }
        mail.clear();
    }

    /// What finds no room stays in `messages`.
    pub fn send(&self, ordinal: u16, messages: &mut Vec<Message>) {
        if messages.is_empty() {
            return;
        }
        match self.all.load().get(&ordinal) {
            Some(peer) => peer.ask(|asks| asks.send(messages)),
            None => messages.clear(),
        }
    }

    pub fn ended(&self, stream: Stream) {
        for peer in self.all.load().values() {
            peer.ask(|asks| asks.ended(stream));
        }
    }
}

impl Peer {
    pub fn asks(&self) -> MutexGuard<'_, Asks> {
        lock(&self.asks)
    }

    /// Adds to what is asked, and wakes the stream.
    pub fn ask<T>(&self, act: impl FnOnce(&mut Asks) -> T) -> T {
        let done = act(&mut self.asks());
        self.due.notify_one();
        done
    }

    pub fn read(self: Arc<Self>, read: Read, to: Arc<Mailbox>) -> Result<Awaited, Refusal> {
        let id = self.ask(|asks| asks.read(read, to))?;
        Ok(Awaited { peer: self, id })
    }

    pub fn ask_attach(&self, attach: Attach) {
        self.ask(|asks| asks.queue_attach(attach));
    }

    pub fn detach(&self, attachment: u64) {
        self.ask(|asks| asks.detach(attachment));
    }

    pub fn limit(&self, limit: Limit) {
        self.ask(|asks| asks.limit(limit));
    }

    pub fn question(&self, question: Question) {
        self.ask(|asks| asks.question(question));
    }

    pub fn reached(&self) -> bool {
        self.asks().connected
    }

    pub fn accepted(&self) -> MutexGuard<'_, Option<Accepted>> {
        lock(&self.accepted)
    }

    /// A stream that it has opened takes the place of the one before. The answer is its number.
    pub fn accept(&self, stream: Accepted) -> u64 {
        let mut turn = lock(&self.turn);
        *turn += 1;
        if let Some(before) = self.accepted().replace(stream) {
            before.replaced.cancel();
        }
        *turn
    }

    /// Held while something is taken from the stream of that number; `None` when a newer one has come.
    pub fn turn(&self, number: u64) -> Option<MutexGuard<'_, u64>> {
        Some(lock(&self.turn)).filter(|turn| **turn == number)
    }
}

/// A read is forgotten when nobody waits for it any more.
pub struct Awaited {
    peer: Arc<Peer>,
    id: u64,
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.peer.asks().forget_read(self.id);
    }
}
