//! The pods of a plan, and a gRPC channel to one of them through the API server.

use super::{choice, connector};
use crate::names;
use futures::AsyncBufRead;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{ListParams, LogParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use proto::plan::AgentPlan;
use proto::shown::Failure;
use proto::wire::v1::lanes_client::LanesClient;
use proto::wire::{CONNECTION_WINDOW, STREAM_WINDOW};
use serde_json::json;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

/// The API server and a kubelet have to answer within this.
const OPENING: Duration = Duration::from_secs(10);
/// A tunnel that is silent for so long is asked whether it lives, and is given as long again.
const SILENCE: Duration = Duration::from_secs(5);

/// A cluster, and the namespace in which things are looked for.
pub struct Cluster {
    pub client: Client,
    pub namespace: String,
}

impl Cluster {
    pub async fn of(
        namespace: Option<String>,
        context: Option<String>,
        kubeconfig: Option<PathBuf>,
    ) -> Result<Cluster, Failure> {
        let wrong = |error: String| Failure::unreachable(format!("the cluster can't be reached: {error}"));
        let config = config(context, kubeconfig).await.map_err(wrong)?;
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        let client = connector::client(config).map_err(|error| wrong(error.to_string()))?;
        Ok(Cluster { client, namespace })
    }

    /// The plans of the namespace, or of all.
    pub async fn plans(&self, of_all: bool) -> Result<Vec<AgentPlan>, Failure> {
        let api: Api<AgentPlan> = if of_all {
            Api::all(self.client.clone())
        } else {
            Api::namespaced(self.client.clone(), &self.namespace)
        };
        Ok(within("listing plans", api.list(&ListParams::default())).await?.items)
    }
}

impl Cluster {
    pub async fn plan(&self, name: &str) -> Result<AgentPlan, Failure> {
        let api: Api<AgentPlan> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = within("reading the plan", api.get_opt(name)).await?;
        found.ok_or_else(|| {
            Failure::unreachable(format!("there is no plan `{name}` in namespace `{}`", self.namespace))
        })
    }

    /// The claims of the nodes of plans of this name.
    pub async fn claims(&self, plan: &str) -> Result<Vec<PersistentVolumeClaim>, Failure> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &self.namespace);
        let wanted = ListParams::default().labels(&names::selector(plan));
        Ok(within("listing claims", api.list(&wanted)).await?.items)
    }

    /// Lets the plan go on with the data that are called so.
    pub async fn adopt(&self, plan: &str, uid: &str) -> Result<(), Failure> {
        let api: Api<AgentPlan> = Api::namespaced(self.client.clone(), &self.namespace);
        let patch = Patch::Merge(json!({"spec": {"recovery": {"adoptVolumesOf": uid}}}));
        let params = PatchParams::default();
        let changed = within("changing the plan", api.patch(plan, &params, &patch)).await?;
        if changed.spec.recovery.adopt_volumes_of.as_deref() != Some(uid) {
            let text = "the cluster's CRD has no spec.recovery: it is older than this program; apply the chart's CRD";
            return Err(Failure::unreachable(text));
        }
        Ok(())
    }
}

pub struct Pods {
    api: Api<Pod>,
    pub plan: String,
    pub namespace: String,
}

/// A way to one pod.
pub struct Tunnel {
    pub pod: String,
    pub lanes: LanesClient<Channel>,
}

async fn config(context: Option<String>, kubeconfig: Option<PathBuf>) -> Result<Config, String> {
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let config = match (kubeconfig, &options.context) {
        (Some(path), _) => {
            let read =
                Kubeconfig::read_from(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            Config::from_custom_kubeconfig(read, &options).await
        }
        (None, Some(_)) => Config::from_kubeconfig(&options).await,
        (None, None) => return Config::infer().await.map_err(|error| error.to_string()),
    };
    config.map_err(|error| error.to_string())
}

impl Pods {
    pub fn of(plan: &str, Cluster { client, namespace }: Cluster) -> Pods {
        Pods { api: Api::namespaced(client, &namespace), plan: plan.to_owned(), namespace }
    }

    pub async fn list(&self) -> Result<Vec<Pod>, Failure> {
        let wanted = ListParams::default().labels(&names::selector(&self.plan));
        Ok(within("listing pods", self.api.list(&wanted)).await?.items)
    }

    /// Those that are ready, beginning after the one that was asked last; an error if there is none.
    pub async fn ready(&self, last: Option<&str>) -> Result<Vec<String>, Failure> {
        let pods = self.list().await?;
        let ready = choice::ready(&pods, last);
        if ready.is_empty() {
            return Err(Failure::unreachable(choice::none(&self.plan, &self.namespace, &pods)));
        }
        Ok(ready)
    }

    pub async fn names(&self) -> Result<Vec<String>, Failure> {
        let pods = self.list().await?;
        if pods.is_empty() {
            return Err(Failure::unreachable(choice::none(&self.plan, &self.namespace, &pods)));
        }
        let mut names: Vec<String> = pods.iter().map(ResourceExt::name_any).collect();
        names.sort_by_key(|name| (name.len(), name.clone()));
        Ok(names)
    }

    /// The lines that a pod's node has logged.
    pub async fn log(&self, pod: &str, wanted: &LogParams) -> Result<impl AsyncBufRead + use<>, Failure> {
        within(&format!("the log of {pod}"), self.api.log_stream(pod, wanted)).await
    }

    /// The bytes to a pod and from it.
    pub async fn forward(&self, pod: &str) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>, Failure> {
        let port = names::CLIENT_PORT;
        let mut forward =
            within(&format!("port-forward to {pod}"), self.api.portforward(pod, &[port])).await?;
        forward.take_stream(port).ok_or_else(|| Failure::unreachable(format!("no port-forward to {pod}")))
    }

    pub async fn open(&self, pod: &str) -> Result<Tunnel, Failure> {
        let mut stream = Some(self.forward(pod).await?);
        // A broken tunnel is not mended here: another one is opened, maybe to another pod.
        let once = tower::service_fn(move |_| {
            let stream = stream.take().ok_or_else(|| std::io::Error::other("the port-forward has ended"));
            async move { stream.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://pod")
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(SILENCE)
            .keep_alive_timeout(SILENCE)
            .keep_alive_while_idle(true);
        let channel =
            within(&format!("a connection to {pod}"), endpoint.connect_with_connector(once)).await?;
        let lanes = LanesClient::new(channel).max_decoding_message_size(usize::MAX);
        Ok(Tunnel { pod: pod.to_owned(), lanes })
    }
}

async fn within<T, E: std::error::Error>(
    what: &str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    match timeout(OPENING, work).await {
        Ok(done) => done.map_err(|error| Failure::unreachable(format!("{what}: {}", chain(&error)))),
        Err(_) => Err(Failure::unreachable(format!("{what}: no answer in {} s", OPENING.as_secs()))),
    }
}

/// An error with what lies behind it, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(error) = behind {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        behind = error.source();
    }
    text
}
