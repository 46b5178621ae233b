//! Snapshots of slots: everything that a slot is after one of its records, in pieces, many slots in one file.
//! Shards make the pieces, and only they know what sections hold.

mod piece;
mod sink;

pub use piece::{BYTES_MAX, Begin, Piece, TERMS_MAX, Tag, Term};
pub use sink::{Asked, Given, Sink};
