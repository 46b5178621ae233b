//! Settles whether a plan is this operator's to run: reads whose it is, writes this one's name where there is none, and
//! says so where it is another's.

use crate::act;
use crate::context::{Context, now};
use crate::look;
use crate::ownership::{self, Naming, Owner, Sign, Uncontested, Watch};
use crate::plan::{Contested, Plan};
use crate::queue::Outcome;
use crate::undeclared::Undeclared;
use std::time::Duration;
use tracing::{debug, info};

/// The field for the operator that runs a plan.
const FIELD: &str = ".status.operator";

/// What is kept of it from one look to the next.
#[derive(Debug, Default)]
pub struct Owning {
    /// The Lease of the operator that the plan belongs to.
    lease: Watch,
    naming: Naming,
    uncontested: Uncontested,
}

pub enum Settled {
    Ours,
    /// The plan's status was written: it is read again.
    Again,
    /// It is left alone.
    Over(Outcome),
}

/// `since`: of the operator's start.
pub async fn settle(
    context: &Context,
    plan: &Plan,
    owning: &mut Owning,
    undeclared: &mut Undeclared,
    since: Duration,
) -> Result<Settled, act::Error> {
    match ownership::owner(plan, &context.operator) {
        Owner::Us => {
            if !owning.uncontested.take_back(plan, since) {
                return Ok(Settled::Ours);
            }
            // Whoever contests it says so again.
            act::contest(&context.client, plan, None, now()).await?;
            return Ok(Settled::Again);
        }
        Owner::Other { name, is_named } => {
            let sign = sign(context, name, is_named, owning, since).await;
            if sign != Sign::Gone {
                say(context, plan, &ownership::contested(plan, name, sign)).await?;
                let is_moving = sign == Sign::Unchanged;
                return Ok(Settled::Over(if is_moving { Outcome::Obstructed } else { Outcome::Elsewhere }));
            }
            info!(owner = name, "the operator that ran the plan is gone; this one takes the plan over");
        }
        // Under a CRD that is older than this operator nothing keeps another release from it.
        Owner::Nobody if undeclared.has(FIELD) => return Ok(Settled::Ours),
        Owner::Nobody if !owning.naming.may_write(since) => {
            say(context, plan, &ownership::unnamed(plan, &context.operator)).await?;
            return Ok(Settled::Over(Outcome::Elsewhere));
        }
        Owner::Nobody => {}
    }
    let left_out = act::name_owner(&context.client, plan, &context.operator, undeclared).await?;
    context.tell_left_out(plan, &left_out).await?;
    if !undeclared.has(FIELD) {
        owning.naming.written(since);
    }
    Ok(Settled::Again)
}

/// Whether the owner of a plan is still there, as far as it can be known.
async fn sign(context: &Context, owner: &str, is_named: bool, owning: &mut Owning, since: Duration) -> Sign {
    if is_named {
        return Sign::Alive;
    }
    match look::lease(&context.client, owner).await {
        Ok(held) => owning.lease.look(owner, held, since),
        Err(error) => {
            debug!(owner, %error, "the Lease of the operator that runs the plan cannot be read");
            let is_refused = matches!(&error, kube::Error::Api(status) if status.code == 403);
            if is_refused { Sign::Hidden } else { Sign::Alive }
        }
    }
}

/// Says once why the plan is left alone.
async fn say(context: &Context, plan: &Plan, contested: &Contested) -> Result<(), act::Error> {
    // Its conditions are the owner's to show.
    context.metrics.forget(&plan.key);
    if ownership::is_said(plan, contested) {
        return Ok(());
    }
    info!(why = contested.text, "this operator leaves the plan alone");
    act::contest(&context.client, plan, Some(contested), now()).await
}
