//! Nodes that answer, that take nothing, that say nothing, and that trust somebody else.

use super::*;
use crate::observed::Life;
use crate::world;
use bytes::Bytes;
use hyper_util::rt::TokioExecutor;
use hyper_util::service::TowerToHyperService;
use proto::ring::Ring;
use proto::trust::{Authority, Pems};
use proto::wire::peer::control_server::{Control, ControlServer};
use rustls::ServerConfig;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tonic::{Request, Response, Status};

/// A node that takes what it is given, but no thirteenth generation, and serves at once.
#[derive(Clone)]
pub struct Node {
    said: Arc<Mutex<ReportResponse>>,
    /// As it was given last.
    ring: Arc<Mutex<Bytes>>,
    /// The hints that it was given, one after the other.
    pub hints: Arc<Mutex<Vec<Vec<String>>>>,
}

#[tonic::async_trait]
impl Control for Node {
    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        let ReportRequest { ring, hints } = request.into_inner();
        if let Some(peer::Hints { digest, at }) = hints {
            self.hints.lock().unwrap().push(at);
            self.said.lock().unwrap().hints = Some(digest);
        }
        let mut said = self.said.lock().unwrap().clone();
        let has = self.ring.lock().unwrap().clone();
        if let (Some(name), Ok(ring)) = (ring, Ring::decode(&has)) {
            let is_other = (ring.revision, ring.nonce) != (name.revision, name.nonce);
            said.ring = if is_other { has } else { Bytes::new() };
        }
        Ok(Response::new(said))
    }

    async fn configure(
        &self,
        request: Request<ConfigureRequest>,
    ) -> Result<Response<ReportResponse>, Status> {
        let ConfigureRequest { generation, ring: given, .. } = request.into_inner();
        if generation == 13 {
            return Err(Status::failed_precondition("no thirteenth generation"));
        }
        if let Ok(ring) = Ring::decode(&given) {
            *self.ring.lock().unwrap() = given;
            let mut said = self.said.lock().unwrap();
            let ordinal = said.identity.as_ref().unwrap().ordinal;
            said.slots_owned = ring.loads()[ordinal as usize];
            (said.slots_serving, said.revision) = (said.slots_owned, ring.revision);
            (said.generation, said.had_ring) = (generation, true);
        }
        self.report(Request::new(ReportRequest::default())).await
    }
}

async fn listener(ip: &str) -> TcpListener {
    let at: SocketAddr = format!("{ip}:{}", names::PEER_PORT).parse().unwrap();
    TcpListener::bind(at).await.unwrap()
}

async fn start(tasks: &mut JoinSet<()>, ip: &str, pems: &Pems, ordinal: u32, store: &str) -> Node {
    let identity =
        Identity { plan_uid: world::UID.to_owned(), ordinal, store: store.to_owned(), incarnation: 4 };
    let credentials = Credentials::load(world::UID, Role::Node, pems).unwrap();
    let Digests { bundle, certificate } = credentials.digests;
    let said = ReportResponse {
        identity: Some(identity),
        certificates: Some(Certificates { bundle, certificate }),
        hints: Some(0),
        ..ReportResponse::default()
    };
    let node = Node { said: Arc::new(Mutex::new(said)), ring: Arc::default(), hints: Arc::default() };
    tasks.spawn(serve(listener(ip).await, trust::server(&credentials), node.clone()));
    node
}

async fn serve(listener: TcpListener, tls: ServerConfig, node: Node) {
    let tls = TlsAcceptor::from(Arc::new(tls));
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, node) = (tls.clone(), node.clone());
        connections.spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let service = TowerToHyperService::new(ControlServer::new(node));
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// One with a store of its own, for as long as the tasks live.
pub async fn start_node(tasks: &mut JoinSet<()>, ip: &str, pems: &Pems, ordinal: u32) -> Node {
    start(tasks, ip, pems, ordinal, &format!("{:032x}", ordinal + 42)).await
}

fn authority() -> AuthorityPems {
    AuthorityPems { pair: Authority::make(world::UID, now_s()).unwrap(), trusted: String::new() }
}

fn pems(authority: &AuthorityPems) -> Pems {
    let pair = authority.load(world::UID).unwrap().issue(Role::Node, now_s()).unwrap();
    Pems { pair, bundle: authority.bundle() }
}

fn pods(ips: &[&str]) -> BTreeMap<u16, Pod> {
    let pod = |ip: &&str| Pod {
        uid: String::new(),
        ip: Some((*ip).to_owned()),
        revision: String::new(),
        has_certificates: true,
        life: Life::Ready,
    };
    (0..).zip(ips.iter().map(pod)).collect()
}

#[tokio::test]
async fn each_node_is_heard_and_one_that_says_nothing_holds_up_no_other() {
    let (mut tasks, authority, plan) = (JoinSet::new(), authority(), world::plan(&world::flights()));
    let given = pems(&authority);
    start_node(&mut tasks, "127.0.7.1", &given, 0).await;
    start(&mut tasks, "127.0.7.2", &given, 1, "no store").await;
    start_node(&mut tasks, "127.0.7.3", &given, 70_000).await;
    let _silent = listener("127.0.7.4").await;
    let nodes = Nodes::default();
    let pods = pods(&["127.0.7.1", "127.0.7.2", "127.0.7.3", "127.0.7.4", "127.0.7.5"]);
    let mut answers = nodes.ask(&plan, &pods, &authority, None).await;
    let report = answers.remove(&0).unwrap().unwrap();
    assert_eq!((report.ordinal, report.store.0, report.incarnation, report.revision), (0, 42, 4, 0));
    assert!(
        matches!(&answers[&1], Err(Silence::Nonsense(why)) if why.contains("`no store` is no store's id"))
    );
    assert_eq!(answers[&2], Err(Silence::Nonsense("it says that it is node 70000".to_owned())));
    assert_eq!((&answers[&3], &answers[&4]), (&Err(Silence::Unreached), &Err(Silence::Unreached)));
    let trusted = Credentials::load(world::UID, Role::Node, &given).unwrap().digests;
    assert_eq!(report.certificates, trusted);
}

#[tokio::test]
async fn a_node_whose_pod_is_being_deleted_is_not_waited_for() {
    let (mut tasks, authority, plan) = (JoinSet::new(), authority(), world::plan(&world::flights()));
    start_node(&mut tasks, "127.0.7.31", &pems(&authority), 0).await;
    let _silent = listener("127.0.7.32").await;
    let (nodes, mut pods) = (Nodes::default(), pods(&["127.0.7.31", "127.0.7.32"]));
    pods.get_mut(&1).unwrap().life = Life::Going;
    let asked = nodes.ask(&plan, &pods, &authority, None);
    let answers = tokio::time::timeout(CONNECT, asked).await.expect("the silent one is not asked");
    assert!(answers.len() == 1 && answers[&0].is_ok(), "{answers:?}");
}

#[tokio::test]
async fn a_node_that_takes_nothing_says_why() {
    let mut tasks = JoinSet::new();
    let authority = authority();
    start_node(&mut tasks, "127.0.7.9", &pems(&authority), 0).await;
    let (nodes, plan) = (Nodes::default(), world::plan(&world::flights()));
    let given = |generation| Given {
        ordinal: 0,
        generation,
        spec: Bytes::new(),
        ring: Bytes::new(),
        peers: Vec::new(),
    };
    assert_eq!(nodes.configure(&plan, "127.0.7.9", &authority, &given(1)).await, Ok(()));
    let refused = nodes.configure(&plan, "127.0.7.9", &authority, &given(13)).await;
    assert_eq!(refused, Err("no thirteenth generation".to_owned()));
}

#[tokio::test]
async fn who_does_not_trust_the_other_is_told_so_in_both_directions() {
    let (mut tasks, ours, theirs) = (JoinSet::new(), authority(), authority());
    let (nodes, plan) = (Nodes::default(), world::plan(&world::flights()));
    // A node of another CA; one that our CA made, and that trusts another only; one that trusts both.
    start_node(&mut tasks, "127.0.7.11", &pems(&theirs), 0).await;
    let both = |first: &AuthorityPems, second: &AuthorityPems| AuthorityPems {
        pair: first.pair.clone(),
        trusted: second.pair.certificate.clone(),
    };
    start_node(&mut tasks, "127.0.7.12", &pems(&both(&theirs, &ours)), 1).await;
    let pods = pods(&["127.0.7.11", "127.0.7.12"]);
    for (authority, expected) in [
        (&ours, ["not in ca.crt", "not in ca.crt"]),
        (&both(&ours, &theirs), ["rejects the certificate of this side (UnknownCA)", ""]),
    ] {
        let answers = nodes.ask(&plan, &pods, authority, None).await;
        for (ordinal, expected) in (0..).zip(expected) {
            match &answers[&ordinal] {
                Err(Silence::Untrusted(why)) => {
                    assert!(!expected.is_empty() && why.contains(expected), "{why}");
                }
                answer => assert!(expected.is_empty() && answer.is_ok(), "{answer:?}"),
            }
        }
    }
    let given =
        Given { ordinal: 0, generation: 1, spec: Bytes::new(), ring: Bytes::new(), peers: Vec::new() };
    let refused = nodes.configure(&plan, "127.0.7.11", &ours, &given).await.unwrap_err();
    assert!(refused.contains("not in ca.crt"), "{refused}");
}

#[tokio::test]
async fn nodes_are_told_once_where_the_others_are_and_those_of_before_are_not() {
    let (mut tasks, authority, plan) = (JoinSet::new(), authority(), world::plan(&world::flights()));
    let given = pems(&authority);
    let new = start_node(&mut tasks, "127.0.7.21", &given, 0).await;
    let old = start_node(&mut tasks, "127.0.7.22", &given, 1).await;
    old.said.lock().unwrap().hints = None;
    let nodes = Nodes::default();
    let at = |third: &str| {
        [format!("127.0.7.21:{}", names::PEER_PORT), "127.0.7.22:7778".to_owned(), third.to_owned()]
    };
    for (third, told) in [
        ("127.0.7.23", vec![at("127.0.7.23:7778")]),
        ("127.0.7.23", vec![at("127.0.7.23:7778")]),
        ("::1", vec![at("127.0.7.23:7778"), at("[::1]:7778")]),
    ] {
        let answers = nodes.ask(&plan, &pods(&["127.0.7.21", "127.0.7.22", third]), &authority, None).await;
        assert!(answers[&0].is_ok() && answers[&1].is_ok(), "{answers:?}");
        assert_eq!(*new.hints.lock().unwrap(), told);
        assert!(old.hints.lock().unwrap().is_empty());
    }
    // It has started again, and has none.
    new.said.lock().unwrap().hints = Some(0);
    nodes.ask(&plan, &pods(&["127.0.7.21"]), &authority, None).await;
    assert_eq!(new.hints.lock().unwrap().last().unwrap()[..], at("")[..1]);
}
