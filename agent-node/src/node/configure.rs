//! Takes a plan and a ring: judged, on the disk, and only then in force.

use crate::link::Owner;
use crate::lock::lock;
use crate::node::configuration::{self, Again, Verdict};
use crate::node::core::{Core, Event};
use crate::node::routing::Routing;
use crate::peer::Configuration;
use crate::peer::peers::Target;
use crate::peer::wire;
use crate::refusal::{Fate, Refusal};
use prost::Message as _;
use proto::address::Slot;
use proto::wire::peer::ConfigureRequest;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::task::spawn_blocking;
use tracing::{Span, info, warn};

/// In the form in which the store keeps it.
pub fn encode(given: &Configuration) -> Vec<u8> {
    wire::configuration_out(given.clone()).encode_to_vec()
}

pub fn decode(bytes: &[u8]) -> anyhow::Result<Configuration> {
    Ok(wire::configuration(ConfigureRequest::decode(bytes)?))
}

pub async fn configure(core: &Arc<Core>, given: Configuration) -> Result<(), Refusal> {
    let _turn = core.configuring.lock().await;
    if let Some(why) = core.life.failed() {
        return Err(Refusal::unavailable(why, ""));
    }
    let this = core.clone();
    let span = Span::current();
    let judged = spawn_blocking(move || span.in_scope(|| judge_and_save(&this, given))).await;
    take(core, judged.map_err(|error| Refusal::new(500, error.to_string(), ""))?)
}

/// The same at once, for who waits for no other configuration and may wait for the disk.
#[cfg(test)]
pub fn configure_now(core: &Arc<Core>, given: Configuration) -> Result<(), Refusal> {
    take(core, judge_and_save(core, given))
}

fn take(core: &Arc<Core>, judged: Result<Verdict, configuration::Error>) -> Result<(), Refusal> {
    match judged {
        Ok(Verdict::Same) => Ok(()),
        Ok(Verdict::Take(routing)) => {
            let (revision, generation) = (routing.numbers.revision, routing.numbers.generation);
            info!(
                revision,
                generation,
                slots = routing.slots_of(Owner::Here).len(),
                "a plan and ring in force"
            );
            in_force(core, *routing);
            Ok(())
        }
        Err(configuration::Error::Refused(refusal)) => Err(refusal),
        Err(configuration::Error::Fatal(why)) => {
            core.life.fail(&why);
            Err(Refusal::unavailable(why, ""))
        }
    }
}

/// From another node, which was asked for it once. Nobody waits for the answer.
pub async fn by_peer(core: &Arc<Core>, given: Configuration) {
    let taken = configure(core, given.clone()).await;
    heard(core, given, taken);
}

/// The same at once.
#[cfg(test)]
pub fn by_peer_now(core: &Arc<Core>, given: Configuration) {
    let taken = configure_now(core, given.clone());
    heard(core, given, taken);
}

fn heard(core: &Core, given: Configuration, taken: Result<(), Refusal>) {
    let Err(refusal) = taken else { return };
    let again = refusal.fate() == Fate::Later;
    warn!(why = refusal.error, at = refusal.at, again, "the plan and ring of another node were refused");
    if again {
        *lock(&core.again) = Some(Again { given, at_ms: core.now_ms() + AGAIN_MS });
    }
}

/// After so long it is tried again.
const AGAIN_MS: u64 = 1_000;

/// What is to be tried again now.
pub fn again(core: &Core) -> Option<Configuration> {
    let now_ms = core.now_ms();
    Some(lock(&core.again).take_if(|again| again.at_ms <= now_ms)?.given)
}

fn judge_and_save(core: &Core, given: Configuration) -> Result<Verdict, configuration::Error> {
    let has = core.routing.load_full();
    let held = core.held.load_full();
    let verdict = configuration::judge(&core.own(held.as_deref()), has.as_deref(), given)?;
    if let Verdict::Take(routing) = &verdict {
        let store = lock(&core.store);
        let store = store.as_ref().ok_or_else(|| Refusal::unavailable("this node is stopping", ""))?;
        let saved = store.save_configuration(&encode(&routing.given));
        saved.map_err(|error| Refusal::unavailable(error.to_string(), ""))?;
        core.had_ring.store(true, Ordering::Release);
        core.held.store(None);
    }
    Ok(verdict)
}

/// Lets what is durable be in force. Shards hear of it before anyone can route by it.
pub fn in_force(core: &Arc<Core>, routing: Routing) {
    for (index, inbox) in core.inboxes.iter().enumerate() {
        inbox.put_always(Event::Configured(Arc::new(routing.for_shard(index, core.inboxes.len()))));
    }
    core.peers.heard_of(&routing.ring.members);
    let owners = routing.owners.clone();
    let others = routing.others(&core.identity);
    let before = core.routing.swap(Some(Arc::new(routing)));
    let was = |slot: usize| before.as_ref().and_then(|before| before.owners.get(slot).copied());
    let changed: Vec<Slot> =
        (0..owners.len()).filter(|slot| was(*slot) != Some(owners[*slot])).map(|slot| slot as Slot).collect();
    core.forwards(|forwards, out| forwards.ring(owners, out));
    core.peers.aim(others.into_iter().map(|(ordinal, at, store)| (ordinal, Target { at, store })).collect());
    core.put_to_all(|| Event::Resend(changed.clone()));
    core.lost(&changed);
    core.serving.planned();
    core.peers.wake_all();
}
