//! Sends that are refused, read from the log in pieces and taken late: all come, in order, and memory holds few.

use super::*;
use proptest::prelude::*;
use proto::address::Address;
use proto::value::{Text, Value};

const COST: usize = 100;

fn place(lsn: u64) -> Place {
    Place { history: 0, lsn, index: 1 }
}

fn message(lsn: u64, to: Slot) -> Message {
    Message {
        from: 1,
        to,
        place: place(lsn),
        previous: place(lsn.saturating_sub(1)),
        sender: Address::trusted("/a/1"),
        agent: Address::trusted("/b/1"),
        lane: Text::new("take"),
        body: Value::Null,
        hops: 1,
    }
}

/// An outbox, and what of it is written, read and on its way.
impl Default for Total {
    fn default() -> Total {
        Total::new(usize::MAX, usize::MAX)
    }
}

#[derive(Default)]
struct Rig {
    outbox: Outbox,
    total: Total,
    lsn: u64,
    /// To one slot or the other, all that were pushed.
    pushed: BTreeMap<Slot, Vec<u64>>,
    out: Vec<(Slot, u64)>,
    asked: Vec<Fetch>,
    /// How many of all were appended.
    appended: u64,
    in_log: Vec<Slot>,
}

impl Rig {
    fn push(&mut self, to: Slot) {
        self.lsn += 1;
        self.pushed.entry(to).or_default().push(self.lsn);
        let record = RecordAt::Gathered(self.lsn - 1 - self.appended);
        if !self.outbox.push(message(self.lsn, to), COST, record, &mut self.total) {
            self.in_log.push(to);
        }
        self.pump(to);
    }

    fn append(&mut self) {
        let first = Position(self.appended);
        self.appended = self.lsn;
        for to in std::mem::take(&mut self.in_log) {
            self.outbox.appended(to, first);
            self.pump(to);
        }
    }

    fn pump(&mut self, to: Slot) {
        let out = &mut self.out;
        self.outbox.pump(to, |message| out.push((to, message.place.lsn)));
        self.asked.extend(self.outbox.fetch(to, &self.total));
    }

    /// The `most` first of those that were asked for longest ago.
    fn read(&mut self, most: usize) {
        if self.asked.is_empty() {
            return;
        }
        let Fetch { to, places, bytes: _ } = self.asked.remove(0);
        let read = places.iter().take(most.max(1)).map(|(position, place)| {
            assert_eq!(position.0 + 1, place.lsn, "each record has one message");
            assert!(position.0 < self.appended, "it is in the log");
            (message(place.lsn, to), COST)
        });
        let read = read.collect();
        self.outbox.fetched(to, read, &mut self.total);
        self.pump(to);
    }

    fn taken(&mut self, to: Slot, seen: u64, verdict: Verdict) {
        if self.outbox.taken(Taken { from: 1, to, seen: place(seen), verdict }, &mut self.total)
            || verdict == Verdict::Behind
        {
            self.pump(to);
        }
    }

    fn again(&mut self) {
        for to in self.outbox.again(Again::Held) {
            self.pump(to);
        }
    }

    fn in_memory(&self, to: Slot) -> usize {
        self.outbox.pairs.get(&to).map_or(0, |pair| pair.queue.len())
    }
}

#[test]
fn what_memory_does_not_keep_comes_back_from_the_log_in_order() {
    let mut rig = Rig::default();
    (0..3 * HEAD).for_each(|_| rig.push(7));
    assert_eq!((rig.in_memory(7), rig.out.len()), (HEAD, HEAD));
    assert_eq!((rig.outbox.waiting(), rig.outbox.bytes), (3 * HEAD, HEAD * COST));
    rig.taken(7, HEAD as u64, Verdict::Done);
    assert_eq!(rig.asked, [], "what is not written yet can't be read");
    rig.append();
    while !rig.asked.is_empty() {
        rig.read(usize::MAX);
        let last = rig.out.last().unwrap().1;
        rig.taken(7, last, Verdict::Done);
    }
    assert_eq!(rig.out, (1..=3 * HEAD as u64).map(|lsn| (7, lsn)).collect::<Vec<_>>());
    assert_eq!((rig.outbox.waiting(), rig.outbox.bytes), (0, 0));
}

#[test]
fn a_slot_that_can_not_be_reached_leaves_room_for_others() {
    let (mut outbox, mut total) = (Outbox::default(), Total::default());
    let at = RecordAt::Log(Position(0));
    for lsn in 1..=HEAD as u64 {
        outbox.push(message(lsn, 3), BYTES / HEAD, at, &mut total);
    }
    assert_eq!(outbox.bytes, BYTES);
    assert!(outbox.push(message(90, 4), COST, at, &mut total), "each pair has some in memory");
    for lsn in 91..91 + LEAST as u64 {
        outbox.push(message(lsn, 4), COST, at, &mut total);
    }
    assert_eq!(outbox.pairs[&4].rest.len(), 1);
    assert!(outbox.push(message(200, 5), LARGE, at, &mut total), "also a large one");
    assert!(!outbox.push(message(201, 5), LARGE, at, &mut total));
}

#[test]
fn a_record_that_is_being_read_is_needed_though_its_message_was_taken() {
    let mut rig = Rig::default();
    (0..HEAD + 10).for_each(|_| rig.push(7));
    rig.append();
    assert_eq!(rig.outbox.first_in_log(), Some(Position(HEAD as u64)));
    rig.taken(7, HEAD as u64, Verdict::Done);
    assert_eq!(rig.asked.len(), 1);
    rig.taken(7, HEAD as u64 + 10, Verdict::Done);
    assert_eq!((rig.outbox.waiting(), rig.outbox.first_in_log()), (0, Some(Position(HEAD as u64))));
    rig.read(usize::MAX);
    assert_eq!((rig.outbox.first_in_log(), rig.outbox.pairs.len()), (None, 0));
}

#[test]
fn all_slots_of_a_node_have_one_bound() {
    let (mut many, mut total) = (Vec::new(), Total::new(10, 4 * COST));
    let at = RecordAt::Log(Position(0));
    for lsn in 1..=3 {
        let mut outbox = Outbox::default();
        for to in [3, 3, 3] {
            assert!(!outbox.is_full(&total));
            outbox.push(message(lsn, to), COST, at, &mut total);
        }
        many.push(outbox);
    }
    assert_eq!((total.waiting(), total.bytes), (9, 9 * COST), "a few of each pair always");
    for lsn in 4..4 + LEAST as u64 {
        many[0].push(message(lsn, 3), COST, at, &mut total);
    }
    assert_eq!((many[0].pairs[&3].queue.len(), many[0].pairs[&3].rest.len()), (LEAST, 3));
    assert!(many.iter().all(|outbox| outbox.is_full(&total)));
    many[1].drop_until(3, place(2), &mut total);
    assert_eq!((total.waiting(), many[1].pairs.len(), many[1].last(3)), (8 + LEAST - 2, 0, place(2)));
    total.lose(&many[0]);
    assert_eq!((total.waiting(), total.bytes), (3, 3 * COST));
}

#[test]
fn what_found_no_room_goes_again_when_there_is_some() {
    let mut rig = Rig::default();
    (0..3).for_each(|_| rig.push(7));
    rig.taken(7, 0, Verdict::Room);
    assert_eq!(rig.out.len(), 3, "nothing had been refused");
    rig.taken(7, 0, Verdict::Refused);
    rig.push(7);
    rig.taken(7, 1, Verdict::Room);
    assert_eq!(rig.out[3..], [(7, 1), (7, 2), (7, 3), (7, 4)], "what it says to be seen is not taken for it");
}

#[derive(Debug, Clone)]
enum Turn {
    Push(Slot, usize),
    Append,
    Read(usize),
    /// The receiver has so many of what came to it.
    Taken(Slot, usize),
    Behind(Slot),
    Refused(Slot),
    Again,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        6 => (0..2_u16, 1..700_usize).prop_map(|(to, count)| Turn::Push(to, count)),
        2 => Just(Turn::Append),
        3 => (1..300_usize).prop_map(Turn::Read),
        4 => (0..2_u16, 0..900_usize).prop_map(|(to, count)| Turn::Taken(to, count)),
        1 => (0..2_u16).prop_map(Turn::Behind),
        1 => (0..2_u16).prop_map(Turn::Refused),
        1 => Just(Turn::Again),
    ]
}

/// The receiver's side: takes what follows, and nothing else.
#[derive(Default)]
struct Receiver {
    seen: BTreeMap<Slot, usize>,
}

impl Receiver {
    fn take(&mut self, rig: &mut Rig, of: Slot, most: usize) -> Option<u64> {
        let all = rig.pushed.get(&of).map_or(&[][..], Vec::as_slice);
        let seen = self.seen.entry(of).or_default();
        let mut taken = 0;
        rig.out.retain(|(to, lsn)| {
            if *to != of || taken == most {
                return true;
            }
            taken += 1;
            if all.get(*seen) == Some(lsn) {
                *seen += 1;
            }
            false
        });
        seen.checked_sub(1).map(|last| all[last])
    }
}

proptest! {
    /// Whatever is refused, read in pieces, or taken late: all of it comes, in order, and memory holds few.
    #[test]
    fn all_of_it_comes_in_order_and_memory_holds_few(turns in proptest::collection::vec(turn(), 1..40)) {
        let (mut rig, mut receiver) = (Rig::default(), Receiver::default());
        for turn in turns {
            match turn {
                Turn::Push(to, count) => (0..count).for_each(|_| rig.push(to)),
                Turn::Append => rig.append(),
                Turn::Read(most) => rig.read(most),
                Turn::Taken(to, most) => {
                    if let Some(seen) = receiver.take(&mut rig, to, most) {
                        rig.taken(to, seen, Verdict::Done);
                    }
                }
                Turn::Behind(to) => {
                    let seen = receiver.take(&mut rig, to, 0).unwrap_or_default();
                    rig.taken(to, seen, Verdict::Behind);
                }
                Turn::Refused(to) => rig.taken(to, 0, Verdict::Refused),
                Turn::Again => rig.again(),
            }
            prop_assert!((0..2).all(|to| rig.in_memory(to) <= HEAD));
        }
        for _ in 0..rig.lsn + 2 {
            if rig.outbox.waiting() == 0 {
                break;
            }
            rig.append();
            rig.again();
            while !rig.asked.is_empty() {
                rig.read(usize::MAX);
            }
            for to in 0..2 {
                // What went before it was refused is lost.
                rig.out.clear();
                if let Some(pair) = rig.outbox.pairs.get_mut(&to) {
                    pair.sent = 0;
                }
                rig.pump(to);
                if let Some(seen) = receiver.take(&mut rig, to, usize::MAX) {
                    rig.taken(to, seen, Verdict::Done);
                }
            }
        }
        prop_assert_eq!((rig.outbox.waiting(), rig.outbox.bytes), (0, 0));
        for (to, pushed) in &rig.pushed {
            prop_assert_eq!(receiver.seen.get(to).copied().unwrap_or_default(), pushed.len());
        }
    }
}
