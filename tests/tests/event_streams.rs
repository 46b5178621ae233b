//! Event streams over HTTP of real nodes, read by curl and by sockets that do not read: what is killed, silent or slow.

use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tests::cluster::{client, eventually};
use tests::dev::Dev;
use tests::event_source::{EventSource, Heard};
use tests::lanes::{Feed, send};
use tests::plans;
use tests::serve::Nodes;
use tests::times;

fn dev(plan: &str) -> (tempfile::TempDir, Dev) {
    let folder = tempfile::tempdir().unwrap();
    let plan = plans::write(folder.path(), plan).unwrap();
    let dev = Dev::start(&plan, 1, &folder.path().join("data")).unwrap();
    (folder, dev)
}

/// Waits until a client has heard this.
async fn hears(source: &EventSource, what: &str, seconds: u64, is_it: impl Fn(&Heard) -> bool) -> Heard {
    eventually(what, seconds, async || {
        let heard = source.heard();
        anyhow::ensure!(is_it(&heard), "{heard:?}");
        Ok(heard)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_source_ends_with_the_owners_state_whatever_is_killed() {
    let data = tempfile::tempdir().unwrap();
    let plan = format!("metadata: {{name: counters}}\nspec:\n  agents:{}", plans::FED);
    let mut nodes = Nodes::start(&plan, 3, data.path()).await.unwrap();
    let addresses: Vec<String> = (0..3).map(|node| nodes.at(node)).collect();
    let feed = Feed::begin(&addresses);
    // Each is watched where its owner is, and elsewhere.
    let mut sources = Vec::new();
    for agent in 0..6 {
        let mut from = addresses.clone();
        from.rotate_left(agent % 3);
        for (lane, rate) in [("ids", ""), ("total", ""), ("ids", "&rate=3")] {
            let agent = format!("/counter/{}", agent * 7);
            let target = format!("{agent}?lane={lane}{rate}");
            sources.push((agent, lane, EventSource::begin(&from, &target)));
        }
    }
    for round in 0..times(4, 24) {
        feed.goes_on(300).await;
        nodes.kill(round % 3);
        nodes.begin(round % 3).unwrap();
        nodes.serves(round % 3).await;
    }
    let sent = feed.end().await;
    for (agent, lane, source) in &sources {
        let ids = sent.get(agent).map(Vec::as_slice).unwrap_or_default();
        let wanted: serde_json::Map<String, Value> =
            ids.iter().map(|id| (id.to_string(), json!(1))).collect();
        let is_it = |heard: &Heard| match *lane {
            "ids" => heard.synced && heard.entries == wanted,
            _ => heard.synced && heard.value == Some(json!(ids.len())),
        };
        let heard = hears(source, &format!("the state of {agent} {lane}"), 20, is_it).await;
        assert!(heard.wrong.is_empty(), "{:?}", heard.wrong);
        assert!(heard.connections > 1, "no connection was lost");
        assert_eq!(heard.resets, 0, "no history was lost, so that each goes on from what it has: {heard:?}");
    }
}

#[tokio::test]
async fn a_silent_stream_says_every_ten_seconds_that_it_is_there() {
    let (_folder, dev) = dev(plans::WRITTEN_BY_CLIENTS);
    let source = EventSource::begin(&[dev.at(0)], "/a/1?lane=note");
    let comments = |heard: &Heard| heard.names.iter().filter(|(_, name)| name.is_empty()).count();
    hears(&source, "`synced`", 10, |heard| heard.synced).await;
    // An event in between puts the comment off.
    let mut lanes = client(&dev.at(0)).await.unwrap();
    eventually("five seconds", 10, async || {
        anyhow::ensure!(source.heard().names[0].0.elapsed() > Duration::from_secs(5));
        Ok(())
    })
    .await;
    send(&mut lanes, "/a/1", "note", &json!(1)).await.unwrap();
    let heard = hears(&source, "a comment", 30, |heard| comments(heard) == 2).await;
    let times: Vec<Instant> = heard.names.iter().map(|(at, _)| *at).collect();
    let names: Vec<&str> = heard.names.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["set", "synced", "set", "", ""]);
    for two in times[2..].windows(2) {
        let silence = two[1] - two[0];
        let expected = Duration::from_millis(9_500)..Duration::from_secs(13);
        assert!(expected.contains(&silence), "{silence:?}");
    }
    assert_eq!((heard.connections, heard.resets), (1, 0));
}

/// Asks for the events of a lane and reads nothing.
fn asks(at: &str, target: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

fn value(n: usize) -> Value {
    json!(format!("{n:>8}").repeat(31 << 10))
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_not_read_hold_what_all_may_and_are_let_go_soon() {
    let (_folder, dev) = dev(plans::WRITTEN_BY_CLIENTS);
    let (at, metrics) = (dev.at(0), dev.metrics(0));
    let mut lanes = client(&at).await.unwrap();
    send(&mut lanes, "/a/1", "note", &value(0)).await.unwrap();
    let reader = EventSource::begin(std::slice::from_ref(&at), "/a/2?lane=note");
    hears(&reader, "`synced`", 10, |heard| heard.synced).await;
    let before = dev.memory();
    let unread: Vec<TcpStream> = (0..400).map(|_| asks(&at, "/a/1?lane=note")).collect();
    let links = || Dev::metric(&metrics, "shoal_links");
    eventually("they are answered", 10, async || {
        anyhow::ensure!(links()? > 300);
        Ok(())
    })
    .await;
    let (mut most, mut held, mut n) = (0, 0, 0);
    eventually("all are let go", 60, async || {
        n += 1;
        held = held.max(Dev::metric(&metrics, "shoal_unread_bytes")?);
        most = most.max(dev.memory());
        // Others are told meanwhile what happens to them.
        send(&mut lanes, "/a/1", "note", &value(n)).await?;
        send(&mut lanes, "/a/2", "note", &json!(n)).await?;
        anyhow::ensure!(links()? == 1, "{} links, {held} bytes", links()?);
        Ok(())
    })
    .await;
    hears(&reader, "the last value", 10, |heard| heard.value == Some(json!(n))).await;
    println!("{} MiB held, {} MiB more", held >> 20, most.saturating_sub(before) >> 20);
    assert!(held > 24 << 20 && held < 40 << 20, "{held} bytes");
    assert!(most - before < 256 << 20, "{} MiB", (most - before) >> 20);
    assert_eq!(Dev::metric(&metrics, "shoal_slow_clients_total").unwrap(), 400);
    assert_eq!(reader.heard().connections, 1);
    drop(unread);
}

#[tokio::test]
async fn who_reads_late_gets_the_latest_and_not_all_that_was_in_between() {
    const CHANGES: usize = 400;
    let (_folder, dev) = dev(plans::WRITTEN_BY_CLIENTS);
    let mut late = asks(&dev.at(0), "/a/1?lane=note");
    let mut lanes = client(&dev.at(0)).await.unwrap();
    for n in 0..CHANGES {
        send(&mut lanes, "/a/1", "note", &value(n)).await.unwrap();
    }
    let last = value(CHANGES - 1).to_string();
    let (mut text, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    // Its end is in another chunk of HTTP, or is not.
    while !String::from_utf8_lossy(&text[text.len().saturating_sub(2_000)..])
        .contains(&last[last.len() - 999..])
    {
        let read = late.read(&mut piece).unwrap();
        assert!(read > 0, "the stream goes on");
        text.extend_from_slice(&piece[..read]);
    }
    assert!(text.len() < 20 * last.len(), "{} bytes", text.len());
}
