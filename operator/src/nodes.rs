//! Asks nodes how they stand, and gives them the plan and the ring, over gRPC on their peers' port.
//!
//! Here is the place for mutual TLS: until then the plan's token, said in each request, is what opens the port.
//! *Guarantees.* Every call ends within its limit, and only so many are open at once.

use crate::names;
use crate::observed::{Answer, Pod, Report, Silence};
use crate::plan::Plan;
use crate::steps::Given;
use futures::StreamExt as _;
use proto::wire::peer::control_client::ControlClient;
use proto::wire::peer::{ConfigureRequest, Identity, ReportRequest, ReportResponse};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

const CONNECT: Duration = Duration::from_secs(2);
const REPORT: Duration = Duration::from_secs(3);
/// A node has a plan and a ring on its disk before it answers.
const CONFIGURE: Duration = Duration::from_secs(10);
const AT_ONCE: usize = 16;
/// More are closed, and opened again when they are needed.
const CHANNELS_MAX: usize = 4096;

#[derive(Default)]
pub struct Nodes {
    channels: Mutex<HashMap<String, Channel>>,
}

impl Nodes {
    /// What every node says that has an address.
    pub async fn ask(&self, pods: &BTreeMap<u16, Pod>, token: &str) -> BTreeMap<u16, Answer> {
        let mut calls = Vec::new();
        for (ordinal, pod) in pods {
            if let Some(ip) = &pod.ip {
                calls.push(async move { (*ordinal, self.report(ip, token).await) });
            }
        }
        futures::stream::iter(calls).buffer_unordered(AT_ONCE).collect().await
    }

    async fn report(&self, ip: &str, token: &str) -> Answer {
        let request = ReportRequest { token: token.to_owned() };
        let call = async { self.client(ip)?.report(request).await };
        match tokio::time::timeout(REPORT, call).await {
            Ok(Ok(answer)) => report(answer.into_inner()).map_err(Silence::Nonsense),
            Ok(Err(status)) => Err(silence(&status)),
            Err(_) => {
                self.forget(ip);
                Err(Silence::Unreached)
            }
        }
    }

    /// Or why the node does not take it.
    pub async fn configure(&self, plan: &Plan, ip: &str, token: &str, given: &Given) -> Result<(), String> {
        let Given { ordinal: _, generation, spec, ring, peers } = given.clone();
        let request = ConfigureRequest {
            token: token.to_owned(),
            plan_name: plan.name().to_owned(),
            plan_uid: plan.uid.clone(),
            generation,
            spec,
            ring,
            peers,
        };
        let call = async { self.client(ip)?.configure(request).await };
        match tokio::time::timeout(CONFIGURE, call).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(status.message().to_owned()),
            Err(_) => Err(format!("it has not answered within {} s", CONFIGURE.as_secs())),
        }
    }

    fn client(&self, ip: &str) -> Result<ControlClient<Channel>, Status> {
        let mut channels = self.channels();
        if let Some(channel) = channels.get(ip) {
            return Ok(ControlClient::new(channel.clone()));
        }
        if channels.len() >= CHANNELS_MAX {
            channels.clear();
        }
        let channel = dial(ip).map_err(|error| Status::unavailable(error.to_string()))?;
        channels.insert(ip.to_owned(), channel.clone());
        Ok(ControlClient::new(channel))
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<String, Channel>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to a machine that is gone would take minutes to notice.
    fn forget(&self, ip: &str) {
        self.channels().remove(ip);
    }
}

fn dial(ip: &str) -> Result<Channel, tonic::transport::Error> {
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    let endpoint = Endpoint::from_shared(format!("http://{host}:{}", names::PEER_PORT))?;
    Ok(endpoint.connect_timeout(CONNECT).connect_lazy())
}

fn silence(status: &Status) -> Silence {
    match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => Silence::TokenRefused,
        _ => Silence::Unreached,
    }
}

fn report(answer: ReportResponse) -> Result<Report, String> {
    let ReportResponse { identity, revision, generation, slots_owned, slots_serving, had_ring, version: _ } =
        answer;
    let Identity { plan_uid, ordinal, store, incarnation } = identity.ok_or("it does not say who it is")?;
    let ordinal = u16::try_from(ordinal).map_err(|_| format!("it says that it is node {ordinal}"))?;
    let store = store.parse().map_err(|error: proto::ring::Error| error.to_string())?;
    Ok(Report {
        plan_uid,
        ordinal,
        store,
        incarnation,
        revision,
        generation,
        slots_owned,
        slots_serving,
        had_ring,
    })
}

#[cfg(test)]
pub mod tests;
