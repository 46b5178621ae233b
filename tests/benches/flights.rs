//! The flights of January through `agent-node send --file` into three nodes of `agent-node dev`:
//! `cargo bench --workspace --bench flights`.
//!
//! Timed from the start of `send` until the last effect on carriers and planes can be read. All processes' CPU counts.

use futures::{StreamExt as _, stream};
use proto::wire::v1::{GetRequest, lanes_client::LanesClient};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tests::dev::{Dev, children_cpu_us, program, root};
use tests::flights::{Lanes, count, departures, january};
use tests::measure::{Table, beside_the_disk, folder, whole};
use tonic::transport::Channel;

fn main() {
    let feed = departures(&january()).expect("the feed");
    let lanes = count(&feed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut table = Table::new();
    for _ in 0..if whole() { 7 } else { 1 } {
        let folder = folder();
        let data = || tempfile::tempdir_in(folder.path()).expect("a data folder");
        let (round, bare) = beside_the_disk(folder.path(), || round(&runtime, data().path(), &lanes));
        let flights = feed.len() as f64;
        table.bare(bare);
        table.add("flights per second", "/s", flights / round.elapsed.as_secs_f64());
        table.add("durable effects per second", "/s", round.effects as f64 / round.elapsed.as_secs_f64());
        table.add("until `send` has ended", "s", round.sent.as_secs_f64());
        table.add("until the last effect can be read", "s", round.elapsed.as_secs_f64());
        table.add("CPU per flight, three nodes", "us", round.nodes_cpu_us / flights);
        table.add("CPU per flight, send", "us", round.send_cpu_us / flights);
        table.add("CPU per flight, all processes", "us", (round.nodes_cpu_us + round.send_cpu_us) / flights);
    }
    table.print(&format!("{} flights into three nodes", feed.len()));
}

struct Round {
    sent: Duration,
    elapsed: Duration,
    nodes_cpu_us: f64,
    send_cpu_us: f64,
    effects: u64,
}

fn round(runtime: &tokio::runtime::Runtime, data: &std::path::Path, lanes: &Lanes) -> Round {
    let dev = Dev::start(&root().join("crds/samples/flights.yaml"), 3, data).expect("three nodes");
    let (nodes_before, children_before) = (dev.cpu_us(), children_cpu_us());
    let began = Instant::now();
    let send = Command::new(program("agent-node"))
        .args(["send", "--at", &dev.all(), "--file"])
        .arg(january())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("agent-node is built");
    assert!(send.success(), "send ended with {send}");
    let sent = began.elapsed();
    let effects = runtime.block_on(all_there(&dev, lanes));
    let elapsed = began.elapsed();
    Round {
        sent,
        elapsed,
        nodes_cpu_us: dev.cpu_us() - nodes_before,
        send_cpu_us: children_cpu_us() - children_before,
        effects,
    }
}

/// How many reads are under way at once.
const READS: usize = 64;

/// Waits until every carrier and plane has all its flights, and returns how many effects that are.
async fn all_there(dev: &Dev, lanes: &Lanes) -> u64 {
    let channel = Channel::from_shared(format!("http://{}", dev.at(0))).expect("an address");
    let client = LanesClient::new(channel.connect().await.expect("the node answers"));
    let counts = lanes.iter().filter(|((_, lane), _)| *lane == "flights");
    stream::iter(counts)
        .map(|((agent, lane), wanted)| {
            let (mut client, wanted) = (client.clone(), wanted.to_string());
            let request = GetRequest { agent: agent.clone(), lane: (*lane).into(), ..GetRequest::default() };
            async move {
                while client.get(request.clone()).await.expect("an answer").into_inner().body
                    != wanted.as_bytes()
                {
                    tokio::task::yield_now().await;
                }
                wanted.parse::<u64>().expect("a count")
            }
        })
        .buffer_unordered(READS)
        .fold(0, async |effects, of_one| effects + of_one)
        .await
}
