//! Gets and keeps the Lease. It belongs to the operator's ServiceAccount, and goes when that goes.
//!
//! *Guarantees.* `keep` returns before another operator may act. *Assumptions.* Requests of the client are not sent
//! again by themselves, and end.

use crate::lease::{Act, Candidate, GIVE_UP, Held, LEASE, LOOK, RENEW};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
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
    /// Renewals of which no answer came: the time that each wrote, and when it was begun.
    unanswered: Vec<(MicroTime, Instant)>,
}

/// `None`: stopped before it was ours.
pub async fn acquire(
    client: Client,
    namespace: &str,
    lease: &str,
    identity: &str,
    owner: Option<&OwnerReference>,
    stop: &CancellationToken,
) -> Option<Hold> {
    let leases: Api<Lease> = Api::namespaced(client, namespace);
    let (mut candidate, began) = (Candidate::new(identity), Instant::now());
    loop {
        let asked = Instant::now();
        match try_once(&leases, lease, identity, owner, &mut candidate, began).await {
            Ok(Some(held)) => {
                info!(lease, "this operator holds the Lease and acts");
                let (lease, identity) = (lease.to_owned(), identity.to_owned());
                let unanswered = Vec::new();
                return Some(Hold { leases, lease, identity, held, renewed: asked, unanswered });
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
    owner: Option<&OwnerReference>,
    candidate: &mut Candidate,
    began: Instant,
) -> Result<Option<Lease>, Error> {
    let found = in_time(leases.get_opt(name)).await?;
    let params = PostParams::default();
    match candidate.look(found.as_ref().map(held), began.elapsed()) {
        Act::Wait => Ok(None),
        Act::Create => {
            let owner_references = owner.cloned().map(|owner| vec![owner]);
            let metadata =
                ObjectMeta { name: Some(name.to_owned()), owner_references, ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(spec(identity, 0, now())) };
            in_time(leases.create(&params, &lease)).await.map(Some)
        }
        Act::Take { resource_version, transitions } => {
            let metadata = found.map(|found| found.metadata).unwrap_or_default();
            let metadata = ObjectMeta { resource_version: Some(resource_version), ..metadata };
            let spec = Some(spec(identity, transitions, now()));
            let owned = Lease { metadata: owned(&metadata, owner), spec: spec.clone() };
            match in_time(leases.replace(name, &params, &owned)).await {
                // Where it takes a right to delete to change an owner, it stays.
                Err(Error::Api(status)) if status.code == 403 && owned.metadata != metadata => {
                    let lease = Lease { metadata, spec };
                    in_time(leases.replace(name, &params, &lease)).await.map(Some)
                }
                answer => answer.map(Some),
            }
        }
    }
}

/// With this ServiceAccount as owner, and no other one.
fn owned(metadata: &ObjectMeta, owner: Option<&OwnerReference>) -> ObjectMeta {
    let Some(account) = owner else { return metadata.clone() };
    let others = metadata.owner_references.iter().flatten().filter(|other| other.kind != account.kind);
    let owners = others.chain([account]).cloned().collect();
    ObjectMeta { owner_references: Some(owners), ..metadata.clone() }
}

impl Hold {
    /// Until `stop`, or until the Lease is lost.
    pub async fn keep(&mut self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RENEW.saturating_sub(self.renewed.elapsed()).max(REQUEST / 4)) => {}
            }
            if let Err(error) = self.renew().await {
                warn!(%error, "the Lease was not renewed");
                let is_lost = is_overtaken(&error) && !self.has_landed().await;
                if is_lost || self.renewed.elapsed() + REQUEST > GIVE_UP {
                    return;
                }
            }
        }
    }

    async fn renew(&mut self) -> Result<(), Error> {
        let (time, asked) = (MicroTime(now()), Instant::now());
        self.held.spec.get_or_insert_default().renew_time = Some(time.clone());
        self.unanswered.push((time, asked));
        let held = in_time(self.leases.replace(&self.lease, &PostParams::default(), &self.held)).await?;
        self.holds(held, asked);
        Ok(())
    }

    fn holds(&mut self, held: Lease, since: Instant) {
        self.held = held;
        self.renewed = since;
        self.unanswered.clear();
    }

    /// Whether the Lease is as a renewal of ours has written it of which no answer came.
    async fn has_landed(&mut self) -> bool {
        let Ok(Some(found)) = in_time(self.leases.get_opt(&self.lease)).await else { return false };
        let spec = found.spec.clone().unwrap_or_default();
        let ours = self.unanswered.iter().find(|(time, _)| spec.renew_time.as_ref() == Some(time));
        let since =
            ours.filter(|_| spec.holder_identity.as_ref() == Some(&self.identity)).map(|(_, since)| *since);
        if let Some(since) = since {
            self.holds(found, since);
        }
        since.is_some()
    }

    /// So that another need not wait.
    pub async fn let_go(mut self) {
        while let Err(error) = self.release().await {
            if !is_overtaken(&error) || !self.has_landed().await {
                warn!(%error, identity = self.identity, "the Lease was not released; it expires by itself");
                return;
            }
        }
    }

    async fn release(&mut self) -> Result<(), Error> {
        let mut released = self.held.clone();
        let spec = released.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.renew_time = Some(MicroTime(now()));
        in_time(self.leases.replace(&self.lease, &PostParams::default(), &released)).await.map(drop)
    }
}

/// Someone has written it since it was read, or deleted it.
fn is_overtaken(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 409 || status.code == 404)
}

/// What stands in a Lease.
pub fn held(lease: &Lease) -> Held {
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

/// As precise as a Lease has it, so that what was written is told again when it is read.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

async fn in_time<T>(request: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(REQUEST, request).await {
        Ok(answer) => answer,
        Err(late) => Err(Error::Service(Box::new(late))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::served::{self, failure};
    use hyper::{Method, StatusCode};
    use serde_json::Value;
    use std::sync::{Arc, Mutex};

    /// One Lease, of an API server whose answers to writes may be lost on their way.
    #[derive(Default)]
    struct Server {
        lease: Value,
        revision: u64,
        loses_answers: bool,
        /// As of clusters in which it takes a right to delete to change an owner.
        keeps_owners: bool,
    }

    impl Server {
        fn answer(&mut self, method: &Method, body: &Value) -> (StatusCode, Value) {
            if *method == Method::GET && self.lease.is_null() {
                return failure(StatusCode::NOT_FOUND, "there is none");
            }
            if *method == Method::GET {
                return (StatusCode::OK, self.lease.clone());
            }
            let version = |lease: &Value| lease["metadata"]["resourceVersion"].clone();
            if *method == Method::PUT && version(body) != version(&self.lease) {
                return failure(StatusCode::CONFLICT, "it was changed");
            }
            let owners = |lease: &Value| lease["metadata"]["ownerReferences"].clone();
            if *method == Method::PUT && self.keeps_owners && owners(body) != owners(&self.lease) {
                return failure(StatusCode::FORBIDDEN, "cannot set an ownerRef");
            }
            self.write(body);
            if self.loses_answers {
                return failure(StatusCode::GATEWAY_TIMEOUT, "the answer is lost");
            }
            (StatusCode::OK, self.lease.clone())
        }

        fn write(&mut self, lease: &Value) {
            self.revision += 1;
            self.lease = lease.clone();
            self.lease["metadata"]["resourceVersion"] = self.revision.to_string().into();
        }

        fn holder(&self) -> &str {
            self.lease["spec"]["holderIdentity"].as_str().unwrap()
        }
    }

    async fn hold() -> (Arc<Mutex<Server>>, Hold) {
        let server = Arc::new(Mutex::new(Server::default()));
        let answering = server.clone();
        let client =
            served::client(move |asked| answering.lock().unwrap().answer(&asked.method, &asked.body));
        let (stop, account) = (CancellationToken::new(), account("u-1"));
        let hold = acquire(client, "default", "shoal", "one", Some(&account), &stop).await.unwrap();
        (server, hold)
    }

    #[tokio::test]
    async fn a_renewal_whose_answer_was_lost_is_settled_by_reading() {
        let (server, mut hold) = hold().await;
        server.lock().unwrap().loses_answers = true;
        assert!(!is_overtaken(&hold.renew().await.unwrap_err()));
        server.lock().unwrap().loses_answers = false;
        let before = hold.renewed;
        assert!(is_overtaken(&hold.renew().await.unwrap_err()) && hold.has_landed().await);
        assert!(hold.renewed > before);
        hold.renew().await.unwrap();
        // It is given back all the same when the last answer was lost.
        server.lock().unwrap().loses_answers = true;
        hold.renew().await.unwrap_err();
        server.lock().unwrap().loses_answers = false;
        hold.let_go().await;
        assert_eq!(server.lock().unwrap().holder(), "");
    }

    #[tokio::test]
    async fn a_lease_that_somebody_else_has_written_is_lost_and_left_alone() {
        let (server, mut hold) = hold().await;
        let mut other = server.lock().unwrap().lease.clone();
        other["spec"]["holderIdentity"] = "two".into();
        server.lock().unwrap().write(&other);
        assert!(is_overtaken(&hold.renew().await.unwrap_err()) && !hold.has_landed().await);
        hold.let_go().await;
        assert_eq!(server.lock().unwrap().holder(), "two");
    }

    fn account(uid: &str) -> OwnerReference {
        let owner = serde_json::json!({"apiVersion": "v1", "kind": "ServiceAccount", "name": "shoal-operator", "uid": uid});
        serde_json::from_value(owner).unwrap()
    }

    #[tokio::test]
    async fn the_lease_belongs_to_the_service_account_of_its_holder() {
        let owners = |server: &Arc<Mutex<Server>>| {
            let owners = server.lock().unwrap().lease["metadata"]["ownerReferences"].clone();
            let owners = owners.as_array().cloned().unwrap_or_default();
            owners.iter().map(|owner| owner["uid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let (server, mut hold) = hold().await;
        assert_eq!(owners(&server), ["u-1"]);
        hold.renew().await.unwrap();
        assert_eq!(owners(&server), ["u-1"]);
        // An account of the same name that was made anew, over a Lease that was let go.
        let leases = hold.leases.clone();
        hold.let_go().await;
        let second = account("u-2");
        let take = async |name: &str| {
            let mut candidate = Candidate::new(name);
            try_once(&leases, "shoal", name, Some(&second), &mut candidate, Instant::now()).await.unwrap()
        };
        server.lock().unwrap().keeps_owners = true;
        assert!(take("two").await.is_some() && owners(&server) == ["u-1"]);
        server.lock().unwrap().keeps_owners = false;
        assert!(take("two").await.is_some() && owners(&server) == ["u-2"]);
        // With its account it is gone, and the next one need not wait.
        server.lock().unwrap().lease = Value::Null;
        assert!(take("three").await.is_some());
        assert_eq!(server.lock().unwrap().holder(), "three");
    }
}
