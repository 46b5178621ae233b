//! Links to lanes that other nodes own.

use super::*;
use crate::link::{Event, EventKind, LinkOutput};

/// Waits until the link is told an event of which this holds, and gives all of that link up to it.
pub async fn told(links: &Links, link: u32, holds: impl Fn(&Event) -> bool) -> Vec<Event> {
    let (mut out, mut events) = (Vec::new(), Vec::new());
    let wait = async {
        while !events.last().is_some_and(&holds) {
            links.next(&mut out, async || {}).await;
            for output in out.drain(..) {
                match output {
                    LinkOutput::Event { link: of, event } if of == link => events.push(event),
                    LinkOutput::Event { .. } => {}
                    LinkOutput::Closed { link, refusal } => panic!("{link} is closed: {refusal:?}"),
                }
            }
        }
    };
    timeout(LIMIT, wait).await.expect("the link is told");
    events
}

pub fn is_value(event: &Event, value: &str) -> bool {
    event.kind == EventKind::Set && event.value == value.as_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_is_watched_through_any_node() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent_of(1);
    cluster.node(2).send(add(&agent, 1, None)).await.unwrap();
    let watching: Vec<Links> = (0..3).map(|node| cluster.node(node).links()).collect();
    for links in &watching {
        links.open(7, &agent, "n", None, None);
        let state = told(links, 7, |event| event.kind == EventKind::Synced).await;
        assert!(is_value(&state[0], "1"), "{state:?}");
    }
    let mut versions = Vec::new();
    for event in 2..=50 {
        versions.push(cluster.node(0).send(add(&agent, event, None)).await.unwrap().version);
    }
    for (node, links) in watching.iter().enumerate() {
        let events = told(links, 7, |event| is_value(event, "50")).await;
        let ids: Vec<_> = events.iter().filter_map(|event| event.id).collect();
        assert!(ids.is_sorted() && ids.iter().all(|id| versions.contains(id)), "{ids:?}");
        assert_eq!(ids.last(), versions.last());
        let local = cluster.node(node).get(&agent, "n", true, None).await.unwrap();
        assert_eq!((local.version, local.body), (*ids.last().unwrap(), Body::Value(Value::Int(50))));
        assert!(cluster.node(node).get(&agent, "n", true, ids.last().copied()).await.unwrap().not_modified);
        assert_eq!(cluster.node(node).status().links, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_when_the_owner_is_back() {
    let mut cluster = Cluster::start().await;
    let agent = cluster.agent_of(1);
    let links = cluster.node(0).links();
    links.open(1, &agent, "n", None, None);
    links.open(2, &agent, "marks", None, None);
    told(&links, 1, |event| event.kind == EventKind::Synced).await;
    for round in 0..3 {
        for event in 1..=20 {
            cluster.node(2).send(add(&agent, event, None)).await.unwrap();
        }
        cluster.kill(1).await;
        cluster.restart(1).await;
        cluster.ready().await;
        let expected = ((round + 1) * 20).to_string();
        let events = told(&links, 1, |event| is_value(event, &expected)).await;
        assert!(events.iter().all(|event| event.kind != EventKind::Reset), "{events:?}");
        let ids: Vec<_> = events.iter().filter_map(|event| event.id).collect();
        assert!(ids.is_sorted(), "{ids:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_lanes_of_all_nodes_on_one_stream_of_links() {
    const AGENTS: u32 = 600;
    let cluster = Cluster::start().await;
    let links = cluster.node(0).links();
    for link in 0..AGENTS {
        links.open(link, &format!("/counter/{link}"), "n", None, None);
    }
    let requests =
        (0..AGENTS).flat_map(|agent| (1..=5).map(move |n| add(&format!("/counter/{agent}"), n, None)));
    let ends = send_all(cluster.node(1), requests.collect()).await;
    assert!(ends.values().all(Result::is_ok));
    let (mut out, mut last) = (Vec::new(), HashMap::new());
    let wait = async {
        while last.len() < AGENTS as usize || last.values().any(|value| value != "5") {
            links.next(&mut out, async || {}).await;
            for output in out.drain(..) {
                match output {
                    LinkOutput::Event { link, event } if event.kind == EventKind::Set => {
                        last.insert(link, String::from_utf8_lossy(&event.value).into_owned());
                    }
                    LinkOutput::Event { .. } => {}
                    LinkOutput::Closed { link, refusal } => panic!("{link} is closed: {refusal:?}"),
                }
            }
        }
    };
    timeout(LIMIT, wait).await.expect("all links reach the last value");
    assert!(cluster.node(0).measured().delivered >= u64::from(AGENTS) * 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_that_are_none_are_closed_with_the_reason() {
    let cluster = Cluster::start().await;
    let links = cluster.node(0).links();
    for (link, agent, lane) in [
        (1, cluster.agent_of(0), "none"),
        (2, cluster.agent_of(1), "none"),
        (3, "/nothing/1".to_owned(), "n"),
        (4, "/counter/%zz".to_owned(), "n"),
    ] {
        links.open(link, &agent, lane, None, None);
    }
    let (mut out, mut codes) = (Vec::new(), HashMap::new());
    while codes.len() < 4 {
        timeout(LIMIT, links.next(&mut out, async || {})).await.unwrap();
        for output in out.drain(..) {
            if let LinkOutput::Closed { link, refusal } = output {
                codes.insert(link, refusal.map(|refusal| refusal.code));
            }
        }
    }
    assert_eq!(codes, HashMap::from([(1, Some(404)), (2, Some(404)), (3, Some(404)), (4, Some(400))]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_of_many_frames_is_watched_through_another_node() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent_of(2);
    let long = "x".repeat(1_000);
    let put = |n: usize| {
        let body = format!("{{\"update\": {{\"key\": {n}, \"value\": \"{long}\"}}}}").into();
        Request { agent: agent.clone(), lane: "marks".into(), body, key: None }
    };
    let ends = send_all(cluster.node(1), (0..1_000).map(put).collect()).await;
    assert!(ends.values().all(Result::is_ok));
    let links = cluster.node(0).links();
    links.open(1, &agent, "marks", None, None);
    let events = told(&links, 1, |event| event.kind == EventKind::Synced).await;
    let keys: std::collections::HashSet<_> = events.iter().map(|event| event.key.clone()).collect();
    assert_eq!((events.len(), keys.len()), (1_001, 1_001), "each entry once, and `synced`");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_wait_for_a_slow_watcher_of_another_node_where_its_queue_blocks() {
    const ITEMS: u64 = 60;
    let cluster = Cluster::start().await;
    let agent = cluster.agent_of(1);
    let links = cluster.node(0).links();
    // `synced` and two items.
    links.open(1, &agent, "bell", None, Some(3));
    told(&links, 1, |event| event.kind == EventKind::Synced).await;
    let ring = |n: u64| {
        let body = n.to_string().into();
        cluster.node(2).send(Request { agent: agent.clone(), lane: "ring".into(), body, key: None })
    };
    let mut n = 1;
    let refused = loop {
        match ring(n).await {
            Ok(_) => n += 1,
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refused.code, 429, "{refused:?}");
    // Two were told, four lie on the watcher's node, and four on the owner's.
    assert!((4..=11).contains(&n), "{n}");
    links.credit(1, 1_000);
    let mut events = Vec::new();
    while n <= ITEMS {
        match ring(n).await {
            Ok(_) => n += 1,
            Err(refusal) => {
                assert_eq!(refusal.code, 429, "{refusal:?}");
                events.extend(told(&links, 1, |_| true).await);
            }
        }
    }
    let last = ITEMS.to_string();
    events.extend(told(&links, 1, |event| event.value == last.as_bytes()).await);
    let told: Vec<_> =
        events.iter().map(|event| String::from_utf8_lossy(&event.value).into_owned()).collect();
    assert_eq!(told, (1..=ITEMS).map(|n| n.to_string()).collect::<Vec<_>>(), "each once, in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_a_node_that_is_killed_hold_nothing_back_at_owners() {
    let mut cluster = Cluster::start().await;
    let agent = cluster.agent_of(1);
    let links = cluster.node(1).links();
    links.open(1, &agent, "bell", None, Some(1));
    told(&links, 1, |event| event.kind == EventKind::Synced).await;
    let mut commands = cluster.node(0).commands();
    for n in 0..40 {
        let body = n.to_string().into();
        let request = Request { agent: agent.clone(), lane: "ring".into(), body, key: None };
        commands.submit(Ticket { id: n, came_us: 0 }, request).unwrap();
    }
    let mut ends = Vec::new();
    while ends.len() < 40 {
        commands.answers(&mut ends).await;
    }
    assert!(ends.iter().any(|(_, end)| end.as_ref().is_err_and(|refusal| refusal.code == 429)), "{ends:?}");
    until(|| cluster.node(1).measured().holds > 0).await;
    cluster.kill(0).await;
    until(|| cluster.node(1).measured().holds == 0).await;
    drop(commands);
}

/// Whichever node is asked, and though it has a mirror of the lane to which the owner's word is still under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_a_watch_is_told_before_synced() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent_of(1);
    let watching: Vec<Links> = (0..3).map(|node| cluster.node(node).links()).collect();
    for links in &watching {
        links.open(1, &agent, "marks", None, None);
        told(links, 1, |event| event.kind == EventKind::Synced).await;
    }
    let long = "x".repeat(100_000);
    for round in 1..=100 {
        let value = format!("\"{round} {long}\"");
        let body = format!("{{\"update\": {{\"key\": {}, \"value\": {value}}}}}", round % 2).into();
        let request = Request { agent: agent.clone(), lane: "marks".into(), body, key: None };
        cluster.node(if round % 3 == 0 { 2 } else { 1 }).send(request).await.unwrap();
        for node in [0, 1, 2] {
            let links = cluster.node(node).links();
            let from = (round % 5 == 0).then_some(1);
            links.open(1, &agent, "marks", from, None);
            let events = told(&links, 1, |event| event.kind == EventKind::Synced).await;
            let is_there = events.iter().any(|event| event.value == value.as_bytes());
            assert!(is_there, "round {round}, node {node}: {} events", events.len());
        }
    }
}

/// The owner answers many commands in one batch, and each answer comes when all watchers can see what it answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_answered_by_the_owner_finds_it_in_the_owners_mirror() {
    let cluster = Cluster::start().await;
    let node = cluster.node(1);
    let agents: Vec<String> = cluster.agents_of(1).take(256).collect();
    let watching = node.links();
    for (link, agent) in (0..).zip(&agents) {
        watching.open(link, agent, "n", None, None);
    }
    for round in 1..=100 {
        let requests = agents.iter().map(|agent| add(agent, round, None)).collect();
        let ends = send_all(node, requests).await;
        assert!(ends.values().all(Result::is_ok));
        let last = round.to_string();
        // The last that are answered.
        for agent in agents.iter().rev().take(8) {
            let links = node.links();
            links.open(1, agent, "n", None, None);
            let events = told(&links, 1, |event| event.kind == EventKind::Synced).await;
            assert!(events.iter().any(|event| is_value(event, &last)), "round {round}: {events:?}");
        }
    }
}
