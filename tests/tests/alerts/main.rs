//! The chart's alerts and dashboard under Prometheus' own code, over the series of real nodes: each alert fires in its
//! fault, none in health, and every expression of the dashboard finds series.
//!
//! Time is stretched: each scrape counts for a minute, however soon after the one before it was made.

mod api_server;
mod operators;

use operator::metrics::Metrics;
use operator::plan::Key;
use operator::queue::Outcome;
use proto::plan::AgentPlanStatus;
use proto::wire::v1::{Command, SendAllRequest, WatchRequest};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tests::cluster::{Client, client, eventually};
use tests::disk::Disk;
use tests::lanes::{get, send};
use tests::plans;
use tests::project::{read, root};
use tests::rulecheck::{Answer, Moment, Target, judge};
use tests::serve::Nodes;

const ALERTS: &str = "charts/shoal/files/alerts.yaml";
const DASHBOARD: &str = "charts/shoal/files/dashboard.json";
const SITUATIONS: &str = include_str!("../../../operator/src/status/situations.golden.json");

/// What fires in each fault.
const A_NODE_IS_KILLED: &[&str] = &["ShoalNodeUnreached", "ShoalCommandsFail", "ShoalCommandsSlow"];
const A_NODE_IS_KILLED_AGAIN_AND_AGAIN: &[&str] = &["ShoalNodeRestarts"];
const A_NODE_IS_CUT_OFF: &[&str] = &["ShoalNodeUnreached", "ShoalNodeNotReady", "ShoalNodesDisagree"];
const A_CERTIFICATE_IS_OLD: &[&str] = &["ShoalCertificateEnding"];
const A_DISK_FILLS: &[&str] = &["ShoalDiskFilling"];
const A_DISK_IS_FULL: &[&str] = &["ShoalDiskFilling", "ShoalDiskFull", "ShoalCommandsFail"];
const CLIENTS_AND_RULES_ARE_WRONG: &[&str] = &["ShoalCommandsRefused", "ShoalMessagesRefused"];
const CLIENTS_FIND_NO_ROOM: &[&str] = &["ShoalClientsTurnedAway"];

/// Sets the conditions of a plan as one of the situations has them that the operator's own tests hold.
fn show(metrics: &Metrics, situation: &str) {
    let situations: Vec<Value> = serde_json::from_str(SITUATIONS).unwrap();
    let found = situations.iter().find(|one| one["name"] == situation).expect(situation);
    let status: AgentPlanStatus = serde_json::from_value(found["plan"]["status"].clone()).unwrap();
    metrics.show(&Key { namespace: "default".to_owned(), name: "flights".to_owned() }, &status);
}

/// An operator with nothing to do.
fn operator() -> Metrics {
    let metrics = Metrics::default();
    metrics.leader.set(1);
    metrics.ready.set(1);
    metrics.plans.set(1);
    metrics.watch_errors("AgentPlan");
    metrics.gave();
    show(&metrics, "settled");
    metrics
}

/// A run, minute by minute, as Prometheus would see it by the chart's monitors.
struct Run {
    moments: Vec<Moment>,
    operator: Metrics,
}

impl Run {
    fn begin() -> Run {
        Run { moments: Vec::new(), operator: operator() }
    }

    fn minute(&mut self, nodes: Option<&Nodes>) {
        self.operator.ended(Outcome::Settled);
        self.operator.duration_s.observe(0.01);
        let mut targets = vec![operator_target(Some(self.operator.text()))];
        for (nodes, node) in nodes.iter().flat_map(|nodes| (0..nodes.count()).map(move |node| (nodes, node)))
        {
            let labels = [
                ("job", "shoal-system/shoal-nodes"),
                ("namespace", "default"),
                ("plan", "counters"),
                ("pod", &nodes.pod(node)),
            ];
            targets.push(target(&labels, nodes.scrape(node)));
        }
        self.push(targets);
    }

    fn push(&mut self, targets: Vec<Target>) {
        let began = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let at_ms = self.moments.last().map_or_else(began, |before| before.at_ms + 60_000);
        self.moments.push(Moment { at_ms, targets, queries: Vec::new() });
    }

    fn judged(&self) -> Vec<Answer> {
        judge(&root().join(ALERTS), &self.moments).unwrap()
    }
}

fn operator_target(text: Option<String>) -> Target {
    let labels =
        [("job", "shoal-operator-metrics"), ("namespace", "shoal-system"), ("pod", "shoal-operator-1")];
    target(&labels, text)
}

fn target(labels: &[(&str, &str)], text: Option<String>) -> Target {
    let labels = labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Target { labels, text }
}

fn firing(answer: &Answer) -> BTreeSet<&str> {
    answer.firing.iter().map(tests::rulecheck::Firing::name).collect()
}

fn fires_exactly(expected: &[&str], answer: &Answer) {
    assert_eq!(firing(answer), expected.iter().copied().collect(), "{:#?}", answer.firing);
}

/// Alerts of a run without a fault that have fired at any moment.
fn fired(answers: &[Answer]) -> BTreeSet<&str> {
    answers.iter().flat_map(firing).collect()
}

/// A disk that nobody else writes to, so that its forecast is that of the run.
async fn nodes(count: u16, disk: &Disk) -> Nodes {
    Nodes::start(plans::TELLING, count, disk.path()).await.unwrap()
}

fn large_disk() -> Disk {
    Disk::mount(4 << 30)
}

/// Some of everything that clients do, on each way in.
async fn use_all(client: &mut Client, http: &str, minute: usize) {
    for n in 0..8 {
        send(client, &format!("/counter/{n}"), "add", &json!({"n": 1})).await.unwrap();
    }
    let commands = (0..4).map(|id| Command {
        id,
        agent: format!("/counter/{id}"),
        lane: "add".into(),
        body: br#"{"n": 1}"#.to_vec().into(),
        ..Command::default()
    });
    let all = SendAllRequest { commands: commands.collect(), ..SendAllRequest::default() };
    let mut answers = client.send_all(tokio_stream::iter([all])).await.unwrap().into_inner();
    while answers.message().await.unwrap().is_some() {}
    send(client, "/counter/1", "tell", &json!({"to": "/counter/2"})).await.unwrap();
    get(client, "/counter/1", "total").await.unwrap();
    if minute.is_multiple_of(10) {
        send(client, "/counter/1", "add", &json!({"m": 1})).await.unwrap_err();
    }
    post(http);
}

fn post(http: &str) {
    let mut stream = TcpStream::connect(http).unwrap();
    let head = "POST /counter/5?lane=add HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    write!(stream, "{head}content-type: application/json\r\ncontent-length: 8\r\n\r\n{{\"n\": 1}}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_alert_fires_in_health_and_every_expression_of_the_dashboard_finds_series() {
    let disk = large_disk();
    let nodes = nodes(3, &disk).await;
    let mut client = client(&nodes.at(0)).await.unwrap();
    let watch = WatchRequest { agent: "/counter/1".into(), lane: "total".into(), ..WatchRequest::default() };
    let mut events = client.watch(watch).await.unwrap().into_inner();
    let reading = tokio::spawn(async move { while let Ok(Some(_)) = events.message().await {} });
    let mut run = Run::begin();
    // Longer than any alert waits.
    for minute in 0..90 {
        use_all(&mut client, &nodes.at(minute % 3), minute).await;
        run.minute(Some(&nodes));
    }
    reading.abort();
    let queries = expressions();
    run.moments.last_mut().unwrap().queries = queries.clone();
    let answers = run.judged();
    let told = answers.iter().flat_map(|answer| &answer.firing).next();
    assert_eq!(fired(&answers), BTreeSet::new(), "{told:#?}");
    let found = &answers.last().unwrap().found;
    let empty: Vec<_> = queries.iter().zip(found).filter(|(_, found)| **found == 0).collect();
    assert!(
        empty.is_empty() && found.len() > 40,
        "of {} expressions these find nothing: {empty:#?}",
        found.len()
    );
}

/// Those of the panels, and what fills the variables, as Grafana asks for them.
fn expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let asked = targets.map(|target| target["expr"].as_str().unwrap());
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let filled = variables.iter().filter_map(|one| one["query"]["query"].as_str()).map(|query| {
        let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).expect(query);
        inner.rsplit_once(", ").expect(query).0
    });
    let values = [("$namespace", "default|x"), ("$plan", "counters|flights"), ("$__rate_interval", "4m")];
    asked
        .chain(filled)
        .map(|text| values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_is_told_and_one_that_is_killed_again_and_again() {
    let disk = large_disk();
    let mut nodes = nodes(3, &disk).await;
    let client = client(&nodes.at(0)).await.unwrap();
    let agents: Vec<String> = (0..3).map(|node| nodes.agents_of(node).remove(0)).collect();
    let mut run = Run::begin();
    // Commands to the lost node wait for it: some are always on their way.
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    let mut sent = tokio::task::JoinSet::new();
    for minute in 0..60 {
        if minute == 5 {
            nodes.kill(2);
        }
        for agent in agents.clone() {
            let mut client = client.clone();
            sent.spawn(async move { send(&mut client, &agent, "add", &json!({"n": 1})).await });
        }
        pace.tick().await;
        run.minute(Some(&nodes));
    }
    let killed = run.moments.len();
    while sent.join_next().await.is_some() {}
    for _ in 0..5 {
        nodes.begin(2).unwrap();
        nodes.serves(2).await;
        run.minute(Some(&nodes));
        nodes.kill(2);
    }
    nodes.begin(2).unwrap();
    nodes.serves(2).await;
    reached(&nodes, 2).await;
    for _ in 0..20 {
        use_all(&mut client.clone(), &nodes.at(0), 1).await;
        run.minute(Some(&nodes));
    }
    let answers = run.judged();
    assert_eq!(fired(&answers[..6]), BTreeSet::new());
    fires_exactly(A_NODE_IS_KILLED, &answers[killed - 1]);
    fires_exactly(A_NODE_IS_KILLED_AGAIN_AND_AGAIN, answers.last().unwrap());
    let restarts = &answers.last().unwrap().firing[0];
    assert_eq!(restarts.labels["pod"], "counters-2");
}

/// Waits until every node reaches so many others.
async fn reached(nodes: &Nodes, others: usize) {
    eventually("nodes to reach each other", 30, async || {
        for node in 0..nodes.count() {
            let text = nodes.scrape(node).unwrap_or_default();
            anyhow::ensure!(text.contains(&format!("\nshoal_peers_connected {others}\n")), "node {node}");
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_is_told_and_so_is_a_certificate_that_nobody_renews() {
    let disk = large_disk();
    let mut nodes = nodes(3, &disk).await;
    let mut run = Run::begin();
    run.minute(Some(&nodes));
    let made = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 300 * 86_400;
    nodes.certify(1, made).unwrap();
    nodes.estrange(2).unwrap();
    for node in [1, 2] {
        nodes.kill(node);
        nodes.begin(node).unwrap();
    }
    nodes.serves(1).await;
    for node in [0, 1] {
        nodes.give(node, 2).await.unwrap();
    }
    eventually("the node to see that it is alone", 30, async || {
        let text = nodes.scrape(2).unwrap_or_default();
        anyhow::ensure!(text.contains("\nshoal_ready 0\n") && text.contains("\nshoal_plan_generation 1\n"));
        Ok(())
    })
    .await;
    for _ in 0..65 {
        run.minute(Some(&nodes));
    }
    let expected = [A_NODE_IS_CUT_OFF, A_CERTIFICATE_IS_OLD].concat();
    fires_exactly(&expected, run.judged().last().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_is_forecast_and_a_full_one_is_told() {
    let disk = Disk::mount(96 << 20);
    let nodes = nodes(1, &disk).await;
    let mut client = client(&nodes.at(0)).await.unwrap();
    let mut run = Run::begin();
    let note = json!("x".repeat(200 << 10));
    for _ in 0..45 {
        send(&mut client, "/counter/1", "note", &note).await.unwrap();
        run.minute(Some(&nodes));
    }
    let filling = run.moments.len();
    disk.fill();
    let refused = async { while send(&mut client, "/counter/1", "note", &note).await.is_ok() {} };
    tokio::time::timeout(Duration::from_mins(1), refused).await.expect("the disk is full");
    for _ in 0..15 {
        send(&mut client, "/counter/1", "note", &note).await.unwrap_err();
        run.minute(Some(&nodes));
    }
    let answers = run.judged();
    fires_exactly(A_DISK_FILLS, &answers[filling - 1]);
    let text = run.moments[filling - 1].targets[1].text.as_ref().unwrap();
    let free = number(text, "shoal_disk_free_bytes") / number(text, "shoal_disk_size_bytes");
    assert!(free > 0.1, "the forecast, not what is left: {free}");
    fires_exactly(A_DISK_IS_FULL, answers.last().unwrap());
}

fn number(text: &str, name: &str) -> f64 {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_and_rules_do_wrong_is_told() {
    let disk = large_disk();
    let nodes = nodes(1, &disk).await;
    let mut client = client(&nodes.at(0)).await.unwrap();
    let mut run = Run::begin();
    for n in 1..=40 {
        send(&mut client, "/counter/1", "add", &json!({"n": 1})).await.unwrap();
        send(&mut client, "/counter/1", "add", &json!({"m": 1})).await.unwrap_err();
        send(&mut client, "/counter/1", "mistell", &json!({"to": "/counter/2"})).await.unwrap();
        // The message takes its way after the answer.
        eventually("the fault to be counted", 30, async || {
            let text = nodes.scrape(0).unwrap_or_default();
            anyhow::ensure!(text.contains(&format!("\nshoal_faults_total {n}\n")), "{text}");
            Ok(())
        })
        .await;
        run.minute(Some(&nodes));
    }
    fires_exactly(CLIENTS_AND_RULES_ARE_WRONG, run.judged().last().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_no_room_for_clients_is_told() {
    let disk = large_disk();
    let mut nodes = nodes(1, &disk).await;
    nodes.kill(0);
    nodes.begin_with_files(100, 0).unwrap();
    nodes.serves(0).await;
    let mut run = Run::begin();
    run.minute(Some(&nodes));
    let at = nodes.at(0);
    let before = run.moments.len();
    for minute in 1..=15 {
        // As many as find room, and one more. Who does not is told by the end of the connection.
        let mut clients = Vec::new();
        let refused = || number(&nodes.scrape(0).unwrap(), "shoal_connections_refused_total");
        let told = refused();
        while refused() <= told {
            assert!(clients.len() < 100, "minute {minute}");
            clients.push(TcpStream::connect(&at).unwrap());
        }
        run.minute(Some(&nodes));
    }
    let answers = run.judged();
    assert_eq!(fired(&answers[..before]), BTreeSet::new());
    fires_exactly(CLIENTS_FIND_NO_ROOM, answers.last().unwrap());
}

fn rules() -> Vec<Value> {
    let file: Value = serde_yaml_ng::from_str(&read(ALERTS)).unwrap();
    let groups = file["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

#[test]
fn every_alert_has_a_fault_in_which_it_fires_and_a_page_that_says_what_to_do() {
    let names: BTreeSet<String> =
        rules().iter().map(|rule| rule["alert"].as_str().unwrap().to_owned()).collect();
    let faults = [
        A_NODE_IS_KILLED,
        A_NODE_IS_KILLED_AGAIN_AND_AGAIN,
        A_NODE_IS_CUT_OFF,
        A_CERTIFICATE_IS_OLD,
        A_DISK_IS_FULL,
        CLIENTS_AND_RULES_ARE_WRONG,
        CLIENTS_FIND_NO_ROOM,
        operators::THE_OPERATOR_IS_REFUSED,
        operators::PLANS_WAIT_AND_LOOKS_FAIL,
        operators::A_POD_IS_NOT_READY,
    ];
    let tested: BTreeSet<String> = faults.concat().into_iter().map(str::to_owned).collect();
    assert_eq!(names, tested);
    let document = read("operator/docs/alerts.md");
    let headings = document.lines().filter_map(|line| line.strip_prefix("### "));
    assert_eq!(headings.map(str::to_owned).collect::<BTreeSet<_>>(), names);
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap();
        let texts: BTreeMap<String, String> = serde_json::from_value(rule["annotations"].clone()).unwrap();
        assert_eq!(texts.keys().collect::<Vec<_>>(), ["description", "runbook", "summary"], "{name}");
        assert_eq!(texts["runbook"], format!("operator/docs/alerts.md#{}", name.to_lowercase()));
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning"].contains(&severity), "{name}");
        let row = document.lines().find(|line| line.contains(&format!("(#{})", name.to_lowercase())));
        assert!(
            row.is_some_and(|row| row.contains(severity)),
            "the table of the document says {severity} of {name}"
        );
    }
}
