//! Nodes that answer, that take nothing, and that say nothing.

use super::*;
use crate::observed::Life;
use crate::world;
use bytes::Bytes;
use proto::ring::Ring;
use proto::wire::peer::control_server::{Control, ControlServer};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response};

/// A node that takes what it is given, but no thirteenth generation, and serves at once.
struct Node {
    token: String,
    said: Mutex<ReportResponse>,
}

#[tonic::async_trait]
impl Control for Node {
    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        if request.into_inner().token != self.token {
            return Err(Status::permission_denied("the token is not the plan's"));
        }
        Ok(Response::new(self.said.lock().unwrap().clone()))
    }

    async fn configure(
        &self,
        request: Request<ConfigureRequest>,
    ) -> Result<Response<ReportResponse>, Status> {
        let ConfigureRequest { token, generation, ring, .. } = request.into_inner();
        if generation == 13 {
            return Err(Status::failed_precondition("no thirteenth generation"));
        }
        if let Ok(ring) = Ring::decode(&ring) {
            let mut said = self.said.lock().unwrap();
            let ordinal = said.identity.as_ref().unwrap().ordinal;
            said.slots_owned = ring.loads()[ordinal as usize];
            (said.slots_serving, said.revision) = (said.slots_owned, ring.revision);
            (said.generation, said.had_ring) = (generation, true);
        }
        self.report(Request::new(ReportRequest { token })).await
    }
}

async fn listener(ip: &str) -> TcpListener {
    let at: SocketAddr = format!("{ip}:{}", names::PEER_PORT).parse().unwrap();
    TcpListener::bind(at).await.unwrap()
}

async fn start(tasks: &mut JoinSet<()>, ip: &str, token: &str, ordinal: u32, store: &str) {
    let identity =
        Identity { plan_uid: world::UID.to_owned(), ordinal, store: store.to_owned(), incarnation: 4 };
    let said = ReportResponse { identity: Some(identity), ..ReportResponse::default() };
    let node = Node { token: token.to_owned(), said: Mutex::new(said) };
    let incoming = TcpListenerStream::new(listener(ip).await);
    let server = tonic::transport::Server::builder().add_service(ControlServer::new(node));
    tasks.spawn(async { server.serve_with_incoming(incoming).await.unwrap() });
}

/// One with a store of its own, for as long as the tasks live.
pub async fn start_node(tasks: &mut JoinSet<()>, ip: &str, token: &str, ordinal: u32) {
    start(tasks, ip, token, ordinal, &format!("{:032x}", ordinal + 42)).await;
}

fn pods(ips: &[&str]) -> BTreeMap<u16, Pod> {
    let pod = |ip: &&str| Pod { ip: Some((*ip).to_owned()), revision: String::new(), life: Life::Ready };
    (0..).zip(ips.iter().map(pod)).collect()
}

#[tokio::test]
async fn each_node_is_heard_and_one_that_says_nothing_holds_up_no_other() {
    let mut tasks = JoinSet::new();
    start_node(&mut tasks, "127.0.7.1", "token", 0).await;
    start(&mut tasks, "127.0.7.2", "token", 1, "no store").await;
    start_node(&mut tasks, "127.0.7.3", "token", 70_000).await;
    let _silent = listener("127.0.7.4").await;
    let nodes = Nodes::default();
    let pods = pods(&["127.0.7.1", "127.0.7.2", "127.0.7.3", "127.0.7.4", "127.0.7.5"]);
    let mut answers = nodes.ask(&pods, "token").await;
    let report = answers.remove(&0).unwrap().unwrap();
    assert_eq!((report.ordinal, report.store.0, report.incarnation, report.revision), (0, 42, 4, 0));
    assert!(
        matches!(&answers[&1], Err(Silence::Nonsense(why)) if why.contains("`no store` is no store's id"))
    );
    assert_eq!(answers[&2], Err(Silence::Nonsense("it says that it is node 70000".to_owned())));
    assert_eq!((&answers[&3], &answers[&4]), (&Err(Silence::Unreached), &Err(Silence::Unreached)));
    let refused = nodes.ask(&pods, "another").await;
    assert_eq!(refused[&0], Err(Silence::TokenRefused));
}

#[tokio::test]
async fn a_node_that_takes_nothing_says_why() {
    let mut tasks = JoinSet::new();
    start_node(&mut tasks, "127.0.7.9", "token", 0).await;
    let (nodes, plan) = (Nodes::default(), world::plan(&world::flights()));
    let given = |generation| Given {
        ordinal: 0,
        generation,
        spec: Bytes::new(),
        ring: Bytes::new(),
        peers: Vec::new(),
    };
    assert_eq!(nodes.configure(&plan, "127.0.7.9", "token", &given(1)).await, Ok(()));
    let refused = nodes.configure(&plan, "127.0.7.9", "token", &given(13)).await;
    assert_eq!(refused, Err("no thirteenth generation".to_owned()));
}
