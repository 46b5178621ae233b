//! The node: durable agents, their lanes, and the ways in.
//!
//! From the top down; each folder uses those below it, never one above:
//!
//! | | |
//! |---|---|
//! | [`cli`] | the command line: what is asked, and the client that asks a node |
//! | [`run`] | a node in a pod (`serve`), a whole plan on one machine (`dev`), signals |
//! | [`ways`] | the ways in for clients: the public port with gRPC and HTTP on it, and the port of metrics and probes |
//! | [`node`] | one node: start and end, routing, shards' threads, commands passed on, streams to and from other nodes |
//! | [`peer`] | what two nodes say to each other: frames, first words, gossip of plan and ring; the sockets and files of port 7778 |
//! | [`shard`] | the state machine of some slots: agents, lanes, windows, outboxes, rules, records, the output gate |
//! | [`trial`] | cases against a plan: a shard without a node, over a log in memory |
//! | [`link`] | watchers of lanes: what each is told, and how the mirror of a lane is fed by its owner |
//! | [`snapshot`] | snapshots of slots: what one is made of, the files, when one is taken and what of the log may go |
//! | [`log`] | the write-ahead log: format, group commit, segments made ahead, reading it back |
//!
//! Below them: [`answer`] words answers for clients, [`refusal`] says why something was not done, [`done`] how
//! what was done is answered, [`holds`] keeps the order of a stream after a refusal, [`map`] keeps the entries of a Map lane, [`reads`] charges answers to a budget,
//! [`connections`] accepts and serves, [`store`] is the data folder,
//! [`logging`] writes what a node has to say, [`lock`] locks. What a simulation sets in place of the operating system
//! comes by [`disk`], [`clock`] and [`random`].
//!
//! A command's way: `ways` -> `node::commands` -> `node::inbox` -> `shard::perform` -> `log` -> `shard::gate` ->
//! `node::delivery` -> back. An update's: `node::delivery` -> `link` -> `ways`, on another node by `node::answering`.

pub mod answer;
pub mod broken;
pub mod cli;
pub mod clock;
pub mod connections;
pub mod disk;
pub mod done;
#[doc(hidden)]
pub mod fuzzed;
pub mod holds;
pub mod link;
mod little_endian;
pub mod lock;
pub mod log;
pub mod logging;
pub mod map;
pub mod node;
pub mod peer;
pub mod random;
pub mod reads;
pub mod refusal;
pub mod run;
pub mod shard;
pub mod snapshot;
pub mod store;
pub mod trial;
pub mod ways;
