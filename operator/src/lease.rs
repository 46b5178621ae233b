//! Which of several operators acts: the one whose name stands in the Lease.
//!
//! *Guarantees.* A holder stops acting before another may take the Lease from it, as long as their clocks run at the
//! same speed: what counts is how long this process has seen a Lease unchanged, never the time that stands in it.
//! *Assumptions.* Writes name the Lease's resource version, so that of two that write only one succeeds.

use std::time::Duration;

/// A Lease that nobody has renewed for so long may be taken.
pub const LEASE: Duration = Duration::from_secs(15);
/// The holder renews it this often.
pub const RENEW: Duration = Duration::from_secs(5);
/// The holder stops acting when it has not succeeded for so long.
pub const GIVE_UP: Duration = Duration::from_secs(10);
/// How often the others look at it.
pub const LOOK: Duration = Duration::from_secs(2);

/// What stands in the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Empty: the last holder has let it go.
    pub holder: String,
    pub resource_version: String,
    pub lease: Duration,
    pub transitions: i32,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Act {
    /// There is none: it is made.
    Create,
    /// It is ours already, from a process before this one of the same name, or free.
    Take { resource_version: String, transitions: i32 },
    /// Somebody holds it.
    Wait,
}

/// One that wants the Lease.
#[derive(Debug)]
pub struct Candidate {
    name: String,
    /// What it has seen last, and since when.
    seen: Option<(Held, Duration)>,
}

impl Candidate {
    pub fn new(name: impl Into<String>) -> Candidate {
        Candidate { name: name.into(), seen: None }
    }

    /// `now`: on any clock that only goes forward.
    pub fn look(&mut self, held: Option<Held>, now: Duration) -> Act {
        let Some(held) = held else {
            self.seen = None;
            return Act::Create;
        };
        let same = self.seen.as_ref().filter(|(seen, _)| *seen == held);
        let since = same.map_or(now, |(_, since)| *since);
        let is_free = held.holder.is_empty() || held.holder == self.name;
        let is_over = now.saturating_sub(since) > held.lease.max(LEASE);
        self.seen = Some((held.clone(), since));
        if is_free || is_over {
            let changes = i32::from(held.holder != self.name);
            let transitions = held.transitions.saturating_add(changes);
            return Act::Take { resource_version: held.resource_version, transitions };
        }
        Act::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn held(holder: &str, version: &str) -> Held {
        Held { holder: holder.into(), resource_version: version.into(), lease: LEASE, transitions: 3 }
    }

    fn acquire(version: &str, transitions: i32) -> Act {
        Act::Take { resource_version: version.into(), transitions }
    }

    #[test]
    fn a_lease_that_is_not_there_is_made_and_a_free_one_is_taken() {
        assert_eq!(Candidate::new("a").look(None, s(0)), Act::Create);
        assert_eq!(Candidate::new("a").look(Some(held("", "7")), s(0)), acquire("7", 4));
    }

    #[test]
    fn ones_own_is_taken_up_again_at_once() {
        assert_eq!(Candidate::new("a").look(Some(held("a", "7")), s(0)), acquire("7", 3));
    }

    #[test]
    fn anothers_is_taken_only_when_it_was_seen_unchanged_for_longer_than_it_lasts() {
        let mut candidate = Candidate::new("a");
        for now in [0, 5, 15] {
            assert_eq!(candidate.look(Some(held("b", "1")), s(now)), Act::Wait, "{now}");
        }
        // Renewed: it counts from here.
        for now in [16, 20, 31] {
            assert_eq!(candidate.look(Some(held("b", "2")), s(now)), Act::Wait, "{now}");
        }
        assert_eq!(candidate.look(Some(held("b", "2")), s(32)), acquire("2", 4));
    }

    #[test]
    fn a_longer_lease_of_another_version_is_waited_for() {
        let mut candidate = Candidate::new("a");
        let long = Held { lease: s(60), ..held("b", "1") };
        assert_eq!(candidate.look(Some(long.clone()), s(0)), Act::Wait);
        assert_eq!(candidate.look(Some(long.clone()), s(60)), Act::Wait);
        assert_eq!(candidate.look(Some(long), s(61)), acquire("1", 4));
    }

    #[test]
    fn a_holder_gives_up_before_another_may_take_over() {
        const { assert!(GIVE_UP.as_secs() < LEASE.as_secs() && RENEW.as_secs() < GIVE_UP.as_secs()) };
    }
}
