//! Clients that read: over HTTP and gRPC, from the owner and from mirrors.

use super::http;
use super::observer::{Observer, Seat, THINGS};
use crate::cluster::client;
use anyhow::{Context as _, Result};
use checker::{Final, Lane, State};
use http_body_util::Full;
use hyper::Request;
use proto::wire::v1::GetRequest;
use rand::Rng as _;
use rand::seq::IteratorRandom as _;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often each asks.
const PACE: Duration = Duration::from_millis(30);
/// An answer that comes later is none.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads until the run ends.
pub async fn run(mut seat: Seat) {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !seat.observer.is_ending() {
        pace.tick().await;
        let address = seat.address();
        let lane = seat.observer.lanes_with_state().choose(&mut seat.random).expect("a lane");
        let (by_http, local) = (seat.random.random(), seat.random.random_range(0..4) == 0);
        let (agent, name) = seat.observer.named(lane);
        let read = seat.observer.note(|history| history.asked(lane, local));
        let answer = async {
            if by_http {
                by_get(&address, &agent, name, local).await
            } else {
                by_grpc(&address, &agent, name, local).await
            }
        };
        if let Ok(Ok((version, body))) = timeout(PATIENCE, answer).await {
            seat.observer.note(|history| history.got(read, version, state(body)));
        }
    }
}

async fn by_get(address: &str, agent: &str, lane: &str, local: bool) -> Result<(u64, Value)> {
    let mut sender = http::connect(address).await.context("no connection")?;
    let local = if local { "&read=local" } else { "" };
    let request = Request::get(format!("{agent}?lane={lane}{local}")).header("host", "localhost");
    let answer = http::ask(&mut sender, request.body(Full::default())?).await?;
    anyhow::ensure!(answer.code == 200, "{answer:?}");
    Ok((answer.version.context("a version")?, answer.body))
}

async fn by_grpc(address: &str, agent: &str, lane: &str, local: bool) -> Result<(u64, Value)> {
    let request = GetRequest { agent: agent.into(), lane: lane.into(), local, ..GetRequest::default() };
    let answer = client(address).await?.get(request).await?.into_inner();
    Ok((answer.version, serde_json::from_slice(&answer.body)?))
}

/// A Map is an object: all its keys here are texts. No Value here is one.
fn state(body: Value) -> State {
    match body {
        Value::Object(entries) => {
            let entries = entries.into_iter();
            State::Map(
                entries.map(|(key, value)| (Value::String(key).to_string(), value.to_string())).collect(),
            )
        }
        value => State::Value(value.to_string()),
    }
}

/// Whether the last messages have all come, and the last timers have fired: those before them are due before them.
pub async fn messages_have_come(observer: &Observer, address: &str) -> bool {
    for (lane, due) in (0..THINGS).flat_map(|thing| observer.last_keys(thing)) {
        let (agent, name) = observer.named(lane);
        let Ok((_, Value::Object(entries))) = by_grpc(address, &agent, name, false).await else {
            return false;
        };
        if !due.iter().all(|item| entries.contains_key(item.trim_matches('"'))) {
            return false;
        }
    }
    true
}

/// The state of each lane, as one node gives it.
pub async fn finals(observer: &Observer, address: &str) -> Result<Vec<Final>> {
    let mut finals = Vec::new();
    let lanes: Vec<Lane> = observer.lanes_with_state().collect();
    for lane in lanes {
        let (agent, name) = observer.named(lane);
        let (version, body) = timeout(PATIENCE, by_grpc(address, &agent, name, false)).await??;
        finals.push(Final { lane, version, state: state(body) });
    }
    Ok(finals)
}
