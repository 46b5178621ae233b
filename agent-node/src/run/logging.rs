//! What nodes log, to standard error.

use clap::ValueEnum;
use std::io;
use tracing_subscriber::EnvFilter;

#[derive(Debug, Clone, clap::Args)]
pub struct LogArgs {
    /// Which records are logged, by level and module: `info`, `agent_node=debug`
    #[arg(long, env = "SHOAL_LOG", default_value = "info")]
    log: String,
    #[arg(long, env = "SHOAL_LOG_FORMAT", default_value = "text")]
    log_format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub filter: String,
    pub format: Format,
}

impl From<LogArgs> for Config {
    fn from(args: LogArgs) -> Config {
        let LogArgs { log: filter, log_format: format } = args;
        Config { filter, format }
    }
}

/// From now on; the error says what is wrong in the filter.
pub fn begin(config: &Config) -> Result<(), String> {
    let Config { filter, format } = config;
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("--log {filter}: {error}"))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        Format::Text => logs.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        Format::Json => logs.json().try_init(),
    }
    .map_err(|error| error.to_string())
}
