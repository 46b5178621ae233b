//! Looks at a plan through the API's own requests, against a server in memory.

mod claims;
mod crd;
mod hints;
mod looks;
mod objects;
mod owners;
mod rings;

use super::*;
use crate::metrics::Metrics;
use crate::names;
use crate::news::Teller;
use crate::nodes::{self, Nodes};
use crate::parts::Part;
use crate::served::{self, Asked, failure};
use crate::settings::Settings;
use crate::world;
use hyper::{Method, StatusCode};
use kube::Client;
use proto::trust::{self, Pair, Pems};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

const PLAN: &str = "/apis/shoal.dev/v1alpha1/namespaces/default/agentplans/flights";
const SET: &str = "/apis/apps/v1/namespaces/default/statefulsets/flights";
const RING: &str = "/api/v1/namespaces/default/configmaps/flights-ring";
const AUTHORITY: &str = "/api/v1/namespaces/default/secrets/flights-ca";
const CERTIFICATES: &str = "/api/v1/namespaces/default/secrets/flights-certificates";
const SERVICE: &str = "/api/v1/namespaces/default/services/flights";

/// Objects by their paths, and what was asked.
struct Api {
    objects: BTreeMap<String, Value>,
    /// Writes, in their order.
    written: Vec<String>,
    /// The API server will not have these.
    refused: BTreeSet<String>,
    /// Objects that somebody else was faster to write.
    overtaken: BTreeSet<String>,
    revision: u64,
    namespace_is_going: bool,
    hides_events: bool,
    /// Writes that were refused.
    refusals: usize,
    /// How often each path was to be written.
    asked: BTreeMap<String, usize>,
    uid: u64,
    /// What somebody else makes of this path just before the operator does.
    rival: Option<(String, Value)>,
    webhook: fn(&str, &mut Value),
    /// The status of the plan that each field manager has written.
    statuses: BTreeMap<String, Value>,
    /// Fields of a status that the CRD does not have.
    undeclared: Vec<&'static str>,
    /// It names but one of them at a time.
    names_one: bool,
    /// The reasons of the events that were made, in their order.
    events: Vec<String>,
    /// What the operator may not read.
    hidden: BTreeSet<String>,
}

impl Default for Api {
    fn default() -> Api {
        Api {
            objects: BTreeMap::new(),
            written: Vec::new(),
            refused: BTreeSet::new(),
            overtaken: BTreeSet::new(),
            revision: 1,
            namespace_is_going: false,
            hides_events: false,
            refusals: 0,
            asked: BTreeMap::new(),
            uid: 0,
            rival: None,
            webhook: |_, _| {},
            statuses: BTreeMap::new(),
            undeclared: Vec::new(),
            names_one: false,
            events: Vec::new(),
            hidden: BTreeSet::new(),
        }
    }
}

impl Api {
    fn answer(&mut self, asked: &Asked) -> (StatusCode, Value) {
        let Asked { method, path, body, .. } = asked;
        match *method {
            Method::GET if path.ends_with("events") && self.hides_events => {
                failure(StatusCode::FORBIDDEN, "events is forbidden")
            }
            Method::GET if self.hidden.contains(path) => failure(StatusCode::FORBIDDEN, "it is forbidden"),
            Method::GET => match self.objects.get(path) {
                Some(object) => (StatusCode::OK, object.clone()),
                None if ["pods", "persistentvolumeclaims", "events"]
                    .iter()
                    .any(|end| path.ends_with(end)) =>
                {
                    (
                        StatusCode::OK,
                        json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": self.list(path)}),
                    )
                }
                None => failure(StatusCode::NOT_FOUND, "not found"),
            },
            Method::POST if path.ends_with("events") => {
                if let Some(refusal) = self.refusal(path) {
                    return refusal;
                }
                self.events.extend(body["reason"].as_str().map(str::to_owned));
                (StatusCode::CREATED, body.clone())
            }
            Method::POST => self.create(asked),
            Method::PATCH => self.patch(asked),
            _ => failure(StatusCode::METHOD_NOT_ALLOWED, "never asked by the operator"),
        }
    }

    fn refusal(&mut self, path: &str) -> Option<(StatusCode, Value)> {
        *self.asked.entry(path.to_owned()).or_default() += 1;
        let refusal =
            if self.namespace_is_going && !self.objects.contains_key(path) && !path.ends_with("/status") {
                let (code, mut refusal) = failure(StatusCode::FORBIDDEN, "the namespace is being terminated");
                refusal["details"] =
                    json!({"causes": [{"reason": "NamespaceTerminating", "message": "it goes"}]});
                Some((code, refusal))
            } else {
                self.refused.contains(path).then(|| failure(StatusCode::FORBIDDEN, "exceeded quota: few"))
            };
        self.refusals += usize::from(refusal.is_some());
        refusal
    }

    /// How often this was to be written.
    fn asked(&self, path: &str) -> usize {
        self.asked.get(path).copied().unwrap_or(0)
    }

    fn list(&self, path: &str) -> Vec<Value> {
        let of_path = self.objects.iter().filter(|(other, _)| other.starts_with(&format!("{path}/")));
        of_path.map(|(_, object)| object.clone()).collect()
    }

    fn create(&mut self, asked: &Asked) -> (StatusCode, Value) {
        let path = format!("{}/{}", asked.path, asked.body["metadata"]["name"].as_str().unwrap());
        if let Some(refusal) = self.refusal(&path) {
            return refusal;
        }
        if let Some((_, other)) = self.rival.take_if(|(of, _)| *of == path) {
            self.objects.insert(path.clone(), other);
        }
        if self.objects.contains_key(&path) {
            return failure(StatusCode::CONFLICT, "it exists");
        }
        self.uid += 1;
        let mut object = asked.body.clone();
        object["metadata"]["uid"] = format!("uid-{}", self.uid).into();
        object["metadata"]["managedFields"] = entries(&asked.manager, "Update");
        self.admit(&path, object)
    }

    fn patch(&mut self, asked: &Asked) -> (StatusCode, Value) {
        let (path, body) = (&asked.path, &asked.body);
        if let Some(refusal) = self.refusal(path) {
            return refusal;
        }
        if let Some(path) = path.strip_suffix("/status") {
            return self.patch_status(path, asked);
        }
        let Some(old) = self.objects.get(path).cloned() else {
            return failure(StatusCode::CONFLICT, "there is none of this uid");
        };
        if asked.is_apply && body["metadata"]["uid"] != old["metadata"]["uid"] {
            let (code, mut refusal) = failure(StatusCode::UNPROCESSABLE_ENTITY, "field is immutable");
            refusal["details"] = json!({"causes": [{"field": "metadata.uid"}]});
            return (code, refusal);
        }
        let version = &body["metadata"]["resourceVersion"];
        if !version.is_null() && *version != old["metadata"]["resourceVersion"] {
            return failure(StatusCode::CONFLICT, "the object has been modified");
        }
        let made = old["metadata"]["managedFields"] == entries(&asked.manager, "Update");
        let mut new = old.clone();
        if !asked.is_apply || made {
            // What was made, and is not applied any more, stays.
            merge(&mut new, body);
        } else {
            new = body.clone();
            new["metadata"]["managedFields"] = old["metadata"]["managedFields"].clone();
        }
        let is_taken_over = new["metadata"]["managedFields"] != old["metadata"]["managedFields"];
        if is_taken_over { self.write(path, &new) } else { self.admit(path, new) }
    }

    /// Each manager has a status of its own; what there is is all of them.
    fn patch_status(&mut self, path: &str, asked: &Asked) -> (StatusCode, Value) {
        let (body, mut object) = (&asked.body, self.objects[path].clone());
        let version = &body["metadata"]["resourceVersion"];
        if (!version.is_null() && *version != object["metadata"]["resourceVersion"])
            || self.overtaken.remove(path)
        {
            return failure(StatusCode::CONFLICT, "the object has been modified");
        }
        let is_there = |field: &&&str| {
            let at = format!("/status/{}", field.replace('.', "/"));
            body.pointer(&at).is_some_and(|value| !value.is_null())
        };
        let named = if self.names_one { 1 } else { usize::MAX };
        let unknown: Vec<_> = self.undeclared.iter().filter(is_there).take(named).collect();
        if !unknown.is_empty() {
            let said =
                unknown.iter().map(|field| format!("\n  .status.{field}: field not declared in schema"));
            let why =
                format!("failed to create typed patch object (flights): errors:{}", said.collect::<String>());
            return failure(StatusCode::INTERNAL_SERVER_ERROR, &why);
        }
        self.statuses.insert(asked.manager.clone(), body["status"].clone());
        let mut status = json!({});
        let mut conditions = Vec::new();
        for one in self.statuses.values().filter(|status| status.is_object()) {
            merge(&mut status, one);
            conditions.extend(one["conditions"].as_array().into_iter().flatten().cloned());
        }
        status["conditions"] = conditions.into();
        object["status"] = status;
        self.write(path, &object)
    }

    /// As a webhook lets it pass.
    fn admit(&mut self, path: &str, mut object: Value) -> (StatusCode, Value) {
        (self.webhook)(path, &mut object);
        self.write(path, &object)
    }

    fn write(&mut self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.revision += 1;
        self.written.push(path.to_owned());
        let mut object = body.clone();
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        self.objects.insert(path.to_owned(), object.clone());
        (StatusCode::OK, object)
    }

    /// `True NodesStarting: ...`
    fn condition(&self, name: &str) -> String {
        let conditions = self.objects[PLAN]["status"]["conditions"].as_array().unwrap();
        let found = conditions.iter().find(|condition| condition["type"] == name).unwrap();
        let text = |field: &str| found[field].as_str().unwrap();
        format!("{} {}: {}", text("status"), text("reason"), text("message"))
    }
}

fn entries(manager: &str, operation: &str) -> Value {
    json!([{"manager": manager, "operation": operation}])
}

fn merge(into: &mut Value, other: &Value) {
    match (into, other) {
        (Value::Object(into), Value::Object(other)) => {
            for (name, value) in other {
                if value.is_null() {
                    into.remove(name);
                } else {
                    merge(into.entry(name.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (into, other) => *into = other.clone(),
    }
}

struct Scene {
    api: Arc<Mutex<Api>>,
    context: Context,
    since: Mutex<Duration>,
}

fn key() -> Key {
    Key { namespace: "default".to_owned(), name: "flights".to_owned() }
}

fn context(api: &Arc<Mutex<Api>>) -> Context {
    let answering = api.clone();
    operator(served::client(move |asked| answering.lock().unwrap().answer(asked)), "shoal-system")
}

impl Scene {
    fn new() -> Scene {
        let mut api = Api::default();
        api.objects.insert(PLAN.to_owned(), world::flights());
        let api = Arc::new(Mutex::new(api));
        Scene { context: context(&api), api, since: Mutex::default() }
    }

    /// What the operator's metrics say of a condition of the plan.
    fn metric(&self, condition: &str) -> Option<u64> {
        let text = self.context.metrics.text();
        let labels = format!(r#"plan_namespace="default",plan="flights",condition="{condition}""#);
        let line = format!("shoal_operator_plan_condition{{{labels}}} ");
        text.lines().find_map(|one| one.strip_prefix(&line))?.parse().ok()
    }

    async fn look(&self, look: Look, memory: Memory) -> (Memory, Outcome) {
        self.look_of(&self.context, look, memory).await
    }

    /// By another operator.
    async fn look_of(&self, context: &Context, look: Look, memory: Memory) -> (Memory, Outcome) {
        let since = *self.since.lock().unwrap();
        reconcile(context, &key(), look, memory, since).await
    }

    /// By a look that remembers nothing.
    async fn look_anew(&self) -> (Memory, Outcome) {
        self.look(Look::All, Memory::default()).await
    }

    fn wait(&self, seconds: u64) {
        *self.since.lock().unwrap() += Duration::from_secs(seconds);
    }

    fn api(&self) -> std::sync::MutexGuard<'_, Api> {
        self.api.lock().unwrap()
    }

    /// Changes the plan as its author does.
    fn edit(&self, change: impl FnOnce(&mut Value)) {
        let mut api = self.api();
        let plan = api.objects.get_mut(PLAN).unwrap();
        change(plan);
        let generation = plan["metadata"]["generation"].as_u64().unwrap();
        plan["metadata"]["generation"] = (generation + 1).into();
    }

    fn written(&self) -> usize {
        self.api().written.len()
    }
}

/// The operator of the release in this namespace.
fn operator(client: Client, namespace: &str) -> Context {
    let settings = Settings { operator_namespace: namespace.to_owned(), ..world::settings() };
    Context {
        teller: Teller::new(client.clone(), "tests"),
        client,
        nodes: Nodes::default(),
        settings,
        metrics: Metrics::default(),
        operator: crate::ownership::name(namespace, "shoal-operator"),
        left_out: Mutex::default(),
    }
}

/// Three nodes of which one refuses what it is given, at addresses of a net that no other test has.
async fn with_nodes(
    scene: &Scene,
    tasks: &mut tokio::task::JoinSet<()>,
    net: &str,
) -> (Vec<nodes::tests::Node>, Pems) {
    scene.look_anew().await;
    let secret = scene.api().objects[CERTIFICATES].clone();
    let text = |member: &str| {
        let bytes = serde_json::from_value::<k8s_openapi::ByteString>(secret["data"][member].clone());
        String::from_utf8(bytes.unwrap().0).unwrap()
    };
    let pair = Pair { certificate: text(trust::CERTIFICATE), key: text(trust::KEY) };
    let pems = Pems { pair, bundle: text(trust::BUNDLE) };
    let mut nodes = Vec::new();
    let set = scene.api().objects[SET]["metadata"]["uid"].clone();
    for ordinal in 0..3_u32 {
        let ip = format!("{net}.{}", ordinal + 1);
        nodes.push(nodes::tests::start_node(tasks, &ip, &pems, ordinal).await);
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": names::pod("flights", ordinal as u16),
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "flights", "uid": set}],
            },
            "spec": {"containers": [], "volumes": [{"name": names::CERTIFICATES}]},
            "status": {
                "podIP": ip,
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{
                    "name": names::CONTAINER, "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                }],
            },
        });
        scene.api().objects.insert(pod_path(ordinal), pod);
    }
    (nodes, pems)
}

fn pod_path(ordinal: u32) -> String {
    format!("/api/v1/namespaces/default/pods/flights-{ordinal}")
}
