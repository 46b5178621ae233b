//! The operator: turns an `AgentPlan` into a running set of nodes, and says in its status how that stands.
//!
//! What decides: `plan` and `observed` are what is wished and seen; `ring`, `adoption`, `restoring`, `node`,
//! `authority`, `certificates`, `claims`, `drift` and `outlook` what they come to;
//! `words` says it; `parts`, `steps` and `status` what follows; `heard`, `answers` and `backoff` what is kept from one
//! look to the next; `undeclared` what the CRD lacks; `queue`, `lease`, `account` and `ownership` when, and who; `listing`
//! whether it could. What waits: `context` is what looks need, `look` and `nodes` see, `act` and `news` do, `owner` asks
//! whose a plan is, `reconcile` joins them, `control` turns, `hold` keeps the lease, `probe` tries whether plans can be
//! listed, `port` answers.
//! Beside it stands `plugin`, which is `kubectl shoal`.

pub mod access;
pub mod account;
pub mod act;
pub mod adoption;
pub mod answers;
pub mod authority;
pub mod backoff;
pub mod certificates;
pub mod claims;
pub mod client;
pub mod context;
pub mod control;
pub mod drift;
pub mod heard;
pub mod hints;
pub mod hold;
pub mod lease;
pub mod listing;
pub mod look;
pub mod metrics;
pub mod names;
pub mod news;
pub mod node;
pub mod nodes;
pub mod observed;
pub mod outlook;
pub mod owner;
pub mod ownership;
pub mod parts;
pub mod plan;
pub mod plugin;
pub mod port;
pub mod probe;
pub mod queue;
pub mod reason;
pub mod reconcile;
pub mod restoring;
pub mod ring;
pub mod settings;
pub mod status;
pub mod steps;
pub mod undeclared;
pub mod watch;
pub mod words;

#[cfg(test)]
mod served;
#[cfg(test)]
mod world;
