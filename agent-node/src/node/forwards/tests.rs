//! Commands on their way to an owner that answers late, goes, comes back or is another one.

mod law;

use super::*;
use crate::done::Done;
use proto::address::Address;

/// One node's forwards, as its peers 1 and 2 and its clients see them.
struct World {
    forwards: Forwards<()>,
    now_ms: u64,
    out: Outcome<()>,
}

impl World {
    fn new(connected: &[u16]) -> World {
        let mut forwards = Forwards::new("node x 1");
        let mut out = Outcome::default();
        forwards.ring(vec![Owner::Node(1); 16].into(), &mut out);
        let mut world = World { forwards, now_ms: 1_000, out };
        for owner in connected {
            world.connect(*owner);
        }
        world
    }

    fn connect(&mut self, owner: u16) {
        self.forwards.connected(owner, &mut self.out);
    }

    fn submit(&mut self, id: u64, stream: Stream, slot: Slot, key: Option<u64>) {
        let outgoing = Command {
            reply: (),
            id,
            stream,
            slot,
            agent: Address::trusted(&format!("/a/{slot}")),
            lane: "x".into(),
            body: id.to_string().into(),
            key: key.map(|sequence| ("me".into(), sequence)),
        };
        let owner = match self.forwards.owner(slot) {
            Owner::Node(owner) => owner,
            other => panic!("{other:?}"),
        };
        self.forwards.submit(outgoing, owner, self.now_ms, &mut self.out);
    }

    /// Whether the stream to a node was woken since it last sent all that it had.
    fn is_woken(&self, owner: u16) -> bool {
        self.out.due.nodes().contains(&owner)
    }

    /// All that goes to a node now, if its stream was woken; one that sleeps must have nothing to send.
    fn taken(&mut self, owner: u16) -> Vec<Forward> {
        let woken = self.is_woken(owner);
        self.out.due.0.retain(|node| *node != owner);
        let mut taken = Vec::new();
        self.forwards.send_to(owner, |forward| {
            taken.push(forward);
            true
        });
        assert!(woken || taken.is_empty(), "the stream to {owner} sleeps over {taken:?}");
        taken
    }

    fn settle(&mut self, owner: u16, id: u64, end: Result<u64, Refusal>) {
        let end = end.map(Done::plain);
        self.forwards.settled(owner, id, end, self.now_ms, &mut self.out);
    }

    /// Which streams are woken by it.
    fn pass(&mut self, ms: u64) -> Vec<u16> {
        self.now_ms += ms;
        let mut out = Outcome::default();
        self.forwards.tick(self.now_ms, &mut out);
        self.out.answers.append(&mut out.answers);
        for node in out.due.nodes() {
            self.out.due.add(*node);
        }
        out.due.0
    }

    fn ring(&mut self, owner: Owner) {
        self.forwards.ring(vec![owner; 16].into(), &mut self.out);
    }

    fn disconnect(&mut self, owner: u16) {
        self.forwards.disconnected(owner, &mut self.out);
    }

    fn end(&mut self, stream: Stream) {
        self.forwards.ended(stream, &mut self.out);
    }

    /// What clients were told since the last call: id, and the version or code, negative if in doubt.
    fn told(&mut self) -> Vec<(u64, i64)> {
        let said = |((), id, end): Answer<()>| match end {
            Ok(done) => (id, done.version as i64),
            Err(refusal) if refusal.outcome_unknown => (id, -i64::from(refusal.code)),
            Err(refusal) => (id, i64::from(refusal.code)),
        };
        self.out.answers.drain(..).map(said).collect()
    }
}

fn keys(forwards: &[Forward]) -> Vec<(&str, u64)> {
    forwards.iter().map(|forward| (&*forward.command.key.0, forward.command.key.1)).collect()
}

fn sequences(forwards: &[Forward]) -> Vec<u64> {
    forwards.iter().map(|forward| forward.command.key.1).collect()
}

#[test]
fn commands_go_out_once_and_are_answered_once() {
    let mut world = World::new(&[1]);
    world.submit(70, 1, 3, Some(7));
    world.submit(71, 1, 3, None);
    world.submit(72, 1, 4, None);
    let taken = world.taken(1);
    assert_eq!(keys(&taken), [("me", 7), ("node x 1", 1), ("node x 1", 1)]);
    assert!(world.taken(1).is_empty());
    for (forward, version) in taken.iter().zip([11, 12, 13]) {
        world.settle(1, forward.command.id, Ok(version));
        world.settle(1, forward.command.id, Ok(99));
    }
    assert_eq!(world.told(), [(70, 11), (71, 12), (72, 13)]);
    assert_eq!(world.forwards.count(), 0);
}

#[test]
fn a_broken_connection_sends_again_from_the_oldest_with_the_same_keys() {
    let mut world = World::new(&[1]);
    for id in 1..=4 {
        world.submit(id, 1, 3, None);
    }
    let first = world.taken(1);
    world.settle(1, first[0].command.id, Ok(1));
    world.settle(1, first[2].command.id, Ok(3));
    world.disconnect(1);
    world.submit(5, 1, 3, None);
    assert!(world.taken(1).is_empty());
    world.connect(1);
    assert_eq!(sequences(&world.taken(1)), [2, 4, 5]);
    assert_eq!(world.told(), [(1, 1), (3, 3)]);
}

#[test]
fn without_an_owner_for_two_seconds_it_is_said_whether_it_may_have_been_done() {
    let mut world = World::new(&[1]);
    world.submit(1, 1, 3, None);
    world.taken(1);
    world.disconnect(1);
    world.submit(2, 2, 3, None);
    world.pass(WAIT_MS - 1);
    assert_eq!(world.told(), []);
    world.submit(3, 3, 3, None);
    world.pass(1);
    assert_eq!(world.told(), [(1, -503), (2, 503)]);
    world.submit(4, 2, 3, None);
    assert_eq!(world.told(), [(4, 503)], "its stream was refused in this slot");
    world.connect(1);
    assert_eq!(world.taken(1).len(), 1);
}

#[test]
fn an_owner_that_is_reached_may_take_its_time() {
    let mut world = World::new(&[1]);
    world.submit(1, 1, 3, None);
    let taken = world.taken(1);
    world.pass(WAIT_MS * 5);
    assert_eq!(world.told(), []);
    world.settle(1, taken[0].command.id, Ok(5));
    assert_eq!(world.told(), [(1, 5)]);
}

#[test]
fn after_a_command_that_was_not_admitted_none_of_its_stream_and_slot_is() {
    let mut world = World::new(&[1]);
    world.submit(1, 1, 3, Some(1));
    let taken = world.taken(1);
    world.submit(2, 1, 3, Some(2));
    world.submit(3, 1, 4, Some(3));
    world.submit(4, 2, 3, Some(4));
    world.settle(1, taken[0].command.id, Err(Refusal::full("no room", "")));
    assert_eq!(sequences(&world.taken(1)), [3, 4]);
    world.submit(5, 1, 3, Some(5));
    assert_eq!(world.told(), [(1, 429), (2, 429), (5, 429)]);
    world.end(1);
    world.submit(6, 1, 3, Some(6));
    assert_eq!(sequences(&world.taken(1)), [6]);
}

#[test]
fn what_follows_on_its_way_is_not_sent_again_and_what_went_before_is() {
    let mut world = World::new(&[1]);
    for id in 1..=3 {
        world.submit(id, 1, 3, Some(id));
    }
    let taken = world.taken(1);
    world.settle(1, taken[1].command.id, Err(Refusal::full("no room", "")));
    assert_eq!(world.told(), [(2, 429)]);
    world.disconnect(1);
    assert_eq!(world.told(), [(3, 429)], "the owner did not admit it either");
    world.connect(1);
    assert_eq!(sequences(&world.taken(1)), [1]);
}

/// The owner says 409 of a key of this node's own when it no longer remembers it, and by a rule that refuses.
#[test]
fn a_rules_409_is_told_as_it_is_also_of_a_command_without_a_key() {
    for (refusal, told) in [
        (Refusal::by_rule(409, "sold", "spec"), 409),
        (Refusal::new(409, "executed before", "sequence"), -503),
    ] {
        let mut world = World::new(&[1]);
        world.submit(1, 1, 3, None);
        let taken = world.taken(1);
        world.settle(1, taken[0].command.id, Err(refusal));
        assert_eq!(world.told(), [(1, told)]);
    }
}

#[test]
fn a_final_refusal_holds_nothing_up() {
    for code in [400, 404, 409, 422] {
        let mut world = World::new(&[1]);
        world.submit(1, 1, 3, Some(1));
        let taken = world.taken(1);
        world.settle(1, taken[0].command.id, Err(Refusal::new(code, "no", "")));
        world.submit(2, 1, 3, Some(2));
        assert_eq!((world.taken(1).len(), world.told()), (1, vec![(1, i64::from(code))]));
    }
}

#[test]
fn not_now_after_a_broken_connection_is_no_word_about_the_first_try() {
    let mut world = World::new(&[1]);
    world.submit(1, 1, 3, Some(1));
    world.submit(2, 1, 3, Some(2));
    world.taken(1);
    world.disconnect(1);
    world.connect(1);
    let again = world.taken(1);
    world.settle(1, again[0].command.id, Err(Refusal::full("no room", "")));
    world.settle(1, again[1].command.id, Err(Refusal::bad("no", "")));
    assert_eq!(world.told(), [(1, -503), (2, 400)]);
}

#[test]
fn a_node_that_is_no_owner_is_asked_again_when_all_is_answered_and_some_time_has_passed() {
    let mut world = World::new(&[1]);
    for id in 1..=2 {
        world.submit(id, 1, 3, None);
    }
    let first = world.taken(1);
    let no = || Err(Refusal::new(421, "not the owner", ""));
    world.settle(1, first[0].command.id, no());
    world.submit(3, 1, 3, None);
    world.pass(AGAIN_MS);
    assert!(world.taken(1).is_empty(), "the second is on its way");
    world.settle(1, first[1].command.id, no());
    assert!(world.taken(1).is_empty());
    assert_eq!(world.pass(AGAIN_MS), [1]);
    let again = world.taken(1);
    assert_eq!(sequences(&again), [1, 2, 3]);
    assert_eq!(again.iter().map(|forward| forward.again).collect::<Vec<_>>(), [true, false, false]);
    for forward in again {
        world.settle(1, forward.command.id, no());
    }
    world.pass(WAIT_MS);
    assert_eq!(world.told(), [(1, 503), (2, 503), (3, 503)], "it was never admitted");
}

#[test]
fn a_new_ring_takes_what_waits_to_the_new_owner_in_order() {
    let mut world = World::new(&[1, 2]);
    for id in 1..=3 {
        world.submit(id, 1, 3, None);
    }
    let first = world.taken(1);
    world.submit(4, 1, 3, None);
    world.ring(Owner::Node(2));
    world.submit(5, 1, 3, None);
    assert!(world.taken(2).is_empty() && world.taken(1).is_empty(), "the first owner has not answered");
    world.settle(1, first[0].command.id, Ok(9));
    world.settle(1, first[1].command.id, Err(Refusal::new(421, "moved", "")));
    world.settle(1, first[2].command.id, Err(Refusal::new(421, "moved", "")));
    assert_eq!(sequences(&world.taken(2)), [2, 3, 4, 5]);
    assert_eq!(world.told(), [(1, 9)]);
}

#[test]
fn what_moves_here_is_answered_and_holds_its_streams() {
    let mut world = World::new(&[1]);
    world.submit(1, 1, 3, None);
    world.submit(2, 2, 4, None);
    let first = world.taken(1);
    world.disconnect(1);
    world.submit(3, 3, 5, None);
    world.ring(Owner::Here);
    assert_eq!(first.len(), 2);
    let mut told = world.told();
    told.sort_unstable();
    assert_eq!(told, [(1, -503), (2, -503), (3, 503)]);
}

#[test]
fn own_sequences_stay_within_a_thousand_of_the_oldest_unanswered() {
    let mut world = World::new(&[1]);
    for id in 0..2_500 {
        world.submit(id, 0, 3, None);
    }
    world.submit(9_999, 0, 4, None);
    let first = world.taken(1);
    let of_slot = |forwards: &[Forward], slot| forwards.iter().filter(|one| one.command.slot == slot).count();
    assert_eq!((of_slot(&first, 3), of_slot(&first, 4)), (1_000, 1));
    // The oldest is the slowest: nothing goes beyond it, however many others are answered.
    for forward in &first[1..] {
        world.settle(1, forward.command.id, Ok(1));
    }
    assert!(world.taken(1).is_empty());
    world.settle(1, first[0].command.id, Ok(1));
    let second = world.taken(1);
    assert_eq!(sequences(&second), (1_001..=2_000).collect::<Vec<_>>());
    world.disconnect(1);
    world.connect(1);
    assert_eq!(sequences(&world.taken(1)), sequences(&second));
}

#[test]
fn a_line_is_bounded_by_number_and_by_bytes() {
    let mut world = World::new(&[1]);
    for id in 0..COMMANDS_MAX as u64 {
        world.submit(id, 1, 3, Some(id + 1));
    }
    assert_eq!(world.told(), []);
    world.submit(70_000, 1, 3, Some(70_000));
    world.submit(70_001, 0, 4, Some(70_001));
    assert_eq!(world.told(), [(70_000, 429), (70_001, 429)]);
    let taken = world.taken(1);
    world.settle(1, taken[0].command.id, Ok(1));
    world.submit(70_002, 1, 3, Some(70_002));
    world.submit(70_003, 2, 3, Some(70_003));
    assert_eq!(world.told(), [(0, 1), (70_002, 429)], "the first stream was refused in this slot");
}

#[test]
fn a_stream_that_is_over_is_not_sent_again() {
    let mut world = World::new(&[1]);
    world.submit(1, 7, 3, None);
    world.submit(2, 8, 3, None);
    world.taken(1);
    world.submit(3, 7, 3, None);
    world.end(7);
    assert!(world.taken(1).is_empty());
    world.disconnect(1);
    world.connect(1);
    assert_eq!(sequences(&world.taken(1)), [2]);
    assert_eq!(world.forwards.count(), 1);
}

#[test]
fn a_stream_that_is_over_is_held_back_by_no_answer_that_comes_later() {
    for end in [Err(Refusal::full("no room", "")), Err(Refusal::elsewhere("")), Ok(1)] {
        let mut world = World::new(&[1]);
        world.submit(1, 7, 3, None);
        let sent = world.taken(1);
        world.end(7);
        world.settle(1, sent[0].command.id, end);
        world.pass(WAIT_MS);
        assert_eq!((world.forwards.count(), world.forwards.held()), (0, 0));
        assert!(world.told().is_empty() && world.taken(1).is_empty());
    }
}

#[test]
fn room_ends_a_frame_and_the_rest_goes_with_the_next() {
    let mut world = World::new(&[1]);
    for id in 1..=5 {
        world.submit(id, 1, 3, Some(id));
    }
    let mut taken = Vec::new();
    world.forwards.send_to(1, |forward| {
        taken.push(forward);
        taken.len() < 2
    });
    assert_eq!(sequences(&taken), [1, 2]);
    assert_eq!(sequences(&world.taken(1)), [3, 4, 5]);
}
