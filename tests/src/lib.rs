//! What tests of whole programs need: nodes on this machine, a real Kubernetes, and an independent count of the feed.
pub mod cluster;
pub mod crdcheck;
pub mod dev;
pub mod flights;
pub mod lanes;
pub mod measure;
