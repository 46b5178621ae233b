//! What people have in their terminals: `kubectl shoal` and `helm test`.

use crate::plan;
use anyhow::ensure;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use tests::cluster::{Scene, eventually};

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

fn ended(scene: &Scene, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = shoal(scene, arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
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
