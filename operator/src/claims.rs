//! The claims of a plan's volumes, after the StatefulSet's controller has made them: who owns them, and what labels they
//! carry. A StatefulSet cannot change the claims that it has made, and its `persistentVolumeClaimRetentionPolicy` would
//! delete the data of nodes that are only away for a while.
//!
//! *Guarantees.* Claims are changed only where their data are this very plan's, and not while they are being deleted. A
//! claim has an owner only while the plan says that its data go with it.

use crate::names;
use crate::observed::Volume;
use crate::plan::{Plan, Wish};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use proto::plan::Keep;
use serde_json::{Value, json};

/// What a claim lacks, as a merge patch that holds for the claim as it was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Mend {
    pub claim: String,
    pub patch: Value,
}

pub fn due(plan: &Plan, wish: &Wish, volumes: &[Volume]) -> Vec<Mend> {
    let ours =
        volumes.iter().filter(|volume| volume.plan_uid.as_ref() == Some(&plan.data_uid) && !volume.is_going);
    ours.filter_map(|volume| mend(plan, wish, volume)).collect()
}

fn mend(plan: &Plan, wish: &Wish, volume: &Volume) -> Option<Mend> {
    let mut metadata = json!({"resourceVersion": volume.resource_version});
    let owners = owners(plan, wish, &volume.owners);
    if owners != volume.owners {
        metadata["ownerReferences"] = json!(owners);
    }
    // Tools that prune by this label would take a claim, which has no owner, for one of theirs that is not wished for.
    if volume.instance.as_deref() == Some(plan.name()) {
        metadata["labels"] = json!({names::INSTANCE: null});
    }
    let is_due = metadata.as_object().is_some_and(|metadata| metadata.len() > 1);
    is_due.then(|| Mend { claim: volume.name.clone(), patch: json!({"metadata": metadata}) })
}

/// The owners that others have set stay.
fn owners(plan: &Plan, wish: &Wish, seen: &[OwnerReference]) -> Vec<OwnerReference> {
    let is_plan = |owner: &OwnerReference| owner.uid == plan.uid;
    let goes_with_it = wish.spec.storage.retention.when_deleted == Keep::Delete;
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
        let due = due(&plan, plan.wish.as_ref().unwrap(), std::slice::from_ref(volume));
        let patches: Vec<_> = due.into_iter().map(|mend| mend.patch["metadata"].clone()).collect();
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
