//! The commands that ask once: `send`, `get`, `status`.

use super::out;
use crate::cli::client::Client;
use proto::shown::{self, Exit, Output};
use proto::wire::v1::LaneDescription;
use std::io::Read as _;

/// One lane of one agent, and where to ask for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneAddress {
    pub at: Vec<String>,
    pub output: Output,
    pub agent: String,
    pub lane: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Json(Vec<u8>),
    Stdin,
}

pub async fn send(lane: LaneAddress, body: Body) -> Exit {
    let LaneAddress { at, output, agent, lane } = lane;
    let body = match body {
        Body::Json(body) => body,
        Body::Stdin => match from_stdin() {
            Ok(body) => body,
            Err(error) => return out::wrong(output, error),
        },
    };
    match Client::new(at).send(&agent, &lane, body).await {
        Ok(response) => said(&shown::sent(output, &response)),
        Err(failure) => out::failed(output, &failure),
    }
}

fn from_stdin() -> Result<Vec<u8>, String> {
    let mut text = String::new();
    let read = std::io::stdin().lock().read_to_string(&mut text);
    read.map_err(|error| format!("standard input can't be read: {error}"))?;
    shown::body(&text).map_err(|error| error.to_string())
}

pub async fn get(lane: LaneAddress) -> Exit {
    let LaneAddress { at, output, agent, lane } = lane;
    match Client::new(at).get(&agent, &lane).await {
        Ok(response) => said(&shown::got(output, response.version, &response.body)),
        Err(failure) => out::failed(output, &failure),
    }
}

/// All lanes of an agent, each state as it is when it is asked for.
pub async fn get_all(at: Vec<String>, output: Output, agent: &str) -> Exit {
    let mut client = Client::new(at);
    let lanes = match client.describe(agent).await {
        Ok(described) => described.lanes,
        Err(failure) => return out::failed(output, &failure),
    };
    let mut shown = Vec::new();
    for LaneDescription { name, r#type } in lanes {
        let mut state = None;
        if shown::has_state(&r#type) {
            match client.get(agent, &name).await {
                Ok(got) => state = Some((got.version, got.body)),
                Err(failure) => return out::failed(output, &failure),
            }
        }
        shown.push(shown::Lane { name, kind: r#type, state });
    }
    shown::lanes(output, &shown).iter().all(|line| out::answer(line));
    Exit::Done
}

/// Asks each of them.
pub async fn status(at: Vec<String>, output: Output) -> Exit {
    let mut exit = Exit::Done;
    for address in at {
        match Client::new(vec![address]).status().await {
            Ok(response) => _ = said(&shown::status(output, &response)),
            Err(failure) => exit = out::failed(output, &failure),
        }
    }
    exit
}

/// Who stops reading has seen enough.
fn said(line: &str) -> Exit {
    out::answer(line);
    Exit::Done
}
