//! Hears from the API server that something of a plan has changed; what, is read when the plan is looked at. Only
//! metadata come over these streams, so that no object can be so wrong that the stream ends.

use crate::client::WATCH_S;
use crate::metrics::Metrics;
use crate::names;
use crate::plan::Key;
use futures::stream::{BoxStream, SelectAll, StreamExt as _};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use proto::plan::AgentPlan;
use std::fmt::Debug;
use tracing::warn;

/// Keys of plans of which something has changed. Streams begin again by themselves.
pub type Touched = SelectAll<BoxStream<'static, Key>>;

/// Plans of which something was touched, in these namespaces or in all.
pub fn touched(client: &Client, namespaces: &[String], metrics: &Metrics) -> Touched {
    let mut all = Touched::new();
    let mut add = |namespace: Option<&str>| {
        let ours = watcher::Config::default().labels(names::MANAGED_BY_US);
        all.push(plans(client, namespace, metrics));
        all.push(parts::<StatefulSet>(client, namespace, &ours, metrics));
        all.push(parts::<Pod>(client, namespace, &ours, metrics));
        all.push(parts::<Service>(client, namespace, &ours, metrics));
        all.push(parts::<ServiceAccount>(client, namespace, &ours, metrics));
        all.push(parts::<ConfigMap>(client, namespace, &ours, metrics));
        all.push(parts::<PersistentVolumeClaim>(client, namespace, &ours, metrics));
        all.push(parts::<NetworkPolicy>(client, namespace, &ours, metrics));
        all.push(parts::<PodDisruptionBudget>(client, namespace, &ours, metrics));
    };
    if namespaces.is_empty() {
        add(None);
    }
    for namespace in namespaces {
        add(Some(namespace));
    }
    all
}

fn plans(client: &Client, namespace: Option<&str>, metrics: &Metrics) -> BoxStream<'static, Key> {
    stream::<AgentPlan>(client, namespace, watcher::Config::default(), metrics, |meta| meta.name.clone())
}

fn parts<K: Part>(
    client: &Client,
    namespace: Option<&str>,
    ours: &watcher::Config,
    metrics: &Metrics,
) -> BoxStream<'static, Key> {
    stream::<K>(client, namespace, ours.clone(), metrics, |meta| {
        meta.labels.as_ref()?.get(names::PLAN).cloned()
    })
}

trait Part:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Send + Sync + 'static
{
}

impl<K> Part for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Send + Sync + 'static
{
}

fn stream<K: Part>(
    client: &Client,
    namespace: Option<&str>,
    config: watcher::Config,
    metrics: &Metrics,
    plan: fn(&ObjectMeta) -> Option<String>,
) -> BoxStream<'static, Key> {
    let api: Api<PartialObjectMeta<K>> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let key = move |meta: &ObjectMeta| Some(Key { namespace: meta.namespace.clone()?, name: plan(meta)? });
    let errors = metrics.watch_errors(&K::kind(&()));
    let events = watcher(api, config.timeout(WATCH_S)).default_backoff();
    let keys = events.filter_map(move |event| {
        std::future::ready(match event {
            Ok(Event::Apply(object) | Event::Delete(object) | Event::InitApply(object)) => {
                key(&object.metadata)
            }
            Ok(Event::Init | Event::InitDone) => None,
            Err(error) => {
                errors.inc();
                warn!(kind = %K::kind(&()), %error, "a watch has ended and is opened again");
                None
            }
        })
    });
    keys.boxed()
}
