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
use crate::steps::{self, Configuration, Next, Pace, Step};
use futures::StreamExt as _;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use std::collections::BTreeMap;
use std::time::Duration;
use tracing::{debug, info, warn};

/// All of one look.
const LIMIT: Duration = Duration::from_mins(1);
/// A plan may be large; and nodes that take it but do not answer must not use up the look.
const GIVEN_AT_ONCE: usize = 64;
/// Each round takes some steps nearer; what is not done in so many is done in the next look.
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

/// Of what nodes were given last: the generation, and why they do not take it.
type Refusals = BTreeMap<u16, (u64, String)>;

/// How the steps of one round went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Went {
    Well,
    /// A node has not taken what it was given.
    Refused,
    Rejected,
}

pub async fn reconcile(
    context: &Context,
    key: &Key,
    look: Look,
    memory: Option<Memory>,
) -> (Option<Memory>, Outcome) {
    match tokio::time::timeout(LIMIT, rounds(context, key, look, memory)).await {
        Ok(Ok(end)) => end,
        Ok(Err(act::Error::Overtaken(what))) => {
            info!(%what, "someone else was faster");
            (None, Outcome::Overtaken)
        }
        Ok(Err(error)) => {
            warn!(%error, "trying again later");
            (None, Outcome::Failed)
        }
        Err(_) => {
            warn!("not done within {} s, trying again later", LIMIT.as_secs());
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
        let mut seen = ask(context, objects, &refusals, plan.generation).await;
        let next = steps::toward(&plan, &seen, &context.settings, now());
        if next.steps.is_empty() {
            return Ok((Some(Memory { plan, objects: seen.objects, refusals }), outcome(&next)));
        }
        if !is_fresh {
            continue;
        }
        let went = take(context, &plan, &mut seen, next.steps, &mut refusals).await?;
        if went == Went::Well {
            continue;
        }
        seen.refusals = of_generation(&refusals, plan.generation);
        report(context, &plan, &seen).await?;
        let outcome = if went == Went::Rejected { Outcome::Failed } else { Outcome::Obstructed };
        return Ok((Some(Memory { plan, objects: seen.objects, refusals }), outcome));
    }
    warn!("not settled after {ROUNDS} rounds, going on later");
    Ok((None, Outcome::Failed))
}

async fn see(client: &Client, key: &Key) -> Result<Option<(Plan, Objects)>, act::Error> {
    let failed = act::Error::Failed;
    let Some(plan) = look::plan(client, key).await.map_err(failed)? else { return Ok(None) };
    let objects = look::objects(client, &plan).await.map_err(failed)?;
    Ok(Some((plan, objects)))
}

async fn ask(context: &Context, objects: Objects, refusals: &Refusals, generation: u64) -> Observed {
    let answers = match objects.token.ours() {
        Some(token) => context.nodes.ask(&objects.pods, token).await,
        None => BTreeMap::new(),
    };
    let refusals = of_generation(refusals, generation);
    Observed { objects, answers, refusals, rejections: BTreeMap::new() }
}

fn of_generation(refusals: &Refusals, generation: u64) -> BTreeMap<u16, String> {
    let of_this = refusals.iter().filter(|(_, (of, _))| *of == generation);
    of_this.map(|(ordinal, (_, why))| (*ordinal, why.clone())).collect()
}

/// Steps in their order; those that give nodes something, all at once.
async fn take(
    context: &Context,
    plan: &Plan,
    seen: &mut Observed,
    steps: Vec<Step>,
    refusals: &mut Refusals,
) -> Result<Went, act::Error> {
    let client = &context.client;
    let mut went = Went::Well;
    let mut given = Vec::new();
    for step in steps {
        if let Step::Report { .. } = &step {
            debug!("{step}");
        } else {
            info!("{step}");
        }
        context.metrics.took(&step);
        match step {
            Step::MakeToken => {
                let object = format!("Secret {}", names::token(plan.name()));
                went = went.max(made(seen, object, act::make_token(client, plan).await)?);
            }
            Step::Apply(part, desired) => {
                let object = format!("{} {}", part.resource().kind, part.name(plan.name()));
                went = went.max(made(seen, object, act::apply(client, plan, part, &desired).await)?);
            }
            Step::BeginRing { members, slots } => {
                let object = format!("ConfigMap {}", names::ring(plan.name()));
                went = went.max(made(seen, object, act::begin_ring(client, plan, members, slots).await)?);
            }
            Step::Configure { ordinal, configuration } => given.push((ordinal, configuration)),
            Step::Report { status, news } => {
                if !give(context, plan, seen, std::mem::take(&mut given), refusals).await {
                    went = went.max(Went::Refused);
                }
                // What was refused belongs into it, and it can be written once.
                if went == Went::Well {
                    act::report(client, plan, &status).await?;
                    context.teller.tell(plan, &news).await;
                }
            }
        }
    }
    if give(context, plan, seen, given, refusals).await { Ok(went) } else { Ok(went.max(Went::Refused)) }
}

/// What the API server will not have is remembered, and the rest goes on.
fn made(seen: &mut Observed, object: String, made: Result<(), act::Error>) -> Result<Went, act::Error> {
    match made {
        Err(act::Error::Rejected(why)) => {
            warn!(object, %why, "the API server refuses it");
            seen.rejections.insert(object, why);
            Ok(Went::Rejected)
        }
        made => made.map(|()| Went::Well),
    }
}

/// Whether all have taken it.
async fn give(
    context: &Context,
    plan: &Plan,
    seen: &Observed,
    given: Vec<(u16, Configuration)>,
    refusals: &mut Refusals,
) -> bool {
    let Some(token) = seen.objects.token.ours() else { return true };
    let pods = &seen.objects.pods;
    let mut calls = Vec::new();
    for (ordinal, configuration) in &given {
        if let Some(ip) = pods.get(ordinal).and_then(|pod| pod.ip.as_ref()) {
            calls.push(
                async move { (*ordinal, context.nodes.configure(plan, ip, token, configuration).await) },
            );
        }
    }
    let mut calls = futures::stream::iter(calls).buffer_unordered(GIVEN_AT_ONCE);
    let mut all = true;
    while let Some((ordinal, taken)) = calls.next().await {
        match taken {
            Ok(()) => {
                refusals.remove(&ordinal);
            }
            Err(why) => {
                warn!(ordinal, %why, "a node does not take the plan or the ring");
                refusals.insert(ordinal, (plan.generation, why));
                all = false;
            }
        }
    }
    all
}

/// What could not be done, which is known only afterwards.
async fn report(context: &Context, plan: &Plan, seen: &Observed) -> Result<(), act::Error> {
    let next = steps::toward(plan, seen, &context.settings, now());
    for step in next.steps {
        if let Step::Report { status, news } = step {
            act::report(&context.client, plan, &status).await?;
            context.teller.tell(plan, &news).await;
        }
    }
    Ok(())
}

fn outcome(next: &Next) -> Outcome {
    match next.pace {
        Pace::Settled => Outcome::Settled,
        Pace::Waiting => Outcome::Waiting,
        Pace::Obstructed => Outcome::Obstructed,
    }
}

/// Whole seconds, as Kubernetes writes them.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
mod tests;
