//! Takes the steps that concern the API server, one request each.

use crate::authority::AuthorityPems;
use crate::claims::Mend;
use crate::look;
use crate::names;
use crate::observed::{Version, Volume};
use crate::parts::{self, Part};
use crate::plan::{Contested, Plan};
use crate::reason::Reason;
use crate::steps::Written;
use crate::undeclared::Undeclared;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, Resource, Status};
use kube::{Api, Client};
use proto::plan::AgentPlanStatus;
use proto::ring::{Member, Ring};
use proto::trust::{self, Authority, Pair, Role};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The most bytes of what the API server says against an object.
const REJECTION_MAX: usize = 500;

/// So often a status is written without fields that the API server says the CRD lacks. It names all that it finds.
const WRITTEN_MAX: usize = 4;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was decided from has changed since.
    /// Or it is another object by now.
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
                422 if is_another(status) => Error::Overtaken(status.message.clone()),
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

/// Whether the API server says that the object of this name has another uid than the one that was meant.
fn is_another(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.field == "metadata.uid")
}

/// Fields that others have set are others': only what is wished is taken over. What the API server has made of it.
pub async fn apply(client: &Client, plan: &Plan, part: Part, desired: &Value) -> Result<Value, Error> {
    let made = write(look::parts(client.clone(), plan, part), desired).await?;
    Ok(serde_json::to_value(made).unwrap_or_default())
}

/// Makes the object, or applies it to the very one whose uid stands in it. It never lands on another object of its name.
async fn write(objects: Api<DynamicObject>, desired: &Value) -> Result<DynamicObject, Error> {
    let name = desired["metadata"]["name"].as_str().unwrap_or_default();
    if desired["metadata"]["uid"].is_null() {
        let object: DynamicObject =
            serde_json::from_value(desired.clone()).map_err(kube::Error::SerdeError)?;
        let made = objects.create(&made_by_us(), &object).await?;
        return own(&objects, &made).await.map(|owned| owned.unwrap_or(made));
    }
    let params = PatchParams::apply(names::FIELD_MANAGER).force();
    let applied = objects.patch(name, &params, &Patch::Apply(desired)).await?;
    if own(&objects, &applied).await?.is_none() {
        return Ok(applied);
    }
    Ok(objects.patch(name, &params, &Patch::Apply(desired)).await?)
}

/// The API server tells fields that were made from fields that were applied, and takes away only the latter when they are
/// not applied any more: makes the former the latter, if there are any.
async fn own(objects: &Api<DynamicObject>, object: &DynamicObject) -> Result<Option<DynamicObject>, Error> {
    let Some(fields) = applied_fields(object.metadata.managed_fields.as_deref().unwrap_or_default()) else {
        return Ok(None);
    };
    let metadata = json!({"resourceVersion": object.metadata.resource_version, "managedFields": fields});
    let params =
        PatchParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"metadata": metadata}));
    let owned = objects.patch(object.metadata.name.as_deref().unwrap_or_default(), &params, &patch).await?;
    Ok(Some(owned))
}

/// With the entry of what was made turned into one of what was applied; `None`: there is nothing to turn.
fn applied_fields(entries: &[ManagedFieldsEntry]) -> Option<Vec<ManagedFieldsEntry>> {
    let is = |entry: &ManagedFieldsEntry, operation: &str| {
        entry.manager.as_deref() == Some(names::FIELD_MANAGER)
            && entry.operation.as_deref() == Some(operation)
            && entry.subresource.as_deref().unwrap_or_default().is_empty()
    };
    if !entries.iter().any(|entry| is(entry, "Update")) {
        return None;
    }
    // What was applied since is applied again.
    let kept = entries.iter().filter(|entry| !is(entry, "Apply"));
    let turned = kept.map(|entry| {
        let operation = if is(entry, "Update") { Some("Apply".to_owned()) } else { entry.operation.clone() };
        ManagedFieldsEntry { operation, ..entry.clone() }
    });
    Some(turned.collect())
}

fn made_by_us() -> PostParams {
    PostParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// The patch names the version of the claim that it was made for. What the API server has made of the claim, as far as its
/// metadata say it.
pub async fn patch_claim(client: &Client, plan: &Plan, mend: &Mend) -> Result<Volume, Error> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &plan.key.namespace);
    let params =
        PatchParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patched = claims.patch_metadata(&mend.claim, &params, &Patch::Merge(&mend.patch)).await?;
    Ok(Volume::of_metadata(&patched.metadata))
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
    uid: Option<String>,
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
        metadata: ObjectMeta { uid, ..metadata(plan, &name) },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(data(&members)),
        ..Secret::default()
    };
    let resource = ApiResource::erase::<Secret>(&());
    let secrets = Api::namespaced_with(client.clone(), &plan.key.namespace, &resource);
    let secret = serde_json::to_value(&secret).map_err(kube::Error::SerdeError)?;
    write(secrets, &secret).await.map(drop)
}

fn data(members: &[(&str, &str)]) -> BTreeMap<String, ByteString> {
    members.iter().map(|(name, text)| ((*name).to_owned(), ByteString(text.as_bytes().to_vec()))).collect()
}

/// It succeeds only where there is no ring. Whether it has, when no answer came, is read the next time.
pub async fn begin_ring(client: &Client, plan: &Plan, members: Vec<Member>, slots: u32) -> Result<(), Error> {
    make_ring(client, plan, &Ring::begin(&plan.data_uid, members, slots, rand::random())).await
}

/// It succeeds only where there is no ring, or where the one that it takes the place of is as it was seen. What is new is
/// told from others by a nonce.
pub async fn write_ring(client: &Client, plan: &Plan, written: Written) -> Result<(), Error> {
    let Written { ring, over } = written;
    let nonce = if ring.nonce == 0 { rand::random() } else { ring.nonce };
    let ring = Ring { nonce, ..*ring };
    let Some(Version { uid, resource_version }) = over else { return make_ring(client, plan, &ring).await };
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &plan.key.namespace);
    let params =
        PatchParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patch = json!({
        "metadata": {"uid": uid, "resourceVersion": resource_version},
        "binaryData": {names::RING_KEY: ByteString(ring.encode())},
    });
    maps.patch(&names::ring(plan.name()), &params, &Patch::Merge(patch)).await?;
    Ok(())
}

async fn make_ring(client: &Client, plan: &Plan, ring: &Ring) -> Result<(), Error> {
    let map = ConfigMap {
        metadata: metadata(plan, &names::ring(plan.name())),
        binary_data: Some(BTreeMap::from([(names::RING_KEY.to_owned(), ByteString(ring.encode()))])),
        ..ConfigMap::default()
    };
    create(client, plan, &map).await
}

/// Writes the status of the very object that it was decided from, without the fields that the CRD lacks. Those of which
/// that was not known before.
pub async fn report(
    client: &Client,
    plan: &Plan,
    status: &AgentPlanStatus,
    undeclared: &mut Undeclared,
) -> Result<Vec<String>, Error> {
    let Plan { key, uid, resource_version, .. } = plan;
    let status = serde_json::to_value(status).map_err(kube::Error::SerdeError)?;
    let plans = look::plans(client.clone(), &key.namespace);
    let params = PatchParams::apply(names::STATUS_FIELD_MANAGER).force();
    let mut left_out = Vec::new();
    for left in (0..WRITTEN_MAX).rev() {
        let body = json!({
            "apiVersion": names::API_VERSION,
            "kind": names::KIND,
            "metadata": {
                "name": key.name, "namespace": key.namespace, "uid": uid, "resourceVersion": resource_version,
            },
            "status": undeclared.left_out(status.clone()),
        });
        match plans.patch_status(&key.name, &params, &Patch::Apply(body)).await {
            Ok(_) => break,
            Err(kube::Error::Api(refusal)) => match undeclared.learn(&refusal.message) {
                new if new.is_empty() || left == 0 => return Err(kube::Error::Api(refusal).into()),
                new => left_out.extend(new),
            },
            Err(error) => return Err(error.into()),
        }
    }
    Ok(left_out)
}

/// Writes the name of the operator into the status of the very object that was seen: of two that do, one succeeds.
pub async fn name_owner(
    client: &Client,
    plan: &Plan,
    operator: &str,
    undeclared: &mut Undeclared,
) -> Result<Vec<String>, Error> {
    let status = AgentPlanStatus { operator: Some(operator.to_owned()), ..plan.status.clone() };
    report(client, plan, &status, undeclared).await
}

/// Says that several operators look after the plan, or no more so. The rest of the status is its owner's.
pub async fn contest(
    client: &Client,
    plan: &Plan,
    contested: Option<&Contested>,
    now: Timestamp,
) -> Result<(), Error> {
    let Plan { key, uid, .. } = plan;
    let mut body = json!({
        "apiVersion": names::API_VERSION,
        "kind": names::KIND,
        "metadata": {"name": key.name, "namespace": key.namespace, "uid": uid},
    });
    if let Some(Contested { generation, text }) = contested {
        body["status"]["conditions"] = json!([{
            "type": names::CONTESTED, "status": "True", "reason": Reason::AnotherOperator.as_str(), "message": text,
            "observedGeneration": generation, "lastTransitionTime": Time(now),
        }]);
    }
    let params = PatchParams::apply(names::CONTESTED_FIELD_MANAGER).force();
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
    Api::<K>::namespaced(client.clone(), &plan.key.namespace).create(&made_by_us(), object).await?;
    Ok(())
}
