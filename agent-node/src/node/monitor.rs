//! A lock on which one thread sleeps until it is woken or a time has come.
//!
//! The inbox is generic over it, so that a model checker, which brings its own lock and its own clock, runs the very
//! code that a node runs.

use crate::clock;
use std::ops::DerefMut;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub trait Monitor<T> {
    type Guard<'a>: DerefMut<Target = T>
    where
        Self: 'a,
        T: 'a;

    fn new(state: T) -> Self;
    fn lock(&self) -> Self::Guard<'_>;
    fn now(&self) -> Instant;
    /// Gives the lock back until the thread is woken or the time has come. It may return earlier.
    fn sleep<'a>(&'a self, guard: Self::Guard<'a>, until: Instant) -> Self::Guard<'a>;
    /// Wakes the thread that sleeps.
    fn wake(&self);
}

/// The operating system's.
#[derive(Debug)]
pub struct Blocking<T> {
    state: Mutex<T>,
    woken: Condvar,
}

impl<T> Monitor<T> for Blocking<T> {
    type Guard<'a>
        = MutexGuard<'a, T>
    where
        T: 'a;

    fn new(state: T) -> Self {
        Blocking { state: Mutex::new(state), woken: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        crate::lock::lock(&self.state)
    }

    fn now(&self) -> Instant {
        clock::now()
    }

    fn sleep<'a>(&'a self, guard: MutexGuard<'a, T>, until: Instant) -> MutexGuard<'a, T> {
        let left = until.saturating_duration_since(clock::now());
        self.woken.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0
    }

    fn wake(&self) {
        self.woken.notify_one();
    }
}
