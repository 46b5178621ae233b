//! How nodes reach each other: the one place that opens and accepts their connections, and where mutual TLS goes.

use crate::connections;
use axum::body::Body;
use hyper::{Request, body::Incoming};
use prometheus_client::metrics::gauge::Gauge;
use proto::wire::{CONNECTION_WINDOW, STREAM_WINDOW};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint, Error};
use tower::ServiceExt as _;

const CONNECT: Duration = Duration::from_secs(1);
/// A peer that is silent for so long after being asked for a sign of life is not there.
const SILENCE: Duration = Duration::from_secs(3);
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Connects to where a node answers its peers: `HOST:PORT`.
pub async fn connect(at: &str) -> Result<Channel, Error> {
    Endpoint::from_shared(format!("http://{at}"))?
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(SIGN_OF_LIFE)
        .keep_alive_timeout(SILENCE)
        .keep_alive_while_idle(true)
        .connect()
        .await
}

/// Answers peers until `stop`, and returns when no connection is left.
pub async fn accept(listener: TcpListener, routes: Routes, stop: CancellationToken) {
    let router = routes.prepare().into_axum_router();
    let route = move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            let Ok(response) = router.oneshot(request.map(Body::new)).await;
            response
        }
    };
    connections::accept(listener, Gauge::default(), stop, CancellationToken::new, route).await;
}
