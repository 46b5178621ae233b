//! Who may call what on port 7778: decides from the role in the certificate and the path, before anything of a body is
//! read.

use proto::trust::Role;
use tonic::Status;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A stream between two nodes.
    Exchange,
    Configure,
    Report,
}

impl Call {
    const ALL: [(&'static str, Call, Role); 3] = [
        ("/shoal.peer.v1.Peers/Exchange", Call::Exchange, Role::Node),
        ("/shoal.peer.v1.Control/Configure", Call::Configure, Role::Operator),
        ("/shoal.peer.v1.Control/Report", Call::Report, Role::Operator),
    ];
}

/// The call, if this role may make it.
pub fn call(role: Role, path: &str) -> Result<Call, Status> {
    let found = Call::ALL.iter().find(|(at, _, _)| *at == path);
    let (_, call, needed) =
        found.ok_or_else(|| Status::unimplemented(format!("there is no `{path}` on this port")))?;
    if *needed == role {
        return Ok(*call);
    }
    Err(Status::permission_denied(format!(
        "`{path}` needs the certificate of the plan's {needed}, and this one is of its {role}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::wire::peer::{control_server, peers_server};
    use tonic::Code;

    #[test]
    fn each_call_needs_its_role_and_there_are_no_others() {
        let exchange = format!("/{}/Exchange", peers_server::SERVICE_NAME);
        let [configure, report] =
            ["Configure", "Report"].map(|call| format!("/{}/{call}", control_server::SERVICE_NAME));
        for (path, node, operator) in [
            (exchange.as_str(), Ok(Call::Exchange), Err(Code::PermissionDenied)),
            (&configure, Err(Code::PermissionDenied), Ok(Call::Configure)),
            (&report, Err(Code::PermissionDenied), Ok(Call::Report)),
            ("/shoal.v1.Lanes/Send", Err(Code::Unimplemented), Err(Code::Unimplemented)),
            ("/", Err(Code::Unimplemented), Err(Code::Unimplemented)),
            ("", Err(Code::Unimplemented), Err(Code::Unimplemented)),
        ] {
            let of = |role| call(role, path).map_err(|status| status.code());
            assert_eq!((of(Role::Node), of(Role::Operator)), (node, operator), "{path}");
        }
    }
}
