//! The StatefulSet of a plan's nodes: all start at once, and nothing but a deleted pod takes a new template.

use super::InForce;
use crate::names;
use crate::plan::{Plan, Wish};
use crate::settings::Settings;
use proto::plan::{Pods, Resources, Storage};
use serde_json::{Map, Value, json};

/// A node ends within this, or is killed.
const GRACE_S: i64 = 30;
/// A node answers before it reads its log: this is for the start of the process.
const START_PERIOD_S: i64 = 2;
const START_TRIES: i64 = 30;
/// What a pod requests if its plan does not say: one that requests nothing is the first to be evicted.
const REQUESTS: [(&str, &str); 2] = [("cpu", "100m"), ("memory", "256Mi")];
const CERTIFICATES_FOLDER: &str = "/certificates";
const DATA_FOLDER: &str = "/data";

pub fn of(plan: &Plan, wish: &Wish, force: &InForce, settings: &Settings) -> Value {
    let (name, storage) = (plan.name(), &wish.spec.storage);
    json!({"spec": {
        "replicas": force.replicas,
        "serviceName": names::nodes_service(name),
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "OnDelete"},
        "revisionHistoryLimit": 2,
        "selector": {"matchLabels": {names::PLAN: name}},
        // A set that is scaled or deleted by anyone takes no data with it; what goes with the plan says `claims`.
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
        "template": {
            "metadata": marks(name, &wish.spec.pods),
            "spec": pod(plan, &wish.spec.pods, settings),
        },
        "volumeClaimTemplates": [claim(plan, storage, force)],
    }})
}

/// The plan's uid on a volume tells, without a look into it, that it was another plan's.
fn claim(plan: &Plan, storage: &Storage, force: &InForce) -> Value {
    let mut labels = names::labels(plan.name());
    labels[names::PLAN_UID] = plan.data_uid.clone().into();
    let mut spec = json!({
        "accessModes": [said(&storage.access_mode)],
        "resources": {"requests": {"storage": force.size}},
    });
    if let Some(class) = &storage.storage_class_name {
        spec["storageClassName"] = class.clone().into();
    }
    json!({"metadata": {"name": names::CLAIM, "labels": labels}, "spec": spec})
}

/// What the plan adds takes no label of ours away.
fn marks(plan: &str, pods: &Pods) -> Value {
    let mut labels = said(&pods.labels);
    for (name, value) in names::labels(plan).as_object().into_iter().flatten() {
        labels[name] = value.clone();
    }
    let mut metadata = json!({"labels": labels});
    set_unless_empty(&mut metadata, "annotations", &pods.annotations);
    metadata
}

fn pod(plan: &Plan, pods: &Pods, settings: &Settings) -> Value {
    let own_account = names::service_account(plan.name());
    let mut spec = json!({
        "serviceAccountName": pods.service_account_name.as_ref().unwrap_or(&own_account),
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": pods.security_context.as_ref().map_or_else(security, said),
        "topologySpreadConstraints": spreads(plan, pods),
        "containers": [container(plan, pods, settings)],
        "volumes": [{
            "name": names::CERTIFICATES,
            "secret": {"secretName": names::certificates(plan.name()), "defaultMode": 0o440},
        }],
    });
    set_unless_empty(&mut spec, "imagePullSecrets", &pods.image_pull_secrets);
    set_unless_empty(&mut spec, "nodeSelector", &pods.node_selector);
    set_unless_empty(&mut spec, "tolerations", &pods.tolerations);
    set_unless_empty(&mut spec, "affinity", &pods.affinity);
    if let Some(class) = &pods.priority_class_name {
        spec["priorityClassName"] = class.clone().into();
    }
    spec
}

fn security() -> Value {
    json!({
        "runAsNonRoot": true,
        "runAsUser": names::NODE_USER,
        "runAsGroup": names::NODE_USER,
        "fsGroup": names::NODE_USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

/// The plan's, or ours. Without a selector Kubernetes would count no pod at all.
fn spreads(plan: &Plan, pods: &Pods) -> Vec<Value> {
    if pods.topology_spread_constraints.is_empty() {
        return ["kubernetes.io/hostname", "topology.kubernetes.io/zone"].map(|key| spread(plan, key)).into();
    }
    let mut spreads: Vec<Value> = pods.topology_spread_constraints.iter().map(said).collect();
    for spread in spreads.iter_mut().filter(|spread| spread["labelSelector"].is_null()) {
        spread["labelSelector"] = selector(plan);
    }
    spreads
}

fn selector(plan: &Plan) -> Value {
    json!({"matchLabels": {names::PLAN: plan.name()}})
}

/// Nodes go to different machines and zones where there are some, and start anyway where there are none.
fn spread(plan: &Plan, key: &str) -> Value {
    json!({
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": selector(plan),
    })
}

fn container(plan: &Plan, pods: &Pods, settings: &Settings) -> Value {
    let mut container = json!({
        "name": names::CONTAINER,
        "image": pods.image.as_ref().unwrap_or(&settings.node_image),
        "args": arguments(plan),
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "ports": [
            port("client", names::CLIENT_PORT),
            port("peer", names::PEER_PORT),
            port("metrics", names::METRICS_PORT),
        ],
        "startupProbe": probe("/livez", START_PERIOD_S, START_TRIES),
        "livenessProbe": probe("/livez", 10, 3),
        "readinessProbe": probe("/readyz", 2, 2),
        // What a node says as it ends stands in the plan's status.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": names::CLAIM, "mountPath": DATA_FOLDER},
            {"name": names::CERTIFICATES, "mountPath": CERTIFICATES_FOLDER, "readOnly": true},
        ],
    });
    // An image that the plan names is fetched as the plan says; the operator's own, as its chart does.
    let ours =
        settings.node_image_pull_policy.filter(|_| pods.image.is_none()).map(|policy| policy.as_str().into());
    if let Some(policy) = pods.image_pull_policy.as_ref().map(said).or(ours) {
        container["imagePullPolicy"] = policy;
    }
    container["resources"] = resources(&pods.resources);
    container
}

/// A limit is a request too, where there is no other.
fn resources(wished: &Resources) -> Value {
    let mut resources = said(wished);
    for (name, amount) in REQUESTS {
        if !wished.requests.contains_key(name) && !wished.limits.contains_key(name) {
            resources["requests"][name] = amount.into();
        }
    }
    resources
}

/// The arguments of `agent-node`.
fn arguments(plan: &Plan) -> Value {
    let mut arguments = vec![
        "serve",
        "--data",
        DATA_FOLDER,
        "--plan-uid",
        &plan.data_uid,
        "--pod-name",
        "$(POD_NAME)",
        "--certificates",
        CERTIFICATES_FOLDER,
    ];
    if plan.has_adopted() {
        arguments.extend(["--adopted-by", &plan.uid]);
    }
    json!(arguments)
}

fn port(name: &str, number: u16) -> Value {
    json!({"name": name, "containerPort": number, "protocol": "TCP"})
}

fn probe(path: &str, period_s: i64, tries: i64) -> Value {
    json!({
        "httpGet": {"path": path, "port": "metrics", "scheme": "HTTP"},
        "periodSeconds": period_s,
        "timeoutSeconds": 2,
        "failureThreshold": tries,
    })
}

/// As its type writes it.
fn said(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("a plan's fields are JSON")
}

fn set_unless_empty(spec: &mut Value, name: &str, value: &impl serde::Serialize) {
    let value = said(value);
    let is_empty = value.is_null()
        || value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(Map::is_empty);
    if !is_empty {
        spec[name] = value;
    }
}
