//! What the links of this node need of it: where a lane lies, and the way to its owner.

use crate::link::{Asked, Owner, Question, Target, Upstream};
use crate::node::core::{Core, Event};
use crate::node::routing;
use crate::peer::{Attach, Limit};
use crate::refusal::Refusal;
use crate::shard;
use proto::address::Slot;

impl Upstream for Core {
    fn find(&self, agent: &str, lane: &str) -> Result<Target, Refusal> {
        self.life.open(agent)?;
        let routing = self.routing.load();
        routing.as_ref().ok_or_else(|| routing::unknown(agent))?.lane(agent, lane)
    }

    fn owner(&self, slot: Slot) -> Owner {
        Core::owner(self, slot)
    }

    fn ask_to_attach(&self, attachment: u64, target: &Target, asked: Asked) {
        let Asked { since, limit } = asked;
        let (slot, agent, lane) = (target.slot, target.agent.clone(), target.lane.to_string());
        match target.owner {
            Owner::Here => {
                let (watch, since) = (attachment, since.changed);
                let attach = shard::Attach { watch, agent, slot, lane, since, limit };
                self.inbox(slot).put_always(Event::Attach(attach));
            }
            // One that is not connected is asked when it is.
            Owner::Node(node) => {
                self.peers.get_or_add(node).ask_attach(Attach {
                    attachment,
                    slot,
                    agent,
                    lane,
                    since,
                    limit,
                });
            }
            Owner::Nobody => {}
        }
    }

    fn limit(&self, attachment: u64, target: &Target, limit: u64) {
        match target.owner {
            Owner::Here => {
                let (slot, agent, lane) = (target.slot, target.agent.clone(), target.lane.to_string());
                self.inbox(slot).put_always(Event::Limit { watch: attachment, agent, lane, limit });
            }
            Owner::Node(node) => self.peers.get_or_add(node).limit(Limit { attachment, items: limit }),
            Owner::Nobody => {}
        }
    }

    fn ask(&self, question: Question, target: &Target) {
        match target.owner {
            Owner::Node(node) => self.peers.get_or_add(node).question(question),
            Owner::Here | Owner::Nobody => {}
        }
    }

    fn detach(&self, attachment: u64, target: &Target) {
        let (slot, agent, lane) = (target.slot, target.agent.clone(), target.lane.to_string());
        match target.owner {
            Owner::Here => {
                self.inbox(slot).put_always(Event::Detach { watch: attachment, agent, slot, lane });
            }
            Owner::Node(node) => self.peers.get_or_add(node).detach(attachment),
            Owner::Nobody => {}
        }
    }
}
