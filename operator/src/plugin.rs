//! `kubectl shoal`: the verbs of `agent-node` for a plan on a cluster. It asks one ready pod of the plan, over a
//! port-forward, and goes to the next one when that breaks.
//!
//! *Guarantees*: outputs and exit codes are those of `agent-node`; a command that may have been done is never sent
//! again.

mod adopt;
mod choice;
mod completion;
mod connector;
mod file;
mod plans;
mod tunnel;
mod verbs;

use clap::{Parser, Subcommand, ValueEnum};
use proto::shown::{self, Exit, Failure, Output, Target};
use proto::wire::RATE_MAX;
use proto::wire::v1::WatchRequest;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use tunnel::{Cluster, Pods};

/// Reads, watches and commands the agents of a plan on a cluster
#[derive(Debug, Parser)]
#[command(name = "kubectl-shoal", bin_name = "kubectl shoal", version)]
pub struct Args {
    /// The name of the plan
    #[arg(long, global = true, env = "SHOAL_PLAN", default_value = "")]
    plan: String,
    /// The namespace of the plan; if unset, that of the kubeconfig's context
    #[arg(long, short, global = true)]
    namespace: Option<String>,
    /// The context of the kubeconfig; if unset, the current one
    #[arg(long, global = true)]
    context: Option<String>,
    /// The kubeconfig file; if unset, the one in KUBECONFIG or ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The form of the output: `text` for people, or `json` for one JSON object per line
    #[arg(long, short, global = true, default_value = "text")]
    output: Output,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the state of each node of the plan
    Status,
    /// Show the plans of the namespace
    Plans {
        /// Show those of all namespaces
        #[arg(long, short = 'A')]
        all_namespaces: bool,
    },
    /// Show what the nodes of the plan have logged, each line led by its pod
    #[command(override_usage = "kubectl shoal logs [OPTIONS] <PLAN>")]
    Logs {
        /// The name of the plan; --plan names it as well
        #[arg(value_name = "PLAN")]
        of: Option<String>,
        /// The number of the one node whose log is shown
        #[arg(long)]
        node: Option<u16>,
        /// Show lines as they are logged, until interrupted
        #[arg(long, short)]
        follow: bool,
        /// How old the oldest line may be: 90s, 5m, 2h, 3d
        #[arg(long, value_parser = choice::since)]
        since: Option<Duration>,
    },
    /// Let a plan that was deleted and applied again go on with the data of its volumes
    #[command(override_usage = "kubectl shoal adopt [OPTIONS] <PLAN>")]
    Adopt {
        /// The name of the plan; --plan names it as well
        #[arg(value_name = "PLAN")]
        of: Option<String>,
        /// The uid of the plan that wrote the volumes, where there are those of several: their label shoal.dev/plan-uid
        #[arg(long, value_name = "UID")]
        volumes_of: Option<String>,
    },
    /// Print a script that completes this program's commands in a shell
    #[command(after_help = COMPLETION)]
    Completion {
        /// The shell that is to run the script; `kubectl` is for the file kubectl_complete-shoal
        shell: Script,
    },
    /// Print the words that can stand where a shell's cursor is, as kubectl asks for them
    #[command(name = "__complete", hide = true, disable_help_flag = true)]
    Complete {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Show all that is wrong in files with plans; no cluster is asked
    Check {
        /// A file with AgentPlans, beside which it may have other objects; `-` is standard input
        #[arg(long, short, required = true, value_name = "FILE")]
        filename: Vec<PathBuf>,
    },
    /// Show the state of a Value or Map lane, or of all lanes of an agent
    Get {
        address: Target,
        /// The name of the lane; if unset, all lanes of the agent are shown
        lane: Option<String>,
    },
    /// Show the events of a lane as they happen, until interrupted
    Watch {
        address: Target,
        lane: String,
        /// The token (`@N`) at which an earlier watch ended; this one continues after it
        #[arg(long)]
        from: Option<u64>,
        /// The number of events after which the watch ends
        #[arg(long)]
        count: Option<u64>,
        /// The most flushes of changes to show per second, 1 to 1000; of a value or key that changes faster, the latest is shown
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(RATE_MAX)))]
        rate: Option<u32>,
    },
    /// Send a command to a Command lane, a change to a lane that is `ReadWrite`, or all lines of a file
    #[command(
        override_usage = "kubectl shoal send <ADDRESS> <LANE> <JSON>\n       kubectl shoal send --file <FILE>"
    )]
    Send {
        #[arg(required_unless_present = "file", conflicts_with = "file")]
        address: Option<Target>,
        #[arg(required_unless_present = "file")]
        lane: Option<String>,
        /// The command: one JSON value; `-` reads it from standard input
        #[arg(required_unless_present = "file")]
        json: Option<String>,
        /// Send all lines of a file, plain or gzipped: {"agent": text, "lane": text, "body": any}; `-` is standard input
        #[arg(long)]
        file: Option<PathBuf>,
        /// The client's name, under which the lines are numbered; if unset, it is derived from the content of the file
        #[arg(long, requires = "file")]
        client: Option<String>,
        /// The number of the line to begin with
        #[arg(long, requires = "file")]
        from_line: Option<u64>,
        /// The most lines to send per second
        #[arg(long, requires = "file")]
        rate: Option<u32>,
    },
}

const COMPLETION: &str = "To complete `kubectl shoal`, put the script for kubectl on the PATH, and let it be run:\n\n    \
    kubectl shoal completion kubectl > ~/.local/bin/kubectl_complete-shoal\n    \
    chmod +x ~/.local/bin/kubectl_complete-shoal";

/// Who is to run a script for completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Script {
    Bash,
    Zsh,
    Fish,
    /// kubectl, which has scripts of its own for each shell and asks this program for words.
    Kubectl,
}

/// Prints what there is to say.
pub async fn run(args: Args) -> Exit {
    let output = args.output;
    match attempt(args).await {
        Ok(exit) => exit,
        Err(failure) => verbs::failed(output, &failure),
    }
}

async fn attempt(args: Args) -> Result<Exit, Failure> {
    let Args { plan, namespace, context, kubeconfig, output, verb } = args;
    match &verb {
        Verb::Check { filename } => return Ok(verbs::check(filename, output)),
        Verb::Completion { shell } => return Ok(completion::script(*shell)),
        Verb::Complete { words } => return Ok(completion::words(words)),
        Verb::Plans { all_namespaces } => {
            let cluster = Cluster::of(namespace, context, kubeconfig).await?;
            return verbs::plans(&cluster, output, *all_namespaces).await;
        }
        _ => {}
    }
    let plan = match &verb {
        Verb::Logs { of: Some(name), .. } | Verb::Adopt { of: Some(name), .. } => name.clone(),
        _ => plan,
    };
    if plan.is_empty() {
        return Err(usage("the name of the plan is missing: give --plan NAME"));
    }
    let asked = match &verb {
        Verb::Get { address, .. } | Verb::Watch { address, .. } => address.at.as_deref(),
        Verb::Send { address, .. } => address.as_ref().and_then(|address| address.at.as_deref()),
        _ => None,
    };
    if let Some(at) = asked {
        return Err(usage(format!(
            "an address with a host (`{at}`) is not allowed here, because kubectl shoal asks the pods of the plan: \
             begin the address with `/`"
        )));
    }
    // Before anything is opened: what is wrong here is wrong everywhere.
    let body = match &verb {
        Verb::Send { json: Some(json), .. } => Some(body(json)?),
        _ => None,
    };
    let cluster = Cluster::of(namespace, context, kubeconfig).await?;
    if let Verb::Adopt { of: _, volumes_of } = &verb {
        return verbs::adopt(&cluster, output, &plan, volumes_of.as_deref()).await;
    }
    let pods = Pods::of(&plan, cluster);
    match verb {
        Verb::Check { .. }
        | Verb::Completion { .. }
        | Verb::Complete { .. }
        | Verb::Plans { .. }
        | Verb::Adopt { .. } => Ok(()),
        Verb::Logs { of: _, node, follow, since } => {
            return verbs::logs(&pods, output, &verbs::Logs { node, follow, since }).await;
        }
        Verb::Status => return verbs::status(&pods, output).await,
        Verb::Get { address, lane: Some(lane) } => {
            verbs::get(&pods, output, address.agent.as_str(), &lane).await
        }
        Verb::Get { address, lane: None } => verbs::get_all(&pods, output, address.agent.as_str()).await,
        Verb::Watch { address, lane, from, count, rate } => {
            let following = shown::Following::new(output, from, count);
            let request = WatchRequest { agent: address.agent.as_str().into(), lane, from, rate };
            verbs::watch(&pods, following, request).await
        }
        Verb::Send { address: Some(address), lane: Some(lane), .. } => {
            verbs::send(&pods, output, address.agent.as_str(), &lane, body.unwrap_or_default()).await
        }
        Verb::Send { file, client, from_line, rate, .. } => {
            let file = file.unwrap_or_default();
            return file::send(pods, output, file::Feed { file, client, from_line, rate }).await;
        }
    }?;
    Ok(Exit::Done)
}

fn body(json: &str) -> Result<Vec<u8>, Failure> {
    let read = match json {
        "-" => std::io::read_to_string(std::io::stdin())
            .map_err(|error| usage(format!("standard input: {error}")))?,
        _ => json.to_owned(),
    };
    shown::body(&read).map_err(|error| usage(error.to_string()))
}

fn usage(error: impl Into<String>) -> Failure {
    Failure { exit: Exit::Usage, ..Failure::unreachable(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ended(words: &[&str]) -> Failure {
        let args = Args::try_parse_from(["kubectl-shoal"].iter().chain(words)).unwrap();
        attempt(args).await.unwrap_err()
    }

    #[tokio::test]
    async fn what_is_wrong_on_the_command_line_is_said_before_a_cluster_is_asked() {
        for (words, said) in [
            (&["get", "/a/1", "lane"][..], "--plan NAME"),
            (&["--plan", "p", "get", "http://localhost:7777/a/1", "lane"], "localhost:7777"),
            (&["--plan", "p", "send", "/a/1", "lane", "JFK"], "\"JFK\""),
        ] {
            let failure = ended(words).await;
            assert_eq!(failure.exit, Exit::Usage, "{words:?}");
            assert!(failure.error.contains(said), "{}", failure.error);
        }
    }

    #[test]
    fn verbs_take_what_agent_node_takes() {
        for (words, good) in [
            (&["status"][..], true),
            (&["check", "-f", "a.yaml", "-f", "-", "-o", "json"], true),
            (&["check"], false),
            (&["get", "/a/1", "lane", "--plan", "p", "-n", "x", "--output", "json"], true),
            (&["watch", "/a/1", "lane", "--from", "7", "--count", "2"], true),
            (&["send", "/a/1", "lane", "{}"], true),
            (&["send", "--file", "x.gz", "--rate", "9", "--from-line", "2", "--client", "me"], true),
            (&["send", "/a/1", "lane", "{}", "--file", "x"], false),
            (&["send", "/a/1", "lane"], false),
            (&["get", "a/1", "lane"], false),
            (&["get", "/a/1"], true),
            (&["watch", "/a/1"], false),
            (&["plans", "-A", "-o", "json"], true),
            (&["logs", "p", "--node", "1", "-f", "--since", "5m", "-n", "x"], true),
            (&["logs", "p", "--since", "5"], false),
            (&["adopt", "p", "--volumes-of", "uid", "-n", "x"], true),
            (&["completion", "fish"], true),
            (&["completion", "sh"], false),
            (&["__complete", "get", "--plan", ""], true),
            (&["get", "/a/1", "lane", "--output", "xml"], false),
            (&["watch", "/a/1", "lane", "--count", "x"], false),
            (&["watch", "/a/1", "lane", "--rate", "5"], true),
            (&["watch", "/a/1", "lane", "--rate", "0"], false),
        ] {
            let words = ["kubectl-shoal"].iter().chain(words);
            assert_eq!(Args::try_parse_from(words.clone()).is_ok(), good, "{words:?}");
        }
    }
}
