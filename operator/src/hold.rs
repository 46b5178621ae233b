//! Gets and keeps the Lease.
//!
//! *Guarantees.* `keep` returns before another operator may act. *Assumptions.* Requests of the client are not sent
//! again by themselves, and end.

use crate::lease::{Act, Candidate, GIVE_UP, Held, LEASE, LOOK, RENEW};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client, Error};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

const REQUEST: Duration = Duration::from_secs(4);

pub struct Hold {
    leases: Api<Lease>,
    lease: String,
    identity: String,
    held: Lease,
    renewed: Instant,
}

/// `None`: stopped before it was ours.
pub async fn acquire(
    client: Client,
    namespace: &str,
    lease: &str,
    identity: &str,
    stop: &CancellationToken,
) -> Option<Hold> {
    let leases: Api<Lease> = Api::namespaced(client, namespace);
    let (mut candidate, began) = (Candidate::new(identity), Instant::now());
    loop {
        let asked = Instant::now();
        match try_once(&leases, lease, identity, &mut candidate, began).await {
            Ok(Some(held)) => {
                info!(lease, "this operator holds the Lease and acts");
                let (lease, identity) = (lease.to_owned(), identity.to_owned());
                return Some(Hold { leases, lease, identity, held, renewed: asked });
            }
            Ok(None) => {}
            Err(error) => warn!(%error, "the Lease cannot be acquired now; trying again"),
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn try_once(
    leases: &Api<Lease>,
    name: &str,
    identity: &str,
    candidate: &mut Candidate,
    began: Instant,
) -> Result<Option<Lease>, Error> {
    let found = in_time(leases.get_opt(name)).await?;
    let params = PostParams::default();
    match candidate.look(found.as_ref().map(held), began.elapsed()) {
        Act::Wait => Ok(None),
        Act::Create => {
            let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(spec(identity, 0, now())) };
            in_time(leases.create(&params, &lease)).await.map(Some)
        }
        Act::Take { resource_version, transitions } => {
            let metadata = found.map(|found| found.metadata).unwrap_or_default();
            let metadata = ObjectMeta { resource_version: Some(resource_version), ..metadata };
            let lease = Lease { metadata, spec: Some(spec(identity, transitions, now())) };
            in_time(leases.replace(name, &params, &lease)).await.map(Some)
        }
    }
}

impl Hold {
    /// Until `stop`, or until the Lease is lost.
    pub async fn keep(&mut self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RENEW.saturating_sub(self.renewed.elapsed()).max(REQUEST / 4)) => {}
            }
            let asked = Instant::now();
            match self.renew().await {
                Ok(()) => self.renewed = asked,
                Err(error) => {
                    warn!(%error, "the Lease was not renewed");
                    if is_lost(&error) || self.renewed.elapsed() + REQUEST > GIVE_UP {
                        return;
                    }
                }
            }
        }
    }

    async fn renew(&mut self) -> Result<(), Error> {
        let spec = self.held.spec.get_or_insert_default();
        spec.renew_time = Some(MicroTime(now()));
        self.held = in_time(self.leases.replace(&self.lease, &PostParams::default(), &self.held)).await?;
        Ok(())
    }

    /// So that another need not wait.
    pub async fn let_go(mut self) {
        let spec = self.held.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.renew_time = Some(MicroTime(now()));
        let written = in_time(self.leases.replace(&self.lease, &PostParams::default(), &self.held)).await;
        if let Err(error) = written {
            warn!(%error, identity = self.identity, "the Lease was not released; it expires by itself");
        }
    }
}

/// Written by someone else, or deleted.
fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 409 || status.code == 404)
}

fn held(lease: &Lease) -> Held {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.unwrap_or_default().unsigned_abs();
    Held {
        holder: spec.holder_identity.unwrap_or_default(),
        resource_version: lease.metadata.resource_version.clone().unwrap_or_default(),
        lease: Duration::from_secs(seconds.into()),
        transitions: spec.lease_transitions.unwrap_or_default(),
    }
}

fn spec(identity: &str, transitions: i32, now: Timestamp) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: Some(LEASE.as_secs() as i32),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    }
}

fn now() -> Timestamp {
    Timestamp::now()
}

async fn in_time<T>(request: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(REQUEST, request).await {
        Ok(answer) => answer,
        Err(late) => Err(Error::Service(Box::new(late))),
    }
}
