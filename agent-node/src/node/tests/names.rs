//! Names of clients and of nodes, on real nodes.

use super::*;

fn named(agent: &str, client: &str, sequence: u64) -> Request {
    add(agent, sequence, Some((client.into(), sequence)))
}

/// Names of which no other comes after them: what was here before, and commands without a name, go on through every
/// node, also after all nodes have started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_for_each_request_shuts_nobody_out() {
    const FRESH: usize = 65_536;
    let mut cluster = Cluster::start().await;
    let agent = cluster.agent_of(0);
    let first = cluster.node(1).send(named(&agent, "old", 1)).await.unwrap();
    let fresh = (0..FRESH).map(|n| named(&agent, &format!("request-{n}"), 1));
    let ends = send_all(cluster.node(1), fresh.collect()).await;
    assert!(ends.values().all(Result::is_ok), "{:?}", ends.values().find(|end| end.is_err()));
    for round in 0..2 {
        for through in 0..3 {
            let sequence = 2 + round * 3 + through as u64;
            assert_eq!(cluster.node(through).send(named(&agent, "old", 1)).await.as_ref(), Ok(&first));
            cluster.node(through).send(named(&agent, "old", sequence)).await.unwrap();
            cluster.node(through).send(add(&agent, 1, None)).await.unwrap();
            let name = format!("new-{round}-{through}");
            cluster.node(through).send(named(&agent, &name, 1)).await.unwrap();
        }
        if round == 0 {
            for ordinal in 0..3 {
                cluster.kill(ordinal).await;
            }
            for ordinal in 0..3 {
                cluster.restart(ordinal).await;
            }
            cluster.ready().await;
        }
    }
    assert_eq!(cluster.read(2, &agent, "n").await, Value::Int(1 + FRESH as i64 + 18));
    until(|| cluster.node(0).measured().client_names.names == FRESH as u64 + 7).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_again_leaves_one_number_of_its_earlier_start() {
    let mut cluster = Cluster::start().await;
    let agent = cluster.agent_of(0);
    let requests = (1..=2_000).map(|event| add(&agent, event, None));
    let ends = send_all(cluster.node(1), requests.collect()).await;
    assert!(ends.values().all(Result::is_ok));
    let bytes = |cluster: &Cluster| cluster.node(0).measured().node_names.bytes;
    until(|| bytes(&cluster) > 8_192).await;
    cluster.kill(1).await;
    cluster.restart(1).await;
    cluster.ready().await;
    until(|| bytes(&cluster) < 1_024).await;
    cluster.node(1).send(add(&agent, 2_001, None)).await.unwrap();
    cluster.kill(0).await;
    cluster.restart(0).await;
    cluster.ready().await;
    until(|| (1..2_048).contains(&bytes(&cluster))).await;
    assert_eq!(cluster.read(2, &agent, "gaps").await, Value::Int(0));
    assert_eq!(cluster.read(2, &agent, "n").await, Value::Int(2_001));
}
