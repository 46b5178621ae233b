//! The time, for what a node decides by it. A test may set it for its own thread.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Does not go back.
pub fn now() -> Instant {
    #[cfg(test)]
    if let Some((now, _)) = simulated::now() {
        return now;
    }
    Instant::now()
}

/// The wall clock, in milliseconds since 1970. It may go back.
pub fn wall_ms() -> u64 {
    #[cfg(test)]
    if let Some((_, wall_ms)) = simulated::now() {
        return wall_ms;
    }
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
pub mod simulated {
    use std::cell::Cell;
    use std::time::Instant;

    thread_local! {
        static NOW: Cell<Option<(Instant, u64)>> = const { Cell::new(None) };
    }

    pub fn now() -> Option<(Instant, u64)> {
        NOW.get()
    }

    /// What this thread takes for the time from now on; `None`: that of the operating system.
    pub fn set(now: Option<(Instant, u64)>) {
        NOW.set(now);
    }
}
