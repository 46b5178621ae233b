//! The command line of `agent-node`, as people and programs use it: what it prints, and how it ends.

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use tests::cluster::eventually;
use tests::dev::{Dev, free_ports, program, root};
use tests::plans;
use tests::project::read;

struct Scene {
    folder: tempfile::TempDir,
}

/// How a program ended, and what it said.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { folder: tempfile::tempdir().unwrap() };
        fs::write(scene.file("plan.yaml"), plans::COUNTERS).unwrap();
        scene
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self) -> Dev {
        Dev::start(&self.file("plan.yaml"), 2, &self.file("data")).unwrap()
    }

    /// A feed with these lines.
    fn feed(&self, lines: &[&str]) -> String {
        let path = self.file("feed.jsonl");
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn command(at: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("agent-node"));
    command.args(arguments).env("SHOAL_AT", at).stdin(Stdio::null());
    command
}

fn run(at: &str, arguments: &[&str]) -> Ended {
    said(&command(at, arguments).output().unwrap())
}

fn with_input(at: &str, arguments: &[&str], input: &str) -> Ended {
    let mut command = command(at, arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    said(&child.wait_with_output().unwrap())
}

fn said(output: &std::process::Output) -> Ended {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

fn add(n: i64) -> String {
    json!({"agent": "/counter/1", "lane": "add", "body": {"n": n}}).to_string()
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

#[test]
fn commands_are_sent_and_states_shown_to_people_and_to_programs() {
    let scene = Scene::new();
    let dev = scene.start();
    let (first, second) = (dev.at(0), dev.at(1));
    let sent = run(&first, &["send", "/counter/1", "add", r#"{"n": 2}"#]);
    assert!(sent.code == Some(0) && sent.out.starts_with("done, version "), "{sent:?}");
    let sent = with_input(&first, &["send", "/counter/1", "add", "-", "--output", "json"], "{\"n\": 3}\n");
    let version = json_of(&sent.out)["version"].clone();
    assert!(version.as_u64().is_some_and(|version| version > 0), "{sent:?}");
    assert_eq!(run(&second, &["get", "/counter/1", "total"]).out, "5");
    let got = run(&second, &["get", "/counter/1", "total", "--output", "json"]);
    assert_eq!(json_of(&got.out), json!({"version": version, "value": 5}));
    let url = format!("http://{second}/counter/1");
    let got = run("127.0.0.1:1", &["get", &url, "parts"]);
    assert_eq!((got.code, got.out.as_str()), (Some(0), r#"{"2":{"n":2},"3":{"n":3}}"#));
    let set = run(&first, &["send", "/counter/1", "note", "-1"]);
    assert_eq!((set.code, run(&first, &["get", "/counter/1", "note"]).out.as_str()), (Some(0), "-1"));
    // The first address does not answer, the second does.
    let either = format!("127.0.0.1:1,{second}");
    assert_eq!(run(&either, &["get", "/counter/1", "total"]).out, "5");
}

#[test]
fn an_agent_is_shown_with_all_its_lanes() {
    let scene = Scene::new();
    let dev = scene.start();
    run(&dev.at(0), &["send", "/counter/1", "add", r#"{"n": 2}"#]);
    let shown = run(&dev.at(1), &["get", "/counter/1"]);
    let rows: Vec<Vec<&str>> = shown.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for row in [&["add", "Command"][..], &["total", "Value", "2"], &["parts", "Map", r#"{"2":{"n":2}}"#]] {
        assert!(rows.iter().any(|shown| shown == row), "{row:?} in {rows:?}");
    }
    let lanes: Vec<Value> =
        run(&dev.at(0), &["get", "/counter/1", "-o", "json"]).out.lines().map(json_of).collect();
    assert!(lanes.contains(&json!({"lane": "add", "type": "Command"})), "{lanes:?}");
    let total = lanes.iter().find(|lane| lane["lane"] == "total").unwrap();
    assert!(total["value"] == 2 && total["version"].as_u64().is_some_and(|version| version > 0), "{total}");
    let nobody = run(&dev.at(0), &["get", "/nobody/1"]);
    assert!(nobody.code == Some(1) && nobody.err.starts_with("404: "), "{nobody:?}");
}

#[test]
fn every_end_has_its_code_and_says_why() {
    let scene = Scene::new();
    let dev = scene.start();
    let at = dev.at(0);
    for (arguments, code, words) in [
        (vec!["get", "/nobody/1", "total"], 1, vec!["404: ", "(at ", "Compare the address"]),
        (vec!["get", "/counter/1", "nothing"], 1, vec!["404: "]),
        (vec!["get", "/counter/1", "add"], 1, vec!["406: ", "`watch` shows"]),
        (vec!["send", "/counter/1", "total", "1"], 1, vec!["405: "]),
        (
            vec!["send", "/counter/1", "add", r#"{"n": "x"}"#],
            1,
            vec!["422: ", "spec.agents[0].rules[0].do[0].set.to", "A rule"],
        ),
        (vec!["watch", "/counter/1", "nothing"], 1, vec!["404: "]),
        (vec!["send", "/counter/1", "add", "JFK"], 2, vec![r#"'"JFK"'"#]),
        (vec!["get", "counter/1", "total"], 2, vec!["begins with `/`"]),
        (vec!["send", "--file", "/nowhere/feed"], 2, vec!["/nowhere/feed can't be read"]),
        (vec!["send", "--file", "-"], 2, vec!["--client"]),
        (vec!["get", "/counter/1", "total", "--at", "127.0.0.1:1"], 3, vec!["127.0.0.1:1 can't be reached"]),
        (vec!["watch", "/counter/1", "total", "--at", "127.0.0.1:1"], 3, vec!["--at HOST:PORT"]),
        (vec!["status", "--at", "127.0.0.1:1"], 3, vec!["127.0.0.1:1"]),
    ] {
        let said = run(&at, &arguments);
        assert_eq!(said.code, Some(code), "{arguments:?}: {said:?}");
        assert!(words.iter().all(|word| said.err.contains(word)), "{arguments:?}: {said:?}");
        assert_eq!(said.out, "", "{arguments:?}");
    }
    let refused = run(&at, &["get", "/nobody/1", "total", "--output", "json"]);
    let error = json_of(&refused.err);
    assert_eq!((refused.code, &error["code"], &error["at"]), (Some(1), &json!(404), &json!("/nobody/1")));
}

/// For a Service `shoal` Kubernetes sets `SHOAL_SERVICE_HOST`, `SHOAL_PORT`, `SHOAL_PORT_7777_TCP` and their like in each
/// pod beside it; for a Service `shoal-log`, `SHOAL_LOG_PORT`.
#[test]
fn no_variable_has_a_form_that_kubernetes_makes() {
    let mut variables = Vec::new();
    for (name, verbs) in [
        ("agent-node", &["serve", "dev", "send", "get", "watch", "status", "check", "try", "completion"][..]),
        ("kubectl-shoal", &["status", "plans", "logs"]),
        ("shoal-operator", &[]),
    ] {
        let helps = verbs.iter().map(|verb| vec![*verb, "--help"]).chain([vec!["--help"]]);
        for arguments in helps {
            let output = Command::new(program(name)).args(&arguments).output().expect("the program is built");
            let help = String::from_utf8_lossy(&output.stdout);
            let named = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
            variables.extend(named.map(str::to_owned));
        }
    }
    assert!(
        variables.iter().any(|name| name == "SHOAL_AT") && variables.iter().any(|name| name == "SHOAL_LEASE")
    );
    for name in variables {
        let is_made = name.ends_with("_PORT") || name.contains("_PORT_") || name.contains("_SERVICE_");
        assert!(!is_made, "{name}");
    }
}

/// A node's own lines: those of the modules that a node is made of.
fn is_of_a_node(module: &str) -> bool {
    module.starts_with("agent_node::") && !module.starts_with("agent_node::run")
}

#[test]
fn each_line_of_a_node_names_it_and_libraries_say_nothing() {
    for format in ["json", "text"] {
        let scene = Scene::new();
        let log = scene.file("log");
        let dev = Dev::start_tracing(&log, format, &scene.file("plan.yaml"), 3, &scene.file("data")).unwrap();
        run(&dev.all(), &["send", "/counter/1", "add", r#"{"n": 2}"#]);
        // A stranger at a port for peers, and an edited plan.
        let status = run(&dev.at(1), &["status", "-o", "json"]);
        let peer = json_of(&status.out)["peerAt"].as_str().unwrap().to_owned();
        TcpStream::connect(peer).unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        fs::write(scene.file("plan.yaml"), plans::COUNTERS.replace("initial: 0", "initial: 1")).unwrap();
        let generation = || json_of(&run(&dev.at(2), &["status", "-o", "json"]).out)["generation"].clone();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while generation() == 1 {
            assert!(std::time::Instant::now() < until, "the edited plan is not in force");
        }
        dev.stop().unwrap();
        let text = fs::read_to_string(&log).unwrap();
        let mut of_nodes = 0;
        for line in text.lines() {
            let (module, named) = if format == "json" {
                let line = json_of(line);
                (line["target"].as_str().unwrap().to_owned(), line["span"]["n"].is_u64())
            } else {
                let module = line.split_whitespace().find(|word| word.contains("agent_node"));
                let module = module.unwrap_or(line).trim_end_matches(':');
                (module.to_owned(), line.contains("node{n="))
            };
            assert!(module.starts_with("agent_node"), "{line}");
            assert!(named || !is_of_a_node(&module), "{line}");
            of_nodes += usize::from(named);
        }
        assert!(of_nodes > 12, "{text}");
    }
}

/// The commands of a document's part and what it says that they print, in their order.
fn examples(part: &str) -> Vec<(String, String)> {
    let mut examples: Vec<(String, String)> = Vec::new();
    for block in part.split("```\n").skip(1).step_by(2) {
        for line in block.lines() {
            match (line.strip_prefix("$ "), examples.last_mut()) {
                (Some(command), _) => examples.push((command.to_owned(), String::new())),
                (None, Some((_, printed))) => printed.extend([line, "\n"]),
                (None, None) => panic!("{line} comes from no command"),
            }
        }
    }
    examples
}

#[test]
fn check_and_try_print_what_the_document_says() {
    let document = read("agent-node/docs/cli.md");
    let part = document.split("\n## Checking a plan").nth(1).expect("the part").split("\n## ").next();
    let examples = examples(part.expect("the part"));
    let path = program("agent-node").parent().expect("a folder").display().to_string();
    let path = format!("{path}:{}", std::env::var("PATH").unwrap_or_default());
    let mut ends = Vec::new();
    for (line, expected) in examples {
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).current_dir(root()).env("PATH", &path).env("LC_ALL", "C");
        let ended = said(&shell.output().expect("a shell"));
        assert_eq!((ended.out + "\n", ended.err.as_str()), (expected, ""), "{line}");
        ends.push(ended.code);
    }
    assert_eq!(ends, [Some(0), Some(1), Some(0), Some(1)]);
}

#[test]
fn check_tells_programs_what_is_wrong_in_each_file() {
    let scene = Scene::new();
    let wrong = scene.file("wrong.yaml").display().to_string();
    fs::write(&wrong, plans::COUNTERS.replace("total + event.n", "totl + event.n")).unwrap();
    let right = scene.file("plan.yaml").display().to_string();
    let both = run("", &["check", &right, &wrong, "-o", "json"]);
    let lines: Vec<Value> = both.out.lines().map(json_of).collect();
    assert_eq!((both.code, lines.len()), (Some(1), 2), "{both:?}");
    assert_eq!(lines[0], json!({"file": right, "plans": ["counters"], "errors": []}));
    let error = &lines[1]["errors"][0];
    assert!(error["line"].as_u64().is_some_and(|line| line > 1), "{error}");
    assert!(error["at"].as_str().is_some_and(|at| at.starts_with("spec.agents[0].rules[0].do")), "{error}");
    let nowhere = run("", &["check", "/nowhere/plan", &wrong]);
    assert_eq!(nowhere.code, Some(2), "{nowhere:?}");
    assert!(nowhere.out.contains("wrong.yaml:") && nowhere.err.contains("/nowhere/plan can't be read"));
    let mut plugin = Command::new(program("kubectl-shoal"));
    plugin.args(["check", "-f", &right, "-f", &wrong, "-o", "json"]).env("KUBECONFIG", "/nowhere");
    let plugin = said(&plugin.output().unwrap());
    assert_eq!((plugin.code, plugin.out), (both.code, both.out));
}

#[test]
fn cases_that_are_wrong_are_told_apart_from_those_that_differ() {
    let scene = Scene::new();
    let plan = scene.file("plan.yaml").display().to_string();
    let add = |n: &str, total: u32| {
        json!([{"name": "c", "commands": [
            {"agent": "/counter/1", "lane": "add", "body": json_of(n), "lanes": {"/counter/1": {"total": total}}}]}])
        .to_string()
    };
    for (cases, code, out, err) in [
        (add(r#"{"n": 2}"#, 2), 0, "1 case, all as expected", ""),
        (add(r#"{"n": 2}"#, 3), 1, "expected 3, got 2", ""),
        ("- name: 1\n".into(), 2, "", "-:1: [0].name: a text is expected"),
    ] {
        let ended = with_input("", &["try", &plan, "-"], &cases);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.out.contains(out) && ended.err.contains(err), "{ended:?}");
    }
}

#[test]
fn a_port_that_is_no_nodes_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut stream| stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        }
    });
    for arguments in [vec!["status"], vec!["get", "/counter/1", "total"]] {
        let said = run(&at, &arguments);
        assert_eq!(said.code, Some(3), "{said:?}");
        assert!(said.err.contains(&format!("{at} does not answer as a node does")), "{said:?}");
        assert!(said.err.contains("--at HOST:PORT") && !said.err.contains("may have been done"), "{said:?}");
    }
}

#[test]
fn dev_prints_a_table_of_all_ports_which_answer_for_what_it_says() {
    let scene = Scene::new();
    let port = free_ports(2).unwrap();
    let mut dev = Command::new(program("agent-node"));
    dev.arg("dev").arg(scene.file("plan.yaml")).args(["--nodes", "2", "--port", &port.to_string(), "--data"]);
    let mut dev = dev.arg(scene.file("data")).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines: Vec<String> =
        BufReader::new(dev.stdout.take().unwrap()).lines().take(4).map(Result::unwrap).collect();
    let words: Vec<Vec<&str>> = lines.iter().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[1], ["node", "clients", "peers", "metrics,", "probes"]);
    for (node, row) in words[2..].iter().enumerate() {
        let status = json_of(&run(row[1], &["status", "-o", "json"]).out);
        let told = ["clientAt", "peerAt", "metricsAt"].map(|field| status[field].as_str().unwrap());
        assert_eq!((row[0], &row[1..]), (&*node.to_string(), &told[..]), "{lines:?}");
        assert!(Dev::metric(row[3], "shoal_ready").is_ok_and(|ready| ready == 1), "{lines:?}");
    }
    dev.kill().unwrap();
    dev.wait().unwrap();
}

#[test]
fn status_tells_where_every_port_is() {
    let scene = Scene::new();
    let dev = scene.start();
    let said = run(&dev.all(), &["status", "--output", "json"]);
    let nodes: Vec<Value> = said.out.lines().map(json_of).collect();
    assert_eq!(nodes.len(), 2);
    for (ordinal, node) in nodes.iter().enumerate() {
        assert_eq!(node["plan"], "counters");
        assert_eq!((&node["ordinal"], &node["generation"]), (&json!(ordinal), &json!(1)));
        assert_eq!(node["clientAt"], dev.at(ordinal as u16));
        assert_eq!(node["slotsOwned"], node["slotsServing"]);
        assert!(node["nodes"].as_array().unwrap().iter().all(|other| other["reached"] == true));
        let metrics = node["metricsAt"].as_str().unwrap();
        let mut stream = TcpStream::connect(metrics).unwrap();
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    }
    let text = run(&dev.at(0), &["status"]).out;
    assert!(text.starts_with("node 0 of counters: ") && text.contains(&dev.at(0)), "{text}");
}

#[test]
fn a_feed_tells_by_number_what_was_refused_and_counts_once() {
    let scene = Scene::new();
    let dev = scene.start();
    let at = dev.all();
    let wrong = json!({"agent": "/counter/1", "lane": "add", "body": {}}).to_string();
    let file = scene.feed(&[&add(1), "", "not JSON", &wrong, &add(2)]);
    for _ in 0..2 {
        let fed = run(&at, &["send", "--file", &file]);
        assert_eq!(fed.code, Some(1), "{fed:?}");
        assert!(fed.out.starts_with("2 lines done, 2 refused in "), "{fed:?}");
        assert!(fed.err.contains("line 3: 400: ") && fed.err.contains("line 4: 422: "), "{fed:?}");
        assert_eq!(run(&at, &["get", "/counter/1", "total"]).out, "3");
    }
    let fed = run(&at, &["send", "--file", &file, "--output", "json"]);
    let refused: Vec<u64> = fed.err.lines().filter_map(|line| json_of(line)["line"].as_u64()).collect();
    assert_eq!((refused, &json_of(&fed.out)["done"]), (vec![3, 4], &json!(2)), "{fed:?}");
    // Another name, and so another effect; from a line on.
    let from = run(&at, &["send", "--file", &file, "--client", "again", "--from-line", "5"]);
    assert!(from.code == Some(0) && from.out.starts_with("1 line done in "), "{from:?}");
    assert_eq!(run(&at, &["get", "/counter/1", "total"]).out, "5");
    let beyond = run(&at, &["send", "--file", &file, "--from-line", "7"]);
    assert!(beyond.code == Some(2) && beyond.err.contains("the file has 5 lines"), "{beyond:?}");
    let lines = [add(10), add(20)].join("\n");
    let fed = with_input(&at, &["send", "--file", "-", "--client", "pipe"], &lines);
    assert!(fed.code == Some(0) && fed.out.contains("as pipe"), "{fed:?}");
    assert_eq!(run(&at, &["get", "/counter/1", "total"]).out, "35");
}

#[tokio::test]
async fn an_interrupted_feed_says_from_where_to_go_on() {
    let scene = Scene::new();
    let dev = scene.start();
    let at = dev.at(0);
    let lines: Vec<String> = (0..2_000).map(|_| add(1)).collect();
    let file = scene.feed(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let mut feed = command(&at, &["send", "--file", &file, "--rate", "200"]);
    let feed = feed.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("some lines", 20, async || {
        let total = run(&at, &["get", "/counter/1", "total"]).out;
        anyhow::ensure!(total.parse::<u64>()? > 20, "{total}");
        Ok(())
    })
    .await;
    interrupt(&feed);
    let said = said(&feed.wait_with_output().unwrap());
    let line = said
        .err
        .split("interrupted: to continue, run the same command with --from-line ")
        .nth(1)
        .expect("a line");
    let line = line.split(',').next().unwrap();
    assert_eq!(said.code, Some(1), "{said:?}");
    let rest = run(&at, &["send", "--file", &file, "--from-line", line]);
    assert_eq!(rest.code, Some(0), "{rest:?}");
    assert_eq!(run(&at, &["get", "/counter/1", "total"]).out, "2000");
}

/// A watch that runs beside the test.
struct Watching {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Watching {
    fn begin(at: &str, arguments: &[&str]) -> Watching {
        let mut child = command(at, arguments).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Watching { child, out }
    }

    /// Reads until an event has this value.
    fn until(&mut self, value: &Value) -> Vec<Value> {
        let mut seen = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.out.read_line(&mut line).unwrap() > 0, "it has ended after {seen:?}");
            seen.push(json_of(&line));
            if seen.last().is_some_and(|event| event["data"] == *value) {
                return seen;
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_watch_shows_so_many_events_and_goes_on_over_a_kill() {
    let scene = Scene::new();
    let dev = scene.start();
    let at = dev.all();
    run(&at, &["send", "/counter/1", "add", r#"{"n": 2}"#]);
    let seen = run(&at, &["watch", "/counter/1", "total", "--count", "2", "--output", "json"]);
    let events: Vec<Value> = seen.out.lines().map(json_of).collect();
    assert_eq!((events.len(), seen.code), (2, Some(0)), "{seen:?}");
    assert_eq!((&events[0]["event"], &events[0]["data"]), (&json!("set"), &json!(2)));
    assert_eq!(events[1]["event"], "synced");
    let token = events[1]["id"].to_string();
    let seen = run(&at, &["watch", "/counter/1", "total", "--from", &token, "--count", "1"]);
    assert_eq!((seen.out.clone(), seen.code), (format!("synced  @{token}"), Some(0)), "it has all: {seen:?}");
    run(&at, &["send", "/counter/1", "add", r#"{"n": 0}"#]);
    let seen =
        run(&at, &["watch", "/counter/1", "total", "--from", &token, "--count", "1", "--output", "json"]);
    assert_eq!(json_of(&seen.out)["event"], "set", "it is told what came since, and no reset: {seen:?}");

    let mut watching = Watching::begin(&at, &["watch", "/counter/1", "total", "--output", "json"]);
    watching.until(&json!(2));
    // `synced` has no data. It has the token with which the watch comes back.
    watching.until(&Value::Null);
    let port = dev.port;
    dev.kill();
    let _dev = Dev::start_at(&scene.file("plan.yaml"), 2, &scene.file("data"), port).unwrap();
    run(&at, &["send", "/counter/1", "add", r#"{"n": 5}"#]);
    let seen = watching.until(&json!(7));
    assert!(seen.iter().all(|event| event["event"] != "reset"), "it goes on from its token: {seen:?}");
}

/// `agent-node dev` with what it says on standard error.
fn dev_that_is_heard(scene: &Scene, port: u16) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut child = Command::new(program("agent-node"))
        .arg("dev")
        .arg(scene.file("plan.yaml"))
        .args(["--port", &port.to_string(), "--data"])
        .arg(scene.file("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, format!("ready: counters on 127.0.0.1:{port}-{}\n", port + 1));
    let err = BufReader::new(child.stderr.take().unwrap());
    (child, err)
}

fn hears(err: &mut impl std::io::BufRead, words: &str) {
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        assert!(err.read_line(&mut line).unwrap() > 0, "it has ended without `{words}`");
    }
}

#[test]
fn an_edited_plan_is_taken_and_a_wrong_edit_told_by_its_path() {
    let scene = Scene::new();
    let port = free_ports(2).unwrap();
    let at = format!("127.0.0.1:{port}");
    let (mut child, mut err) = dev_that_is_heard(&scene, port);
    run(&at, &["send", "/counter/1", "add", r#"{"n": 2}"#]);
    fs::write(scene.file("plan.yaml"), plans::COUNTERS.replace("total + event.n", "total + evnt.n")).unwrap();
    hears(&mut err, "spec.agents[0].rules[0].do[0].set.to:9");
    hears(&mut err, "the plan before it stays");
    run(&at, &["send", "/counter/1", "add", r#"{"n": 2}"#]);
    assert_eq!(run(&at, &["get", "/counter/1", "total"]).out, "4");
    for (from, to, words) in [
        ("replicas: 2", "replicas: 3", "spec.replicas"),
        ("name: counters", "name: others", "metadata.name"),
        ("type: Value, access: ReadWrite", "type: Supply", "spec.agents[0].lanes[3].type"),
    ] {
        fs::write(scene.file("plan.yaml"), plans::COUNTERS.replace(from, to)).unwrap();
        hears(&mut err, words);
    }
    fs::write(scene.file("plan.yaml"), plans::COUNTERS.replace("total + event.n", "total + event.n * 100"))
        .unwrap();
    hears(&mut err, "the edited plan is in force");
    run(&at, &["send", "/counter/1", "add", r#"{"n": 2}"#]);
    assert_eq!(run(&at, &["get", "/counter/1", "total"]).out, "204");
    assert_eq!(json_of(&run(&at, &["status", "--output", "json"]).out)["generation"], 2);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    // The plan that was in force is in force again, and another number of nodes is refused.
    let (mut child, _err) = dev_that_is_heard(&scene, port);
    assert_eq!(json_of(&run(&at, &["status", "--output", "json"]).out)["generation"], 2);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let (code, said) = Dev::refused(&scene.file("plan.yaml"), 3, &scene.file("data")).unwrap();
    assert!(code == Some(2) && said.contains("--nodes 3"), "{code:?} {said}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let (scene, other) = (Scene::new(), Scene::new());
    let dev = scene.start();
    let plan = other.file("plan.yaml");
    let refused = Command::new(program("agent-node"))
        .args(["dev", plan.to_str().unwrap(), "--port", &(dev.port + 1).to_string(), "--data"])
        .arg(other.file("data"))
        .output()
        .unwrap();
    let refused = said(&refused);
    assert!(refused.code == Some(1) && refused.err.contains(&dev.at(1)), "{refused:?}");
    assert!(refused.err.contains("--port") && refused.out.is_empty(), "{refused:?}");
}

#[test]
fn a_lost_ring_comes_back_from_the_nodes_and_an_exchanged_folder_is_told() {
    let scene = Scene::new();
    scene.start().stop().unwrap();
    let ring = scene.file("data/ring");
    let kept = fs::read(&ring).unwrap();
    fs::remove_file(&ring).unwrap();
    scene.start().stop().unwrap();
    assert_eq!(fs::read(&ring).unwrap(), kept, "the nodes' folders have it");
    let (node, away) = (scene.file("data/node-1"), scene.file("node-1"));
    fs::rename(&node, &away).unwrap();
    let (code, said) = Dev::refused(&scene.file("plan.yaml"), 2, &scene.file("data")).unwrap();
    assert!(code == Some(1) && said.contains("is not the store that the ring knows"), "{code:?} {said}");
    fs::remove_dir_all(&node).unwrap();
    fs::rename(&away, &node).unwrap();
    scene.start().stop().unwrap();
}

#[test]
fn killed_again_and_again_it_starts_at_once_on_its_folder_and_ports() {
    let scene = Scene::new();
    let mut dev = scene.start();
    for round in 1..=5 {
        run(&dev.at(1), &["send", "/counter/1", "add", r#"{"n": 1}"#]);
        let port = dev.port;
        dev.kill();
        dev = Dev::start_at(&scene.file("plan.yaml"), 2, &scene.file("data"), port).unwrap();
        assert_eq!(run(&dev.at(0), &["get", "/counter/1", "total"]).out, round.to_string());
    }
}

#[test]
fn the_records_of_a_node_that_was_killed_are_shown_and_what_is_damaged() {
    let scene = Scene::new();
    let dev = scene.start();
    let at = dev.at(0);
    for n in [2, 3] {
        assert_eq!(run(&at, &["send", "/counter/1", "add", &format!(r#"{{"n": {n}}}"#)]).code, Some(0));
    }
    drop(dev);
    let log_of = |node: &str, more: &[&str]| {
        let folder = scene.file("data").join(node);
        run(&at, &[&["log", folder.to_str().unwrap(), "--agent", "/counter/1"], more].concat())
    };
    let owner = ["node-0", "node-1"].into_iter().find(|node| !log_of(node, &[]).out.is_empty()).unwrap();
    let log = |more: &[&str]| log_of(owner, more);
    let shown = log(&[]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let lines: Vec<&str> = shown.out.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].contains("; /counter/1; ") && lines[0].contains("total = 2"),
        "{shown:?}"
    );
    assert!(lines[1].contains(" LSN 2 ") && lines[1].contains("total = 5"), "{shown:?}");
    let objects: Vec<Value> = log(&["-o", "json"]).out.lines().map(json_of).collect();
    assert_eq!((&objects[1]["agent"], &objects[1]["lsn"]), (&json!("/counter/1"), &json!(2)));
    assert!(
        objects[1]["changes"].as_array().unwrap().contains(&json!({"lane": "total", "set": 5})),
        "{objects:?}"
    );
    let slot = objects[1]["slot"].to_string();
    assert_eq!(log(&["--slot", &slot]).out, shown.out);
    let segment = scene.file("data").join(owner).join("log/segment-00000001");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[4096 + 150] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let damaged = log(&[]);
    let lost = format!("; slot {slot} lost LSN 1 to 1");
    assert!(
        damaged.code == Some(1) && damaged.err.contains("damaged: ") && damaged.err.contains(&lost),
        "{damaged:?}"
    );
    let missing = run(&at, &["log", scene.file("nothing").to_str().unwrap()]);
    assert_eq!((missing.code, missing.out.as_str()), (Some(2), ""), "{missing:?}");
    assert!(missing.err.contains("nothing"), "{missing:?}");
}
