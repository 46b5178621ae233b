//! What the handles, threads and tasks of one node share.

use crate::clock;
use crate::link::{Owner, Serving, Update, Upstream};
use crate::lock::lock;
use crate::node::configuration::{Again, Own};
use crate::node::contact::Contact;
use crate::node::forwards::{Answer, Forwards, Outcome};
use crate::node::inbox::Inbox;
use crate::node::life::Life;
use crate::node::routing::Routing;
use crate::peer::certificates::Certificates;
use crate::peer::gossip::Gossip;
use crate::peer::hello::{self, Called, Greeted, LaterStart, Rejected};
use crate::peer::mailbox::{Mail, Mailbox};
use crate::peer::peers::Peers;
use crate::peer::wire::Batch;
use crate::peer::{FORMAT, Hello, Identity, Numbers};
use crate::reads::Reads;
use crate::refusal::Refusal;
use crate::shard::{self, Command, Counts, Stream};
use crate::snapshot;
use crate::store::Store;
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use proto::address::Slot;
use proto::plan::Plan;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// Where a shard's answers go.
pub type Reply = Arc<Mailbox>;
/// The number of an attachment.
pub type Watch = u64;
pub type Event = shard::Event<Reply, Watch>;
pub type Inboxes = Arc<[Inbox<Reply, Watch>]>;

/// A ring that is not in force.
#[derive(Debug)]
pub struct Held {
    pub ring: Bytes,
    pub numbers: Numbers,
    /// The plan that it was given with, if this version can read it.
    pub plan: Option<Plan>,
}

pub struct Core {
    pub identity: Identity,
    pub certificates: Arc<Certificates>,
    pub inboxes: Inboxes,
    /// What each shard last said of itself.
    pub counts: Box<[Mutex<Counts>]>,
    pub routing: ArcSwapOption<Routing>,
    /// What the store was given before its volume was adopted, until it is given something anew.
    pub held: ArcSwapOption<Held>,
    /// The plan that has adopted the volume; empty: the plan that it was made for.
    adopted_by: String,
    pub peers: Peers,
    pub serving: Serving,
    /// What answers to reads may hold.
    pub reads: Reads,
    pub life: Life,
    /// What is to be tried again.
    pub again: Mutex<Option<Again>>,
    /// One configuration is judged after the other.
    pub configuring: tokio::sync::Mutex<()>,
    pub store: Mutex<Option<Store>>,
    pub had_ring: AtomicBool,
    pub snapshots: Arc<snapshot::Counts>,
    forwards: Mutex<Forwards<Reply>>,
    pub contact: Mutex<Contact>,
    /// The operator has asked something since this was looked at.
    pub operator_asked: AtomicBool,
    /// Ends clients' connections when this node is cut off. The next one is for those that come later.
    pub cut_off: Mutex<CancellationToken>,
    begun: Instant,
    streams: AtomicU64,
}

impl Core {
    pub fn new(
        identity: Identity,
        certificates: Arc<Certificates>,
        inboxes: Inboxes,
        store: Store,
        adopted_by: String,
        held: Option<Held>,
    ) -> Arc<Core> {
        let client = shard::name_of_node(identity.store, identity.incarnation);
        Arc::new_cyclic(|core: &Weak<Core>| Core {
            counts: inboxes.iter().map(|_| Mutex::default()).collect(),
            inboxes,
            routing: ArcSwapOption::empty(),
            held: ArcSwapOption::from_pointee(held),
            adopted_by,
            peers: Peers::default(),
            serving: Serving::new(core.clone() as Weak<dyn Upstream>),
            reads: Reads::default(),
            life: Life::default(),
            again: Mutex::default(),
            configuring: tokio::sync::Mutex::new(()),
            had_ring: AtomicBool::new(store.had_ring()),
            store: Mutex::new(Some(store)),
            snapshots: Arc::default(),
            forwards: Mutex::new(Forwards::new(&client)),
            contact: Mutex::new(Contact::new(0)),
            operator_asked: AtomicBool::new(false),
            cut_off: Mutex::default(),
            begun: clock::now(),
            streams: AtomicU64::new(1),
            identity,
            certificates,
        })
    }

    pub fn numbers(&self) -> Numbers {
        self.routing.load().as_ref().map_or_else(Numbers::default, |routing| routing.numbers)
    }

    /// What a configuration is held against.
    pub fn own<'a>(&'a self, held: Option<&'a Held>) -> Own<'a> {
        let numbers = held.map_or_else(Numbers::default, |held| held.numbers);
        let plan = held.and_then(|held| held.plan.as_ref());
        Own { identity: &self.identity, adopted_by: &self.adopted_by, held: numbers, plan }
    }

    pub fn owner(&self, slot: Slot) -> Owner {
        self.routing.load().as_ref().map_or(Owner::Nobody, |routing| routing.owner(slot))
    }

    pub fn slots_of(&self, owner: Owner) -> Vec<Slot> {
        self.routing.load().as_ref().map_or_else(Vec::new, |routing| routing.slots_of(owner))
    }

    /// What this node says first to another one.
    pub fn hello(&self) -> Hello {
        Hello { identity: self.identity.clone(), format: FORMAT, called: None }
    }

    /// Whether another node may speak; `called`: the one that was meant, when it was we who called.
    pub fn greeted(&self, said: &Hello, called: Option<Called>) -> Result<Greeted, Rejected> {
        let Identity { store, incarnation, .. } = said.identity;
        let highest = self.peers.incarnation(store);
        let seen = hello::Seen { ours: &self.identity, called, incarnation: highest };
        let greeted = hello::check(said, &seen)?;
        self.peers.seen(store, incarnation);
        self.put_to_all(|| Event::NodeStarted { store, incarnation });
        Ok(greeted)
    }

    /// Adds to a frame what is to be said of plan and ring.
    pub fn gossip(&self, gossip: &Mutex<Gossip>, batch: &mut Batch) {
        let routing = self.routing.load();
        let has = routing.as_ref().map(|routing| &routing.given);
        lock(gossip).compose(self.numbers(), has, batch);
    }

    /// The shard of a slot.
    pub fn shard(&self, slot: Slot) -> usize {
        usize::from(slot) % self.inboxes.len()
    }

    pub fn inbox(&self, slot: Slot) -> &Inbox<Reply, Watch> {
        &self.inboxes[self.shard(slot)]
    }

    pub fn put_to_all(&self, event: impl Fn() -> Event) {
        for inbox in self.inboxes.iter() {
            inbox.put_always(event());
        }
    }

    /// Puts in, by shard, what is always let in.
    pub fn put_unbounded(&self, here: &mut [Vec<Event>]) {
        let mut full = Vec::new();
        for (inbox, events) in self.inboxes.iter().zip(here) {
            inbox.put(events, &mut full);
        }
        debug_assert!(full.is_empty(), "only commands, reads and messages have a bound");
    }

    pub fn new_stream(&self) -> Stream {
        self.streams.fetch_add(1, Ordering::Relaxed)
    }

    /// Since the start, for what is measured in this process only.
    pub fn now_ms(&self) -> u64 {
        (clock::now() - self.begun).as_millis() as u64
    }

    /// Does something with the forwards, and what follows from it: delivers answers, wakes streams.
    pub fn forwards<T>(&self, act: impl FnOnce(&mut Forwards<Reply>, &mut Outcome<Reply>) -> T) -> T {
        let mut outcome = Outcome::default();
        let done = act(&mut lock(&self.forwards), &mut outcome);
        let Outcome { answers, due } = outcome;
        post(answers);
        self.peers.wake(due.nodes());
        done
    }

    /// Passes commands on to their owners; what could not be taken is answered at once.
    pub fn pass_on(&self, commands: &mut Vec<(u16, Command<Reply>)>) {
        let now_ms = self.now_ms();
        self.forwards(|forwards, out| {
            for (owner, command) in commands.drain(..) {
                forwards.submit(command, owner, now_ms, out);
            }
        });
    }
}

impl Core {
    /// Sees to what has waited too long for an owner or for contact. About ten times a second.
    pub fn look_for_late(&self, now_ms: u64) {
        self.forwards(|forwards, out| forwards.tick(now_ms, out));
        self.serving.tick(now_ms);
        self.look_for_contact(now_ms);
    }

    /// What the owners of lanes say to the mirrors of their lanes here.
    pub fn update(&self, updates: &mut Vec<(Watch, Result<Update, Refusal>)>) {
        self.serving.update(updates);
    }

    /// Another node has seen a later start of this store: this one must not go on.
    pub fn has_later_start(&self, later: &LaterStart) {
        let why = later.why();
        let marked = lock(&self.store).as_ref().map_or(Ok(()), |store| store.has_later_start(why));
        if let Err(error) = marked {
            tracing::error!(
                %error,
                "cannot mark the data folder as rolled back (another node has seen a later start of this store)"
            );
        }
        self.life.fail(why);
    }

    /// These slots have another owner, or theirs can't be reached, or can be again.
    pub fn lost(&self, slots: &[Slot]) {
        self.serving.lost(slots);
    }
}

/// Puts each answer where it belongs; who gets several in a row is woken once.
fn post(answers: Vec<Answer<Reply>>) {
    let mut mail = Vec::new();
    let mut answers = answers.into_iter().peekable();
    while let Some((to, id, end)) = answers.next() {
        mail.push(Mail::End(id, end));
        if answers.peek().is_none_or(|(next, _, _)| !Arc::ptr_eq(next, &to)) {
            to.post(&mut mail);
        }
    }
}
