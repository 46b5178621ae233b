//! What Shoal's programs agree on. Nothing here waits: no socket, clock, file or task.
//!
//! From the top down; each module uses those below it:
//!
//! | | |
//! |---|---|
//! | [`plan`] | what a user writes: its fields and schema, the parser that operator, node and dev mode share, its status |
//! | [`ring`] | which store owns which slot: placement, the first ring, the form in bytes |
//! | [`wire`] | the generated protobuf types, for the modules that read and write sockets |
//! | [`shown`] | what the command lines take and print, for `agent-node` and `kubectl shoal` |
//! | [`cel`] | expressions: parsed by the `cel` crate, compiled and evaluated here, with a bound on cost |
//! | [`address`] | agents' addresses in normal form, routes, and the slot of an address |
//! | [`binary`], [`json`] | values in the form that is stored and sent, and in the form that clients see |
//! | [`value`] | what a lane can hold |
//! | [`origin`] | the host of a web page, and whether it is the one that a request is for |
//! | [`trust`] | certificates of nodes and of the operator: made, read and judged |
//!
//! The rules behind these are in `proto/docs`: `plan.md` and `cel.md` for users, `protocol.md` for what nodes do with a
//! ring, records and frames. A byte that [`ring`] or [`binary`] has once given a meaning keeps it: both lie on disks.

pub mod address;
pub mod binary;
pub mod cel;
#[cfg(test)]
mod committed;
#[doc(hidden)]
pub mod fuzzed;
pub mod json;
pub mod origin;
pub mod plan;
pub mod ring;
pub mod shown;
pub mod trust;
pub mod value;
pub mod wire;
