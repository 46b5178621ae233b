//! Clients that take much and give nothing back, on a real process: connections without end, answers that are not read,
//! calls and streams that are left in the middle. The node goes on, and lets go what they held.

use serde_json::json;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tests::cluster::{client, eventually};
use tests::dev::Dev;
use tests::lanes::{get, send};

const PLAN: &str = r"
apiVersion: shoal.dev/v1alpha1
kind: AgentPlan
metadata: {name: strangers}
spec:
  replicas: 1
  slots: 256
  agents:
  - route: /a/:id
    lanes:
    - {name: note, type: Value, access: ReadWrite}
    - {name: notes, type: Map, access: ReadWrite}
    - {name: hear, type: Command, queue: {items: 1, overflow: Block}}
    - {name: hidden, type: Value, access: Internal}
";

struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { folder: tempfile::tempdir().unwrap() };
        fs::write(scene.plan(), PLAN).unwrap();
        scene
    }

    fn plan(&self) -> PathBuf {
        self.folder.path().join("plan.yaml")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn start(&self, nodes: u16) -> Dev {
        Dev::start(&self.plan(), nodes, &self.data()).unwrap()
    }
}

/// Sends a request and reads nothing.
fn ask(at: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).unwrap();
    stream
}

fn is_answered(stream: &mut TcpStream) -> bool {
    let mut first = [0; 12];
    stream.read_exact(&mut first).is_ok() && first == *b"HTTP/1.1 200"
}

#[tokio::test]
async fn connections_leave_the_node_the_files_that_it_needs() {
    let scene = Scene::new();
    let dev = Dev::start_with_files(100, &scene.plan(), 1, &scene.data()).unwrap();
    let (at, metrics) = (dev.at(0), dev.metrics(0));
    let mut client = client(&at).await.unwrap();
    let note = json!("x".repeat(200 << 10));
    send(&mut client, "/a/1", "note", &note).await.unwrap();
    // Who is let in is answered, who is not sees the end at once, and the next one is let in when there is room.
    let mut strangers: Vec<_> = (0..120).map(|_| ask(&at, "/a/1?lane=hidden2")).collect();
    let begun = Instant::now();
    let answered =
        strangers.iter_mut().filter_map(|stream| stream.read(&mut [0; 12]).ok()).filter(|n| *n > 0).count();
    assert!((5..60).contains(&answered), "{answered} of 120");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(Dev::metric(&metrics, "shoal_connections_refused_total").unwrap(), 120 - answered as u64);
    // Several segments of the log: each is a new file.
    for n in 0..800 {
        send(&mut client, &format!("/a/{n}"), "note", &note).await.unwrap();
    }
    drop(strangers);
    eventually("room for a connection", 20, async || {
        anyhow::ensure!(is_answered(&mut ask(&at, "/a/1?lane=note")));
        Ok(())
    })
    .await;
    assert_eq!(get(&mut client, "/a/799", "note").await.unwrap(), note);
}

#[tokio::test]
async fn an_idle_connection_of_http_2_ends_with_goaway() {
    let scene = Scene::new();
    let dev = scene.start(1);
    let mut stream = TcpStream::connect(dev.at(0)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(100))).unwrap();
    // The preface, settings, and a GET of which the end of the stream is in its headers.
    let target = b"/a/1?lane=note";
    let mut head = vec![0x82, 0x86, 0x04, target.len() as u8];
    head.extend(target);
    head.extend([0x01, 0x09]);
    head.extend(b"localhost");
    let mut request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00".to_vec();
    request.extend([0, 0, head.len() as u8, 1, 0x05, 0, 0, 0, 1]);
    request.extend(head);
    stream.write_all(&request).unwrap();
    let begun = Instant::now();
    let mut goaway = None;
    let mut frame = [0; 9];
    while stream.read_exact(&mut frame).is_ok() {
        let mut payload = vec![0; u32::from_be_bytes([0, frame[0], frame[1], frame[2]]) as usize];
        stream.read_exact(&mut payload).unwrap();
        match (frame[3], frame[4] & 1) {
            // A sign of life is answered.
            (6, 0) => {
                frame[4] = 1;
                stream.write_all(&[&frame[..], &payload].concat()).unwrap();
            }
            (7, _) => goaway = Some(payload[4..8].to_vec()),
            _ => {}
        }
    }
    let took = begun.elapsed();
    assert_eq!(goaway, Some(vec![0; 4]), "NO_ERROR, before the end");
    assert!(took > Duration::from_secs(55) && took < Duration::from_secs(90), "{took:?}");
}
