//! An API server in memory, for tests: a function answers each request.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;

/// A request.
pub struct Asked {
    pub method: Method,
    pub path: String,
    /// The manager of the fields that are written.
    pub manager: String,
    pub is_apply: bool,
    pub body: Value,
}

/// A client whose requests are answered by a function.
pub fn client(answer: impl Fn(&Asked) -> (StatusCode, Value) + Send + Sync + 'static) -> Client {
    let answer = Arc::new(answer);
    let service = tower::service_fn(move |request: Request<Body>| {
        let answer = answer.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let manager = head.uri.query().unwrap_or_default().split('&');
            let manager = manager.filter_map(|pair| pair.strip_prefix("fieldManager=")).collect();
            let kind = head.headers.get("content-type").and_then(|kind| kind.to_str().ok());
            let (code, answer) = answer(&Asked {
                path: head.uri.path().to_owned(),
                manager,
                is_apply: kind.is_some_and(|kind| kind.contains("apply-patch")),
                body: serde_json::from_slice(&body).unwrap_or_default(),
                method: head.method,
            });
            let answer = Full::new(Bytes::from(answer.to_string()));
            Ok::<_, Infallible>(Response::builder().status(code).body(answer).unwrap())
        }
    });
    Client::new(service, "default")
}

/// What the API server says when it does not do what is asked.
pub fn failure(code: StatusCode, message: &str) -> (StatusCode, Value) {
    let reason = match code {
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        StatusCode::FORBIDDEN => "Forbidden",
        StatusCode::GATEWAY_TIMEOUT => "Timeout",
        _ => "MethodNotAllowed",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16(),
    });
    (code, status)
}
