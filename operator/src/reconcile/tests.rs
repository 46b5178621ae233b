//! Looks at a plan through the API's own requests, against a server in memory.

use super::*;
use crate::names;
use crate::served::{self, failure};
use crate::world;
use hyper::{Method, StatusCode};
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
#[derive(Default)]
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
}

impl Api {
    fn answer(&mut self, method: &Method, path: &str, body: &Value) -> (StatusCode, Value) {
        match *method {
            Method::GET if path.ends_with("events") && self.hides_events => {
                failure(StatusCode::FORBIDDEN, "events is forbidden")
            }
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
            Method::POST if path.ends_with("events") => (StatusCode::CREATED, body.clone()),
            Method::POST => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
                if let Some(refusal) = self.refusal(&path) {
                    return refusal;
                }
                if self.objects.contains_key(&path) {
                    return failure(StatusCode::CONFLICT, "it exists");
                }
                self.write(&path, body)
            }
            Method::PATCH => self.patch(path, body),
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

    fn patch(&mut self, path: &str, body: &Value) -> (StatusCode, Value) {
        if let Some(refusal) = self.refusal(path) {
            return refusal;
        }
        let Some(path) = path.strip_suffix("/status") else { return self.write(path, body) };
        let old = self.objects[path].clone();
        if old["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]
            || self.overtaken.remove(path)
        {
            return failure(StatusCode::CONFLICT, "the object has been modified");
        }
        let mut new = old;
        new["status"] = body["status"].clone();
        self.write(path, &new)
    }

    fn write(&mut self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.revision += 1;
        self.written.push(path.to_owned());
        let mut object = body.clone();
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        if path == SET {
            object["metadata"]["uid"] = "the-set".into();
        }
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
    let client =
        served::client(move |method, path, body| answering.lock().unwrap().answer(method, path, body));
    Context {
        teller: Teller::new(client.clone(), "tests"),
        client,
        nodes: Nodes::default(),
        settings: world::settings(),
        metrics: Metrics::default(),
    }
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
        let since = *self.since.lock().unwrap();
        reconcile(&self.context, &key(), look, memory, since).await
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
    assert_eq!(scene.api().written[written..], [SET.to_owned()]);
    assert_eq!([AUTHORITY, CERTIFICATES].map(|path| scene.api().objects[path].clone()), secrets);
    scene.api().objects.remove(CERTIFICATES);
    let written = scene.written();
    scene.look_anew().await;
    assert_eq!(scene.api().written[written..], [CERTIFICATES.to_owned()]);
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

/// Three nodes of which one refuses what it is given.
async fn with_nodes(scene: &Scene, tasks: &mut tokio::task::JoinSet<()>) {
    scene.look_anew().await;
    let secret = scene.api().objects[CERTIFICATES].clone();
    let text = |member: &str| {
        let bytes = serde_json::from_value::<k8s_openapi::ByteString>(secret["data"][member].clone());
        String::from_utf8(bytes.unwrap().0).unwrap()
    };
    let pair = Pair { certificate: text(trust::CERTIFICATE), key: text(trust::KEY) };
    let pems = Pems { pair, bundle: text(trust::BUNDLE) };
    for ordinal in 0..3_u32 {
        let ip = format!("127.0.8.{}", ordinal + 1);
        crate::nodes::tests::start_node(tasks, &ip, &pems, ordinal).await;
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": names::pod("flights", ordinal as u16),
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "flights", "uid": "the-set"}],
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
    with_nodes(&scene, &mut tasks).await;
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
