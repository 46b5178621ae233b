//! Memory of a real node under clients that do not read what they have asked for, and under links to agents that do not
//! exist.

use agent_node::reads::BYTES_MAX;
use proto::wire::v1::{Command, LinkEvent, LinksRequest, OpenLink, SendAllRequest};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tests::cluster::{Client, client, eventually};
use tests::dev::Dev;
use tests::frames::Frames;
use tests::plans;

/// The size of the Map: 1,000 entries of 10 KB.
const ENTRIES: u64 = 1_000;
const ENTRY_BYTES: usize = 10_000;
/// What unread answers may cost beside what the budget counts: connections, and what the allocator keeps.
const BESIDE: u64 = 64 << 20;
/// What one link to an agent without state may cost, with the client's end in another process.
const LINK_BYTES: u64 = 1_500;
const LINKS: u32 = 60_000;

fn start() -> (tempfile::TempDir, Dev) {
    let folder = tempfile::tempdir().unwrap();
    let plan = plans::write(folder.path(), plans::SHELVES).unwrap();
    let dev = Dev::start(&plan, 1, &folder.path().join("data")).unwrap();
    (folder, dev)
}

/// Gives every entry another value.
async fn rewrite(client: &mut Client, round: u64) {
    let value = round.to_string().repeat(ENTRY_BYTES / round.to_string().len());
    let command = |id: u64| Command {
        id,
        agent: "/shelf/1".into(),
        lane: "books".into(),
        body: json!({ "update": { "key": format!("book-{id}"), "value": value } }).to_string().into(),
        sequence: 0,
    };
    let ids: Vec<u64> = (0..ENTRIES).collect();
    let commands = |ids: &[u64]| ids.iter().copied().map(command).collect();
    let messages: Vec<_> =
        ids.chunks(50).map(|ids| SendAllRequest { client: String::new(), commands: commands(ids) }).collect();
    let mut answers = client.send_all(tokio_stream::iter(messages)).await.unwrap().into_inner();
    let mut answered = 0;
    while let Some(message) = answers.message().await.unwrap() {
        assert!(message.answers.iter().all(|answer| answer.refusal.is_none()), "{message:?}");
        answered += message.answers.len() as u64;
    }
    assert_eq!(answered, ENTRIES);
}

/// A connection that asks for the Map over HTTP/1 and reads nothing.
fn asks(at: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(b"GET /shelf/1?lane=books HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    stream
}

/// A connection that asks for it many times over HTTP/2 and reads nothing.
fn asks_many(at: &str, times: u32) -> TcpStream {
    let mut stream = TcpStream::connect(at).unwrap();
    let mut frames = Frames::begin(0x7FFF_FFFF);
    for n in 0..times {
        frames.get(2 * n + 1, "/shelf/1?lane=books");
    }
    stream.write_all(&frames.0).unwrap();
    stream
}

/// The status line and headers of one answer; the body is not read to its end.
fn head(at: &str) -> String {
    let mut stream = asks(at);
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut head = vec![0; 1024];
    let read = stream.read(&mut head).unwrap();
    String::from_utf8_lossy(&head[..read]).to_lowercase()
}

/// The most that the node has in memory until it changes no more.
fn settled(dev: &Dev) -> u64 {
    let (mut most, mut since) = (dev.memory(), Instant::now());
    while since.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(50));
        let now = dev.memory();
        if now > most {
            (most, since) = (now, Instant::now());
        }
    }
    most
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_reads_hold_no_more_than_the_budget() {
    let (_folder, dev) = start();
    let at = dev.at(0);
    let mut client = client(&at).await.unwrap();
    for round in 0..3 {
        rewrite(&mut client, round).await;
    }
    let before = settled(&dev);
    let mut unread = Vec::new();
    for round in 3..13 {
        unread.extend((0..10).map(|_| asks(&at)));
        unread.push(asks_many(&at, 20));
        rewrite(&mut client, round).await;
    }
    let more = settled(&dev).saturating_sub(before);
    println!("300 unread answers of 10 MB, each of another state in tens: {} MB more", more >> 20);
    assert!(more <= BYTES_MAX as u64 + BESIDE, "{} MB", more >> 20);
    let mut refused = head(&at);
    // What was left of the budget is used up.
    for round in 13..33 {
        if refused.starts_with("http/1.1 429") {
            break;
        }
        unread.push(asks(&at));
        rewrite(&mut client, round).await;
        refused = head(&at);
    }
    assert!(refused.starts_with("http/1.1 429") && refused.contains("retry-after: "), "{refused}");
    drop(unread);
    eventually("reads are let in again", 20, async || {
        let head = head(&at);
        anyhow::ensure!(head.starts_with("http/1.1 200"), "{head}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_an_agent_without_state_costs_about_a_kilobyte() {
    let (_folder, dev) = start();
    let mut client = client(&dev.at(0)).await.unwrap();
    let before = settled(&dev);
    let open = |link: u32| OpenLink {
        link,
        agent: format!("/shelf/nobody-{link}"),
        lane: if link.is_multiple_of(2) { "books" } else { "note" }.into(),
        from: None,
        credit: None,
        rate: None,
    };
    let ids: Vec<u32> = (0..LINKS).collect();
    let (requests, source) = tokio::sync::mpsc::channel(1);
    let mut events =
        client.links(tokio_stream::wrappers::ReceiverStream::new(source)).await.unwrap().into_inner();
    // Each thousand when the one before is open: what is under way costs something too, and is not meant here.
    for ids in ids.chunks(1_000) {
        let open = ids.iter().copied().map(open).collect();
        requests.send(LinksRequest { open, ..LinksRequest::default() }).await.unwrap();
        let mut synced = 0;
        while synced < ids.len() {
            let message = events.message().await.unwrap().unwrap();
            assert!(message.closed.is_empty(), "{message:?}");
            let is_synced = |event: &&LinkEvent| event.event.as_ref().is_some_and(|event| event.id.is_some());
            synced += message.events.iter().filter(is_synced).count();
        }
    }
    let each = settled(&dev).saturating_sub(before) / u64::from(LINKS);
    println!("{each} bytes for each of {LINKS} links");
    assert!(each <= LINK_BYTES, "{each} bytes");
}
