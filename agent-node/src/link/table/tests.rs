//! What the table wants done, as lines, for what happens to it.

use super::*;
use expect_test::{Expect, expect};
use proto::plan::Overflow;
use std::cell::Cell;

fn target(agent: &str, slot: Slot, owner: Owner) -> Target {
    Target {
        agent: Address::trusted(agent),
        slot,
        lane: "n".into(),
        kind: LaneKind::Value,
        queue: Queue { items: 1, overflow: Overflow::DropOldest },
        internal: false,
        owner,
    }
}

/// A table whose lanes are their numbers, and who owns all slots.
struct World {
    table: Table<Number>,
    owner: Cell<Owner>,
    steps: Vec<Step<Number>>,
}

impl World {
    fn new(owner: Owner) -> World {
        World { table: Table::default(), owner: Cell::new(owner), steps: Vec::new() }
    }

    fn watch(&mut self, agent: &str, slot: Slot) -> Number {
        self.try_watch(agent, slot).unwrap()
    }

    fn try_watch(&mut self, agent: &str, slot: Slot) -> Result<Number, Refusal> {
        self.table.watch(&target(agent, slot, self.owner.get()), |number, _| number, &mut self.steps)
    }

    fn tick(&mut self, now_ms: u64) {
        self.table.tick(now_ms, |_| self.owner.get(), &mut self.steps);
    }

    fn lost(&mut self, slot: Slot) {
        self.table.lost(|lost| lost == slot, |_| self.owner.get(), &mut self.steps);
    }

    fn closed(&mut self, attachment: u64, code: u16) {
        self.table.closed(attachment, Refusal::new(code, "no", ""), &mut self.steps);
    }

    fn check(&mut self, expected: &Expect) {
        let line = |step| match step {
            Step::Attach { lane, attachment, target } => {
                format!("attach {lane} by {attachment} to {} at {:?}\n", target.agent, target.owner)
            }
            Step::Detach { attachment, target } => format!("detach {attachment} from {:?}\n", target.owner),
            Step::Lose(lane) => format!("lose {lane}\n"),
            Step::Stale(lane) => format!("stale {lane}\n"),
            Step::End(lane, refusal) => format!("end {lane} with {}\n", refusal.code),
        };
        expected.assert_eq(&self.steps.drain(..).map(line).collect::<String>());
    }
}

#[test]
fn a_lane_is_attached_once_however_many_watch_it() {
    let mut world = World::new(Owner::Here);
    assert_eq!((world.watch("/a", 1), world.watch("/a", 1), world.watch("/b", 1)), (1, 1, 2));
    world.check(&expect![[r"
        attach 1 by 1 to /a at Here
        attach 2 by 2 to /b at Here
    "]]);
    assert_eq!(world.table.lane_of(2), Some(&2));
    assert_eq!(world.table.lane(&Address::trusted("/a"), "n"), Some(&1));
    assert_eq!(world.table.lane(&Address::trusted("/a"), "m"), None);
}

#[test]
fn a_lane_that_nobody_watches_is_left_after_a_second() {
    let mut world = World::new(Owner::Node(2));
    world.watch("/a", 1);
    world.watch("/a", 1);
    world.table.settled(1);
    world.tick(10_000);
    world.table.leave(1);
    world.tick(20_000);
    world.table.leave(1);
    world.tick(20_900);
    assert_eq!(world.watch("/a", 1), 1);
    world.tick(30_000);
    world.check(&expect![[r"
        attach 1 by 1 to /a at Node(2)
    "]]);
    world.table.leave(1);
    world.tick(30_999);
    world.check(&expect![""]);
    world.tick(31_000);
    world.check(&expect![[r"
        detach 1 from Node(2)
    "]]);
    assert_eq!(world.table.lane_of(1), None);
    assert_eq!(world.watch("/a", 1), 2);
    world.check(&expect![[r"
        attach 2 by 2 to /a at Node(2)
    "]]);
}

#[test]
fn who_is_not_the_owner_is_asked_again_after_a_growing_pause() {
    let mut world = World::new(Owner::Node(1));
    world.watch("/a", 1);
    world.closed(1, 421);
    world.tick(49);
    world.check(&expect![[r"
        attach 1 by 1 to /a at Node(1)
        lose 1
    "]]);
    world.owner.set(Owner::Node(2));
    world.tick(50);
    world.closed(2, 503);
    world.tick(149);
    world.closed(2, 421);
    world.check(&expect![[r"
        attach 1 by 2 to /a at Node(2)
        lose 1
    "]]);
    world.owner.set(Owner::Nobody);
    world.tick(150);
    world.tick(349);
    world.check(&expect![[r"
        lose 1
    "]]);
    world.owner.set(Owner::Here);
    world.tick(350);
    world.check(&expect![[r"
        attach 1 by 3 to /a at Here
    "]]);
    world.table.settled(3);
    world.closed(3, 429);
    world.tick(399);
    world.tick(400);
    world.check(&expect![[r"
        lose 1
        attach 1 by 4 to /a at Here
    "]]);
}

#[test]
fn a_lane_that_is_not_there_ends_its_links() {
    let mut world = World::new(Owner::Here);
    world.watch("/a", 1);
    world.watch("/a", 1);
    world.closed(1, 404);
    world.check(&expect![[r"
        attach 1 by 1 to /a at Here
        end 1 with 404
    "]]);
    world.table.leave(1);
    world.table.leave(1);
    world.tick(10_000);
    assert_eq!(world.watch("/a", 1), 2);
    world.check(&expect![[r"
        attach 2 by 2 to /a at Here
    "]]);
}

#[test]
fn lanes_of_lost_slots_are_attached_anew() {
    let mut world = World::new(Owner::Node(1));
    world.watch("/a", 1);
    world.watch("/b", 2);
    world.table.settled(1);
    world.owner.set(Owner::Here);
    world.lost(1);
    world.check(&expect![[r"
        attach 1 by 1 to /a at Node(1)
        attach 2 by 2 to /b at Node(1)
        detach 1 from Node(1)
        attach 1 by 3 to /a at Here
    "]]);
    assert_eq!((world.table.lane_of(1), world.table.lane_of(3)), (None, Some(&1)));
    world.owner.set(Owner::Nobody);
    world.lost(1);
    world.check(&expect![[r"
        detach 3 from Here
        lose 1
    "]]);
    world.owner.set(Owner::Node(4));
    // Whoever watches finds out first.
    world.watch("/a", 1);
    world.check(&expect![[r"
        attach 1 by 4 to /a at Node(4)
    "]]);
}

#[test]
fn what_has_no_owner_for_five_seconds_is_stale_once() {
    let mut world = World::new(Owner::Nobody);
    world.watch("/a", 1);
    world.tick(4_999);
    world.steps.clear();
    world.owner.set(Owner::Node(1));
    world.tick(5_000);
    world.check(&expect![[r"
        stale 1
    "]]);
    world.tick(20_000);
    world.check(&expect![[r"
        attach 1 by 1 to /a at Node(1)
    "]]);
    world.table.settled(1);
    world.tick(30_000);
    world.lost(1);
    world.tick(34_999);
    world.lost(1);
    world.steps.clear();
    world.tick(35_000);
    world.check(&expect![[r"
        stale 1
    "]]);
    world.table.settled(3);
    world.tick(60_000);
    world.check(&expect![""]);
}

#[test]
fn a_new_plan_changes_lanes_and_ends_those_that_it_does_not_have() {
    let mut world = World::new(Owner::Here);
    for agent in ["/same", "/bounded", "/gone", "/kind", "/moved"] {
        world.watch(agent, 1);
    }
    world.steps.clear();
    let mut changed = Vec::new();
    let find = |target: &Target| match target.agent.as_str() {
        "/gone" => Err(Refusal::not_found("no route", "")),
        "/bounded" => Ok(Target { internal: true, ..target.clone() }),
        "/kind" => Ok(Target { kind: LaneKind::Map, ..target.clone() }),
        "/moved" => Ok(Target { owner: Owner::Node(3), ..target.clone() }),
        _ => Ok(target.clone()),
    };
    world.table.planned(find, &mut world.steps, |lane, target| changed.push((*lane, target.internal)));
    assert_eq!(changed, [(2, true), (5, false)]);
    world.check(&expect![[r"
        end 3 with 404
        detach 3 from Here
        end 4 with 404
        detach 4 from Here
        detach 5 from Here
        attach 5 by 6 to /moved at Node(3)
    "]]);
}

#[test]
fn a_node_watches_so_many_lanes_and_no_more() {
    let mut world = World::new(Owner::Here);
    for n in 0..LANES_MAX {
        world.watch(&format!("/{n}"), 1);
        world.steps.clear();
    }
    assert_eq!(world.try_watch("/new", 1).unwrap_err().code, 429);
    assert!(world.try_watch("/7", 1).is_ok(), "another watcher of a lane is no lane more");
    world.table.leave(1);
    world.tick(2_000);
    assert!(world.try_watch("/new", 1).is_ok(), "one was left");
    assert_eq!(world.try_watch("/newer", 1).unwrap_err().code, 429);
}

#[test]
fn lanes_that_are_left_together_go_a_number_at_a_time() {
    let mut world = World::new(Owner::Here);
    let lanes: Vec<Number> = (0..LEFT_MAX + 10).map(|n| world.watch(&format!("/a/{n}"), 1)).collect();
    for lane in &lanes {
        world.table.leave(*lane);
    }
    // One is watched again meanwhile.
    world.watch("/a/0", 1);
    world.steps.clear();
    let mut gone = || {
        world.tick(IDLE_MS);
        world.steps.drain(..).filter(|step| matches!(step, Step::Detach { .. })).count()
    };
    assert_eq!([gone(), gone(), gone()], [LEFT_MAX, 9, 0]);
}
