//! Reads what the API server has of a plan.
//!
//! *Guarantees.* Each read is answered by the API server's store, not by a cache, so nothing is decided from before the
//! operator's own last write. *Assumptions.* The client limits how long an answer takes.

use crate::authority::AuthorityPems;
use crate::hold;
use crate::lease::Held;
use crate::names;
use crate::observed::{self, Objects, Pod, Seen, Version, Volume};
use crate::parts::Part;
use crate::plan::{Key, Plan};
use bytes::Bytes;
use futures::future::try_join_all;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod as Manifest, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::{Api, Client, Result};
use proto::trust::{self, Pair, Pems};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The most events of one object that are read.
const EVENTS_MAX: u32 = 64;

pub fn plans(client: Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client, namespace, &ApiResource::erase::<proto::plan::AgentPlan>(&()))
}

pub async fn plan(client: &Client, key: &Key) -> Result<Option<Plan>> {
    let object = plans(client.clone(), &key.namespace).get_opt(&key.name).await?;
    Ok(object.as_ref().map(Plan::of))
}

/// The Lease of the operator of this name, if there is one.
pub async fn lease(client: &Client, operator: &str) -> Result<Option<Held>> {
    let (namespace, name) = operator.split_once('/').unwrap_or(("default", operator));
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    Ok(leases.get_opt(name).await?.as_ref().map(hold::held))
}

pub async fn objects(client: &Client, plan: &Plan) -> Result<Objects> {
    let parts = try_join_all(Part::ALL.map(|one| part(client, plan, one)));
    let (parts, authority, certificates, ring, pods, volumes) = tokio::try_join!(
        parts,
        authority(client, plan),
        certificates(client, plan),
        ring(client, plan),
        pods(client, plan),
        volumes(client, plan)
    )?;
    let (certificates, certificates_uid) = certificates;
    let (ring, ring_version) = ring;
    let parts = parts.into_iter().collect();
    let pods_of = BTreeMap::new();
    let mut objects = Objects {
        pods: pods_of,
        parts,
        authority,
        certificates,
        certificates_uid,
        ring,
        ring_version,
        volumes,
    };
    let ours = pods.iter().filter(|pod| is_of(pod, objects.set_uid()));
    objects.pods = ours.filter_map(|pod| Some((ordinal(plan, pod)?, Pod::of(pod)))).collect();
    Ok(objects)
}

/// What the newest event of each of these objects warns of. Never watched: there may be very many events.
pub async fn warnings(
    client: &Client,
    plan: &Plan,
    uids: &BTreeSet<String>,
) -> Result<BTreeMap<String, String>> {
    let events: Api<Event> = Api::namespaced(client.clone(), &plan.key.namespace);
    let events = &events;
    let of = async |uid: String| {
        let of_object = ListParams::default().fields(&format!("regarding.uid={uid}")).limit(EVENTS_MAX);
        let found = events.list(&of_object).await?;
        Ok::<_, kube::Error>(observed::warning(&found.items).map(|warning| (uid, warning)))
    };
    let found = try_join_all(uids.iter().cloned().map(of)).await?;
    Ok(found.into_iter().flatten().collect())
}

async fn part(client: &Client, plan: &Plan, part: Part) -> Result<(Part, Seen<Value>)> {
    let api = parts(client.clone(), plan, part);
    let found = api.get_opt(&part.name(plan.name())).await?;
    let content = |object: &DynamicObject| {
        let mut content = serde_json::to_value(object).unwrap_or_default();
        content["metadata"]["managedFields"].take();
        content
    };
    Ok((part, Seen::of(found.as_ref().map(|object| (&object.metadata, content(object))), plan)))
}

pub fn parts(client: Client, plan: &Plan, part: Part) -> Api<DynamicObject> {
    Api::namespaced_with(client, &plan.key.namespace, &part.resource())
}

async fn authority(client: &Client, plan: &Plan) -> Result<Seen<AuthorityPems>> {
    let found = secret(client, plan, &names::authority(plan.name())).await?;
    let content = |secret: &Secret| AuthorityPems {
        pair: Pair {
            certificate: text(secret, names::AUTHORITY_CERTIFICATE),
            key: text(secret, names::AUTHORITY_KEY),
        },
        trusted: text(secret, names::AUTHORITY_TRUSTED),
    };
    Ok(Seen::of(found.as_ref().map(|secret| (&secret.metadata, content(secret))), plan))
}

/// With the uid of the Secret, if it is the plan's.
async fn certificates(client: &Client, plan: &Plan) -> Result<(Seen<Pems>, Option<String>)> {
    let found = secret(client, plan, &names::certificates(plan.name())).await?;
    let content = |secret: &Secret| Pems {
        pair: Pair { certificate: text(secret, trust::CERTIFICATE), key: text(secret, trust::KEY) },
        bundle: text(secret, trust::BUNDLE),
    };
    let seen = Seen::of(found.as_ref().map(|secret| (&secret.metadata, content(secret))), plan);
    let uid = found.and_then(|secret| secret.metadata.uid).filter(|_| seen.ours().is_some());
    Ok((seen, uid))
}

async fn secret(client: &Client, plan: &Plan, name: &str) -> Result<Option<Secret>> {
    Api::namespaced(client.clone(), &plan.key.namespace).get_opt(name).await
}

/// A member of a Secret; empty where there is none.
fn text(secret: &Secret, member: &str) -> String {
    let text = secret.data.as_ref().and_then(|data| data.get(member));
    text.map(|text| String::from_utf8_lossy(&text.0).into_owned()).unwrap_or_default()
}

/// With the version of the ConfigMap, if it is the plan's.
async fn ring(client: &Client, plan: &Plan) -> Result<(Seen<Bytes>, Option<Version>)> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &plan.key.namespace);
    let found = maps.get_opt(&names::ring(plan.name())).await?;
    let content = |map: &ConfigMap| {
        let ring = map.binary_data.as_ref().and_then(|data| data.get(names::RING_KEY));
        ring.map(|ring| Bytes::from(ring.0.clone())).unwrap_or_default()
    };
    let seen = Seen::of(found.as_ref().map(|map| (&map.metadata, content(map))), plan);
    let version = found.filter(|_| seen.ours().is_some()).map(|map| Version {
        uid: map.metadata.uid.unwrap_or_default(),
        resource_version: map.metadata.resource_version.unwrap_or_default(),
    });
    Ok((seen, version))
}

async fn pods(client: &Client, plan: &Plan) -> Result<Vec<Manifest>> {
    let api: Api<Manifest> = Api::namespaced(client.clone(), &plan.key.namespace);
    Ok(api.list(&of_plan(plan)).await?.items)
}

/// Pods of a plan that had this name before may still be there.
fn is_of(pod: &Manifest, set: &str) -> bool {
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().any(|owner| owner.uid == set)
}

fn ordinal(plan: &Plan, pod: &Manifest) -> Option<u16> {
    names::ordinal(plan.name(), pod.metadata.name.as_deref()?)
}

async fn volumes(client: &Client, plan: &Plan) -> Result<Vec<Volume>> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &plan.key.namespace);
    let found = api.list(&of_plan(plan)).await?;
    Ok(found.iter().map(Volume::of).collect())
}

fn of_plan(plan: &Plan) -> ListParams {
    ListParams::default().labels(&names::selector(plan.name()))
}
