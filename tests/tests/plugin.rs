//! `kubectl shoal` against servers that answer as the Kubernetes API does: which cluster and namespace it asks, and what
//! it shows. What it does with a real one is tested in `cluster`.

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;
use tests::dev::{Dev, program, root};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

/// A server with two plans, and two pods of one of them.
struct Api {
    at: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Api {
    fn start(pod: Option<String>) -> Api {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap().to_string();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let noted = asked.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            for stream in listener.incoming() {
                let (noted, stream) = (noted.clone(), stream.unwrap());
                if first_line(&stream).contains("/portforward") {
                    let pod = pod.clone().expect("a pod");
                    runtime.spawn(async move { forward(stream, &pod).await });
                } else {
                    thread::spawn(move || answer(&stream, &noted));
                }
            }
        });
        Api { at, asked }
    }

    /// The paths that were asked for since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// What a client has sent first, without taking it from the connection.
fn first_line(stream: &TcpStream) -> String {
    let mut head = [0; 1024];
    let mut length = 0;
    while length < head.len() && !head[..length].contains(&b'\r') {
        match stream.peek(&mut head) {
            Ok(0) | Err(_) => break,
            Ok(peeked) => length = peeked,
        }
    }
    String::from_utf8_lossy(&head[..length]).lines().next().unwrap_or_default().to_owned()
}

/// As API server and kubelet do together: frames of channel 0 of a WebSocket are the bytes of a connection to the pod.
#[allow(clippy::result_large_err)] // the library's type
async fn forward(stream: TcpStream, pod: &str) -> anyhow::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let accepted = |_: &Request, mut response: Response| {
        response.headers_mut().insert("sec-websocket-protocol", "v4.channel.k8s.io".parse().unwrap());
        Ok(response)
    };
    let stream = tokio::net::TcpStream::from_std(stream)?;
    let (mut to_client, mut from_client) = accept_hdr_async(stream, accepted).await?.split();
    let pod = tokio::net::TcpStream::connect(pod).await?;
    pod.set_nodelay(true)?;
    let (mut from_pod, mut to_pod) = pod.into_split();
    for channel in [0, 1] {
        let [low, high] = 7777_u16.to_le_bytes();
        to_client.send(Message::binary(vec![channel, low, high])).await?;
    }
    let there = async {
        while let Some(message) = from_client.next().await {
            if let Message::Binary(frame) = message? {
                to_pod.write_all(&frame[1..]).await?;
            }
        }
        anyhow::Ok(())
    };
    let back = async {
        let mut frame = vec![0; 32 << 10];
        loop {
            let length = from_pod.read(&mut frame[1..]).await?;
            if length == 0 {
                return anyhow::Ok(());
            }
            to_client.send(Message::binary(frame[..=length].to_vec())).await?;
        }
    };
    tokio::select! { ended = there => ended, ended = back => ended }
}

fn answer(mut stream: &TcpStream, asked: &Mutex<Vec<String>>) {
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else { return };
    asked.lock().unwrap().push(path.to_owned());
    let (kind, body) = match path {
        _ if path.contains("/log?") => ("text/plain", format!("one of {path}\ntwo\n")),
        _ if path.contains("/pods") => ("application/json", pods(path.contains("/x/")).to_string()),
        _ => ("application/json", plans().to_string()),
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    // Who has gone needs no answer.
    let _ = stream.write_all(answer.as_bytes());
}

fn plans() -> Value {
    let plan = |name: &str| {
        json!({"apiVersion": "shoal.dev/v1alpha1", "kind": "AgentPlan",
            "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"replicas": 3, "agents": []},
            "status": {"readyReplicas": 2, "slots": {"owned": 4096}}})
    };
    json!({"apiVersion": "shoal.dev/v1alpha1", "kind": "AgentPlanList", "metadata": {},
        "items": [plan("flights"), plan("chat")]})
}

fn pods(none: bool) -> Value {
    let pod = |n: u32| {
        json!({"metadata": {"name": format!("flights-{n}")},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    };
    let pods = if none { vec![] } else { vec![pod(1), pod(0)] };
    json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": pods})
}

struct Scene {
    folder: tempfile::TempDir,
    one: Api,
    two: Api,
}

impl Scene {
    /// A kubeconfig with a context for each of two clusters.
    fn new() -> Scene {
        Scene::with_pod(None)
    }

    /// The first cluster's pods answer at this address.
    fn with_pod(pod: Option<String>) -> Scene {
        let scene =
            Scene { folder: tempfile::tempdir().unwrap(), one: Api::start(pod), two: Api::start(None) };
        let cluster = |name: &str, api: &Api| json!({"name": name, "cluster": {"server": format!("http://{}", api.at)}});
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "first",
            "clusters": [cluster("one", &scene.one), cluster("two", &scene.two)],
            "contexts": [
                {"name": "first", "context": {"cluster": "one", "user": "me", "namespace": "shop"}},
                {"name": "second", "context": {"cluster": "two", "user": "me"}}],
            "users": [{"name": "me", "user": {"token": "t"}}]});
        fs::write(scene.config(), config.to_string()).unwrap();
        fs::write(scene.folder.path().join("feed"), "{\"agent\": \"/a\", \"lane\": \"b\", \"body\": 1}\n")
            .unwrap();
        scene
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program("kubectl-shoal"));
        command.args(arguments).current_dir(&self.folder).env_remove("SHOAL_PLAN");
        command.env("KUBECONFIG", self.config()).output().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_verb_asks_the_cluster_and_the_namespace_that_are_named() {
    let scene = Scene::new();
    let config = scene.config().display().to_string();
    for verb in [
        vec!["plans"],
        vec!["status", "--plan", "flights"],
        vec!["get", "/a/1", "late", "--plan", "flights"],
        vec!["get", "/a/1", "--plan", "flights"],
        vec!["watch", "/a/1", "late", "--plan", "flights"],
        vec!["send", "/a/1", "late", "1", "--plan", "flights"],
        vec!["send", "--file", "feed", "--plan", "flights"],
        vec!["logs", "flights"],
    ] {
        let path = |namespace: &str| match verb[0] {
            "plans" => format!("/apis/shoal.dev/v1alpha1/namespaces/{namespace}/agentplans?"),
            _ => format!("/api/v1/namespaces/{namespace}/pods?"),
        };
        for (flags, api, namespace) in [
            (vec!["-n", "x"], &scene.one, "x"),
            (vec!["--namespace", "x", "--context", "second"], &scene.two, "x"),
            (vec!["-n", "x", "--kubeconfig", &config], &scene.one, "x"),
            (vec!["-n", "x", "--kubeconfig", &config, "--context", "second"], &scene.two, "x"),
        ] {
            for arguments in [[&flags[..], &verb].concat(), [&verb[..], &flags].concat()] {
                let ended = scene.run(&arguments);
                let asked = api.asked();
                assert!(
                    asked.len() == 1 && asked[0].starts_with(&path(namespace)),
                    "{arguments:?}: {asked:?}, {}",
                    text(&ended.stderr)
                );
                assert_eq!((scene.one.asked(), scene.two.asked()), (vec![], vec![]), "{arguments:?}");
                let expected = if verb[0] == "plans" { 0 } else { 3 };
                assert_eq!(ended.status.code(), Some(expected), "{arguments:?}: {}", text(&ended.stderr));
            }
        }
    }
    for (flags, api, namespace) in
        [(vec![], &scene.one, "shop"), (vec!["--context", "second"], &scene.two, "default")]
    {
        scene.run(&[&["plans"][..], &flags].concat());
        assert_eq!(api.asked(), [format!("/apis/shoal.dev/v1alpha1/namespaces/{namespace}/agentplans?")]);
    }
    for wrong in [["--context", "third"], ["--kubeconfig", "/nowhere/config"]] {
        let ended = scene.run(&[&["plans"][..], &wrong].concat());
        assert_eq!(ended.status.code(), Some(3));
        assert!(text(&ended.stderr).contains(wrong[1]), "{}", text(&ended.stderr));
    }
}

#[test]
fn plans_are_a_table_or_an_object_each() {
    let scene = Scene::new();
    let shown = text(&scene.run(&["plans", "-A"]).stdout);
    let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAMESPACE", "NAME", "READY", "NODES", "SLOTS", "AGE"]);
    assert_eq!((rows.len(), &rows[1][..5]), (3, &["shop", "flights", "Unknown", "2/3", "4096/4096"][..]));
    assert_eq!(scene.one.asked(), ["/apis/shoal.dev/v1alpha1/agentplans?"]);
    let shown = text(&scene.run(&["plans", "-o", "json"]).stdout);
    let plans: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((plans.len(), &plans[1]["name"], &plans[1]["nodesReady"]), (2, &json!("chat"), &json!(2)));
}

#[test]
fn logs_are_those_of_all_nodes_each_line_led_by_its_node() {
    let scene = Scene::new();
    let lines = |arguments: &[&str]| {
        let ended = scene.run(arguments);
        assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
        text(&ended.stdout).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let log = |n: u32, asked: &str| {
        format!("flights-{n}: one of /api/v1/namespaces/shop/pods/flights-{n}/log?{asked}")
    };
    let two = |n: u32| format!("flights-{n}: two");
    assert_eq!(lines(&["logs", "flights"]), [log(0, ""), two(0), log(1, ""), two(1)]);
    assert_eq!(
        lines(&["logs", "--plan", "flights", "--node", "1", "--since", "5m"]),
        [log(1, "&sinceSeconds=300"), two(1)]
    );
    let mut followed = lines(&["logs", "flights", "-f"]);
    followed.sort();
    assert_eq!(followed, [log(0, "&follow=true"), two(0), log(1, "&follow=true"), two(1)]);
    let shown = lines(&["logs", "flights", "--node", "0", "-o", "json"]);
    let line: Value = serde_json::from_str(&shown[1]).unwrap();
    assert_eq!(line, json!({"pod": "flights-0", "node": 0, "line": "two"}));
    let none = scene.run(&["logs", "flights", "--node", "7"]);
    assert_eq!(none.status.code(), Some(3));
    assert!(text(&none.stderr).contains("no pod of node 7 of plan `flights`"), "{}", text(&none.stderr));
}

/// A frame that waited for the acknowledgement of the one before would wait for 40 ms: each window of lines has some.
#[test]
fn a_feed_goes_through_a_port_forward_without_waiting_for_acknowledgements() {
    let folder = tempfile::tempdir().unwrap();
    let plan = root().join("crds/samples/flights.yaml");
    let dev = Dev::start(&plan, 1, &folder.path().join("data")).unwrap();
    let scene = Scene::with_pod(Some(dev.at(0)));
    let feed = root().join("tests/data/flights-2013-01.jsonl.gz").display().to_string();
    let directly = Command::new(program("agent-node"));
    let directly = { directly }
        .args(["send", "--file", &feed, "--client", "directly", "--at", &dev.at(0), "-o", "json"])
        .output()
        .unwrap();
    let tunnelled = scene.run(&["send", "--plan", "flights", "--file", &feed, "-o", "json"]);
    let seconds = |ended: &Output| {
        let said: Value = serde_json::from_slice(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
        assert_eq!(said["done"], 27_004, "{said}");
        said["seconds"].as_f64().unwrap()
    };
    let (directly, tunnelled) = (seconds(&directly), seconds(&tunnelled));
    eprintln!("27,004 lines directly in {directly} s, through a port-forward in {tunnelled} s");
    // With the waits it takes six seconds longer; what a busy machine adds, it adds to both.
    assert!(tunnelled < 3.0 * directly + 3.0, "{tunnelled} s, and {directly} s directly");
}

#[test]
fn both_programs_complete_their_commands() {
    let scene = Scene::new();
    for name in ["agent-node", "kubectl-shoal"] {
        for (shell, words) in [("bash", "complete -F"), ("zsh", "#compdef"), ("fish", "complete -c")] {
            let script = Command::new(program(name)).args(["completion", shell]).output().unwrap();
            let script = text(&script.stdout);
            assert!(script.contains(words) && script.contains(name), "{name} {shell}: {script}");
        }
    }
    let complete = |words: &[&str]| text(&scene.run(&[&["__complete"][..], words].concat()).stdout);
    for (words, expected) in [
        (&["pl"][..], vec!["plans"]),
        (&["logs", "--si"], vec!["--since"]),
        (&["completion", "fi"], vec!["fish"]),
        (&["get", "--kube"], vec!["--kubeconfig"]),
    ] {
        let printed = complete(words);
        let found: Vec<&str> = printed.lines().map(|line| line.split('\t').next().unwrap()).collect();
        assert_eq!(found, [&expected[..], &[":4"]].concat(), "{words:?}: {printed}");
    }
    assert!(complete(&[""]).contains("watch\t") && !complete(&[""]).contains("__complete"));
    // What kubectl runs.
    let script = scene.folder.path().join("kubectl_complete-shoal");
    fs::write(&script, scene.run(&["completion", "kubectl"]).stdout).unwrap();
    let here = program("kubectl-shoal").parent().unwrap().display().to_string();
    let path = format!("{here}:{}", std::env::var("PATH").unwrap_or_default());
    let printed = Command::new("sh").arg(script).args(["watch", "--cou"]).env("PATH", path).output().unwrap();
    assert!(text(&printed.stdout).starts_with("--count\t"), "{}", text(&printed.stdout));
}
