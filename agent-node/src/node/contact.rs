//! Whether a node is cut off: it has heard of neither another node nor the operator for a while.

/// So long without contact, and clients are better served elsewhere.
const CUT_OFF_MS: u64 = 10_000;

#[derive(Debug)]
pub struct Contact {
    /// When there was contact last.
    last_ms: u64,
    is_cut_off: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    CutOff,
    Back,
}

impl Contact {
    pub fn new(now_ms: u64) -> Contact {
        Contact { last_ms: now_ms, is_cut_off: false }
    }

    pub fn look(&mut self, reached: bool, now_ms: u64) -> Option<Turn> {
        if reached {
            self.last_ms = now_ms;
        }
        let is_cut_off = now_ms >= self.last_ms + CUT_OFF_MS;
        let turn = if is_cut_off { Turn::CutOff } else { Turn::Back };
        (std::mem::replace(&mut self.is_cut_off, is_cut_off) != is_cut_off).then_some(turn)
    }

    pub fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_seconds_without_anyone_are_told_once_and_so_is_the_end() {
        let mut contact = Contact::new(1_000);
        let looks = [
            (2_000, false, None),
            (10_999, false, None),
            (11_000, false, Some(Turn::CutOff)),
            (50_000, false, None),
            (50_100, true, Some(Turn::Back)),
            (50_200, false, None),
            (60_099, false, None),
            (60_100, false, Some(Turn::CutOff)),
        ];
        for (now_ms, reached, turn) in looks {
            assert_eq!(contact.look(reached, now_ms), turn, "at {now_ms}");
        }
        assert!(contact.is_cut_off());
    }
}
