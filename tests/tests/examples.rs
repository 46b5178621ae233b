//! The clients in `tests/examples`, each against real nodes that are not there yet, are killed, and come back.

use serde_json::{Value, json};
use std::process::Command;
use std::thread;
use tests::dev::{Dev, free_ports, program, root};
use tests::examples::{Example, Running};
use tests::plans;

struct Case {
    /// A heading of `tests/examples/README.md`.
    title: &'static str,
    /// Prints the versions of the tools that make and run it.
    version: &'static str,
}

const CASES: [Case; 5] = [
    Case { title: "Python", version: "python3 -VV" },
    Case { title: "JavaScript", version: "node --version && npm --version" },
    Case { title: "Go", version: "go version && protoc --version" },
    Case { title: "Browser", version: "node --version && npm --version" },
    Case { title: "HTTP", version: "curl --version && bash --version" },
];

/// A departure whose carrier is that of the examples' flight, without a key.
fn departs(at: &str, origin: &str) {
    let flight = json!({"carrier": "UA", "flight": 1, "tailnum": null, "origin": origin, "distance": 1,
        "dep_time": null, "dep_delay": null});
    let sent = Command::new(program("agent-node"))
        .args(["send", "--at", at, &format!("/airport/{origin}"), "departed", &flight.to_string()])
        .status();
    assert!(sent.expect("agent-node is built").success());
}

/// Waits until a client shows this state of what it watches.
fn shows(client: &mut Running, state: &Value) {
    while serde_json::from_str::<Value>(&client.says("from: ")).expect("JSON") != *state {}
}

/// The client finds no node, then nodes that are killed under its watch; one with the same key has no effect, and one
/// whose command is refused ends.
fn plays(case: &Case, refusing: &str) {
    let example = Example::make(case.title, case.version).unwrap();
    let (code, said) = example.start(refusing, 1).unwrap().ended().unwrap();
    assert!(code == Some(1) && said.contains("no route of the plan matches"), "{code:?} {said}");
    assert!(said.contains("/airport/JFK") && !said.contains("again soon"), "{said}");

    let data = tempfile::tempdir().unwrap();
    let (plan, port) = (root().join("crds/samples/flights.yaml"), free_ports(2).unwrap());
    let start = || Dev::start_at(&plan, 2, &data.path().join("data"), port).unwrap();
    let mut client = example.start(&format!("127.0.0.1:{port}"), 1).unwrap();
    client.says("again soon");
    let dev = start();
    let sent = client.says("sent: ");
    assert_eq!(client.says("late: "), "1");
    shows(&mut client, &json!({"JFK": 1}));

    dev.kill();
    assert_ne!(client.says("the watch ended after "), "0");
    client.says("again soon");
    let dev = start();
    departs(&dev.at(1), "EWR");
    shows(&mut client, &json!({"EWR": 1, "JFK": 1}));
    let resets = client.said().iter().filter(|line| *line == "reset").count();
    assert!(resets <= 1, "one that begins may be told so, and one that comes back goes on from its token");

    for (sequence, late) in [(1, "1"), (2, "2"), (1, "2")] {
        let mut again = example.start(&dev.at(1), sequence).unwrap();
        assert_eq!((again.says("sent: ") == sent, again.says("late: ")), (sequence == 1, late.to_owned()));
    }
}

#[test]
fn each_example_retries_without_harm_and_watches_over_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plans::write(folder.path(), plans::COUNTER).unwrap();
    let other = Dev::start(&plan, 1, &folder.path().join("data")).unwrap();
    let refusing: &str = &other.at(0);
    let failed: Vec<&str> = thread::scope(|scope| {
        let begin = |case| {
            let run = move || plays(case, refusing);
            (case.title, thread::Builder::new().name(case.title.into()).spawn_scoped(scope, run).unwrap())
        };
        let running = CASES.iter().map(begin).collect::<Vec<_>>();
        running.into_iter().filter_map(|(title, run)| run.join().is_err().then_some(title)).collect()
    });
    assert!(failed.is_empty(), "what was wrong stands above: {failed:?}");
}
