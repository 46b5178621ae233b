//! What Shoal's programs agree on: values, addresses, the plan, the ring, and the wire. Nothing here waits.

pub mod wire;
