//! What the operator asks of a node. That it is the operator, `peer/accepting.rs` has settled.

use crate::answer;
use crate::node::configure;
use crate::node::core::Core;
use crate::peer::accepting::CONFIGURE_BYTES;
use crate::peer::hints::Hints;
use crate::peer::wire;
use proto::wire::peer::{self, ConfigureRequest, ReportRequest, ReportResponse, RingName, control_server};
use std::sync::Arc;
use tonic::{Request, Response, Status};
use tracing::warn;

pub fn server(core: Arc<Core>) -> control_server::ControlServer<Control> {
    control_server::ControlServer::new(Control { core }).max_decoding_message_size(CONFIGURE_BYTES)
}

pub struct Control {
    core: Arc<Core>,
}

#[tonic::async_trait]
impl control_server::Control for Control {
    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        let ReportRequest { ring, hints } = request.into_inner();
        if let Some(peer::Hints { digest, at }) = hints {
            let (hints, ignored) = Hints::read(digest, &at);
            if let Some(why) = ignored {
                warn!(why, "some of the addresses of other nodes that the operator gives are ignored");
            }
            self.core.peers.hints.send_replace(hints);
        }
        self.core.operator_asks();
        let ring = ring.map(|RingName { revision, nonce }| self.core.ring_beside(revision, nonce));
        let report = wire::report_out(self.core.report());
        Ok(Response::new(ReportResponse { ring: ring.unwrap_or_default(), ..report }))
    }

    async fn configure(
        &self,
        request: Request<ConfigureRequest>,
    ) -> Result<Response<ReportResponse>, Status> {
        let given = wire::configuration(request.into_inner());
        self.core.operator_asks();
        let configured = configure::configure(&self.core, given).await;
        configured.map_err(|refusal| answer::status(&refusal))?;
        Ok(Response::new(wire::report_out(self.core.report())))
    }
}
