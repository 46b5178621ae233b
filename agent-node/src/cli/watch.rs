//! `watch`: what happens on a lane, over however many connections.

use super::calls::LaneAddress;
use super::out;
use super::patience::{After, Patience};
use crate::cli::client::{Client, Lanes};
use proto::shown::{Exit, Failure, Following};
use proto::wire::v1::WatchRequest;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

const OPEN: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub lane: LaneAddress,
    pub from: Option<u64>,
    pub count: Option<u64>,
    pub rate: Option<u32>,
}

/// Until as many events were shown as are wanted, or nobody reads them any more. What can pass is tried again, at
/// another node: once one was reached, for as long as the program runs.
pub async fn run(config: Config) -> Exit {
    let Config { lane: LaneAddress { at, output, agent, lane }, from, count, rate } = config;
    let mut following = Following::new(output, from, count);
    let (mut nodes, mut patience, begun) = (Client::new(at), Patience::new(None), Instant::now());
    while !following.is_done() {
        let failure = match nodes.lanes().await {
            Ok(lanes) => {
                let (agent, lane, from) = (agent.clone(), lane.clone(), following.from);
                let request = WatchRequest { agent, lane, from, rate };
                match follow(nodes.address(), lanes, request, &mut following).await {
                    Told::All => return Exit::Done,
                    Told::Some(failure) => {
                        patience.reached();
                        patience.succeeded();
                        failure
                    }
                    Told::Nothing(failure) => failure,
                }
            }
            Err(failure) => failure,
        };
        match patience.lost(failure, begun.elapsed()) {
            After::GiveUp(failure) => return out::failed(output, &failure),
            After::Again { pause, elsewhere: _, say } => {
                if let Some(what) = say {
                    out::note(&what);
                }
                nodes.next();
                sleep(pause).await;
            }
        }
    }
    Exit::Done
}

/// What one connection has told.
enum Told {
    /// All that was wanted.
    All,
    Some(Failure),
    Nothing(Failure),
}

async fn follow(at: &str, mut lanes: Lanes, request: WatchRequest, following: &mut Following) -> Told {
    let mut events = match timeout(OPEN, lanes.watch(request)).await {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => return Told::Nothing(Failure::of_read(at, &status)),
        Err(_) => {
            let text = format!("{at} does not answer within {} s", OPEN.as_secs());
            return Told::Nothing(Failure::unreachable(text));
        }
    };
    let mut told = false;
    loop {
        let failure = match events.message().await {
            Ok(Some(response)) => {
                told = true;
                let read = following.lines_of(&response).iter().all(|line| out::answer(line));
                if !read || following.is_done() {
                    return Told::All;
                }
                continue;
            }
            Ok(None) => Failure::unreachable(format!("{at} has ended the stream")),
            Err(status) => Failure::of_read(at, &status),
        };
        return if told { Told::Some(failure) } else { Told::Nothing(failure) };
    }
}
