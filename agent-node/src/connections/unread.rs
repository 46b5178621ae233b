//! What streams of HTTP/2, and event streams of HTTP/1, have made and clients have not taken: one count for the process.
//!
//! *Guarantees.* Who makes events of lanes waits while it is over [`BYTES_MAX`], so it is no more than that and a frame
//! of each thread. A client's own frame may be in memory four times while it is encoded. While it is over half of that,
//! who takes too little is let go after two seconds, so that others need not wait for long.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::sync::Notify;

pub const BYTES_MAX: usize = 32 << 20;

static BYTES: AtomicUsize = AtomicUsize::new(0);
static FREED: Notify = Notify::const_new();

pub fn bytes() -> usize {
    BYTES.load(Relaxed)
}

pub fn is_much() -> bool {
    bytes() > BYTES_MAX / 2
}

/// Waits until clients have taken enough of what was made.
pub async fn room() {
    loop {
        let freed = FREED.notified();
        if bytes() <= BYTES_MAX {
            return;
        }
        freed.await;
    }
}

/// The part of one answer.
#[derive(Debug, Default)]
pub struct Unread(usize);

impl Unread {
    pub fn set(&mut self, bytes: usize) {
        let before = if bytes >= self.0 {
            BYTES.fetch_add(bytes - self.0, Relaxed)
        } else {
            BYTES.fetch_sub(self.0 - bytes, Relaxed)
        };
        if before > BYTES_MAX && before + bytes - self.0 <= BYTES_MAX {
            FREED.notify_waiters();
        }
        self.0 = bytes;
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn who_makes_more_waits_until_enough_is_taken() {
        let (mut one, mut other) = (Unread::default(), Unread::default());
        one.set(BYTES_MAX / 2 + 1);
        assert!(is_much());
        room().await;
        other.set(BYTES_MAX / 2);
        let waits = tokio::spawn(room());
        assert!(timeout(Duration::from_millis(50), room()).await.is_err());
        other.set(1);
        waits.await.unwrap();
        drop(one);
        assert!(!is_much());
        drop(other);
        room().await;
    }
}
