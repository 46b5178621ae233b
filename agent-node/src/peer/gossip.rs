//! How plan and ring go round between nodes: decides, for one side of one stream, who asks whom.

use super::Numbers;
use super::wire::Batch;
use crate::peer::Configuration;

#[derive(Debug, Default)]
pub struct Gossip {
    /// What the other side was told that we have.
    told: Numbers,
    /// What it had when it was asked for it: it is not asked twice for the same.
    asked: Numbers,
    wants: bool,
    gives: bool,
}

impl Gossip {
    /// A frame came; `theirs` is what its sender has.
    pub fn heard(&mut self, ours: Numbers, theirs: Numbers, wants_configuration: bool) {
        if ours.behind(theirs) && self.asked != theirs {
            self.asked = theirs;
            self.wants = true;
        }
        self.gives |= wants_configuration;
    }

    /// Adds what has to be said.
    pub fn compose(&mut self, ours: Numbers, has: Option<&Configuration>, batch: &mut Batch) {
        if std::mem::replace(&mut self.told, ours) != ours {
            batch.numbers();
        }
        if std::mem::take(&mut self.wants) {
            batch.want_configuration();
        }
        if std::mem::take(&mut self.gives)
            && let Some(has) = has
        {
            batch.configuration(has.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::wire::peer::Frame;

    fn numbers(revision: u64, generation: u64) -> Numbers {
        Numbers { revision, generation }
    }

    fn said(gossip: &mut Gossip, ours: Numbers) -> Option<Frame> {
        let (plan_name, plan_uid, generation) = ("p".into(), "u".into(), ours.generation);
        let (spec, ring, peers, adopted_by) = ("{}".into(), "r".into(), vec![], String::new());
        let has = Configuration { plan_name, plan_uid, generation, spec, ring, peers, adopted_by };
        let mut batch = Batch::default();
        gossip.compose(ours, Some(&has), &mut batch);
        (!batch.is_empty()).then(|| batch.finish(ours))
    }

    #[test]
    fn who_is_behind_asks_once_for_what_the_other_has() {
        let mut gossip = Gossip { told: numbers(3, 1), ..Gossip::default() };
        let ours = numbers(3, 1);
        for (theirs, expected) in [
            (numbers(3, 1), false),
            (numbers(2, 1), false),
            (numbers(4, 1), true),
            (numbers(4, 1), false),
            (numbers(4, 2), true),
            (numbers(3, 2), true),
        ] {
            gossip.heard(ours, theirs, false);
            let asks = said(&mut gossip, ours).is_some_and(|frame| frame.want_configuration);
            assert_eq!(asks, expected, "{theirs:?}");
        }
    }

    #[test]
    fn who_is_asked_gives_and_a_new_one_is_told_unasked() {
        let mut gossip = Gossip { told: numbers(3, 1), ..Gossip::default() };
        gossip.heard(numbers(3, 1), numbers(2, 1), true);
        assert!(said(&mut gossip, numbers(3, 1)).unwrap().configuration.is_some());
        assert_eq!(said(&mut gossip, numbers(3, 1)), None);
        assert_eq!(said(&mut gossip, numbers(9, 1)).unwrap().revision, 9);
        assert_eq!(said(&mut gossip, numbers(9, 1)), None);
    }
}
