//! HTTP: `GET` and `POST` on addresses. The address is the path as it came; the node makes its normal form.

pub mod call;
mod event_text;
mod events;

use crate::{
    answer::{self, Text},
    connections,
    node::{Node, Request},
    refusal::Refusal,
    ways::metrics::Metrics,
};
use axum::body::Body;
use bytes::Bytes;
use call::{Call, Known};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::{
    Method, Response, StatusCode,
    body::Body as _,
    header::{self, HeaderValue},
};
use proto::value::BODY_MAX;
use std::{
    convert::Infallible,
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// For all of a body; a connection that stops in the middle of one is not kept.
const BODY_TIME: Duration = Duration::from_secs(10);

pub const ALL: &str = "GET, HEAD, POST";
const READS: &str = "GET, HEAD";

/// Answers one request. Event streams go on until `stop`.
pub async fn answer<B>(
    node: &Node,
    metrics: &Metrics,
    stop: CancellationToken,
    request: hyper::Request<B>,
) -> Response<Body>
where
    B: hyper::body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    let agent = head.uri.path();
    match Call::parse(&head.method, &head.uri, &head.headers) {
        Ok(Call::Get { lane, local, known }) => {
            let response = get(node, metrics, agent, &lane, local, &known).await;
            to_read(&head.method, response)
        }
        Ok(Call::Events(wanted)) => {
            let untaken = head.extensions.get::<connections::Untaken>().cloned();
            let begun = events::answer(node.links(), agent, &wanted, untaken, stop);
            to_read(&head.method, begun.unwrap_or_else(|refusal| refused(&refusal, READS)))
        }
        Ok(Call::Post { lane, key }) => post(node, metrics, agent, lane, key, body).await,
        Err(call::Error::NoLane) => refused(&no_lane(node, agent), ALL),
        Err(call::Error::Method) => refused(&Refusal::new(405, "an address takes GET and POST", agent), ALL),
        Err(call::Error::Refused(refusal)) => refused(&refusal, ALL),
    }
}

/// What a browser is told that asks in the name of a page of another host what that may ask.
pub fn what_pages_may_ask() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, ALL),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "content-type, if-none-match, last-event-id, shoal-client, shoal-sequence",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The answer with what a browser needs to hand it to a page of that origin, where one of another host has asked.
pub fn for_page(origin: Option<HeaderValue>, mut response: Response<Body>) -> Response<Body> {
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("etag, retry-after"));
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    response
}

/// There is no WebSocket here so far.
pub fn no_socket() -> Response<Body> {
    let text = "no WebSocket here: watch by an event stream (GET with Accept: text/event-stream), by gRPC \
                (shoal.v1.Lanes/Watch) or by `agent-node watch`";
    refused(&Refusal::not_found(text, "upgrade"), ALL)
}

async fn get(
    node: &Node,
    metrics: &Metrics,
    agent: &str,
    lane: &str,
    local: bool,
    known: &Known,
) -> Response<Body> {
    metrics.reads.inc();
    let came = Instant::now();
    let got = node.get(agent, lane, local, known.single()).await;
    metrics.latency.http_read.observe(came.elapsed().as_micros() as u64);
    let got = match got {
        Ok(got) => got,
        Err(refusal) => return refused(&refusal, READS),
    };
    let same = got.not_modified || known.has(got.version);
    let mut response = if same { Response::new(Body::empty()) } else { text(Text::of(got.body, got.charge)) };
    if same {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", got.version)) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

async fn post<B>(
    node: &Node,
    metrics: &Metrics,
    agent: &str,
    lane: String,
    key: Option<(Arc<str>, u64)>,
    body: B,
) -> Response<Body>
where
    B: hyper::body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let body = match read(body).await {
        Ok(body) => body,
        Err(refusal) => return refused(&refusal, READS),
    };
    let came = Instant::now();
    let done = node.send(Request { agent: agent.to_owned(), lane, body, key }).await;
    metrics.commands.count(&done);
    metrics.latency.http.observe(came.elapsed().as_micros() as u64);
    match done {
        Ok(done) => json(StatusCode::OK, answer::done_json(&done).into()),
        Err(refusal) => refused(&refusal, READS),
    }
}

async fn read<B>(body: B) -> Result<Bytes, Refusal>
where
    B: hyper::body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let large = Refusal::too_large;
    if body.size_hint().lower() > BODY_MAX as u64 {
        return Err(large());
    }
    match timeout(BODY_TIME, Limited::new(body, BODY_MAX).collect()).await {
        Ok(Ok(all)) => Ok(all.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(large()),
        Ok(Err(error)) => match error.downcast::<connections::BodyError>().map(|error| *error) {
            Ok(connections::BodyError::Refused(refusal)) => Err(refusal),
            _ => Err(Refusal::bad("the body did not arrive completely", "body")),
        },
        Err(_) => {
            let text = format!("the body did not arrive completely within {} s", BODY_TIME.as_secs());
            Err(Refusal::new(408, text, "body"))
        }
    }
}

fn no_lane(node: &Node, agent: &str) -> Refusal {
    match node.lanes_of(agent) {
        Ok(lanes) => {
            let lanes: Vec<String> = lanes.iter().map(|(name, kind)| format!("{name} ({kind})")).collect();
            Refusal::bad(format!("say which lane, ?lane=NAME, of {}", lanes.join(", ")), agent)
        }
        Err(refusal) => refusal,
    }
}

pub fn refused(refusal: &Refusal, allow: &'static str) -> Response<Body> {
    let code = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(code, answer::refusal_json(refusal).into());
    if code == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    if matches!(refusal.code, 429 | 503) {
        response.headers_mut().insert(header::RETRY_AFTER, refusal.retry_after_s.into());
    }
    response
}

/// One piece goes with its length, more go as they are written.
fn text(mut text: Text) -> Response<Body> {
    let (first, second) = (text.next().unwrap_or_default(), text.next());
    if let Some(second) = second {
        let pieces = [first, second].into_iter().chain(text).map(Ok::<_, Infallible>);
        json(StatusCode::OK, Body::from_stream(futures::stream::iter(pieces)))
    } else {
        json(StatusCode::OK, first.into())
    }
}

fn json(code: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer to `GET` or `HEAD`. A lane is given as state or as events, as the request's `Accept` says.
fn to_read(method: &Method, mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    if *method == Method::HEAD { bodiless(response) } else { response }
}

fn bodiless(response: Response<Body>) -> Response<Body> {
    let length = response.body().size_hint().exact();
    let has_body = response.status() != StatusCode::NOT_MODIFIED;
    let mut response = response.map(|_| Body::empty());
    if let Some(length) = length
        && has_body
    {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    response
}
