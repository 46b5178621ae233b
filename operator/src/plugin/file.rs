//! `send --file`: `agent-node send --file`, which sends to a port of this machine behind which the plan's pods are.
//!
//! *Guarantees*: a broken tunnel ends one connection, and the next one goes to another pod; what that means for lines
//! that are unanswered is `agent-node`'s to know.

use super::tunnel::Pods;
use proto::shown::{Exit, Failure, Output};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinSet;

const PROGRAM: &str = "agent-node";
/// So much is passed on at once.
const PIECE: usize = 64 << 10;

/// What is passed on as it is.
#[derive(Debug)]
pub struct Feed {
    pub file: PathBuf,
    pub client: Option<String>,
    pub from_line: Option<u64>,
    pub rate: Option<u32>,
}

pub async fn send(pods: Pods, output: Output, feed: Feed) -> Result<Exit, Failure> {
    // An error that is plain now is better said than tried again for a minute.
    pods.ready(None).await?;
    let failed = |what: &str, error: std::io::Error| Failure::unreachable(format!("{what}: {error}"));
    let listener =
        TcpListener::bind("127.0.0.1:0").await.map_err(|error| failed("cannot open a local port", error))?;
    let at = listener.local_addr().map_err(|error| failed("cannot open a local port", error))?;
    let mut command = Command::new(program());
    command.args(arguments(&feed, output, &at.to_string())).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| {
        let text =
            format!("`send --file` needs the program {PROGRAM} beside this one or on the PATH: {error}");
        Failure { exit: Exit::Usage, ..Failure::unreachable(text) }
    })?;
    tokio::select! {
        ended = child.wait() => ended.map(exit).map_err(|error| failed(PROGRAM, error)),
        never = serve(Arc::new(pods), listener) => match never {},
    }
}

fn arguments(feed: &Feed, output: Output, at: &str) -> Vec<String> {
    let Feed { file, client, from_line, rate } = feed;
    let mut all = vec!["send".into(), "--at".into(), at.into(), "--output".into(), output.to_string()];
    all.extend(["--file".into(), file.display().to_string()]);
    let options = [
        ("--client", client.clone()),
        ("--from-line", from_line.map(|line| line.to_string())),
        ("--rate", rate.map(|rate| rate.to_string())),
    ];
    for (name, value) in options {
        all.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
    }
    all
}

/// Beside this program, or wherever the PATH has it.
fn program() -> PathBuf {
    let here = std::env::current_exe().ok().and_then(|path| path.parent().map(|folder| folder.join(PROGRAM)));
    here.filter(|path| path.is_file()).unwrap_or_else(|| Path::new(PROGRAM).to_owned())
}

fn exit(status: std::process::ExitStatus) -> Exit {
    match status.code() {
        Some(0) => Exit::Done,
        Some(2) => Exit::Usage,
        Some(3) => Exit::Unreachable,
        _ => Exit::Refused,
    }
}

/// Each connection to the next ready pod.
async fn serve(pods: Arc<Pods>, listener: TcpListener) -> std::convert::Infallible {
    let (mut connections, mut last) = (JoinSet::new(), None);
    loop {
        tokio::select! {
            // It goes to the whole group of processes: the other one says from which line to go on, and ends.
            _ = tokio::signal::ctrl_c() => {}
            Some(_) = connections.join_next() => {}
            Ok((stream, _)) = listener.accept() => match pods.ready(last.as_deref()).await {
                Ok(mut ready) => {
                    let pod = last.insert(ready.swap_remove(0)).clone();
                    connections.spawn(pass_on(pods.clone(), pod, stream));
                }
                Err(failure) => eprintln!("{}", failure.error),
            },
        }
    }
}

async fn pass_on(pods: Arc<Pods>, pod: String, mut stream: TcpStream) {
    // Or answers wait for the acknowledgement of those before; where it can't be set, they do.
    let _ = stream.set_nodelay(true);
    match pods.forward(&pod).await {
        Ok(mut tunnel) => {
            drop(copy_bidirectional_with_sizes(&mut stream, &mut tunnel, PIECE, PIECE).await);
        }
        Err(failure) => eprintln!("{}", failure.error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_passed_on() {
        let feed = Feed { file: "a b.gz".into(), client: None, from_line: Some(7), rate: None };
        let expected = "send --at here:1 --output json --file|a b.gz|--from-line 7";
        let said = arguments(&feed, Output::Json, "here:1").join(" ");
        assert_eq!(said, expected.replace('|', " "));
    }
}
