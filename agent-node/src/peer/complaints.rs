//! Decides how often a fault that strangers can repeat is logged.

use proto::trust::FAULTS;

/// Between two lines of one kind in the log.
const PAUSE_MS: u64 = 60_000;

/// What strangers do is logged at once, and then once a minute with how often it was.
#[derive(Debug, Default)]
pub struct Complaints {
    kinds: [Complaint; FAULTS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Complaint {
    said_at_ms: Option<u64>,
    unsaid: u64,
}

impl Complaints {
    /// Whether it is to be said now, and how many before it were not.
    pub fn note(&mut self, kind: usize, now_ms: u64) -> Option<u64> {
        let complaint = &mut self.kinds[kind];
        if complaint.said_at_ms.is_some_and(|said| now_ms < said + PAUSE_MS) {
            complaint.unsaid += 1;
            return None;
        }
        complaint.said_at_ms = Some(now_ms);
        Some(std::mem::take(&mut complaint.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_a_minute_and_hides_no_other_kind() {
        let mut complaints = Complaints::default();
        for (kind, now_ms, expected) in [
            (2, 0, Some(0)),
            (2, 1, None),
            (2, 59_999, None),
            (1, 59_999, Some(0)),
            (2, 60_000, Some(2)),
            (2, 60_001, None),
            (2, 500_000, Some(1)),
            (2, 600_000, Some(0)),
        ] {
            assert_eq!(complaints.note(kind, now_ms), expected, "{kind} at {now_ms}");
        }
    }
}
