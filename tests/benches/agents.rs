//! Many agents, and none at work: `cargo bench --workspace --bench agents`.
//!
//! Memory of 100,000 agents with two value lanes each, how long a restart over them takes, and what an idle node costs;
//! and how long a change of the plan holds up a shard of 500,000.

use agent_node::log::Position;
use agent_node::shard::{self, Assignment, Event, Room, Shard};
use proto::address::Address;
use proto::plan::Plan;
use proto::wire::v1::{Command, SendAllRequest, lanes_client::LanesClient};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tests::dev::Dev;
use tests::measure::{Table, folder, whole};
use tests::plans;
use tonic::transport::Channel;

fn main() {
    let (rounds, agents, idle) =
        if whole() { (5, 100_000, Duration::from_secs(10)) } else { (1, 2_000, Duration::from_secs(1)) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut table = Table::new();
    for _ in 0..rounds {
        let folder = folder();
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
    let agents = if whole() { 500_000 } else { 10_000 };
    let mut table = Table::new();
    for _ in 0..rounds {
        change_of_plan(&mut table, agents);
    }
    table.print(&format!("a change of the plan, {agents} agents in one shard"));
}

/// A plan with two lanes, and one with a third.
fn configuration(generation: u64) -> Arc<Assignment> {
    let more = if generation > 1 { r#", {"name": "more", "type": "Value", "initial": 1}"# } else { "" };
    let spec = format!(
        r#"{{"replicas": 1, "storage": {{"size": "1Gi"}}, "agents": [{{"route": "/meter/:id", "lanes": [
             {{"name": "read", "type": "Command"}}, {{"name": "count", "type": "Value", "initial": 0}},
             {{"name": "last", "type": "Value"}}{more}],
            "rules": [{{"command": "read", "do": [
             {{"set": {{"lane": "count", "to": "count + 1"}}}}, {{"set": {{"lane": "last", "to": "event"}}}}]}}]}}]}}"#
    );
    let plan = Arc::new(Plan::parse(spec.as_bytes()).expect("a plan"));
    let owned = vec![Some(shard::Ownership { epoch: 1, history: 1 }); plan.slots as usize];
    Arc::new(Assignment { plan, generation, owned })
}

fn change_of_plan(table: &mut Table, agents: u64) {
    let mut shard: Shard<u32, u32> = Shard::new(1, Room::OF_NODE);
    let before = configuration(1);
    shard.handle(Event::Configured(before.clone()), 0);
    let (mut written, mut out) = (0, Vec::new());
    for id in 0..agents {
        let agent = Address::parse(&format!("/meter/{id}")).expect("an address");
        let slot = before.plan.find(&agent).expect("its kind").slot;
        let (lane, body) = ("read".to_owned(), id.to_string().into());
        let command = shard::Command { reply: 0, id, stream: 0, slot, agent, lane, body, key: None };
        shard.handle(Event::Command(command), 1);
        if id % 512 == 511 || id + 1 == agents {
            written += shard.records().heads().len() as u64;
            shard.appended(Position(written));
            shard.release(Position(written), &mut out);
            out.clear();
        }
    }
    assert_eq!((shard.counts().agents, written), (agents, agents));
    let after = configuration(2);
    let began = Instant::now();
    shard.handle(Event::Configured(after), 2);
    table.add("the shard's longest step", "ms", began.elapsed().as_secs_f64() * 1e3);
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
