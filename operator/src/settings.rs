//! What the operator is told at its start: flags, or the environment.

use clap::{Parser, ValueEnum};
use std::net::SocketAddr;

/// Turns AgentPlans into running nodes.
#[derive(Debug, Parser)]
#[command(name = "shoal-operator", version)]
pub struct Args {
    /// Namespaces whose plans it runs, with commas between them; none: all
    #[arg(long, env = "SHOAL_NAMESPACES", value_delimiter = ',')]
    pub namespaces: Vec<String>,
    /// The image of nodes whose plan names none
    #[arg(long, env = "SHOAL_NODE_IMAGE")]
    pub node_image: String,
    /// When kubelets fetch that image; unset: as Kubernetes decides by its tag
    #[arg(long, env = "SHOAL_NODE_IMAGE_PULL_POLICY")]
    pub node_image_pull_policy: Option<PullPolicy>,
    /// The namespace that the operator itself runs in
    #[arg(long, env = "SHOAL_OPERATOR_NAMESPACE", default_value = "shoal-system")]
    pub operator_namespace: String,
    /// The Lease, in that namespace, whose holder acts
    #[arg(long, env = "SHOAL_LEASE", default_value = "shoal-operator")]
    pub lease: String,
    /// The name under which it holds the Lease: its pod's
    #[arg(long, env = "POD_NAME", default_value = "shoal-operator")]
    pub identity: String,
    /// How many plans it works on at once
    #[arg(long, env = "SHOAL_CONCURRENCY", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub concurrency: u16,
    /// Where `/metrics`, `/livez` and `/readyz` are
    #[arg(long, env = "SHOAL_LISTEN", default_value = "[::]:8080")]
    pub listen: SocketAddr,
    #[arg(long, env = "SHOAL_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Which records are logged, by level and module: `info`, `operator=debug`
    #[arg(long, env = "SHOAL_LOG", default_value = "info")]
    pub log: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl PullPolicy {
    pub fn as_str(self) -> &'static str {
        match self {
            PullPolicy::Always => "Always",
            PullPolicy::IfNotPresent => "IfNotPresent",
            PullPolicy::Never => "Never",
        }
    }
}

/// What of it the plans' objects depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub node_image: String,
    pub node_image_pull_policy: Option<PullPolicy>,
    pub operator_namespace: String,
}

/// What of it says how the operator runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub settings: Settings,
    pub namespaces: Vec<String>,
    pub lease: String,
    pub identity: String,
    pub concurrency: usize,
    pub listen: SocketAddr,
    pub log_format: LogFormat,
    pub log: String,
}

impl From<Args> for Config {
    fn from(args: Args) -> Config {
        let Args {
            mut namespaces,
            node_image,
            node_image_pull_policy,
            operator_namespace,
            lease,
            identity,
            concurrency,
            listen,
            log_format,
            log,
        } = args;
        // The chart gives an empty text for all.
        namespaces.retain(|namespace| !namespace.is_empty());
        let settings = Settings { node_image, node_image_pull_policy, operator_namespace };
        let concurrency = usize::from(concurrency);
        Config { settings, namespaces, lease, identity, concurrency, listen, log_format, log }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(flags: &[&str]) -> Config {
        let flags = ["shoal-operator", "--node-image", "shoal/agent-node:1"].iter().chain(flags);
        Args::try_parse_from(flags).expect("flags that are right").into()
    }

    #[test]
    fn all_namespaces_are_watched_unless_some_are_named() {
        assert_eq!(config(&[]).namespaces, [""; 0]);
        assert_eq!(config(&["--namespaces", ""]).namespaces, [""; 0]);
        assert_eq!(config(&["--namespaces", "a,b"]).namespaces, ["a", "b"]);
    }

    #[test]
    fn flags_of_a_wrong_kind_are_refused() {
        for flags in [["--concurrency", "0"], ["--log-format", "xml"], ["--node-image-pull-policy", "always"]]
        {
            let flags = ["shoal-operator", "--node-image", "i"].iter().chain(&flags);
            assert!(Args::try_parse_from(flags.clone()).is_err(), "{flags:?}");
        }
        let policy = config(&["--node-image-pull-policy", "IfNotPresent"]).settings.node_image_pull_policy;
        assert_eq!(policy, Some(PullPolicy::IfNotPresent));
    }
}
