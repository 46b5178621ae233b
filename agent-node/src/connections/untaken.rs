//! Pieces of event streams that a connection of HTTP/1 has not taken: they count among what is unread on the node, as those
//! of HTTP/2 do.

use super::unread::Unread;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What one connection has not taken. Clones count into the same number.
#[derive(Clone, Debug, Default)]
pub struct Untaken(Arc<AtomicUsize>);

impl Untaken {
    /// The bytes of a piece, which count until the last of them are handed to the kernel.
    pub fn piece(&self, text: Vec<u8>) -> Bytes {
        self.0.fetch_add(text.len(), Relaxed);
        let mut unread = Unread::default();
        unread.set(text.len());
        Bytes::from_owner(Piece { text, of: self.clone(), _unread: unread })
    }

    pub fn is_some(&self) -> bool {
        self.0.load(Relaxed) > 0
    }
}

struct Piece {
    text: Vec<u8>,
    of: Untaken,
    _unread: Unread,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.text.len(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_counts_until_its_last_byte_is_handed_on() {
        let untaken = Untaken::default();
        let mut one = untaken.piece(vec![1; 10]);
        let other = untaken.piece(vec![2; 5]);
        drop(one.split_to(9));
        drop(other);
        assert!(untaken.is_some());
        assert_eq!(untaken.0.load(Relaxed), 10);
        drop(one);
        assert!(!untaken.is_some());
    }
}
