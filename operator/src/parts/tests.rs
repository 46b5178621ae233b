//! The objects of a plan: as they were, and with no field that Kubernetes does not have.

use super::*;
use crate::world;
use expect_test::expect_file;
use k8s_openapi::serde::{Serialize, de::DeserializeOwned};

fn objects(object: &Value) -> Vec<(Part, Value)> {
    let plan = world::plan(object);
    let wish = plan.wish.as_ref().expect("a plan that parses");
    let force = InForce { replicas: wish.spec.replicas as u16, size: wish.spec.storage.size.0.clone() };
    let all = Part::ALL
        .map(|part| (part, desired(part, &plan, &force, &world::settings()).expect("it is wished for")));
    all.into()
}

#[test]
fn the_objects_of_the_sample_are_as_they_were() {
    let yaml =
        objects(&world::flights()).into_iter().map(|(_, object)| serde_yaml_ng::to_string(&object).unwrap());
    expect_file!["flights.golden.yaml"].assert_eq(&yaml.collect::<Vec<_>>().join("---\n"));
}

/// What a type does not know, it drops.
fn known<K: Serialize + DeserializeOwned>(object: &Value) {
    let typed: K = serde_json::from_value(object.clone()).unwrap();
    let back = serde_json::to_value(typed).unwrap();
    assert!(drift::is_applied(object, &back), "{object:#}\n{back:#}");
}

fn everything() -> Value {
    let mut object = world::flights();
    object["spec"]["pods"] = json!({
        "image": "example.org/node:2", "imagePullPolicy": "Always", "imagePullSecrets": [{"name": "pull"}],
        "resources": {"limits": {"memory": "1024Mi"}, "requests": {"cpu": "0.5"}},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "shoal", "effect": "NoSchedule"}],
    });
    object["spec"]["storage"] = json!({
        "size": "20Gi", "accessMode": "ReadWriteOnce", "storageClassName": "fast",
        "retention": {"whenDeleted": "Delete", "whenScaled": "Retain"},
    });
    object
}

#[test]
fn every_field_is_one_that_kubernetes_has() {
    for object in [world::flights(), everything()] {
        for (part, object) in objects(&object) {
            match part {
                Part::ServiceAccount => known::<ServiceAccount>(&object),
                Part::NodesService | Part::ClientService => known::<Service>(&object),
                Part::NetworkPolicy => known::<NetworkPolicy>(&object),
                Part::DisruptionBudget => known::<PodDisruptionBudget>(&object),
                Part::StatefulSet => known::<StatefulSet>(&object),
            }
        }
    }
}

#[test]
fn what_the_plan_says_of_pods_and_storage_stands_in_the_stateful_set() {
    let (_, set) = objects(&everything()).pop().unwrap();
    let at = |pointer: &str| set.pointer(pointer).cloned().unwrap_or_default();
    for (pointer, expected) in [
        ("/spec/template/spec/containers/0/image", json!("example.org/node:2")),
        ("/spec/template/spec/containers/0/imagePullPolicy", json!("Always")),
        ("/spec/template/spec/containers/0/resources/limits/memory", json!("1024Mi")),
        ("/spec/template/spec/imagePullSecrets/0/name", json!("pull")),
        ("/spec/template/spec/nodeSelector/disk", json!("ssd")),
        ("/spec/template/spec/tolerations/0/value", json!("shoal")),
        ("/spec/volumeClaimTemplates/0/spec/accessModes/0", json!("ReadWriteOnce")),
        ("/spec/volumeClaimTemplates/0/spec/storageClassName", json!("fast")),
        ("/spec/volumeClaimTemplates/0/spec/resources/requests/storage", json!("20Gi")),
        ("/spec/persistentVolumeClaimRetentionPolicy/whenDeleted", json!("Delete")),
    ] {
        assert_eq!(at(pointer), expected, "{pointer}");
    }
}

#[test]
fn only_the_stateful_set_follows_the_spec() {
    for ((part, before), (_, after)) in objects(&world::flights()).into_iter().zip(objects(&everything())) {
        assert_eq!(before == after, part != Part::StatefulSet, "{part:?}");
    }
}
