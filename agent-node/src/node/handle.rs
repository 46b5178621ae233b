//! The handle to a node: everything that the ways in ask of it.

use crate::done::End;
use crate::link::{Links, Owner, Upstream as _};
use crate::node::commands::{self, Commands, Way};
use crate::node::config::Config;
use crate::node::configure;
use crate::node::core::{Core, Event};
use crate::node::hold::Hold;
use crate::node::request::Request;
use crate::node::routing::{self, Routed};
use crate::node::start;
use crate::node::status::{Measured, Status};
use crate::peer::mailbox::{Mail, Mailbox};
use crate::peer::{self, Configuration, Report};
use crate::reads::Answer;
use crate::refusal::{Fate, Refusal};
use crate::shard::{self, Body};
use proto::address::Slot;
use proto::origin::Origin;
use proto::plan::LaneKind;
use proto::value::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Clones are handles to the same node. When the last one goes, a node that was not stopped ends as if killed.
#[derive(Clone)]
pub struct Node {
    pub(super) core: Arc<Core>,
    pub(super) hold: Arc<Hold>,
}

/// How long a read waits for an owner that can be asked.
const READ: Duration = Duration::from_secs(2);
/// Until a read that found no owner looks again.
const READ_AGAIN: Duration = Duration::from_millis(50);

impl Node {
    /// Opens the store, replays the log, and answers peers. The address is where it does. What was in force when the
    /// node ended is in force again.
    pub async fn start(config: Config) -> anyhow::Result<(Node, SocketAddr)> {
        let (core, hold, at) = start::start(config).await?;
        Ok((Node { core, hold }, at))
    }

    pub fn report(&self) -> Report {
        self.core.report()
    }

    /// Takes a newer plan or ring, durably; older ones are refused.
    pub async fn configure(&self, configuration: Configuration) -> Result<Report, Refusal> {
        configure::configure(&self.core, configuration).await?;
        Ok(self.core.report())
    }

    /// Ends when this node is cut off from all others, and with it clients' connections of now.
    pub fn cut_off(&self) -> CancellationToken {
        self.core.cut_off()
    }

    /// Why this node can't serve all that it owns.
    pub fn ready(&self) -> Result<(), String> {
        self.core.ready()
    }

    /// Waits until this node must not go on, and says why: another process has its store, or two rings have one
    /// revision. The process is to end with it; nothing is taken any more.
    pub async fn fails(&self) -> String {
        self.core.life.fails().await
    }

    pub fn status(&self) -> Status {
        self.core.status()
    }

    pub fn measured(&self) -> Measured {
        Measured { log: self.hold.measured(), ..self.core.measured() }
    }

    /// Whether the plan lets web pages of that origin ask.
    pub fn page_may_ask(&self, origin: &Origin) -> bool {
        self.core.routing.load().as_ref().is_some_and(|routing| routing.plan.origins.contains(origin))
    }

    /// The lanes that clients can see.
    pub fn lanes_of(&self, agent: &str) -> Result<Vec<(String, LaneKind)>, Refusal> {
        let routing = self.core.routing.load();
        routing.as_ref().ok_or_else(|| routing::unknown(agent))?.lanes(agent)
    }

    pub async fn get(
        &self,
        agent: &str,
        lane: &str,
        local: bool,
        if_none_match: Option<u64>,
    ) -> Result<Answer, Refusal> {
        if local && let Some(got) = self.mirror_of(agent, lane, if_none_match)? {
            return Ok(got);
        }
        let looked = timeout(READ, async {
            loop {
                match self.ask(agent, lane, if_none_match).await {
                    Err(refusal) if refusal.fate() == Fate::Elsewhere => sleep(READ_AGAIN).await,
                    end => return end,
                }
            }
        });
        looked.await.unwrap_or_else(|_| Err(Refusal::unavailable("no owner could be reached", agent)))
    }

    /// The state as the mirror of the lane on this node has it, if there is one.
    fn mirror_of(
        &self,
        agent: &str,
        lane: &str,
        if_none_match: Option<u64>,
    ) -> Result<Option<Answer>, Refusal> {
        let target = self.core.find(agent, lane)?;
        let mirror = self.core.serving.mirror_of(&target.agent, lane).filter(|_| !target.internal);
        let Some(mut got) = mirror else { return Ok(None) };
        if if_none_match == Some(got.version) {
            (got.not_modified, got.body) = (true, Body::Value(Value::Null));
        }
        self.core.reads.admit(got, agent).map(Some)
    }

    /// `Fate::Elsewhere`: whoever was asked does not own the agent any more, or not yet.
    pub(super) async fn ask(
        &self,
        agent: &str,
        lane: &str,
        if_none_match: Option<u64>,
    ) -> Result<Answer, Refusal> {
        self.core.life.open(agent)?;
        let (mailbox, asked) = (Arc::new(Mailbox::default()), agent.to_owned());
        let Routed { address: agent, slot, owner, kind: _ } =
            self.core.routing.load().as_ref().ok_or_else(|| routing::unknown(agent))?.route(agent)?;
        let (reply, lane) = (mailbox.clone(), lane.to_owned());
        let _awaited = match owner {
            Owner::Here => {
                let read = shard::Read { reply, id: 0, slot, agent, lane, if_none_match };
                let full = self.put(slot, Event::Read(read));
                full.map_err(|agent| Refusal::full("too many reads wait in the shard", agent))?;
                None
            }
            Owner::Node(node) => {
                let read = peer::Read { id: 0, slot, agent, lane, if_none_match };
                Some(self.core.peers.get_or_add(node).read(read, reply)?)
            }
            Owner::Nobody => return Err(Refusal::elsewhere(agent.as_str())),
        };
        match mailbox.one().await {
            Mail::Got(_, end) => end.map_err(|refusal| match &*refusal.at {
                "" if refusal.fate() == Fate::Later => Refusal { at: asked, ..refusal },
                _ => refusal,
            }),
            Mail::End(..) | Mail::Taken(_) | Mail::Detached(..) => unreachable!("a read was asked"),
        }
    }

    pub async fn send(&self, request: Request) -> End {
        let mailbox = Arc::new(Mailbox::default());
        match Way::find(&self.core, request, &mailbox, 0, 0)? {
            Way::Away(owner, command) => self.core.pass_on(&mut vec![(owner, command)]),
            Way::Here(command) => {
                let full = self.put(command.slot, Event::Command(command));
                full.map_err(|agent| Refusal::full("too many commands wait in the shard", agent))?;
            }
        }
        match mailbox.one().await {
            Mail::End(_, end) => end.map_err(commands::not_here),
            Mail::Got(..) | Mail::Taken(_) | Mail::Detached(..) => unreachable!("a command was sent"),
        }
    }

    /// The address of what found no room.
    fn put(&self, slot: Slot, event: Event) -> Result<(), String> {
        let mut full = Vec::new();
        self.core.inbox(slot).put(&mut vec![event], &mut full);
        match full.pop() {
            Some(Event::Command(command)) => Err(command.agent.to_string()),
            Some(Event::Read(read)) => Err(read.agent.to_string()),
            _ => Ok(()),
        }
    }

    /// One client's stream of commands.
    pub fn commands(&self) -> Commands {
        Commands::new(self.core.clone(), self.hold.clone())
    }

    /// One client's links.
    pub fn links(&self) -> Links {
        Links::new(&self.core.serving)
    }

    /// Ends peers, shards and the log; what was taken is answered first.
    pub async fn stop(&self) {
        self.hold.stop().await;
    }
}
