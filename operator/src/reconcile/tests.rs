//! Looks at a plan through the API's own requests, against a server in memory.

use super::*;
use crate::names;
use crate::world;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, StatusCode};
use kube::client::Body;
use proto::trust::{self, Pair, Pems};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::convert::Infallible;
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
}

impl Api {
    fn answer(&mut self, method: &Method, path: &str, body: &Value) -> (StatusCode, Value) {
        match *method {
            Method::GET => match self.objects.get(path) {
                Some(object) => (StatusCode::OK, object.clone()),
                None if path.ends_with("pods") || path.ends_with("persistentvolumeclaims") => (
                    StatusCode::OK,
                    json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": self.list(path)}),
                ),
                None => status(StatusCode::NOT_FOUND, "not found"),
            },
            Method::POST if path.ends_with("events") => (StatusCode::CREATED, body.clone()),
            Method::POST => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
                if self.refused.contains(&path) {
                    return status(StatusCode::FORBIDDEN, "exceeded quota: few");
                }
                if self.objects.contains_key(&path) {
                    return status(StatusCode::CONFLICT, "it exists");
                }
                self.write(&path, body)
            }
            Method::PATCH => self.patch(path, body),
            _ => status(StatusCode::METHOD_NOT_ALLOWED, "never asked by the operator"),
        }
    }

    fn list(&self, path: &str) -> Vec<Value> {
        let of_path = self.objects.iter().filter(|(other, _)| other.starts_with(&format!("{path}/")));
        of_path.map(|(_, object)| object.clone()).collect()
    }

    fn patch(&mut self, path: &str, body: &Value) -> (StatusCode, Value) {
        if self.refused.contains(path) {
            return status(StatusCode::FORBIDDEN, "exceeded quota: few");
        }
        let Some(path) = path.strip_suffix("/status") else { return self.write(path, body) };
        let old = self.objects[path].clone();
        if old["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]
            || self.overtaken.remove(path)
        {
            return status(StatusCode::CONFLICT, "the object has been modified");
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

fn status(code: StatusCode, message: &str) -> (StatusCode, Value) {
    let reason = match code {
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        StatusCode::FORBIDDEN => "Forbidden",
        _ => "MethodNotAllowed",
    };
    let mut status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"});
    status["message"] = message.into();
    status["reason"] = reason.into();
    status["code"] = code.as_u16().into();
    (code, status)
}

struct Scene {
    api: Arc<Mutex<Api>>,
    context: Context,
}

impl Scene {
    fn new() -> Scene {
        let mut api = Api::default();
        api.objects.insert(PLAN.to_owned(), world::flights());
        let api = Arc::new(Mutex::new(api));
        let served = api.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let served = served.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                let (code, answer) = served.lock().unwrap().answer(&head.method, head.uri.path(), &body);
                let answer = Full::new(Bytes::from(answer.to_string()));
                Ok::<_, Infallible>(Response::builder().status(code).body(answer).unwrap())
            }
        });
        let client = Client::new(service, "default");
        let context = Context {
            teller: Teller::new(client.clone(), "tests"),
            client,
            nodes: Nodes::default(),
            settings: world::settings(),
            metrics: Metrics::default(),
        };
        Scene { api, context }
    }

    async fn look(&self, look: Look, memory: Option<Memory>) -> (Option<Memory>, Outcome) {
        let key = Key { namespace: "default".to_owned(), name: "flights".to_owned() };
        reconcile(&self.context, &key, look, memory).await
    }

    fn api(&self) -> std::sync::MutexGuard<'_, Api> {
        self.api.lock().unwrap()
    }

    fn written(&self) -> usize {
        self.api().written.len()
    }
}

#[tokio::test]
async fn a_plan_is_made_and_then_nothing_is_written_until_something_changes() {
    let scene = Scene::new();
    let (memory, outcome) = scene.look(Look::All, None).await;
    assert_eq!(outcome, Outcome::Waiting);
    assert_eq!(scene.api().objects.len(), 9, "{:?}", scene.api().objects.keys());
    assert!(!scene.api().objects.contains_key(RING));
    let written = scene.written();
    let (memory, _) = scene.look(Look::Nodes, memory).await;
    let (_, outcome) = scene.look(Look::All, memory).await;
    assert_eq!((outcome, scene.written()), (Outcome::Waiting, written));
    let secrets = [AUTHORITY, CERTIFICATES].map(|path| scene.api().objects[path].clone());
    scene.api().objects.remove(SET);
    scene.look(Look::All, None).await;
    assert_eq!(scene.api().written[written..], [SET.to_owned()]);
    assert_eq!([AUTHORITY, CERTIFICATES].map(|path| scene.api().objects[path].clone()), secrets);
    scene.api().objects.remove(CERTIFICATES);
    let written = scene.written();
    scene.look(Look::All, None).await;
    assert_eq!(scene.api().written[written..], [CERTIFICATES.to_owned()]);
}

#[tokio::test]
async fn what_the_api_server_will_not_have_is_said_and_the_rest_is_made() {
    let scene = Scene::new();
    scene.api().refused.insert(SET.to_owned());
    let (memory, outcome) = scene.look(Look::All, None).await;
    assert_eq!(outcome, Outcome::Failed);
    let text = scene.api().condition("Degraded");
    assert_eq!(text, "True PartRefused: the API server refuses StatefulSet flights: exceeded quota: few");
    // Saying it again changes nothing.
    let written = scene.written();
    let (memory, outcome) = scene.look(Look::All, memory).await;
    assert_eq!((outcome, scene.written()), (Outcome::Failed, written));
    scene.api().refused.clear();
    scene.look(Look::All, memory).await;
    assert!(scene.api().condition("Degraded").starts_with("False Healthy"));
}

#[tokio::test]
async fn a_secret_that_the_api_server_will_not_have_is_said_too() {
    let scene = Scene::new();
    scene.api().refused.insert(AUTHORITY.to_owned());
    let (memory, outcome) = scene.look(Look::All, None).await;
    assert_eq!(outcome, Outcome::Failed);
    let text = scene.api().condition("Degraded");
    assert_eq!(text, "True PartRefused: the API server refuses Secret flights-ca: exceeded quota: few");
    assert!(scene.api().objects.contains_key(SERVICE), "the rest is made");
    scene.api().refused.clear();
    scene.look(Look::All, memory).await;
    assert!(scene.api().condition("Degraded").starts_with("False Healthy"));
}

#[tokio::test]
async fn one_who_was_overtaken_leaves_it_and_looks_again() {
    let scene = Scene::new();
    scene.api().overtaken.insert(PLAN.to_owned());
    let (memory, outcome) = scene.look(Look::All, None).await;
    assert!(memory.is_none() && outcome == Outcome::Overtaken, "{outcome:?}");
    assert_eq!(scene.look(Look::All, None).await.1, Outcome::Waiting);
}

#[tokio::test]
async fn a_plan_that_is_gone_is_left() {
    let scene = Scene::new();
    scene.api().objects.clear();
    let (memory, outcome) = scene.look(Look::All, None).await;
    assert!(memory.is_none() && outcome == Outcome::Gone, "{outcome:?}");
}

/// Three nodes of which one refuses what it is given.
async fn with_nodes(scene: &Scene, tasks: &mut tokio::task::JoinSet<()>) {
    scene.look(Look::All, None).await;
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
            "status": {"podIP": ip},
        });
        scene.api().objects.insert(format!("/api/v1/namespaces/default/pods/flights-{ordinal}"), pod);
    }
}

#[tokio::test]
async fn nodes_get_a_ring_and_one_that_refuses_it_is_named() {
    let (scene, mut tasks) = (Scene::new(), tokio::task::JoinSet::new());
    with_nodes(&scene, &mut tasks).await;
    let (memory, outcome) = scene.look(Look::All, None).await;
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
