//! The port for peers against those who have no business there, and what nodes and the operator may do.

use super::*;
use crate::peer::transport::dial;
use proto::trust::{self, Credentials};
use proto::wire::peer::{
    ConfigureRequest, Frame, Hello, Identity, Rejection, ReportRequest, control_client::ControlClient,
    peers_client::PeersClient,
};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// As one of this role of the cluster's plan.
async fn channel(cluster: &Cluster, role: Role) -> Channel {
    let credentials = Credentials::load(PLAN_UID, role, &cluster.keys.pems(PLAN_UID, role)).unwrap();
    let client = Arc::new(trust::client(&credentials));
    dial(&cluster.peers[0], client, Role::Node.name(PLAN_UID).unwrap(), |_| ()).await.unwrap()
}

pub async fn operator(cluster: &Cluster) -> ControlClient<Channel> {
    ControlClient::new(channel(cluster, Role::Operator).await)
}

fn hello(member: &Member) -> Hello {
    let Member { ordinal, store, incarnation } = *member;
    let identity = Identity {
        plan_uid: PLAN_UID.into(),
        ordinal: ordinal.into(),
        store: store.to_string(),
        incarnation,
    };
    Hello { identity: Some(identity), format: crate::peer::FORMAT, called: String::new() }
}

/// What node 0 says to this first frame of a caller of this role.
async fn said_as(cluster: &Cluster, role: Role, first: Frame) -> Result<Frame, Status> {
    let frames = futures::stream::iter([first]);
    let frames = futures::StreamExt::chain(frames, futures::stream::pending());
    let mut answer = PeersClient::new(channel(cluster, role).await).exchange(frames).await?.into_inner();
    Ok(answer.message().await?.unwrap())
}

async fn said(cluster: &Cluster, first: Frame) -> Result<Frame, Status> {
    said_as(cluster, Role::Node, first).await
}

fn first(hello: Hello) -> Frame {
    Frame { hello: Some(hello), ..Frame::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_has_its_own_calls_and_a_stream_begins_with_hello() {
    let cluster = Cluster::start().await;
    let refused = said_as(&cluster, Role::Operator, first(hello(&cluster.members[1]))).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    let mut node = ControlClient::new(channel(&cluster, Role::Node).await);
    let refused = node.report(ReportRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    let newer = crate::peer::wire::configuration_out(cluster.configuration(9, 9));
    let refused = node.configure(newer).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    assert_eq!(said(&cluster, Frame::default()).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(cluster.node(0).report().generation, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_asks_and_gives() {
    let cluster = Cluster::without_plan().await;
    let mut control = operator(&cluster).await;
    let report = control.report(ReportRequest::default()).await.unwrap().into_inner();
    assert_eq!((report.revision, report.generation, report.had_ring), (0, 0, false));
    let certificates = report.certificates.unwrap();
    let ours = Credentials::load(PLAN_UID, Role::Node, &cluster.keys.pems(PLAN_UID, Role::Node)).unwrap();
    assert_eq!(certificates.bundle, ours.digests.bundle);
    let given = crate::peer::wire::configuration_out(cluster.configuration(1, 4));
    let report = control.configure(given.clone()).await.unwrap().into_inner();
    assert_eq!((report.revision, report.generation, report.had_ring), (4, 1, true));
    let foreign = ConfigureRequest { plan_uid: "other".into(), ..given.clone() };
    let refused = control.configure(foreign).await.unwrap_err();
    assert_eq!(refused.metadata().get("shoal-code").unwrap(), "409");
    let broken = ConfigureRequest { spec: "{}".into(), generation: 2, ..given.clone() };
    let refused = control.configure(broken).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    let large = ConfigureRequest { spec: vec![b' '; 9 << 20].into(), generation: 2, ..given };
    let refused = control.configure(large).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    until(|| (0..3).all(|ordinal| cluster.node(ordinal).report().revision == 4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_format_or_plan_is_turned_away_with_the_reason() {
    let cluster = Cluster::start().await;
    let good = hello(&cluster.members[1]);
    let mut foreign = good.clone();
    foreign.identity.as_mut().unwrap().plan_uid = "other".into();
    for (hello, part) in [(Hello { format: 1, ..good }, "format 1"), (foreign, "uid other")] {
        let Rejection { error, later_start } = said(&cluster, first(hello)).await.unwrap().rejected.unwrap();
        assert!(error.contains(part) && later_start == 0, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_starts_of_a_store_the_older_is_refused_and_ends() {
    let mut cluster = Cluster::start().await;
    let later = Member { incarnation: 50, ..cluster.members[1] };
    let answer = said(&cluster, first(hello(&later))).await.unwrap();
    assert_eq!(answer.hello.unwrap().identity.unwrap().ordinal, 0);
    let older = said(&cluster, first(hello(&cluster.members[1]))).await.unwrap();
    assert_eq!(older.hello.unwrap().identity.unwrap().ordinal, 0);
    assert_eq!(older.rejected.unwrap().later_start, 50);
    // The real one loses its stream when the first node is back, which has not forgotten.
    cluster.node(0).core.peers.get(1).unwrap().accepted().take().inspect(|stream| stream.replaced.cancel());
    let node = cluster.nodes[1].take().unwrap();
    let why = timeout(LIMIT, node.fails()).await.unwrap();
    assert!(why.contains("incarnation 50"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_frames_end_their_stream_and_nothing_else() {
    let cluster = Cluster::start().await;
    let stranger = Member { ordinal: 9, store: proto::ring::StoreId(9), incarnation: 1 };
    let forward = proto::wire::peer::Forward { slot: 1 << 20, ..Default::default() };
    let bad = Frame { forwards: vec![forward], ..first(hello(&stranger)) };
    assert_eq!(said(&cluster, bad).await.unwrap_err().code(), Code::InvalidArgument);
    for n in 0..10 {
        cluster.node(1).send(add(&format!("/counter/{n}"), 1, None)).await.unwrap();
    }
}

/// A server at a node's address that answers every call with this status, as a proxy or a recycled address might.
mod impostor {
    use axum::body::Body;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::net::TcpListener;
    use tonic::{Code, Status};

    pub struct Impostor {
        pub called: Arc<AtomicU64>,
        task: tokio::task::JoinHandle<()>,
    }

    impl Impostor {
        /// When it returns, the address is free.
        pub async fn end(self) {
            self.task.abort();
            let _ = self.task.await;
        }
    }

    pub fn begin(listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>) -> Impostor {
        let called = Arc::new(AtomicU64::new(0));
        let counted = called.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let tls = tls.clone();
                tokio::spawn(async move {
                    let service = service_fn(|_| async {
                        let status = Status::new(Code::Aborted, "a later start was seen: incarnation 99");
                        Ok::<_, Infallible>(status.into_http::<Body>())
                    });
                    let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    match tls {
                        None => drop(http.serve_connection(TokioIo::new(stream), service).await),
                        Some(tls) => {
                            let accepted = tokio_rustls::TlsAcceptor::from(tls).accept(stream).await;
                            if let Ok(stream) = accepted {
                                drop(http.serve_connection(TokioIo::new(stream), service).await);
                            }
                        }
                    }
                });
            }
        });
        Impostor { called, task }
    }
}

/// Not even one that has the keys of the plan does so: only what is said inside of a stream, after `Hello`, counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_answers_at_a_nodes_address_cannot_end_a_node_by_a_status() {
    let mut cluster = Cluster::start().await;
    cluster.kill(1).await;
    let pems = cluster.keys.pems(PLAN_UID, Role::Node);
    let known = trust::server(&Credentials::load(PLAN_UID, Role::Node, &pems).unwrap());
    for tls in [None, Some(Arc::new(known))] {
        let listener = tokio::net::TcpListener::bind(&cluster.peers[1]).await.unwrap();
        let impostor = impostor::begin(listener, tls);
        until(|| impostor.called.load(std::sync::atomic::Ordering::Relaxed) >= 4).await;
        impostor.end().await;
    }
    for ordinal in [0, 2] {
        assert_eq!(cluster.node(ordinal).core.life.failed(), None);
        assert!(!cluster.folders[ordinal].path().join("rolled-back").exists());
    }
    cluster.restart(1).await;
    cluster.ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_certificates_open_streams_again_and_lose_nothing() {
    let cluster = Cluster::start().await;
    let agents: Vec<_> = (0..3).map(|ordinal| cluster.agent_of(ordinal)).collect();
    let requests: Vec<_> =
        (1..=1_000).flat_map(|event| agents.iter().map(move |agent| add(agent, event, None))).collect();
    let node = cluster.node(0).clone();
    let sending = tokio::spawn(async move { send_all(&node, requests).await });
    until(|| cluster.node(1).core.count().agents > 0).await;
    cluster.keys.renew(PLAN_UID);
    let before: Vec<_> = (0..3).map(|ordinal| cluster.node(ordinal).core.certificates.in_force()).collect();
    for (ordinal, before) in before.iter().enumerate() {
        cluster.node(ordinal).core.certificates.look();
        assert!(before.replaced.is_cancelled());
    }
    let ends = sending.await.unwrap();
    assert!(ends.values().all(Result::is_ok), "{:?}", ends.values().find(|end| end.is_err()));
    for agent in &agents {
        assert_eq!(cluster.read(2, agent, "n").await, Value::Int(1_000));
        assert_eq!(cluster.read(1, agent, "gaps").await, Value::Int(0));
    }
    cluster.totals_become(3_000).await;
    cluster.ready().await;
}
