//! What tests of whole programs share. The tests themselves stand in `tests/tests`, the benches in `tests/benches`.
//!
//! | | |
//! |---|---|
//! | [`dev`] | `agent-node dev` as a child process, killed or stopped as a user would |
//! | [`disk`] | a small disk, to be filled (needs root) |
//! | [`event_source`] | a client of event streams, by curl, that goes on by itself
//! | [`cluster`] | a real Kubernetes, started by the program `tests/cluster`, and a plan on it |
//! | [`lanes`] | clients of `shoal.v1`: one that sends until it may stop, one that folds what a watch says |
//! | [`flights`] | an independent count of the feed: what every lane must hold in the end |
//! | [`history`] | clients that write, read and watch while nodes die, and the history that they make |
//! | [`plans`] | the plans that tests and benches run |
//! | [`serve`] | the nodes of a plan in a process each, and what an operator does for them |
//! | [`crdcheck`] | Kubernetes' own validator, without a cluster (needs Go) |
//! | [`examples`] | the clients in `tests/examples`, made and run by the commands of their README |
//! | [`cache`] | what is built beside the workspace, once for all runs |
//! | [`rulecheck`] | Prometheus' own evaluation of alert rules and queries, without a Prometheus (needs Go) |
//! | [`go_program`] | how those two are built and asked |
//! | [`measure`] | the bare disk beside every durable figure, and the tables that benches print |
//! | [`project`] | the files of this project, for tests that read them |
//!
//! | tests | what they hold, and what they need |
//! |---|---|
//! | `structure`, `documents` | the sources and what the documents name |
//! | `cli`, `plugin`, `bad_input`, `samples`, `flights`, `strangers`, `history`, `answers` | real processes on this machine, SIGKILL included |
//! | `event_streams` | the same, and curl |
//! | `examples` | real processes and clients in other languages: Python, Node.js, Go, `protoc`, curl |
//! | `crd`, `health` | the CRD under Kubernetes' validator, the status under kstatus and Argo CD: Go |
//! | `alerts` | alert rules and dashboard over the series of real runs: Go, and root for a small disk |
//! | `chart` | the chart as Helm renders it: `tests/cluster build` |
//! | `cluster`, `harness` | a real Kubernetes: root |
//!
//! `tests/run quick` runs what needs none of these; CONTRIBUTING.md says how to run one test or one seed.

pub mod cache;
pub mod cluster;
pub mod crdcheck;
pub mod dev;
pub mod disk;
pub mod event_source;
pub mod examples;
pub mod flights;
pub mod frames;
pub mod go_program;
pub mod history;
pub mod lanes;
pub mod measure;
pub mod plans;
pub mod project;
pub mod rulecheck;
pub mod serve;

/// How often what may go wrong is done: the first number, or with `tests/run --long` the second one.
pub fn times(short: usize, long: usize) -> usize {
    if std::env::var_os("SHOAL_LONG").is_some() { long } else { short }
}
