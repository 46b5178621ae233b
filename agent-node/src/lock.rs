//! Mutexes of this program: one rule for all of them.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, whatever happened to the thread that had it before: a panic ends the node in another way.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
