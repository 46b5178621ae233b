//! Faults of the operator and of plans: a real operator over an API server in memory; and, for what needs nodes on a
//! cluster, the text of its metrics over statuses that its own tests hold.

use super::{Run, fired, fires_exactly, operator_target, show};
use crate::api_server::ApiServer;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tests::cluster::eventually;
use tests::dev::{fetch, free_ports, program};
use tests::project::read;
use tokio::time::interval;

pub const THE_OPERATOR_IS_REFUSED: &[&str] = &["ShoalOperatorAbsent", "ShoalOperatorNotReady"];
pub const PLANS_WAIT_AND_LOOKS_FAIL: &[&str] =
    &["ShoalPlanUnavailable", "ShoalPlanStalled", "ShoalOperatorFails", "ShoalOperatorWatchFails"];
pub const A_POD_IS_NOT_READY: &[&str] = &["ShoalPlanNotReady"];
const A_NODE_FAILS: &[&str] = &["ShoalPlanUnavailable", "ShoalPlanStalled"];

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/shoal-system/leases/shoal-operator";
const PLANS: &str = "/apis/shoal.dev/v1alpha1/agentplans";

/// A real operator, ended with this value.
struct Operator {
    child: Child,
    at: String,
    _folder: TempDir,
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Operator {
    fn start(server: &ApiServer) -> Operator {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        fs::write(&kubeconfig, server.kubeconfig()).unwrap();
        let at = format!("127.0.0.1:{}", free_ports(1).unwrap());
        let child = Command::new(program("shoal-operator"))
            .args(["--node-image", "shoal/agent-node:1", "--listen", &at])
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .expect("shoal-operator is built");
        Operator { child, at, _folder: folder }
    }

    fn scrape(&self) -> Option<String> {
        fetch(&self.at, "/metrics").ok().map(|(_, text)| text)
    }

    /// Waits until `/readyz` answers so.
    async fn becomes(&self, code: u16, said: &str) {
        eventually("the answer of /readyz", 30, async || {
            let (seen, text) = fetch(&self.at, "/readyz")?;
            ensure!(seen == code && text.contains(said), "{seen} {text}");
            Ok(())
        })
        .await;
    }

    async fn acts(&self) {
        eventually("the operator to act", 30, async || -> Result<()> {
            let text = self.scrape().context("it does not answer")?;
            ensure!(text.contains("\nshoal_operator_leader 1\n"), "it has no Lease");
            Ok(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_refused_the_lease_or_the_list_of_plans_is_told() {
    let server = ApiServer::start().await;
    server.refuse(LEASE);
    server.refuse(PLANS);
    let operator = Operator::start(&server);
    operator
        .becomes(503, "plans cannot be listed: the API server does not allow it: it is forbidden. Give")
        .await;
    let mut run = Run::begin();
    for _ in 0..10 {
        run.push(vec![operator_target(operator.scrape())]);
    }
    fires_exactly(THE_OPERATOR_IS_REFUSED, run.judged().last().unwrap());
    server.allow_all();
    operator.becomes(200, "ok").await;
    operator.acts().await;
    // It acts, and its watch goes on; it is not ready all the same.
    server.refuse(PLANS);
    operator.becomes(503, "it is forbidden").await;
}

fn plan(name: &str) -> Value {
    let mut plan: Value = serde_yaml_ng::from_str(&read("crds/samples/flights.yaml")).unwrap();
    plan["metadata"] = json!({"name": name, "namespace": "default", "uid": name, "generation": 1});
    plan
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_that_wait_and_an_operator_that_fails_are_told() {
    let server = ApiServer::start().await;
    let put = |plan: &Value| {
        let name = plan["metadata"]["name"].as_str().unwrap();
        server.put(&format!("/apis/shoal.dev/v1alpha1/namespaces/default/agentplans/{name}"), plan);
    };
    // No pods come, since no controller makes them.
    put(&plan("starting"));
    let mut wrong = plan("wrong");
    wrong["spec"]["agents"][0]["rules"][0]["do"][0]["set"]["to"] = json!("late +");
    put(&wrong);
    put(&plan("broken"));
    server.refuse("/api/v1/namespaces/default/secrets/broken-ca");
    // Those of all namespaces are watched, those of one are read.
    server.refuse("/api/v1/pods");
    let operator = Operator::start(&server);
    operator.acts().await;
    let mut run = Run::begin();
    // What fails is tried ever more rarely: a minute is a second here.
    let mut pace = interval(Duration::from_secs(1));
    for _ in 0..20 {
        pace.tick().await;
        run.push(vec![operator_target(operator.scrape())]);
    }
    let answers = run.judged();
    assert_eq!(fired(&answers), PLANS_WAIT_AND_LOOKS_FAIL.iter().copied().collect());
    let told: BTreeSet<_> = answers
        .iter()
        .flat_map(|answer| &answer.firing)
        .map(|one| [one.name(), one.labels.get("plan").or(one.labels.get("kind")).map_or("", String::as_str)])
        .collect();
    let expected = [
        ["ShoalPlanUnavailable", "starting"],
        ["ShoalPlanStalled", "wrong"],
        ["ShoalOperatorFails", ""],
        ["ShoalOperatorWatchFails", "Pod"],
    ];
    assert!(expected.iter().all(|one| told.contains(one)), "{told:?}");
}

#[test]
fn a_pod_that_is_not_ready_and_a_node_that_fails_are_told() {
    for (situation, expected) in [("unready pod", A_POD_IS_NOT_READY), ("failing pod", A_NODE_FAILS)] {
        let mut run = Run::begin();
        (0..5).for_each(|_| run.minute(None));
        show(&run.operator, situation);
        (0..20).for_each(|_| run.minute(None));
        let answers = run.judged();
        assert_eq!(fired(&answers[..5]), BTreeSet::new(), "{situation}");
        fires_exactly(expected, answers.last().unwrap());
    }
}
