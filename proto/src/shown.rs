//! What the command lines take and show: one form for `agent-node` and `kubectl shoal`.
//!
//! *Guarantees*: with `Output::Json` every line is one JSON object; nothing here waits, prints or ends the program.

mod check;
mod failure;
mod lanes;
mod log;
#[cfg(test)]
mod tests;

pub use check::{check, checked};
pub use failure::Failure;
pub use lanes::{Lane, has_state, lanes};
pub use log::log_filter;

use crate::address::{self, Address};
use crate::json;
use crate::wire::v1::{Event, EventKind, SendResponse, StatusResponse, WatchResponse};
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// Where a program's answers go: to people or to programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

impl FromStr for Output {
    type Err = Error;

    fn from_str(text: &str) -> Result<Output, Error> {
        match text {
            "text" => Ok(Output::Text),
            "json" => Ok(Output::Json),
            _ => Err(Error("`text` or `json`".into())),
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Output::Text => "text",
            Output::Json => "json",
        })
    }
}

/// How a program ends; of several ends, the last of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    Refused = 1,
    Usage = 2,
    Unreachable = 3,
}

/// An agent, and where to ask if its text says so: `/airport/JFK` or `http://localhost:7777/airport/JFK`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub at: Option<String>,
    pub agent: Address,
}

impl FromStr for Target {
    type Err = address::Error;

    fn from_str(text: &str) -> Result<Target, address::Error> {
        let agent = Address::parse(text)?;
        let at = match text.split_once("://") {
            _ if text.starts_with('/') => None,
            Some(("http", rest)) => rest.split('/').next().filter(|at| !at.is_empty()).map(str::to_owned),
            _ => return Err(address::Error(format!("`{text}` begins neither with `/` nor with `http://`"))),
        };
        Ok(Target { at, agent })
    }
}

/// The body of a command: one JSON value, as it was written.
pub fn body(text: &str) -> Result<Vec<u8>, Error> {
    let text = text.trim();
    match json::parse(text.as_bytes()) {
        Ok(_) => Ok(text.as_bytes().to_vec()),
        Err(_) if is_word(text) => {
            let how = format!("to send it as a string, write '\"{text}\"', including both kinds of quotes");
            Err(Error(format!("`{text}` is not JSON: {how}")))
        }
        Err(json::Error { at, error }) => Err(Error(format!("no JSON: {error}, at byte {at}"))),
    }
}

fn is_word(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "-_./: ".contains(c);
    !text.is_empty() && text.chars().all(plain) && text.chars().any(char::is_alphabetic)
}

/// A lane's state.
pub fn got(output: Output, version: u64, body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    match output {
        Output::Text => body.into_owned(),
        Output::Json => format!(r#"{{"version":{version},"value":{body}}}"#),
    }
}

/// What was taken, and what the rules answered.
pub fn sent(output: Output, SendResponse { version, answer, answer_gone }: &SendResponse) -> String {
    let answer = String::from_utf8_lossy(answer);
    match output {
        Output::Text if *answer_gone => {
            format!("done, version {version}; what was answered is not kept any more")
        }
        Output::Text if answer.is_empty() => format!("done, version {version}"),
        Output::Text => format!("done, version {version}, answer {answer}"),
        Output::Json if *answer_gone => format!(r#"{{"version":{version},"answerGone":true}}"#),
        Output::Json if answer.is_empty() => format!(r#"{{"version":{version}}}"#),
        Output::Json => format!(r#"{{"version":{version},"answer":{answer}}}"#),
    }
}

/// How far a watch has come, over however many connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Following {
    output: Output,
    /// The last token: where the next connection goes on. `0` when events were shown, or `reset` was, and none had a token
    /// since: what they said may no longer hold, so the next connection has to begin with `reset`.
    pub from: Option<u64>,
    /// Events still to be shown.
    left: Option<u64>,
}

impl Following {
    pub fn new(output: Output, from: Option<u64>, count: Option<u64>) -> Following {
        Following { output, from, left: count }
    }

    /// Nothing more is wanted.
    pub fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    /// The lines to show.
    pub fn lines_of(&mut self, response: &WatchResponse) -> Vec<String> {
        let mut lines = Vec::new();
        for event in &response.events {
            if self.is_done() {
                break;
            }
            self.left = self.left.map(|left| left - 1);
            // What a token before `reset` stands for has been dropped.
            let before = self.from.filter(|_| event.kind() != EventKind::Reset);
            self.from = event.id.or(before).or(Some(0));
            lines.push(told(self.output, event));
        }
        lines
    }
}

fn told(output: Output, event: &Event) -> String {
    let name = event_name(event.kind());
    match output {
        Output::Json => {
            let id = event.id.map_or("null".into(), |id| id.to_string());
            format!(r#"{{"event":"{name}","data":{},"id":{id}}}"#, event_data(event))
        }
        Output::Text => {
            let data = event_text(event);
            let id = event.id.map(|id| format!("  @{id}")).unwrap_or_default();
            format!("{name}{}{data}{id}", if data.is_empty() { "" } else { " " })
        }
    }
}

fn event_name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Set => "set",
        EventKind::Update => "update",
        EventKind::Remove => "remove",
        EventKind::Clear => "clear",
        EventKind::Event => "event",
        EventKind::Synced => "synced",
        EventKind::Reset => "reset",
        EventKind::Gap => "gap",
        EventKind::Stale => "stale",
        EventKind::Unspecified => "unknown",
    }
}

fn event_data(event: &Event) -> String {
    let (key, value) = (String::from_utf8_lossy(&event.key), String::from_utf8_lossy(&event.value));
    match event.kind() {
        EventKind::Set | EventKind::Event => value.into_owned(),
        EventKind::Update => format!(r#"{{"key":{key},"value":{value}}}"#),
        EventKind::Remove => format!(r#"{{"key":{key}}}"#),
        EventKind::Gap => format!(r#"{{"from":{},"to":{}}}"#, event.gap_from, event.gap_to),
        _ => "null".into(),
    }
}

fn event_text(event: &Event) -> String {
    let (key, value) = (String::from_utf8_lossy(&event.key), String::from_utf8_lossy(&event.value));
    match event.kind() {
        EventKind::Set | EventKind::Event => value.into_owned(),
        EventKind::Update => format!("{key} {value}"),
        EventKind::Remove => key.into_owned(),
        EventKind::Gap => format!("{} to {}", event.gap_from, event.gap_to),
        _ => String::new(),
    }
}

/// What one node said of itself.
pub fn status(output: Output, status: &StatusResponse) -> String {
    match output {
        Output::Text => status_text(status),
        Output::Json => status_json(status),
    }
}

fn status_text(status: &StatusResponse) -> String {
    let mut text = format!(
        "node {} of {}: {} of {} slots served, {} agents, {} links\n\
         plan generation {}, ring revision {}, store {} incarnation {}, version {}\n\
         clients {}, peers {}, metrics {}\n",
        status.ordinal,
        if status.plan.is_empty() { "no plan yet" } else { &status.plan },
        status.slots_serving,
        status.slots_owned,
        status.agents,
        status.links,
        status.generation,
        status.revision,
        status.store,
        status.incarnation,
        status.version,
        status.client_at,
        status.peer_at,
        status.metrics_at,
    );
    for node in &status.nodes {
        let reached = if node.reached { "reached" } else { "not reached" };
        let _ = writeln!(
            text,
            "  node {:<3} {:>5} slots  {reached:<11}  {}  store {}",
            node.ordinal, node.slots, node.peer_at, node.store
        );
    }
    text.truncate(text.trim_end().len());
    text
}

fn status_json(status: &StatusResponse) -> String {
    let nodes: Vec<_> = status
        .nodes
        .iter()
        .map(|node| {
            serde_json::json!({"ordinal": node.ordinal, "store": node.store, "slots": node.slots,
                "reached": node.reached, "peerAt": node.peer_at})
        })
        .collect();
    serde_json::json!({
        "plan": status.plan, "ordinal": status.ordinal, "store": status.store,
        "incarnation": status.incarnation, "revision": status.revision, "generation": status.generation,
        "slotsOwned": status.slots_owned, "slotsServing": status.slots_serving, "agents": status.agents,
        "links": status.links, "clientAt": status.client_at, "peerAt": status.peer_at,
        "metricsAt": status.metrics_at, "version": status.version, "nodes": nodes,
    })
    .to_string()
}
