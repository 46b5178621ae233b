//! Timers against a model that looks at all of them.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn key(number: u8) -> Value {
    match number % 4 {
        0 => Value::Null,
        1 => Value::Int(i64::from(number) - 100),
        2 => Value::text(&"x".repeat(usize::from(number))),
        _ => Value::list([Value::Int(1), Value::Double(0.5)]),
    }
}

/// By agent, name and key: due and every.
type Model = BTreeMap<(u32, TimerId, Value), (u64, u64)>;

#[derive(Clone, Debug)]
enum Step {
    Set { agent: u8, name: u8, key: u8, due: u16, every: u64 },
    Cancel { agent: u8, name: u8, key: u8 },
    Fire { next: Option<u16> },
    Hide,
    Show,
    End { agent: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let every = prop_oneof![Just(0), 100..5_000_u64, (1_u64 << 30..1 << 33)];
    prop_oneof![
        8 => (0..4_u8, 0..3_u8, 0..8_u8, any::<u16>(), every)
            .prop_map(|(agent, name, key, due, every)| Step::Set { agent, name, key, due, every }),
        2 => (0..4_u8, 0..3_u8, 0..8_u8).prop_map(|(agent, name, key)| Step::Cancel { agent, name, key }),
        4 => proptest::option::of(any::<u16>()).prop_map(|next| Step::Fire { next }),
        1 => Just(Step::Hide),
        1 => Just(Step::Show),
        1 => (0..4_u8).prop_map(|agent| Step::End { agent }),
    ]
}

fn all(timers: &Timers) -> Model {
    let all = timers
        .all()
        .map(|Timer { agent, name, key, due_ms, every_ms }| ((agent, name, key), (due_ms, every_ms)));
    all.collect()
}

proptest! {
    #[test]
    fn whatever_is_set_fires_in_order_and_once(steps in proptest::collection::vec(step(), 1..200)) {
        let (mut timers, mut model, mut hidden) = (Timers::default(), Model::new(), Model::new());
        for step in steps {
            match step {
                Step::Set { agent, name, key: number, due, every } => {
                    let (agent, name, key) = (agent.into(), TimerId(name.into()), key(number));
                    let (due_ms, every_ms) = (due.into(), every);
                    timers.set(&Timer { agent, name, key: key.clone(), due_ms, every_ms });
                    hidden.remove(&(agent, name, key.clone()));
                    model.insert((agent, name, key), (due_ms, kept_every(every_ms)));
                }
                Step::Cancel { agent, name, key: number } => {
                    let at = (agent.into(), TimerId(name.into()), key(number));
                    let was_there = model.remove(&at).is_some() | hidden.remove(&at).is_some();
                    prop_assert_eq!(timers.cancel(at.0, at.1, &at.2), was_there);
                }
                Step::Fire { next } => {
                    let Some(first) = timers.first() else {
                        prop_assert!(model.is_empty());
                        continue;
                    };
                    let Timer { agent, name, key, due_ms, every_ms } = first;
                    prop_assert_eq!(Some(due_ms), model.values().map(|(due, _)| *due).min());
                    let at = (agent, name, key);
                    prop_assert_eq!(model.remove(&at), Some((due_ms, every_ms)));
                    timers.fired(at.0, at.1, &at.2, next.map(u64::from));
                    if let Some(next) = next {
                        model.insert(at, (next.into(), every_ms));
                    }
                }
                Step::Hide => {
                    if let Some(Timer { agent, name, key, due_ms, every_ms }) = timers.first() {
                        timers.hide_first();
                        model.remove(&(agent, name, key.clone()));
                        hidden.insert((agent, name, key), (due_ms, every_ms));
                    }
                }
                Step::Show => {
                    timers.show();
                    model.append(&mut hidden);
                }
                Step::End { agent } => {
                    timers.end(agent.into());
                    model.retain(|(of, ..), _| *of != u32::from(agent));
                    hidden.retain(|(of, ..), _| *of != u32::from(agent));
                }
            }
            prop_assert_eq!(timers.len(), model.len() + hidden.len());
            prop_assert_eq!(timers.next_ms(), model.values().map(|(due, _)| *due).min());
            let expected: Model = model.iter().chain(&hidden).map(|(at, when)| (at.clone(), *when)).collect();
            prop_assert_eq!(all(&timers), expected);
        }
        for agent in 0..4 {
            timers.end(agent);
        }
        prop_assert_eq!((timers.len(), timers.bytes()), (0, 0));
    }
}

#[test]
fn long_times_between_turns_are_kept_in_whole_seconds() {
    for (every_ms, kept) in [
        (0, 0),
        (100, 100),
        (2_147_483_647, 2_147_483_647),
        (2_147_483_648, 2_147_484_000),
        (30 * 86_400_000, 30 * 86_400_000),
        (EVERY_MAX, EVERY_MAX),
        (u64::MAX, (u64::from(UNIT) - 1) * 1_000),
    ] {
        assert_eq!(kept_every(every_ms), kept, "{every_ms}");
        assert_eq!(kept_every(kept), kept, "{every_ms}");
    }
}

/// Names that a plan has had make room for others when nothing is scheduled under them.
#[test]
fn names_are_used_again_when_nothing_has_them() {
    let mut timers = Timers::default();
    let timer = |name, agent| Timer { agent, name: TimerId(name), key: Value::Null, due_ms: 1, every_ms: 0 };
    timers.set(&timer(0, 0));
    for name in 1..10 {
        timers.set(&timer(name, 1));
        assert!(timers.cancel(1, TimerId(name), &Value::Null));
    }
    assert_eq!(timers.names.len(), 2);
    assert!(timers.takes(TimerId(77)));
}

impl Timers {
    /// What is allocated, keys apart.
    fn allocated(&self) -> usize {
        let Timers { entries, heap, index, .. } = self;
        entries.capacity() * size_of::<Entry>()
            + heap.capacity() * size_of::<u32>()
            + index.allocation_size()
            + self.names.capacity() * size_of::<Name>()
    }
}

/// So many as a node may have, whatever the number of its slots, and however far the tables have grown.
#[test]
fn a_timer_takes_no_more_memory_than_is_said() {
    for slots in [1, 16, 256, 2_048, 4_096] {
        let mut all: Vec<Timers> = (0..slots).map(|_| Timers::default()).collect();
        for n in 0..1_000_000_u64 {
            let agent = (n / slots) as u32;
            // Half of them have no key, half of them a number.
            let key = if n % 2 == 0 { Value::Null } else { Value::Int(n as i64) };
            let (due_ms, every_ms) = (n * 7_919 % 1_000_003, n % 3 * 60_000);
            let timer = Timer { agent, name: TimerId(n % 3), key, due_ms, every_ms };
            all[(n % slots) as usize].set(&timer);
        }
        let (count, allocated): (usize, usize) = all
            .iter()
            .fold((0, 0), |(count, bytes), timers| (count + timers.len(), bytes + timers.allocated()));
        println!("{slots} slots: {:.1} bytes each", allocated as f64 / count as f64);
        assert_eq!(count, 1_000_000);
        assert!(allocated <= count * ONE, "{slots} slots: {} bytes each", allocated / count);
    }
}
