//! What tests of whole programs need: a real Kubernetes, and an independent count of the real feed.
pub mod cluster;
pub mod flights;
pub mod lanes;
