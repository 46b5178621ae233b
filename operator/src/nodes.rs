//! Asks nodes how they stand, and gives them the plan and the ring, over gRPC with mutual TLS on their peers' port.
//!
//! *Guarantees.* Every call ends within its limit, and only so many are open at once. A node is asked with a
//! certificate of its plan's CA of now; connections that were made with another are not used again.

use crate::authority::{self, AuthorityPems};
use crate::hints::{self, Hints};
use crate::names;
use crate::observed::{Answer, Pod, Report, Silence};
use crate::plan::Plan;
use crate::steps::Given;
use futures::StreamExt as _;
use hyper_util::rt::TokioIo;
use proto::ring::Ring;
use proto::trust::{self, Credentials, Digests, Fault, Role};
use proto::wire::peer::control_client::ControlClient;
use proto::wire::peer::{
    self, Certificates, ConfigureRequest, Identity, ReportRequest, ReportResponse, RingName,
};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::collections::{BTreeMap, HashMap};
use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::AsyncBufReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Status;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

const CONNECT: Duration = Duration::from_secs(2);
const REPORT: Duration = Duration::from_secs(3);
/// A node has a plan and a ring on its disk before it answers.
const CONFIGURE: Duration = Duration::from_secs(10);
const AT_ONCE: usize = 16;
/// More are closed, and opened again when they are needed.
const CHANNELS_MAX: usize = 4096;
/// The most plans whose passes are kept; others are made again when they are needed.
const PASSES_MAX: usize = 4096;

#[derive(Default)]
pub struct Nodes {
    /// By the plan's uid.
    passes: Mutex<HashMap<String, Arc<Pass>>>,
    /// By plan and address.
    channels: Mutex<HashMap<(String, String), Opened>>,
}

/// A connection, and what opened it.
struct Opened {
    with: Arc<Pass>,
    channel: Channel,
}

/// What opens the nodes of one plan.
struct Pass {
    authority: AuthorityPems,
    credentials: Credentials,
    client: Arc<ClientConfig>,
    node: ServerName<'static>,
}

impl Pass {
    fn make(plan_uid: &str, authority: &AuthorityPems) -> Result<Pass, trust::Error> {
        let credentials = authority::operators(plan_uid, authority, now_s())?;
        let client = Arc::new(trust::client(&credentials));
        let node = Role::Node.name(plan_uid)?;
        Ok(Pass { authority: authority.clone(), credentials, client, node })
    }
}

impl Nodes {
    /// What every node says that can be asked. Each is told where the others are, if it has heard otherwise. `ring`:
    /// the one that its ConfigMap has.
    pub async fn ask(
        &self,
        plan: &Plan,
        pods: &BTreeMap<u16, Pod>,
        authority: &AuthorityPems,
        ring: Option<&Ring>,
    ) -> BTreeMap<u16, Answer> {
        // Of a CA that cannot be used the status tells.
        let Ok(pass) = self.pass(plan, authority) else { return BTreeMap::new() };
        let ring = ring
            .map_or_else(RingName::default, |ring| RingName { revision: ring.revision, nonce: ring.nonce });
        let (hints, mut calls) = (&hints::of(pods), Vec::new());
        for (ordinal, pod) in pods {
            if let Some(ip) = pod.asked_at() {
                let pass = &pass;
                calls.push(async move {
                    (*ordinal, of_node(*ordinal, self.report(plan, ip, pass, ring, hints).await))
                });
            }
        }
        futures::stream::iter(calls).buffer_unordered(AT_ONCE).collect().await
    }

    async fn report(&self, plan: &Plan, ip: &str, pass: &Arc<Pass>, ring: RingName, hints: &Hints) -> Answer {
        let call = async {
            let mut client = self.client(plan, ip, pass)?;
            let answer = client.report(ReportRequest { ring: Some(ring), hints: None }).await?;
            Ok((client, answer.into_inner()))
        };
        let (mut client, answer) = match tokio::time::timeout(REPORT, call).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(status)) => return Err(silence(&status)),
            Err(_) => {
                self.forget(plan, ip);
                return Err(Silence::Unreached);
            }
        };
        if hints::are_due(answer.hints, hints) {
            let Hints { digest, at } = hints.clone();
            let request = ReportRequest { ring: None, hints: Some(peer::Hints { digest, at }) };
            // A node that does not take them, or not in time, has answered all the same, and is told again.
            let _ = tokio::time::timeout(REPORT, client.report(request)).await;
        }
        report(answer).map_err(Silence::Nonsense)
    }

    /// Or why the node does not take it.
    pub async fn configure(
        &self,
        plan: &Plan,
        ip: &str,
        authority: &AuthorityPems,
        given: &Given,
    ) -> Result<(), String> {
        let pass = self.pass(plan, authority).map_err(|error| error.to_string())?;
        let Given { ordinal: _, generation, spec, ring, peers } = given.clone();
        let request = ConfigureRequest {
            plan_name: plan.name().to_owned(),
            plan_uid: plan.data_uid.clone(),
            generation,
            spec,
            ring,
            peers,
            adopted_by: if plan.has_adopted() { plan.uid.clone() } else { String::new() },
        };
        let call = async { self.client(plan, ip, &pass)?.configure(request).await };
        match tokio::time::timeout(CONFIGURE, call).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => {
                Err(Fault::of(&status).map_or_else(|| status.message().to_owned(), |fault| fault.to_string()))
            }
            Err(_) => Err(format!("it has not answered within {} s", CONFIGURE.as_secs())),
        }
    }

    /// Made again when the CA is another one, or when a third of its life is over.
    fn pass(&self, plan: &Plan, authority: &AuthorityPems) -> Result<Arc<Pass>, trust::Error> {
        let mut passes = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = passes.get(&plan.uid).filter(|pass| pass.authority == *authority);
        if let Some(pass) = known.filter(|pass| !pass.credentials.validity.is_due(now_s())) {
            return Ok(pass.clone());
        }
        if passes.len() >= PASSES_MAX {
            passes.clear();
        }
        let pass = Arc::new(Pass::make(&plan.data_uid, authority)?);
        passes.insert(plan.uid.clone(), pass.clone());
        Ok(pass)
    }

    fn client(&self, plan: &Plan, ip: &str, pass: &Arc<Pass>) -> Result<ControlClient<Channel>, Status> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (plan.uid.clone(), ip.to_owned());
        if let Some(Opened { with, channel }) = channels.get(&key)
            && Arc::ptr_eq(with, pass)
        {
            return Ok(ControlClient::new(channel.clone()));
        }
        if channels.len() >= CHANNELS_MAX {
            channels.clear();
        }
        let channel = dial(ip, pass).map_err(|error| Status::unavailable(error.to_string()))?;
        channels.insert(key, Opened { with: pass.clone(), channel: channel.clone() });
        Ok(ControlClient::new(channel))
    }

    /// A connection to a machine that is gone would take minutes to notice.
    fn forget(&self, plan: &Plan, ip: &str) {
        let key = (plan.uid.clone(), ip.to_owned());
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
}

/// An address may have gone over to another node's pod.
fn of_node(ordinal: u16, answer: Answer) -> Answer {
    let report = answer?;
    if report.ordinal == ordinal {
        return Ok(report);
    }
    Err(Silence::Nonsense(format!("node {} answers at its address", report.ordinal)))
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn dial(ip: &str, pass: &Arc<Pass>) -> Result<Channel, tonic::transport::Error> {
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    let at: Arc<str> = format!("{host}:{}", names::PEER_PORT).into();
    let endpoint = Endpoint::from_shared(format!("http://{at}"))?.connect_timeout(CONNECT);
    let pass = pass.clone();
    Ok(endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| {
        let (at, pass) = (at.clone(), pass.clone());
        async move { shake_hands(&at, &pass).await.map(TokioIo::new) }
    })))
}

async fn shake_hands(at: &str, pass: &Pass) -> Result<TlsStream<TcpStream>, Error> {
    let stream = TcpStream::connect(at).await?;
    let mut stream = TlsConnector::from(pass.client.clone()).connect(pass.node.clone(), stream).await?;
    // In TLS 1.3 the node's word on the operator's certificate comes after the handshake.
    if stream.fill_buf().await?.is_empty() {
        return Err(Error::new(ErrorKind::UnexpectedEof, "it has closed the connection after the handshake"));
    }
    Ok(stream)
}

fn silence(status: &Status) -> Silence {
    Fault::of(status).map_or(Silence::Unreached, |fault| Silence::Untrusted(fault.to_string()))
}

fn told_ring(told: &[u8], what: &str) -> Result<Option<Arc<Ring>>, String> {
    if told.is_empty() {
        return Ok(None);
    }
    let ring = Ring::decode(told).map_err(|error| format!("{what}: {error}"))?;
    Ok(Some(Arc::new(ring)))
}

fn report(answer: ReportResponse) -> Result<Report, String> {
    let ReportResponse {
        identity,
        revision,
        generation,
        slots_owned,
        slots_serving,
        had_ring,
        version: _,
        certificates,
        held,
        ring,
        hints: _,
    } = answer;
    let Certificates { bundle, certificate } = certificates.unwrap_or_default();
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
        certificates: Digests { bundle, certificate },
        held: told_ring(&held, "what its adopted volume holds")?,
        ring: told_ring(&ring, "the ring that it goes by")?,
    })
}

#[cfg(test)]
pub mod tests;
