//! A node: its store, its log, its shards on their threads, and the way to every other node.
//!
//! [`handle`] is what the ways in hold; [`start`] brings a node up, [`hold`] down; [`core`] is what its threads and tasks
//! share. Deciding files: [`configuration`], [`routing`], [`forwards`], [`contact`]. What leaves the shards goes by
//! [`delivery`], what comes to them lies in an [`inbox`]. [`asking`] and [`answering`] are the two ends of the streams
//! between nodes, [`control`] is what the operator asks.

pub mod answering;
pub mod asking;
pub mod backlog;
pub mod commands;
pub mod config;
pub mod configuration;
pub mod configure;
pub mod contact;
pub mod control;
pub mod core;
pub mod delivery;
pub mod forwards;
pub mod handle;
pub mod hold;
pub mod inbox;
pub mod life;
pub mod look;
pub mod monitor;
pub mod parking;
pub mod request;
pub mod routing;
pub mod standing;
pub mod start;
pub mod status;
pub mod threads;
pub mod turn;
pub mod upstream;

pub use crate::link::Links;
pub use crate::peer::{Configuration, Report};
pub use crate::reads::Answer;
pub use crate::shard::Body;
pub use commands::Commands;
pub use config::Config;
pub use handle::Node;
pub use request::{Full, Request, Ticket};
pub use status::{LogMeasured, Measured, NodeStatus, SnapshotsMeasured, Status};

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
