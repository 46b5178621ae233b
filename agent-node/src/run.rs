//! Running nodes: one in a pod, or a whole plan on one machine.

pub mod dev;
pub mod running;
pub mod serve;
pub mod signals;

use crate::connections::raise_files;
use crate::logging;
use proto::shown::Exit;
use tracing::debug;
use tracing_appender::non_blocking::WorkerGuard;

/// Begins a process that runs nodes: what it logs, until the value is dropped, and how many files it may have open.
fn begin(log: &logging::Config) -> Result<WorkerGuard, Exit> {
    let guard = logging::begin(log).map_err(|error| {
        eprintln!("{error}");
        Exit::Usage
    })?;
    let files = raise_files();
    debug!(files, "open files that this process may have");
    Ok(guard)
}
