//! What a slot remembers of one client's numbered commands, so that none has a second effect.
//!
//! *Guarantees*: the answers of the 1,024 highest sequences that took effect are there, and the highest that fell out is
//! the floor. The 1,024 highest that were refused may run again, wherever the floor is; a sequence below the floor is
//! said to be done only if it lies above all refused ones that were forgotten. Memory grows with the answers, up to
//! 8 KiB, since sequences are kept as differences of 32 bits and versions of 31; where they lie further apart than that,
//! it is twice as much. It grows with the refusals up to 8 KiB more. What rules have said in an answer is not kept here,
//! but that they have.

mod saved;

use std::collections::VecDeque;

const ANSWERS: usize = 1024;
const REFUSED: usize = 1024;
/// There is room for so many at first.
const FIRST: usize = 4;

#[derive(Debug, Default, PartialEq)]
pub struct Window {
    floor: u64,
    answers: Option<Box<Answers>>,
    /// Those that were refused and may run.
    refused: Option<Box<Refused>>,
    /// The highest that was refused and is not among them any more.
    forgotten: u64,
}

/// Sequences, in order.
#[derive(Debug, Default, PartialEq)]
struct Refused {
    sequences: VecDeque<u64>,
}

/// By sequence.
#[derive(Debug, PartialEq)]
enum Answers {
    Near(Near),
    Far(VecDeque<(u64, Mark)>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Answer {
    sequence: u64,
    version: u64,
    /// A rule has said something in it.
    is_said: bool,
}

/// A version, and in the lowest bit whether a rule has said something: a version has 56 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mark(u64);

#[derive(Debug, PartialEq)]
struct Near {
    /// None is lower.
    sequence: u64,
    version: u64,
    /// Sequences and marks, from these two.
    differences: VecDeque<(u32, u32)>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Known {
    /// It may run.
    New,
    /// It was done.
    Done {
        version: u64,
        /// A rule has said something in the answer.
        is_said: bool,
    },
    /// It was done; with which version is forgotten.
    DoneBefore,
    /// Whether it was done is forgotten.
    Forgotten,
}

impl Window {
    pub fn look(&self, sequence: u64) -> Known {
        if sequence <= self.floor {
            return if self.has_refused(sequence) {
                Known::New
            } else if sequence <= self.forgotten {
                Known::Forgotten
            } else {
                Known::DoneBefore
            };
        }
        let Some(answers) = &self.answers else { return Known::New };
        answers.find(sequence).map_or(Known::New, |place| {
            let Answer { version, is_said, .. } = answers.get(place);
            Known::Done { version, is_said }
        })
    }

    /// It took effect, and `is_said`: a rule has said something in the answer. Gives the version whose answer nobody can
    /// ask for any more.
    pub fn settle(&mut self, sequence: u64, version: u64, is_said: bool) -> Option<u64> {
        let said = |answer: Answer| answer.is_said.then_some(answer.version);
        let answer = Answer { sequence, version, is_said };
        if let Some(Refused { sequences }) = self.refused.as_deref_mut()
            && let Ok(place) = sequences.binary_search(&sequence)
        {
            sequences.remove(place);
        }
        // It had been refused.
        if sequence <= self.floor {
            return said(answer);
        }
        let answers = self.answers.get_or_insert_with(|| Box::new(Answers::begin(answer)));
        let Err(mut place) = answers.find(sequence) else { return said(answer) };
        let mut gone = None;
        if answers.len() == ANSWERS {
            if place == 0 {
                self.floor = sequence;
                return said(answer);
            }
            let first = answers.get(0);
            (self.floor, gone) = (first.sequence, said(first));
            answers.drop_first();
            place -= 1;
        }
        answers.insert(place, answer);
        gone
    }

    /// The versions of answers in which a rule has said something.
    pub fn said(&self) -> impl Iterator<Item = u64> {
        let all = self.answers.iter().flat_map(|answers| answers.all());
        all.filter(|answer| answer.is_said).map(|answer| answer.version)
    }

    /// It was refused, and may run later.
    pub fn refuse(&mut self, sequence: u64) {
        if self.look(sequence) != Known::New {
            return;
        }
        let Refused { sequences } = &mut **self.refused.get_or_insert_default();
        let Err(mut place) = sequences.binary_search(&sequence) else { return };
        if sequences.len() == REFUSED {
            let lowest = if place == 0 { Some(sequence) } else { sequences.pop_front() };
            self.forgotten = self.forgotten.max(lowest.unwrap_or(0));
            if place == 0 {
                return;
            }
            place -= 1;
        }
        insert(sequences, place, sequence);
    }

    /// Whether it was refused and may run.
    pub fn has_refused(&self, sequence: u64) -> bool {
        self.refused.as_ref().is_some_and(|refused| refused.sequences.binary_search(&sequence).is_ok())
    }

    /// It was refused, and there is no room to keep that by itself.
    pub fn forget(&mut self, sequence: u64) {
        if self.look(sequence) == Known::New {
            self.forgotten = self.forgotten.max(sequence);
        }
    }

    /// Keeps the highest sequence that took effect, and the highest that was refused.
    pub fn fall_back(&mut self) {
        if let Some(answers) = self.answers.take() {
            self.floor = answers.get(answers.len() - 1).sequence;
        }
        if let Some(refused) = self.refused.take() {
            self.forgotten = self.forgotten.max(refused.sequences.back().copied().unwrap_or(0));
        }
    }

    /// Whether it keeps more than it does after [`Window::fall_back`].
    pub fn is_active(&self) -> bool {
        self.answers.is_some() || self.refused.is_some()
    }

    /// What its answers and refusals take of the memory.
    pub fn bytes(&self) -> usize {
        let answers = self.answers.as_ref().map_or(0, |answers| answers.bytes());
        answers + self.refused.as_ref().map_or(0, |refused| Refused::memory(refused.sequences.capacity()))
    }

    /// How many bytes more it takes once this one is settled.
    pub fn growth(&self, sequence: u64, version: u64) -> usize {
        let Some(answers) = &self.answers else { return Answers::memory(FIRST, false) };
        let capacity = answers.capacity() + added(answers.len(), answers.capacity());
        let is_far =
            answers.is_far() || !answers.fits(sequence, version) && answers.base(sequence, version).is_none();
        Answers::memory(capacity, is_far) - answers.bytes()
    }

    /// How many bytes more it takes once one more is refused.
    pub fn growth_of_refused(&self) -> usize {
        let Some(Refused { sequences }) = self.refused.as_deref() else { return Refused::memory(FIRST) };
        added(sequences.len(), sequences.capacity()) * size_of::<u64>()
    }
}

impl Refused {
    /// What so many take of the memory.
    fn memory(capacity: usize) -> usize {
        size_of::<Refused>() + capacity * size_of::<u64>()
    }
}

/// What a queue grows by before one more is put into it.
fn added(length: usize, capacity: usize) -> usize {
    if length < capacity || length >= ANSWERS { 0 } else { length.max(FIRST).min(ANSWERS - length) }
}

fn insert<T>(queue: &mut VecDeque<T>, place: usize, one: T) {
    let added = added(queue.len(), queue.capacity());
    if added > 0 {
        queue.reserve_exact(added);
    }
    queue.insert(place, one);
}

impl Mark {
    fn of(Answer { version, is_said, .. }: Answer) -> Mark {
        Mark(version << 1 | u64::from(is_said))
    }

    fn answer(self, sequence: u64) -> Answer {
        Answer { sequence, version: self.0 >> 1, is_said: self.0 & 1 == 1 }
    }
}

impl Answers {
    fn begin(Answer { sequence, version, .. }: Answer) -> Answers {
        Answers::Near(Near { sequence, version, differences: VecDeque::new() })
    }

    fn is_far(&self) -> bool {
        matches!(self, Answers::Far(_))
    }

    fn len(&self) -> usize {
        match self {
            Answers::Near(near) => near.differences.len(),
            Answers::Far(answers) => answers.len(),
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Answers::Near(near) => near.differences.capacity(),
            Answers::Far(answers) => answers.capacity(),
        }
    }

    fn bytes(&self) -> usize {
        Answers::memory(self.capacity(), self.is_far())
    }

    /// What so many take of the memory.
    fn memory(capacity: usize, is_far: bool) -> usize {
        let one = if is_far { size_of::<(u64, Mark)>() } else { size_of::<(u32, u32)>() };
        size_of::<Answers>() + capacity * one
    }

    fn get(&self, place: usize) -> Answer {
        match self {
            Answers::Near(near) => near.whole(near.differences[place]),
            Answers::Far(answers) => answers[place].1.answer(answers[place].0),
        }
    }

    /// The place of a sequence, or the one where it belongs.
    fn find(&self, sequence: u64) -> Result<usize, usize> {
        match self.len().checked_sub(1) {
            None => Err(0),
            Some(last) if self.get(last).sequence < sequence => Err(last + 1),
            Some(_) => match self {
                Answers::Near(near) => near
                    .differences
                    .binary_search_by_key(&sequence, |difference| near.whole(*difference).sequence),
                Answers::Far(answers) => answers.binary_search_by_key(&sequence, |answer| answer.0),
            },
        }
    }

    fn drop_first(&mut self) {
        match self {
            Answers::Near(near) => near.differences.pop_front().is_some(),
            Answers::Far(answers) => answers.pop_front().is_some(),
        };
    }

    fn insert(&mut self, place: usize, answer: Answer) {
        if !self.fits(answer.sequence, answer.version) {
            *self = self.moved(answer);
        }
        match self {
            Answers::Near(near) => {
                let one = near.difference(answer);
                insert(&mut near.differences, place, one);
            }
            Answers::Far(answers) => insert(answers, place, (answer.sequence, Mark::of(answer))),
        }
    }

    fn fits(&self, sequence: u64, version: u64) -> bool {
        match self {
            Answers::Near(near) => is_near((near.sequence, near.version), (sequence, version)),
            Answers::Far(_) => true,
        }
    }

    fn all(&self) -> impl Iterator<Item = Answer> {
        (0..self.len()).map(|place| self.get(place))
    }

    /// The lowest sequence and version, these two among them, if none is too far from them.
    fn base(&self, sequence: u64, version: u64) -> Option<(u64, u64)> {
        let (mut low, mut high) = ((sequence, version), (sequence, version));
        for Answer { sequence, version, .. } in self.all() {
            low = (low.0.min(sequence), low.1.min(version));
            high = (high.0.max(sequence), high.1.max(version));
        }
        is_near(low, high).then_some(low)
    }

    /// The same answers, so that this one fits among them.
    fn moved(&self, answer: Answer) -> Answers {
        let Some((sequence, version)) = self.base(answer.sequence, answer.version) else {
            let mut answers = VecDeque::with_capacity(self.capacity());
            answers.extend(self.all().map(|answer| (answer.sequence, Mark::of(answer))));
            return Answers::Far(answers);
        };
        let mut near = Near { sequence, version, differences: VecDeque::new() };
        let mut differences = VecDeque::with_capacity(self.capacity());
        differences.extend(self.all().map(|answer| near.difference(answer)));
        near.differences = differences;
        Answers::Near(near)
    }
}

/// Whether a sequence and a version can be kept as differences from these.
fn is_near(from: (u64, u64), to: (u64, u64)) -> bool {
    let fits = |from: u64, to: u64, most: u32| to.checked_sub(from).is_some_and(|more| more <= most.into());
    fits(from.0, to.0, u32::MAX) && fits(from.1, to.1, u32::MAX >> 1)
}

impl Near {
    fn whole(&self, (sequence, mark): (u32, u32)) -> Answer {
        Mark((self.version << 1) + u64::from(mark)).answer(self.sequence + u64::from(sequence))
    }

    /// It fits.
    fn difference(&self, answer: Answer) -> (u32, u32) {
        let mark = Mark::of(answer).0 - (self.version << 1);
        ((answer.sequence - self.sequence) as u32, mark as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn a_full_window_takes_8_kib_and_no_more_for_what_comes_after() {
        let mut window = Window::default();
        for sequence in 1..=5_000_u64 {
            let growth = window.growth(sequence, 7 * sequence);
            let before = window.bytes();
            let gone = window.settle(sequence, 7 * sequence, sequence % 3 == 0);
            let fell_out = sequence.saturating_sub(1_024);
            assert_eq!(gone, (fell_out > 0 && fell_out % 3 == 0).then_some(7 * fell_out));
            assert_eq!(window.bytes(), before + growth, "at {sequence}");
            assert!(window.bytes() <= size_of::<Answers>() + (8 << 10), "{}", window.bytes());
            assert!(sequence <= 1_024 || growth == 0, "at {sequence}");
        }
        assert_eq!(window.look(5_000 - 1_024), Known::DoneBefore);
        let last = 5_000 - 1_023;
        assert_eq!(window.look(last), Known::Done { version: 7 * last, is_said: last % 3 == 0 });
        assert_eq!(window.said().count(), (last..=5_000).filter(|sequence| sequence % 3 == 0).count());
    }

    /// Sequences near to each other, or as far as can be; versions of one history or of several.
    fn command() -> impl Strategy<Value = (u64, u64)> {
        let sequence = prop_oneof![
            8 => 1..3_000_u64,
            1 => (1 << 32) - 40..(1_u64 << 32) + 40,
            1 => 1..1_u64 << 62,
        ];
        let step = prop_oneof![
            8 => 1..100_u64,
            1 => (1_u64 << 31) - 1..=1 << 31,
            1 => Just(1 << 32),
            1 => Just(1 << 40),
        ];
        (sequence, step)
    }

    proptest! {
        /// The window against one that keeps everything.
        #[test]
        fn it_knows_the_highest_and_nothing_lower(
            commands in proptest::collection::vec((command(), proptest::bool::weighted(0.4)), 1..3_000)
        ) {
            let (mut window, mut all, mut floor) = (Window::default(), BTreeMap::new(), 0);
            let (mut refused, mut forgotten) = (BTreeSet::new(), 0);
            let mut version = 5 << 40;
            for ((sequence, step), is_refused) in commands {
                let expected = match all.get(&sequence) {
                    _ if refused.contains(&sequence) => Known::New,
                    _ if sequence <= floor && sequence <= forgotten => Known::Forgotten,
                    _ if sequence <= floor => Known::DoneBefore,
                    Some((version, is_said)) => Known::Done { version: *version, is_said: *is_said },
                    None => Known::New,
                };
                prop_assert_eq!(window.look(sequence), expected);
                if window.look(sequence) == Known::New && is_refused {
                    let bytes = window.bytes() + window.growth_of_refused();
                    window.refuse(sequence);
                    prop_assert!(window.bytes() <= bytes);
                    refused.insert(sequence);
                    while refused.len() > REFUSED {
                        forgotten = forgotten.max(refused.pop_first().unwrap());
                    }
                } else if window.look(sequence) == Known::New {
                    if refused.remove(&sequence) && sequence <= floor {
                        // That it was done is all that is kept of it.
                        prop_assert_eq!(window.settle(sequence, version, true), Some(version));
                        continue;
                    }
                    version += step;
                    let bytes = window.bytes() + window.growth(sequence, version);
                    let is_said = step % 3 == 0;
                    let gone = window.settle(sequence, version, is_said);
                    prop_assert!(window.bytes() <= bytes);
                    all.insert(sequence, (version, is_said));
                    let first = if all.len() > ANSWERS { all.pop_first() } else { None };
                    floor = first.map_or(floor, |(sequence, _)| sequence);
                    prop_assert_eq!(gone, first.and_then(|(_, (version, is_said))| is_said.then_some(version)));
                }
            }
            for (sequence, (version, is_said)) in &all {
                prop_assert_eq!(window.look(*sequence), Known::Done { version: *version, is_said: *is_said });
            }
            let said = all.values().filter(|(_, is_said)| *is_said).map(|(version, _)| *version);
            prop_assert_eq!(window.said().collect::<Vec<_>>(), said.collect::<Vec<_>>());
            window.fall_back();
            forgotten = refused.last().copied().unwrap_or(0).max(forgotten);
            if let Some((highest, _)) = all.last_key_value() {
                let expected = if *highest <= forgotten { Known::Forgotten } else { Known::DoneBefore };
                prop_assert_eq!(window.look(*highest), expected);
                prop_assert_eq!(window.look(highest + 1), Known::New);
            }
            prop_assert_eq!(window.bytes(), 0);
        }
    }
}
