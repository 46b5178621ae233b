//! How a node comes up and goes down.

use crate::lock::lock;
use crate::log::{Head, Log, OnDurable, Opened, Position};
use crate::node::backlog;
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
use crate::store::{Store, StoreOptions};
use anyhow::Context as _;
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
struct Loaded {
    store: Store,
    identity: Identity,
    inboxes: Inboxes,
    shards: Vec<Shard<Reply, Watch>>,
    log: Log,
    kept: Option<Kept>,
}

/// What the node was given before it ended.
enum Kept {
    InForce(Box<Routing>),
    /// Its volume has been adopted since.
    Held(Held),
}

pub async fn start(config: Config) -> anyhow::Result<(Arc<Core>, Arc<Hold>, SocketAddr)> {
    let listener = TcpListener::bind(config.peer_listen).await;
    let listener = listener.with_context(|| format!("cannot answer peers on {}", config.peer_listen))?;
    let at = listener.local_addr()?;
    let certificates = Arc::new(Certificates::open(&config.certificates, &config.plan_uid)?);
    // Threads and tasks of a node log under its span: several nodes may live in one process.
    let span = Span::current();
    let opening = span.clone();
    let adopted_by = config.adopted_by.clone().unwrap_or_default();
    let Loaded { store, identity, inboxes, shards, log, kept } =
        spawn_blocking(move || opening.in_scope(|| load(&config))).await??;
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
    let hold = Arc::new(Hold {
        core: core.clone(),
        log: Mutex::new(Some(log.clone())),
        threads: Mutex::default(),
        tasks: Mutex::default(),
    });
    let (ask, asked) = mpsc::channel();
    let (backlog, reader) = (core.clone(), log.reader());
    let named = thread::Builder::new().name("backlog".into());
    let of_backlog = span.clone();
    let reading = named.spawn(move || of_backlog.in_scope(|| backlog::run(&backlog, reader, &asked)));
    for (index, shard) in shards.into_iter().enumerate() {
        let delivery = Delivery::new(core.clone(), ask.clone());
        let inboxes = core.inboxes.clone();
        let log = log.appender(move || inboxes[index].room());
        let thread = Thread { index, shard, log, parking: Parking::default(), delivery };
        let (named, span) = (thread::Builder::new().name(format!("shard-{index}")), span.clone());
        let named = named.spawn(move || span.in_scope(|| thread.run()));
        lock(&hold.threads).push(named.context("cannot start a shard's thread")?);
    }
    drop(ask);
    lock(&hold.threads).push(reading.context("cannot start the backlog's thread")?);
    *lock(&hold.tasks) = Some(tokio::spawn(tasks(core.clone(), listener).in_current_span()));
    Ok((core, hold, at))
}

fn load(config: &Config) -> anyhow::Result<Loaded> {
    let Config { data, ordinal, plan_uid, adopted_by, certificates: _, peer_listen: _, shards, reading } =
        config;
    let (ordinal, plan_uid, shards) = (*ordinal, plan_uid.clone(), (*shards).max(1));
    let store = Store::open(data, &StoreOptions { plan_uid: plan_uid.clone(), ordinal })?;
    let incarnation = store.incarnation();
    let identity = Identity { plan_uid, ordinal, store: StoreId(store.id()), incarnation };
    let kept = kept(&store, &identity, adopted_by.as_deref().unwrap_or_default())?;
    let inboxes: Inboxes = (0..shards).map(|_| Inbox::default()).collect();
    let mut shards: Vec<_> =
        (0..shards).map(|_| Shard::new(incarnation, Room::OF_NODE.share(shards))).collect();
    let woken = inboxes.clone();
    let on_durable: OnDurable = Box::new(move |position| {
        for inbox in woken.iter() {
            inbox.durable(position);
        }
    });
    let count = shards.len();
    let mut replay =
        |at: Position, head: Head, body: &[u8]| shards[usize::from(head.slot) % count].replay(at, head, body);
    let (log, opened) = Log::open(&store, &mut replay, reading, on_durable)?;
    let Opened { records, segments, torn_bytes, renewed, position } = opened;
    info!(records, segments, torn_bytes, renewed, incarnation, "the log is open");
    for inbox in inboxes.iter() {
        inbox.durable(position);
        inbox.put_always(Event::NodeStarted { store: identity.store, incarnation });
    }
    Ok(Loaded { store, identity, inboxes, shards, log, kept })
}

const SAVED: &str = "the saved plan and ring can't be used; run the version that wrote them, or remove `configuration` \
                     from the data folder, and the node is given them again";

/// The plan and ring that were in force when the node ended.
fn kept(store: &Store, identity: &Identity, adopted_by: &str) -> anyhow::Result<Option<Kept>> {
    let Some(bytes) = store.load_configuration()? else {
        if store.had_ring() {
            warn!("plan and ring are gone from the data folder: the node waits until it is given them again");
        }
        return Ok(None);
    };
    let given = configure::decode(&bytes).context(SAVED)?;
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
        let now_ms = core.now_ms();
        core.forwards(|forwards, out| forwards.tick(now_ms, out));
        core.serving.tick(now_ms);
        core.look_for_contact(now_ms);
    }
}
