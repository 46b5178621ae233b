//! The generated protobuf types. They stop at the modules that read and write sockets.
#![allow(clippy::all, clippy::pedantic)]

/// HTTP/2's window of a connection. Small frames that pile up unread end a whole connection, by a budget that grows with
/// this window.
pub const CONNECTION_WINDOW: u32 = 16 << 20;
pub const STREAM_WINDOW: u32 = 64 << 10;
/// The highest rate that a client may ask for: flushes of a link in a second.
pub const RATE_MAX: u32 = 1_000;

/// The client API, `shoal.v1`.
pub mod v1 {
    tonic::include_proto!("shoal.v1");
    /// For gRPC reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/lanes.descriptors"));
}

/// What nodes and the operator say on port 7778.
pub mod peer {
    tonic::include_proto!("shoal.peer.v1");
}
