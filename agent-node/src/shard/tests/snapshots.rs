//! Snapshots that are taken while the shard goes on, and what a start makes of them.

use super::*;
use crate::shard::lane::LaneState;
use crate::shard::timers::Timer;
use crate::snapshot::{Asked, BYTES_MAX, Begin, Given, Piece, Tag};
use proto::plan::LaneId;

/// Those of a rig.
#[derive(Default)]
pub struct Snapshots {
    round: u64,
    whole: BTreeMap<SlotId, Snapshot>,
    begun: BTreeMap<SlotId, Snapshot>,
}

struct Snapshot {
    begin: Begin,
    sections: Vec<(Tag, Vec<u8>)>,
}

impl Snapshots {
    fn take(&mut self, given: Vec<Given>) {
        for Given { slot, piece } in given {
            match piece {
                Piece::Begin(begin) => {
                    let before = self.begun.insert(slot, Snapshot { begin, sections: Vec::new() });
                    assert!(before.is_none());
                }
                Piece::Section(tag, bytes) => {
                    assert!(!bytes.is_empty() && bytes.len() <= BYTES_MAX);
                    self.begun.get_mut(&slot).unwrap().sections.push((tag, bytes));
                }
                Piece::End => {
                    if let Some(snapshot) = self.begun.remove(&slot) {
                        self.whole.insert(slot, snapshot);
                    }
                }
            }
        }
    }

    /// What a start has of them.
    pub fn install(&mut self, shard: &mut Shard<u32, u32>, durable: usize) {
        self.begun.clear();
        self.whole.retain(|_, snapshot| snapshot.begin.end.0 <= durable as u64);
        for (slot, Snapshot { begin, sections }) in &self.whole {
            shard.install_begin(*slot, begin);
            for (tag, bytes) in sections {
                shard.install_section(*tag, bytes).unwrap();
            }
            shard.install_end().unwrap();
        }
    }

    /// Whether a record's effects are in them.
    pub fn has(&self, head: &Head) -> bool {
        self.whole.get(&head.slot).is_some_and(|snapshot| head.lsn <= snapshot.begin.lsn)
    }
}

/// What a slot holds, without what may be in memory or in the log.
#[derive(Debug, PartialEq)]
struct Held {
    slot: SlotId,
    version: u64,
    names: Vec<u8>,
    seen: BTreeMap<SlotId, Place>,
    agents: BTreeMap<String, HeldAgent>,
}

/// Lanes and timers.
type HeldAgent = (Vec<(LaneId, LaneState)>, Vec<String>);

fn held(shard: &Shard<u32, u32>) -> Vec<Held> {
    let slots = shard.slots.iter().enumerate();
    let slots = slots.filter_map(|(id, slot)| Some((id as SlotId, slot.as_deref()?)));
    let of_slot = |(id, slot): (SlotId, &slot::Slot)| -> Held {
        let mut names = Vec::new();
        shard.names.encode(id, |item| item(&mut names));
        let seen = slot.seen.iter().map(|(from, place)| (*from, *place)).collect();
        let agents = slot.agents.all().map(|(address, agent)| {
            let mut states: Vec<_> = agent.states().map(|(id, state)| (id, state.clone())).collect();
            states.sort_by_key(|(id, _)| *id);
            let timers = slot.timers.all().filter(|timer| slot.agents.get(timer.agent).0 == address);
            let mut timers: Vec<_> =
                timers.map(|timer| format!("{:?}", Timer { agent: 0, ..timer })).collect();
            timers.sort();
            (address.to_string(), (states, timers))
        });
        Held { slot: id, version: slot.numbers.version(), names, seen, agents: agents.collect() }
    };
    slots.map(of_slot).filter(|held| held.version & ((1 << 40) - 1) > 0).collect()
}

impl Rig {
    pub fn ask_for_snapshots(&mut self) {
        self.snapshots.round += 1;
        self.snapshots.begun.clear();
        let (round, slots) = (self.snapshots.round, (0..256).collect());
        self.handle(Event::Snapshot(Asked::Take { round, slots }));
    }

    pub fn walk(&mut self, bytes: usize) {
        self.write();
        let mut given = Vec::new();
        self.shard.walk(bytes, &mut given);
        self.snapshots.take(given);
    }

    /// A start from the snapshots and the rest of the log has what one from the whole log has.
    pub fn snapshots_follow_from_the_log(&mut self) {
        let mut shard = Shard::new(3, Room::OF_NODE);
        for (position, (head, body)) in (0..).zip(&self.log) {
            shard.replay(Position(position), *head, body).unwrap();
        }
        shard.handle(Event::Configured(configuration()), self.now_ms);
        assert_eq!(held(&shard), held(&self.shard));
    }

    fn take_all(&mut self) {
        self.ask_for_snapshots();
        let mut turns = 0;
        while self.shard.takes_snapshots().is_some() {
            self.walk(BYTES_MAX);
            turns += 1;
            assert!(turns < 100_000, "a walk without end");
        }
        self.settle();
    }
}

#[test]
fn an_agent_that_changes_before_its_turn_is_written_as_it_was() {
    let mut rig = Rig::new();
    let slot = Rig::slot_of("/counter/0");
    let here: Vec<_> =
        (0..).map(|n| format!("/counter/{n}")).filter(|agent| Rig::slot_of(agent) == slot).take(50).collect();
    for agent in &here {
        rig.send(agent, "note", "1", None).unwrap();
    }
    rig.ask_for_snapshots();
    while rig.snapshots.begun.is_empty() {
        rig.walk(1);
        assert!(rig.shard.takes_snapshots().is_some(), "more than one agent in one turn");
    }
    let lsn = rig.snapshots.begun[&slot].begin.lsn;
    // The last ones first, the first one as a new agent comes, and one twice.
    for agent in here.iter().rev().chain([&here[3], &"/counter/new".to_owned()]) {
        rig.send(agent, "note", "2", None).unwrap();
        rig.walk(1);
    }
    while rig.shard.takes_snapshots().is_some() {
        rig.walk(1);
    }
    let mut shard = Shard::<u32, u32>::new(2, Room::OF_NODE);
    rig.snapshots.install(&mut shard, rig.durable);
    let whole = shard.slots[usize::from(slot)].as_ref().unwrap();
    assert_eq!((whole.numbers.lsn, whole.agents.len()), (lsn, 50));
    for (address, agent) in whole.agents.all() {
        let notes: Vec<_> = agent.states().map(|(_, state)| state.clone()).collect();
        assert!(matches!(&notes[..], [LaneState::Value(Value::Int(1), _)]), "{address}: {notes:?}");
    }
    rig.restart();
    rig.snapshots_follow_from_the_log();
}

#[test]
fn what_is_longer_than_a_piece_comes_in_several() {
    let mut rig = Rig::new();
    let long = "x".repeat(200 << 10);
    rig.send("/counter/1", "note", &format!("\"{long}\""), None).unwrap();
    for key in 0..40 {
        let change =
            format!("{{\"update\": {{\"key\": {key}, \"value\": \"{}\"}}}}", "y".repeat(key * 4_000));
        rig.send("/counter/1", "marks", &change, Some(key as u64)).unwrap();
        rig.send("/counter/2", "marks", &change, None).unwrap();
    }
    rig.send("/counter/1", "marks", "{\"remove\": {\"key\": 7}}", None).unwrap();
    for key in 0..3_000 {
        let change = format!("{{\"update\": {{\"key\": {key}, \"value\": 5}}}}");
        rig.send("/counter/3", "marks", &change, None).unwrap();
    }
    rig.take_all();
    let sections = rig.snapshots.whole.values().map(|snapshot| snapshot.sections.len()).sum::<usize>();
    assert!(sections > 60, "{sections}");
    rig.restart();
    rig.snapshots_follow_from_the_log();
}

#[test]
fn timers_are_in_a_snapshot_and_counted_when_it_is_brought_in() {
    let mut rig = Rig::new();
    for key in ["1", "\"a\"", "[1, 2]"] {
        rig.send("/clock/1", "after", &format!("{{\"key\": {key}, \"after\": \"5s\"}}"), None).unwrap();
    }
    rig.send("/clock/1", "every", "{\"every\": \"7s\"}", None).unwrap();
    rig.take_all();
    let counts = rig.shard.counts().timers;
    rig.restart();
    rig.snapshots_follow_from_the_log();
    assert_eq!(
        (rig.shard.counts().timers.scheduled, rig.shard.counts().timers.bytes),
        (counts.scheduled, counts.bytes)
    );
    assert_eq!(rig.shard.next_due(), Some(6_001));
    rig.send("/clock/1", "cancel", "[\"a\"]", None).unwrap();
    rig.take_all();
    rig.restart();
    rig.snapshots_follow_from_the_log();
    rig.shard.drop_slot(Rig::slot_of("/clock/1"));
    assert_eq!((rig.shard.counts().timers.scheduled, rig.shard.next_due()), (0, None));
}

#[test]
fn a_round_takes_the_place_of_the_one_before() {
    let mut rig = Rig::new();
    for agent in 0..9 {
        rig.send(&format!("/counter/{agent}"), "note", "1", None).unwrap();
    }
    rig.ask_for_snapshots();
    rig.walk(1);
    rig.handle(Event::Snapshot(Asked::Take { round: 7, slots: vec![Rig::slot_of("/counter/1"), 255] }));
    assert_eq!(rig.shard.takes_snapshots(), Some(7));
    rig.snapshots.begun.clear();
    rig.snapshots.whole.clear();
    rig.walk(1 << 20);
    assert_eq!(rig.shard.takes_snapshots(), None);
    assert_eq!(rig.snapshots.whole.keys().copied().collect::<Vec<_>>(), [Rig::slot_of("/counter/1")]);
}

#[test]
fn a_broken_section_is_told_and_leaves_nothing_of_the_slot() {
    let mut rig = Rig::new();
    rig.send("/counter/1", "note", "1", Some(1)).unwrap();
    rig.take_all();
    let slot = Rig::slot_of("/counter/1");
    let Snapshot { begin, sections } = rig.snapshots.whole.remove(&slot).unwrap();
    for (tag, bytes) in &sections {
        for cut in 0..bytes.len() {
            let mut shard = Shard::<u32, u32>::new(2, Room::OF_NODE);
            shard.install_begin(slot, &begin);
            if cut > 0 {
                let said = shard.install_section(*tag, &bytes[..cut]).unwrap_err();
                assert!(
                    said.starts_with(&format!("section {} of the snapshot is broken: ", tag.0)),
                    "{said}"
                );
            }
            shard.drop_slot(slot);
            assert!(held(&shard).is_empty() && shard.counts().client_names.names == 0);
        }
    }
    let mut shard = Shard::<u32, u32>::new(2, Room::OF_NODE);
    shard.install_begin(slot, &begin);
    assert_eq!(shard.install_section(Tag(0x63 | Tag::MAY_BE_SKIPPED), &[1]), Ok(()));
    let said = shard.install_section(Tag(99), &[1]).unwrap_err();
    assert_eq!(said, "section 99 of the snapshot is broken: this version does not know it");
}
