//! What every look at a plan needs: the ways to the API server and to nodes, and what is told of all plans.

use crate::act;
use crate::metrics::Metrics;
use crate::news::Teller;
use crate::nodes::Nodes;
use crate::plan::Plan;
use crate::reason::Reason;
use crate::settings::Settings;
use crate::status::News;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use tracing::warn;

pub struct Context {
    pub client: Client,
    pub nodes: Nodes,
    pub teller: Teller,
    pub settings: Settings,
    pub metrics: Metrics,
    /// The name of this operator's release.
    pub operator: String,
    /// The fields of a status of which the log says that the CRD lacks them.
    pub left_out: Mutex<BTreeSet<String>>,
}

impl Context {
    /// Says that the CRD lacks these fields of a status: once each in the log, and as an event of the plan.
    pub async fn tell_left_out(&self, plan: &Plan, fields: &[String]) -> Result<(), act::Error> {
        if fields.is_empty() {
            return Ok(());
        }
        let new: Vec<&String> = {
            let mut told = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
            fields.iter().filter(|field| told.insert((*field).clone())).collect()
        };
        if !new.is_empty() {
            warn!(fields = ?new, "{}", Reason::CrdOlder.note());
        }
        self.teller.publish(plan, &[News { condition: "Accepted", reason: Reason::CrdOlder }]).await
    }
}

/// Whole seconds, as Kubernetes writes them.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
