//! Running nodes: one in a pod, or a whole plan on one machine.

pub mod dev;
pub mod logging;
pub mod running;
pub mod serve;
pub mod signals;

use crate::connections::raise_files;
use proto::shown::Exit;
use tracing::debug;

/// Begins a process that runs nodes: what it logs, and how many files it may have open.
fn begin(log: &logging::Config) -> Result<(), Exit> {
    if let Err(error) = logging::begin(log) {
        eprintln!("{error}");
        return Err(Exit::Usage);
    }
    let files = raise_files();
    debug!(files, "open files that this process may have");
    Ok(())
}
