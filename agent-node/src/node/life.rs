//! How a node ends: by being asked to, or because it must not go on.

use crate::lock::lock;
use crate::refusal::Refusal;
use std::sync::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How far the end of a node has come.
#[derive(Default)]
pub struct Life {
    /// Nothing new is taken.
    pub stopping: CancellationToken,
    /// What is due is still sent; then streams between nodes end.
    pub closing: CancellationToken,
    failed: Mutex<Option<String>>,
    fails: Notify,
}

impl Life {
    /// The process must not go on: it would harm what is durable.
    pub fn fail(&self, why: &str) {
        tracing::error!(why, "this node must end");
        lock(&self.failed).get_or_insert_with(|| why.to_owned());
        self.stopping.cancel();
        self.fails.notify_waiters();
    }

    pub fn failed(&self) -> Option<String> {
        lock(&self.failed).clone()
    }

    /// Waits until the node must end.
    pub async fn fails(&self) -> String {
        loop {
            let fails = self.fails.notified();
            match self.failed() {
                Some(why) => return why,
                None => fails.await,
            }
        }
    }

    /// Why nothing is taken any more, if that is so.
    pub fn open(&self, at: &str) -> Result<(), Refusal> {
        if self.stopping.is_cancelled() {
            Err(Refusal::unavailable("this node is stopping", at))
        } else {
            Ok(())
        }
    }
}

/// Ends the node when the thread that holds this panics. A shard that fails in the middle of an event cannot be trusted
/// any more, and its agents would never answer; nor would they without the thread that reads what a shard has asked for.
pub struct FailsWithThread<'a>(pub &'a Life);

impl Drop for FailsWithThread<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("a shard failed because of a bug in this program; please report it");
        }
    }
}
