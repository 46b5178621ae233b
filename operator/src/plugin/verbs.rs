//! The verbs, each over as many pods as it takes.

use super::tunnel::{Cluster, Pods, Tunnel};
use super::{adopt, choice, plans};
use futures::stream::{iter, select_all};
use futures::{AsyncBufReadExt as _, StreamExt as _};
use kube::api::LogParams;
use proto::shown::{self, Exit, Failure, Following, Output};
use proto::wire::v1::{
    DescribeRequest, GetRequest, LaneDescription, SendRequest, StatusRequest, WatchRequest,
};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{sleep, timeout};
use tonic::Status;

/// A node answers within 2 s what it can answer.
const ANSWER: Duration = Duration::from_secs(15);
/// Between two tries of a watch.
const PAUSE: Duration = Duration::from_millis(500);

/// When no node was reached.
const WAY: &str =
    "`kubectl get aplan` and `kubectl get pods -l shoal.dev/plan=NAME` say how the plan's nodes are.";

/// On standard error, with what to do about it.
pub fn failed(output: Output, failure: &Failure) -> Exit {
    eprintln!("{}", failure.shown(output));
    if output == Output::Text && failure.exit != Exit::Usage {
        eprintln!("{}", failure.advice(WAY));
    }
    failure.exit
}

/// Says all that is wrong in each of these files.
pub fn check(files: &[PathBuf], output: Output) -> Exit {
    let mut exit = Exit::Done;
    for path in files {
        let name = path.display().to_string();
        let text = match name.as_str() {
            "-" => std::io::read_to_string(std::io::stdin()),
            _ => std::fs::read_to_string(path),
        };
        let of_file = match text {
            Ok(text) => {
                let (exit, lines) = shown::check(output, &name, &text);
                say(&lines);
                exit
            }
            Err(error) => {
                let failure = Failure::unreachable(format!("{name} can't be read: {error}"));
                failed(output, &Failure { exit: Exit::Usage, ..failure })
            }
        };
        exit = exit.max(of_file);
    }
    exit
}

pub async fn plans(cluster: &Cluster, output: Output, of_all: bool) -> Result<Exit, Failure> {
    let plans = cluster.plans(of_all).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    plans::lines(output, &plans, now).iter().all(|line| say(line));
    if plans.is_empty() && output == Output::Text {
        let namespace = &cluster.namespace;
        eprintln!(
            "There is no plan{}.",
            if of_all { String::new() } else { format!(" in namespace `{namespace}`") }
        );
    }
    Ok(Exit::Done)
}

/// Lets a plan go on with the volumes of the one before it.
pub async fn adopt(
    cluster: &Cluster,
    output: Output,
    plan: &str,
    volumes_of: Option<&str>,
) -> Result<Exit, Failure> {
    let (found, claims) = (cluster.plan(plan).await?, cluster.claims(plan).await?);
    let refused = |error| Failure { exit: Exit::Refused, ..Failure::unreachable(error) };
    let volumes = adopt::choose(&found, &claims, volumes_of).map_err(refused)?;
    cluster.adopt(plan, &volumes.uid).await?;
    say(&adopt::told(output, plan, &volumes));
    Ok(Exit::Done)
}

/// What is wanted of logs.
pub struct Logs {
    pub node: Option<u16>,
    pub follow: bool,
    pub since: Option<Duration>,
}

/// The logs of all nodes, each line led by its node: one after the other, or as they come.
pub async fn logs(pods: &Pods, output: Output, wanted: &Logs) -> Result<Exit, Failure> {
    let names = choice::of_node(pods.names().await?, wanted.node);
    if names.is_empty() {
        let node = wanted.node.unwrap_or_default();
        return Err(Failure::unreachable(format!("there is no pod of node {node} of plan `{}`", pods.plan)));
    }
    let parameters = LogParams {
        follow: wanted.follow,
        since_seconds: wanted.since.map(|since| since.as_secs().max(1) as i64),
        ..LogParams::default()
    };
    let (mut exit, mut all) = (Exit::Done, Vec::new());
    for name in names {
        match pods.log(&name, &parameters).await {
            Ok(log) => all.push(log.lines().map(move |line| (name.clone(), line)).boxed()),
            Err(failure) => exit = failed(output, &failure),
        }
    }
    let mut lines = if wanted.follow { select_all(all).boxed() } else { iter(all).flatten().boxed() };
    while let Some((name, line)) = lines.next().await {
        match line {
            Ok(line) if !say(&choice::logged(output, &name, &line)) => break,
            Ok(_) => {}
            Err(error) => {
                exit = failed(output, &Failure::unreachable(format!("the log of {name}: {error}")));
            }
        }
    }
    Ok(exit)
}

/// Every pod of the plan is asked.
pub async fn status(pods: &Pods, output: Output) -> Result<Exit, Failure> {
    let mut exit = Exit::Done;
    for name in pods.names().await? {
        match status_of(pods, &name).await {
            Ok(status) => _ = say(&shown::status(output, &status)),
            Err(failure) => exit = failed(output, &failure),
        }
    }
    Ok(exit)
}

async fn status_of(pods: &Pods, name: &str) -> Result<proto::wire::v1::StatusResponse, Failure> {
    let mut tunnel = pods.open(name).await?;
    read(name, tunnel.lanes.status(StatusRequest {})).await
}

/// All lanes of an agent, each state as it is when it is asked for.
pub async fn get_all(pods: &Pods, output: Output, agent: &str) -> Result<(), Failure> {
    let got = first(pods, Failure::may_pass, async |tunnel| {
        let request = DescribeRequest { agent: agent.into() };
        let mut all = Vec::new();
        for LaneDescription { name, r#type } in read(&tunnel.pod, tunnel.lanes.describe(request)).await?.lanes
        {
            let mut state = None;
            if shown::has_state(&r#type) {
                let request = GetRequest { agent: agent.into(), lane: name.clone(), ..GetRequest::default() };
                let got = read(&tunnel.pod, tunnel.lanes.get(request)).await?;
                state = Some((got.version, got.body));
            }
            all.push(shown::Lane { name, kind: r#type, state });
        }
        Ok(all)
    });
    shown::lanes(output, &got.await?).iter().all(|line| say(line));
    Ok(())
}

pub async fn get(pods: &Pods, output: Output, agent: &str, lane: &str) -> Result<(), Failure> {
    let request = GetRequest { agent: agent.into(), lane: lane.into(), ..GetRequest::default() };
    let got = first(pods, Failure::may_pass, async |tunnel| {
        read(&tunnel.pod, tunnel.lanes.get(request.clone())).await
    });
    let got = got.await?;
    say(&shown::got(output, got.version, &got.body));
    Ok(())
}

pub async fn send(
    pods: &Pods,
    output: Output,
    agent: &str,
    lane: &str,
    body: Vec<u8>,
) -> Result<(), Failure> {
    let request =
        SendRequest { agent: agent.into(), lane: lane.into(), body: body.into(), ..SendRequest::default() };
    let was_not_done = |failure: &Failure| failure.may_pass() && !failure.outcome_unknown;
    let sent = first(pods, was_not_done, async |tunnel| {
        answer(&tunnel.pod, tunnel.lanes.send(request.clone())).await
    });
    say(&shown::sent(output, &sent.await?));
    Ok(())
}

/// What the first pod says that answers; pods are tried for as long as `another` says so of their failures.
async fn first<T>(
    pods: &Pods,
    another: impl Fn(&Failure) -> bool,
    mut ask: impl AsyncFnMut(&mut Tunnel) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut last = None;
    for name in pods.ready(None).await? {
        let asked = match pods.open(&name).await {
            Ok(mut tunnel) => ask(&mut tunnel).await,
            Err(failure) => Err(failure),
        };
        match asked {
            Err(failure) if another(&failure) => last = Some(failure),
            done => return done,
        }
    }
    Err(last.unwrap_or_else(|| Failure::unreachable("no pod answers")))
}

/// Goes on over pods that come and go, from the last token, once it has begun.
pub async fn watch(pods: &Pods, mut following: Following, mut request: WatchRequest) -> Result<(), Failure> {
    let (mut last, mut begun) = (None, false);
    while !following.is_done() {
        request.from = following.from;
        match watch_once(pods, &mut following, &mut last, &mut begun, request.clone()).await {
            Err(failure) if !failure.may_pass() || !begun => return Err(failure),
            Ok(Told::All) => break,
            Err(failure) => eprintln!("{}; going on", failure.error),
            Ok(Told::Some) => {}
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

/// What one pod has told.
enum Told {
    /// All that was wanted, or that is read.
    All,
    Some,
}

async fn watch_once(
    pods: &Pods,
    following: &mut Following,
    last: &mut Option<String>,
    begun: &mut bool,
    request: WatchRequest,
) -> Result<Told, Failure> {
    let mut ready = pods.ready(last.as_deref()).await?;
    let mut tunnel = pods.open(last.insert(ready.swap_remove(0))).await?;
    let mut events = read(&tunnel.pod, tunnel.lanes.watch(request)).await?;
    while let Some(response) =
        events.message().await.map_err(|status| Failure::of_read(&tunnel.pod, &status))?
    {
        *begun = true;
        let read = following.lines_of(&response).iter().all(|line| say(line));
        if !read || following.is_done() {
            return Ok(Told::All);
        }
    }
    Ok(Told::Some)
}

/// The answer to a call that changes nothing.
async fn read<T>(
    pod: &str,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Failure> {
    answer(pod, call).await.map_err(|failure| Failure { outcome_unknown: false, ..failure })
}

async fn answer<T>(
    pod: &str,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Failure> {
    let Ok(answered) = timeout(ANSWER, call).await else {
        let text = format!("{pod} gives no answer in {} s", ANSWER.as_secs());
        return Err(Failure { outcome_unknown: true, ..Failure::unreachable(text) });
    };
    answered.map(tonic::Response::into_inner).map_err(|status| Failure::of(pod, &status))
}

/// One line on standard output. False: nobody reads it any more.
fn say(line: &str) -> bool {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
}
