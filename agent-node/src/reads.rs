//! Answers to reads while they are in memory: each is charged to the node's budget until its last byte was taken.
//!
//! An answer is charged when it leaves its shard, or when it was taken from a mirror. The charge goes with it: into the
//! pieces that a connection holds, and to a node that asks in pieces.

mod budget;

use crate::lock::lock;
use crate::map::Map;
use crate::refusal::Refusal;
use crate::shard::{Body, Got};
pub use budget::BYTES_MAX;
use budget::{Budget, Held, Snapshot};
use bytes::Bytes;
use std::sync::{Arc, Mutex};

/// What a connection may hold of an answer that is written in pieces: two of them, one with a large entry.
const PIECES_BYTES: usize = 384 << 10;
/// What the smallest answer costs.
const ANSWER_BYTES: usize = 1 << 10;

/// One node's budget. Clones are handles to the same.
#[derive(Clone, Debug, Default)]
pub struct Reads(Arc<Mutex<Budget>>);

/// A lane's state on its way to who has asked.
#[derive(Debug)]
pub struct Answer {
    /// Given back before the body goes.
    pub charge: Charge,
    pub version: u64,
    pub not_modified: bool,
    pub body: Body,
}

/// What an answer holds of the budget. It is given back when this is dropped.
#[derive(Debug)]
pub struct Charge {
    reads: Reads,
    held: Mutex<Held>,
}

impl Reads {
    /// Bytes that answers hold.
    pub fn bytes(&self) -> usize {
        lock(&self.0).used()
    }

    /// Lets an answer in, if there is room for it.
    pub fn admit(&self, got: Got, at: &str) -> Result<Answer, Refusal> {
        let held = held(&got.body);
        if !lock(&self.0).admit(held) {
            return Err(full(at));
        }
        let Got { version, not_modified, body } = got;
        let charge = Charge { reads: self.clone(), held: Mutex::new(held) };
        Ok(Answer { charge, version, not_modified, body })
    }
}

impl Answer {
    /// Adds entries of a Map that comes in pieces, if there is room for them.
    pub fn extend(&mut self, more: &Map, at: &str) -> Result<(), Refusal> {
        if let Body::Map(map) = &mut self.body {
            map.append(more);
        }
        self.charge.hold(held(&self.body), at)
    }
}

impl Charge {
    /// So many bytes of text are held beside the snapshot, if that is held still.
    pub fn holds(&self, bytes: usize, at: &str) -> Result<(), Refusal> {
        let Held { snapshot, .. } = *lock(&self.held);
        self.hold(Held { own: bytes.max(ANSWER_BYTES), snapshot }, at)
    }

    /// The snapshot is let go; what is held is a text of so many bytes, which is there already: where the budget has no
    /// room for one that is longer than the state was in memory, it counts as that.
    pub fn is_text(&self, bytes: usize) {
        self.change(Held { own: bytes.max(ANSWER_BYTES), snapshot: None });
    }

    /// The snapshot is let go; the last pieces are not.
    pub fn is_written(&self) {
        let Held { own, .. } = *lock(&self.held);
        self.change(Held { own, snapshot: None });
    }

    fn hold(&self, to: Held, at: &str) -> Result<(), Refusal> {
        if self.change(to) { Ok(()) } else { Err(full(at)) }
    }

    fn change(&self, to: Held) -> bool {
        let mut held = lock(&self.held);
        let fits = lock(&self.reads.0).change(*held, to);
        if fits {
            *held = to;
        }
        fits
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        lock(&self.reads.0).release(*lock(&self.held));
    }
}

/// A piece of an answer, which is charged as long as a connection holds it.
pub fn piece(text: impl AsRef<[u8]> + Send + 'static, charge: Arc<Charge>) -> Bytes {
    struct Piece<T>(T, #[expect(dead_code, reason = "it is held")] Arc<Charge>);
    impl<T: AsRef<[u8]>> AsRef<[u8]> for Piece<T> {
        fn as_ref(&self) -> &[u8] {
            self.0.as_ref()
        }
    }
    Bytes::from_owner(Piece(text, charge))
}

fn held(body: &Body) -> Held {
    match body {
        Body::Value(value) => Held { own: ANSWER_BYTES + value.heap_bytes(), snapshot: None },
        Body::Map(map) => {
            let snapshot = Snapshot { identity: map.identity(), bytes: map.bytes() };
            Held { own: ANSWER_BYTES + map.bytes().min(PIECES_BYTES), snapshot: Some(snapshot) }
        }
    }
}

fn full(at: &str) -> Refusal {
    Refusal::full("answers to reads that were not taken yet use up this node's memory for them", at)
}
