//! A client of `shoal.v1` that knows several nodes of a plan: it asks one at a time, and the next when that one fails.

pub mod retry;

use proto::shown::Failure;
use proto::wire::v1::lanes_client::LanesClient;
use proto::wire::v1::{
    DescribeRequest, DescribeResponse, GetRequest, GetResponse, SendRequest, SendResponse, StatusRequest,
    StatusResponse,
};
use proto::wire::{CONNECTION_WINDOW, STREAM_WINDOW};
use std::error::Error;
use std::time::Duration;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

const CONNECT: Duration = Duration::from_secs(2);
/// A node answers within 2 s, or says that it can't; a large state takes longer to come.
const ANSWER: Duration = Duration::from_secs(30);
/// A connection on which nothing comes is asked for a sign of life this often, and is lost when none comes.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(5);
/// The largest answer; a node gives states of up to 64 MiB.
const MESSAGE_MAX: usize = 80 << 20;

pub type Lanes = LanesClient<Channel>;

/// Connects to `HOST:PORT`.
pub async fn connect(at: &str) -> Result<Lanes, Failure> {
    let endpoint = Endpoint::from_shared(format!("http://{at}"));
    let endpoint = endpoint.map_err(|error| unreachable(at, &error))?;
    let endpoint = endpoint
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(SIGN_OF_LIFE)
        .keep_alive_timeout(SILENCE);
    // The library's own limit does not cover a host that takes the connection and says nothing.
    match timeout(2 * CONNECT, endpoint.connect()).await {
        Ok(Ok(channel)) => Ok(LanesClient::new(channel).max_decoding_message_size(MESSAGE_MAX)),
        Ok(Err(error)) => Err(unreachable(at, &error)),
        Err(_) => Err(Failure::unreachable(format!("{at} does not answer"))),
    }
}

/// The library's own text says only that something failed; the reason lies deeper.
fn unreachable(at: &str, error: &dyn Error) -> Failure {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    Failure::unreachable(format!("{at} can't be reached: {deepest}"))
}

/// Some nodes of one plan.
pub struct Client {
    addresses: Vec<String>,
    at: usize,
    lanes: Option<Lanes>,
}

impl Client {
    /// There is at least one address.
    pub fn new(addresses: Vec<String>) -> Client {
        Client { addresses, at: 0, lanes: None }
    }

    /// The node that is asked now.
    pub fn address(&self) -> &str {
        &self.addresses[self.at % self.addresses.len()]
    }

    /// A connection to the node that is asked now, or to the next one that can be reached.
    pub async fn lanes(&mut self) -> Result<Lanes, Failure> {
        let mut last = None;
        for _ in 0..self.addresses.len() {
            if let Some(lanes) = &self.lanes {
                return Ok(lanes.clone());
            }
            match connect(self.address()).await {
                Ok(lanes) => self.lanes = Some(lanes),
                Err(failure) => {
                    self.next();
                    last = Some(failure);
                }
            }
        }
        self.lanes.clone().ok_or_else(|| last.unwrap_or_else(|| Failure::unreachable("no address")))
    }

    /// The node that is asked now has failed: the next one is asked from now on.
    pub fn next(&mut self) {
        self.at += 1;
        self.lanes = None;
    }

    pub async fn get(&mut self, agent: &str, lane: &str) -> Result<GetResponse, Failure> {
        let request = GetRequest { agent: agent.into(), lane: lane.into(), ..GetRequest::default() };
        self.call(true, async |mut lanes| lanes.get(request.clone()).await).await
    }

    /// A command without a key: when it may have been done, it is not sent again.
    pub async fn send(&mut self, agent: &str, lane: &str, body: Vec<u8>) -> Result<SendResponse, Failure> {
        let body = body.into();
        let request = SendRequest { agent: agent.into(), lane: lane.into(), body, ..SendRequest::default() };
        self.call(false, async |mut lanes| lanes.send(request.clone()).await).await
    }

    pub async fn describe(&mut self, agent: &str) -> Result<DescribeResponse, Failure> {
        let request = DescribeRequest { agent: agent.into() };
        self.call(true, async |mut lanes| lanes.describe(request.clone()).await).await
    }

    pub async fn status(&mut self) -> Result<StatusResponse, Failure> {
        self.call(true, async |mut lanes| lanes.status(StatusRequest {}).await).await
    }

    /// Asks each node once, until one answers something final.
    async fn call<T>(
        &mut self,
        is_read: bool,
        ask: impl AsyncFn(Lanes) -> Result<Response<T>, Status>,
    ) -> Result<T, Failure> {
        let mut tried = 0;
        loop {
            let lanes = self.lanes().await?;
            let answer = timeout(ANSWER, ask(lanes)).await;
            let mut failure = match answer {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => Failure::of(self.address(), &status),
                Err(_) => silent(self.address()),
            };
            failure.outcome_unknown &= !is_read;
            tried += 1;
            let again = failure.may_pass() && !failure.outcome_unknown;
            if !again || tried >= self.addresses.len() {
                return Err(failure);
            }
            self.next();
        }
    }
}

fn silent(at: &str) -> Failure {
    let text = format!("{at} does not answer within {} s", ANSWER.as_secs());
    Failure { outcome_unknown: true, ..Failure::unreachable(text) }
}
