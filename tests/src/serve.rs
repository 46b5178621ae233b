//! The nodes of a plan, each in a process of its own as in its pod, and what an operator does for them: certificates, the
//! ring, the plan.
//!
//! *Guarantees*: they are gone when `Nodes` is, however the test ends.

use crate::cluster::eventually;
use crate::dev::{free_ports, program, scrape, with_files};
use agent_node::peer::certificates::{now_s, write};
use agent_node::peer::transport::dial;
use anyhow::{Context as _, Result, ensure};
use proto::address::slot;
use proto::ring::{Member, Ring, StoreId};
use proto::trust::{self, Authority, Credentials, Pair, Pems, Role};
use proto::wire::peer::control_client::ControlClient;
use proto::wire::peer::{ConfigureRequest, Hints, ReportRequest, ReportResponse};
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;
use tonic::transport::Channel;

const UID: &str = "3f0e1c52-9a40-4d0b-8e57-4a1c7a1a6f10";
/// For clients, for nodes and the operator, for metrics.
const PORTS: u16 = 3;
pub const SLOTS: u32 = 256;

pub struct Nodes {
    /// Certificates and logs.
    folder: TempDir,
    data: PathBuf,
    authority: Pair,
    first_port: u16,
    /// Where each answers its peers.
    ips: Vec<&'static str>,
    /// What the ring says of that.
    names: Vec<String>,
    processes: Vec<Option<Child>>,
    name: String,
    spec: Value,
    ring: Vec<u8>,
}

impl Drop for Nodes {
    fn drop(&mut self) {
        (0..self.processes.len()).for_each(|node| self.kill(node));
    }
}

impl Nodes {
    /// Runs a plan on so many nodes, with their data folders in this one, until all of them serve.
    pub async fn start(plan: &str, count: u16, data: &Path) -> Result<Nodes> {
        Nodes::start_named(plan, count, data, None).await
    }

    /// The same; the ring has these names of the nodes, which may lead elsewhere.
    pub async fn start_named(
        plan: &str,
        count: u16,
        data: &Path,
        names: Option<Vec<String>>,
    ) -> Result<Nodes> {
        let plan: Value = serde_yaml_ng::from_str(plan)?;
        let mut spec = plan["spec"].clone();
        spec["replicas"] = count.into();
        spec["slots"] = SLOTS.into();
        let mut nodes = Nodes {
            folder: tempfile::tempdir()?,
            data: data.to_owned(),
            authority: Authority::make(UID, now_s())?,
            first_port: free_ports(count * PORTS)?,
            ips: vec!["127.0.0.1"; count.into()],
            names: Vec::new(),
            processes: (0..count).map(|_| None).collect(),
            name: plan["metadata"]["name"].as_str().context("a name")?.to_owned(),
            spec,
            ring: Vec::new(),
        };
        nodes.names = names.unwrap_or_else(|| nodes.peers_at());
        for node in 0..nodes.processes.len() {
            nodes.certify(node, now_s())?;
            nodes.begin(node)?;
        }
        let mut members = Vec::new();
        for node in 0..nodes.processes.len() {
            members.push(member(&eventually("a report", 20, async || nodes.report(node).await).await)?);
        }
        nodes.ring = Ring::begin(UID, members, SLOTS, 1).encode();
        for node in 0..nodes.processes.len() {
            nodes.give(node, 1).await?;
            nodes.serves(node).await;
        }
        Ok(nodes)
    }

    /// Begins a node that does not run, for the first time or again.
    pub fn begin(&mut self, node: usize) -> Result<()> {
        self.begin_by(Command::new(program("agent-node")), node)
    }

    /// The same, as a process that may have no more files open than this.
    pub fn begin_with_files(&mut self, files: u32, node: usize) -> Result<()> {
        self.begin_by(with_files(files), node)
    }

    fn begin_by(&mut self, mut program: Command, node: usize) -> Result<()> {
        let log =
            File::options().create(true).append(true).open(self.folder.path().join(format!("log-{node}")))?;
        let child = program
            .args(["serve", "--shards", "1", "--plan-uid", UID])
            .args(["--pod-name", &format!("{}-{node}", self.name), "--data"])
            .arg(self.data.join(node.to_string()))
            .arg("--certificates")
            .arg(self.certificates(node))
            .args(["--listen", &self.at(node), "--peer-listen", &self.peer_at(node)])
            .args(["--metrics-listen", &self.metrics_at(node)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("agent-node is not built")?;
        self.processes[node] = Some(child);
        Ok(())
    }

    /// SIGKILL, if it runs.
    pub fn kill(&mut self, node: usize) {
        if let Some(mut child) = self.processes[node].take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Writes the certificate of a node as if it had been made at that time.
    pub fn certify(&self, node: usize, made_s: u64) -> Result<()> {
        self.write_certificate(node, &self.authority, made_s)
    }

    /// Gives a node a certificate and a bundle of another CA, so that it and the others refuse each other.
    pub fn estrange(&self, node: usize) -> Result<()> {
        self.write_certificate(node, &Authority::make(UID, now_s())?, now_s())
    }

    fn write_certificate(&self, node: usize, authority: &Pair, made_s: u64) -> Result<()> {
        fs::create_dir_all(self.certificates(node))?;
        let pair = Authority::load(UID, authority)?.issue(Role::Node, made_s)?;
        write(&self.certificates(node), &Pems { pair, bundle: authority.certificate.clone() })
    }

    /// Gives a node the plan, as this generation of it, and the ring.
    pub async fn give(&self, node: usize, generation: u64) -> Result<()> {
        let request = ConfigureRequest {
            plan_name: self.name.clone(),
            plan_uid: UID.to_owned(),
            generation,
            spec: self.spec.to_string().into(),
            ring: self.ring.clone().into(),
            peers: self.names.clone(),
            ..ConfigureRequest::default()
        };
        self.control(node).await?.configure(request).await?;
        Ok(())
    }

    /// Has a node answer its peers at this address from its next start on.
    pub fn move_to(&mut self, node: usize, ip: &'static str) {
        self.ips[node] = ip;
    }

    /// Tells a node where the others can be reached, as the operator does.
    pub async fn hint(&self, node: usize, digest: u64, at: &[String]) -> Result<()> {
        let hints = Some(Hints { digest, at: at.to_vec() });
        let told = self.control(node).await?.report(ReportRequest { hints, ring: None }).await?.into_inner();
        ensure!(told.hints == Some(digest), "it has {:?}", told.hints);
        Ok(())
    }

    pub async fn report(&self, node: usize) -> Result<ReportResponse> {
        Ok(self.control(node).await?.report(ReportRequest::default()).await?.into_inner())
    }

    async fn control(&self, node: usize) -> Result<ControlClient<Channel>> {
        let pair = Authority::load(UID, &self.authority)?.issue(Role::Operator, now_s())?;
        let pems = Pems { pair, bundle: self.authority.certificate.clone() };
        let client = Arc::new(trust::client(&Credentials::load(UID, Role::Operator, &pems)?));
        let name = Role::Node.name(UID)?;
        Ok(ControlClient::new(dial(&self.peer_at(node), client, name, |_| ()).await?))
    }

    /// Waits until a node is ready.
    pub async fn serves(&self, node: usize) {
        eventually("the node to be ready", 30, async || {
            let text =
                self.scrape(node).with_context(|| format!("it does not answer: {}", self.last_log(node)))?;
            ensure!(text.contains("\nshoal_ready 1\n"), "it is not ready");
            Ok(())
        })
        .await;
    }

    /// What a node answers to Prometheus, if it does.
    pub fn scrape(&self, node: usize) -> Option<String> {
        scrape(&self.metrics_at(node)).ok()
    }

    pub fn count(&self) -> usize {
        self.processes.len()
    }

    pub fn pod(&self, node: usize) -> String {
        format!("{}-{node}", self.name)
    }

    /// Where clients reach a node.
    pub fn at(&self, node: usize) -> String {
        format!("127.0.0.1:{}", self.port(node, 0))
    }

    fn peer_at(&self, node: usize) -> String {
        format!("{}:{}", self.ips[node], self.port(node, 1))
    }

    /// Where each node answers the others.
    pub fn peers_at(&self) -> Vec<String> {
        (0..self.count()).map(|node| self.peer_at(node)).collect()
    }

    fn metrics_at(&self, node: usize) -> String {
        format!("127.0.0.1:{}", self.port(node, 2))
    }

    fn port(&self, node: usize, which: u16) -> u16 {
        self.first_port + node as u16 * PORTS + which
    }

    /// What a node has logged, over all its starts.
    pub fn log(&self, node: usize) -> String {
        fs::read_to_string(self.folder.path().join(format!("log-{node}"))).unwrap_or_default()
    }

    fn last_log(&self, node: usize) -> String {
        let log = self.log(node);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }

    fn certificates(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("certificates-{node}"))
    }

    /// Some agents of the route `/counter/:id` whose slots this node owns.
    pub fn agents_of(&self, node: usize) -> Vec<String> {
        let ring = Ring::decode(&self.ring).expect("a ring");
        let owner = |agent: &str| usize::from(ring.owner(slot(agent, SLOTS)).ordinal);
        (0..64).map(|n| format!("/counter/{n}")).filter(|agent| owner(agent) == node).collect()
    }
}

fn member(report: &ReportResponse) -> Result<Member> {
    let identity = report.identity.as_ref().context("an identity")?;
    Ok(Member {
        ordinal: u16::try_from(identity.ordinal)?,
        store: StoreId(u128::from_str_radix(&identity.store, 16)?),
        incarnation: identity.incarnation,
    })
}
