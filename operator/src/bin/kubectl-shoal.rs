//! `kubectl shoal`: the lanes of a plan's agents from a terminal, through a port-forward of its own.

use clap::Parser;
use operator::plugin::{Args, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let exit = runtime.expect("threads for the runtime").block_on(run(args));
    ExitCode::from(exit as u8)
}
