//! How a node stands: what it says of itself to the operator, to people and to probes.

use crate::link::Owner;
use crate::lock::lock;
use crate::node::contact::Turn;
use crate::node::core::Core;
use crate::node::routing::Routing;
use crate::node::status::{Measured, NodeStatus, Status};
use crate::peer::Report;
use crate::peer::{Identity, Numbers};
use crate::shard::{Counts, RouteCounts};
use bytes::Bytes;
use proto::ring::Member;
use std::sync::atomic::Ordering;
use tokio_util::sync::CancellationToken;

/// While a plan is on its way to all shards, some have other routes.
fn with_routes(mut sum: Vec<RouteCounts>, counts: Vec<RouteCounts>) -> Vec<RouteCounts> {
    for RouteCounts { route, done, refused, declined, messages } in counts {
        match sum.iter_mut().find(|sum| sum.route == route) {
            Some(sum) => {
                sum.done += done;
                sum.refused += refused;
                sum.declined += declined;
                sum.messages += messages;
            }
            None => sum.push(RouteCounts { route, done, refused, declined, messages }),
        }
    }
    sum
}

const CUT_OFF: &str = "it has reached neither another node nor the operator for 10 s";

impl Core {
    pub fn count(&self) -> Counts {
        self.counts.iter().map(|counts| lock(counts).clone()).fold(Counts::default(), |sum, counts| Counts {
            slots_owned: sum.slots_owned + counts.slots_owned,
            slots_serving: sum.slots_serving + counts.slots_serving,
            agents: sum.agents + counts.agents,
            messages: sum.messages + counts.messages,
            faults: sum.faults + counts.faults,
            outbox: sum.outbox + counts.outbox,
            client_names: sum.client_names + counts.client_names,
            node_names: sum.node_names + counts.node_names,
            holds: sum.holds + counts.holds,
            timers: sum.timers + counts.timers,
            routes: with_routes(sum.routes, counts.routes),
        })
    }

    pub fn report(&self) -> Report {
        let Identity { plan_uid, ordinal, store, incarnation } = self.identity.clone();
        let held = self.held.load();
        let held = held.as_ref();
        let Numbers { revision, generation } = held.map_or_else(|| self.numbers(), |held| held.numbers);
        let counts = self.count();
        Report {
            plan_uid,
            ordinal,
            store: store.to_string(),
            incarnation,
            revision,
            generation,
            slots_owned: counts.slots_owned,
            slots_serving: counts.slots_serving,
            had_ring: self.had_ring.load(Ordering::Acquire),
            certificates: self.certificates.in_force().credentials.digests,
            held: held.map(|held| held.ring.clone()).unwrap_or_default(),
            hints: self.peers.hints.borrow().digest,
        }
    }

    /// The ring in force, for one who has that of this revision and nonce; empty where it is the same.
    pub fn ring_beside(&self, revision: u64, nonce: u64) -> Bytes {
        let routing = self.routing.load();
        let other = routing.as_ref().filter(|routing| {
            let ring = &routing.ring;
            (ring.revision, ring.nonce) != (revision, nonce)
        });
        other.map(|routing| routing.given.ring.clone()).unwrap_or_default()
    }

    pub fn status(&self) -> Status {
        let agents = self.count().agents;
        let routing = self.routing.load();
        let routing = routing.as_ref();
        Status {
            plan: routing.map_or_else(String::new, |routing| routing.given.plan_name.clone()),
            report: self.report(),
            agents,
            links: self.serving.open_links(),
            nodes: routing.map_or_else(Vec::new, |routing| self.nodes(routing)),
        }
    }

    pub fn measured(&self) -> Measured {
        let Counts { messages, faults, outbox, client_names, node_names, holds, timers, routes, .. } =
            self.count();
        let (forwards, held) = self.forwards(|forwards, _| (forwards.count() as u64, forwards.held() as u64));
        Measured {
            messages,
            faults,
            outbox,
            client_names,
            node_names,
            forwards,
            holds: holds + held,
            timers,
            routes,
            delivered: self.serving.delivered(),
            read_bytes: self.reads.bytes() as u64,
            handshakes_refused: self.certificates.refused(),
            certificate_ends_s: self.certificates.in_force().credentials.validity.until_s,
            ..Measured::default()
        }
    }

    fn nodes(&self, routing: &Routing) -> Vec<NodeStatus> {
        let mut slots = vec![0; routing.ring.members.len()];
        for slot in &routing.ring.slots {
            slots[usize::from(slot.owner)] += 1;
        }
        let node = |(member, slots): (&Member, u32)| NodeStatus {
            ordinal: member.ordinal,
            store: member.store.to_string(),
            slots,
            reached: member.store == self.identity.store
                || self.peers.get(member.ordinal).is_some_and(|peer| peer.reached()),
            peer_at: routing.given.peers.get(usize::from(member.ordinal)).cloned().unwrap_or_default(),
        };
        routing.ring.members.iter().zip(slots).map(node).collect()
    }

    pub fn operator_asks(&self) {
        self.operator_asked.store(true, Ordering::Relaxed);
    }

    /// Ends with clients' connections when this node is cut off from all others.
    pub fn cut_off(&self) -> CancellationToken {
        lock(&self.cut_off).clone()
    }

    /// Looks whether there is contact with anyone, if the plan has more nodes than this one.
    pub fn look_for_contact(&self, now_ms: u64) {
        let alone = self.routing.load().as_ref().is_none_or(|routing| routing.ring.members.len() == 1);
        let asked = self.operator_asked.swap(false, Ordering::Relaxed);
        let reached = alone || asked || self.peers.all().iter().any(|peer| peer.reached());
        match lock(&self.contact).look(reached, now_ms) {
            Some(Turn::CutOff) => {
                tracing::warn!("{CUT_OFF}: its clients are sent elsewhere");
                std::mem::take(&mut *lock(&self.cut_off)).cancel();
            }
            Some(Turn::Back) => tracing::info!("this node has contact again"),
            None => {}
        }
    }

    /// Why this node can't serve all that it owns.
    pub fn ready(&self) -> Result<(), String> {
        if let Some(why) = self.life.failed() {
            return Err(why);
        }
        if self.life.stopping.is_cancelled() {
            return Err("it is stopping".into());
        }
        if self.held.load().is_some() {
            return Err("its volume was adopted, and it waits for a ring that is given anew".into());
        }
        if self.routing.load().is_none() {
            return Err("it has no plan and ring yet".into());
        }
        if lock(&self.contact).is_cut_off() {
            return Err(CUT_OFF.into());
        }
        let Counts { slots_owned, slots_serving, .. } = self.count();
        let told = self.slots_of(Owner::Here).len();
        if slots_owned as usize == told && slots_serving == slots_owned {
            Ok(())
        } else {
            Err(format!("it serves {slots_serving} of its {told} slots"))
        }
    }
}
