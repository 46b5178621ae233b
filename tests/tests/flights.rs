//! The real feed through `agent-node dev` and `agent-node send --file`, as a user runs them: whatever is killed in
//! between, every airport, carrier and plane ends with what an independent count of the file says, on each node.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tests::cluster::{Client, client, eventually};
use tests::dev::{Dev, program, root};
use tests::flights::{Lanes, count, departures, february, january};
use tests::lanes::get;
use tests::times;

const NODES: u16 = 3;
/// Slow enough that something can be killed in the middle.
const RATE: &str = "8000";

struct Scene {
    data: tempfile::TempDir,
    file: PathBuf,
    lanes: Lanes,
    lines: usize,
}

impl Scene {
    fn of(file: PathBuf) -> Scene {
        let departures = departures(&file).unwrap();
        let (lanes, lines) = (count(&departures), departures.len());
        Scene { data: tempfile::tempdir().unwrap(), file, lanes, lines }
    }

    fn dev(&self) -> Dev {
        Dev::start(&plan(), NODES, &self.folder()).unwrap()
    }

    /// On the ports that the one before had.
    fn dev_again(&self, port: u16) -> Dev {
        Dev::start_at(&plan(), NODES, &self.folder(), port).unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.data.path().join("data")
    }

    fn send(&self, dev: &Dev, more: &[&str]) -> Child {
        let mut send = Command::new(program("agent-node"));
        send.args(["send", "--at", &dev.all(), "--file"]).arg(&self.file).args(more);
        send.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Every lane on every node, as soon as what agents send to each other has come.
    async fn ends_as_counted(&self, dev: &Dev) {
        let first = client(&dev.at(0)).await.unwrap();
        eventually("all effects", 60, async || {
            let wrong = self.wrong(&first).await?;
            anyhow::ensure!(wrong.is_empty(), "{} lanes, {:?}", wrong.len(), wrong.first());
            Ok(())
        })
        .await;
        for node in 1..NODES {
            let client = client(&dev.at(node)).await.unwrap();
            assert_eq!(self.wrong(&client).await.unwrap(), [], "node {node}");
        }
    }

    /// What differs: agent, lane, what it has, what it must have.
    async fn wrong(&self, client: &Client) -> anyhow::Result<Vec<(String, &'static str, Value, Value)>> {
        let asked = self.lanes.iter().map(|((agent, lane), wanted)| async move {
            let has = get(&mut client.clone(), agent, lane).await?;
            anyhow::Ok((has != *wanted).then(|| (agent.clone(), *lane, has, wanted.clone())))
        });
        let seen: Vec<_> = stream::iter(asked).buffer_unordered(64).try_collect().await?;
        Ok(seen.into_iter().flatten().collect())
    }

    /// Waits until so many departures are counted.
    async fn reaches(&self, dev: &Dev, flights: u64) {
        let client = client(&dev.at(1)).await.unwrap();
        eventually("the middle of the feed", 60, async || {
            let mut all = 0;
            for airport in ["EWR", "JFK", "LGA"] {
                let has = get(&mut client.clone(), &format!("/airport/{airport}"), "flights").await?;
                all += has.as_u64().unwrap_or(0);
            }
            anyhow::ensure!(all >= flights, "{all}");
            Ok(())
        })
        .await;
    }
}

fn plan() -> PathBuf {
    root().join("crds/samples/flights.yaml")
}

fn ended(child: Child) -> Output {
    child.wait_with_output().unwrap()
}

fn all_done(output: &Output, lines: usize) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with(&format!("{lines} lines done in ")), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn january_ends_as_counted_on_every_node() {
    let scene = Scene::of(january());
    let dev = scene.dev();
    all_done(&ended(scene.send(&dev, &[])), scene.lines);
    scene.ends_as_counted(&dev).await;
    // The same lines have no second effect.
    all_done(&ended(scene.send(&dev, &[])), scene.lines);
    scene.ends_as_counted(&dev).await;
    dev.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_and_fed_again_from_line_1_january_ends_as_counted() {
    let scene = Scene::of(january());
    let dev = scene.dev();
    let send = scene.send(&dev, &["--rate", RATE]);
    scene.reaches(&dev, 5_000).await;
    let port = dev.port;
    dev.kill();
    let pid = rustix::process::Pid::from_child(&send);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let interrupted = ended(send);
    let said = String::from_utf8_lossy(&interrupted.stderr);
    assert_eq!(interrupted.status.code(), Some(1), "{said}");
    let line = said.split("--from-line ").nth(1).and_then(|rest| rest.split(',').next());
    let line: usize = line.expect("the line to go on from").parse().unwrap();
    assert!((5_000..scene.lines).contains(&line), "{said}");
    let dev = scene.dev_again(port);
    all_done(&ended(scene.send(&dev, &[])), scene.lines);
    scene.ends_as_counted(&dev).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_under_a_feed_that_goes_on_february_ends_as_counted() {
    let scene = Scene::of(february());
    let mut dev = scene.dev();
    let send = scene.send(&dev, &["--rate", RATE]);
    let kills = times(2, 40);
    for kill in 1..=kills {
        scene.reaches(&dev, (kill * scene.lines / (kills + 1)) as u64).await;
        let port = dev.port;
        dev.kill();
        dev = scene.dev_again(port);
    }
    all_done(&ended(send), scene.lines);
    scene.ends_as_counted(&dev).await;
    let port = dev.port;
    dev.stop().unwrap();
    scene.ends_as_counted(&scene.dev_again(port)).await;
}

#[test]
fn the_months_are_two_different_feeds() {
    let months = [january(), february()].map(|file: PathBuf| departures(Path::new(&file)).unwrap());
    assert_eq!(months.each_ref().map(Vec::len), [27_004, 24_951]);
    assert!(months[1].iter().all(|(_, event)| event["month"] == 2));
}
