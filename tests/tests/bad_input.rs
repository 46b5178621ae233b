//! What users and disks do wrong, tried on real processes: each gets a clear answer, ends nothing, and loses nothing.

use proto::wire::v1::{Command, Event, EventKind, SendAllRequest, WatchRequest};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::cluster::{Client, client, eventually};
use tests::dev::Dev;
use tests::disk::Disk;
use tests::lanes::{get, send};
use tests::plans;
use tonic::Code;

struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { folder: tempfile::tempdir().unwrap() };
        fs::write(scene.plan(), plans::COUNTERS_AND_ECHO).unwrap();
        scene
    }

    fn plan(&self) -> PathBuf {
        self.folder.path().join("plan.yaml")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn start(&self) -> Dev {
        Dev::start(&self.plan(), 1, &self.data()).unwrap()
    }

    fn refused(&self) -> (Option<i32>, String) {
        Dev::refused(&self.plan(), 1, &self.data()).unwrap()
    }
}

async fn add(client: &mut Client, n: i64) -> Result<u64, tonic::Status> {
    send(client, "/counter/1", "add", &json!({ "n": n })).await
}

async fn total(client: &mut Client) -> Value {
    get(client, "/counter/1", "total").await.unwrap()
}

#[tokio::test]
async fn what_cannot_be_a_command_is_refused_and_the_next_one_counts() {
    let scene = Scene::new();
    let dev = scene.start();
    let mut client = client(&dev.at(0)).await.unwrap();
    let large = json!("x".repeat(300 << 10));
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    for (agent, lane, body, expected) in [
        ("/nobody/1", "add", json!({"n": 1}), Code::NotFound),
        ("/counter/1", "nothing", json!({"n": 1}), Code::NotFound),
        ("/counter/1", "total", json!(1), Code::Unimplemented),
        ("/counter/%zz", "add", json!({"n": 1}), Code::InvalidArgument),
        ("/counter/1", "note", large, Code::ResourceExhausted),
        ("/counter/1", "note", deep, Code::InvalidArgument),
        ("/counter/1", "add", json!({"n": "text"}), Code::FailedPrecondition),
        ("/counter/1", "add", json!({}), Code::FailedPrecondition),
    ] {
        let status = send(&mut client, agent, lane, &body).await.unwrap_err();
        assert_eq!(status.code(), expected, "{agent} {lane}: {status:?}");
        assert!(!status.message().is_empty(), "{status:?}");
    }
    add(&mut client, 2).await.unwrap();
    assert_eq!(total(&mut client).await, 2);
}

#[test]
fn a_page_that_was_made_to_lead_to_this_machine_is_refused_on_every_port() {
    let scene = Scene::new();
    let dev = scene.start();
    let ports = [dev.at(0), dev.metrics(0)];
    for (host, expected) in
        [("localhost:7777", "200"), ("127.0.0.1", "200"), ("rebound.example:7777", "403"), ("", "400")]
    {
        for (at, path) in ports.iter().zip(["/counter/1?lane=total", "/livez"]) {
            let host = if host.is_empty() { String::new() } else { format!("host: {host}\r\n") };
            let answer = say(at, &format!("GET {path} HTTP/1.1\r\nconnection: close\r\n{host}\r\n"));
            assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{at}{path} {host}: {answer}");
        }
    }
    let body = "{\"n\":1}";
    for (headers, expected) in [
        ("content-type: application/json\r\n", "200"),
        ("", "415"),
        ("content-type: text/plain\r\norigin: https://evil.example\r\n", "403"),
        ("content-type: application/json\r\norigin: null\r\n", "403"),
    ] {
        let post = format!(
            "POST /counter/1?lane=add HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        let answer = say(&dev.at(0), &post);
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{headers}: {answer}");
    }
}

/// Sends these bytes and reads until the port closes.
fn say(at: &str, text: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_plan_with_a_wrong_expression_is_refused_by_path_and_position() {
    let scene = Scene::new();
    fs::write(scene.plan(), plans::COUNTERS_AND_ECHO.replace("total + event.n", "total + evnt.n")).unwrap();
    let (code, said) = scene.refused();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("spec.agents[0].rules[0].do[0].set.to:9") && said.contains("evnt"), "{said}");
}

#[test]
fn folders_of_others_are_refused_and_left_as_they_are() {
    let scene = Scene::new();
    fs::create_dir(scene.data()).unwrap();
    fs::write(scene.data().join("letters"), "mine").unwrap();
    let (code, said) = scene.refused();
    assert!(code.is_some_and(|code| code != 0), "{said}");
    assert!(said.contains("data"), "{said}");
    assert_eq!(fs::read_to_string(scene.data().join("letters")).unwrap(), "mine");
    assert_eq!(fs::read_dir(scene.data()).unwrap().count(), 1, "nothing was added");
}

#[tokio::test]
async fn a_folder_of_another_plan_is_refused_and_still_there_for_its_own() {
    let scene = Scene::new();
    let dev = scene.start();
    add(&mut client(&dev.at(0)).await.unwrap(), 3).await.unwrap();
    dev.stop().unwrap();
    fs::write(scene.plan(), plans::COUNTERS_AND_ECHO.replace("name: counters", "name: others")).unwrap();
    let (code, said) = scene.refused();
    assert!(code.is_some_and(|code| code != 0) && said.contains("counters"), "{code:?} {said}");
    fs::write(scene.plan(), plans::COUNTERS_AND_ECHO).unwrap();
    let dev = scene.start();
    assert_eq!(total(&mut client(&dev.at(0)).await.unwrap()).await, 3);
}

#[tokio::test]
async fn two_on_one_folder_are_one_too_many() {
    let scene = Scene::new();
    let dev = scene.start();
    let (code, said) = scene.refused();
    assert!(code.is_some_and(|code| code != 0), "{said}");
    assert!(said.contains("in use") && said.contains(&scene.data().display().to_string()), "{said}");
    add(&mut client(&dev.at(0)).await.unwrap(), 1).await.unwrap();
}

#[tokio::test]
async fn a_log_with_a_torn_tail_goes_on_after_its_last_record() {
    let scene = Scene::new();
    let dev = scene.start();
    let mut client = client(&dev.at(0)).await.unwrap();
    for _ in 0..20 {
        add(&mut client, 1).await.unwrap();
    }
    dev.kill();
    tear(&scene.data());
    let dev = scene.start();
    let mut client = tests::cluster::client(&dev.at(0)).await.unwrap();
    assert_eq!(total(&mut client).await, 20);
    add(&mut client, 1).await.unwrap();
    assert_eq!(total(&mut client).await, 21);
}

/// Leaves behind the last record what a write that was cut off leaves.
fn tear(data: &Path) {
    let mut segments = Vec::new();
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.file_name().to_string_lossy() {
                _ if entry.path().is_dir() => folders.push(entry.path()),
                name if name.starts_with("segment-") => segments.push(entry.path()),
                _ => {}
            }
        }
    }
    // Those behind it were made ahead and hold zeros.
    segments.retain(|path| fs::read(path).unwrap().iter().any(|byte| *byte != 0));
    let last = segments.iter().max().expect("a segment of the log");
    let mut bytes = fs::read(last).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap().next_multiple_of(4096);
    let torn = b"SHLB and then nothing that makes sense";
    bytes[end + 4096..][..torn.len()].copy_from_slice(torn);
    fs::write(last, bytes).unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_commands_and_the_node_lives() {
    let scene = Scene::new();
    let disk = Disk::mount(64 << 20);
    let dev = Dev::start(&scene.plan(), 1, &disk.path().join("data")).unwrap();
    let mut client = client(&dev.at(0)).await.unwrap();
    add(&mut client, 1).await.unwrap();
    disk.fill();
    let note = json!("x".repeat(200 << 10));
    let refused = async {
        loop {
            if let Err(status) = send(&mut client, "/counter/2", "note", &note).await {
                return status;
            }
        }
    };
    let refused = tokio::time::timeout(Duration::from_mins(1), refused).await.expect("the disk is full");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(refused.message().contains("disk is full"), "{refused:?}");
    assert_eq!(total(&mut client).await, 1, "reads go on");
    disk.release();
    eventually("room again", 20, async || Ok(add(&mut client.clone(), 1).await?)).await;
    dev.kill();
    let dev = Dev::start(&scene.plan(), 1, &disk.path().join("data")).unwrap();
    assert_eq!(total(&mut tests::cluster::client(&dev.at(0)).await.unwrap()).await, 2);
}

#[tokio::test]
async fn an_edit_for_which_the_disk_has_no_room_is_in_force_when_there_is() {
    let scene = Scene::new();
    let disk = Disk::mount(64 << 20);
    let log = scene.folder.path().join("log");
    let dev = Dev::start_logged(&log, &scene.plan(), 1, &disk.path().join("data")).unwrap();
    let says = async |text: &str| {
        eventually(text, 20, async || {
            anyhow::ensure!(fs::read_to_string(&log)?.contains(text));
            Ok(())
        })
        .await;
    };
    disk.fill();
    let lane = "    - {name: heard, type: Value, initial: 0}\n";
    let more = format!("{lane}    - {{name: more, type: Value, initial: 5}}\n");
    fs::write(scene.plan(), plans::COUNTERS_AND_ECHO.replace(lane, &more)).unwrap();
    says("the edited plan is not in force").await;
    let mut client = client(&dev.at(0)).await.unwrap();
    assert_eq!(total(&mut client).await, 0, "the plan before it is in force");
    disk.release();
    says("the edited plan is in force").await;
    assert_eq!(get(&mut client, "/echo/1", "more").await.unwrap(), json!(5));
}

#[tokio::test]
async fn a_chain_of_sends_without_end_ends_as_a_fault() {
    let scene = Scene::new();
    let dev = scene.start();
    let mut client = client(&dev.at(0)).await.unwrap();
    send(&mut client, "/echo/1", "hear", &json!(1)).await.unwrap();
    let faults = eventually("the fault", 20, async || {
        let faults = get(&mut client.clone(), "/echo/1", "faults").await?;
        anyhow::ensure!(faults.to_string().contains("hear"), "{faults}");
        Ok(faults)
    })
    .await;
    assert!(faults.to_string().contains("64"), "{faults}");
    assert_eq!(get(&mut client, "/echo/1", "heard").await.unwrap(), 65, "the command and 64 messages");
    add(&mut client, 1).await.unwrap();
}

#[tokio::test]
async fn a_watcher_that_never_reads_costs_the_others_nothing() {
    const COMMANDS: u64 = 40_000;
    let scene = Scene::new();
    let dev = scene.start();
    let watch = || WatchRequest { agent: "/counter/1".into(), lane: "total".into(), from: None, rate: None };
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(client(&dev.at(0)).await.unwrap().watch(watch()).await.unwrap().into_inner());
    }
    let mut reader = client(&dev.at(0)).await.unwrap().watch(watch()).await.unwrap().into_inner();
    let mut sender = client(&dev.at(0)).await.unwrap();
    // What the first commands make the node hold, the same number again must not.
    drive(&mut sender, COMMANDS / 2).await;
    let before = dev.memory();
    drive(&mut sender, COMMANDS / 2).await;
    let wanted = COMMANDS.to_string();
    let last = |event: &Event| event.kind() == EventKind::Set && event.value == wanted.as_bytes();
    let reads = async { while !reader.message().await.unwrap().unwrap().events.iter().any(last) {} };
    tokio::time::timeout(Duration::from_secs(20), reads).await.expect("the reader gets the last value");
    let grown = dev.memory().saturating_sub(before);
    assert!(grown < 32 << 20, "the node grew by {grown} bytes");
    // They are all still there, and get what is newest when they read at last.
    for mut late in idle {
        let reads = async { while !late.message().await.unwrap().unwrap().events.iter().any(last) {} };
        tokio::time::timeout(Duration::from_secs(20), reads).await.expect("late readers get the last value");
    }
}

async fn drive(sender: &mut Client, commands: u64) {
    let messages: Vec<_> = (0..commands / 500).map(|_| batch(500)).collect();
    let mut answers = sender.send_all(tokio_stream::iter(messages)).await.unwrap().into_inner();
    while answers.message().await.unwrap().is_some() {}
}

fn batch(count: u64) -> SendAllRequest {
    let command = |id| Command {
        id,
        agent: "/counter/1".into(),
        lane: "add".into(),
        body: (&b"{\"n\":1}"[..]).into(),
        sequence: 0,
    };
    SendAllRequest { client: String::new(), commands: (0..count).map(command).collect() }
}
