//! Forwards against an owner that is full at times, over connections that break anywhere: whatever happens, a command
//! takes effect once at most, in order, nobody is told what is not so, and no stream sleeps over what it could send.

use super::*;
use crate::peer::admission::Admission;
use crate::shard::Key;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// Versions are above all codes.
const DONE: i64 = 1_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Submit {
        client: usize,
        slot: Slot,
        keyed: bool,
    },
    /// A client's stream is over, and it opens another one.
    End {
        client: usize,
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
        6 => (0..3_usize, 0..2_u16, any::<bool>())
            .prop_map(|(client, slot, keyed)| Step::Submit { client, slot, keyed }),
        1 => (1..3_usize).prop_map(|client| Step::End { client }),
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
    said: VecDeque<Sent>,
    connected: bool,
}

enum Sent {
    Forward(Forward),
    Ended(Stream),
}

struct Case {
    world: World,
    net: Net,
    owner: Owner,
    /// Each client's stream of now; what the first one sends is alone.
    streams: [Stream; 3],
    over: HashSet<Stream>,
    commands: Vec<(Stream, Slot)>,
    told: BTreeMap<u64, i64>,
}

impl Case {
    fn new() -> Case {
        Case {
            world: World::new(&[]),
            net: Net::default(),
            owner: Owner::default(),
            streams: [0, 1, 2],
            over: HashSet::new(),
            commands: Vec::new(),
            told: BTreeMap::new(),
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Submit { client, slot, keyed } => self.submit(client, slot, keyed),
            Step::End { client } => self.end(client),
            Step::Burst { slot } => (0..1_200).for_each(|_| self.submit(1, slot, false)),
            Step::Take => self.net.said.extend(self.world.taken(1).into_iter().map(Sent::Forward)),
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

    fn end(&mut self, client: usize) {
        let stream = std::mem::replace(&mut self.streams[client], 10 + self.over.len() as u64);
        self.over.insert(stream);
        self.world.end(stream);
        if self.net.connected {
            self.net.said.push_back(Sent::Ended(stream));
        }
    }

    fn submit(&mut self, client: usize, slot: Slot, keyed: bool) {
        let (id, stream) = (self.commands.len() as u64, self.streams[client]);
        self.commands.push((stream, slot));
        self.world.submit(id, stream, slot, keyed.then_some(id + 1));
    }

    fn arrive(&mut self, count: usize, room: bool, ours: bool) {
        let Owner { admission, inbox, answers, connection, streams, .. } = &mut self.owner;
        for _ in 0..count {
            let Some(said) = self.net.said.pop_front() else { break };
            let forward = match said {
                Sent::Forward(forward) => forward,
                Sent::Ended(stream) => {
                    admission.ended(stream);
                    continue;
                }
            };
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
        let unique: HashSet<_> = effects.iter().collect();
        assert_eq!(unique.len(), effects.len(), "a second effect");
        let waits = |id: &u64| !self.over.contains(&self.commands[*id as usize].0);
        let waiting = (0..self.commands.len() as u64).filter(waits).count();
        assert_eq!(self.told.keys().filter(|id| waits(id)).count(), waiting, "somebody was not told");
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
        let mut case = Case::new();
        for step in steps {
            case.run(step);
        }
        case.settle_all();
        case.check();
        (1..3).for_each(|client| case.run(Step::End { client }));
        case.settle_all();
        prop_assert_eq!((case.world.forwards.count(), case.world.forwards.held()), (0, 0));
        prop_assert_eq!(case.owner.admission.end().count(), 0, "the owner remembers streams that are over");
    }
}
