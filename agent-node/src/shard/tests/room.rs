//! Room: no record is over its bound, and on a full disk no more is written than was granted.

use super::*;
use crate::log::RECORD_HEAD;
use crate::shard::outbox::TRIMS_MAX;
use proptest::prelude::*;

impl Rig {
    fn keyed(&mut self, agent: &str, client: &str, sequence: u64) -> Result<u64, Refusal> {
        let event = self.event(agent, "add", "{\"n\": 1}", None, 0);
        let Event::Command(command) = event else { unreachable!("it is one") };
        self.handle(Event::Command(Command { key: Some((client.into(), sequence)), ..command }));
        let answer = self.settle().into_iter().find_map(|effect| match effect {
            Effect::Answer { end, .. } => Some(end.map(|done| done.version)),
            _ => None,
        });
        answer.expect("an answer")
    }

    /// Ticks until one writes nothing, and gives the longest record and the longest turn.
    fn tidy_all(&mut self) -> (usize, usize) {
        let (mut record, mut turn) = (0, 0);
        loop {
            self.tick();
            let records = self.shard.records();
            if records.is_empty() {
                return (record, turn);
            }
            record = record.max(records.heads().iter().map(|(_, body)| body.len()).max().unwrap_or(0));
            turn = turn.max(records.bytes());
            self.settle();
        }
    }
}

fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("{n:0>128}"))
}

/// What 26,000 requests to one agent did, each under a name of its own of 128 bytes: an hour later one record of over
/// 3 MiB, which ended the process, and each start after it.
#[test]
fn names_of_one_slot_that_go_idle_together_are_forgotten_in_pieces() {
    let mut rig = Rig::new();
    for name in names(26_000) {
        rig.keyed("/counter/1", &name, 1).unwrap();
    }
    rig.now_ms += names::IDLE_MS;
    rig.restart();
    let (record, turn) = rig.tidy_all();
    assert!(record > 10_000 && record <= TIDY_MAX && turn <= TIDY_MAX, "{record} {turn}");
    rig.restart();
    let last = names(26_000).last().unwrap();
    assert_eq!(rig.keyed("/counter/1", &last, 1).unwrap_err().code, 409, "its highest is its floor");
    rig.now_ms += names::REMEMBER_MS;
    let (record, turn) = rig.tidy_all();
    assert!(record > 10_000 && record <= TIDY_MAX && turn <= TIDY_MAX, "{record} {turn}");
    rig.restart();
    assert!(rig.keyed("/counter/1", &last, 1).is_ok(), "forgotten");
}

#[test]
fn what_is_taken_of_many_slots_is_said_in_pieces_and_refuses_no_command() {
    let mut rig = Rig::new();
    let slot = Rig::slot_of("/counter/1");
    let trims = 3 * TRIMS_MAX as u16;
    for to in 0..trims {
        let place = Place { history: 5, lsn: u64::from(to) + 1, index: 1 };
        let message = Message {
            from: slot,
            to,
            place,
            previous: Place::default(),
            sender: Address::parse("/counter/1").unwrap(),
            agent: Address::parse("/sum/x").unwrap(),
            lane: Text::new("take"),
            body: Value::Null,
            hops: 1,
        };
        let (slot, total) = (slot_of(&mut rig.shard.slots, slot), &mut rig.shard.outboxes);
        slot.outbox.push(message, 100, outbox::RecordAt::Log(Position(0)), total);
        slot.outbox.taken(Taken { from: 0, to, seen: place, verdict: Verdict::Done }, total);
    }
    rig.send("/counter/1", "add", "{\"n\": 1}", None).unwrap();
    let said = |rig: &Rig| -> Vec<usize> {
        rig.log.iter().map(|(_, body)| record::Record::decode(body).unwrap().trims.len()).collect()
    };
    assert_eq!(said(&rig), [TRIMS_MAX]);
    rig.tick();
    assert!(rig.shard.records().is_empty(), "a slot at work says it with its commands");
    rig.tidy_all();
    assert_eq!(said(&rig), [TRIMS_MAX; 3]);
}

/// A plan that lets a lane of many entries have few: each put lets a bounded number go, and none is refused for it.
#[test]
fn a_lane_that_a_plan_makes_smaller_becomes_so_with_the_puts_that_come() {
    let plan = |entries: usize| {
        let text = PLAN.replace(
            "\"marks\", \"type\": \"Map\"",
            &format!("\"marks\", \"type\": \"Map\", \"retain\": {{\"entries\": {entries}}}"),
        );
        let owned = vec![Some(Ownership { epoch: 1, history: 5 }); 256];
        let plan = Arc::new(Plan::parse(text.as_bytes()).unwrap());
        Event::Configured(Arc::new(Assignment { plan, generation: 2, owned }))
    };
    let put = |rig: &mut Rig, key: usize| {
        let event = rig.event(
            "/counter/1",
            "marks",
            &format!("{{\"update\": {{\"key\": {key}, \"value\": 0}}}}"),
            None,
            0,
        );
        rig.handle(event);
    };
    let mut rig = Rig::new();
    rig.handle(plan(200_000));
    for key in 0..150_000 {
        put(&mut rig, key);
        if key % 1_000 == 0 {
            rig.settle();
        }
    }
    rig.settle();
    rig.handle(plan(100));
    let length = |rig: &mut Rig| match rig.get("/counter/1", "marks").unwrap().body {
        Body::Map(entries) => entries.len(),
        Body::Value(_) => unreachable!("marks is a Map"),
    };
    let (mut puts, mut left) = (0, 150_000);
    while left > 100 {
        // Of the newest key again and again, and of new ones.
        let key = if puts % 2 == 0 { 149_999 } else { 150_000 + puts };
        put(&mut rig, key);
        let records = rig.shard.records();
        assert!(records.bytes() < 2_000, "{}", records.bytes());
        let answers = rig.settle();
        assert!(
            answers.iter().any(|effect| matches!(effect, Effect::Answer { end: Ok(_), .. })),
            "{answers:?}"
        );
        puts += 1;
        if puts % 100 == 0 {
            left = length(&mut rig);
        }
    }
    assert!(puts <= 2_500, "{puts} puts");
    assert_eq!(length(&mut rig), 100);
    rig.restart();
    rig.handle(plan(100));
    assert_eq!(length(&mut rig), 100);
}

#[derive(Debug, Clone)]
enum Turn {
    Command {
        agent: u8,
        client: u8,
    },
    Sends {
        agent: u8,
    },
    Deliver,
    Lost,
    Tick,
    Hours(u8),
    /// The disk has room for so many records more.
    Room(u8),
    Restart,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        6 => (0..4_u8, 0..6_u8).prop_map(|(agent, client)| Turn::Command { agent, client }),
        2 => (0..4_u8).prop_map(|agent| Turn::Sends { agent }),
        3 => Just(Turn::Deliver),
        1 => Just(Turn::Lost),
        4 => Just(Turn::Tick),
        2 => (1..200_u8).prop_map(Turn::Hours),
        1 => (0..4_u8).prop_map(Turn::Room),
        1 => Just(Turn::Restart),
    ]
}

proptest! {
    /// A disk with little room: whatever happens, no more is written than was granted for it. When there is room
    /// again, all goes on.
    #[test]
    fn no_more_is_written_than_was_granted(turns in proptest::collection::vec(turn(), 1..80)) {
        let (mut rig, mut room) = (Rig::new(), 0_usize);
        let mut wire = VecDeque::new();
        for turn in turns {
            let granted = match &turn {
                Turn::Command { .. } | Turn::Sends { .. } => RECORD_MAX,
                Turn::Deliver if matches!(wire.front(), Some(Effect::Send(_))) => RECORD_MAX,
                Turn::Tick => TIDY_MAX,
                _ => 0,
            };
            let granted = if granted + RECORD_HEAD <= room { granted + RECORD_HEAD } else { 0 };
            let refuse = Refusal::full("the disk is full", "");
            match turn {
                Turn::Command { agent, client } => {
                    let event = rig.event(&format!("/counter/{agent}"), "add", "{\"n\": 1, \"to\": \"x\"}", None, 0);
                    let sequence = rig.next;
                    let Event::Command(command) = event else { unreachable!("it is one") };
                    let event = Event::Command(Command { key: Some((client.to_string().into(), sequence)), ..command });
                    if granted > 0 { rig.handle(event) } else { rig.shard.refuse(event, &refuse) }
                }
                Turn::Sends { agent } => {
                    let event = rig.event(&format!("/counter/{agent}"), "both", "0", None, 0);
                    if granted > 0 { rig.handle(event) } else { rig.shard.refuse(event, &refuse) }
                }
                Turn::Deliver => match wire.pop_front() {
                    Some(Effect::Send(message)) if granted > 0 => rig.handle(Event::Message(message)),
                    Some(Effect::Send(message)) => rig.shard.refuse(Event::Message(message), &refuse),
                    Some(Effect::Taken(taken)) => rig.handle(Event::Taken(taken)),
                    Some(Effect::Fetch(from, fetch)) => rig.fetch(from, &fetch),
                    _ => {}
                },
                Turn::Lost => wire.retain(|effect| matches!(effect, Effect::Fetch(..))),
                Turn::Tick => rig.shard.tick(rig.now_ms, granted),
                Turn::Hours(hours) => rig.now_ms += u64::from(hours) * 3_600_000,
                Turn::Room(records) => room = usize::from(records) * RECORD_MAX,
                Turn::Restart => {
                    rig.restart();
                    wire.clear();
                }
            }
            let written = rig.shard.records().bytes();
            prop_assert!(written <= granted, "{} bytes of {}", written, granted);
            room -= written;
            wire.extend(rig.settle());
        }
        // What was on its way is lost, and sent again.
        rig.restart();
        rig.tick();
        rig.deliver();
        prop_assert_eq!(rig.shard.counts().outbox, 0);
    }
}
