//! What Shoal's programs agree on: values, addresses, the plan, the ring, and the wire. Nothing here waits.

pub mod address;
pub mod binary;
pub mod cel;
#[cfg(test)]
mod committed;
pub mod json;
pub mod origin;
pub mod plan;
pub mod ring;
pub mod shown;
pub mod value;
pub mod wire;
