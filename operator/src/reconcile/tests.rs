//! Looks at a plan through the API's own requests, against a server in memory.

mod claims;
mod crd;
mod owners;
mod rings;

use super::*;
use crate::metrics::Metrics;
use crate::names;
use crate::news::Teller;
use crate::nodes::Nodes;
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
        let unknown: Vec<_> = self.undeclared.iter().filter(is_there).collect();
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

#[tokio::test]
async fn a_plan_is_made_and_then_nothing_is_written_until_something_changes() {
    let scene = Scene::new();
    let (memory, outcome) = scene.look_anew().await;
    assert_eq!(outcome, Outcome::Waiting);
    assert_eq!(scene.api().objects.len(), 9, "{:?}", scene.api().objects.keys());
    assert!(!scene.api().objects.contains_key(RING));
    let written = scene.written();
    let (memory, _) = scene.look(Look::Nodes, memory).await;
    let (_, outcome) = scene.look(Look::All, memory).await;
    assert_eq!((outcome, scene.written()), (Outcome::Waiting, written));
    let secrets = [AUTHORITY, CERTIFICATES].map(|path| scene.api().objects[path].clone());
    scene.api().objects.remove(SET);
    scene.look_anew().await;
    // Made, and then owned as what is applied.
    assert_eq!(scene.api().written[written..], [SET.to_owned(), SET.to_owned()]);
    assert_eq!([AUTHORITY, CERTIFICATES].map(|path| scene.api().objects[path].clone()), secrets);
    scene.api().objects.remove(CERTIFICATES);
    let written = scene.written();
    scene.look_anew().await;
    assert_eq!(scene.api().written[written..], [CERTIFICATES.to_owned(), CERTIFICATES.to_owned()]);
}

#[tokio::test]
async fn what_the_api_server_will_not_have_is_said_and_the_rest_is_made() {
    let scene = Scene::new();
    scene.api().refused.insert(SET.to_owned());
    let (memory, outcome) = scene.look_anew().await;
    assert_eq!(outcome, Outcome::Obstructed);
    assert_eq!((scene.metric("Accepted"), scene.metric("Degraded")), (Some(1), Some(1)));
    let text = scene.api().condition("Degraded");
    assert_eq!(text, "True PartRefused: the API server refuses StatefulSet flights: exceeded quota: few");
    // Saying it again changes nothing.
    let written = scene.written();
    let (memory, outcome) = scene.look(Look::All, memory).await;
    assert_eq!((outcome, scene.written()), (Outcome::Obstructed, written));
    scene.api().refused.clear();
    scene.wait(1);
    scene.look(Look::All, memory).await;
    assert!(scene.api().condition("Degraded").starts_with("False Healthy"));
    assert_eq!((scene.metric("Degraded"), scene.metric("Available")), (Some(0), Some(0)));
    // What is in force already when the operator begins is shown as well.
    let anew = Scene { context: context(&scene.api), api: scene.api.clone(), since: Mutex::default() };
    anew.look_anew().await;
    assert_eq!(anew.metric("Accepted"), Some(1));
    anew.context.metrics.forget(&key());
    assert_eq!(anew.metric("Accepted"), None);
}

#[tokio::test]
async fn what_is_refused_waits_alone_and_a_wrong_expression_is_told_at_once() {
    let scene = Scene::new();
    scene.api().refused.insert(SERVICE.to_owned());
    let (mut memory, _) = scene.look_anew().await;
    // Each time it is tried once more, and later.
    for wait_s in [1, 2, 4] {
        let asked = scene.api().asked(SERVICE);
        memory = scene.look(Look::All, memory).await.0;
        assert_eq!(scene.api().asked(SERVICE), asked, "too early");
        scene.wait(wait_s);
        memory = scene.look(Look::All, memory).await.0;
        assert_eq!(scene.api().asked(SERVICE), asked + 1, "after {wait_s} s");
    }
    // What else the plan wishes for does not wait for it.
    scene.edit(|plan| plan["spec"]["pods"] = json!({"nodeSelector": {"disk": "ssd"}}));
    memory = scene.look(Look::All, memory).await.0;
    assert_eq!(scene.api().objects[SET]["spec"]["template"]["spec"]["nodeSelector"]["disk"], "ssd");
    scene.edit(|plan| plan["spec"]["agents"][0]["rules"][0]["do"][0]["set"]["to"] = "flights +".into());
    scene.look(Look::All, memory).await;
    assert!(scene.api().condition("Accepted").starts_with("False InvalidPlan"));
}

#[tokio::test]
async fn why_pods_do_not_come_is_read_again_and_again_and_holds_nothing_up() {
    const EVENT: &str = "/apis/events.k8s.io/v1/namespaces/default/events/e";
    let scene = Scene::new();
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "eventTime": null,
        "type": "Warning", "note": "exceeded quota: few", "deprecatedLastTimestamp": "2026-01-01T00:00:00Z",
    });
    scene.api().objects.insert(EVENT.to_owned(), event);
    let (mut memory, outcome) = scene.look_anew().await;
    let said = |scene: &Scene| scene.api().condition("Ready");
    assert_eq!(outcome, Outcome::Waiting);
    assert!(
        said(&scene).starts_with("False NodesStarting: starting: node 0: exceeded quota: few"),
        "{}",
        said(&scene)
    );
    // The quota was raised; what is said of it ends, though pods are not there yet.
    scene.api().objects.remove(EVENT);
    scene.wait(5);
    memory = scene.look(Look::Nodes, memory).await.0;
    assert_eq!(said(&scene), "False NodesStarting: starting: node 0, node 1, node 2");
    scene.api().hides_events = true;
    scene.wait(5);
    scene.edit(|plan| plan["spec"]["pods"] = json!({"nodeSelector": {"disk": "ssd"}}));
    assert_eq!(scene.look(Look::All, memory).await.1, Outcome::Waiting);
    assert_eq!(scene.api().objects[SET]["spec"]["template"]["spec"]["nodeSelector"]["disk"], "ssd");
}

#[tokio::test]
async fn in_a_namespace_that_is_going_nothing_is_made() {
    let scene = Scene::new();
    scene.api().namespace_is_going = true;
    let (memory, outcome) = scene.look_anew().await;
    assert_eq!((outcome, scene.api().asked(AUTHORITY)), (Outcome::Obstructed, 1));
    let asked = scene.api().refusals;
    assert_eq!(scene.look(Look::All, memory).await.1, Outcome::Obstructed);
    assert_eq!((asked, scene.api().refusals), (1, 1));
}

#[tokio::test]
async fn a_secret_that_the_api_server_will_not_have_is_said_too() {
    let scene = Scene::new();
    scene.api().refused.insert(AUTHORITY.to_owned());
    let (memory, outcome) = scene.look_anew().await;
    assert_eq!(outcome, Outcome::Obstructed);
    let text = scene.api().condition("Degraded");
    assert_eq!(text, "True PartRefused: the API server refuses Secret flights-ca: exceeded quota: few");
    assert!(scene.api().objects.contains_key(SERVICE), "the rest is made");
    scene.api().refused.clear();
    scene.wait(1);
    scene.look(Look::All, memory).await;
    assert!(scene.api().condition("Degraded").starts_with("False Healthy"));
}

#[tokio::test]
async fn one_who_was_overtaken_leaves_it_and_looks_again() {
    let scene = Scene::new();
    scene.api().overtaken.insert(PLAN.to_owned());
    let (memory, outcome) = scene.look_anew().await;
    assert!(memory.known.is_none() && outcome == Outcome::Overtaken, "{outcome:?}");
    assert_eq!(scene.look_anew().await.1, Outcome::Waiting);
}

#[tokio::test]
async fn a_plan_that_is_gone_is_left() {
    let scene = Scene::new();
    scene.api().objects.clear();
    let (memory, outcome) = scene.look_anew().await;
    assert!(memory.known.is_none() && outcome == Outcome::Gone, "{outcome:?}");
}

/// Three nodes of which one refuses what it is given, at addresses of a net that no other test has.
async fn with_nodes(scene: &Scene, tasks: &mut tokio::task::JoinSet<()>, net: &str) {
    scene.look_anew().await;
    let secret = scene.api().objects[CERTIFICATES].clone();
    let text = |member: &str| {
        let bytes = serde_json::from_value::<k8s_openapi::ByteString>(secret["data"][member].clone());
        String::from_utf8(bytes.unwrap().0).unwrap()
    };
    let pair = Pair { certificate: text(trust::CERTIFICATE), key: text(trust::KEY) };
    let pems = Pems { pair, bundle: text(trust::BUNDLE) };
    let set = scene.api().objects[SET]["metadata"]["uid"].clone();
    for ordinal in 0..3_u32 {
        let ip = format!("{net}.{}", ordinal + 1);
        crate::nodes::tests::start_node(tasks, &ip, &pems, ordinal).await;
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
        scene.api().objects.insert(format!("/api/v1/namespaces/default/pods/flights-{ordinal}"), pod);
    }
}

#[tokio::test]
async fn nodes_get_a_ring_and_one_that_refuses_it_is_named() {
    let (scene, mut tasks) = (Scene::new(), tokio::task::JoinSet::new());
    with_nodes(&scene, &mut tasks, "127.0.8").await;
    let (memory, outcome) = scene.look_anew().await;
    assert_eq!(outcome, Outcome::Settled, "{}", scene.api().condition("Ready"));
    assert!(scene.api().objects.contains_key(RING));
    assert!(scene.api().condition("Ready").starts_with("True Serving"));
    // Their answers alone are asked for now.
    let written = scene.written();
    let (memory, outcome) = scene.look(Look::Nodes, memory).await;
    assert_eq!((outcome, scene.written()), (Outcome::Settled, written));
    scene.api().objects.get_mut(PLAN).unwrap()["metadata"]["generation"] = 13.into();
    let (memory, outcome) = scene.look(Look::All, memory).await;
    assert_eq!(outcome, Outcome::Obstructed);
    let text = scene.api().condition("Degraded");
    let expected =
        "True ConfigurationRefused: pod flights-0 refuses what it is given: no thirteenth generation";
    assert!(text.starts_with(expected), "{text}");
    let written = scene.written();
    let (_, outcome) = scene.look(Look::All, memory).await;
    assert_eq!((outcome, scene.written()), (Outcome::Obstructed, written));
}

/// The registry is another, the requests are, and a sidecar is added; each time with another number, as some do.
fn mutate(path: &str, object: &mut Value) {
    if path != SET {
        return;
    }
    let pods = &mut object["spec"]["template"];
    let times = pods["metadata"]["annotations"]["example.org/times"].as_str().map_or(0, str::len);
    pods["metadata"]["annotations"] = json!({"example.org/times": "i".repeat(times + 1)});
    let containers = pods["spec"]["containers"].as_array_mut().unwrap();
    containers.retain(|container| container["name"] == names::CONTAINER);
    containers[0]["image"] = "mirror.example.org/shoal/agent-node:0.1.0".into();
    containers[0]["resources"]["requests"]["memory"] = "1Gi".into();
    containers.push(json!({"name": "proxy", "image": "proxy:1"}));
}

#[tokio::test]
async fn what_a_webhook_makes_of_an_object_is_taken_and_said_without_a_fight() {
    let scene = Scene::new();
    scene.api().webhook = mutate;
    let mut memory = Memory::default();
    for _ in 0..100 {
        memory = scene.look(Look::All, memory).await.0;
        scene.wait(1);
    }
    // It was made, and owned.
    assert_eq!(scene.api().asked(SET), 2);
    let path = "StatefulSet flights: spec.template.spec.containers";
    assert_eq!(
        scene.api().condition("Adjusted"),
        format!(
            "True Adjusted: StatefulSet flights: spec.template.metadata.annotations is added; {path}[node].image is \
             mirror.example.org/shoal/agent-node:0.1.0, and was applied as docker.io/shoal/agent-node:0.1.0; \
             {path}[node].resources.requests.memory is 1Gi, and was applied as 256Mi; {path}[proxy] is added"
        )
    );
    assert!(scene.api().condition("Degraded").starts_with("False Healthy"));
    // One apply after a restart of the operator.
    let mut memory = Memory::default();
    for _ in 0..100 {
        memory = scene.look(Look::All, memory).await.0;
        scene.wait(1);
    }
    assert_eq!(scene.api().asked(SET), 3);
    // Another wish goes through, and so does what somebody has changed.
    scene.edit(|plan| plan["spec"]["pods"] = json!({"nodeSelector": {"disk": "ssd"}}));
    memory = scene.look(Look::All, memory).await.0;
    assert_eq!(scene.api().objects[SET]["spec"]["template"]["spec"]["nodeSelector"]["disk"], "ssd");
    scene.api().objects.get_mut(SET).unwrap()["spec"]["replicas"] = 1.into();
    memory = scene.look(Look::All, memory).await.0;
    assert_eq!(scene.api().objects[SET]["spec"]["replicas"], 3);
    assert_eq!(scene.api().asked(SET), 5);
    scene.api().webhook = |_, _| {};
    scene.edit(|plan| plan["spec"]["pods"] = json!({}));
    scene.look(Look::All, memory).await;
    assert!(scene.api().condition("Adjusted").starts_with("False AsApplied"));
    let spec = &scene.api().objects[SET]["spec"]["template"]["spec"];
    assert_eq!((&spec["nodeSelector"], spec["containers"].as_array().unwrap().len()), (&Value::Null, 1));
}

#[tokio::test]
async fn what_a_webhook_changes_where_only_the_operator_may_is_said_and_tried_again_now_and_then() {
    let scene = Scene::new();
    scene.api().webhook = |path, object| {
        if path == SET {
            object["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["serve"]);
            object["spec"]["updateStrategy"]["type"] = "RollingUpdate".into();
        }
    };
    let mut memory = Memory::default();
    for _ in 0..100 {
        memory = scene.look(Look::All, memory).await.0;
        scene.wait(1);
    }
    assert_eq!(scene.api().asked(SET), 2);
    let text = scene.api().condition("Degraded");
    for part in [
        "True PartChanged: StatefulSet flights is not as the operator applies it: ",
        "spec.template.spec.containers[node].args is [\"serve\"], and was applied as [\"serve\",\"--data\",",
        "spec.updateStrategy.type is RollingUpdate, and was applied as OnDelete",
    ] {
        assert!(text.contains(part), "{text}");
    }
    scene.api().webhook = |_, _| {};
    scene.wait(600);
    scene.look(Look::All, memory).await;
    assert_eq!(scene.api().asked(SET), 3);
    assert!(scene.api().condition("Degraded").starts_with("False Healthy"));
}

#[tokio::test]
async fn a_quantity_in_other_words_is_no_write() {
    let scene = Scene::new();
    let requests = |cpu: &str, memory: &str| {
        let resources = json!({"requests": {"cpu": cpu, "memory": memory}});
        move |plan: &mut Value| plan["spec"]["pods"] = json!({"resources": resources})
    };
    scene.edit(requests("1", "1Gi"));
    let mut memory = scene.look_anew().await.0;
    let asked = scene.api().asked(SET);
    for (cpu, amount) in [("1000m", "1024Mi"), ("1.0", "1073741824")] {
        scene.edit(requests(cpu, amount));
        memory = scene.look(Look::All, memory).await.0;
        assert_eq!(scene.api().asked(SET), asked);
    }
    scene.edit(requests("1001m", "1Gi"));
    scene.look(Look::All, memory).await;
    assert_eq!(scene.api().asked(SET), asked + 1);
}

#[tokio::test]
async fn no_write_lands_on_an_object_that_was_not_there_or_was_another_when_it_was_seen() {
    // Another plan's object comes just before ours, as when two plans come from one file.
    let theirs = |name: &str| {
        let owner =
            json!({"apiVersion": "shoal.dev/v1alpha1", "kind": "AgentPlan", "name": "other", "uid": "o"});
        json!({"metadata": {"name": name, "uid": "theirs", "resourceVersion": "1", "ownerReferences": [owner]}})
    };
    let scene = Scene::new();
    scene.look_anew().await;
    let mut paths: Vec<String> = scene.api().objects.keys().filter(|path| *path != PLAN).cloned().collect();
    paths.push(RING.to_owned());
    assert_eq!(paths.len(), 9);
    for path in paths {
        let scene = Scene::new();
        let name = path.rsplit('/').next().unwrap();
        scene.api().rival = Some((path.clone(), theirs(name)));
        let mut tasks = tokio::task::JoinSet::new();
        if path == RING {
            with_nodes(&scene, &mut tasks, "127.0.9").await;
        }
        let (memory, outcome) = scene.look_anew().await;
        assert_eq!(outcome, Outcome::Overtaken, "{path}");
        scene.look(Look::All, memory).await;
        assert_eq!(scene.api().objects[&path], theirs(name));
        let said = scene.api().condition("Degraded");
        let expected = format!("{name} exists and belongs to AgentPlan other; it is left as it is");
        assert!(said.starts_with("True NameTaken") && said.contains(&expected), "{said}");
    }
    // Deleted, and made by somebody else since it was seen.
    let scene = Scene::new();
    scene.look_anew().await;
    let plan = world::plan(&world::flights());
    let kept = scene.api().objects[SERVICE].clone();
    let mut desired = kept.clone();
    desired["metadata"]["uid"] = "another".into();
    let written = act::apply(&scene.context.client, &plan, Part::ClientService, &desired).await;
    assert!(matches!(written, Err(act::Error::Overtaken(_))), "{written:?}");
    assert_eq!(scene.api().objects[SERVICE], kept);
}

fn lease(holder: &str, version: usize) -> Value {
    json!({
        "metadata": {"name": "shoal-operator", "resourceVersion": version.to_string()},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15},
    })
}

#[tokio::test]
async fn of_two_operators_one_runs_a_plan_and_the_other_says_so_and_writes_nothing_more() {
    const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/shoal-system/leases/shoal-operator";
    let scene = Scene::new();
    let other = operator(scene.context.client.clone(), "other-system");
    let (mut ours, mut theirs) = (scene.look_anew().await.0, Memory::default());
    assert_eq!(scene.api().objects[PLAN]["status"]["operator"], "shoal-system/shoal-operator");
    let written = scene.written();
    for second in 0..100 {
        scene.api().objects.insert(LEASE.to_owned(), lease("one", second / 5));
        ours = scene.look(Look::All, ours).await.0;
        theirs = scene.look_of(&other, Look::All, theirs).await.0;
        scene.wait(1);
    }
    assert_eq!(scene.written() - written, 1, "it is said once");
    let said = scene.api().condition("Contested");
    let expected = "True AnotherOperator: this plan belongs to the operator shoal-system/shoal-operator, and another one";
    assert!(said.starts_with(expected), "{said}");
    assert!(scene.api().condition("Degraded").starts_with("False Healthy"));
    // The plan's edits are the owner's.
    let written = scene.written();
    scene.edit(|plan| plan["spec"]["pods"] = json!({"nodeSelector": {"disk": "ssd"}}));
    theirs = scene.look_of(&other, Look::All, theirs).await.0;
    assert_eq!(scene.written() - written, 1, "the generation of what it says");
    scene.look(Look::All, ours).await;
    assert_eq!(scene.api().objects[SET]["spec"]["template"]["spec"]["nodeSelector"]["disk"], "ssd");
    // The owner is uninstalled, and its Lease with it.
    scene.api().objects.remove(LEASE);
    let written = scene.written();
    for _ in 0..16 {
        theirs = scene.look_of(&other, Look::All, theirs).await.0;
        scene.wait(1);
    }
    assert!(scene.written() - written <= 1, "what it says");
    scene.look_of(&other, Look::All, theirs).await;
    assert_eq!(scene.api().objects[PLAN]["status"]["operator"], "other-system/shoal-operator");
    let conditions = scene.api().objects[PLAN]["status"]["conditions"].clone();
    assert!(conditions.as_array().unwrap().iter().all(|one| one["type"] != "Contested"));
}

#[tokio::test]
async fn a_plan_goes_over_to_the_operator_that_a_person_names() {
    let scene = Scene::new();
    let other = operator(scene.context.client.clone(), "other-system");
    let memory = scene.look_anew().await.0;
    let policy = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies/flights";
    let from = |scene: &Scene| scene.api().objects[policy]["spec"]["ingress"][1]["from"].to_string();
    assert!(from(&scene).contains("shoal-system"));
    scene.api().objects.get_mut(PLAN).unwrap()["metadata"]["annotations"] =
        json!({"shoal.dev/operator": "other-system/shoal-operator"});
    assert_eq!(scene.look(Look::All, memory).await.1, Outcome::Elsewhere);
    let (memory, _) = scene.look_of(&other, Look::All, Memory::default()).await;
    assert!(from(&scene).contains("other-system"));
    // The other one says who has it, once.
    scene.look_anew().await;
    scene.look_of(&other, Look::All, memory).await;
    let written = scene.written();
    scene.look_anew().await;
    assert_eq!(scene.written(), written);
    assert!(
        scene
            .api()
            .condition("Contested")
            .contains("this plan belongs to the operator other-system/shoal-operator")
    );
}

#[tokio::test]
async fn under_a_crd_of_before_a_plan_is_run_all_the_same() {
    let scene = Scene::new();
    scene.api().undeclared = vec!["operator"];
    let (memory, outcome) = scene.look_anew().await;
    assert_eq!(outcome, Outcome::Waiting, "for its nodes");
    assert!(scene.api().objects.contains_key(SET));
    let written = scene.written();
    let memory = scene.look(Look::All, memory).await.0;
    assert_eq!(scene.written(), written);
    // With the CRD of today its operator is named with the next edit.
    scene.api().undeclared.clear();
    scene.edit(|plan| plan["spec"]["pods"] = json!({"nodeSelector": {"disk": "ssd"}}));
    scene.look(Look::All, memory).await;
    assert_eq!(scene.api().objects[PLAN]["status"]["operator"], "shoal-system/shoal-operator");
}

#[tokio::test]
async fn of_two_operators_that_begin_at_once_one_gets_the_plan() {
    let scene = Scene::new();
    let other = operator(scene.context.client.clone(), "other-system");
    let plan = look::plan(&scene.context.client, &key()).await.unwrap().unwrap();
    let claim = async |context: &Context| {
        act::claim(&context.client, &plan, &context.operator, &mut Undeclared::default()).await
    };
    claim(&other).await.unwrap();
    let late = claim(&scene.context).await;
    assert!(matches!(late, Err(act::Error::Overtaken(_))), "{late:?}");
    scene.look_anew().await;
    assert_eq!(scene.api().objects.len(), 1, "nothing is made by the one that came late");
}
