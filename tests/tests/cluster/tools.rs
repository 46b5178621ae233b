//! What people have in their terminals: `kubectl shoal` and `helm test`.

use crate::plan;
use anyhow::ensure;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use tests::cluster::{OPERATOR_NAMESPACE, Scene, eventually};

/// `kubectl shoal` as kubectl finds it: by the PATH.
fn shoal(scene: &Scene, arguments: &[&str]) -> Command {
    let program = scene.cluster.program("kubectl-shoal");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(tests::dev::root().join("tests/cluster"));
    command
        .env("PATH", format!("{}:{path}", program.parent().unwrap().display()))
        .args(["kubectl", "shoal", "--plan", "counters", "--namespace", &scene.namespace])
        .args(arguments)
        .stdin(Stdio::null());
    command
}

/// How `kubectl shoal` with these arguments ended, for the plan `counters`: code, output, errors.
pub fn ended(scene: &Scene, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = shoal(scene, arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_shoal_has_the_verbs_and_the_exit_codes_of_agent_node() {
    let scene = Scene::with_plan("plugin", &plan("counters", 1)).await;
    let (code, out, err) = ended(&scene, &["status", "--output", "json"]);
    let nodes: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, nodes.len(), &nodes[2]["plan"]), (0, 3, &"counters".into()), "{out}{err}");
    let (code, out, err) = ended(&scene, &["send", "/counter/1", "add", r#"{"id": "a", "n": 3}"#]);
    assert!(code == 0 && out.starts_with("done"), "{code} {out}{err}");
    assert_eq!(ended(&scene, &["get", "/counter/1", "total"]), (0, "3\n".into(), String::new()));
    let file = tempfile::NamedTempFile::new().unwrap();
    for id in 1..=500 {
        let body = json!({"id": id.to_string(), "n": 1});
        let line = json!({"agent": format!("/counter/{}", id % 7), "lane": "add", "body": body});
        writeln!(file.as_file(), "{line}").unwrap();
    }
    let feed = ["send", "--file", file.path().to_str().unwrap()];
    for again in ["", "again"] {
        let (code, out, err) = ended(&scene, &feed);
        assert!(code == 0 && out.starts_with("500 lines done"), "{again} {code} {out}{err}");
        assert_eq!(ended(&scene, &["get", "/counter/2", "total"]), (0, "72\n".into(), String::new()));
    }
    let (code, out, _) = ended(&scene, &["watch", "/counter/1", "total", "--count", "2", "--output", "json"]);
    let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, &events[0]["data"], &events[1]["event"]), (0, &75.into(), &"synced".into()), "{out}");
    for (arguments, exit, said) in [
        (&["get", "/counter/1", "nothing"][..], 1, "404"),
        (&["send", "/counter/1", "add", "{}"], 1, "422"),
        (&["send", "/counter/1", "add", "word"], 2, "\"word\""),
        (&["get", "http://localhost:7777/counter/1", "total"], 2, "localhost"),
        (&["get", "/counter/1", "total", "--plan", "other"], 3, "no pod of a plan `other`"),
        (&["status", "--kubeconfig", "/nowhere"], 3, "/nowhere"),
    ] {
        let (code, out, err) = ended(&scene, arguments);
        assert!(code == exit && err.contains(said), "{arguments:?}: {code} {out}{err}");
    }
}

/// A watch as people have it in a terminal; it ends with its test.
struct Watching {
    child: Child,
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
}

impl Watching {
    fn begin(mut command: Command) -> Watching {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (tell, lines) = channel();
        let told = BufReader::new(child.stdout.take().unwrap()).lines();
        let reader =
            std::thread::spawn(move || told.map_while(Result::ok).for_each(|line| drop(tell.send(line))));
        Watching { child, lines, reader: Some(reader) }
    }

    async fn tells(&self, wanted: &str) {
        eventually(wanted, 60, async || {
            let told = self.lines.try_iter().any(|line| line.contains(wanted));
            ensure!(told, "it is not told");
            Ok(())
        })
        .await;
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.reader.take().map(JoinHandle::join);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_kubectl_shoal_goes_on_over_the_loss_of_its_pod() {
    let scene = Scene::with_plan("follow", &plan("counters", 1)).await;
    let watch = Watching::begin(shoal(&scene, &["watch", "/counter/1", "total", "--output", "json"]));
    watch.tells(r#""event":"synced""#).await;
    // It asks the first pod that is ready.
    scene.kubectl(&["delete", "pod", "counters-0"]).unwrap();
    watch.tells(r#""event":"synced""#).await;
    eventually("all slots to be served again", 60, async || {
        let (code, _, err) = ended(&scene, &["send", "/counter/1", "add", r#"{"id": "a", "n": 7}"#]);
        ensure!(code == 0, "{err}");
        Ok(())
    })
    .await;
    watch.tells(r#""event":"set","data":7"#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_test_runs_a_plan_and_leaves_no_more_than_its_log() {
    let scene = Scene::begin("helm").await;
    let run = ["helm", "test", "shoal", "--namespace", OPERATOR_NAMESPACE, "--timeout", "180s", "--logs"];
    let said = scene.cluster.run(&run, None).unwrap();
    assert!(said.contains("Succeeded") && said.contains("POD LOGS: shoal-test\n1\n"), "{said}");
    let of = ["--namespace", OPERATOR_NAMESPACE, "--output", "name"];
    eventually("all of it to go", 60, async || {
        let left = scene.cluster.kubectl(&[&["get", "aplan,pvc,statefulset"], &of[..]].concat())?;
        ensure!(left.trim().is_empty(), "{left}");
        Ok(())
    })
    .await;
}
