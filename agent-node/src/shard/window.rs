//! What a slot remembers of clients' numbered commands, so that none has a second effect.
//!
//! *Guarantees*: the answers of a client's 1,024 highest sequences that took effect are there, and the highest that
//! fell out is the floor. Nobody is forgotten early: a full table refuses new clients.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

const ANSWERS: usize = 1024;
const CLIENTS: usize = 65_536;
/// What a name takes of a record beside its text.
const NAME_HEAD: usize = 3;
/// Without a command for so long, a client keeps its highest sequence only.
pub const IDLE_MS: u64 = 60 * 60 * 1000;
/// Without one for so long, nothing.
pub const REMEMBER_MS: u64 = 7 * 24 * 60 * 60 * 1000;

#[derive(Debug, Default, PartialEq)]
pub struct Windows {
    clients: HashMap<Arc<str>, Client>,
}

#[derive(Debug, Default, PartialEq)]
struct Client {
    /// Sequence and version, by sequence.
    answers: VecDeque<(u64, u64)>,
    floor: u64,
    last_ms: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Known {
    /// It may run.
    New,
    /// It was done, with this version.
    Done(u64),
    /// Too old to tell.
    Older,
    /// No more clients can be remembered.
    Full,
}

impl Windows {
    pub fn look(&self, client: &str, sequence: u64) -> Known {
        let Some(client) = self.clients.get(client) else {
            return if self.clients.len() < CLIENTS { Known::New } else { Known::Full };
        };
        if sequence <= client.floor {
            return Known::Older;
        }
        match client.answers.binary_search_by_key(&sequence, |answer| answer.0) {
            Ok(place) => Known::Done(client.answers[place].1),
            Err(_) => Known::New,
        }
    }

    /// It took effect.
    pub fn settle(&mut self, client: &Arc<str>, sequence: u64, version: u64, now_ms: u64) {
        let client = match self.clients.get_mut(client) {
            Some(client) => client,
            None => self.clients.entry(client.clone()).or_default(),
        };
        client.last_ms = now_ms;
        match client.answers.back() {
            Some((highest, _)) if *highest > sequence => {
                let place = client.answers.partition_point(|answer| answer.0 < sequence);
                client.answers.insert(place, (sequence, version));
            }
            _ => client.answers.push_back((sequence, version)),
        }
        if client.answers.len() > ANSWERS
            && let Some((fallen, _)) = client.answers.pop_front()
        {
            client.floor = fallen;
        }
    }

    /// Clients that have been silent for long, and those for very long: as many as fit into so many bytes.
    pub fn silent(&self, now_ms: u64, mut bytes: usize) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        let (mut idle, mut gone) = (Vec::new(), Vec::new());
        for (name, client) in &self.clients {
            let silent_ms = now_ms.saturating_sub(client.last_ms);
            let is_gone = silent_ms >= REMEMBER_MS;
            if !is_gone && (silent_ms < IDLE_MS || client.answers.is_empty()) {
                continue;
            }
            let Some(left) = bytes.checked_sub(name.len() + NAME_HEAD) else { break };
            bytes = left;
            if is_gone { gone.push(name.clone()) } else { idle.push(name.clone()) }
        }
        (idle, gone)
    }

    pub fn forget(&mut self, idle: &[Arc<str>], gone: &[Arc<str>]) {
        for name in idle {
            if let Some(client) = self.clients.get_mut(name)
                && let Some((highest, _)) = client.answers.back()
            {
                client.floor = *highest;
                client.answers = VecDeque::new();
            }
        }
        for name in gone {
            self.clients.remove(name);
        }
    }
}
