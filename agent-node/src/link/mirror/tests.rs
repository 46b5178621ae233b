//! What cursors are told of a mirror, as lines; then the law that whoever was told all holds the owner's state.

use super::*;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use proto::plan::Overflow;
use proto::value::Value;
use std::collections::BTreeMap;

/// Events as text, a line each.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, text: &str, id: Option<u64>) -> usize {
        let id = id.map_or_else(String::new, |id| format!(" id {id}"));
        self.0.extend([text, &id, "\n"]);
        text.len()
    }
}

fn text(cell: &Cell) -> &str {
    std::str::from_utf8(cell.text()).unwrap()
}

impl Listener for Lines {
    fn begin(&mut self, reset: bool, _begin: Begin) {
        if reset {
            self.line("reset", None);
        }
    }

    fn change(&mut self, said: MirrorChange<'_>, version: u64, id: Option<u64>) -> usize {
        let line = match said {
            MirrorChange::Set(value) => format!("set {}", text(value)),
            MirrorChange::Put(key, value) => format!("{} = {}", text(key), text(value)),
            MirrorChange::Remove(key) => format!("{} removed", text(key)),
            MirrorChange::Clear => "clear".into(),
            MirrorChange::Event(value) => format!("event {}", text(value)),
            MirrorChange::Gap(from, to) => return self.line(&format!("gap {from}-{to}"), id),
        };
        self.line(&format!("{line} @{version}"), id)
    }

    fn synced(&mut self, id: u64) {
        self.line("synced", Some(id));
    }

    fn stale(&mut self) {
        self.line("stale", None);
    }
}

const NO_LIMIT: Budget = Budget { events: usize::MAX, bytes: usize::MAX };

fn check(mirror: &Mirror, cursor: &mut Cursor, events: usize, expected: &Expect) {
    let mut lines = Lines::default();
    let told = mirror.tell(cursor, &mut Budget { events, ..NO_LIMIT }, &mut lines);
    if told == Told::Part {
        lines.0 += "...\n";
    }
    expected.assert_eq(&lines.0);
}

fn all(mirror: &Mirror, cursor: &mut Cursor, expected: &Expect) {
    check(mirror, cursor, usize::MAX, expected);
}

fn queue(items: usize) -> Queue {
    Queue { items, overflow: Overflow::DropOldest }
}

fn mirror(kind: LaneKind, state: Vec<Versioned>, version: u64) -> Mirror {
    let mut mirror = Mirror::new(kind, queue(3));
    assert_eq!(
        mirror.apply(Update {
            version,
            begin: Some(Begin::WHOLE),
            synced: true,
            changes: state,
            entries: None,
            answered: 0
        }),
        Applied::Whole
    );
    mirror
}

fn at(version: u64, change: Change) -> Versioned {
    Versioned { change, version }
}

fn set(version: u64, value: i64) -> Versioned {
    at(version, Change::Set(Value::Int(value)))
}

fn put(version: u64, key: &str, value: i64) -> Versioned {
    at(version, Change::Put(Value::text(key), Value::Int(value)))
}

fn remove(version: u64, key: &str) -> Versioned {
    at(version, Change::Remove(Value::text(key)))
}

fn event(version: u64, value: i64) -> Versioned {
    at(version, Change::Event(Value::Int(value)))
}

/// One record's changes.
fn record(mirror: &mut Mirror, changes: Vec<Versioned>) -> Applied {
    let version = changes.last().map_or(0, |last| last.version);
    mirror.apply(Update { version, begin: None, synced: false, changes, entries: None, answered: 0 })
}

fn owner_again(mirror: &mut Mirror, version: u64, state: Vec<Versioned>) {
    mirror.apply(Update {
        version,
        begin: Some(Begin::WHOLE),
        synced: true,
        changes: state,
        entries: None,
        answered: 0,
    });
}

#[test]
fn a_value_is_told_at_once_and_then_conflated() {
    let mut mirror = mirror(LaneKind::Value, vec![set(4, 1)], 9);
    let mut cursor = Cursor::new();
    all(
        &mirror,
        &mut cursor,
        &expect![[r"
        set 1 @4
        synced id 9
    "]],
    );
    all(&mirror, &mut cursor, &expect![""]);
    for version in 10..20 {
        record(&mut mirror, vec![set(version, 2)]);
    }
    record(&mut mirror, vec![set(20, 1)]);
    all(
        &mirror,
        &mut cursor,
        &expect![[r"
        set 1 @20 id 20
    "]],
    );
    all(
        &mirror,
        &mut Cursor::begin(Start::Token(20)),
        &expect![[r"
        synced id 20
    "]],
    );
    all(
        &mirror,
        &mut Cursor::begin(Start::Token(19)),
        &expect![[r"
        set 1 @20
        synced id 20
    "]],
    );
    all(
        &mirror,
        &mut Cursor::begin(Start::Token(21)),
        &expect![[r"
        reset
        set 1 @20
        synced id 20
    "]],
    );
}

#[test]
fn nothing_is_told_before_the_state_is_whole() {
    let mut mirror = Mirror::new(LaneKind::Map, queue(3));
    let mut cursor = Cursor::new();
    record(&mut mirror, vec![put(3, "lost", 3)]);
    let piece =
        |begin, synced, changes| Update { version: 8, begin, synced, changes, entries: None, answered: 0 };
    mirror.apply(piece(Some(Begin::WHOLE), false, vec![put(7, "b", 1)]));
    all(&mirror, &mut cursor, &expect![""]);
    mirror.apply(piece(None, true, vec![put(5, "a", 2)]));
    all(
        &mirror,
        &mut cursor,
        &expect![[r#"
        "a" = 2 @5
        "b" = 1 @7
        synced id 8
    "#]],
    );
    mirror.apply(piece(Some(Begin::WHOLE), false, vec![put(9, "c", 3)]));
    all(
        &mirror,
        &mut Cursor::new(),
        &expect![[r#"
        "a" = 2 @5
        "b" = 1 @7
        synced id 8
    "#]],
    );
}

#[test]
fn a_map_is_told_in_the_order_of_changes_the_last_of_each_key() {
    let mut mirror = mirror(LaneKind::Map, vec![put(1, "a", 1), put(2, "b", 1)], 2);
    let (mut cursor, mut fresh) = (Cursor::new(), Cursor::new());
    all(
        &mirror,
        &mut cursor,
        &expect![[r#"
        "a" = 1 @1
        "b" = 1 @2
        synced id 2
    "#]],
    );
    record(&mut mirror, vec![put(3, "a", 2), put(3, "c", 2)]);
    record(&mut mirror, vec![remove(4, "b"), put(4, "a", 3)]);
    assert_eq!(record(&mut mirror, vec![remove(5, "nothing")]), Applied::Nothing);
    all(
        &mirror,
        &mut cursor,
        &expect![[r#"
        "c" = 2 @3
        "b" removed @4
        "a" = 3 @4 id 5
    "#]],
    );
    all(
        &mirror,
        &mut fresh,
        &expect![[r#"
        "a" = 3 @4
        "c" = 2 @3
        synced id 5
    "#]],
    );
}

#[test]
fn a_flush_in_pieces_has_its_watermark_at_the_end() {
    let mut mirror = mirror(LaneKind::Map, vec![put(1, "a", 1), put(2, "b", 1), put(3, "c", 1)], 3);
    let mut cursor = Cursor::new();
    check(
        &mirror,
        &mut cursor,
        2,
        &expect![[r#"
        "a" = 1 @1
        "b" = 1 @2
        ...
    "#]],
    );
    record(&mut mirror, vec![remove(4, "a"), remove(4, "c")]);
    record(&mut mirror, vec![put(5, "d", 1), put(5, "b", 2)]);
    check(
        &mirror,
        &mut cursor,
        4,
        &expect![[r#"
        "a" removed @4
        "c" removed @4
        "d" = 1 @5
        "b" = 2 @5
        ...
    "#]],
    );
    check(
        &mirror,
        &mut cursor,
        1,
        &expect![[r"
        synced id 5
    "]],
    );
    record(&mut mirror, vec![put(6, "a", 2), put(6, "b", 3)]);
    check(
        &mirror,
        &mut cursor,
        1,
        &expect![[r#"
        "a" = 2 @6
        ...
    "#]],
    );
    check(
        &mirror,
        &mut cursor,
        1,
        &expect![[r#"
        "b" = 3 @6 id 6
    "#]],
    );
}

#[test]
fn who_begins_while_a_flush_has_come_in_part_is_told_all_that_is_there() {
    let mut mirror = mirror(LaneKind::Map, vec![put(1, "a", 1)], 1);
    let piece = |version, changes| Update {
        version,
        begin: None,
        synced: false,
        changes,
        entries: None,
        answered: 0,
    };
    mirror.apply(piece(1, vec![put(2, "b", 1), put(3, "c", 1)]));
    let mut cursor = Cursor::new();
    check(
        &mirror,
        &mut cursor,
        1,
        &expect![[r#"
        "a" = 1 @1
        ...
    "#]],
    );
    mirror.apply(piece(3, vec![put(3, "a", 2)]));
    all(
        &mirror,
        &mut cursor,
        &expect![[r#"
        "b" = 1 @2
        "c" = 1 @3
        "a" = 2 @3
        synced id 3
    "#]],
    );
}

#[test]
fn a_clear_is_one_mark() {
    let mut mirror = mirror(LaneKind::Map, vec![put(1, "a", 1), put(2, "b", 1)], 2);
    let (mut whole, mut begun) = (Cursor::new(), Cursor::new());
    check(
        &mirror,
        &mut whole,
        3,
        &expect![[r#"
        "a" = 1 @1
        "b" = 1 @2
        synced id 2
    "#]],
    );
    check(
        &mirror,
        &mut begun,
        1,
        &expect![[r#"
        "a" = 1 @1
        ...
    "#]],
    );
    record(&mut mirror, vec![remove(3, "b"), put(3, "x", 1)]);
    record(&mut mirror, vec![at(4, Change::Clear)]);
    record(&mut mirror, vec![put(5, "b", 2)]);
    let expected = &expect![[r#"
        clear @4
        "b" = 2 @5 id 5
    "#]];
    all(&mirror, &mut whole, expected);
    all(
        &mirror,
        &mut begun,
        &expect![[r#"
        clear @4
        "b" = 2 @5
        synced id 5
    "#]],
    );
    all(
        &mirror,
        &mut Cursor::new(),
        &expect![[r#"
        "b" = 2 @5
        synced id 5
    "#]],
    );
}

#[test]
fn who_has_missed_a_dropped_tombstone_begins_anew() {
    let keys: Vec<String> = (0..3_000).map(|n| format!("k{n}")).collect();
    let state = keys.iter().zip(1..).map(|(key, version)| put(version, key, 0)).collect();
    let mut mirror = mirror(LaneKind::Map, state, 3_000);
    let (mut late, mut early, mut half) = (Cursor::new(), Cursor::new(), Cursor::new());
    let mut lines = Lines::default();
    mirror.tell(&mut late, &mut { NO_LIMIT }, &mut lines);
    mirror.tell(&mut early, &mut { NO_LIMIT }, &mut lines);
    mirror.tell(&mut half, &mut Budget { events: 1_000, ..NO_LIMIT }, &mut lines);
    for (key, version) in keys.iter().zip(3_001..).take(1_500) {
        record(&mut mirror, vec![remove(version, key)]);
    }
    // As many tombstones as live keys are kept.
    mirror.tell(&mut early, &mut { NO_LIMIT }, &mut lines);
    for (key, version) in keys.iter().zip(3_001..).skip(1_500).take(1_498) {
        record(&mut mirror, vec![remove(version, key)]);
    }
    let Content::Map(entries) = &mirror.state else { unreachable!() };
    assert_eq!(entries.kept(), (2, 1_024));
    for cursor in [&mut late, &mut half] {
        all(
            &mirror,
            cursor,
            &expect![[r#"
            reset
            "k2998" = 0 @2999
            "k2999" = 0 @3000
            synced id 5998
        "#]],
        );
    }
    let mut newer = Lines::default();
    mirror.tell(&mut early, &mut { NO_LIMIT }, &mut newer);
    assert!(newer.0.starts_with("reset\n"), "{}", newer.0);
}

#[test]
fn what_falls_out_of_the_queue_is_a_gap() {
    let mut mirror = mirror(LaneKind::Supply, vec![], 5);
    let (mut slow, mut half) = (Cursor::new(), Cursor::new());
    all(
        &mirror,
        &mut slow,
        &expect![[r"
        synced id 5
    "]],
    );
    mirror.tell(&mut half, &mut { NO_LIMIT }, &mut Lines::default());
    record(&mut mirror, vec![event(6, 1), event(6, 2)]);
    check(
        &mirror,
        &mut half,
        1,
        &expect![[r"
        event 1 @6
        ...
    "]],
    );
    record(&mut mirror, vec![event(7, 3), event(7, 4)]);
    assert!(mirror.overrun(&slow) && !mirror.overrun(&half));
    all(
        &mirror,
        &mut slow,
        &expect![[r"
        gap 6-6
        event 2 @6
        event 3 @7
        event 4 @7 id 7
    "]],
    );
    for version in 8..12 {
        record(&mut mirror, vec![event(version, 5)]);
    }
    check(
        &mirror,
        &mut half,
        2,
        &expect![[r"
        gap 6-8
        event 5 @9
        ...
    "]],
    );
    check(
        &mirror,
        &mut slow,
        2,
        &expect![[r"
        gap 8-8
        event 5 @9
        ...
    "]],
    );
    all(
        &mirror,
        &mut slow,
        &expect![[r"
        event 5 @10
        event 5 @11 id 11
    "]],
    );
    all(
        &mirror,
        &mut Cursor::new(),
        &expect![[r"
        synced id 11
    "]],
    );
}

#[test]
fn items_that_all_have_passed_are_let_go() {
    let mut mirror = mirror(LaneKind::Command, vec![], 0);
    let mut cursor = Cursor::new();
    assert_eq!(mirror.passed(&cursor), Stamp { version: 0, index: BEHIND });
    mirror.tell(&mut cursor, &mut { NO_LIMIT }, &mut Lines::default());
    record(&mut mirror, vec![event(1, 1), event(1, 2)]);
    check(
        &mirror,
        &mut cursor,
        1,
        &expect![[r"
        event 1 @1
        ...
    "]],
    );
    mirror.release(mirror.passed(&cursor));
    all(
        &mirror,
        &mut cursor,
        &expect![[r"
        event 2 @1 id 1
    "]],
    );
    mirror.release(mirror.passed(&cursor));
    let Content::Items(items) = &mirror.state else { unreachable!() };
    assert_eq!(items.kept(), 0);
    assert!(!mirror.overrun(&cursor));
}

#[test]
fn an_owner_that_comes_again_is_told_as_what_differs() {
    let mut map = mirror(LaneKind::Map, vec![put(1, "a", 1), put(2, "b", 1), put(3, "c", 1)], 3);
    let mut cursor = Cursor::new();
    map.tell(&mut cursor, &mut { NO_LIMIT }, &mut Lines::default());
    owner_again(&mut map, 3, vec![put(2, "b", 1), put(1, "a", 1), put(3, "c", 1)]);
    all(&map, &mut cursor, &expect![""]);
    owner_again(&mut map, 9, vec![put(1, "a", 1), put(8, "c", 2), put(7, "d", 1)]);
    all(
        &map,
        &mut cursor,
        &expect![[r#"
        "d" = 1 @7
        "c" = 2 @8
        "b" removed @9 id 9
    "#]],
    );

    let mut value = mirror(LaneKind::Value, vec![set(2, 1)], 3);
    let mut cursor = Cursor::new();
    value.tell(&mut cursor, &mut { NO_LIMIT }, &mut Lines::default());
    owner_again(&mut value, 5, vec![set(2, 1)]);
    all(&value, &mut cursor, &expect![""]);
    owner_again(&mut value, 6, vec![set(6, 1)]);
    all(
        &value,
        &mut cursor,
        &expect![[r"
        set 1 @6 id 6
    "]],
    );

    let mut items = mirror(LaneKind::Supply, vec![], 3);
    let mut cursor = Cursor::new();
    items.tell(&mut cursor, &mut { NO_LIMIT }, &mut Lines::default());
    record(&mut items, vec![event(4, 1)]);
    owner_again(&mut items, 4, vec![]);
    owner_again(&mut items, 6, vec![]);
    record(&mut items, vec![event(7, 2)]);
    all(
        &items,
        &mut cursor,
        &expect![[r"
        event 1 @4
        gap 5-6
        event 2 @7 id 7
    "]],
    );
}

#[test]
fn an_owner_of_another_history_begins_anew() {
    let history = ring::version(1, 0);
    for (kind, before, after, told) in [
        (LaneKind::Value, vec![set(3, 1)], vec![set(history + 1, 1)], "set 1 @1099511627777\n"),
        (LaneKind::Map, vec![put(3, "a", 1)], vec![], ""),
        (LaneKind::Supply, vec![], vec![], ""),
    ] {
        let mut mirror = mirror(kind, before, 3);
        let mut cursor = Cursor::new();
        mirror.tell(&mut cursor, &mut { NO_LIMIT }, &mut Lines::default());
        owner_again(&mut mirror, history + 1, after);
        let mut lines = Lines::default();
        mirror.tell(&mut cursor, &mut { NO_LIMIT }, &mut lines);
        assert_eq!(lines.0, format!("reset\n{told}synced id 1099511627777\n"));
    }
}

#[test]
fn an_agent_that_begins_is_not_another_history() {
    let version = ring::version(7, 1);
    let mut mirror = mirror(LaneKind::Value, vec![set(0, 0)], 0);
    let mut cursor = Cursor::new();
    mirror.tell(&mut cursor, &mut { NO_LIMIT }, &mut Lines::default());
    owner_again(&mut mirror, version, vec![set(version, 1)]);
    all(
        &mirror,
        &mut cursor,
        &expect![[r"
        set 1 @7696581394433 id 7696581394433
    "]],
    );
}

#[test]
fn a_lane_without_owner_is_stale_until_it_is_whole_again() {
    let mut mirror = Mirror::new(LaneKind::Value, queue(1));
    let (mut early, mut cursor) = (Cursor::new(), Cursor::new());
    mirror.stale();
    all(
        &mirror,
        &mut early,
        &expect![[r"
        stale
    "]],
    );
    owner_again(&mut mirror, 2, vec![set(2, 1)]);
    for cursor in [&mut early, &mut cursor] {
        all(
            &mirror,
            cursor,
            &expect![[r"
            set 1 @2
            synced id 2
        "]],
        );
    }
    mirror.stale();
    all(
        &mirror,
        &mut cursor,
        &expect![[r"
        stale
    "]],
    );
    all(&mirror, &mut cursor, &expect![""]);
    all(
        &mirror,
        &mut Cursor::new(),
        &expect![[r"
        stale
        set 1 @2
        synced id 2
    "]],
    );
    owner_again(&mut mirror, 2, vec![set(2, 1)]);
    all(
        &mirror,
        &mut cursor,
        &expect![[r"
        synced id 2
    "]],
    );
    all(&mirror, &mut early, &expect![""]);
}

#[test]
fn a_read_gets_what_the_copy_has() {
    assert_eq!(Mirror::new(LaneKind::Value, queue(1)).got(), None);
    assert_eq!(mirror(LaneKind::Supply, vec![], 3).got(), None);
    let value = mirror(LaneKind::Value, vec![set(2, 1)], 3).got().unwrap();
    assert_eq!((value.version, value.body), (2, Body::Value(Value::Int(1))));
    let mut map = mirror(LaneKind::Map, vec![put(1, "b", 1), put(2, "a", 2), put(2, "c", 3)], 5);
    record(&mut map, vec![remove(6, "c")]);
    let entries = [(Value::text("a"), Value::Int(2)), (Value::text("b"), Value::Int(1))];
    let Got { version: 6, not_modified: false, body: Body::Map(map) } = map.got().unwrap() else {
        panic!("a map")
    };
    assert!(map.values().eq(entries.iter().map(|(key, value)| (key, value))));
}

/// What happens in a run: to the owner, to the mirror, and to watchers by their place.
#[derive(Clone, Debug)]
enum Step {
    /// One record of changes of keys; `None` removes.
    Record(Vec<(u8, Option<u8>)>),
    Clear,
    /// Records that the mirror is not told, and then the owner's whole state, in pieces of that size.
    Again(Vec<(u8, Option<u8>)>, usize),
    /// The same, and what was shown may have been lost.
    OtherHistory,
    Stale,
    Join,
    Tell(usize, usize),
}

fn changes() -> impl Strategy<Value = Vec<(u8, Option<u8>)>> {
    proptest::collection::vec((0..12_u8, proptest::option::weighted(0.7, any::<u8>())), 1..4)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => changes().prop_map(Step::Record),
        1 => Just(Step::Clear),
        1 => (changes(), 1..5_usize).prop_map(|(changes, piece)| Step::Again(changes, piece)),
        1 => Just(Step::OtherHistory),
        1 => Just(Step::Stale),
        2 => Just(Step::Join),
        12 => (any::<usize>(), 0..6_usize).prop_map(|(watcher, events)| Step::Tell(watcher, events)),
    ];
    proptest::collection::vec(step, 1..60)
}

/// The owner's side of a map lane.
#[derive(Default)]
struct Model {
    version: u64,
    entries: BTreeMap<Value, (Value, u64)>,
}

impl Model {
    fn record(&mut self, changes: &[(u8, Option<u8>)]) -> Update {
        self.version += 1;
        let mut said = Vec::new();
        for (key, value) in changes {
            let key = Value::Int((*key).into());
            match value {
                Some(value) => {
                    let value = Value::Int((*value).into());
                    self.entries.insert(key.clone(), (value.clone(), self.version));
                    said.push(at(self.version, Change::Put(key, value)));
                }
                None if self.entries.remove(&key).is_some() => {
                    said.push(at(self.version, Change::Remove(key)));
                }
                None => {}
            }
        }
        Update {
            version: self.version,
            begin: None,
            synced: false,
            changes: said,
            entries: None,
            answered: 0,
        }
    }

    fn clear(&mut self) -> Update {
        self.version += 1;
        self.entries.clear();
        let changes = vec![at(self.version, Change::Clear)];
        Update { version: self.version, begin: None, synced: false, changes, entries: None, answered: 0 }
    }

    fn whole(&self, piece: usize) -> Vec<Update> {
        let entries = self.entries.iter();
        let state: Vec<_> = entries
            .map(|(key, (value, version))| at(*version, Change::Put(key.clone(), value.clone())))
            .collect();
        let mut pieces: Vec<_> = state.chunks(piece).map(<[_]>::to_vec).collect();
        pieces.push(Vec::new());
        let last = pieces.len() - 1;
        let update = |(place, changes)| Update {
            version: if place == last { self.version } else { 0 },
            begin: (place == 0).then_some(Begin::WHOLE),
            synced: place == last,
            changes,
            entries: None,
            answered: 0,
        };
        pieces.into_iter().enumerate().map(update).collect()
    }

    fn state(&self) -> BTreeMap<Value, Value> {
        self.entries.iter().map(|(key, (value, _))| (key.clone(), value.clone())).collect()
    }
}

/// Folds what it is told, and holds every event against the rules.
#[derive(Default)]
struct Watcher {
    cursor: Cursor,
    state: BTreeMap<Value, Value>,
    /// The version of the last change of each key that was told.
    versions: BTreeMap<Value, u64>,
    id: Option<u64>,
    synced: bool,
    /// The watermark that ended the last flush, if one did.
    ended: Option<u64>,
}

impl Watcher {
    fn watermark(&mut self, id: u64) {
        assert!(self.id.is_none_or(|before| before <= id), "{:?} {id}", self.id);
        (self.id, self.ended) = (Some(id), Some(id));
    }

    fn tell(&mut self, mirror: &Mirror, events: usize) -> Told {
        let mut cursor = self.cursor.clone();
        self.ended = None;
        let told = mirror.tell(&mut cursor, &mut Budget { events, ..NO_LIMIT }, self);
        self.cursor = cursor;
        told
    }
}

impl Listener for Watcher {
    fn begin(&mut self, reset: bool, _begin: Begin) {
        assert!(reset || self.versions.is_empty());
        *self = Watcher { cursor: self.cursor.clone(), ..Watcher::default() };
    }

    fn change(&mut self, said: MirrorChange<'_>, version: u64, id: Option<u64>) -> usize {
        assert_eq!(self.ended, None, "the watermark is on the last event");
        if let MirrorChange::Put(key, _) | MirrorChange::Remove(key) = &said {
            let before = self.versions.insert(key.value().clone(), version);
            assert!(before.is_none_or(|before| before <= version), "{before:?} {version}");
        }
        match said {
            MirrorChange::Put(key, value) => {
                self.state.insert(key.value().clone(), value.value().clone());
            }
            MirrorChange::Remove(key) => {
                self.state.remove(key.value());
            }
            MirrorChange::Clear => self.state.clear(),
            other => panic!("{other:?} is not of a map"),
        }
        assert!(id.is_none() || self.synced);
        if let Some(id) = id {
            self.watermark(id);
        }
        1
    }

    fn synced(&mut self, id: u64) {
        self.synced = true;
        self.watermark(id);
    }

    fn stale(&mut self) {}
}

proptest! {
    #[test]
    fn who_was_told_all_holds_the_owners_state(steps in steps()) {
        let mut model = Model::default();
        let mut mirror = Mirror::new(LaneKind::Map, queue(1));
        for update in model.whole(1) {
            mirror.apply(update);
        }
        let mut watchers: Vec<Watcher> = vec![Watcher::default()];
        for step in steps {
            match step {
                Step::Record(changes) => {
                    mirror.apply(model.record(&changes));
                }
                Step::Clear => {
                    mirror.apply(model.clear());
                }
                Step::Again(changes, piece) => {
                    model.record(&changes);
                    for update in model.whole(piece) {
                        mirror.apply(update);
                    }
                }
                Step::OtherHistory => {
                    model.version += ring::version(1, 0);
                    model.record(&[(1, Some(1)), (2, None)]);
                    for update in model.whole(2) {
                        mirror.apply(update);
                    }
                }
                Step::Stale => mirror.stale(),
                Step::Join => watchers.push(Watcher::default()),
                Step::Tell(watcher, events) => {
                    let count = watchers.len();
                    let watcher = &mut watchers[watcher % count];
                    let before = watcher.cursor.clone();
                    if watcher.tell(&mirror, events) == Told::All {
                        prop_assert_eq!(&watcher.state, &model.state());
                        prop_assert!(watcher.cursor == before || watcher.cursor.told() == mirror.version);
                    } else {
                        prop_assert_eq!(watcher.ended, None);
                    }
                }
            }
        }
        for watcher in &mut watchers {
            prop_assert_eq!(watcher.tell(&mirror, usize::MAX), Told::All);
            prop_assert_eq!(&watcher.state, &model.state());
            prop_assert!(watcher.synced);
            prop_assert!(watcher.id.is_some_and(|id| id <= mirror.version));
        }
    }

    #[test]
    fn of_events_each_is_told_once_or_lies_in_a_gap(
        records in proptest::collection::vec((1..4_u64, 0..3_usize, 0..5_usize), 1..60),
        bound in 1..6_usize,
    ) {
        let mut mirror = Mirror::new(LaneKind::Supply, queue(bound));
        mirror.apply(Update { version: 0, begin: Some(Begin::WHOLE), synced: true, changes: vec![], entries: None, answered: 0 });
        let (mut version, mut number, mut said) = (0, 0, Vec::new());
        let mut watchers = [Heard::default(), Heard::default(), Heard::default()];
        for watcher in &mut watchers {
            watcher.tell(&mirror, usize::MAX);
        }
        for (more, watcher, events) in records {
            version += more;
            let changes: Vec<_> = (0..more).map(|_| {
                number += 1;
                said.push((version, number));
                event(version, number)
            }).collect();
            record(&mut mirror, changes);
            watchers[watcher].tell(&mirror, events);
        }
        for watcher in &mut watchers {
            watcher.tell(&mirror, usize::MAX);
            let (heard, missed): (Vec<_>, Vec<_>) =
                said.iter().copied().partition(|(_, number)| watcher.events.contains(number));
            prop_assert_eq!(heard.iter().map(|(_, number)| *number).collect::<Vec<_>>(), watcher.events.clone());
            for (version, number) in &missed {
                prop_assert!(watcher.gaps.iter().any(|(from, to)| from <= version && version <= to), "{}", number);
            }
            for (from, to) in &watcher.gaps {
                prop_assert!(missed.iter().any(|(version, _)| version == to), "gap {}-{}", from, to);
                // Only of the records at its ends something may have been heard.
                prop_assert!(!heard.iter().any(|(version, _)| from < version && version < to));
            }
            prop_assert_eq!(watcher.id, Some(mirror.version));
        }
    }
}

/// What a watcher of an event lane is told.
#[derive(Default)]
struct Heard {
    cursor: Cursor,
    events: Vec<i64>,
    gaps: Vec<(u64, u64)>,
    id: Option<u64>,
}

impl Heard {
    fn tell(&mut self, mirror: &Mirror, events: usize) {
        let mut cursor = self.cursor.clone();
        mirror.tell(&mut cursor, &mut Budget { events, ..NO_LIMIT }, self);
        self.cursor = cursor;
    }
}

impl Listener for Heard {
    fn begin(&mut self, _reset: bool, _begin: Begin) {}

    fn change(&mut self, said: MirrorChange<'_>, _version: u64, id: Option<u64>) -> usize {
        match said {
            MirrorChange::Event(cell) => {
                let Value::Int(number) = cell.value() else { panic!("{cell:?}") };
                self.events.push(*number);
            }
            MirrorChange::Gap(from, to) => self.gaps.push((from, to)),
            other => panic!("{other:?} is not of an event lane"),
        }
        self.id = id.or(self.id);
        1
    }

    fn synced(&mut self, id: u64) {
        self.id = Some(id);
    }

    fn stale(&mut self) {}
}
