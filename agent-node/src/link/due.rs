//! Which lanes have something new for one stream of links: each stands in the list at most once, however often it
//! changes.

use crate::lock::lock;
use crate::map::Stamp;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

/// Lanes of one stream that have something for it. Places are the stream's own numbers of its lanes.
#[derive(Debug, Default)]
pub struct Due {
    places: Mutex<VecDeque<u32>>,
    came: Notify,
}

/// By which a lane tells one stream that it has changed.
#[derive(Debug)]
pub struct Mark {
    due: Arc<Due>,
    place: u32,
    /// [`CLEAR`], [`DUE`] or [`PARKED`].
    state: AtomicU8,
    /// All links of the stream have passed this position: version and index.
    passed: (AtomicU64, AtomicU32),
    /// Some link of the stream waits for an answer of the lane's owner.
    awaits: AtomicBool,
}

/// The stream has looked.
const CLEAR: u8 = 0;
/// The place stands in the list.
const DUE: u8 = 1;
/// The stream has looked, can't go on, and is not told of changes.
const PARKED: u8 = 2;

impl Due {
    fn push(&self, place: u32) {
        let mut places = self.lock();
        let first = places.is_empty();
        places.push_back(place);
        drop(places);
        if first {
            self.came.notify_one();
        }
    }

    pub fn pop(&self) -> Option<u32> {
        self.lock().pop_front()
    }

    /// There is something to say beside what lanes say.
    pub fn wake(&self) {
        self.came.notify_one();
    }

    /// Waits until something may have come.
    pub async fn came(&self) {
        self.came.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<u32>> {
        lock(&self.places)
    }
}

impl Mark {
    pub fn new(due: Arc<Due>, place: u32) -> Mark {
        let (state, awaits) = (AtomicU8::new(CLEAR), AtomicBool::new(false));
        let passed = (AtomicU64::new(0), AtomicU32::new(0));
        Mark { due, place, state, passed, awaits }
    }

    /// The stream will look. Says whether that is new to it.
    pub fn set(&self) -> bool {
        let new = self.state.load(Ordering::Acquire) == CLEAR && self.turn(CLEAR, DUE);
        if new {
            self.due.push(self.place);
        }
        new
    }

    /// The stream looks, even if it had parked: it has got credit, or what there is to say needs none.
    pub fn rouse(&self) {
        if self.state.swap(DUE, Ordering::AcqRel) != DUE {
            self.due.push(self.place);
        }
    }

    /// The stream looks now.
    pub fn clear(&self) {
        self.state.store(CLEAR, Ordering::Release);
    }

    /// The stream has looked, can't go on, and needs not be told; false: it was told in between.
    pub fn park(&self) -> bool {
        self.turn(CLEAR, PARKED)
    }

    fn turn(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Set and read under the lock of the lane.
    pub fn pass(&self, position: Stamp) {
        self.passed.0.store(position.version, Ordering::Relaxed);
        self.passed.1.store(position.index, Ordering::Relaxed);
    }

    pub fn passed(&self) -> Stamp {
        let (version, index) = &self.passed;
        Stamp { version: version.load(Ordering::Relaxed), index: index.load(Ordering::Relaxed) }
    }

    /// Set and read under the lock of the lane.
    pub fn set_awaits(&self, awaits: bool) {
        self.awaits.store(awaits, Ordering::Relaxed);
    }

    pub fn awaits(&self) -> bool {
        self.awaits.load(Ordering::Relaxed)
    }
}
