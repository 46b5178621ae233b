//! What tests of whole programs need: nodes on this machine, a real Kubernetes, and an independent count of the feed.
pub mod cluster;
pub mod crdcheck;
pub mod dev;
pub mod flights;
pub mod lanes;
pub mod measure;

/// How often what may go wrong is done: the first number, or with `tests/run --long` the second one.
pub fn times(short: usize, long: usize) -> usize {
    if std::env::var_os("SHOAL_LONG").is_some() { long } else { short }
}
