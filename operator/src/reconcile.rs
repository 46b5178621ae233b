//! One look at a plan: see, decide, do, and see again, until there is nothing left to do.
//!
//! *Guarantees.* Nothing is done on the word of an older look: what was remembered serves only to find that there is
//! nothing to do. What the API server will not have is said in the plan's status.

use crate::act;
use crate::answers::Answers;
use crate::backoff::Backoff;
use crate::claims;
use crate::context::{Context, now};
use crate::heard::Heard;
use crate::look;
use crate::observed::{Objects, Observed};
use crate::owner::{self, Owning, Settled};
use crate::plan::{Key, Plan};
use crate::queue::{Look, Outcome};
use crate::reason::Reason;
use crate::ring;
use crate::status::News;
use crate::steps::{self, Given, NewStatus, Next, Pace, Step};
use crate::undeclared::Undeclared;
use futures::StreamExt as _;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tracing::{debug, info, warn};

/// The longest that one reconcile may take.
const LIMIT: Duration = Duration::from_mins(1);
/// How many nodes are given plan and ring at the same time: few, since a plan may be large; enough that nodes that do not
/// answer cannot use up the time.
const GIVEN_AT_ONCE: usize = 64;
/// Events of what is waited for are read this often.
const EXPLAINED_EACH: Duration = Duration::from_secs(5);
/// How often one reconcile sees and acts. What is left is done in the next.
const ROUNDS: usize = 7;

/// An older ring is written over in the same look that finds it, so that no condition says it.
const OVERWRITTEN: News = News { condition: "Degraded", reason: Reason::RingOlder };

/// What the last look has left.
#[derive(Debug, Default)]
pub struct Memory {
    /// What was read, while nothing has failed.
    known: Option<(Plan, Objects)>,
    past: Past,
}

/// What does not stand in the API server.
#[derive(Debug, Default)]
struct Past {
    /// The uid of the plan that all this is of: another one may have its name by now.
    plan_uid: String,
    refusals: Refusals,
    heard: Heard,
    answers: Answers,
    backoff: Backoff,
    owning: Owning,
    undeclared: Undeclared,
    /// The uid of a plan whose namespace is being deleted.
    leaving: Option<String>,
    /// What events warned of, and when they were read.
    warnings: (Option<Duration>, BTreeMap<String, String>),
}

/// Why nodes do not take what they were given last, with its generation.
type Refusals = BTreeMap<u16, (u64, String)>;

/// What was read, if it may be used again, and how the look has ended.
type End = (Option<(Plan, Objects)>, Outcome);

/// `since`: of the operator's start.
pub async fn reconcile(
    context: &Context,
    key: &Key,
    look: Look,
    memory: Memory,
    since: Duration,
) -> (Memory, Outcome) {
    let Memory { known, mut past } = memory;
    let known = known.filter(|_| look == Look::Nodes);
    let looked = Box::pin(rounds(context, key, known, &mut past, since));
    let (known, outcome) = match tokio::time::timeout(LIMIT, looked).await {
        Ok(Ok(end)) => end,
        Ok(Err(act::Error::NamespaceGoing)) => {
            info!("the namespace is being deleted: nothing more is made for the plan");
            past.leaving = Some(past.plan_uid.clone());
            (None, Outcome::Obstructed)
        }
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
    };
    (Memory { known, past }, outcome)
}

async fn rounds(
    context: &Context,
    key: &Key,
    mut known: Option<(Plan, Objects)>,
    past: &mut Past,
    since: Duration,
) -> Result<End, act::Error> {
    for round in 1..=ROUNDS {
        let is_fresh = known.is_none();
        let (plan, objects) = match known.take() {
            Some(known) => known,
            None => match see(context, key, past, since).await? {
                Sight::Ours(seen) => *seen,
                Sight::Again => continue,
                Sight::Over(outcome) => return Ok((None, outcome)),
            },
        };
        if past.leaving.as_ref() == Some(&plan.uid) {
            return Ok((None, Outcome::Obstructed));
        }
        let (mut seen, mut heard) = ask(context, &plan, objects, past, since).await;
        let mut next = toward(context, &plan, &mut seen, past, since);
        if explain(context, &plan, &next.unexplained, past, since).await {
            seen.warnings = past.warnings.1.clone();
            next = toward(context, &plan, &mut seen, past, since);
        }
        if next.is_empty() {
            let refused = !past.backoff.is_empty();
            past.heard = heard;
            context.metrics.show(&plan.key, &plan.status);
            let outcome = if refused { Outcome::Obstructed } else { outcome(next.pace) };
            return Ok((Some((plan, seen.objects)), outcome));
        }
        if !is_fresh {
            continue;
        }
        let Next { steps, given, report: news, .. } = next;
        let is_done = steps.is_empty() && given.is_empty();
        let all_made = take_steps(context, &plan, steps, past, since).await?;
        let all_taken = give(context, &plan, &seen, &given, past, &mut heard).await;
        if all_made && all_taken && round < ROUNDS {
            // What was done shows when all is seen again: a change of a rule does not turn conditions over and back.
            if is_done {
                report(context, &plan, news, &mut past.undeclared).await?;
            }
            continue;
        }
        // What was refused belongs into the status: what is to be said is decided again, with that seen.
        seen.refusals = past.refusals_of(plan.generation);
        let next = toward(context, &plan, &mut seen, past, since);
        report(context, &plan, next.report, &mut past.undeclared).await?;
        past.heard = heard;
        if !all_made || !all_taken {
            return Ok((None, Outcome::Obstructed));
        }
    }
    warn!("the plan is not settled after {ROUNDS} rounds; continuing later");
    Ok((None, Outcome::Failed))
}

/// Reads why something is waited for, though not at each look. Whether it has. Nothing else waits for it: without a reason
/// a plan comes up as well.
async fn explain(
    context: &Context,
    plan: &Plan,
    unexplained: &BTreeSet<String>,
    past: &mut Past,
    since: Duration,
) -> bool {
    let (read, warnings) = &mut past.warnings;
    if unexplained.is_empty() {
        (*read, *warnings) = (None, BTreeMap::new());
        return false;
    }
    if read.is_some_and(|read| since < read + EXPLAINED_EACH) {
        return false;
    }
    let found = look::warnings(&context.client, plan, unexplained).await;
    let found = found.inspect_err(|error| warn!(%error, "the events of what is waited for cannot be read"));
    (*read, *warnings) = (Some(since), found.unwrap_or_default());
    true
}

/// What is next, but for what the API server has refused just now.
fn toward(context: &Context, plan: &Plan, seen: &mut Observed, past: &mut Past, since: Duration) -> Next {
    let mut next = steps::toward(plan, seen, &context.settings, now());
    let due: BTreeSet<String> = next.steps.iter().map(|step| step.object(plan)).collect();
    past.backoff.keep(&due);
    let reasons = past.backoff.reasons();
    if seen.rejections != reasons {
        seen.rejections = reasons;
        next = steps::toward(plan, seen, &context.settings, now());
    }
    next.steps.retain(|step| !past.backoff.holds(&step.object(plan), step.hash(), since));
    next
}

enum Sight {
    /// The plan is ours to run.
    Ours(Box<(Plan, Objects)>),
    /// Its status was written: it is read again.
    Again,
    Over(Outcome),
}

async fn see(context: &Context, key: &Key, past: &mut Past, since: Duration) -> Result<Sight, act::Error> {
    let failed = act::Error::Failed;
    let Some(plan) = look::plan(&context.client, key).await.map_err(failed)? else {
        return Ok(Sight::Over(Outcome::Gone));
    };
    if past.plan_uid != plan.uid {
        *past = Past { plan_uid: plan.uid.clone(), ..Past::default() };
    }
    past.undeclared = std::mem::take(&mut past.undeclared).at(plan.generation);
    if !plan.deleting {
        match owner::settle(context, &plan, &mut past.owning, &mut past.undeclared, since).await? {
            Settled::Ours => {}
            Settled::Again => return Ok(Sight::Again),
            Settled::Over(outcome) => return Ok(Sight::Over(outcome)),
        }
    }
    let objects = look::objects(&context.client, &plan).await.map_err(failed)?;
    Ok(Sight::Ours(Box::new((ring::identified(plan, &objects.ring), objects))))
}

async fn ask(
    context: &Context,
    plan: &Plan,
    objects: Objects,
    past: &Past,
    since: Duration,
) -> (Observed, Heard) {
    let answers = match objects.authority.ours() {
        Some(authority) => {
            let ring = ring::decoded(&objects.ring);
            context.nodes.ask(plan, &objects.pods, authority, ring.as_ref()).await
        }
        None => BTreeMap::new(),
    };
    let heard = past.heard.next(&objects.pods, answers);
    let seen = Observed {
        answers: heard.answers(),
        missed: heard.stood_in(),
        refusals: past.refusals_of(plan.generation),
        rejections: past.backoff.reasons(),
        answered: past.answers.seen(since),
        undeclared: past.undeclared.clone(),
        warnings: past.warnings.1.clone(),
        objects,
    };
    (seen, heard)
}

/// Takes the steps in their order, and passes over an object that the API server refuses. Whether it has refused none.
async fn take_steps(
    context: &Context,
    plan: &Plan,
    steps: Vec<Step>,
    past: &mut Past,
    since: Duration,
) -> Result<bool, act::Error> {
    let client = &context.client;
    let mut all_made = true;
    for step in steps {
        info!("{step}");
        context.metrics.took(&step);
        let (object, hash) = (step.object(plan), step.hash().to_owned());
        let made = match step {
            Step::MakeAuthority { trusted } => act::make_authority(client, plan, &trusted, now_s()).await,
            Step::GiveCertificates { authority, pair, why: _, uid } => {
                act::give_certificates(client, plan, &authority, pair, uid, now_s()).await
            }
            Step::Apply(part, desired) => act::apply(client, plan, part, &desired)
                .await
                .map(|answer| past.answers.note(object.clone(), &desired, &answer, since)),
            Step::Mend(mend) => act::patch_claim(client, plan, &mend).await.map(|answer| {
                let left = claims::differences(plan, mend.wished, &answer);
                past.answers.note_changes(object.clone(), mend.wished.hash(), left, since);
            }),
            Step::BeginRing { members, slots } => act::begin_ring(client, plan, members, slots).await,
            Step::AdoptRing(written) | Step::RestoreRing(written) => {
                let (wished, news) = (written.hash(), written.over.as_ref().map(|_| OVERWRITTEN));
                let made = act::write_ring(client, plan, written).await;
                if made.is_ok() {
                    past.answers.note_changes(object.clone(), wished, Vec::new(), since);
                    context.teller.publish(plan, news.as_slice()).await?;
                }
                made
            }
        };
        match made {
            Err(act::Error::Rejected(why)) => {
                warn!(object, %why, "the API server refuses an object of the plan");
                past.backoff.refuse(object, &hash, why, since);
                all_made = false;
            }
            made => {
                made?;
                past.backoff.forget(&object);
            }
        }
    }
    Ok(all_made)
}

/// Gives nodes the plan and the ring, all at once. Whether all of them have taken it.
async fn give(
    context: &Context,
    plan: &Plan,
    seen: &Observed,
    given: &[Given],
    past: &mut Past,
    heard: &mut Heard,
) -> bool {
    let Some(authority) = seen.objects.authority.ours() else { return true };
    let mut calls = Vec::new();
    for given in given {
        info!("{given}");
        // What the node said before is over, however the call ends.
        heard.forget(given.ordinal);
        past.heard.forget(given.ordinal);
        context.metrics.gave();
        if let Some(ip) = seen.objects.pods.get(&given.ordinal).and_then(|pod| pod.ip.as_ref()) {
            let call = context.nodes.configure(plan, ip, authority, given);
            calls.push(async move { (given.ordinal, call.await) });
        }
    }
    let answers: Vec<_> = futures::stream::iter(calls).buffer_unordered(GIVEN_AT_ONCE).collect().await;
    let all_taken = answers.iter().all(|(_, answer)| answer.is_ok());
    past.remember(plan.generation, answers);
    all_taken
}

impl Past {
    fn remember(&mut self, generation: u64, answers: Vec<(u16, Result<(), String>)>) {
        for (ordinal, answer) in answers {
            match answer {
                Ok(()) => {
                    self.refusals.remove(&ordinal);
                }
                Err(why) => {
                    warn!(ordinal, %why, "a node does not take the plan or the ring");
                    self.refusals.insert(ordinal, (generation, why));
                }
            }
        }
    }

    fn refusals_of(&self, generation: u64) -> BTreeMap<u16, String> {
        let of_this = self.refusals.iter().filter(|(_, (of, _))| *of == generation);
        of_this.map(|(ordinal, (_, why))| (*ordinal, why.clone())).collect()
    }
}

async fn report(
    context: &Context,
    plan: &Plan,
    report: Option<NewStatus>,
    undeclared: &mut Undeclared,
) -> Result<(), act::Error> {
    let Some(NewStatus { status, news }) = report else { return Ok(()) };
    debug!("writing the status of the plan");
    context.metrics.reported();
    let left_out = act::report(&context.client, plan, &status, undeclared).await?;
    context.metrics.show(&plan.key, &status);
    context.teller.publish(plan, &news).await?;
    context.tell_left_out(plan, &left_out).await
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

#[cfg(test)]
mod tests;
