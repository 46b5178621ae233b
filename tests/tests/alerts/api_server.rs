//! As much of Kubernetes' API server as an operator needs that runs on its own: objects in memory, over HTTP, without a
//! controller. Watches tell nothing.

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Paths that end so are of many objects.
const LISTS: [&str; 10] = [
    "agentplans",
    "configmaps",
    "events",
    "networkpolicies",
    "persistentvolumeclaims",
    "poddisruptionbudgets",
    "pods",
    "serviceaccounts",
    "services",
    "statefulsets",
];

type Body = UnsyncBoxBody<Bytes, Infallible>;

pub struct ApiServer {
    at: SocketAddr,
    state: Arc<Mutex<State>>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct State {
    /// By path.
    objects: BTreeMap<String, Value>,
    revision: u64,
    /// Paths that are answered 403.
    refused: BTreeSet<&'static str>,
}

impl ApiServer {
    pub async fn start() -> ApiServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, state) = (listener.local_addr().unwrap(), Arc::<Mutex<State>>::default());
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, state.clone()));
        ApiServer { at, state, _serving: serving }
    }

    pub fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {}}],
            "clusters": [{"name": "s", "cluster": {"server": format!("http://{}", self.at)}}],
            "contexts": [{"name": "c", "context": {"cluster": "s", "user": "u", "namespace": "default"}}],
        })
        .to_string()
    }

    pub fn put(&self, path: &str, object: &Value) {
        self.state.lock().unwrap().write(path, object);
    }

    pub fn refuse(&self, path: &'static str) {
        self.state.lock().unwrap().refused.insert(path);
    }

    pub fn allow_all(&self) {
        self.state.lock().unwrap().refused.clear();
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(serve(stream, state.clone()));
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(answer(&state, request).await) }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(state: &Mutex<State>, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    let (code, text) = state.lock().unwrap().answer(&head.method, path, &body);
    let is_watch = code == StatusCode::OK && query.contains("watch=true");
    let body = if is_watch {
        StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>()).boxed_unsync()
    } else {
        Full::new(Bytes::from(text.to_string())).boxed_unsync()
    };
    let response = Response::builder().status(code).header("content-type", "application/json");
    response.body(body).unwrap()
}

impl State {
    fn answer(&mut self, method: &Method, path: &str, body: &Value) -> (StatusCode, Value) {
        if self.refused.contains(path) {
            return failure(StatusCode::FORBIDDEN, "Forbidden", "it is forbidden");
        }
        match *method {
            Method::GET => self.read(path),
            Method::POST => {
                let name = body["metadata"]["name"].as_str().unwrap_or("generated");
                (StatusCode::CREATED, self.write(&format!("{path}/{name}"), body))
            }
            Method::PUT => (StatusCode::OK, self.write(path, body)),
            Method::PATCH => (StatusCode::OK, self.patch(path, body)),
            _ => failure(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "never asked by the operator"),
        }
    }

    fn read(&self, path: &str) -> (StatusCode, Value) {
        if let Some(object) = self.objects.get(path) {
            return (StatusCode::OK, object.clone());
        }
        let (before, name) = path.rsplit_once('/').unwrap();
        if !LISTS.contains(&name) {
            return failure(StatusCode::NOT_FOUND, "NotFound", "there is none");
        }
        let is_of = |other: &String| {
            let kind = other.rsplit('/').nth(1);
            other.starts_with(before) && kind == Some(name)
        };
        let items: Vec<_> =
            self.objects.iter().filter(|(other, _)| is_of(other)).map(|(_, object)| object).collect();
        let metadata = json!({"resourceVersion": self.revision.to_string()});
        (StatusCode::OK, json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items}))
    }

    /// A patch is the whole object, or its status.
    fn patch(&mut self, path: &str, body: &Value) -> Value {
        let Some(path) = path.strip_suffix("/status") else { return self.write(path, body) };
        let mut object = self.objects[path].clone();
        object["status"] = body["status"].clone();
        self.write(path, &object)
    }

    fn write(&mut self, path: &str, object: &Value) -> Value {
        self.revision += 1;
        let mut object = object.clone();
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        self.objects.insert(path.to_owned(), object.clone());
        object
    }
}

fn failure(code: StatusCode, reason: &str, message: &str) -> (StatusCode, Value) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16(),
    });
    (code, status)
}
