//! `agent-node dev` as a child process, as a user starts it.
//!
//! *Guarantees*: its ports answer when `start` returns; it is gone when `Dev` is, however the test ends.

use anyhow::{Context as _, Result, ensure};
use rand::Rng as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// The `agent-node` that is built with this, as a process that may have no more files open than this.
pub fn with_files(files: u32) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")]).arg(program("agent-node"));
    shell
}

/// A program of this very build.
pub fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("this program's path");
    this.ancestors().nth(2).expect("the target folder").join(name)
}

/// Below are ports that programs are known by.
const PORTS_FROM: u16 = 10_000;

pub struct Dev {
    child: Child,
    pub nodes: u16,
    pub port: u16,
    /// From the start of the process to its line `ready:`.
    pub started_in: Duration,
}

impl Dev {
    /// Runs a plan's nodes on a data folder, on ports that are free now.
    pub fn start(plan: &Path, nodes: u16, data: &Path) -> Result<Dev> {
        Dev::start_at(plan, nodes, data, free_ports(nodes)?)
    }

    pub fn start_at(plan: &Path, nodes: u16, data: &Path, port: u16) -> Result<Dev> {
        Dev::start_by(Command::new(program("agent-node")), plan, nodes, data, port)
    }

    /// The same, as a process that may have no more files open than this.
    pub fn start_with_files(files: u32, plan: &Path, nodes: u16, data: &Path) -> Result<Dev> {
        Dev::start_by(with_files(files), plan, nodes, data, free_ports(nodes)?)
    }

    /// The same, with its log in a file.
    pub fn start_logged(log: &Path, plan: &Path, nodes: u16, data: &Path) -> Result<Dev> {
        let mut program = Command::new(program("agent-node"));
        program.stderr(fs::File::create(log)?);
        Dev::start_by(program, plan, nodes, data, free_ports(nodes)?)
    }

    /// The same, with all that there is to log.
    pub fn start_tracing(log: &Path, format: &str, plan: &Path, nodes: u16, data: &Path) -> Result<Dev> {
        let mut program = Command::new(program("agent-node"));
        program.env("SHOAL_LOG", "trace").env("SHOAL_LOG_FORMAT", format).stderr(fs::File::create(log)?);
        Dev::start_by(program, plan, nodes, data, free_ports(nodes)?)
    }

    /// The same, with a log that has much to say and is not read.
    pub fn start_with_unread_log(plan: &Path, nodes: u16, data: &Path) -> Result<Dev> {
        let mut program = Command::new(program("agent-node"));
        program.env("SHOAL_LOG", "trace,h2=trace").stderr(Stdio::piped());
        Dev::start_by(program, plan, nodes, data, free_ports(nodes)?)
    }

    fn start_by(mut program: Command, plan: &Path, nodes: u16, data: &Path, port: u16) -> Result<Dev> {
        let began = Instant::now();
        let mut child = program
            .arg("dev")
            .arg(plan)
            .args(["--nodes", &nodes.to_string(), "--port", &port.to_string(), "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("agent-node is not built")?;
        let stdout = child.stdout.take().context("no output")?;
        let mut dev = Dev { child, nodes, port, started_in: Duration::ZERO };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(
            line.starts_with("ready: "),
            "agent-node dev said `{}` and {:?}",
            line.trim(),
            dev.child.wait()
        );
        dev.started_in = began.elapsed();
        Ok(dev)
    }

    /// How a start that is refused ended, and what it said.
    pub fn refused(plan: &Path, nodes: u16, data: &Path) -> Result<(Option<i32>, String)> {
        let port = free_ports(nodes)?.to_string();
        let ended = Command::new(program("agent-node"))
            .arg("dev")
            .arg(plan)
            .args(["--nodes", &nodes.to_string(), "--port", &port, "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .output()
            .context("agent-node is not built")?;
        Ok((ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned()))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where node `n` answers.
    pub fn at(&self, node: u16) -> String {
        format!("127.0.0.1:{}", self.port + node)
    }

    /// Where node `n` answers `/metrics`.
    pub fn metrics(&self, node: u16) -> String {
        let asked = Command::new(program("agent-node"))
            .args(["status", "--output", "json", "--at", &self.at(node)])
            .output()
            .expect("agent-node is built");
        let status: serde_json::Value = serde_json::from_slice(&asked.stdout).expect("a status");
        status["metricsAt"].as_str().expect("the metrics port").to_owned()
    }

    /// The number that a metric has now, asked where a node answers `/metrics`.
    pub fn metric(metrics: &str, name: &str) -> Result<u64> {
        let text = scrape(metrics)?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("there is no {name}"))?.trim().parse()?)
    }

    /// All nodes, as `--at` takes them.
    pub fn all(&self) -> String {
        (0..self.nodes).map(|node| self.at(node)).collect::<Vec<_>>().join(",")
    }

    /// CPU time of all its threads so far.
    pub fn cpu_us(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        cpu_us(&stat, 11)
    }

    /// Resident memory, in bytes.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM; it ends cleanly.
    pub fn stop(mut self) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "agent-node dev ended with {status}");
        Ok(())
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is answered to Prometheus at this address.
pub fn scrape(metrics: &str) -> Result<String> {
    let (code, text) = fetch(metrics, "/metrics")?;
    ensure!(code == 200, "{code} {text}");
    Ok(text)
}

/// The status code and the body of what is answered to a `GET`.
pub fn fetch(at: &str, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").context("it is no answer")?;
    let code = head.split(' ').nth(1).context("there is no status code")?;
    Ok((code.parse()?, body.to_owned()))
}

/// The first of so many ports in a row that nobody has now. None of them is one that the kernel gives to connections by
/// itself, unless it gives nearly all, so that they are still free when a node is started again.
pub fn free_ports(count: u16) -> Result<u16> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let own = range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768);
    let end = if own > PORTS_FROM + 5_000 { own } else { u16::MAX };
    let candidates = PORTS_FROM..end - count;
    for _ in 0..1_000 {
        let first = rand::rng().random_range(candidates.clone());
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (first..first + count).all(free) {
            return Ok(first);
        }
    }
    anyhow::bail!("no {count} free ports in a row in {candidates:?}")
}

/// CPU time of this process's children that have ended.
pub fn children_cpu_us() -> f64 {
    cpu_us(&fs::read_to_string("/proc/self/stat").unwrap_or_default(), 13)
}

/// The kernel counts in ticks of 10 ms. `first` is the field after the process's name.
fn cpu_us(stat: &str, first: usize) -> f64 {
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().skip(first).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>()
        * 1e4
}
