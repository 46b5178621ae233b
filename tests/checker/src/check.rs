//! The check of a whole history.

use crate::facts::Facts;
use crate::history::{Final, History};
use crate::seen::Sights;
use crate::violation::Violation;
use crate::{folds, items, states};

impl History {
    /// What is broken. `finals` are the states that were read when everything had healed and watchers had been given the
    /// time to be told all of it; a lane may be among them once for each node.
    pub fn check(&self, finals: &[Final]) -> Vec<Violation> {
        let mut facts = Facts::new(self, finals);
        let mut sights = Sights::new(&mut facts);
        let courses = folds::courses(&facts);
        folds::check(&mut facts, &mut sights, &courses);
        states::check(&mut facts, &mut sights);
        items::check(&mut facts, &courses);
        facts.violations
    }
}
