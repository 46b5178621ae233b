//! Clients of `shoal.v1`, as plain as users write them: one that sends until it is told that it may stop, one that
//! folds what a watch says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use proto::wire::v1::{Event, EventKind, GetRequest, SendRequest, WatchRequest};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::cluster::{Client, client, eventually};
use crate::flights::Lanes;

pub async fn get(client: &mut Client, agent: &str, lane: &str) -> Result<Value, Status> {
    let request = GetRequest { agent: agent.into(), lane: lane.into(), ..GetRequest::default() };
    let body = client.get(request).await?.into_inner().body;
    serde_json::from_slice(&body).map_err(|error| Status::internal(error.to_string()))
}

pub async fn send(client: &mut Client, agent: &str, lane: &str, body: &Value) -> Result<u64, Status> {
    let body = body.to_string().into();
    let request = SendRequest { agent: agent.into(), lane: lane.into(), body, ..SendRequest::default() };
    Ok(client.send(request).await?.into_inner().version)
}

/// How many lanes are looked at side by side.
const LOOKS: usize = 64;

/// Waits until all nodes say of all lanes what they must hold.
pub async fn all_hold(clients: &[Client], lanes: &Lanes, seconds: u64) {
    eventually("what the independent count says", seconds, async || {
        for client in clients {
            let wrong = differences(client, lanes).await?;
            ensure!(
                wrong.is_empty(),
                "{} of {} lanes differ: {:?}",
                wrong.len(),
                lanes.len(),
                &wrong[..wrong.len().min(3)]
            );
        }
        Ok(())
    })
    .await;
}

/// The first lanes that one node says otherwise of.
async fn differences(client: &Client, lanes: &Lanes) -> Result<Vec<String>, Status> {
    let looks = lanes.iter().map(async |((agent, lane), wanted)| {
        let seen = get(&mut client.clone(), agent, lane).await?;
        Ok::<_, Status>((seen != *wanted).then(|| format!("{agent} {lane}: {seen} instead of {wanted}")))
    });
    stream::iter(looks).buffer_unordered(LOOKS).try_filter_map(async |wrong| Ok(wrong)).try_collect().await
}

/// Clients that send one command after the other, each with a key, and each again until it is acknowledged.
pub struct Feed {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    workers: JoinSet<Vec<(String, u64)>>,
}

impl Feed {
    const WORKERS: u64 = 8;
    pub const AGENTS: u64 = 48;

    /// Each worker begins at another of the addresses, and goes to the next one whenever one does not answer.
    pub fn begin(addresses: &[String]) -> Feed {
        let (stop, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut workers = JoinSet::new();
        for worker in 0..Self::WORKERS {
            let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
            let door = Door { addresses: addresses.to_vec(), at: worker as usize, client: None };
            workers.spawn(work(worker, door, stop, acknowledged));
        }
        Feed { stop, acknowledged, workers }
    }

    /// Waits until this many more have been acknowledged.
    pub async fn goes_on(&self, more: u64) {
        let from = self.acknowledged.load(Ordering::Relaxed);
        eventually("acknowledgements", 90, async || {
            let now = self.acknowledged.load(Ordering::Relaxed);
            ensure!(now >= from + more, "{} of {more} came", now - from);
            Ok(())
        })
        .await;
    }

    /// Agent -> the ids of its commands; all of them are acknowledged.
    pub async fn end(self) -> BTreeMap<String, Vec<u64>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut sent = BTreeMap::<String, Vec<u64>>::new();
        for (agent, id) in self.workers.join_all().await.into_iter().flatten() {
            sent.entry(agent).or_default().push(id);
        }
        sent
    }
}

/// Everything that was acknowledged has had its effect, once, on whichever node is asked.
pub async fn nothing_is_missing(clients: &[Client], sent: &BTreeMap<String, Vec<u64>>) {
    for client in clients {
        for (agent, ids) in sent {
            let wanted: Map<String, Value> = ids.iter().map(|id| (id.to_string(), 1.into())).collect();
            let mut client = client.clone();
            assert_eq!(get(&mut client, agent, "ids").await.unwrap(), Value::from(wanted), "{agent}");
            assert_eq!(get(&mut client, agent, "total").await.unwrap(), ids.len(), "{agent}");
        }
    }
}

async fn work(
    worker: u64,
    mut door: Door,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
) -> Vec<(String, u64)> {
    let mut sent = Vec::new();
    for sequence in 1.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let id = worker * 1_000_000 + sequence;
        let agent = format!("/counter/{}", (id * 7) % Feed::AGENTS);
        let body = serde_json::json!({"id": id.to_string(), "n": 1}).to_string().into();
        let client = format!("worker-{worker}");
        door.through(SendRequest { agent: agent.clone(), lane: "add".into(), body, client, sequence }).await;
        acknowledged.fetch_add(1, Ordering::Relaxed);
        sent.push((agent, id));
    }
    sent
}

/// One of several addresses, whichever answers.
struct Door {
    addresses: Vec<String>,
    at: usize,
    client: Option<Client>,
}

impl Door {
    async fn through(&mut self, request: SendRequest) {
        loop {
            match self.offer(request.clone()).await {
                Ok(()) => return,
                Err(status) if is_final(status.code()) => panic!("{}: {status}", request.agent),
                Err(_) => {
                    self.client = None;
                    self.at += 1;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn offer(&mut self, request: SendRequest) -> Result<(), Status> {
        if self.client.is_none() {
            let address = &self.addresses[self.at % self.addresses.len()];
            self.client =
                Some(client(address).await.map_err(|error| Status::unavailable(format!("{error:#}")))?);
        }
        if let Some(client) = &mut self.client {
            client.send(request).await?;
        }
        Ok(())
    }
}

/// What no other try changes. Broken connections come as `Unknown`, `Cancelled` or `Internal`.
fn is_final(code: Code) -> bool {
    use Code::{FailedPrecondition, InvalidArgument, NotFound, OutOfRange, Unauthenticated, Unimplemented};
    matches!(
        code,
        FailedPrecondition | InvalidArgument | NotFound | OutOfRange | Unauthenticated | Unimplemented
    )
}

/// A watch of one lane at one address: it connects again for as long as it lives.
pub struct Watcher {
    seen: watch::Receiver<Value>,
    what: String,
    _task: JoinSet<()>,
}

impl Watcher {
    pub fn begin(address: &str, agent: &str, lane: &str) -> Watcher {
        let (tell, seen) = watch::channel(Value::Null);
        let mut task = JoinSet::new();
        task.spawn(follow(address.to_owned(), agent.to_owned(), lane.to_owned(), tell));
        Watcher { seen, what: format!("{agent} {lane} at {address}"), _task: task }
    }

    /// Waits until the watch has told this state.
    pub async fn reaches(&mut self, expected: &Value) {
        let told = self.seen.wait_for(|value| value == expected);
        let told = tokio::time::timeout(Duration::from_secs(20), told).await.is_ok();
        assert!(told, "{}: {} instead of {expected}", self.what, *self.seen.borrow());
    }
}

async fn follow(address: String, agent: String, lane: String, tell: watch::Sender<Value>) {
    loop {
        let _ = follow_once(&address, &agent, &lane, &tell).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn follow_once(address: &str, agent: &str, lane: &str, tell: &watch::Sender<Value>) -> Result<()> {
    let request = WatchRequest { agent: agent.into(), lane: lane.into(), from: None, rate: None };
    let mut events = client(address).await?.watch(request).await?.into_inner();
    let mut state = Folded::default();
    while let Some(batch) = events.message().await? {
        for event in &batch.events {
            state.fold(event)?;
        }
        if state.synced {
            tell.send_replace(state.value());
        }
    }
    Ok(())
}

/// A Value or Map lane, as the events told so far have made it.
#[derive(Default)]
struct Folded {
    value: Option<Value>,
    entries: Map<String, Value>,
    synced: bool,
}

impl Folded {
    fn fold(&mut self, event: &Event) -> Result<()> {
        match event.kind() {
            EventKind::Set => self.value = Some(serde_json::from_slice(&event.value)?),
            EventKind::Update => {
                self.entries
                    .insert(serde_json::from_slice(&event.key)?, serde_json::from_slice(&event.value)?);
            }
            EventKind::Remove => {
                self.entries.remove(&serde_json::from_slice::<String>(&event.key)?);
            }
            EventKind::Clear => self.entries.clear(),
            EventKind::Reset => *self = Folded::default(),
            EventKind::Synced => self.synced = true,
            EventKind::Event | EventKind::Gap | EventKind::Stale | EventKind::Unspecified => {}
        }
        Ok(())
    }

    fn value(&self) -> Value {
        self.value.clone().unwrap_or_else(|| self.entries.clone().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_the_fold_of_its_events() {
        let event = |kind: EventKind, key: &str, value: &str| Event {
            kind: kind.into(),
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            ..Event::default()
        };
        let mut state = Folded::default();
        for (kind, key, value, expected) in [
            (EventKind::Update, r#""a""#, "1", r#"{"a":1}"#),
            (EventKind::Update, r#""b""#, "2", r#"{"a":1,"b":2}"#),
            (EventKind::Remove, r#""a""#, "", r#"{"b":2}"#),
            (EventKind::Synced, "", "", r#"{"b":2}"#),
            (EventKind::Reset, "", "", "{}"),
            (EventKind::Set, "", "7", "7"),
        ] {
            state.fold(&event(kind, key, value)).unwrap();
            assert_eq!(state.value().to_string(), expected);
        }
    }
}
