//! A real Kubernetes for tests: the one that `tests/cluster` starts, with the chart installed as a user would.
//!
//! *Guarantees*: tests take turns, each in a namespace of its own; these and the operator's are under the `restricted`
//! pod security level; nothing is skipped: without a cluster every test fails with the reason; the cluster goes when
//! this process does, unless it was up before.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use proto::wire::v1::lanes_client::LanesClient;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};
use tonic::transport::{Channel, Endpoint};

pub const OPERATOR_NAMESPACE: &str = "shoal-system";
pub const OPERATOR: &str = "shoal-operator";
const RELEASE: &str = "shoal";
const TEST_LABEL: &str = "shoal.dev/test";

static TURN: Mutex<()> = Mutex::const_new(());
static CLUSTER: OnceLock<Result<Cluster, String>> = OnceLock::new();

pub type Client = LanesClient<Channel>;

/// The cluster with the operator on it.
pub struct Cluster {
    root: PathBuf,
    programs: PathBuf,
    /// The tag of the images of this build.
    tag: String,
}

#[derive(Clone, Debug)]
pub struct Pod {
    pub name: String,
    pub uid: String,
    pub ip: String,
    pub ready: bool,
    pub restarts: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub status: String,
    pub reason: String,
    pub message: String,
}

/// One test's turn: a namespace, and in it a plan.
pub struct Scene {
    pub cluster: &'static Cluster,
    pub namespace: String,
    plan: String,
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    fn start() -> Result<Cluster> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?.to_owned();
        let programs = programs(&root)?;
        let cluster = Cluster { tag: tag(&programs)?, programs, root };
        let pid = std::process::id().to_string();
        let up = Command::new(cluster.root.join("tests/cluster")).args(["up", "--while", &pid]).status()?;
        ensure!(up.success(), "the cluster did not start: what it said stands above");
        cluster.run(
            &["kubectl", "apply", "-f", "-"],
            Some(&namespace(OPERATOR_NAMESPACE, "shoal.dev/operator")),
        )?;
        cluster.load_images()?;
        cluster.install(&[])?;
        Ok(cluster)
    }

    /// The images of this build, as anyone builds and loads them.
    fn load_images(&self) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let output = folder.path().to_str().context("path")?;
        let programs = self.programs.to_str().context("path")?;
        let mut build = Command::new(self.root.join("images/build"));
        build.args(["--tag", &self.tag, "--programs", programs, "--output", output]);
        ensure!(build.status()?.success(), "the images were not built: why stands above");
        let archives = ["agent-node", "shoal-operator"].map(|image| format!("{output}/{image}.tar"));
        self.run(&["load-image", &archives[0], &archives[1]], None)?;
        Ok(())
    }

    /// The chart with the images of this build, and with more values.
    pub fn install(&self, values: &[&str]) -> Result<()> {
        self.install_chart("charts/shoal", values)
    }

    fn install_chart(&self, chart: &str, values: &[&str]) -> Result<()> {
        let chart = self.root.join(chart);
        let mut arguments = vec![chart.to_str().context("path")?, "--wait", "--timeout", "120s"];
        let images = ["image", "nodeImage"]
            .map(|image| [format!("{image}.tag={}", self.tag), format!("{image}.pullPolicy=Never")]);
        arguments.extend(images.iter().flat_map(|[tag, policy]| ["--set-string", tag, "--set", policy]));
        arguments.extend(values.iter().flat_map(|value| ["--set", value]));
        self.helm(&["upgrade", "--install"], &arguments)
    }

    /// A command of helm for the release.
    pub fn helm(&self, command: &[&str], arguments: &[&str]) -> Result<()> {
        let of_release = [RELEASE, "--namespace", OPERATOR_NAMESPACE];
        self.run(&[&["helm"], command, &of_release, arguments].concat(), None)?;
        Ok(())
    }

    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// A command of `tests/cluster`; what it prints, or what it says is wrong.
    pub fn run(&self, arguments: &[&str], input: Option<&str>) -> Result<String> {
        let mut command = Command::new(self.root.join("tests/cluster"));
        let mut child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take().context("no input")?;
        stdin.write_all(input.unwrap_or_default().as_bytes())?;
        drop(stdin);
        let done = child.wait_with_output()?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            bail!("tests/cluster {}: {}{said}", arguments.join(" "), String::from_utf8_lossy(&done.stdout));
        }
        Ok(String::from_utf8(done.stdout)?)
    }

    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.run(&[&["kubectl"], arguments].concat(), None)
    }

    /// Where the administrator's kubeconfig is.
    pub fn kubeconfig(&self) -> Result<String> {
        Ok(self.run(&["kubeconfig"], None)?.trim().to_owned())
    }

    /// Every request that the operator has made, oldest first.
    pub fn operator_requests(&self) -> Result<Vec<Value>> {
        let user = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR}");
        let audit = self.run(&["logs", "audit"], None)?;
        let lines = audit.lines().map(serde_json::from_str::<Value>);
        let requests =
            lines.filter(|line| line.as_ref().map_or(true, |line| line["user"]["username"] == *user));
        Ok(requests.collect::<Result<_, _>>()?)
    }
}

/// The operator is installed otherwise, while this is there.
pub struct Installed(&'static Cluster);

impl Installed {
    pub fn with(cluster: &'static Cluster, values: &[&str]) -> Installed {
        cluster.install(values).unwrap();
        Installed(cluster)
    }

    /// The chart in `tests/data/earlier-chart`, with the images of this build.
    pub fn earlier(cluster: &'static Cluster) -> Installed {
        cluster.install_chart("tests/data/earlier-chart", &[]).unwrap();
        Installed(cluster)
    }

    /// No chart at all.
    pub fn without(cluster: &'static Cluster) -> Installed {
        cluster.helm(&["uninstall", "--wait", "--timeout", "120s"], &[]).unwrap();
        Installed(cluster)
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        if let Err(error) = self.0.install(&[]) {
            eprintln!("{error:#}");
        }
    }
}

/// Where cargo has put the programs of this very build; they are brought up to date first.
fn programs(root: &Path) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--quiet", "--release", "--workspace", "--all-targets"];
    let mut command = Command::new(cargo);
    command.args(build).current_dir(root);
    // What cargo says to this test is no business of the build: some of what it builds would be built anew for it.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|own| name.to_string_lossy().starts_with(own)) {
            command.env_remove(name);
        }
    }
    let built = command.status()?;
    ensure!(built.success(), "the workspace does not build");
    let test = std::env::current_exe()?;
    Ok(test.ancestors().nth(2).context("no target folder")?.to_owned())
}

/// It says which build it is, so that a new one is rolled out.
fn tag(programs: &Path) -> Result<String> {
    let built = ["agent-node", "shoal-operator"].map(|program| programs.join(program).metadata()?.modified());
    let built = built.into_iter().collect::<std::io::Result<Vec<_>>>()?;
    let newest = built.into_iter().max().context("no program")?;
    Ok(format!("t{}", newest.duration_since(UNIX_EPOCH)?.as_millis()))
}

/// The release's own cluster, started once. Blocks: for tests' threads only.
fn started() -> &'static Cluster {
    let cluster = CLUSTER.get_or_init(|| Cluster::start().map_err(|error| format!("{error:#}")));
    cluster.as_ref().unwrap_or_else(|error| panic!("{error}"))
}

impl Scene {
    /// Waits for its turn.
    pub async fn begin(name: &str) -> Scene {
        let turn = TURN.lock().await;
        let cluster = started();
        let name = format!("{name}-{}", std::process::id());
        let scene = Scene { cluster, namespace: name, plan: String::new(), _turn: turn };
        scene.apply(&namespace(&scene.namespace, TEST_LABEL)).unwrap();
        scene
    }

    /// Waits until what the tests before it had is gone.
    pub async fn alone(&self) {
        clear(self.cluster, &self.namespace).await;
    }

    /// With this plan applied and Ready.
    pub async fn with_plan(name: &str, text: &str) -> Scene {
        let mut scene = Scene::begin(name).await;
        scene.plan = plan_name(text);
        scene.apply(text).unwrap();
        scene.settled().await;
        scene
    }

    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.cluster.kubectl(&[&["--namespace", &self.namespace], arguments].concat())
    }

    pub fn apply(&self, text: &str) -> Result<String> {
        self.cluster.run(&["kubectl", "--namespace", &self.namespace, "apply", "-f", "-"], Some(text))
    }

    pub fn get(&self, kind: &str, name: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.kubectl(&["get", kind, name, "--output", "json"])?)?)
    }

    /// Another plan, or another version of it.
    pub fn change(&mut self, text: &str) {
        self.plan = plan_name(text);
        self.apply(text).unwrap();
    }

    pub fn plan(&self) -> Result<Value> {
        self.get("agentplan", &self.plan)
    }

    pub fn condition(&self, kind: &str) -> Result<Condition> {
        let plan = self.plan()?;
        let conditions = plan["status"]["conditions"].as_array().context("no conditions yet")?;
        let found =
            conditions.iter().find(|condition| condition["type"] == kind).context("no such condition")?;
        let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
        let current = found["observedGeneration"] == plan["metadata"]["generation"];
        ensure!(current, "{kind} is about an older generation");
        Ok(Condition { status: text("status"), reason: text("reason"), message: text("message") })
    }

    /// In order of their ordinals.
    pub fn pods(&self) -> Result<Vec<Pod>> {
        let selector = format!("shoal.dev/plan={}", self.plan);
        let found = self.kubectl(&["get", "pods", "--selector", &selector, "--output", "json"])?;
        let found: Value = serde_json::from_str(&found)?;
        let mut pods: Vec<Pod> = found["items"].as_array().context("no list")?.iter().map(pod).collect();
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(pods)
    }

    pub fn pod(&self, ordinal: usize) -> Result<Pod> {
        let name = format!("{}-{ordinal}", self.plan);
        self.pods()?.into_iter().find(|pod| pod.name == name).context("no such pod")
    }

    /// Where clients reach the pods, for `--at`.
    pub fn addresses(&self) -> Vec<String> {
        self.pods().unwrap().iter().map(|pod| format!("{}:7777", pod.ip)).collect()
    }

    /// The Service for clients: whichever pod is ready.
    pub fn service(&self) -> String {
        let service = self.get("service", &self.plan).unwrap();
        format!("{}:7777", service["spec"]["clusterIP"].as_str().unwrap())
    }

    pub async fn clients(&self) -> Vec<Client> {
        let mut clients = Vec::new();
        for address in self.addresses() {
            clients.push(client(&address).await.unwrap());
        }
        clients
    }

    pub async fn becomes(&self, kind: &str, status: &str, reason: &str) -> Condition {
        let what = format!("condition {kind}={status} {reason}");
        eventually(&what, 90, async || {
            let seen = self.condition(kind)?;
            let right = seen.status == status && (reason.is_empty() || seen.reason == reason);
            ensure!(right, "{kind} is {} {}: {}", seen.status, seen.reason, seen.message);
            Ok(seen)
        })
        .await
    }

    /// Accepted, Ready, with nothing on its way, on three pods that say so themselves.
    pub async fn settled(&self) {
        self.becomes("Accepted", "True", "").await;
        self.becomes("Ready", "True", "").await;
        self.becomes("Reconciling", "False", "").await;
        eventually("pods", 60, async || {
            let pods = self.pods()?;
            ensure!(pods.len() == 3 && pods.iter().all(|pod| pod.ready), "{pods:?}");
            Ok(())
        })
        .await;
    }

    /// What helps when a test has failed.
    fn told(&self) -> String {
        let views: [&[&str]; 4] = [
            &["get", "agentplans,statefulsets,pods,pvc", "--output", "wide"],
            &["get", "agentplans", "--output", "jsonpath={.items[*].status}"],
            &["get", "events", "--sort-by=.lastTimestamp"],
            &["logs", "--selector", "shoal.dev/plan", "--tail=15", "--prefix"],
        ];
        let mut texts: Vec<String> = views.iter().map(|view| self.shown(view)).collect();
        texts.push(self.shown(&[
            "logs",
            "--namespace",
            OPERATOR_NAMESPACE,
            "--selector",
            "app.kubernetes.io/name=shoal-operator",
            "--prefix",
            "--tail=30",
        ]));
        texts.push(self.cluster.run(&["status"], None).unwrap_or_else(|error| error.to_string()));
        texts.join("\n")
    }

    fn shown(&self, view: &[&str]) -> String {
        let text = self.kubectl(view).unwrap_or_else(|error| error.to_string());
        format!("-- kubectl {}\n{text}", view.join(" "))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.told());
        }
        let _ = self.cluster.kubectl(&["delete", "namespace", &self.namespace, "--wait=false"]);
    }
}

/// A namespace whose pods have to be restricted.
fn namespace(name: &str, label: &str) -> String {
    format!(
        r#"{{"apiVersion": "v1", "kind": "Namespace", "metadata": {{"name": "{name}", "labels":
        {{"{label}": "true", "pod-security.kubernetes.io/enforce": "restricted"}}}}}}"#
    )
}

/// Namespaces of other tests, this run's or another's.
async fn clear(cluster: &Cluster, but: &str) {
    eventually("namespaces of earlier tests to go", 120, async || {
        let selector = format!("--selector={TEST_LABEL}");
        let left = cluster.kubectl(&["get", "namespaces", &selector, "--output", "name"])?;
        let left: Vec<&str> =
            left.lines().filter(|name| name.trim_start_matches("namespace/") != but).collect();
        if !left.is_empty() {
            cluster.kubectl(&[&["delete", "--wait=false"], left.as_slice()].concat())?;
        }
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await;
}

fn pod(object: &Value) -> Pod {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (meta, status) = (&object["metadata"], &object["status"]);
    let ready = |list: &Vec<Value>| list.iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
    Pod {
        name: text(&meta["name"]),
        uid: text(&meta["uid"]),
        ip: text(&status["podIP"]),
        ready: status["conditions"].as_array().is_some_and(ready) && meta["deletionTimestamp"].is_null(),
        restarts: status["containerStatuses"][0]["restartCount"].as_u64().unwrap_or(0),
    }
}

fn plan_name(text: &str) -> String {
    let plan: Value = serde_yaml_ng::from_str(text).unwrap();
    plan["metadata"]["name"].as_str().unwrap().to_owned()
}

pub async fn client(address: &str) -> Result<Client> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let endpoint = endpoint.connect_timeout(Duration::from_secs(1)).timeout(Duration::from_mins(1));
    Ok(LanesClient::new(endpoint.connect().await?))
}

/// Tries until it is so; after the limit the last reason is told.
pub async fn eventually<T>(what: &str, seconds: u64, mut check: impl AsyncFnMut() -> Result<T>) -> T {
    let limit = Instant::now() + Duration::from_secs(seconds);
    let mut pace = tokio::time::interval(Duration::from_millis(300));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        match check().await {
            Ok(value) => return value,
            Err(error) if Instant::now() > limit => panic!("{what}: not within {seconds} s: {error:#}"),
            Err(_) => {}
        }
    }
}
