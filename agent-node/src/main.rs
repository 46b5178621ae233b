//! `agent-node`: a node of a plan, a plan on this machine, and the commands that ask nodes.

use agent_node::cli;
use clap::Parser as _;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(cli::Args::parse())
}
