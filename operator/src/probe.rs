//! Tries again and again whether plans can be listed, for `/readyz`. One that waits for the Lease tries as well: it is
//! ready to take over only when it could act.

use crate::context::Context;
use crate::listing::{Listing, Refusal};
use futures::StreamExt as _;
use kube::api::ListParams;
use kube::{Api, Client};
use proto::plan::AgentPlan;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Namespaces that are tried at the same time.
const AT_ONCE: usize = 8;

pub struct Probe {
    pub context: Arc<Context>,
    /// Where plans are listed; none: in all namespaces at once.
    pub namespaces: Vec<String>,
    pub listing: watch::Sender<Listing>,
}

impl Probe {
    /// Tries until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let wait = tokio::select! {
                wait = self.try_now() => wait,
                () = stop.cancelled() => return,
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Tries once, and says how long to wait until the next time.
    async fn try_now(&self) -> Duration {
        let now = try_once(&self.context.client, &self.namespaces).await;
        let wait = now.next_try();
        self.context.metrics.ready.set(now.works().into());
        self.listing.send_if_modified(|before| {
            let differs = *before != now;
            if differs && now.works() {
                info!("ready: {now}");
            } else if differs {
                warn!("not ready: {now}");
            }
            *before = now;
            differs
        });
        wait
    }
}

async fn try_once(client: &Client, namespaces: &[String]) -> Listing {
    let all = [None];
    let named = namespaces.iter().cloned().map(Some);
    let tries: Vec<_> = all.into_iter().filter(|_| namespaces.is_empty()).chain(named).collect();
    let tries = futures::stream::iter(tries).map(|namespace| list(client, namespace)).buffered(AT_ONCE);
    let ended: Vec<Result<(), Refusal>> = tries.collect().await;
    Listing::after(ended.into_iter().filter_map(Result::err).collect())
}

/// Lists the metadata of one plan at most. `None`: in all namespaces.
async fn list(client: &Client, namespace: Option<String>) -> Result<(), Refusal> {
    let plans: Api<AgentPlan> = match &namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let listed = plans.list_metadata(&ListParams::default().limit(1)).await;
    listed.map(drop).map_err(|error| match error {
        kube::Error::Api(status) => {
            Refusal { namespace, code: Some(status.code), why: status.message.clone() }
        }
        error => Refusal { namespace, code: None, why: error.to_string() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::news::Teller;
    use crate::nodes::Nodes;
    use crate::port::{self, Pulse};
    use crate::served::{self, failure};
    use crate::world;
    use axum::body::Body;
    use http_body_util::BodyExt as _;
    use hyper::{Request, StatusCode};
    use serde_json::{Value, json};
    use std::sync::Mutex;
    use tower::ServiceExt as _;

    type Answer = Arc<Mutex<(StatusCode, Value)>>;

    /// An operator's port, over an API server that answers so.
    struct Scene {
        answer: Answer,
        probe: Probe,
        listing: watch::Receiver<Listing>,
    }

    impl Scene {
        fn begin(namespaces: &[&str]) -> Scene {
            let answer = Arc::new(Mutex::new(listed()));
            let told = answer.clone();
            let client = served::client(move |asked| {
                let refused = failure(StatusCode::FORBIDDEN, "agentplans is forbidden");
                if asked.path.contains("/closed/") { refused } else { told.lock().unwrap().clone() }
            });
            let context = Arc::new(Context {
                teller: Teller::new(client.clone(), "tests"),
                client,
                nodes: Nodes::default(),
                settings: world::settings(),
                metrics: Metrics::default(),
                operator: String::new(),
                left_out: Mutex::default(),
            });
            let (sender, listing) = watch::channel(Listing::default());
            let namespaces = namespaces.iter().map(ToString::to_string).collect();
            Scene { answer, probe: Probe { context, namespaces, listing: sender }, listing }
        }

        /// What `/readyz` says after the next try.
        async fn next(&self) -> (u16, String) {
            self.probe.try_now().await;
            self.readyz().await
        }

        async fn readyz(&self) -> (u16, String) {
            let router = port::router(self.probe.context.clone(), Pulse::default(), self.listing.clone());
            let asked = Request::get("/readyz").body(Body::empty()).unwrap();
            let answer = router.oneshot(asked).await.unwrap();
            let code = answer.status().as_u16();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            (code, String::from_utf8(body.into()).unwrap())
        }

        fn metric(&self) -> bool {
            self.probe.context.metrics.text().contains("\nshoal_operator_ready 1\n")
        }
    }

    fn listed() -> (StatusCode, Value) {
        (StatusCode::OK, json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": []}))
    }

    #[tokio::test]
    async fn it_is_ready_while_plans_can_be_listed_and_says_what_keeps_it() {
        let scene = Scene::begin(&[]);
        let (code, text) = scene.readyz().await;
        assert_eq!((code, text.as_str()), (503, "it has not been tried yet whether plans can be listed\n"));
        assert_eq!((scene.next().await, scene.metric()), ((200, "ok\n".to_owned()), true));
        for (refused, said) in [
            (failure(StatusCode::FORBIDDEN, "agentplans is forbidden"), "agentplans is forbidden. Give"),
            (failure(StatusCode::NOT_FOUND, "page not found"), "Apply crds/agentplans.yaml"),
            (failure(StatusCode::GATEWAY_TIMEOUT, "slow"), "answers 504: slow"),
        ] {
            *scene.answer.lock().unwrap() = refused;
            let (code, text) = scene.next().await;
            assert!(code == 503 && text.contains(said) && !scene.metric(), "{code} {text}");
        }
        *scene.answer.lock().unwrap() = listed();
        assert_eq!((scene.next().await, scene.metric()), ((200, "ok\n".to_owned()), true));
    }

    #[tokio::test]
    async fn one_namespace_in_which_plans_cannot_be_listed_is_enough() {
        let scene = Scene::begin(&["open", "closed"]);
        let (code, text) = scene.next().await;
        assert!(code == 503 && text.contains("in the namespace closed: "), "{code} {text}");
        assert_eq!(Scene::begin(&["open"]).next().await.0, 200);
    }
}
