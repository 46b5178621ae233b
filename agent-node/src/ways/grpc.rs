//! gRPC: the service `shoal.v1.Lanes`, with reflection and health.

mod deadline;
mod health;
mod links;
mod send_all;

use crate::{
    answer::{self, Text},
    done::Done,
    link::Rate,
    node::{Answer, Node, NodeStatus, Report, Request as Command, Status as NodeState},
    reads::{self, Charge},
    refusal::Refusal,
    ways::metrics::Metrics,
};
use axum::{Router, body::Body};
use bytes::Bytes;
use deadline::{Doubt, Limited};
use futures::{Stream, stream};
use http_body_util::BodyExt as _;
use hyper::header::HeaderValue;
use proto::value::BODY_MAX;
use proto::wire::v1::{self, lanes_server};
use std::{net::SocketAddr, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    task::yield_now,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, Streaming, service::Routes};
use tower::ServiceExt as _;

/// The most that one message of a client may be; a batch has room for several of the largest bodies.
const MESSAGE_MAX: usize = (1 << 20) + (64 << 10);
/// The most that one `Get` answers; what is larger can be watched or read over HTTP.
const STATE_MAX: usize = 64 << 20;
/// From a call's headers to those of its answer. A client that stops in the middle of its message is not kept.
const ANSWER_TIME: Duration = Duration::from_secs(30);

type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Where the node answers, for its status.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub client: SocketAddr,
    pub peer: SocketAddr,
    pub metrics: SocketAddr,
}

/// All services, for [`call`].
pub fn router(node: Node, metrics: Arc<Metrics>, addresses: Addresses, stop: CancellationToken) -> Router {
    let health = health::server(node.clone(), stop.clone());
    let lanes = lanes_server::LanesServer::new(Lanes { node, metrics, addresses, stop })
        .max_decoding_message_size(MESSAGE_MAX)
        .max_encoding_message_size(usize::MAX);
    let mut routes = Routes::builder();
    routes.add_service(lanes).add_service(health);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(v1::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Widely used clients know only the older version.
    match (reflection().build_v1(), reflection().build_v1alpha()) {
        (Ok(newer), Ok(older)) => {
            routes.add_service(newer).add_service(older);
        }
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "no reflection: the descriptors are broken");
        }
    }
    routes.routes().prepare().into_axum_router()
}

/// One call on the public port.
pub async fn call(
    router: Router,
    metrics: &Metrics,
    mut request: hyper::Request<Body>,
) -> hyper::Response<Body> {
    let (now, doubt) = (Instant::now(), Doubt::default());
    let until = match deadline::given(request.headers()) {
        Ok(time) => time.map(|time| now + time),
        Err(refusal) => return answer::status(&refusal).into_http(),
    };
    request.extensions_mut().insert(doubt.clone());
    let answer_until = until.map_or(now + ANSWER_TIME, |until| until.min(now + ANSWER_TIME));
    let Ok(answered) = timeout_at(answer_until, router.oneshot(request)).await else {
        let refusal = deadline::over(&doubt);
        if refusal.outcome_unknown {
            metrics.commands.unknown.inc();
        }
        return answer::status(&refusal).into_http();
    };
    let Ok(mut response) = answered;
    too_large_is_not_out_of_range(response.headers_mut());
    if let Some(charge) = response.extensions_mut().remove::<Arc<Charge>>() {
        response = response.map(|body| charged(body, charge));
    }
    match until {
        None => response,
        Some(until) => response.map(|body| Body::new(Limited::new(body, until, doubt))),
    }
}

/// All of a state in one message, which is what a call answers. Other work goes on between its pieces.
async fn whole(text: &mut Text, at: &str) -> Result<Bytes, Refusal> {
    let mut all = Vec::new();
    while text.write(&mut all) {
        if all.len() > STATE_MAX {
            let error = format!("the state is more than {STATE_MAX} bytes: watch it, or GET it over HTTP");
            return Err(Refusal::new(413, error, at));
        }
        // The library that sends it makes a copy.
        text.charge().holds(2 * all.len(), at)?;
        yield_now().await;
    }
    Ok(all.into())
}

/// The body of an answer, which is charged as long as the connection holds some of it.
fn charged(body: Body, charge: Arc<Charge>) -> Body {
    Body::new(body.map_frame(move |frame| frame.map_data(|bytes: Bytes| reads::piece(bytes, charge.clone()))))
}

/// The library says `OUT_OF_RANGE` of a message over the limit, which for us means that a command was done before.
fn too_large_is_not_out_of_range(headers: &mut hyper::HeaderMap) {
    let out_of_range = HeaderValue::from(Code::OutOfRange as i32);
    if headers.get("grpc-status") == Some(&out_of_range) && !headers.contains_key("shoal-code") {
        headers.insert("grpc-status", HeaderValue::from(Code::ResourceExhausted as i32));
        headers.insert("shoal-code", HeaderValue::from_static("413"));
    }
}

/// The same for what ends a stream of messages.
fn broken(status: Status) -> Status {
    if status.code() == Code::OutOfRange {
        let text = format!("a message is at most {MESSAGE_MAX} bytes");
        answer::status(&Refusal::new(413, text, "message"))
    } else {
        status
    }
}

fn stopping() -> Status {
    answer::status(&Refusal::unavailable("this node is stopping", ""))
}

struct Lanes {
    node: Node,
    metrics: Arc<Metrics>,
    addresses: Addresses,
    stop: CancellationToken,
}

#[tonic::async_trait]
impl lanes_server::Lanes for Lanes {
    async fn get(&self, request: Request<v1::GetRequest>) -> Result<Response<v1::GetResponse>, Status> {
        let v1::GetRequest { agent, lane, local, if_none_match } = request.into_inner();
        self.metrics.reads.inc();
        let came = Instant::now();
        let got = self.node.get(&agent, &lane, local, if_none_match).await;
        self.metrics.latency.grpc_read.observe(came.elapsed().as_micros() as u64);
        let Answer { charge, version, not_modified, body } =
            got.map_err(|refusal| answer::status(&refusal))?;
        if not_modified {
            return Ok(Response::new(v1::GetResponse { version, not_modified, body: Bytes::new() }));
        }
        let mut text = Text::of(body, charge);
        let body = whole(&mut text, &agent).await.map_err(|refusal| answer::status(&refusal))?;
        let mut response = Response::new(v1::GetResponse { version, not_modified, body });
        response.extensions_mut().insert(text.charge().clone());
        Ok(response)
    }

    async fn send(&self, request: Request<v1::SendRequest>) -> Result<Response<v1::SendResponse>, Status> {
        let (doubt, came) = (Doubt::of(&request), Instant::now());
        let v1::SendRequest { agent, lane, body, client, sequence } = request.into_inner();
        let done = match command(agent, lane, body, &client, sequence, client.is_empty() && sequence == 0) {
            Ok(command) => {
                doubt.is(true);
                self.node.send(command).await
            }
            Err(refusal) => Err(refusal),
        };
        doubt.is(false);
        self.metrics.commands.count(&done);
        self.metrics.latency.unary.observe(came.elapsed().as_micros() as u64);
        let Done { version, said } = done.map_err(|refusal| answer::status(&refusal))?;
        let (answer, answer_gone) = said.into_wire();
        Ok(Response::new(v1::SendResponse { version, answer, answer_gone }))
    }

    type SendAllStream = Messages<v1::SendAllResponse>;

    async fn send_all(
        &self,
        request: Request<Streaming<v1::SendAllRequest>>,
    ) -> Result<Response<Self::SendAllStream>, Status> {
        let (commands, doubt) = (self.node.commands(), Doubt::of(&request));
        let (incoming, metrics, stop) = (request.into_inner(), self.metrics.clone(), self.stop.clone());
        let source = send_all::Answers::new(commands, incoming, metrics, doubt, stop);
        Ok(messages(source))
    }

    type WatchStream = Messages<v1::WatchResponse>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let v1::WatchRequest { agent, lane, from, rate } = request.into_inner();
        let rate = rate.map(Rate::new).transpose().map_err(|refusal| answer::status(&refusal))?;
        let links = self.node.links();
        links.open(0, &agent, &lane, from, None);
        if let Some(rate) = rate {
            links.pace(0, rate);
        }
        let source = links::Watch::new(links, self.stop.clone());
        Ok(messages(source))
    }

    type LinksStream = Messages<v1::LinksResponse>;

    async fn links(
        &self,
        request: Request<Streaming<v1::LinksRequest>>,
    ) -> Result<Response<Self::LinksStream>, Status> {
        let links = self.node.links();
        let source = links::Many::new(links, request.into_inner(), self.stop.clone());
        Ok(messages(source))
    }

    async fn describe(
        &self,
        request: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        let lanes = self.node.lanes_of(&request.into_inner().agent);
        let lanes = lanes.map_err(|refusal| answer::status(&refusal))?.into_iter();
        let lanes = lanes.map(|(name, kind)| v1::LaneDescription { name, r#type: kind.to_string() });
        Ok(Response::new(v1::DescribeResponse { lanes: lanes.collect() }))
    }

    async fn status(&self, _: Request<v1::StatusRequest>) -> Result<Response<v1::StatusResponse>, Status> {
        Ok(Response::new(status(self.node.status(), self.addresses)))
    }
}

/// One call's answers. `next` may be dropped at any await and loses nothing.
trait Source: Send + 'static {
    type Message: Send + 'static;
    /// Waits for the next message; `None` ends the call well.
    fn next(&mut self) -> impl Future<Output = Result<Option<Self::Message>, Status>> + Send;
}

/// A stream that is moved on only when the client has taken what came before. An error is its last item.
fn messages<S: Source>(source: S) -> Response<Messages<S::Message>> {
    Response::new(Box::pin(stream::unfold(Some(source), |source| async {
        let mut source = source?;
        match source.next().await {
            Ok(Some(message)) => Some((Ok(message), Some(source))),
            Ok(None) => None,
            Err(status) => Some((Err(status), None)),
        }
    })))
}

/// A command as clients send it, checked as far as the lane need not be known.
fn command(
    agent: String,
    lane: String,
    body: Bytes,
    client: &str,
    sequence: u64,
    unkeyed: bool,
) -> Result<Command, Refusal> {
    if body.len() > BODY_MAX {
        return Err(Refusal::too_large());
    }
    let key = if unkeyed { None } else { Some(answer::key(client, sequence)?) };
    Ok(Command { agent, lane, body, key })
}

fn status(state: NodeState, addresses: Addresses) -> v1::StatusResponse {
    let NodeState { plan, report, agents, links, nodes } = state;
    let Report {
        plan_uid: _,
        ordinal,
        store,
        incarnation,
        revision,
        generation,
        slots_owned,
        slots_serving,
        had_ring: _,
        certificates: _,
        held: _,
        hints: _,
    } = report;
    let own = nodes.iter().find(|node| node.ordinal == ordinal).map_or("", |node| &node.peer_at);
    let Addresses { client, peer, metrics } = addresses;
    let [client_at, peer_at, metrics_at] = [client, peer, metrics].map(|at| reached_at(at, own));
    v1::StatusResponse {
        plan,
        ordinal: ordinal.into(),
        store,
        incarnation,
        revision,
        generation,
        slots_owned,
        slots_serving,
        agents,
        links,
        client_at,
        peer_at,
        metrics_at,
        nodes: nodes.into_iter().map(neighbour).collect(),
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

/// How others reach a port that answers on any address: by the host under which they know this node.
fn reached_at(listened: SocketAddr, own: &str) -> String {
    match own.rsplit_once(':') {
        Some((host, _)) if listened.ip().is_unspecified() => format!("{host}:{}", listened.port()),
        _ => listened.to_string(),
    }
}

fn neighbour(node: NodeStatus) -> v1::NodeStatus {
    let NodeStatus { ordinal, store, slots, reached, peer_at } = node;
    v1::NodeStatus { ordinal: ordinal.into(), store, slots, reached, peer_at }
}
