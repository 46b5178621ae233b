//! What nodes log, to standard error.
//!
//! *Guarantees.* Nobody who logs waits for whoever reads it: a thread of its own writes the lines, and those that find
//! no room are dropped and counted. Of libraries only errors are logged, unless the filter names them: a stranger can make
//! some of them say a line for each frame.

use clap::ValueEnum;
use proto::shown::log_filter;
use std::io;
use std::sync::OnceLock;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Lines that wait to be written.
const LINES_MAX: usize = 8_192;

static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

#[derive(Debug, Clone, clap::Args)]
pub struct LogArgs {
    /// Which records are logged: a level, `debug`, for Shoal's own modules, and others by name, `debug,h2=debug`
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

/// Lines that found no room.
pub fn dropped() -> u64 {
    DROPPED.get().map_or(0, |dropped| dropped.dropped_lines() as u64)
}

/// From now on, until what it gives is dropped: then what waits is written. The error says what is wrong in the filter.
pub fn begin(config: &Config) -> Result<WorkerGuard, String> {
    let Config { filter, format } = config;
    let all = log_filter(filter, "error");
    let filter = EnvFilter::try_new(all).map_err(|error| format!("--log {filter}: {error}"))?;
    let (writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(LINES_MAX).finish(io::stderr());
    let _ = DROPPED.set(writer.error_counter());
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        Format::Text => logs.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        Format::Json => logs.json().with_span_list(false).try_init(),
    }
    .map_err(|error| error.to_string())?;
    Ok(guard)
}
