//! What tools make of a plan's status: kstatus, by which Flux, kpt and `kubectl wait`'s like decide, and the health check
//! for Argo CD in the operator's documents.

use serde_json::{Value, json};
use std::path::Path;
use tests::crdcheck::health;

const SITUATIONS: &str = include_str!("../../operator/src/status/situations.golden.json");

#[test]
fn tools_read_each_situation_of_a_plan_as_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let situations: Vec<Value> = serde_json::from_str(SITUATIONS).unwrap();
    let mut plans: Vec<Value> = situations.iter().map(|one| one["plan"].clone()).collect();
    // One that the operator has not seen at all, and one that was changed since it was.
    let mut unseen = plans[0].clone();
    unseen.as_object_mut().unwrap().remove("status");
    let mut changed = plans[0].clone();
    changed["metadata"]["generation"] = json!(2);
    plans.extend([unseen, changed]);
    let healths =
        health(&root.join("crds/agentplans.yaml"), &root.join("operator/docs/argocd-health.lua"), &plans)
            .unwrap();
    let waiting = json!({"name": "not seen", "kstatus": "InProgress", "argo": "Progressing"});
    for (situation, health) in situations.iter().chain([&waiting, &waiting]).zip(&healths) {
        let seen = json!({"name": situation["name"], "kstatus": health.kstatus, "argo": health.argo});
        let expected =
            json!({"name": situation["name"], "kstatus": situation["kstatus"], "argo": situation["argo"]});
        assert_eq!(seen, expected, "{}", health.message);
    }
    assert_eq!(healths.len(), situations.len() + 2);
}
