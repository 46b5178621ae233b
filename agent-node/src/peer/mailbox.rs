//! Where shards and peers leave answers for one waiting task: a client's stream, one request, or the stream of a peer.
//! Bounded by what its owner has asked for and not taken yet.

use crate::done::End;
use crate::lock::lock;
use crate::reads::Answer;
use crate::refusal::Refusal;
use crate::shard::Taken;
use std::sync::{Mutex, MutexGuard};
use tokio::sync::Notify;

#[derive(Debug)]
pub enum Mail {
    /// How a command ended.
    End(u64, End),
    Got(u64, Result<Answer, Refusal>),
    /// For a peer whose messages were taken.
    Taken(Taken),
    /// An attachment of a peer has ended.
    Detached(u64, Refusal),
}

#[derive(Debug, Default)]
pub struct Mailbox {
    mail: Mutex<Vec<Mail>>,
    came: Notify,
}

impl Mailbox {
    /// Adds all of it and wakes who waits, once. `mail` is empty then.
    pub fn post(&self, mail: &mut Vec<Mail>) {
        if mail.is_empty() {
            return;
        }
        let mut box_ = self.lock();
        let first = box_.is_empty();
        box_.append(mail);
        drop(box_);
        if first {
            self.came.notify_one();
        }
    }

    /// Wakes who waits, though nothing has come.
    pub fn wake(&self) {
        self.came.notify_one();
    }

    /// Moves what is there to `out`, which is empty.
    pub fn drain(&self, out: &mut Vec<Mail>) {
        std::mem::swap(&mut *self.lock(), out);
    }

    /// Waits until something may have come.
    pub async fn came(&self) {
        self.came.notified().await;
    }

    /// Waits for the only answer.
    pub async fn one(&self) -> Mail {
        loop {
            let mail = self.lock().pop();
            match mail {
                Some(mail) => return mail,
                None => self.came().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Mail>> {
        lock(&self.mail)
    }
}
