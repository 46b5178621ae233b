//! Clients that write: over HTTP, `Send` and `SendAll`, with keys and without. Who has a key sends again, to any node,
//! until the write is done; who has none sends once.

use super::http;
use super::observer::{Asked, Observer, Seat};
use crate::cluster::{Client, client};
use checker::{End, Lane, Op};
use http_body_util::Full;
use hyper::Request;
use proto::wire::v1::{Command, Refusal, SendAllRequest, SendAllResponse, SendRequest};
use rand::Rng as _;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// How often each sends, at most.
const PACE: Duration = Duration::from_millis(20);
/// An answer that comes later is none: what became of the write is not known.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many writes of one stream are not answered, at most.
const IN_FLIGHT: usize = 16;
/// One in so many times as many as may be are sent at once.
const BURST: u32 = 8;
/// One in so many writes that are done is sent again.
const REPEATED: u32 = 6;
/// How many later ones there are by then, at most.
const REMEMBERED: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Http,
    Send,
    SendAll,
}

pub const WAYS: &[Way] = &[Way::Http, Way::Send, Way::SendAll];

/// Client and sequence.
type Key = (String, u64);

/// Writes until the run ends and all that has a key is done.
pub async fn run(seat: Seat, way: Way, client: Option<String>) {
    if way == Way::SendAll {
        let stream = Stream { seat, client, sequence: 0, next: 0, unanswered: VecDeque::new() };
        return stream.run().await;
    }
    one_by_one(seat, way, client).await;
}

fn pace() -> Interval {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

async fn one_by_one(mut seat: Seat, way: Way, client: Option<String>) {
    let mut pace = pace();
    let mut done: VecDeque<(Op, Asked, Key)> = VecDeque::new();
    for sequence in 1.. {
        if seat.observer.is_ending() {
            return;
        }
        pace.tick().await;
        let mut asked = seat.observer.any_write(&mut seat.random);
        let key = client.clone().map(|client| (client, sequence));
        if let Some((client, sequence)) = &key {
            asked.write = asked.write.keyed(client, *sequence);
        }
        let op = seat.observer.note(|history| history.sent(asked.write.clone()));
        until_done(&mut seat, way, &mut pace, op, &asked, key.as_ref()).await;
        let Some(key) = key else { continue };
        done.push_back((op, asked, key));
        if seat.random.random_range(0..REPEATED) == 0 {
            let (op, asked, key) = &done[seat.random.random_range(0..done.len())];
            seat.observer.note(|history| history.again(*op));
            until_done(&mut seat, way, &mut pace, *op, asked, Some(key)).await;
        }
        if done.len() > REMEMBERED {
            done.pop_front();
        }
    }
}

async fn until_done(
    seat: &mut Seat,
    way: Way,
    pace: &mut Interval,
    op: Op,
    asked: &Asked,
    key: Option<&Key>,
) {
    loop {
        let end = attempt(&seat.address(), way, asked, key).await;
        seat.observer.note(|history| history.ended(op, end));
        if key.is_none() || !matches!(end, End::NotDone | End::Unknown) {
            return;
        }
        pace.tick().await;
        seat.observer.note(|history| history.again(op));
    }
}

/// One write that changes this lane, over an open connection. True: it is done.
pub async fn change(observer: &Observer, client: &mut Client, lane: Lane) -> bool {
    let asked = observer.write_to(lane);
    let op = observer.note(|history| history.sent(asked.write.clone()));
    let end = timeout(PATIENCE, send(client, &asked, None)).await.unwrap_or(End::Unknown);
    observer.note(|history| history.ended(op, end));
    matches!(end, End::Done(_))
}

/// One client with a name, which asks one node after the other.
pub struct Keyed {
    client: String,
    addresses: Vec<String>,
    sequence: u64,
}

impl Keyed {
    pub fn new(client: &str, addresses: &[String]) -> Keyed {
        Keyed { client: client.into(), addresses: addresses.to_vec(), sequence: 0 }
    }

    pub async fn through(&mut self, observer: &Observer, asked: Asked) {
        self.sequence += 1;
        let key = (self.client.clone(), self.sequence);
        let op =
            observer.note(|history| history.sent(asked.write.clone().keyed(&self.client, self.sequence)));
        let mut pace = pace();
        for address in self.addresses.iter().cycle() {
            let end = attempt(address, Way::Send, &asked, Some(&key)).await;
            observer.note(|history| history.ended(op, end));
            if !matches!(end, End::NotDone | End::Unknown) {
                return;
            }
            pace.tick().await;
            observer.note(|history| history.again(op));
        }
    }
}

async fn attempt(address: &str, way: Way, asked: &Asked, key: Option<&Key>) -> End {
    let end = async {
        match way {
            Way::Http => by_post(address, asked, key).await,
            Way::Send | Way::SendAll => by_send(address, asked, key).await,
        }
    };
    timeout(PATIENCE, end).await.unwrap_or(End::Unknown)
}

async fn by_post(address: &str, asked: &Asked, key: Option<&Key>) -> End {
    let Some(mut sender) = http::connect(address).await else { return End::NotDone };
    let mut request = Request::post(format!("{}?lane={}", asked.agent, asked.lane))
        .header("host", "localhost")
        .header("content-type", "application/json");
    if let Some((client, sequence)) = key {
        request = request.header("shoal-client", client).header("shoal-sequence", *sequence);
    }
    let request = request.body(Full::from(asked.body.clone())).expect("a request");
    let Ok(answer) = http::ask(&mut sender, request).await else { return End::Unknown };
    match answer.body["version"].as_u64() {
        Some(version) if answer.code == 200 => End::Done(version),
        _ => refused(answer.code.into(), answer.body["outcome"] == "unknown"),
    }
}

async fn by_send(address: &str, asked: &Asked, key: Option<&Key>) -> End {
    let Ok(mut client) = client(address).await else { return End::NotDone };
    send(&mut client, asked, key).await
}

async fn send(client: &mut Client, asked: &Asked, key: Option<&Key>) -> End {
    let (name, sequence) = key.cloned().unwrap_or_default();
    let request = SendRequest {
        agent: asked.agent.clone(),
        lane: asked.lane.into(),
        body: asked.body.clone().into(),
        client: name,
        sequence,
    };
    match client.send(request).await {
        Ok(answer) => End::Done(answer.into_inner().version),
        Err(status) => {
            let text = |name: &str| status.metadata().get(name).and_then(|value| value.to_str().ok());
            let code = text("shoal-code").and_then(|code| code.parse().ok());
            // Without a code the answer is no node's: the connection broke.
            code.map_or(End::Unknown, |code| refused(code, text("shoal-outcome") == Some("unknown")))
        }
    }
}

/// What a code of HTTP says of the write.
fn refused(code: u32, outcome_unknown: bool) -> End {
    match code {
        _ if outcome_unknown => End::Unknown,
        408 | 429 | 503 => End::NotDone,
        409 => End::DoneBefore,
        _ => End::Refused,
    }
}

/// A client of `SendAll`.
struct Stream {
    seat: Seat,
    client: Option<String>,
    sequence: u64,
    next: u64,
    /// In the order in which they were sent.
    unanswered: VecDeque<Unanswered>,
}

struct Unanswered {
    id: u64,
    op: Op,
    sequence: u64,
    asked: Asked,
    /// It was sent on this stream, and has no answer.
    is_open: bool,
}

impl Stream {
    async fn run(mut self) {
        let mut pace = pace();
        while !self.seat.observer.is_ending() || !self.unanswered.is_empty() {
            pace.tick().await;
            let Ok(mut client) = client(&self.seat.address()).await else { continue };
            let (sender, receiver) = mpsc::channel(2 * IN_FLIGHT);
            self.send_again(&sender);
            let answers = timeout(PATIENCE, client.send_all(ReceiverStream::new(receiver))).await;
            if let Ok(Ok(answers)) = answers {
                self.follow(sender, answers.into_inner(), &mut pace).await;
            }
            self.stream_is_over();
        }
    }

    /// From the oldest one on, in order.
    fn send_again(&mut self, sender: &mpsc::Sender<SendAllRequest>) {
        for at in 0..self.unanswered.len() {
            let op = self.unanswered[at].op;
            self.seat.observer.note(|history| history.again(op));
            self.unanswered[at].is_open = true;
            let request = self.request(at);
            sender.try_send(request).expect("there is room for all in flight");
        }
    }

    fn request(&self, at: usize) -> SendAllRequest {
        let Unanswered { id, sequence, asked, .. } = &self.unanswered[at];
        let command = Command {
            id: *id,
            agent: asked.agent.clone(),
            lane: asked.lane.into(),
            body: asked.body.clone().into(),
            sequence: *sequence,
        };
        SendAllRequest { client: self.client.clone().unwrap_or_default(), commands: vec![command] }
    }

    /// Goes on until the stream breaks, or something was not admitted: then all that follows it is not, either.
    async fn follow(
        &mut self,
        sender: mpsc::Sender<SendAllRequest>,
        mut answers: Streaming<SendAllResponse>,
        pace: &mut Interval,
    ) {
        let mut goes_on = true;
        loop {
            let may_send = goes_on && !self.seat.observer.is_ending();
            if !may_send && !self.unanswered.iter().any(|unanswered| unanswered.is_open) {
                return;
            }
            tokio::select! {
                message = timeout(PATIENCE, answers.message()) => {
                    let Ok(Ok(Some(message))) = message else { return };
                    for answer in message.answers {
                        goes_on &= self.answered(answer.id, answer.version, answer.refusal);
                    }
                }
                _ = pace.tick(), if may_send && self.unanswered.len() < IN_FLIGHT => {
                    let is_burst = self.seat.random.random_range(0..BURST) == 0;
                    let count = if is_burst { IN_FLIGHT - self.unanswered.len() } else { 1 };
                    if (0..count).any(|_| sender.try_send(self.send()).is_err()) {
                        return;
                    }
                }
            }
        }
    }

    fn send(&mut self) -> SendAllRequest {
        let mut asked = self.seat.observer.any_write(&mut self.seat.random);
        let mut sequence = 0;
        if let Some(client) = &self.client {
            self.sequence += 1;
            sequence = self.sequence;
            asked.write = asked.write.keyed(client, sequence);
        }
        let op = self.seat.observer.note(|history| history.sent(asked.write.clone()));
        self.next += 1;
        self.unanswered.push_back(Unanswered { id: self.next, op, sequence, asked, is_open: true });
        self.request(self.unanswered.len() - 1)
    }

    /// False: it was not admitted.
    fn answered(&mut self, id: u64, version: u64, refusal: Option<Refusal>) -> bool {
        let Some(at) = self.unanswered.iter().position(|unanswered| unanswered.id == id) else { return true };
        let end =
            refusal.map_or(End::Done(version), |refusal| refused(refusal.code, refusal.outcome_unknown));
        let op = self.unanswered[at].op;
        self.seat.observer.note(|history| history.ended(op, end));
        self.unanswered[at].is_open = false;
        let is_over = !matches!(end, End::NotDone | End::Unknown);
        if is_over || self.client.is_none() {
            self.unanswered.remove(at);
        }
        is_over
    }

    /// Nothing more is answered on it.
    fn stream_is_over(&mut self) {
        for unanswered in self.unanswered.iter_mut().filter(|unanswered| unanswered.is_open) {
            unanswered.is_open = false;
            let op = unanswered.op;
            self.seat.observer.note(|history| history.ended(op, End::Unknown));
        }
        if self.client.is_none() {
            self.unanswered.clear();
        }
    }
}
