//! Cases of the accounting, and the law that holds its invariant.

use super::super::chain::{Chain, Until};
use super::super::format::{self, Head, Ident};
use super::*;
use proptest::prelude::*;

const SIZES: Sizes = Sizes { smallest: 4 << 20, largest: 64 << 20 };
const MIB: u64 = 1 << 20;

fn commands(bytes: u64) -> Ask {
    Ask { class: Class::Commands, bytes }
}

fn control(bytes: u64) -> Ask {
    Ask { class: Class::Control, bytes }
}

fn full() -> Room {
    Room::Full(no_space())
}

fn no_space() -> DiskFull {
    DiskFull("no space".into())
}

/// With a segment of so many free bytes, and one kept.
fn ledger(left: u64, kept: u64) -> Ledger {
    let mut ledger = Ledger::new(SIZES);
    ledger.add_ready(left);
    ledger.rolled(left, true, Duration::ZERO);
    ledger.set_kept((kept > 0).then_some(kept));
    ledger
}

#[test]
fn room_is_granted_while_it_is_there_and_comes_later_while_it_is_made() {
    let mut fresh = Ledger::new(SIZES);
    assert_eq!(fresh.ask(0, commands(MIB), 0), Room::Later, "nothing is there yet");
    assert_eq!(fresh.due(), Some(Due::Kept { bytes: SIZES.smallest }));
    fresh.set_kept(Some(SIZES.smallest));
    assert!(matches!(fresh.due(), Some(Due::Segment { least, .. }) if least == SIZES.smallest));
    assert_eq!(fresh.ask(0, commands(MIB), 0), Room::Later, "there is none to write into");
    fresh.add_ready(SIZES.smallest);
    assert_eq!((fresh.ask(0, commands(MIB), 0), fresh.due()), (Room::Granted, None));

    for (left, kept, asks, expected) in [
        (8 * MIB, 8 * MIB, vec![commands(MIB); 3], Room::Granted),
        (3 * MIB, 8 * MIB, vec![commands(MIB); 2], Room::Later),
        (8 * MIB, 4 * MIB, vec![commands(MIB); 4], Room::Later),
        (8 * MIB, 0, vec![commands(1)], Room::Later),
        // Control records find room where commands do not.
        (3 * MIB, 8 * MIB, vec![commands(MIB), commands(MIB / 2), control(MIB)], Room::Granted),
        (3 * MIB, 8 * MIB, vec![control(MIB); 3], Room::Later),
    ] {
        let mut ledger = ledger(left, kept);
        let answers: Vec<Room> = asks.iter().map(|ask| ledger.ask(0, *ask, 0)).collect();
        assert_eq!(answers.last(), Some(&expected), "{left} {kept} {asks:?} {answers:?}");
        assert!(answers[..answers.len() - 1].iter().all(|room| *room == Room::Granted), "{answers:?}");
    }
}

#[test]
fn what_is_made_meanwhile_for_less_does_not_let_who_waits_be_forgotten() {
    let mut fresh = Ledger::new(SIZES);
    let begun = fresh.due();
    assert_eq!(begun, Some(Due::Kept { bytes: SIZES.smallest }));
    assert_eq!(fresh.ask(7, commands(6 * MIB), 0), Room::Later);
    fresh.set_kept(Some(SIZES.smallest));
    assert_eq!(fresh.heard(), [0; 0]);
    fresh.add_ready(32 * MIB);
    assert_eq!(fresh.heard(), [0; 0], "a start could not write it anew");
    let Some(Due::Kept { bytes }) = fresh.due() else { panic!("{fresh:?}") };
    fresh.set_kept(Some(bytes));
    assert_eq!((fresh.heard(), fresh.heard()), (vec![7], vec![]), "once");
    assert_eq!(fresh.ask(7, commands(6 * MIB), 0), Room::Granted);
}

#[test]
fn where_none_can_be_made_it_is_full_until_one_is() {
    let mut ledger = ledger(3 * MIB, 4 * MIB);
    ledger.failed(no_space());
    assert_eq!(ledger.ask(0, commands(MIB), 0), Room::Granted, "what is there can still be used");
    assert_eq!(ledger.ask(0, commands(2 * MIB), 0), full());
    assert!(ledger.due().is_some(), "it is tried again");
    ledger.add_ready(8 * MIB);
    assert_eq!((ledger.ask(0, commands(MIB), 0), ledger.why_full()), (Room::Granted, None));
    // What can't be kept waits for the committer only while there is something for it to take.
    ledger.failed(no_space());
    assert_eq!(ledger.ask(0, commands(2 * MIB), 0), Room::Later);
    ledger.appended(0, 2 * MIB, 2 * MIB);
    ledger.taken(2 * MIB);
    assert_eq!(ledger.ask(0, commands(2 * MIB), 0), Room::Granted);
}

#[test]
fn a_later_grant_takes_the_place_of_the_one_before_and_what_is_not_used_comes_back() {
    let mut ledger = ledger(8 * MIB, 8 * MIB);
    let free = ledger.free();
    assert_eq!(ledger.ask(0, commands(MIB), 0), Room::Granted);
    assert_eq!(ledger.ask(0, commands(2 * MIB), MIB), Room::Granted);
    assert_eq!(ledger.free(), free - 2 * MIB);
    ledger.appended(0, 2 * MIB, 4096);
    assert_eq!(ledger.free(), free - 4096);
    ledger.taken(4096);
    ledger.written(4096, WriterState { left: ledger.writer.left - 4096, ..ledger.writer });
    assert_eq!(ledger.free(), free - 4096);
}

#[test]
fn the_next_segment_follows_use_and_at_most_doubles() {
    for (current, took_ms, next) in [
        // 4 MiB in 160 ms are 100 MiB in four seconds: twice as much as before is all that comes at once.
        (4 * MIB, 160, 8 * MIB),
        (32 * MIB, 2_560, 50 * MIB),
        (64 * MIB, 2_400, 64 * MIB),
        (64 * MIB, 25_600, 10 * MIB),
        (64 * MIB, 3_600_000, 4 * MIB),
        (4 * MIB, 3_600_000, 4 * MIB),
    ] {
        let mut ledger = ledger(current, 4 * MIB);
        ledger.add_ready(4 * MIB);
        ledger.rolled(4 * MIB, true, Duration::from_millis(took_ms));
        assert_eq!(ledger.next, next, "{current} bytes in {took_ms} ms");
    }
}

#[test]
fn filling_keeps_step_with_use() {
    let mut ledger = ledger(64 * MIB, 4 * MIB);
    let due = Due::Segment { bytes: 32 * MIB, least: 4 * MIB };
    assert!(ledger.lags(Due::Kept { bytes: MIB }, MIB), "without what is kept nothing is granted");
    for (used, filled, lags) in
        [(1, 0, true), (8, 4, true), (8, 5, false), (31, 15, true), (31, 16, false), (62, 31, true)]
    {
        ledger.writer.left = (64 - used) * MIB;
        assert_eq!(ledger.lags(due, filled * MIB), lags, "{used} of 64 MiB used, {filled} of 32 filled");
    }
}

/// What happens to a log: to one of its shards, to its committer, or to its disk.
#[derive(Clone, Debug)]
enum Happens {
    Asks {
        shard: usize,
        control: bool,
        records: usize,
        bytes: usize,
    },
    /// A shard appends a part of what it was granted, in percent.
    Appends {
        shard: usize,
        percent: usize,
    },
    Takes,
    /// What is due begins to be made: it may be another thing when it is there.
    Begins,
    IsMade,
    Fails,
}

fn happens() -> impl Strategy<Value = Happens> {
    let bytes = prop_oneof![0..2000_usize, 0..40_000_usize, 0..600_000_usize];
    prop_oneof![
        5 => (0..8_usize, any::<bool>(), 1..30_usize, bytes)
            .prop_map(|(shard, control, records, bytes)| Happens::Asks { shard, control, records, bytes }),
        5 => (0..8_usize, 0..101_usize).prop_map(|(shard, percent)| Happens::Appends { shard, percent }),
        3 => Just(Happens::Takes),
        2 => Just(Happens::Begins),
        2 => Just(Happens::IsMade),
        1 => Just(Happens::Fails),
    ]
}

#[derive(Clone, Copy, Default)]
struct Shard {
    records: usize,
    bytes: usize,
    granted: u64,
}

/// Writes as the writer does, into nothing.
struct Written {
    ledger: Ledger,
    chain: Chain,
    left: usize,
    ready: VecDeque<u64>,
    kept: Option<u64>,
    being_made: Option<Due>,
    /// Slots are taken in turn, so that lists are long.
    slot: u16,
    gathered: Vec<u8>,
    used: u64,
}

const IDENT: Ident = Ident { store: 1, segment: 1, salt: 1, begins: 1, recycled: false };

impl Written {
    fn new(sizes: Sizes) -> Written {
        let chain = Chain::new(1, 1, Until::nothing());
        let ledger = Ledger::new(sizes);
        let (ready, gathered) = (VecDeque::new(), Vec::new());
        Written { ledger, chain, left: 0, ready, kept: None, being_made: None, slot: 0, gathered, used: 0 }
    }

    fn append(&mut self, who: usize, shard: Shard, percent: usize) {
        let records = (shard.records * percent).div_ceil(100);
        let each = (shard.bytes * percent / 100).checked_div(records).unwrap_or(0);
        for _ in 0..records {
            self.slot = self.slot.wrapping_add(1) % 4096;
            let head = Head { slot: self.slot, lsn: 1, ..Head::default() };
            format::frame(&head, &vec![0; each], &mut self.gathered);
        }
        let used = if records > 0 { cost(records, records * each) } else { 0 };
        assert!(used <= shard.granted);
        self.ledger.appended(who as u64, shard.granted, used);
        self.used += used;
    }

    /// The committer's turn: a start could write it anew, and there is room for all of it.
    fn take(&mut self) {
        let (frames, used) = (std::mem::take(&mut self.gathered), std::mem::take(&mut self.used));
        self.ledger.taken(used);
        if frames.is_empty() {
            return self.ledger.written(used, self.writer());
        }
        let begins = self.chain.opening_length() + 2 * self.chain.overhead() + 3 * BLOCK;
        let again = begins as u64 + used;
        assert!(self.kept.is_some_and(|kept| again <= kept), "{again} in {:?}", self.kept);
        let mut rest = &frames[..];
        let mut out = Vec::new();
        while !rest.is_empty() {
            let end = format::run_within(rest, self.chain.room_in(self.left), BATCH);
            if end == 0 {
                let bytes = self.ready.pop_front().expect("what was granted has room");
                self.ledger.rolled(bytes, true, Duration::ZERO);
                self.left = bytes as usize - self.chain.opening_length();
                continue;
            }
            out.clear();
            self.chain.batch(&IDENT, &rest[..end], &mut out);
            self.left -= out.len();
            rest = &rest[end..];
        }
        self.ledger.written(used, self.writer());
    }

    fn writer(&self) -> WriterState {
        WriterState {
            left: self.left as u64,
            overhead: self.chain.overhead() as u64,
            opening: self.chain.opening_length() as u64,
        }
    }

    fn make(&mut self) {
        match self.being_made.take() {
            Some(Due::Kept { bytes }) => {
                self.kept = Some(bytes);
                self.ledger.set_kept(self.kept);
            }
            Some(Due::Segment { bytes, least }) => {
                assert!(least <= bytes);
                self.ready.push_back(bytes);
                self.ledger.add_ready(bytes);
            }
            None => {}
        }
    }
}

proptest! {
    #[test]
    fn whatever_was_granted_can_be_written_and_written_anew(
        smallest in prop_oneof![Just(64_u64 << 10), Just(1 << 20), Just(4 << 20)],
        shards in 1..9_usize,
        all in prop::collection::vec(happens(), 1..150),
    ) {
        let mut written = Written::new(Sizes { smallest, largest: 16 * smallest });
        let mut granted = vec![Shard::default(); shards];
        let mut waits: Vec<Option<Ask>> = vec![None; shards];
        for happens in all {
            match happens {
                Happens::Asks { shard, control, records, bytes } => {
                    let who = shard % shards;
                    let class = if control { Class::Control } else { Class::Commands };
                    let ask = Ask::new(class, records, bytes);
                    waits[who] = match written.ledger.ask(who as u64, ask, granted[who].granted) {
                        Room::Granted => {
                            granted[who] = Shard { records, bytes, granted: ask.bytes };
                            None
                        }
                        Room::Later => Some(ask),
                        Room::Full(_) => None,
                    };
                }
                Happens::Appends { shard, percent } => {
                    let who = shard % shards;
                    written.append(who, std::mem::take(&mut granted[who]), percent);
                }
                Happens::Takes => written.take(),
                Happens::Begins => written.being_made = written.ledger.due(),
                Happens::IsMade => written.make(),
                Happens::Fails => {
                    written.being_made = None;
                    written.ledger.failed(no_space());
                }
            }
            for (place, who) in written.ledger.heard().into_iter().enumerate() {
                let who = who as usize;
                let ask = waits[who].take().expect("who does not wait hears nothing");
                let again = written.ledger.ask(who as u64, ask, granted[who].granted);
                match again {
                    Room::Granted => granted[who] = Shard { records: 0, bytes: 0, granted: ask.bytes },
                    // Those before it have taken the room.
                    Room::Later if place > 0 => waits[who] = Some(ask),
                    Room::Later => prop_assert!(false, "nothing has changed: {:?}", written.ledger),
                    Room::Full(_) => {}
                }
            }
            for (who, _) in waits.iter().enumerate().filter(|(_, ask)| ask.is_some()) {
                let others = written.ledger.waiting > granted[who].granted;
                prop_assert!(others || written.ledger.due().is_some(), "{who} for ever: {:?}", written.ledger);
            }
        }
        for (who, shard) in granted.into_iter().enumerate() {
            written.append(who, shard, 100);
        }
        written.take();
        prop_assert_eq!((written.ledger.waiting, written.ledger.taken), (0, 0));
        // Whoever waits now hears, once what is due is made.
        let mut told = written.ledger.heard().len();
        for _ in 0..8 {
            written.being_made = written.ledger.due();
            written.make();
            told += written.ledger.heard().len();
        }
        prop_assert_eq!(told, waits.iter().flatten().count(), "{:?}", written.ledger);
    }
}
