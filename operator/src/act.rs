//! Takes the steps that concern the API server, one request each.

use crate::look;
use crate::names;
use crate::parts::{self, Part};
use crate::plan::Plan;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::Resource;
use kube::{Api, Client};
use proto::plan::AgentPlanStatus;
use proto::ring::{Member, Ring};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The most bytes of what the API server says against an object.
const REJECTION_MAX: usize = 500;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was decided from has changed since.
    #[error("someone else was faster: {0}")]
    Overtaken(String),
    /// It will say so again.
    #[error("{0}")]
    Rejected(String),
    #[error("{0}")]
    Failed(#[source] kube::Error),
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Error {
        match &error {
            kube::Error::Api(status) => match status.code {
                404 | 409 => Error::Overtaken(status.message.clone()),
                400 | 403 | 422 => Error::Rejected(status.message.chars().take(REJECTION_MAX).collect()),
                _ => Error::Failed(error),
            },
            _ => Error::Failed(error),
        }
    }
}

/// Fields that others have set are others': only what is wished is taken over.
pub async fn apply(client: &Client, plan: &Plan, part: Part, desired: &Value) -> Result<(), Error> {
    let params = PatchParams::apply(names::FIELD_MANAGER).force();
    let name = part.name(plan.name());
    look::parts(client.clone(), plan, part).patch(&name, &params, &Patch::Apply(desired)).await?;
    Ok(())
}

/// Made once: one that is there already stays.
pub async fn make_token(client: &Client, plan: &Plan) -> Result<(), Error> {
    // 256 bits.
    let token = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
    let secret = Secret {
        metadata: metadata(plan, &names::token(plan.name())),
        immutable: Some(true),
        data: Some(BTreeMap::from([(look::TOKEN_KEY.to_owned(), ByteString(token.into_bytes()))])),
        ..Secret::default()
    };
    create(client, plan, &secret).await
}

/// It succeeds only where there is no ring. Whether it has, when no answer came, is read the next time.
pub async fn begin_ring(client: &Client, plan: &Plan, members: Vec<Member>, slots: u32) -> Result<(), Error> {
    let ring = Ring::begin(&plan.uid, members, slots, rand::random());
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
