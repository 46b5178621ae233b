//! `tests/cluster` itself: it says which of its parts has ended and with which words, and cleans up after itself when
//! it was killed.

use anyhow::{Context as _, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What it leaves behind when it is killed lies here.
const FOLDER: &str = "/var/tmp/shoal-cluster";

fn cluster(arguments: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster");
    Command::new(program).args(arguments).output().expect("tests/cluster")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Process ids of the parts that run, as the harness has written them down.
fn pids() -> Result<Vec<(String, i32)>> {
    let text = std::fs::read_to_string(Path::new(FOLDER).join("pids"))?;
    let one = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next().context("a name")?.to_owned();
        Ok((name, words.next().context("a pid")?.parse()?))
    };
    text.lines().map(one).collect()
}

fn status_becomes(code: i32) -> Result<String> {
    for _ in 0..200 {
        let seen = cluster(&["status"]);
        if seen.status.code() == Some(code) {
            return Ok(said(&seen));
        }
    }
    bail!("the status is still {}", said(&cluster(&["status"])))
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
}

/// What of a cluster is on this machine: processes, mounts, the bridge, cgroups.
fn left() -> Result<Vec<String>> {
    let mut left: Vec<String> = pids()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(name, pid)| {
            let cmdline = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
            cmdline.contains(FOLDER).then(|| format!("process {name}"))
        })
        .collect();
    let mounts = std::fs::read_to_string("/proc/mounts")?;
    left.extend(mounts.lines().filter(|line| line.contains(FOLDER)).map(|line| format!("mount {line}")));
    let paths = [PathBuf::from("/sys/class/net/shoal0"), PathBuf::from(FOLDER)];
    left.extend(paths.iter().filter(|path| path.exists()).map(|path| path.display().to_string()));
    Ok(left)
}

#[test]
fn it_names_the_part_that_ended_and_cleans_up_after_it_was_killed() -> Result<()> {
    let up = cluster(&["status"]);
    ensure!(up.status.code() == Some(3), "a cluster is up: `tests/cluster down` first\n{}", said(&up));
    let up = cluster(&["up", "--nodes", "1", "--while", &std::process::id().to_string()]);
    ensure!(up.status.success(), "{}", said(&up));
    let running = cluster(&["status"]);
    ensure!(running.status.success() && said(&running).contains("ready: 1 nodes"), "{}", said(&running));
    let (_, dns) = pids()?.into_iter().find(|(name, _)| name == "dns").context("a DNS server")?;
    kill(dns);
    let seen = status_becomes(1)?;
    ensure!(seen.contains("dns ended with status -9; its last lines:\n  "), "{seen}");
    let supervisor = seen.split("supervisor ").nth(1).and_then(|rest| rest.split([',', '\n']).next());
    kill(supervisor.context("its pid")?.parse()?);
    let seen = status_becomes(3)?;
    ensure!(seen.contains("has left something"), "{seen}");
    ensure!(!left()?.is_empty(), "there is nothing to clean up");
    let down = cluster(&["down"]);
    ensure!(down.status.success(), "{}", said(&down));
    ensure!(left()?.is_empty(), "{:?}", left()?);
    Ok(())
}
