//! One look at a plan: see, decide, do, and see again, until there is nothing left to do.
//!
//! *Guarantees.* Nothing is done on the word of an older look: what was remembered serves only to find that there is
//! nothing to do. What the API server will not have is said in the plan's status.

use crate::act;
use crate::look;
use crate::metrics::Metrics;
use crate::names;
use crate::news::Teller;
use crate::nodes::Nodes;
use crate::observed::{Objects, Observed};
use crate::plan::{Key, Plan};
use crate::queue::{Look, Outcome};
use crate::settings::Settings;
use crate::steps::{self, Given, NewStatus, Pace, Step};
use futures::StreamExt as _;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use std::collections::BTreeMap;
use std::time::Duration;
use tracing::{debug, info, warn};

/// The longest that one reconcile may take.
const LIMIT: Duration = Duration::from_mins(1);
/// How many nodes are given plan and ring at the same time: few, since a plan may be large; enough that nodes that do not
/// answer cannot use up the time.
const GIVEN_AT_ONCE: usize = 64;
/// How often one reconcile sees and acts. What is left is done in the next.
const ROUNDS: usize = 5;

pub struct Context {
    pub client: Client,
    pub nodes: Nodes,
    pub teller: Teller,
    pub settings: Settings,
    pub metrics: Metrics,
}

/// What the last look has left.
#[derive(Debug)]
pub struct Memory {
    plan: Plan,
    objects: Objects,
    refusals: Refusals,
}

/// Why nodes do not take what they were given last, with its generation.
type Refusals = BTreeMap<u16, (u64, String)>;

pub async fn reconcile(
    context: &Context,
    key: &Key,
    look: Look,
    memory: Option<Memory>,
) -> (Option<Memory>, Outcome) {
    match tokio::time::timeout(LIMIT, Box::pin(rounds(context, key, look, memory))).await {
        Ok(Ok(end)) => end,
        Ok(Err(act::Error::Overtaken(what))) => {
            info!(%what, "the object was changed by someone else meanwhile; reading it again");
            (None, Outcome::Overtaken)
        }
        Ok(Err(error)) => {
            warn!(%error, "the plan could not be reconciled; trying again later");
            (None, Outcome::Failed)
        }
        Err(_) => {
            warn!("the plan was not reconciled within {} s; trying again later", LIMIT.as_secs());
            (None, Outcome::Failed)
        }
    }
}

async fn rounds(
    context: &Context,
    key: &Key,
    look: Look,
    memory: Option<Memory>,
) -> Result<(Option<Memory>, Outcome), act::Error> {
    let mut refusals = BTreeMap::new();
    let mut known = None;
    if let Some(memory) = memory {
        refusals = memory.refusals;
        known = (look == Look::Nodes).then_some((memory.plan, memory.objects));
    }
    for _ in 0..ROUNDS {
        let is_fresh = known.is_none();
        let (plan, objects) = match known.take() {
            Some(known) => known,
            None => match see(&context.client, key).await? {
                Some(seen) => seen,
                None => return Ok((None, Outcome::Gone)),
            },
        };
        let seen = ask(context, &plan, objects, &refusals).await;
        let next = steps::toward(&plan, &seen, &context.settings, now());
        if next.is_empty() {
            return Ok((Some(Memory { plan, objects: seen.objects, refusals }), outcome(next.pace)));
        }
        if !is_fresh {
            continue;
        }
        let rejections = take_steps(context, &plan, next.steps).await?;
        let answers = give(context, &plan, &seen, &next.given).await;
        let all_taken = answers.iter().all(|(_, answer)| answer.is_ok());
        remember(&mut refusals, plan.generation, answers);
        if rejections.is_empty() && all_taken {
            report(context, &plan, next.report).await?;
            continue;
        }
        // What was refused belongs into the status: what is to be said is decided again, with that seen.
        let outcome = if rejections.is_empty() { Outcome::Obstructed } else { Outcome::Failed };
        let seen = Observed { refusals: of_generation(&refusals, plan.generation), rejections, ..seen };
        let next = steps::toward(&plan, &seen, &context.settings, now());
        report(context, &plan, next.report).await?;
        return Ok((Some(Memory { plan, objects: seen.objects, refusals }), outcome));
    }
    warn!("the plan is not settled after {ROUNDS} rounds; continuing later");
    Ok((None, Outcome::Failed))
}

async fn see(client: &Client, key: &Key) -> Result<Option<(Plan, Objects)>, act::Error> {
    let failed = act::Error::Failed;
    let Some(plan) = look::plan(client, key).await.map_err(failed)? else { return Ok(None) };
    let objects = look::objects(client, &plan).await.map_err(failed)?;
    Ok(Some((plan, objects)))
}

async fn ask(context: &Context, plan: &Plan, objects: Objects, refusals: &Refusals) -> Observed {
    let answers = match objects.authority.ours() {
        Some(authority) => context.nodes.ask(plan, &objects.pods, authority).await,
        None => BTreeMap::new(),
    };
    let refusals = of_generation(refusals, plan.generation);
    Observed { objects, answers, refusals, rejections: BTreeMap::new() }
}

fn of_generation(refusals: &Refusals, generation: u64) -> BTreeMap<u16, String> {
    let of_this = refusals.iter().filter(|(_, (of, _))| *of == generation);
    of_this.map(|(ordinal, (_, why))| (*ordinal, why.clone())).collect()
}

/// Takes the steps in their order. An object that the API server refuses is passed over; the answer has its name with the
/// reason.
async fn take_steps(
    context: &Context,
    plan: &Plan,
    steps: Vec<Step>,
) -> Result<BTreeMap<String, String>, act::Error> {
    let client = &context.client;
    let mut rejections = BTreeMap::new();
    for step in steps {
        info!("{step}");
        context.metrics.took(&step);
        let (object, made) = match step {
            Step::MakeAuthority { trusted } => {
                let object = format!("Secret {}", names::authority(plan.name()));
                (object, act::make_authority(client, plan, &trusted, now_s()).await)
            }
            Step::GiveCertificates { authority, pair, why: _ } => {
                let object = format!("Secret {}", names::certificates(plan.name()));
                (object, act::give_certificates(client, plan, &authority, pair, now_s()).await)
            }
            Step::Apply(part, desired) => {
                let object = format!("{} {}", part.resource().kind, part.name(plan.name()));
                (object, act::apply(client, plan, part, &desired).await)
            }
            Step::BeginRing { members, slots } => {
                let object = format!("ConfigMap {}", names::ring(plan.name()));
                (object, act::begin_ring(client, plan, members, slots).await)
            }
        };
        match made {
            Err(act::Error::Rejected(why)) => {
                warn!(object, %why, "the API server refuses an object of the plan");
                rejections.insert(object, why);
            }
            made => made?,
        }
    }
    Ok(rejections)
}

/// Gives nodes the plan and the ring, all at once, and says which of them have taken it.
async fn give(
    context: &Context,
    plan: &Plan,
    seen: &Observed,
    given: &[Given],
) -> Vec<(u16, Result<(), String>)> {
    let Some(authority) = seen.objects.authority.ours() else { return Vec::new() };
    let mut calls = Vec::new();
    for given in given {
        info!("{given}");
        context.metrics.gave();
        if let Some(ip) = seen.objects.pods.get(&given.ordinal).and_then(|pod| pod.ip.as_ref()) {
            let call = context.nodes.configure(plan, ip, authority, given);
            calls.push(async move { (given.ordinal, call.await) });
        }
    }
    futures::stream::iter(calls).buffer_unordered(GIVEN_AT_ONCE).collect().await
}

fn remember(refusals: &mut Refusals, generation: u64, answers: Vec<(u16, Result<(), String>)>) {
    for (ordinal, answer) in answers {
        match answer {
            Ok(()) => {
                refusals.remove(&ordinal);
            }
            Err(why) => {
                warn!(ordinal, %why, "a node does not take the plan or the ring");
                refusals.insert(ordinal, (generation, why));
            }
        }
    }
}

async fn report(context: &Context, plan: &Plan, report: Option<NewStatus>) -> Result<(), act::Error> {
    let Some(NewStatus { status, news }) = report else { return Ok(()) };
    debug!("writing the status of the plan");
    context.metrics.reported();
    act::report(&context.client, plan, &status).await?;
    context.teller.publish(plan, &news).await;
    Ok(())
}

fn outcome(pace: Pace) -> Outcome {
    match pace {
        Pace::Settled => Outcome::Settled,
        Pace::Waiting => Outcome::Waiting,
        Pace::Obstructed => Outcome::Obstructed,
    }
}

fn now_s() -> u64 {
    now().as_second().unsigned_abs()
}

/// Whole seconds, as Kubernetes writes them.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
mod tests;
