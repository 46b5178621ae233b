//! A real node with a million timers: what they cost at rest, and that they fire after a kill.

use serde_json::json;
use std::time::Duration;
use tests::cluster::{client, eventually};
use tests::dev::Dev;
use tests::lanes::{get, send};
use tests::plans;

const PLAN: &str = "
apiVersion: shoal.dev/v1alpha1
kind: AgentPlan
metadata: {name: timers}
spec:
  slots: 256
  agents:
  - route: /clock/:id
    timers: [{name: far}, {name: near}]
    lanes:
    - {name: fill, type: Command}
    - {name: near, type: Command}
    - {name: rang, type: Value, initial: 0}
    rules:
    - command: fill
      do:
      - schedule: {timer: far, each: 'lists.range(250)', key: event * 250 + item, after: duration('24h')}
    - command: near
      do:
      - schedule: {timer: near, after: event}
    - timer: near
      do:
      - set: {lane: rang, to: rang + 1}
";

const AGENTS: u64 = 4_000;
const TIMERS: u64 = 1_000_000;
/// How long the node is looked at while nothing is due.
const REST: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_million_timers_take_no_time_at_rest_and_fire_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plans::write(folder.path(), PLAN).unwrap();
    let (data, start) =
        (folder.path().join("data"), |data: &std::path::Path| Dev::start(&plan, 1, data).unwrap());
    let dev = start(&data);
    let before = at_rest(&dev).await;
    let mut clock = client(&dev.at(0)).await.unwrap();
    for agent in 0..AGENTS {
        send(&mut clock, &format!("/clock/{agent}"), "fill", &json!(agent)).await.unwrap();
    }
    eventually("all timers", 20, async || is(Dev::metric(&dev.metrics(0), "shoal_timers")?, TIMERS)).await;
    let bytes = Dev::metric(&dev.metrics(0), "shoal_timer_bytes").unwrap();
    let after = at_rest(&dev).await;
    println!(
        "{:.1} bytes each; CPU at rest {before:?} and with a million {after:?}",
        bytes as f64 / TIMERS as f64
    );
    assert!(bytes <= 48 * TIMERS);
    // A tick looks at 256 slots, whatever lies in them.
    assert!(after < before + REST / 50, "{before:?} and {after:?} of {REST:?}");
    send(&mut clock, "/clock/1", "near", &json!("2s")).await.unwrap();
    dev.kill();
    let dev = start(&data);
    let mut clock = client(&dev.at(0)).await.unwrap();
    eventually("the timer", 20, async || is(get(&mut clock, "/clock/1", "rang").await?, json!(1))).await;
    // It counts a turn of its thread later than it fires.
    eventually("its count", 20, async || is(Dev::metric(&dev.metrics(0), "shoal_timers")?, TIMERS)).await;
}

#[expect(clippy::needless_pass_by_value, reason = "a call reads like `assert_eq`")]
fn is<T: PartialEq + std::fmt::Debug>(got: T, expected: T) -> anyhow::Result<()> {
    anyhow::ensure!(got == expected, "{got:?} is not {expected:?}");
    Ok(())
}

/// What the node takes of the CPU while nobody asks for anything.
async fn at_rest(dev: &Dev) -> Duration {
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = dev.cpu_us();
    tokio::time::sleep(REST).await;
    Duration::from_micros((dev.cpu_us() - before) as u64)
}
