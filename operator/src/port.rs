//! `/livez`, `/readyz` and `/metrics`.

use crate::context::Context;
use crate::listing::Listing;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A loop that has not turned for so long does not turn again.
const STUCK: Duration = Duration::from_mins(1);

/// When the loop turned last.
#[derive(Clone)]
pub struct Pulse {
    began: Instant,
    /// In seconds from then; `u64::MAX`: it does not turn yet.
    turned_s: Arc<AtomicU64>,
}

impl Default for Pulse {
    fn default() -> Pulse {
        Pulse { began: Instant::now(), turned_s: Arc::new(AtomicU64::new(u64::MAX)) }
    }
}

impl Pulse {
    pub fn beat(&self) {
        self.turned_s.store(self.began.elapsed().as_secs(), Relaxed);
    }

    fn is_stuck(&self) -> bool {
        let turned_s = self.turned_s.load(Relaxed);
        turned_s != u64::MAX && self.began.elapsed().as_secs().saturating_sub(turned_s) > STUCK.as_secs()
    }
}

/// Until `stop`.
pub async fn serve(
    listener: TcpListener,
    context: Arc<Context>,
    pulse: Pulse,
    listing: watch::Receiver<Listing>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = router(context, pulse, listing);
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

pub fn router(context: Arc<Context>, pulse: Pulse, listing: watch::Receiver<Listing>) -> Router {
    let live = move || {
        let stuck = pulse.is_stuck();
        async move { if stuck { (StatusCode::SERVICE_UNAVAILABLE, "stuck\n") } else { (StatusCode::OK, "ok\n") } }
    };
    let ready = move || {
        let listing = listing.borrow().clone();
        async move {
            if listing.works() {
                (StatusCode::OK, "ok\n".to_owned())
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, format!("{listing}\n"))
            }
        }
    };
    let text = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let metrics = move || {
        let body = context.metrics.text();
        async move { ([(header::CONTENT_TYPE, text)], body).into_response() }
    };
    Router::new().route("/livez", get(live)).route("/readyz", get(ready)).route("/metrics", get(metrics))
}
