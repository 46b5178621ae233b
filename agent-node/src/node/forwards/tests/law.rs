//! Forwards against an owner that is full at times, over connections that break anywhere: whatever happens, a command
//! takes effect once at most, in order, nobody is told what is not so, and no stream sleeps over what it could send.

use super::*;
use crate::peer::admission::Admission;
use crate::shard::Key;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Versions are above all codes.
const DONE: i64 = 1_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Submit {
        stream: Stream,
        slot: Slot,
        keyed: bool,
    },
    /// More than own sequences may be ahead.
    Burst {
        slot: Slot,
    },
    /// The sender fills a frame.
    Take,
    /// So many of what is on the way reach the owner, and find room or not.
    Arrive {
        count: usize,
        room: bool,
        owner: bool,
    },
    Run {
        count: usize,
    },
    Answer {
        count: usize,
    },
    Break,
    Connect,
    Pass {
        ms: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_u64, 0..2_u16, any::<bool>())
            .prop_map(|(stream, slot, keyed)| Step::Submit { stream, slot, keyed }),
        1 => (0..2_u16).prop_map(|slot| Step::Burst { slot }),
        4 => Just(Step::Take),
        4 => (count(), prop::bool::weighted(0.85), prop::bool::weighted(0.9))
            .prop_map(|(count, room, owner)| Step::Arrive { count, room, owner }),
        3 => count().prop_map(|count| Step::Run { count }),
        3 => count().prop_map(|count| Step::Answer { count }),
        1 => Just(Step::Break),
        2 => Just(Step::Connect),
        2 => (1..900_u64).prop_map(|ms| Step::Pass { ms }),
    ]
}

fn count() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 1..6_usize, 1 => 500..1_500_usize]
}

/// The other side: what has come, what it has done, and what it says.
#[derive(Default)]
struct Owner {
    admission: Admission,
    /// Connection, id there, slot and key, which command it is.
    inbox: VecDeque<(u64, u64, (Slot, Key), u64)>,
    done: HashMap<(Slot, Key), u64>,
    /// Commands in the order of their effects.
    effects: Vec<u64>,
    answers: VecDeque<(u64, Result<u64, Refusal>)>,
    connection: u64,
    streams: u64,
}

#[derive(Default)]
struct Net {
    frames: VecDeque<Forward>,
    connected: bool,
}

struct Case {
    world: World,
    net: Net,
    owner: Owner,
    commands: Vec<(Stream, Slot)>,
    told: BTreeMap<u64, i64>,
}

impl Case {
    fn run(&mut self, step: Step) {
        match step {
            Step::Submit { stream, slot, keyed } => self.submit(stream, slot, keyed),
            Step::Burst { slot } => (0..1_200).for_each(|_| self.submit(1, slot, false)),
            Step::Take => self.net.frames.extend(self.world.taken(1)),
            Step::Arrive { count, room, owner } => self.arrive(count, room, owner),
            Step::Run { count } => self.effects(count),
            Step::Answer { count } => {
                for _ in 0..count {
                    let Some((id, end)) = self.owner.answers.pop_front() else { break };
                    self.world.settle(1, id, end);
                }
            }
            Step::Break if self.net.connected => {
                self.net = Net::default();
                self.owner.answers.clear();
                self.owner.admission = Admission::default();
                self.owner.connection += 1;
                self.world.disconnect(1);
            }
            Step::Connect if !self.net.connected => {
                self.net.connected = true;
                self.world.connect(1);
            }
            Step::Break | Step::Connect => {}
            Step::Pass { ms } => {
                self.world.pass(ms);
            }
        }
        for (id, said) in self.world.told() {
            assert_eq!(self.told.insert(id, said), None, "told twice");
        }
        if !self.world.is_woken(1) {
            assert_eq!(self.world.taken(1).len(), 0);
        }
    }

    fn submit(&mut self, stream: Stream, slot: Slot, keyed: bool) {
        let id = self.commands.len() as u64;
        self.commands.push((stream, slot));
        self.world.submit(id, stream, slot, keyed.then_some(id + 1));
    }

    fn arrive(&mut self, count: usize, room: bool, ours: bool) {
        let Owner { admission, inbox, answers, connection, streams, .. } = &mut self.owner;
        for _ in 0..count {
            let Some(forward) = self.net.frames.pop_front() else { break };
            // The body says which command it is.
            let command = String::from_utf8_lossy(&forward.command.body).parse().unwrap();
            let by = if ours { super::Owner::Here } else { super::Owner::Nobody };
            let new_stream = || {
                *streams += 1;
                *streams
            };
            match admission.admit(forward, by, (), new_stream) {
                Err((id, refusal)) => answers.push_back((id, Err(refusal))),
                Ok(admitted) if room => {
                    let key = (admitted.slot, admitted.key.unwrap());
                    inbox.push_back((*connection, admitted.id, key, command));
                }
                Ok(admitted) => {
                    let refusal = Refusal::full("no room", "");
                    admission.refused(admitted.stream, admitted.slot, &refusal);
                    answers.push_back((admitted.id, Err(refusal)));
                }
            }
        }
    }

    fn effects(&mut self, count: usize) {
        for _ in 0..count {
            let Some((connection, id, key, command)) = self.owner.inbox.pop_front() else { break };
            let version = *self.owner.done.entry(key).or_insert_with(|| {
                self.owner.effects.push(command);
                DONE as u64 + self.owner.effects.len() as u64
            });
            if connection == self.owner.connection {
                self.owner.answers.push_back((id, Ok(version)));
            }
        }
    }

    fn settle_all(&mut self) {
        for _ in 0..40 {
            for step in [
                Step::Connect,
                Step::Pass { ms: AGAIN_MS },
                Step::Take,
                Step::Arrive { count: 1_000, room: true, owner: true },
                Step::Run { count: 1_000 },
                Step::Answer { count: 1_000 },
            ] {
                self.run(step);
            }
        }
    }

    fn check(&self) {
        let effects = &self.owner.effects;
        let unique: std::collections::HashSet<_> = effects.iter().collect();
        assert_eq!(unique.len(), effects.len(), "a second effect");
        assert_eq!(self.told.len(), self.commands.len(), "somebody was not told");
        for (id, said) in &self.told {
            assert!(*said < 0 || unique.contains(id) == (*said >= DONE), "{id} was told {said}");
        }
        let mut next: HashMap<(Stream, Slot), VecDeque<u64>> = HashMap::new();
        for (id, of) in self.commands.iter().enumerate().filter(|(_, (stream, _))| *stream != 0) {
            next.entry(*of).or_default().push_back(id as u64);
        }
        for effect in effects {
            if let Some(next) = next.get_mut(&self.commands[*effect as usize]) {
                assert_eq!(next.pop_front(), Some(*effect), "one before it has not taken effect");
            }
        }
    }
}

proptest! {
    #[test]
    fn one_effect_at_most_in_order_and_nobody_is_told_what_is_not_so(steps in prop::collection::vec(step(), 1..120)) {
        let world = World::new(&[]);
        let (net, owner) = (Net::default(), Owner::default());
        let mut case = Case { world, net, owner, commands: Vec::new(), told: BTreeMap::new() };
        for step in steps {
            case.run(step);
        }
        case.settle_all();
        case.check();
    }
}
