//! Running nodes: one in a pod, or a whole plan on one machine.

pub mod dev;
pub mod logging;
pub mod running;
pub mod serve;
pub mod signals;
