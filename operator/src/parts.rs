//! The objects that a plan is made of in the cluster, as they should be.
//!
//! *Guarantees.* The same plan, settings and state in force give the same objects. A plan's spec changes of them only
//! the StatefulSet and what lies in it, and the type and annotations of the Service for clients.

mod network;
mod services;
mod stateful_set;

use crate::drift;
use crate::names;
use crate::plan::Plan;
use crate::settings::Settings;
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::core::ApiResource;
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    ServiceAccount,
    /// The headless Service: the names of nodes.
    NodesService,
    /// For clients.
    ClientService,
    NetworkPolicy,
    DisruptionBudget,
    StatefulSet,
}

impl Part {
    /// In the order in which they are made.
    pub const ALL: [Part; 6] = [
        Part::ServiceAccount,
        Part::NodesService,
        Part::ClientService,
        Part::NetworkPolicy,
        Part::DisruptionBudget,
        Part::StatefulSet,
    ];

    pub fn resource(self) -> ApiResource {
        match self {
            Part::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
            Part::NodesService | Part::ClientService => ApiResource::erase::<Service>(&()),
            Part::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
            Part::DisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Part::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
        }
    }

    /// The kind and the name of the object.
    pub fn object(self, plan: &str) -> String {
        format!("{} {}", self.resource().kind, self.name(plan))
    }

    pub fn name(self, plan: &str) -> String {
        match self {
            Part::ServiceAccount => names::service_account(plan),
            Part::NodesService => names::nodes_service(plan),
            Part::ClientService | Part::NetworkPolicy | Part::DisruptionBudget | Part::StatefulSet => {
                plan.to_owned()
            }
        }
    }
}

/// What holds of a plan although it may wish for something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    pub replicas: u16,
    /// The size of each volume, as it was written.
    pub size: String,
}

/// The part as the operator applies it. An invalid plan wishes for no StatefulSet; the rest does not depend on it.
pub fn desired(part: Part, plan: &Plan, force: &InForce, settings: &Settings) -> Option<Value> {
    let service = plan.wish.as_ref().map(|wish| wish.spec.service.clone()).unwrap_or_default();
    let mut object = match part {
        Part::ServiceAccount => json!({"automountServiceAccountToken": false}),
        Part::NodesService => services::nodes(plan.name()),
        Part::ClientService => services::client(plan.name(), &service),
        Part::NetworkPolicy => network::policy(plan.name(), settings),
        Part::DisruptionBudget => network::disruption_budget(plan.name()),
        Part::StatefulSet => stateful_set::of(plan, plan.wish.as_ref().ok()?, force, settings),
    };
    let ApiResource { api_version, kind, .. } = part.resource();
    object["apiVersion"] = api_version.into();
    object["kind"] = kind.into();
    object["metadata"] = metadata(plan, &part.name(plan.name()));
    if part == Part::ClientService && !service.annotations.is_empty() {
        object["metadata"]["annotations"] = json!(service.annotations);
    }
    let hash = drift::hash(&object);
    object["metadata"]["annotations"][names::APPLIED] = hash.into();
    Some(object)
}

/// What Kubernetes lets nobody change in a StatefulSet.
pub const IMMUTABLE: [&str; 4] = ["podManagementPolicy", "selector", "serviceName", "volumeClaimTemplates"];

/// Takes what cannot be changed from the object that is there, where that is another: the rest can be applied. The hash
/// stays that of what is desired.
pub fn keep_immutable(part: Part, desired: &mut Value, live: &Value) {
    if part != Part::StatefulSet {
        return;
    }
    for field in IMMUTABLE {
        if !drift::is_as(field, &desired["spec"][field], &live["spec"][field]) {
            desired["spec"][field] = live["spec"][field].clone();
        }
    }
}

/// The metadata of everything that belongs to the plan and goes when it goes.
pub fn metadata(plan: &Plan, name: &str) -> Value {
    json!({
        "name": name,
        "namespace": plan.key.namespace,
        "labels": names::labels(plan.name()),
        "ownerReferences": [plan.owner_reference()],
    })
}

#[cfg(test)]
mod tests;
