//! What nodes have said when they were asked, from one look to the next.
//!
//! *Guarantees.* One question that a node misses, while its pod is the same one and passes its readiness, changes
//! nothing: what the node said before stands in for it once. A second one in a row counts.

use crate::observed::{Answer, Life, Pod, Silence};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// By ordinal, with the uid of the pod that has said it.
    answers: BTreeMap<u16, (String, Answer)>,
    missed: BTreeSet<u16>,
}

impl Heard {
    /// What is known after these answers of nodes with these pods.
    #[must_use]
    pub fn next(&self, pods: &BTreeMap<u16, Pod>, answers: BTreeMap<u16, Answer>) -> Heard {
        let mut next = Heard::default();
        for (ordinal, answer) in answers {
            let Some(pod) = pods.get(&ordinal) else { continue };
            let is_missed = answer == Err(Silence::Unreached);
            let answer = match self.before(ordinal, pod).filter(|_| is_missed) {
                Some(before) => before,
                None => answer,
            };
            if is_missed {
                next.missed.insert(ordinal);
            }
            next.answers.insert(ordinal, (pod.uid.clone(), answer));
        }
        next
    }

    /// What stands in for one answer that is missed.
    fn before(&self, ordinal: u16, pod: &Pod) -> Option<Answer> {
        let (uid, answer) = self.answers.get(&ordinal)?;
        let stands = *uid == pod.uid && pod.life == Life::Ready && !self.missed.contains(&ordinal);
        (stands && answer.is_ok()).then(|| answer.clone())
    }

    /// What this node has said stands in for nothing any more.
    pub fn forget(&mut self, ordinal: u16) {
        self.answers.remove(&ordinal);
    }

    pub fn answers(&self) -> BTreeMap<u16, Answer> {
        self.answers.iter().map(|(ordinal, (_, answer))| (*ordinal, answer.clone())).collect()
    }

    /// What one of these has said stands in for an answer that is missing.
    pub fn stood_in(&self) -> BTreeSet<u16> {
        let stood_in = |ordinal: &&u16| self.answers.get(*ordinal).is_some_and(|(_, answer)| answer.is_ok());
        self.missed.iter().filter(stood_in).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    /// What node 1 of three is taken to have said, question by question: `=` answers, `-` does not, `#` has another pod
    /// that does not, `u` is unready and does not.
    fn check(questions: &str, expected: &str) {
        let seen = World::settled().seen();
        let mut heard = Heard::default();
        let mut taken = String::new();
        for question in questions.chars() {
            let (mut pods, mut answers) = (seen.objects.pods.clone(), seen.answers.clone());
            let pod = pods.get_mut(&1).unwrap();
            match question {
                '#' => pod.uid = "another".into(),
                'u' => pod.life = Life::Starting,
                _ => {}
            }
            if question != '=' {
                answers.insert(1, Err(Silence::Unreached));
            }
            heard = heard.next(&pods, answers);
            assert_eq!(heard.answers().len(), 3);
            taken.push(match (heard.answers()[&1].is_ok(), heard.stood_in().contains(&1)) {
                (true, false) => '=',
                (true, true) => '~',
                (false, _) => '-',
            });
        }
        assert_eq!(taken, expected, "{questions}");
    }

    #[test]
    fn one_missed_answer_changes_nothing_and_two_in_a_row_do() {
        check("=-=-=", "=~=~=");
        check("=--=", "=~-=");
        check("=----", "=~---");
        check("-=", "-=");
        check("--", "--");
        check("=#", "=-");
        check("=u", "=-");
    }
}
