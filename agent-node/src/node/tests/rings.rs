//! A ring that comes while another one is in force, and who is told which a node has.

use super::strangers::operator;
use super::watching::{is_value, told};
use super::*;
use crate::link::EventKind;
use proto::wire::peer::{ReportRequest, RingName};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_gives_its_ring_to_one_who_has_another() {
    let cluster = Cluster::start().await;
    let core = &cluster.node(0).core;
    let ring = cluster.configuration(1, 1).ring;
    for (revision, nonce, is_given) in
        [(0, 0, true), (0, 7, true), (1, 7, false), (1, 8, true), (2, 7, true), (2, 8, true)]
    {
        let expected = if is_given { &ring[..] } else { &[] };
        assert_eq!(core.ring_beside(revision, nonce), expected, "{revision} {nonce}");
    }
    let before = Cluster::without_plan().await;
    assert!(before.node(0).core.ring_beside(0, 0).is_empty());
    // The operator hears it when it asks for it, by naming the one that it has.
    let mut operator = operator(&cluster).await;
    for (has, is_given) in [
        (Some(RingName::default()), true),
        (Some(RingName { revision: 1, nonce: 8 }), true),
        (Some(RingName { revision: 1, nonce: 7 }), false),
        (None, false),
    ] {
        let request = ReportRequest { ring: has, hints: None };
        let report = operator.report(request).await.unwrap().into_inner();
        let expected = if is_given { &ring[..] } else { &[] };
        assert_eq!((report.revision, &report.ring[..]), (1, expected), "{has:?}");
    }
}

/// As when the ring's ConfigMap and a newer ring with it were lost: the owners stay, all that is written after has
/// versions of its own, and nothing is lost or done twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raised_ring_comes_into_force_while_commands_and_watches_go_on() {
    let mut cluster = Cluster::start().await;
    let agents: Vec<_> = (0..3).map(|ordinal| cluster.agent_of(ordinal)).collect();
    let links = cluster.node(2).links();
    links.open(7, &agents[1], "n", None, None);
    told(&links, 7, |event| event.kind == EventKind::Synced).await;
    let events = |from: u64| {
        (from..from + 500).flat_map(|event| agents.iter().map(move |agent| add(agent, event, None)))
    };
    let (node, requests) = (cluster.node(0).clone(), events(1).collect());
    let sending = tokio::spawn(async move { send_all(&node, requests).await });
    until(|| cluster.node(1).core.count().agents > 0).await;
    let given = cluster.configuration(1, 1);
    let raised = Ring::decode(&given.ring).unwrap().raised(4, cluster.members.clone(), 0, "again").unwrap();
    let raised = Configuration { ring: Ring { nonce: 9, ..raised }.encode().into(), ..given };
    for node in cluster.nodes.iter().flatten() {
        node.configure(raised.clone()).await.unwrap();
    }
    let ends = sending.await.unwrap();
    assert!(ends.values().all(Result::is_ok), "{:?}", ends.values().find(|end| end.is_err()));
    cluster.ready().await;
    let ends = send_all(cluster.node(2), events(501).collect()).await;
    let histories = ends.values().map(|end| proto::ring::history(end.as_ref().unwrap().version));
    let expected = proto::ring::Ring::decode(&raised.ring).unwrap().slots[0].history;
    assert!(histories.into_iter().all(|history| history == u64::from(expected)));
    told(&links, 7, |event| is_value(event, "1000")).await;
    cluster.totals_become(3_000).await;
    // Replayed as well, and a watch from before begins with what there is.
    cluster.kill(1).await;
    cluster.restart(1).await;
    cluster.ready().await;
    for agent in &agents {
        assert_eq!(cluster.read(2, agent, "n").await, Value::Int(1_000));
        assert_eq!(cluster.read(0, agent, "gaps").await, Value::Int(0));
    }
    let links = cluster.node(0).links();
    links.open(8, &agents[1], "n", None, None);
    let state = told(&links, 8, |event| event.kind == EventKind::Synced).await;
    assert!(is_value(&state[0], "1000"), "{state:?}");
}
