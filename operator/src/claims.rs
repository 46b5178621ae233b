//! The claims of a plan's volumes, after the StatefulSet's controller has made them: who owns them, and what labels they
//! carry. A StatefulSet cannot change the claims that it has made, and its `persistentVolumeClaimRetentionPolicy` would
//! delete the data of nodes that are only away for a while.
//!
//! *Guarantees.* Claims are changed only where their data are this very plan's, and not while they are being deleted. A
//! claim has an owner only while the plan says that its data go with it.

use crate::drift::{Difference, Kind};
use crate::names;
use crate::observed::Volume;
use crate::plan::{Plan, Wish};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use proto::plan::Keep;
use serde_json::{Value, json};

/// What is to be done to a claim that is not as the plan wishes, as a merge patch that holds for the claim as it was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Mend {
    pub claim: String,
    pub patch: Value,
    pub wished: Wished,
}

/// What a plan wishes of its claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wished {
    goes_with_plan: bool,
    /// With each edit of the plan it is tried again.
    generation: u64,
}

/// A claim that is not as the plan wishes.
#[derive(Debug)]
pub struct Amiss {
    pub mend: Mend,
    pub differences: Vec<Difference>,
}

impl Mend {
    pub fn object(&self) -> String {
        format!("PersistentVolumeClaim {}", self.claim)
    }
}

impl Wished {
    /// Tells it from other wishes.
    pub fn hash(self) -> String {
        format!("goes with the plan: {}, of generation {}", self.goes_with_plan, self.generation)
    }
}

pub fn amiss(plan: &Plan, wish: &Wish, volumes: &[Volume]) -> Vec<Amiss> {
    let goes_with_plan = wish.spec.storage.retention.when_deleted == Keep::Delete;
    let wished = Wished { goes_with_plan, generation: plan.generation };
    let is_ours = |volume: &&Volume| volume.plan_uid.as_ref() == Some(&plan.data_uid) && !volume.is_going;
    let amiss = |volume: &Volume| {
        let differences = differences(plan, wished, volume);
        let mend = || Mend { claim: volume.name.clone(), patch: patch(plan, wished, volume), wished };
        (!differences.is_empty()).then(|| Amiss { mend: mend(), differences })
    };
    volumes.iter().filter(is_ours).filter_map(amiss).collect()
}

/// How a claim is not as it is wished. What the API server makes of a patch may be so as well.
pub fn differences(plan: &Plan, wished: Wished, volume: &Volume) -> Vec<Difference> {
    let mut found = Vec::new();
    let is_owned = volume.owners.iter().any(|owner| owner.uid == plan.uid);
    if is_owned != wished.goes_with_plan {
        let path = format!("metadata.ownerReferences[{}]", plan.name());
        found.push(difference(path, wished.goes_with_plan, plan.name()));
    }
    if has_instance(plan, volume) {
        found.push(difference(format!("metadata.labels[{}]", names::INSTANCE), false, plan.name()));
    }
    found
}

fn difference(path: String, is_wished: bool, value: &str) -> Difference {
    let (applied, seen) = if is_wished { (json!(value), Value::Null) } else { (Value::Null, json!(value)) };
    Difference { path, kind: Kind::Adjusted, applied, seen }
}

/// Tools that prune by this label would take a claim, which has no owner, for one of theirs that is not wished for.
fn has_instance(plan: &Plan, volume: &Volume) -> bool {
    volume.instance.as_deref() == Some(plan.name())
}

fn patch(plan: &Plan, wished: Wished, volume: &Volume) -> Value {
    let mut metadata = json!({"resourceVersion": volume.resource_version});
    let owners = owners(plan, wished, &volume.owners);
    if owners != volume.owners {
        metadata["ownerReferences"] = json!(owners);
    }
    if has_instance(plan, volume) {
        metadata["labels"] = json!({names::INSTANCE: null});
    }
    json!({"metadata": metadata})
}

/// The owners that others have set stay.
fn owners(plan: &Plan, wished: Wished, seen: &[OwnerReference]) -> Vec<OwnerReference> {
    let is_plan = |owner: &OwnerReference| owner.uid == plan.uid;
    let goes_with_it = wished.goes_with_plan;
    let mut owners: Vec<_> = seen.iter().filter(|owner| goes_with_it || !is_plan(owner)).cloned().collect();
    if goes_with_it && !owners.iter().any(is_plan) {
        owners.push(OwnerReference {
            api_version: names::API_VERSION.to_owned(),
            kind: names::KIND.to_owned(),
            name: plan.name().to_owned(),
            uid: plan.uid.clone(),
            ..OwnerReference::default()
        });
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world;

    fn owner(uid: &str) -> Value {
        json!({"apiVersion": "shoal.dev/v1alpha1", "kind": "AgentPlan", "name": "flights", "uid": uid})
    }

    fn claim(plan_uid: &str, instance: &str, owners: &Value) -> Volume {
        let claim = json!({
            "metadata": {
                "name": "data-flights-0", "resourceVersion": "7", "ownerReferences": owners,
                "labels": {"shoal.dev/plan-uid": plan_uid, "app.kubernetes.io/instance": instance},
            },
        });
        Volume::of(&serde_json::from_value(claim).unwrap())
    }

    fn check(when_deleted: &str, volume: &Volume, expected: &Value) {
        let mut object = world::flights();
        object["spec"]["storage"]["retention"] = json!({"whenDeleted": when_deleted});
        let plan = world::plan(&object);
        let amiss = amiss(&plan, plan.wish.as_ref().unwrap(), std::slice::from_ref(volume));
        let patches: Vec<_> = amiss.into_iter().map(|amiss| amiss.mend.patch["metadata"].clone()).collect();
        assert_eq!(json!(patches), *expected, "{when_deleted} {volume:?}");
    }

    #[test]
    fn a_claim_belongs_to_its_plan_only_while_its_data_go_with_it() {
        let (ours, theirs) = (owner(world::UID), owner("1"));
        let with = |owners: &Value| claim(world::UID, "other", owners);
        let owned_by = |owners: Value| json!([{"resourceVersion": "7", "ownerReferences": owners}]);
        let (none, only_ours, only_theirs) = (json!([]), json!([ours]), json!([theirs]));
        let both = json!([theirs, ours]);
        check("Retain", &with(&none), &none);
        check("Delete", &with(&only_ours), &none);
        check("Delete", &with(&none), &owned_by(only_ours.clone()));
        check("Retain", &with(&only_ours), &owned_by(none.clone()));
        check("Delete", &with(&only_theirs), &owned_by(both.clone()));
        check("Retain", &with(&both), &owned_by(only_theirs.clone()));
        check("Retain", &with(&only_theirs), &none);
        // Another plan's claims, and those that go, are left alone.
        check("Delete", &claim("another", "other", &none), &none);
        check("Delete", &Volume { is_going: true, ..with(&none) }, &none);
    }

    #[test]
    fn a_label_by_which_tools_prune_goes() {
        let labelled = claim(world::UID, "flights", &json!([]));
        let patch = json!([{"resourceVersion": "7", "labels": {"app.kubernetes.io/instance": null}}]);
        check("Retain", &labelled, &patch);
    }
}
