//! The settings of the operator: command line flags, or variables of the environment.

use clap::{Parser, ValueEnum};
use std::net::SocketAddr;

/// Turns AgentPlans into running nodes.
#[derive(Debug, Parser)]
#[command(name = "shoal-operator", version)]
pub struct Args {
    /// The namespaces whose plans this operator runs, separated by commas; if unset, all namespaces
    #[arg(long, env = "SHOAL_NAMESPACES", value_delimiter = ',')]
    pub namespaces: Vec<String>,
    /// The image of the nodes of plans that name no image
    #[arg(long, env = "SHOAL_NODE_IMAGE")]
    pub node_image: String,
    /// When kubelets pull that image; if unset, Kubernetes decides by its tag
    #[arg(long, env = "SHOAL_NODE_IMAGE_PULL_POLICY")]
    pub node_image_pull_policy: Option<PullPolicy>,
    /// The namespace in which this operator runs
    #[arg(long, env = "SHOAL_OPERATOR_NAMESPACE", default_value = "shoal-system")]
    pub operator_namespace: String,
    /// The name of the Lease in that namespace; only its holder acts
    #[arg(long, env = "SHOAL_LEASE", default_value = "shoal-operator")]
    pub lease: String,
    /// The name under which this operator holds the Lease: the name of its pod
    #[arg(long, env = "POD_NAME", default_value = "shoal-operator")]
    pub identity: String,
    /// The number of plans on which it works at the same time
    #[arg(long, env = "SHOAL_CONCURRENCY", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub concurrency: u16,
    /// The address and port of `/metrics`, `/livez` and `/readyz`
    #[arg(long, env = "SHOAL_LISTEN", default_value = "[::]:8080")]
    pub listen: SocketAddr,
    /// The form of log lines
    #[arg(long, env = "SHOAL_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// The log lines that are written, by level and module: `info`, `operator=debug`
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
