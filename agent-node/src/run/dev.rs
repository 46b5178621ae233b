//! `dev`: a plan on one machine. All its nodes live in this process, which also does what an operator does: it makes
//! the ring, gives plan and ring to the nodes, and takes an edited plan.
//!
//! *Guarantees*: no public port answers before all nodes serve; whatever ends the process, the next one on the same
//! folder goes on where it was; a wrong edit changes nothing.

pub mod certificates;
mod folder;
mod kept;
pub mod look;
mod plan_file;
mod ports;

use crate::logging::{self, LogArgs};
use crate::node::{self, Configuration, Node};
use crate::peer::certificates::now_s;
use crate::run::running::{MetricsPort, Running};
use crate::run::signals::Signals;
use crate::snapshot;
use crate::ways::grpc::Addresses;
use crate::ways::site::Hosts;
use anyhow::{Context as _, anyhow, bail, ensure};
use folder::Folder;
use futures::future::{join_all, select_all, try_join_all};
use kept::Kept;
use plan_file::{PlanFile, Wish};
use ports::Ports;
use proto::plan;
use proto::ring::{self, First, Member, Reported, Ring};
use proto::shown::Exit;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{Instrument as _, Span, error, info, info_span, warn};

/// For the sockets of all nodes.
pub const THREADS: usize = 2;
/// How often the plan's file is checked for changes.
const LOOK: Duration = Duration::from_secs(1);
const READY_LOOK: Duration = Duration::from_millis(2);
/// Until nodes that have their plan must serve.
const READY: Duration = Duration::from_mins(1);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file with an AgentPlan; changes of the file are applied while the nodes run
    #[arg(value_name = "PLAN.yaml")]
    plan: PathBuf,
    /// The number of nodes; if unset, the plan's `replicas`
    #[arg(long, env = "SHOAL_NODES", value_parser = clap::value_parser!(u16).range(1..=256))]
    nodes: Option<u16>,
    /// The data folder; if unset, .shoal/ followed by the plan's name
    #[arg(long, env = "SHOAL_DATA")]
    data: Option<PathBuf>,
    /// The port of node 0; the other nodes use the ports after it
    // No variable: Kubernetes sets SHOAL_PORT itself where a Service is called `shoal`.
    #[arg(long, default_value = "7777", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// The number of threads that run agents in each node
    #[arg(long, env = "SHOAL_SHARDS", default_value = "1")]
    shards: NonZeroUsize,
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    plan: PathBuf,
    nodes: Option<u16>,
    data: Option<PathBuf>,
    port: u16,
    shards: usize,
    log: logging::Config,
}

impl From<Args> for Config {
    fn from(args: Args) -> Config {
        let Args { plan, nodes, data, port, shards, log } = args;
        Config { plan, nodes, data, port, shards: shards.get(), log: log.into() }
    }
}

/// Why it does not run, or not any more.
enum Error {
    /// The plan's author has to mend it.
    Plan(PathBuf, Vec<plan::Error>),
    /// What was asked for does not go with what is there.
    Usage(String),
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Error {
    fn from(error: E) -> Error {
        Error::Failed(error.into())
    }
}

pub async fn run(config: Config) -> Exit {
    let logs = match super::begin(&config.log) {
        Ok(logs) => logs,
        Err(exit) => return exit,
    };
    let ended = lives(config).await;
    // Why it has ended comes last.
    drop(logs);
    match ended {
        Ok(()) => Exit::Done,
        Err(Error::Plan(path, errors)) => {
            log_errors(&path, &errors);
            Exit::Usage
        }
        Err(Error::Usage(error)) => {
            eprintln!("{error}");
            Exit::Usage
        }
        Err(Error::Failed(error)) => {
            eprintln!("{error:#}");
            Exit::Refused
        }
    }
}

fn log_errors(path: &Path, errors: &[plan::Error]) {
    for error in errors {
        eprintln!("{}: {error}", path.display());
    }
}

/// Until a signal ends it, or one of the nodes can't go on.
async fn lives(config: Config) -> Result<(), Error> {
    let mut signals = Signals::catch()?;
    let mut dev = tokio::select! {
        dev = Dev::begin(config) => dev?,
        signal = signals.next() => {
            info!(signal, "ended before all nodes served");
            return Ok(());
        }
    };
    println_or_not(&format!("{}\n{}", dev.ready(), ports::table(&dev.ports())));
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let failed = loop {
        tokio::select! {
            why = dev.fails() => break Some(why),
            signal = signals.next() => {
                info!(signal, "stopping");
                break None;
            }
            _ = look.tick() => dev.look_at_plan().await,
        }
    };
    tokio::select! {
        () = dev.stop() => info!("stopped"),
        signal = signals.next() => info!(signal, "ended before all nodes had stopped"),
    }
    failed.map_or(Ok(()), |why| Err(Error::Failed(why)))
}

/// Nobody has to read it.
fn println_or_not(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

struct Dev {
    file: PlanFile,
    /// As the command line says.
    nodes: Option<u16>,
    port: u16,
    folder: Folder,
    kept: Kept,
    /// All nodes have what is kept.
    in_force: bool,
    /// Why an edit is not in force, as it was said last.
    said: String,
    ring: Ring,
    /// Where each node answers the others.
    peers: Vec<String>,
    handles: Vec<Node>,
    running: Vec<Running>,
}

impl Dev {
    async fn begin(config: Config) -> Result<Dev, Error> {
        let Config { plan, nodes, data, port, shards, log: _ } = config;
        let mut file = PlanFile::new(plan);
        let text = file.read().map_err(|error| Error::Usage(format!("{error:#}")))?;
        let wish = Wish::parse(&text).map_err(|errors| Error::Plan(file.path.clone(), errors))?;
        let folder = Folder::open(&data.unwrap_or_else(|| Path::new(".shoal").join(&wish.name)))?;
        let has_begun = folder.has_plan();
        let kept = keep(&folder, &mut file, wish, nodes)?;
        if u32::from(port) + u32::from(kept.nodes) > 1 << 16 {
            return Err(Error::Usage(format!(
                "--port {port}: there are no {} ports from there on",
                kept.nodes
            )));
        }
        let ports = Ports::hold(port, kept.nodes)?;
        let started = start(&folder, &kept, shards).await?;
        let ring = ring(&folder, &kept, &started, has_begun)?;
        let peers = started.iter().map(|(_, peer)| peer.to_string()).collect();
        let handles = started.iter().map(|(node, _)| node.clone()).collect();
        let (in_force, said, running) = (true, String::new(), Vec::new());
        let mut dev = Dev { file, nodes, port, folder, kept, in_force, said, ring, peers, handles, running };
        dev.configure(&dev.kept).await?;
        dev.all_serve().await?;
        for ((node, peer), client) in started.into_iter().zip(ports.listen()?) {
            let listener = ports::any().await?;
            let of_node = of_node(dev.running.len() as u16).entered();
            let metrics = MetricsPort::begin(listener, Hosts::ThisMachine)?;
            dev.running.push(Running::begin(node, peer, client, metrics)?);
            drop(of_node);
        }
        Ok(dev)
    }

    /// Gives a plan to all nodes.
    async fn configure(&self, kept: &Kept) -> anyhow::Result<()> {
        let configuration = Configuration {
            plan_name: kept.plan.clone(),
            plan_uid: kept.uid.clone(),
            generation: kept.generation,
            spec: kept.spec.to_json().into(),
            ring: self.ring.encode().into(),
            peers: self.peers.clone(),
            adopted_by: String::new(),
        };
        for (ordinal, node) in self.handles.iter().enumerate() {
            let taken = node.configure(configuration.clone()).instrument(of_node(ordinal as u16)).await;
            taken.with_context(|| format!("node {ordinal} does not take plan and ring"))?;
        }
        Ok(())
    }

    async fn all_serve(&self) -> anyhow::Result<()> {
        let limit = Instant::now() + READY;
        for (ordinal, node) in self.handles.iter().enumerate() {
            while let Err(why) = serves(node) {
                ensure!(Instant::now() < limit, "node {ordinal} does not serve: {why}");
                sleep(READY_LOOK).await;
            }
        }
        Ok(())
    }

    fn ready(&self) -> String {
        let (first, last) = (self.port, self.port + self.kept.nodes - 1);
        let more = if first == last { String::new() } else { format!("-{last}") };
        format!("ready: {} on {}:{first}{more}", self.kept.plan, Ipv4Addr::LOCALHOST)
    }

    fn ports(&self) -> Vec<Addresses> {
        self.running.iter().map(Running::addresses).collect()
    }

    /// Waits until a node can't go on. May be dropped at any await.
    async fn fails(&mut self) -> anyhow::Error {
        let nodes = self.running.iter_mut().map(|node| Box::pin(node.fails()));
        let (why, ordinal, _) = select_all(nodes).await;
        anyhow!("node {ordinal} can't go on: {why}")
    }

    /// Takes the plan if it was edited, and what could not be taken before.
    async fn look_at_plan(&mut self) {
        if self.file.is_changed() {
            self.look_at_edit();
        }
        if self.in_force {
            return;
        }
        match self.configure(&self.kept).await {
            Ok(()) => {
                info!(generation = self.kept.generation, "the edited plan is in force");
                (self.in_force, self.said) = (true, String::new());
            }
            Err(error) => {
                self.say_once(format!("the edited plan is not in force: {error:#}; it is tried again"));
            }
        }
    }

    /// What is durable here before a node has it can be given again after whatever happens in between.
    fn look_at_edit(&mut self) {
        let generation = self.kept.generation;
        match self.edited() {
            Ok(None) => {}
            Ok(Some(next)) => match self.folder.keep(&next) {
                Ok(()) => (self.kept, self.in_force) = (next, false),
                Err(error) => {
                    self.file.look_again();
                    self.say_once(format!("the edited plan is not in force: {error:#}; it is tried again"));
                }
            },
            Err(Error::Plan(path, errors)) => {
                log_errors(&path, &errors);
                error!(generation, "the edit is wrong: the plan before it stays");
            }
            Err(Error::Usage(error)) => error!(generation, "{error}: the plan before it stays"),
            Err(Error::Failed(error)) => error!(generation, "{error:#}: the plan before it stays"),
        }
    }

    fn say_once(&mut self, error: String) {
        if self.said != error {
            error!("{error}");
            self.said = error;
        }
    }

    fn edited(&mut self) -> Result<Option<Kept>, Error> {
        let text = self.file.read()?;
        let wrong = |errors| Error::Plan(self.file.path.clone(), errors);
        let wish = Wish::parse(&text).map_err(wrong)?;
        self.kept.edited(&wish.name, &wish.spec, self.nodes).map_err(wrong)
    }

    async fn stop(self) {
        let Dev { running, handles, folder, .. } = self;
        let stop = |(node, running): (u16, Running)| running.stop().instrument(of_node(node));
        join_all((0..).zip(running).map(stop)).await;
        drop(handles);
        drop(folder);
    }
}

/// Under which a node's lines are logged.
fn of_node(ordinal: u16) -> Span {
    info_span!("node", n = ordinal)
}

/// What is kept of the plan, with what the file says now.
fn keep(folder: &Folder, file: &mut PlanFile, wish: Wish, nodes: Option<u16>) -> Result<Kept, Error> {
    let Wish { name, spec } = wish;
    let Some(kept) = folder.kept(&name)? else {
        let uid = format!("dev-{:032x}", rand::random::<u128>());
        let kept = Kept::begin(&name, uid, nodes.unwrap_or(spec.replicas as u16), spec);
        folder.keep(&kept)?;
        return Ok(kept);
    };
    if let Some(nodes) = nodes.filter(|nodes| *nodes != kept.nodes) {
        return Err(Error::Usage(format!(
            "--nodes {nodes}: the number of nodes can't change yet, and {} has {}",
            folder.path().display(),
            kept.nodes
        )));
    }
    let edited = kept.edited(&name, &spec, nodes);
    match edited.map_err(|errors| Error::Plan(file.path.clone(), errors))? {
        Some(next) => match folder.keep(&next) {
            Ok(()) => Ok(next),
            Err(error) => {
                error!(
                    "the edited plan is not in force: {error:#}; the plan before it is, and this is tried again"
                );
                file.look_again();
                Ok(kept)
            }
        },
        None => Ok(kept),
    }
}

async fn start(folder: &Folder, kept: &Kept, shards: usize) -> anyhow::Result<Vec<(Node, SocketAddr)>> {
    let certificates = certificates::ensure(folder.path(), &kept.uid, now_s())?;
    let nodes = (0..kept.nodes).map(|ordinal| {
        let (data, plan_uid) = (folder.node(ordinal), kept.uid.clone());
        let certificates = certificates.clone();
        let peer_listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = node::Config {
            data,
            ordinal,
            plan_uid,
            adopted_by: None,
            certificates,
            peer_listen,
            shards,
            snapshots: snapshot::LIMITS,
            reading: Arc::default(),
        };
        let start = Node::start(config).instrument(of_node(ordinal));
        async move { start.await.with_context(|| format!("node {ordinal} does not start")) }
    });
    try_join_all(nodes).await
}

/// The ring of the folder, or its first one. One that is gone is not begun anew over stores that had one.
fn ring(
    folder: &Folder,
    kept: &Kept,
    started: &[(Node, SocketAddr)],
    has_begun: bool,
) -> anyhow::Result<Ring> {
    let reports = started.iter().map(|(node, _)| node.report());
    let said = reports.map(|report| {
        let member =
            Member { ordinal: report.ordinal, store: report.store.parse()?, incarnation: report.incarnation };
        Ok(Reported { member, had_ring: report.had_ring })
    });
    let said = said.collect::<Result<Vec<_>, ring::Error>>()?;
    if let Some(ring) = folder.ring()? {
        knows(folder, &ring, &said)?;
        return Ok(ring);
    }
    let members = first(folder, kept.nodes, &said)?;
    let path = folder.path().display();
    if has_begun {
        // Also after a first start that was killed before its ring was written.
        warn!(
            "{path} contains a plan, but no ring, and no node that was a member of one: all agents start without state"
        );
    }
    let ring = Ring::begin(&kept.uid, members, kept.spec.slots as u32, rand::random());
    folder.keep_ring(&ring)?;
    Ok(ring)
}

/// Whether these are the stores of the ring.
fn knows(folder: &Folder, ring: &Ring, said: &[Reported]) -> anyhow::Result<()> {
    for (member, Reported { member: has, had_ring: _ }) in ring.members.iter().zip(said) {
        ensure!(
            member.store == has.store,
            "{} is not the store that the ring knows ({}): put back the folder that was there; or, to lose what all nodes have, \
             name another folder with --data",
            folder.node(member.ordinal).display(),
            member.store
        );
    }
    Ok(())
}

/// The members of a first ring, if one may be begun.
fn first(folder: &Folder, nodes: u16, said: &[Reported]) -> anyhow::Result<Vec<Member>> {
    let path = folder.path().display();
    match ring::first(nodes, said) {
        First::Begin(members) => Ok(members),
        First::Had(node) => {
            bail!(
                "{path}/ring is missing, and no node's folder contains a ring, although node {node} has been a \
                 member of one: restore the file {path}/ring, or begin anew in an empty folder (--data)"
            )
        }
        First::Waiting(_) => {
            bail!("two of the nodes' folders in {path} are of one store: put back those that were there")
        }
    }
}

/// Whether a node serves all that it owns, and reaches all others.
fn serves(node: &Node) -> Result<(), String> {
    node.ready()?;
    match node.status().nodes.iter().find(|other| !other.reached) {
        Some(other) => Err(format!("it does not reach node {}", other.ordinal)),
        None => Ok(()),
    }
}
