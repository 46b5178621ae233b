//! Many agents, and none at work: `cargo bench --workspace --bench agents`.
//!
//! Memory of 100,000 agents with two value lanes each, how long a restart over them takes, and what an idle node costs.

use proto::wire::v1::{Command, SendAllRequest, lanes_client::LanesClient};
use std::time::{Duration, Instant};
use tests::dev::{Dev, root};
use tests::measure::{Table, whole};
use tests::plans;
use tonic::transport::Channel;

fn main() {
    let (rounds, agents, idle) =
        if whole() { (5, 100_000, Duration::from_secs(10)) } else { (1, 2_000, Duration::from_secs(1)) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut table = Table::new();
    for _ in 0..rounds {
        let folder = tempfile::tempdir_in(root().join("target")).expect("a folder");
        let plan = plans::write(folder.path(), plans::METERS).expect("a plan");
        let data = folder.path().join("data");
        let dev = Dev::start(&plan, 1, &data).expect("a node");
        let empty = quiet(&dev, idle);
        table.add("idle node: CPU of one core", "%", empty.cpu_percent);
        table.add("idle node: memory", "MB", empty.memory / 1e6);
        runtime.block_on(begin(&dev, agents));
        let full = quiet(&dev, idle);
        table.add("memory per agent", "B", (full.memory - empty.memory) / agents as f64);
        table.add("idle with the agents: CPU of one core", "%", full.cpu_percent);
        dev.kill();
        let dev = Dev::start(&plan, 1, &data).expect("the node again");
        table.add("restart after SIGKILL to serving", "s", dev.started_in.as_secs_f64());
        let restarted = quiet(&dev, Duration::ZERO);
        table.add(
            "memory per agent after the restart",
            "B",
            (restarted.memory - empty.memory) / agents as f64,
        );
    }
    table.print(&format!("{agents} agents with two value lanes"));
}

struct Quiet {
    cpu_percent: f64,
    memory: f64,
}

/// What the process takes while nobody asks it anything.
fn quiet(dev: &Dev, time: Duration) -> Quiet {
    let (cpu, began) = (dev.cpu_us(), Instant::now());
    // Time is what is measured here.
    std::thread::sleep(time);
    let used = (dev.cpu_us() - cpu) / 1e6 / began.elapsed().as_secs_f64().max(1e-9);
    Quiet { cpu_percent: used * 100.0, memory: dev.memory() as f64 }
}

async fn begin(dev: &Dev, agents: u64) {
    let channel = Channel::from_shared(format!("http://{}", dev.at(0))).expect("an address");
    let mut client = LanesClient::new(channel.connect().await.expect("the node answers"));
    let command = |id: u64| Command {
        id,
        agent: format!("/meter/{id}"),
        lane: "read".into(),
        body: id.to_string().into(),
        sequence: 0,
    };
    let ids: Vec<u64> = (0..agents).collect();
    let messages: Vec<SendAllRequest> = ids
        .chunks(500)
        .map(|ids| SendAllRequest {
            client: String::new(),
            commands: ids.iter().copied().map(command).collect(),
        })
        .collect();
    let mut answers = client.send_all(tokio_stream::iter(messages)).await.expect("a stream").into_inner();
    let mut answered = 0;
    while let Some(message) = answers.message().await.expect("an answer") {
        assert!(message.answers.iter().all(|answer| answer.refusal.is_none()), "{message:?}");
        answered += message.answers.len() as u64;
    }
    assert_eq!(answered, agents);
}
