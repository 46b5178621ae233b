//! Small histories, each with what is broken in it.

mod broken;
mod model;

use super::*;
use model::{Choices, Model};
use proptest::prelude::*;

struct Lanes {
    history: History,
    note: Lane,
    counts: Lane,
    items: Lane,
}

fn lanes() -> Lanes {
    let mut history = History::default();
    let note = history.lane(1, "/a", "note", Kind::Value { initial: "null".into() });
    let counts = history.lane(1, "/a", "counts", Kind::Map);
    let items = history.lane(1, "/a", "items", Kind::Items);
    Lanes { history, note, counts, items }
}

fn value(lane: Lane, version: u64, value: &str) -> Final {
    Final { lane, version, state: State::Value(value.into()) }
}

fn rules(violations: &[Violation]) -> Vec<Rule> {
    violations.iter().map(|violation| violation.rule).collect()
}

#[test]
fn what_was_acknowledged_is_there_in_the_end_or_overwritten() {
    let Lanes { mut history, note, .. } = lanes();
    let first = history.sent(Write::of([(note, Change::Set("1".into()))]));
    history.ended(first, End::Done(5));
    let second = history.sent(Write::of([(note, Change::Set("2".into()))]));
    history.ended(second, End::Unknown);
    assert_eq!(history.check(&[value(note, 5, "1")]), []);
    assert_eq!(history.check(&[value(note, 6, "2")]), []);
    assert_eq!(rules(&history.check(&[value(note, 0, "null")])), [Rule::Lost]);
    assert_eq!(rules(&history.check(&[value(note, 7, "3")])), [Rule::Phantom]);
}

#[test]
fn an_effect_that_came_twice_is_what_nobody_wrote() {
    let Lanes { mut history, counts, items, .. } = lanes();
    let op = history
        .sent(Write::of([(counts, Change::Put("7".into(), "1".into())), (items, Change::Emit("7".into()))]));
    history.ended(op, End::Done(5));
    let state = State::Map(vec![("7".into(), "2".into())]);
    let violations = history.check(&[Final { lane: counts, version: 6, state }]);
    assert!(rules(&violations).contains(&Rule::Phantom), "{violations:?}");
}

/// Panics with the history where one that breaks nothing is said to break something.
fn is_right(model: &Model) {
    let violations = model.history.check(&model.finals);
    let texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(
        violations.is_empty(),
        "{}\n{:#?}\n{}",
        model.history,
        model
            .finals
            .iter()
            .map(|state| format!("{} {}", model.history.name(state.lane), state.state))
            .collect::<Vec<_>>(),
        texts.join("\n")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_history_that_breaks_nothing_is_right(choices in proptest::collection::vec(0..240_u32, 0..1_200)) {
        is_right(&Model::run(Choices::of(choices)));
    }
}

#[test]
fn what_took_a_key_away_may_have_been_sent_after_the_watcher_lacked_it_first() {
    let Lanes { mut history, counts, .. } = lanes();
    let put = |key: &str, value: &str| Write::of([(counts, Change::Put(key.into(), value.into()))]);
    let first = history.sent(put("1", "1"));
    history.ended(first, End::Done(4));
    let watch = history.watches(counts, None);
    history.told(watch, Told::Update("1".into(), "1".into()), None);
    history.told(watch, Told::Synced, Some(4));
    let second = history.sent(put("2", "2"));
    history.sent(Write::of([(counts, Change::Clear)]));
    history.ended(second, End::Done(6));
    // What had been put and cleared between two looks is not told.
    history.told(watch, Told::Remove("1".into()), Some(7));
    let end = |entries| [Final { lane: counts, version: 7, state: State::Map(entries) }];
    assert_eq!(history.check(&end(vec![])), []);
    assert_ne!(history.check(&end(vec![("2".into(), "2".into())])), []);
}

#[test]
fn an_absence_that_is_explained_needs_no_second_reason() {
    let mut history = History::default();
    let notes = history.lane(1, "/a", "notes", Kind::Map);
    let put = history.sent(Write::of([(notes, Change::Put("k".into(), "1".into()))]));
    history.ended(put, End::Done(5));
    let remove = history.sent(Write::of([(notes, Change::Remove("k".into()))]));
    history.ended(remove, End::Unknown);
    let first = history.asked(notes, false);
    history.got(first, 6, State::Map(Vec::new()));
    let end = Final { lane: notes, version: 6, state: State::Map(Vec::new()) };
    assert_eq!(history.check(&[end.clone(), end.clone()]), []);
    // Once it has removed that, it removes nothing more.
    let again = history.sent(Write::of([(notes, Change::Put("k".into(), "2".into()))]));
    history.ended(again, End::Done(7));
    assert_eq!(rules(&history.check(&[Final { version: 8, ..end }])), [Rule::Lost]);
}

#[test]
fn a_damaged_slot_is_held_to_little() {
    let Lanes { mut history, note, .. } = lanes();
    let op = history.sent(Write::of([(note, Change::Set("1".into()))]));
    history.ended(op, End::Done(5));
    assert_eq!(rules(&history.check(&[value(note, 0, "null")])), [Rule::Lost]);
    history.damaged(1);
    assert_eq!(history.check(&[value(note, 0, "null")]), []);
    assert_eq!(rules(&history.check(&[value(note, 6, "2")])), [Rule::Phantom]);
}

/// A person reads what a failing seed prints.
#[test]
fn a_violation_names_what_happened_by_its_numbers() {
    let Lanes { mut history, note, items, .. } = lanes();
    let changes = [(note, Change::Set("1".into())), (items, Change::Emit("1".into()))];
    let op = history.sent(Write::of(changes).keyed("c", 7));
    history.ended(op, End::Done(5));
    let read = history.asked(note, false);
    history.got(read, 0, State::Value("null".into()));
    let watch = history.watches(items, None);
    history.told(watch, Told::Synced, Some(5));
    assert_eq!(
        history.to_string(),
        r"0: write 0 (c 7): /a note = 1, /a items emits 1
1: write 0 ends: Done(5)
2: read 0 of /a note
3: read 0 gives null at 0
4: watch 0 of /a items
5: watch 0: synced id 5
"
    );
    let violations = history.check(&[value(note, 5, "1")]);
    let texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        ["Stale: /a note holds nothing or what the lane began with (read at [3], version 0), and lacks \
             [0] write 0 (c 7): /a note = 1, /a items emits 1, which has version 5."]
    );
}
