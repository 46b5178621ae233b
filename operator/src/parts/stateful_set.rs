//! The StatefulSet of a plan's nodes: all start at once, and nothing but a deleted pod takes a new template.

use super::InForce;
use crate::names;
use crate::plan::{Plan, Wish};
use crate::settings::Settings;
use proto::plan::{Pods, Storage};
use serde_json::{Map, Value, json};

/// A node ends within this, or is killed.
const GRACE_S: i64 = 30;
/// A node answers before it reads its log: this is for the start of the process.
const START_PERIOD_S: i64 = 2;
const START_TRIES: i64 = 30;
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
        "persistentVolumeClaimRetentionPolicy": {
            "whenDeleted": said(&storage.retention.when_deleted),
            "whenScaled": said(&storage.retention.when_scaled),
        },
        "template": {
            "metadata": {"labels": names::labels(name)},
            "spec": pod(plan, &wish.spec.pods, settings),
        },
        "volumeClaimTemplates": [claim(plan, storage, force)],
    }})
}

/// The plan's uid on a volume tells, without a look into it, that it was another plan's.
fn claim(plan: &Plan, storage: &Storage, force: &InForce) -> Value {
    let mut labels = names::labels(plan.name());
    labels[names::PLAN_UID] = plan.uid.clone().into();
    let mut spec = json!({
        "accessModes": [said(&storage.access_mode)],
        "resources": {"requests": {"storage": force.size}},
    });
    if let Some(class) = &storage.storage_class_name {
        spec["storageClassName"] = class.clone().into();
    }
    json!({"metadata": {"name": names::CLAIM, "labels": labels}, "spec": spec})
}

fn pod(plan: &Plan, pods: &Pods, settings: &Settings) -> Value {
    let mut spec = json!({
        "serviceAccountName": names::service_account(plan.name()),
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": names::NODE_USER,
            "runAsGroup": names::NODE_USER,
            "fsGroup": names::NODE_USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [spread(plan, "kubernetes.io/hostname"), spread(plan, "topology.kubernetes.io/zone")],
        "containers": [container(plan, pods, settings)],
        "volumes": [{
            "name": names::CERTIFICATES,
            "secret": {"secretName": names::certificates(plan.name()), "defaultMode": 0o440},
        }],
    });
    set_unless_empty(&mut spec, "imagePullSecrets", &pods.image_pull_secrets);
    set_unless_empty(&mut spec, "nodeSelector", &pods.node_selector);
    set_unless_empty(&mut spec, "tolerations", &pods.tolerations);
    spec
}

/// Nodes go to different machines and zones where there are some, and start anyway where there are none.
fn spread(plan: &Plan, key: &str) -> Value {
    json!({
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {names::PLAN: plan.name()}},
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
    if pods.resources != proto::plan::Resources::default() {
        container["resources"] = said(&pods.resources);
    }
    container
}

/// The arguments of `agent-node`.
fn arguments(plan: &Plan) -> Value {
    json!([
        "serve",
        "--data",
        DATA_FOLDER,
        "--plan-uid",
        plan.uid,
        "--pod-name",
        "$(POD_NAME)",
        "--certificates",
        CERTIFICATES_FOLDER,
    ])
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
    let is_empty =
        value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
    if !is_empty {
        spec[name] = value;
    }
}
