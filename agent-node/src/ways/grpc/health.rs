//! The standard health service: it says what `/readyz` says.

use super::{Messages, Source, messages, stopping};
use crate::node::Node;
use proto::wire::v1::lanes_server;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, server::NamedService};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};

const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(super) struct Readiness {
    node: Node,
    stop: CancellationToken,
}

pub(super) fn server(node: Node, stop: CancellationToken) -> HealthServer<Readiness> {
    HealthServer::new(Readiness { node, stop })
}

impl Readiness {
    fn now(&self, service: &str) -> ServingStatus {
        match service {
            "" | lanes_server::LanesServer::<super::Lanes>::NAME if self.node.ready().is_ok() => {
                ServingStatus::Serving
            }
            "" | lanes_server::LanesServer::<super::Lanes>::NAME => ServingStatus::NotServing,
            _ => ServingStatus::ServiceUnknown,
        }
    }
}

#[tonic::async_trait]
impl Health for Readiness {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match self.now(&request.into_inner().service) {
            ServingStatus::ServiceUnknown => Err(Status::not_found("no such service")),
            status => Ok(Response::new(HealthCheckResponse { status: status.into() })),
        }
    }

    type WatchStream = Messages<HealthCheckResponse>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Ok(messages(Changes { readiness: self.clone(), service: request.into_inner().service, told: None }))
    }
}

struct Changes {
    readiness: Readiness,
    service: String,
    told: Option<ServingStatus>,
}

impl Source for Changes {
    type Message = HealthCheckResponse;

    async fn next(&mut self) -> Result<Option<HealthCheckResponse>, Status> {
        loop {
            let now = self.readiness.now(&self.service);
            if self.told.replace(now) != Some(now) {
                return Ok(Some(HealthCheckResponse { status: now.into() }));
            }
            tokio::select! {
                () = sleep(LOOK_AGAIN) => {}
                () = self.readiness.stop.cancelled() => return Err(stopping()),
            }
        }
    }
}
