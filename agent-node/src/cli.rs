//! The command line: what is asked, checked as a whole before anything happens, and how the program ends.

pub mod calls;
mod check;
pub mod client;
pub mod feed;
mod folder;
pub mod line;
mod look;
mod out;
pub mod pace;
mod patience;
pub mod reading;
mod record_text;
mod send_file;
mod snapshots;
mod tally;
mod watch;

use crate::answer;
use crate::run::{dev, serve};
use calls::{Body, LaneAddress};
use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use proto::shown::{self, Exit, Output, Target};
use proto::wire::RATE_MAX;
use reading::Source;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::runtime::{Builder, Runtime};

/// Runs the nodes of a Shoal plan, and sends them requests.
#[derive(Debug, Parser)]
#[command(name = "agent-node", version)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run one node of a plan in a pod; the operator starts it
    Serve(serve::Args),
    /// Run all nodes of a plan on this machine
    Dev(dev::Args),
    /// Send a command, or all lines of a file
    Send(SendArgs),
    /// Show the state of a lane, or of all lanes of an agent
    Get(GetArgs),
    /// Show the events of a lane as they happen
    Watch(WatchArgs),
    /// Show the state of each node, what it serves, and on which ports
    Status(AskArgs),
    /// Print a script that completes this program's commands: `source <(agent-node completion bash)`
    Completion {
        /// The shell that is to run the script
        shell: Shell,
    },
    /// Show all that is wrong in files with plans, and whether a node would start on a data folder
    Check(CheckArgs),
    /// Run commands against a plan without nodes, and compare what its lanes hold then
    Try(TryArgs),
    /// Show the records in the data folder of a node that does not run, and whether any are damaged
    Log(LogArgs),
    /// Show the snapshots in the data folder of a node that does not run, and whether any are broken
    Snapshot(LogArgs),
}

#[derive(Debug, clap::Args)]
struct AskArgs {
    /// The addresses of nodes (HOST:PORT, separated by commas); when one fails, the next one is tried
    #[arg(long, env = "SHOAL_AT", default_value = "127.0.0.1:7777", value_delimiter = ',', value_parser = address)]
    at: Vec<String>,
    #[command(flatten)]
    form: FormArgs,
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// Files with AgentPlans, of which `-` is standard input, or data folders
    #[arg(value_name = "PLAN|FOLDER", required = true)]
    plans: Vec<PathBuf>,
    #[command(flatten)]
    form: FormArgs,
}

#[derive(Debug, clap::Args)]
struct TryArgs {
    /// A file with an AgentPlan
    plan: PathBuf,
    /// Files with cases: a list of name, now, and commands with what is expected of each; `-` is standard input
    #[arg(value_name = "CASES", required = true)]
    cases: Vec<PathBuf>,
    #[command(flatten)]
    form: FormArgs,
}

#[derive(Debug, clap::Args)]
struct LogArgs {
    /// The data folder of a node
    folder: PathBuf,
    /// The slot to show; if unset, all slots are shown
    #[arg(long, value_name = "N")]
    slot: Option<u16>,
    /// The agent to show
    #[arg(long, value_name = "ADDRESS")]
    agent: Option<String>,
    #[command(flatten)]
    form: FormArgs,
}

#[derive(Debug, clap::Args)]
struct FormArgs {
    /// The form of the output: `text` for people, or `json` for one JSON object per line
    #[arg(long, short, env = "SHOAL_OUTPUT", default_value = "text", value_name = "text|json")]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct LaneArgs {
    /// The address of an agent: /airport/JFK, or http://HOST:PORT/airport/JFK, which names the node and overrides --at
    #[arg(value_name = "ADDRESS")]
    agent: Target,
    /// The name of the lane
    lane: String,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, clap::Args)]
struct GetArgs {
    /// The address of an agent: /airport/JFK, or http://HOST:PORT/airport/JFK, which names the node and overrides --at
    #[arg(value_name = "ADDRESS")]
    agent: Target,
    /// The name of the lane; if unset, all lanes of the agent are shown
    lane: Option<String>,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, clap::Args)]
#[command(
    allow_negative_numbers = true,
    override_usage = "agent-node send <ADDRESS> <LANE> <JSON>\n       agent-node send --file <FILE>"
)]
struct SendArgs {
    /// The address of an agent: /airport/JFK, or http://HOST:PORT/airport/JFK, which names the node and overrides --at
    #[arg(value_name = "ADDRESS", required_unless_present = "file", conflicts_with = "file")]
    agent: Option<Target>,
    /// The name of the lane
    #[arg(required_unless_present = "file")]
    lane: Option<String>,
    /// The command: one JSON value; `-` reads it from standard input
    #[arg(value_name = "JSON", required_unless_present = "file")]
    body: Option<String>,
    /// Send all lines of a file, plain or gzipped: {"agent": text, "lane": text, "body": any}; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The client's name, under which the lines are numbered; if unset, it is derived from the content of the file
    #[arg(long, requires = "file", value_parser = client)]
    client: Option<String>,
    /// The number of the line to begin with
    #[arg(long, value_name = "N", requires = "file", value_parser = clap::value_parser!(u64).range(1..))]
    from_line: Option<u64>,
    /// The most lines to send per second
    #[arg(long, value_name = "N", requires = "file")]
    rate: Option<NonZeroU32>,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, clap::Args)]
struct WatchArgs {
    #[command(flatten)]
    lane: LaneArgs,
    /// The token at which an earlier watch ended; this one continues after it
    #[arg(long, value_name = "TOKEN")]
    from: Option<u64>,
    /// The number of events after which the watch ends
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// The most flushes of changes to show per second, 1 to 1000; of a value or key that changes faster, the latest is shown
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(RATE_MAX)))]
    rate: Option<u32>,
}

#[derive(Debug, PartialEq, Eq)]
enum Config {
    Serve(serve::Config),
    Dev(dev::Config),
    Send(LaneAddress, Body),
    Feed(send_file::Config),
    Get(LaneAddress),
    GetAll { at: Vec<String>, output: Output, agent: String },
    Watch(watch::Config),
    Status { at: Vec<String>, output: Output },
    Completion(Shell),
    Check { plans: Vec<PathBuf>, output: Output },
    Try { plan: PathBuf, cases: Vec<PathBuf>, output: Output },
    Log(look::Config),
    Snapshot(snapshots::Config),
}

/// What is wrong in the arguments, beyond what each is by itself.
type Wrong = (Output, String);

impl TryFrom<Args> for Config {
    type Error = Wrong;

    fn try_from(args: Args) -> Result<Config, Wrong> {
        let Args { verb } = args;
        Ok(match verb {
            Verb::Serve(args) => Config::Serve(args.try_into().map_err(|error| (Output::Text, error))?),
            Verb::Dev(args) => Config::Dev(args.into()),
            Verb::Send(args) => send(args)?,
            Verb::Get(GetArgs { agent, lane: Some(lane), ask }) => {
                Config::Get(LaneArgs { agent, lane, ask }.into())
            }
            Verb::Get(GetArgs { agent, lane: None, ask }) => {
                let LaneAddress { at, output, agent, .. } =
                    LaneArgs { agent, lane: String::new(), ask }.into();
                Config::GetAll { at, output, agent }
            }
            Verb::Completion { shell } => Config::Completion(shell),
            Verb::Watch(WatchArgs { lane, from, count, rate }) => {
                Config::Watch(watch::Config { lane: lane.into(), from, count, rate })
            }
            Verb::Status(AskArgs { at, form: FormArgs { output } }) => Config::Status { at, output },
            Verb::Check(CheckArgs { plans, form: FormArgs { output } }) => Config::Check { plans, output },
            Verb::Try(TryArgs { plan, cases, form: FormArgs { output } }) => {
                Config::Try { plan, cases, output }
            }
            Verb::Log(LogArgs { folder, slot, agent, form: FormArgs { output } }) => {
                let wanted = record_text::wanted(slot, agent.as_deref());
                let wanted = wanted.map_err(|refusal| (output, refusal.with_place()))?;
                Config::Log(look::Config { folder, wanted, output })
            }
            Verb::Snapshot(LogArgs { folder, slot, agent, form: FormArgs { output } }) => {
                let wanted = record_text::wanted(slot, agent.as_deref());
                let wanted = wanted.map_err(|refusal| (output, refusal.with_place()))?;
                Config::Snapshot(snapshots::Config { folder, wanted, output })
            }
        })
    }
}

impl From<LaneArgs> for LaneAddress {
    fn from(args: LaneArgs) -> LaneAddress {
        let LaneArgs { agent: Target { at: named, agent }, lane, ask } = args;
        let AskArgs { at, form: FormArgs { output } } = ask;
        let at = named.map_or(at, |at| vec![at]);
        LaneAddress { at, output, agent: agent.as_str().to_owned(), lane }
    }
}

fn send(args: SendArgs) -> Result<Config, Wrong> {
    let SendArgs { agent, lane, body, file, client, from_line, rate, ask } = args;
    let output = ask.form.output;
    if let Some(file) = file {
        let source = if file.as_os_str() == "-" { Source::Stdin } else { Source::File(file) };
        let (from_line, rate) = (from_line.unwrap_or(1), rate.map(NonZeroU32::get));
        return Ok(Config::Feed(send_file::Config { at: ask.at, output, source, client, from_line, rate }));
    }
    if client.is_some() || from_line.is_some() || rate.is_some() {
        return Err((output, "--client, --from-line and --rate are for the lines of a --file".into()));
    }
    let (Some(agent), Some(lane), Some(body)) = (agent, lane, body) else {
        return Err((output, "an address, a lane and a body are needed, or --file".into()));
    };
    let body = match body.as_str() {
        "-" => Body::Stdin,
        text => Body::Json(shown::body(text).map_err(|error| (output, error.to_string()))?),
    };
    Ok(Config::Send(LaneArgs { agent, lane, ask }.into(), body))
}

fn address(text: &str) -> Result<String, String> {
    let port =
        text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    if text.contains('/') || !matches!(port, Some(Ok(port)) if port > 0) {
        return Err("HOST:PORT is expected, such as 127.0.0.1:7777".into());
    }
    Ok(text.to_owned())
}

fn client(text: &str) -> Result<String, String> {
    answer::key(text, 1).map(|_| text.to_owned()).map_err(|refusal| refusal.error)
}

/// Does what is asked. Arguments that are wrong by themselves have ended the program already.
pub fn run(args: Args) -> ExitCode {
    let exit = match Config::try_from(args) {
        Ok(config) => begin(config),
        Err((output, error)) => out::wrong(output, error),
    };
    ExitCode::from(exit as u8)
}

fn begin(config: Config) -> Exit {
    let runtime = match runtime(&config) {
        Ok(runtime) => runtime,
        Err(error) => return out::wrong(Output::Text, format!("cannot start the runtime: {error}")),
    };
    let exit = runtime.block_on(act(config));
    // A thread that waits for standard input is not waited for.
    runtime.shutdown_background();
    exit
}

async fn act(config: Config) -> Exit {
    match config {
        Config::Serve(config) => serve::run(config).await,
        Config::Dev(config) => dev::run(config).await,
        Config::Send(lane, body) => calls::send(lane, body).await,
        Config::Feed(config) => send_file::run(config).await,
        Config::Get(lane) => calls::get(lane).await,
        Config::GetAll { at, output, agent } => calls::get_all(at, output, &agent).await,
        Config::Completion(shell) => {
            clap_complete::generate(shell, &mut Args::command(), "agent-node", &mut std::io::stdout());
            Exit::Done
        }
        Config::Watch(config) => watch::run(config).await,
        Config::Status { at, output } => calls::status(at, output).await,
        Config::Check { plans, output } => check::check(&plans, output),
        Config::Try { plan, cases, output } => check::try_cases(&plan, &cases, output),
        Config::Log(config) => look::log(&config),
        Config::Snapshot(config) => snapshots::snapshot(&config),
    }
}

/// Nodes have threads for their sockets; who only asks needs none.
fn runtime(config: &Config) -> std::io::Result<Runtime> {
    let threads = match config {
        Config::Serve(config) => config.threads,
        Config::Dev(_) => dev::THREADS,
        _ => return Builder::new_current_thread().enable_all().build(),
    };
    Builder::new_multi_thread().worker_threads(threads).enable_all().build()
}

#[cfg(test)]
mod tests;
