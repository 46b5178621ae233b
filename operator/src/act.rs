//! Takes the steps that concern the API server, one request each.

use crate::authority::AuthorityPems;
use crate::look;
use crate::names;
use crate::parts::{self, Part};
use crate::plan::Plan;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::{Resource, Status};
use kube::{Api, Client};
use proto::plan::AgentPlanStatus;
use proto::ring::{Member, Ring};
use proto::trust::{self, Authority, Pair, Role};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The most bytes of what the API server says against an object.
const REJECTION_MAX: usize = 500;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was decided from has changed since.
    #[error("someone else was faster: {0}")]
    Overtaken(String),
    /// The API server will not have it, or cannot make it now: a quota, a policy, a webhook that is away.
    #[error("{0}")]
    Rejected(String),
    /// Nothing can be made in it any more.
    #[error("the namespace is being deleted")]
    NamespaceGoing,
    #[error("{0}")]
    Failed(#[source] kube::Error),
}

/// The error of keys that cannot be drawn or used.
impl From<trust::Error> for Error {
    fn from(error: trust::Error) -> Error {
        Error::Rejected(error.to_string())
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Error {
        match &error {
            kube::Error::Api(status) if is_going(status) => Error::NamespaceGoing,
            kube::Error::Api(status) => match status.code {
                404 | 409 => Error::Overtaken(status.message.clone()),
                _ => Error::Rejected(status.message.chars().take(REJECTION_MAX).collect()),
            },
            _ => Error::Failed(error),
        }
    }
}

/// Whether the API server says that the namespace is being deleted.
fn is_going(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// Fields that others have set are others': only what is wished is taken over.
pub async fn apply(client: &Client, plan: &Plan, part: Part, desired: &Value) -> Result<(), Error> {
    let params = PatchParams::apply(names::FIELD_MANAGER).force();
    let name = part.name(plan.name());
    look::parts(client.clone(), plan, part).patch(&name, &params, &Patch::Apply(desired)).await?;
    Ok(())
}

/// The patch names the version of the claim that it was made for.
pub async fn patch_claim(client: &Client, plan: &Plan, claim: &str, patch: &Value) -> Result<(), Error> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &plan.key.namespace);
    let params =
        PatchParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    claims.patch_metadata(claim, &params, &Patch::Merge(patch)).await?;
    Ok(())
}

/// Made once: one that is there already stays.
pub async fn make_authority(client: &Client, plan: &Plan, trusted: &str, now_s: u64) -> Result<(), Error> {
    let pair = Authority::make(&plan.data_uid, now_s)?;
    let mut members = vec![
        (names::AUTHORITY_CERTIFICATE, pair.certificate.as_str()),
        (names::AUTHORITY_KEY, pair.key.as_str()),
    ];
    if !trusted.is_empty() {
        members.push((names::AUTHORITY_TRUSTED, trusted));
    }
    let secret = Secret {
        metadata: metadata(plan, &names::authority(plan.name())),
        data: Some(data(&members)),
        ..Secret::default()
    };
    create(client, plan, &secret).await
}

/// All three members at once, so that nobody ever reads parts that do not fit each other.
pub async fn give_certificates(
    client: &Client,
    plan: &Plan,
    authority: &AuthorityPems,
    pair: Option<Pair>,
    now_s: u64,
) -> Result<(), Error> {
    let pair = match pair {
        Some(pair) => pair,
        None => authority.load(&plan.data_uid)?.issue(Role::Node, now_s)?,
    };
    let name = names::certificates(plan.name());
    let bundle = authority.bundle();
    let members = [
        (trust::CERTIFICATE, pair.certificate.as_str()),
        (trust::KEY, pair.key.as_str()),
        (trust::BUNDLE, bundle.as_str()),
    ];
    let secret = Secret {
        metadata: metadata(plan, &name),
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(data(&members)),
        ..Secret::default()
    };
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &plan.key.namespace);
    let params = PatchParams::apply(names::FIELD_MANAGER).force();
    secrets.patch(&name, &params, &Patch::Apply(&secret)).await?;
    Ok(())
}

fn data(members: &[(&str, &str)]) -> BTreeMap<String, ByteString> {
    members.iter().map(|(name, text)| ((*name).to_owned(), ByteString(text.as_bytes().to_vec()))).collect()
}

/// It succeeds only where there is no ring. Whether it has, when no answer came, is read the next time.
pub async fn begin_ring(client: &Client, plan: &Plan, members: Vec<Member>, slots: u32) -> Result<(), Error> {
    write_ring(client, plan, &Ring::begin(&plan.data_uid, members, slots, rand::random())).await
}

/// It succeeds only where there is no ring.
pub async fn adopt_ring(client: &Client, plan: &Plan, ring: Ring) -> Result<(), Error> {
    write_ring(client, plan, &Ring { nonce: rand::random(), ..ring }).await
}

async fn write_ring(client: &Client, plan: &Plan, ring: &Ring) -> Result<(), Error> {
    let map = ConfigMap {
        metadata: metadata(plan, &names::ring(plan.name())),
        binary_data: Some(BTreeMap::from([(look::RING_KEY.to_owned(), ByteString(ring.encode()))])),
        ..ConfigMap::default()
    };
    create(client, plan, &map).await
}

/// Writes the status of the very object that it was decided from.
pub async fn report(client: &Client, plan: &Plan, status: &AgentPlanStatus) -> Result<(), Error> {
    let Plan { key, uid, resource_version, .. } = plan;
    let body = json!({
        "apiVersion": names::API_VERSION,
        "kind": names::KIND,
        "metadata": {
            "name": key.name, "namespace": key.namespace, "uid": uid, "resourceVersion": resource_version,
        },
        "status": status,
    });
    let params = PatchParams::apply(names::STATUS_FIELD_MANAGER).force();
    look::plans(client.clone(), &key.namespace).patch_status(&key.name, &params, &Patch::Apply(body)).await?;
    Ok(())
}

fn metadata(plan: &Plan, name: &str) -> ObjectMeta {
    serde_json::from_value(parts::metadata(plan, name))
        .expect("metadata are written as Kubernetes reads them")
}

async fn create<K>(client: &Client, plan: &Plan, object: &K) -> Result<(), Error>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + serde::Serialize
        + serde::de::DeserializeOwned
        + Clone
        + std::fmt::Debug,
{
    let params = PostParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PostParams::default() };
    Api::<K>::namespaced(client.clone(), &plan.key.namespace).create(&params, object).await?;
    Ok(())
}
