//! The public port: one listener for gRPC and HTTP, told apart by what the client sends.
//!
//! *Assumptions*: the node outlives the port, so that what was taken can be answered.

use crate::connections::{self, Port, RequestBody};
use crate::ways::grpc::{self, Addresses};
use crate::ways::{http, metrics::Metrics, site};
use crate::{answer, node::Node, refusal::Refusal};
use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::{Method, Request, Response, header};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Requests and streams under way: each costs some 15 KB, and may say nothing for as long as it likes.
const CALLS_MAX: i64 = 32_768;

/// Serves clients until `stop`, then lets what is open end, and returns.
pub async fn serve(
    listener: TcpListener,
    node: Node,
    metrics: Arc<Metrics>,
    addresses: Addresses,
    hosts: site::Hosts,
    stop: CancellationToken,
) {
    let (counted, contact) = (metrics.port.clone(), node.clone());
    let under_way = counted.under_way.clone();
    let calls = grpc::router(node.clone(), metrics.clone(), addresses, stop.clone());
    let stopping = stop.clone();
    let route = move |request: Request<RequestBody>| {
        let (node, metrics, calls, stop) = (node.clone(), metrics.clone(), calls.clone(), stopping.clone());
        let are_too_many = under_way.get() > CALLS_MAX;
        async move {
            let way = Way::of(&request);
            if are_too_many {
                let text =
                    format!("{CALLS_MAX} requests and streams are under way on this node, and no more fit");
                return way.refused(&Refusal::full(text, ""));
            }
            let may_ask = |origin: &_| node.page_may_ask(origin);
            let page = match site::admit(hosts, request.uri(), request.headers(), may_ask) {
                Ok(page) => page,
                Err(refusal) => return way.refused(&refusal),
            };
            if page.is_some() && request.method() == Method::OPTIONS {
                return http::for_page(page, http::what_pages_may_ask());
            }
            let response = match way {
                Way::Grpc => {
                    grpc::call(calls, &metrics, request.map(|body| Body::new(body.map_err(said_in_grpc))))
                        .await
                }
                Way::WebSocket => http::no_socket(),
                Way::Http => http::answer(&node, &metrics, stop, request).await,
            };
            http::for_page(page, response)
        }
    };
    connections::accept(listener, Port::Clients, counted, stop, move || contact.cut_off(), route).await;
}

/// Why a call's messages end, as its library hands it on.
fn said_in_grpc(error: connections::BodyError) -> Status {
    match error {
        connections::BodyError::Refused(refusal) => answer::status(&refusal),
        connections::BodyError::Broken(error) => Status::from_error(Box::new(error)),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Way {
    Grpc,
    WebSocket,
    Http,
}

impl Way {
    fn of<B>(request: &Request<B>) -> Self {
        let value = |name| request.headers().get(name).map_or(&b""[..], |value| value.as_bytes());
        let grpc = value(header::CONTENT_TYPE).strip_prefix(b"application/grpc");
        if grpc.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';'))) {
            Self::Grpc
        } else if value(header::UPGRADE).eq_ignore_ascii_case(b"websocket") {
            Self::WebSocket
        } else {
            Self::Http
        }
    }

    fn refused(&self, refusal: &Refusal) -> Response<Body> {
        match self {
            Self::Grpc => answer::status(refusal).into_http(),
            Self::WebSocket | Self::Http => http::refused(refusal, http::ALL),
        }
    }
}

#[cfg(test)]
mod tests;
