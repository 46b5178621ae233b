//! Small histories, each with what is broken in it.

use super::*;

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
