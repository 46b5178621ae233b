//! What the operator asks of a node.

use crate::answer;
use crate::node::configure;
use crate::node::core::Core;
use crate::peer::hello::Token;
use crate::peer::wire;
use proto::wire::peer::{ConfigureRequest, ReportRequest, ReportResponse, control_server};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// A plan and a ring at their largest.
const MESSAGE_MAX: usize = 8 << 20;

pub fn server(core: Arc<Core>) -> control_server::ControlServer<Control> {
    control_server::ControlServer::new(Control { core }).max_decoding_message_size(MESSAGE_MAX)
}

pub struct Control {
    core: Arc<Core>,
}

fn allowed(token: &Token, said: &str) -> Result<(), Status> {
    if token.is(said) { Ok(()) } else { Err(Status::permission_denied("the token is not the plan's")) }
}

#[tonic::async_trait]
impl control_server::Control for Control {
    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        allowed(&self.core.token, &request.get_ref().token)?;
        self.core.operator_asks();
        Ok(Response::new(wire::report_out(self.core.report())))
    }

    async fn configure(
        &self,
        request: Request<ConfigureRequest>,
    ) -> Result<Response<ReportResponse>, Status> {
        let (token, given) = wire::configuration(request.into_inner());
        allowed(&self.core.token, &token)?;
        self.core.operator_asks();
        let configured = configure::configure(&self.core, given).await;
        configured.map_err(|refusal| answer::status(&refusal))?;
        Ok(Response::new(wire::report_out(self.core.report())))
    }
}
