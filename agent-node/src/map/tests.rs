//! Laws of a lane's map with its tombstones: what is taken back leaves no trace, and whoever held an earlier state has
//! the newest one when it is told what changed since.

use super::*;
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::BTreeMap;

thread_local! {
    static MIN: Cell<usize> = const { Cell::new(TOMBSTONES_MIN) };
}

pub fn tombstones_min() -> usize {
    MIN.get()
}

/// Maps of this thread keep no more tombstones than this, where they have no more entries, so that few changes are enough
/// to lose some.
pub fn keep_few(min: usize) {
    MIN.set(min);
}

#[derive(Clone, Debug)]
enum Act {
    Put(u16),
    Remove(u16),
    /// So many of the lowest keys, one by one.
    RemoveMany(u16),
    Clear,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (0..40_u16).prop_map(Act::Put),
        6 => (0..40_u16).prop_map(Act::Remove),
        1 => (0..40_u16).prop_map(Act::RemoveMany),
        1 => Just(Act::Clear),
    ];
    proptest::collection::vec(act, 1..60)
}

enum Change {
    One(Undo),
    Whole(Map),
}

/// Makes what the act says, and gives back what takes it back, in the order in which it was made.
fn perform(map: &mut Map, act: &Act, version: u64) -> Vec<Change> {
    let (mut undo, mut stamp) = (Vec::new(), Stamp { version, index: 0 });
    let remove = |map: &mut Map, key: &Value, stamp: &mut Stamp, undo: &mut Vec<Change>| {
        undo.extend(map.remove(key, *stamp).map(Change::One));
        stamp.index += 1;
    };
    match act {
        Act::Put(key) => {
            undo.push(Change::One(map.put(
                Value::Int((*key).into()),
                Value::Int(version.cast_signed()),
                stamp,
            )));
        }
        Act::Remove(key) => remove(map, &Value::Int((*key).into()), &mut stamp, &mut undo),
        Act::RemoveMany(count) => {
            let keys: Vec<Value> = map.entries().take((*count).into()).map(|(key, _)| key.clone()).collect();
            for key in &keys {
                remove(map, key, &mut stamp, &mut undo);
            }
        }
        Act::Clear => undo.push(Change::Whole(map.clear(stamp))),
    }
    undo
}

fn state(map: &Map) -> BTreeMap<Value, Value> {
    map.values().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// What someone has who held `old` of version `since` and is told what changed since then.
fn told(old: &Map, since: u64, new: &Map) -> BTreeMap<Value, Value> {
    let mut held = state(old);
    if new.gone().cleared.version > since {
        held.clear();
    }
    let since = Stamp::end_of(since);
    held.extend(new.changed(None, Some(since)).map(|(key, entry)| (key.clone(), entry.value.clone())));
    for (key, _) in new.removed(None, since) {
        held.remove(key);
    }
    held
}

proptest! {
    #[test]
    fn who_held_an_earlier_state_is_told_what_changed_since(acts in acts()) {
        let (mut map, mut held) = (Map::default(), vec![(0, Map::default())]);
        for (act, version) in acts.iter().zip(1..) {
            perform(&mut map, act, version);
            held.push((version, map.clone()));
        }
        for (since, old) in &held {
            prop_assert!(map.known_from() <= *since, "nothing was dropped of so few");
            prop_assert_eq!(told(old, *since, &map), state(&map));
            prop_assert!(map.changed(None, Some(Stamp::end_of(*since))).count() <= acts.len());
        }
    }

    #[test]
    fn what_is_taken_back_leaves_no_trace(kept in acts(), undone in acts()) {
        let mut map = Map::default();
        for (act, version) in kept.iter().zip(1..) {
            perform(&mut map, act, version);
        }
        // So that tombstones are dropped.
        for (key, version) in (1_000..2_024_i64).zip(100..) {
            map.put(Value::Int(key), Value::Null, Stamp { version, index: 0 });
            map.remove(&Value::Int(key), Stamp { version, index: 1 });
        }
        let (before, bytes) = (map.clone(), map.bytes());
        let mut undo = Vec::new();
        for (act, version) in undone.iter().zip(2_000..) {
            undo.extend(perform(&mut map, act, version));
        }
        while let Some(change) = undo.pop() {
            match change {
                Change::One(undo) => map.undo(undo),
                Change::Whole(was) => map = was,
            }
        }
        prop_assert_eq!(&map, &before);
        prop_assert_eq!(map.bytes(), bytes);
    }
}

#[test]
fn the_oldest_tombstones_go_and_the_horizon_says_so() {
    let mut map = Map::default();
    let key = |n: u64| Value::Int(n.cast_signed());
    for n in 1..=3_000 {
        map.put(key(n), Value::Null, Stamp { version: n, index: 0 });
    }
    let full = map.bytes();
    for n in 1..=1_500 {
        map.remove(&key(n), Stamp { version: 3_000 + n, index: 0 });
    }
    assert_eq!((map.tombstones(), map.known_from()), (1_500, 0));
    assert!(map.bytes() < full);
    for n in 1_501..=2_500 {
        map.remove(&key(n), Stamp { version: 3_000 + n, index: 0 });
    }
    // There is room for 1,024, and 500 entries are left.
    assert_eq!((map.tombstones(), map.known_from()), (1_024, 3_000 + 2_500 - 1_024));
    map.put(key(2_500), Value::Null, Stamp { version: 6_000, index: 0 });
    assert_eq!(map.tombstones(), 1_023, "what is back was not removed");
    drop(map.clear(Stamp { version: 6_001, index: 0 }));
    assert_eq!(
        (map.tombstones(), map.known_from(), map.bytes()),
        (0, 0, 0),
        "a clear stands for all before it"
    );
}
