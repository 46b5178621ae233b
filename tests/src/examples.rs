//! The clients in `tests/examples`, made and run by the commands that their README tells people.

use crate::{cache, project};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a client may take to say or do what is due.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client in one language, ready to run.
pub struct Example {
    /// Has the folders `proto` and `tests/examples/NAME`, as the project has.
    folder: tempfile::TempDir,
    run: String,
}

impl Example {
    /// Makes the client that the README has under `title`, unless it was made before of the same files by the same tools,
    /// whose versions the command `version` prints.
    pub fn make(title: &str, version: &str) -> Result<Example> {
        let needs = || format!("tests/examples/README.md says what {title} needs");
        let version = sh(Path::new("/"), version).with_context(needs)?;
        let commands = commands(&project::read("tests/examples/README.md"), title);
        let (run, make) = commands.split_last().with_context(|| format!("no commands for {title}"))?;
        let make = make.join("\n");
        let name = title.to_lowercase();
        let within = format!("tests/examples/{name}/");
        let mut sources = project::files("");
        sources.retain(|path| path.starts_with(&within) || path.ends_with("/lanes.proto"));
        // A script is not built: it may change without all that it needs being fetched again.
        let scripts = sources.extract_if(.., |path| path.starts_with(&format!("{within}client.")));
        let scripts: Vec<String> = scripts.collect();
        let made = cache::folder(&format!("example-{name}"), &sources, &(version + &make), |new| {
            fs::create_dir_all(new.join(&within))?;
            copy(&sources, new)?;
            sh(new, &make).with_context(needs).map(drop)
        })?;
        let folder = tempfile::tempdir()?;
        fs::create_dir_all(folder.path().join(&within))?;
        symlink(project::root().join("proto"), folder.path().join("proto"))?;
        for entry in fs::read_dir(made.join(&within))? {
            let entry = entry?;
            symlink(entry.path(), folder.path().join(&within).join(entry.file_name()))?;
        }
        copy(&scripts, folder.path())?;
        Ok(Example { folder, run: format!("cd {within}\nexec {run}") })
    }

    /// Runs it against a node. What it says on both outputs is heard in one.
    pub fn start(&self, at: &str, sequence: u64) -> Result<Running> {
        let mut child = Command::new("sh")
            .args(["-euc", &format!("{} {at} {sequence} 2>&1", self.run)])
            .current_dir(self.folder.path())
            .env("TMPDIR", self.folder.path())
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = BufReader::new(child.stdout.take().context("no output")?);
        let (tell, lines) = channel();
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Ok(Running { child, lines, said: Vec::new() })
    }
}

/// The commands of the part of a document under this heading.
fn commands(text: &str, title: &str) -> Vec<String> {
    let part = text.split("\n## ").find(|part| part.lines().next() == Some(title)).unwrap_or_default();
    part.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
}

/// Copies files of the project to their places in another folder.
fn copy(paths: &[String], to: &Path) -> Result<()> {
    for path in paths {
        let place = to.join(path);
        fs::create_dir_all(place.parent().context("a file has a folder")?)?;
        fs::copy(project::root().join(path), place)?;
    }
    Ok(())
}

/// What the commands say on standard output.
fn sh(folder: &Path, commands: &str) -> Result<String> {
    let ended =
        Command::new("sh").args(["-euc", commands]).current_dir(folder).stdin(Stdio::null()).output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&ended.stdout), text(&ended.stderr));
    ensure!(ended.status.success(), "`{commands}` ended with {}: {out}{err}", ended.status);
    Ok(out)
}

/// A client that runs beside the test, and not longer.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Running {
    /// Waits for a line with these words, and gives what stands behind them.
    pub fn says(&mut self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line =
                self.line(deadline).unwrap_or_else(|| panic!("it ended without `{words}`: {:#?}", self.said));
            if let Some((_, rest)) = line.split_once(words) {
                return rest.to_owned();
            }
        }
    }

    /// All that it has said and was waited for.
    pub fn said(&self) -> &[String] {
        &self.said
    }

    /// Waits for its end: its exit code and all that it said.
    pub fn ended(mut self) -> Result<(Option<i32>, String)> {
        let deadline = Instant::now() + PATIENCE;
        while self.line(deadline).is_some() {}
        Ok((self.child.wait()?.code(), self.said.join("\n")))
    }

    fn line(&mut self, deadline: Instant) -> Option<String> {
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                self.said.push(line.clone());
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("it says no more, or goes on: {:#?}", self.said),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
