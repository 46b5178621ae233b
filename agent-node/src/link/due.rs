//! Which lanes have something new for one stream of links: each stands in the list at most once, however often it
//! changes; only one whose links end is put there again, and is looked at once more in vain.

use crate::lock::lock;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    /// The stream knows, and has not looked yet.
    is_set: AtomicBool,
    /// All links of the stream have passed this order.
    passed: AtomicU64,
}

impl Due {
    pub fn push(&self, place: u32) {
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
        Mark { due, place, is_set: AtomicBool::new(false), passed: AtomicU64::new(0) }
    }

    /// The stream will look. Says whether that is new to it.
    pub fn set(&self) -> bool {
        let new = !self.is_set.load(Ordering::Acquire) && !self.is_set.swap(true, Ordering::AcqRel);
        if new {
            self.due.push(self.place);
        }
        new
    }

    /// The stream looks, even if it had parked: what there is to say needs no credit.
    pub fn rouse(&self) {
        self.is_set.store(true, Ordering::Release);
        self.due.push(self.place);
    }

    /// The stream looks now.
    pub fn clear(&self) {
        self.is_set.store(false, Ordering::Release);
    }

    /// The stream has looked, can't go on, and needs not be told; false: it was told in between.
    pub fn park(&self) -> bool {
        !self.is_set.swap(true, Ordering::AcqRel)
    }

    /// A parked stream can go on.
    pub fn unpark(&self) {
        self.due.push(self.place);
    }

    pub fn pass(&self, order: u64) {
        self.passed.store(order, Ordering::Release);
    }

    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Acquire)
    }
}
