//! The peer port against those who have no business there.

use super::*;
use proto::wire::peer::{
    ConfigureRequest, Frame, Hello, Identity, ReportRequest, control_client::ControlClient,
    peers_client::PeersClient,
};
use tonic::transport::Channel;
use tonic::{Code, Status};

async fn channel(at: &str) -> Channel {
    Channel::from_shared(format!("http://{at}")).unwrap().connect().await.unwrap()
}

fn hello(token: &str, member: &Member) -> Hello {
    let Member { ordinal, store, incarnation } = *member;
    let identity = Identity {
        plan_uid: PLAN_UID.into(),
        ordinal: ordinal.into(),
        store: store.to_string(),
        incarnation,
    };
    Hello { token: token.into(), identity: Some(identity), format: crate::peer::FORMAT }
}

/// What a node says to this first frame.
async fn said(at: &str, first: Frame) -> Result<Frame, Status> {
    let frames = futures::stream::iter([first]);
    let frames = futures::StreamExt::chain(frames, futures::stream::pending());
    let mut answer = PeersClient::new(channel(at).await).exchange(frames).await?.into_inner();
    Ok(answer.message().await?.unwrap())
}

fn first(hello: Hello) -> Frame {
    Frame { hello: Some(hello), ..Frame::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_token_gets_no_word() {
    let cluster = Cluster::start().await;
    let at = &cluster.peers[0];
    let member = &cluster.members[1];
    for token in ["", "opem", "open "] {
        let refused = said(at, first(hello(token, member))).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{token}");
        let mut control = ControlClient::new(channel(at).await);
        let refused = control.report(ReportRequest { token: token.into() }).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{token}");
        let newer = crate::peer::wire::configuration_out(cluster.configuration(9, 9), token.into());
        let refused = control.configure(newer).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{token}");
    }
    assert_eq!(said(at, Frame::default()).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(cluster.node(0).report().generation, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_asks_and_gives_with_the_token() {
    let cluster = Cluster::without_plan().await;
    let mut control = ControlClient::new(channel(&cluster.peers[0]).await);
    let report = control.report(ReportRequest { token: TOKEN.into() }).await.unwrap().into_inner();
    assert_eq!((report.revision, report.generation, report.had_ring), (0, 0, false));
    let given = crate::peer::wire::configuration_out(cluster.configuration(1, 4), TOKEN.into());
    let report = control.configure(given.clone()).await.unwrap().into_inner();
    assert_eq!((report.revision, report.generation, report.had_ring), (4, 1, true));
    let foreign = ConfigureRequest { plan_uid: "other".into(), ..given.clone() };
    let refused = control.configure(foreign).await.unwrap_err();
    assert_eq!(refused.metadata().get("shoal-code").unwrap(), "409");
    let broken = ConfigureRequest { spec: "{}".into(), generation: 2, ..given };
    let refused = control.configure(broken).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    until(|| (0..3).all(|ordinal| cluster.node(ordinal).report().revision == 4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_format_or_plan_is_turned_away_with_the_reason() {
    let cluster = Cluster::start().await;
    let good = hello(TOKEN, &cluster.members[1]);
    let mut foreign = good.clone();
    foreign.identity.as_mut().unwrap().plan_uid = "other".into();
    for (hello, part) in [(Hello { format: 2, ..good }, "format 2"), (foreign, "uid other")] {
        let refused = said(&cluster.peers[0], first(hello)).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains(part), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_starts_of_a_store_the_older_is_refused_and_ends() {
    let mut cluster = Cluster::start().await;
    let later = Member { incarnation: 50, ..cluster.members[1] };
    let answer = said(&cluster.peers[0], first(hello(TOKEN, &later))).await.unwrap();
    assert_eq!(answer.hello.unwrap().identity.unwrap().ordinal, 0);
    let older = said(&cluster.peers[0], first(hello(TOKEN, &cluster.members[1]))).await.unwrap_err();
    assert_eq!(older.code(), Code::Aborted);
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
    let bad = Frame { forwards: vec![forward], ..first(hello(TOKEN, &stranger)) };
    assert_eq!(said(&cluster.peers[0], bad).await.unwrap_err().code(), Code::InvalidArgument);
    for n in 0..10 {
        cluster.node(1).send(add(&format!("/counter/{n}"), 1, None)).await.unwrap();
    }
}
