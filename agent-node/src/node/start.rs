//! How a node comes up and goes down.

use crate::connections;
use crate::lock::lock;
use crate::log::{self, Head, Log, Loops, OnDurable, Opened, Position};
use crate::node::backlog::Backlog;
use crate::node::config::Config;
use crate::node::configuration::{self, Own, Verdict};
use crate::node::configure;
use crate::node::core::{Core, Held, Inboxes, Reply, Watch};
use crate::node::delivery::Delivery;
use crate::node::hold::Hold;
use crate::node::inbox::Inbox;
use crate::node::parking::Parking;
use crate::node::routing::Routing;
use crate::node::threads::Thread;
use crate::node::{answering, asking, control};
use crate::peer::certificates::Certificates;
use crate::peer::{Identity, Numbers, accepting};
use crate::shard::{Event, Room, Shard};
use crate::snapshot::{self, Asked, Found, Limits, Sink, Taker};
use crate::store::{Store, StoreOptions};
use anyhow::Context as _;
use proto::address::Slot;
use proto::plan::Plan;
use proto::ring::{Ring, StoreId};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::{self, JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};
use tonic::service::Routes;
use tracing::{Instrument as _, Span, info, warn};

/// How often it is looked for what waits too long.
const LATE: Duration = Duration::from_millis(100);

/// What opening the data folder gives.
pub(super) struct Loaded {
    store: Store,
    identity: Identity,
    inboxes: Inboxes,
    shards: Vec<Shard<Reply, Watch>>,
    log: Log,
    loops: Loops,
    kept: Option<Kept>,
    snapshots: snapshot::Loaded,
    limits: Limits,
}

/// What the node was given before it ended.
pub(super) enum Kept {
    InForce(Box<Routing>),
    /// Its volume has been adopted since.
    Held(Held),
}

pub async fn start(config: Config) -> anyhow::Result<(Arc<Core>, Arc<Hold>, SocketAddr)> {
    let listener = connections::hold(config.peer_listen).and_then(connections::listen);
    let listener = listener.with_context(|| format!("cannot answer peers on {}", config.peer_listen))?;
    let at = listener.local_addr()?;
    let certificates = Arc::new(Certificates::open(&config.certificates, &config.plan_uid)?);
    // Threads and tasks of a node log under its span: several nodes may live in one process.
    let span = Span::current();
    let opening = span.clone();
    let adopted_by = config.adopted_by.clone().unwrap_or_default();
    let loaded = spawn_blocking(move || opening.in_scope(|| load(&config))).await??;
    let Parts { core, hold, shards, backlog, snapshots, loops } = assemble(loaded, certificates, adopted_by);
    if let Some(log) = lock(&hold.log).as_ref() {
        log.start(loops)?;
    }
    let named = |name: String| thread::Builder::new().name(name);
    for thread in shards {
        let span = span.clone();
        let named = named(format!("shard-{}", thread.index)).spawn(move || span.in_scope(|| thread.run()));
        lock(&hold.threads).push(named.context("cannot start a shard's thread")?);
    }
    let taking = span.clone();
    let taking = named("snapshots".into()).spawn(move || taking.in_scope(|| snapshots.run()));
    lock(&hold.threads).push(taking.context("cannot start the snapshots' thread")?);
    let reading = named("backlog".into()).spawn(move || span.in_scope(|| backlog.run()));
    lock(&hold.threads).push(reading.context("cannot start the backlog's thread")?);
    *lock(&hold.tasks) = Some(tokio::spawn(tasks(core.clone(), listener).in_current_span()));
    Ok((core, hold, at))
}

/// A node whose loops do not run yet.
pub(super) struct Parts {
    pub core: Arc<Core>,
    pub hold: Arc<Hold>,
    pub shards: Vec<Thread>,
    pub backlog: Backlog,
    pub snapshots: Taker,
    pub loops: Loops,
}

pub(super) fn assemble(loaded: Loaded, certificates: Arc<Certificates>, adopted_by: String) -> Parts {
    let Loaded { store, identity, inboxes, shards, log, loops, kept, snapshots: loaded, limits } = loaded;
    let (data, store_id, incarnation) = (store.folder().to_path_buf(), store.id(), store.incarnation());
    let (in_force, held) = match kept {
        Some(Kept::InForce(routing)) => (Some(routing), None),
        Some(Kept::Held(held)) => (None, Some(held)),
        None => (None, None),
    };
    let core = Core::new(identity, certificates, inboxes, store, adopted_by, held);
    if let Some(routing) = in_force {
        configure::in_force(&core, *routing);
    }
    let log = Arc::new(log);
    let (ask, asked) = mpsc::channel();
    let backlog = Backlog { core: core.clone(), reader: log.reader(), asked };
    let sink = Sink::new(shards.len());
    let asking = core.clone();
    let taker = Taker::new(snapshot::Parts {
        data,
        store: store_id,
        incarnation,
        loaded,
        log: log.clone(),
        sink: sink.clone(),
        shards: shards.len(),
        ask: Box::new(move |shard, asked: Asked| asking.inboxes[shard].put_always(Event::Snapshot(asked))),
        limits,
        counts: core.snapshots.clone(),
    });
    let thread = |(index, shard): (usize, _)| {
        let delivery = Delivery::new(core.clone(), ask.clone());
        let inboxes = core.inboxes.clone();
        let log = log.appender(move || inboxes[index].room());
        let snapshots = sink.clone();
        Thread { index, shard, log, parking: Parking::default(), delivery, snapshots, pieces: Vec::new() }
    };
    let shards = shards.into_iter().enumerate().map(thread).collect();
    let hold = Arc::new(Hold {
        core: core.clone(),
        log: Mutex::new(Some(log)),
        snapshots: sink.clone(),
        threads: Mutex::default(),
        tasks: Mutex::default(),
    });
    Parts { core, hold, shards, backlog, snapshots: taker, loops }
}

pub(super) fn load(config: &Config) -> anyhow::Result<Loaded> {
    let Config {
        data,
        ordinal,
        plan_uid,
        adopted_by,
        certificates: _,
        peer_listen: _,
        shards,
        snapshots: limits,
        reading,
    } = config;
    let (ordinal, plan_uid, shards) = (*ordinal, plan_uid.clone(), (*shards).max(1));
    let store = Store::open(data, &StoreOptions { plan_uid: plan_uid.clone(), ordinal })?;
    let incarnation = store.incarnation();
    let identity = Identity { plan_uid, ordinal, store: StoreId(store.id()), incarnation };
    let saved = store.load_configuration()?;
    if saved.is_none() && store.had_ring() {
        warn!("plan and ring are gone from the data folder: the node waits until it is given them again");
    }
    let kept = saved.map(|saved| kept(&saved, &identity, adopted_by.as_deref().unwrap_or_default()));
    let kept = kept.transpose()?.flatten();
    let inboxes: Inboxes = (0..shards).map(|_| Inbox::default()).collect();
    let mut shards: Vec<_> =
        (0..shards).map(|_| Shard::new(incarnation, Room::OF_NODE.share(shards))).collect();
    if let Some(Kept::InForce(routing)) = &kept {
        for shard in &mut shards {
            shard.expect(&routing.plan);
        }
    }
    let woken = inboxes.clone();
    let on_durable: OnDurable = Box::new(move |position| {
        for inbox in woken.iter() {
            inbox.durable(position);
        }
    });
    let count = shards.len();
    snapshot::tidy(data)?;
    let snapshots = snapshot::load(data, store.id(), &mut |slot, found| {
        install(&mut shards[usize::from(slot) % count], slot, &found)
    })?;
    for fault in &snapshots.faults {
        warn!(%fault, "a snapshot is broken: the one before it is taken, and records of the log");
    }
    let mut replay =
        |at: Position, head: Head, body: &[u8]| shards[usize::from(head.slot) % count].replay(at, head, body);
    let covered = &snapshots.covered;
    let (log, loops, opened) = Log::load(&store, log::SIZES, covered, &mut replay, reading, on_durable)?;
    let Opened { records, segments, torn_bytes, renewed, position } = opened;
    info!(records, segments, torn_bytes, renewed, incarnation, "the log is open");
    for inbox in inboxes.iter() {
        inbox.durable(position);
        inbox.put_always(Event::NodeStarted { store: identity.store, incarnation });
    }
    let limits = *limits;
    Ok(Loaded { store, identity, inboxes, shards, log, loops, kept, snapshots, limits })
}

/// Brings a piece of a slot's snapshot in.
pub(super) fn install(shard: &mut Shard<Reply, Watch>, slot: Slot, found: &Found) -> Result<(), String> {
    match found {
        Found::Begin(begin) => shard.install_begin(slot, begin),
        Found::Section(tag, bytes) => return shard.install_section(*tag, bytes),
        Found::End => return shard.install_end(),
        Found::Broken => shard.drop_slot(slot),
    }
    Ok(())
}

const SAVED: &str = "the saved plan and ring can't be used; run the version that wrote them, or remove `configuration` \
                     from the data folder, and the node is given them again";

/// The plan and ring that were in force when the node ended.
pub(super) fn kept(saved: &[u8], identity: &Identity, adopted_by: &str) -> anyhow::Result<Option<Kept>> {
    let given = configure::decode(saved).context(SAVED)?;
    if given.adopted_by != adopted_by {
        let revision = Ring::decode(&given.ring).context(SAVED)?.revision;
        let numbers = Numbers { revision, generation: given.generation };
        info!(revision, "the volume was adopted: the ring that it holds is not in force");
        return Ok(Some(Kept::Held(Held { ring: given.ring, numbers, plan: Plan::parse(&given.spec).ok() })));
    }
    let own = Own { identity, adopted_by, held: Numbers::default(), plan: None };
    match configuration::judge(&own, None, given) {
        Ok(Verdict::Take(routing)) => Ok(Some(Kept::InForce(routing))),
        Ok(Verdict::Same) => Ok(None),
        Err(error) => Err(error).context(SAVED),
    }
}

/// All tasks of a node, until it closes.
async fn tasks(core: Arc<Core>, listener: TcpListener) {
    let routes = Routes::new(answering::server(core.clone())).add_service(control::server(core.clone()));
    let mut all = JoinSet::new();
    let closing = core.life.closing.clone();
    all.spawn(
        accepting::accept(listener, core.certificates.clone(), routes, closing.clone()).in_current_span(),
    );
    all.spawn(core.certificates.clone().watch(closing).in_current_span());
    all.spawn(look_for_late(core.clone()).in_current_span());
    let mut called = BTreeSet::new();
    while !core.life.closing.is_cancelled() {
        // Peers are only ever added.
        for peer in core.peers.all() {
            if called.insert(peer.ordinal) {
                all.spawn(asking::run(core.clone(), peer).in_current_span());
            }
        }
        tokio::select! {
            () = core.life.closing.cancelled() => {}
            () = core.peers.more.notified() => {}
            Some(ended) = all.join_next() => look_at(&core, ended),
        }
    }
    while let Some(ended) = all.join_next().await {
        look_at(&core, ended);
    }
}

fn look_at(core: &Core, ended: Result<(), task::JoinError>) {
    if let Err(error) = ended {
        core.life.fail(&format!("a task of the node failed: {error}"));
    }
}

/// Sees to commands and links that have waited too long for an owner.
async fn look_for_late(core: Arc<Core>) {
    let mut pace = interval(LATE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = core.life.closing.cancelled() => return,
            _ = pace.tick() => {}
        }
        core.look_for_late(core.now_ms());
        if let Some(given) = configure::again(&core) {
            configure::by_peer(&core, given).await;
        }
    }
}
