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
    assert_eq!(drift::differences(object, &back), []);
}

fn everything() -> Value {
    let mut object = world::flights();
    object["spec"]["pods"] = json!({
        "image": "example.org/node:2", "imagePullPolicy": "Always", "imagePullSecrets": [{"name": "pull"}],
        "resources": {"limits": {"memory": "1024Mi"}, "requests": {"cpu": "0.5"}},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "shoal", "effect": "NoSchedule"}],
        "labels": {"team": "flights"}, "annotations": {"example.org/scrape": "true"},
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]},
        ]}}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"},
            {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
             "labelSelector": {"matchLabels": {"team": "flights"}}},
        ],
        "priorityClassName": "high", "serviceAccountName": "theirs", "securityContext": {"fsGroup": 1000},
    });
    object["spec"]["service"] =
        json!({"type": "LoadBalancer", "annotations": {"example.org/lb": "internal"}});
    object["spec"]["storage"] = json!({
        "size": "20Gi", "accessMode": "ReadWriteOnce", "storageClassName": "fast",
        "retention": {"whenDeleted": "Delete", "whenScaled": "Delete"},
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
        ("/spec/template/metadata/labels/team", json!("flights")),
        ("/spec/template/metadata/labels/shoal.dev~1plan", json!("flights")),
        ("/spec/template/metadata/annotations/example.org~1scrape", json!("true")),
        (
            "/spec/template/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/\
             nodeSelectorTerms/0/matchExpressions/0/key",
            json!("disk"),
        ),
        (
            "/spec/template/spec/topologySpreadConstraints",
            json!([
                {"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule",
                 "labelSelector": {"matchLabels": {"shoal.dev/plan": "flights"}}},
                {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
                 "labelSelector": {"matchLabels": {"team": "flights"}}},
            ]),
        ),
        ("/spec/template/spec/priorityClassName", json!("high")),
        ("/spec/template/spec/serviceAccountName", json!("theirs")),
        ("/spec/template/spec/automountServiceAccountToken", json!(false)),
        ("/spec/template/spec/securityContext", json!({"fsGroup": 1000})),
        ("/spec/volumeClaimTemplates/0/spec/accessModes/0", json!("ReadWriteOnce")),
        ("/spec/volumeClaimTemplates/0/spec/storageClassName", json!("fast")),
        ("/spec/volumeClaimTemplates/0/spec/resources/requests/storage", json!("20Gi")),
        (
            "/spec/persistentVolumeClaimRetentionPolicy",
            json!({"whenDeleted": "Retain", "whenScaled": "Retain"}),
        ),
    ] {
        assert_eq!(at(pointer), expected, "{pointer}");
    }
}

#[test]
fn only_the_stateful_set_and_the_clients_service_follow_the_spec() {
    for ((part, before), (_, after)) in objects(&world::flights()).into_iter().zip(objects(&everything())) {
        let follows = [Part::StatefulSet, Part::ClientService].contains(&part);
        assert_eq!(before != after, follows, "{part:?}");
    }
}

#[test]
fn what_the_plan_says_of_its_service_stands_in_it_until_it_is_taken_back() {
    let service = |object: &Value| {
        objects(object).into_iter().find(|(part, _)| *part == Part::ClientService).unwrap().1
    };
    let wished = service(&everything());
    assert_eq!(wished["spec"]["type"], "LoadBalancer");
    assert_eq!(wished["metadata"]["annotations"]["example.org/lb"], "internal");
    // The API server gives it ports; that is no drift. Another annotation of the plan, or none, is one.
    let mut seen = wished.clone();
    seen["spec"]["ports"][0]["nodePort"] = 30000.into();
    assert_eq!(drift::differences(&wished, &seen), []);
    assert_ne!(drift::differences(&service(&world::flights()), &seen), []);
}

#[test]
fn pods_request_memory_and_cpu_unless_the_plan_says_what() {
    for (resources, requests) in [
        (json!({}), json!({"cpu": "100m", "memory": "256Mi"})),
        (json!({"requests": {"memory": "2Gi"}}), json!({"cpu": "100m", "memory": "2Gi"})),
        (json!({"limits": {"memory": "128Mi"}}), json!({"cpu": "100m"})),
        (json!({"limits": {"memory": "1Gi", "cpu": 1}}), json!(null)),
        (json!({"requests": {"cpu": 2, "memory": "1Gi"}}), json!({"cpu": "2", "memory": "1Gi"})),
    ] {
        let mut object = world::flights();
        object["spec"]["pods"] = json!({"resources": resources});
        let (_, set) = objects(&object).pop().unwrap();
        let seen =
            set.pointer("/spec/template/spec/containers/0/resources/requests").cloned().unwrap_or_default();
        assert_eq!(seen, requests, "{resources}");
    }
}

#[test]
fn an_empty_security_context_leaves_user_and_groups_to_the_cluster() {
    let mut object = world::flights();
    object["spec"]["pods"] = json!({"securityContext": {}});
    let (_, set) = objects(&object).pop().unwrap();
    assert_eq!(set.pointer("/spec/template/spec/securityContext"), Some(&json!({})));
    let ours = "/spec/template/spec/containers/0/securityContext/runAsNonRoot";
    assert_eq!(set.pointer(ours), Some(&json!(true)));
}
