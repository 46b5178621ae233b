//! Timers: what rules schedule fires once, in time, whatever happens between.

use super::*;
use crate::shard::due::next_turn;
use proptest::prelude::*;
use proto::plan::AfterOutage;

const CLOCK: &str = "/clock/1";

impl Rig {
    /// Lets time go by, and all fire that is due.
    pub(super) fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        self.fire();
    }

    pub(super) fn fire(&mut self) {
        let mut turns = 0;
        while self.shard.next_due().is_some_and(|due_ms| due_ms <= self.now_ms) {
            self.shard.fire(self.now_ms);
            turns += 1;
            assert!(turns < 100_000, "timers fire without end");
        }
        self.settle();
    }

    fn ask_clock(&mut self, lane: &str, body: &str) {
        self.send(CLOCK, lane, body, None).unwrap_or_else(|refusal| panic!("{lane} {body}: {refusal:?}"));
    }

    fn timers(&self) -> (u64, u64) {
        let counts = self.shard.counts();
        (counts.timers.scheduled, counts.timers.fired)
    }
}

#[test]
fn a_timer_fires_once_when_it_is_due() {
    let mut rig = Rig::new();
    rig.ask_clock("after", r#"{"key": "k", "after": "2s"}"#);
    assert_eq!(rig.shard.next_due(), Some(3_001));
    rig.wait(1_999);
    assert_eq!((rig.shown(CLOCK, "fired"), rig.timers()), ("[]".into(), (1, 0)));
    rig.wait(1);
    let fired = r#"[["k","1970-01-01T00:00:03.001Z","1970-01-01T00:00:03.001Z"]]"#;
    assert_eq!((rig.shown(CLOCK, "fired"), rig.timers()), (fired.into(), (0, 1)));
    rig.restart();
    rig.wait(100_000);
    assert_eq!((rig.shown(CLOCK, "fired"), rig.shard.next_due()), (fired.into(), None));
    assert_eq!(
        rig.shard.counts().routes[4].done,
        0,
        "counted anew since the restart, and a timer is no command"
    );
}

#[test]
fn it_fires_after_a_restart_too_and_says_when_it_was_due() {
    let mut rig = Rig::new();
    rig.ask_clock("after", r#"{"key": 7, "after": "2s"}"#);
    rig.ask_clock("at", r#"{"key": 8, "at": "1970-01-01T00:00:09.0001Z"}"#);
    rig.ask_clock("at", r#"{"key": 9, "at": "1960-01-01T00:00:00Z"}"#);
    rig.restart();
    rig.wait(1_000_000);
    let fired = r#"[[9,"1970-01-01T00:00:00Z","1970-01-01T00:16:41.003Z"],[7,"1970-01-01T00:00:03.001Z","1970-01-01T00:16:41.003Z"],[8,"1970-01-01T00:00:09.001Z","1970-01-01T00:16:41.003Z"]]"#;
    assert_eq!(rig.shown(CLOCK, "fired"), fired);
}

#[test]
fn one_of_the_same_key_takes_its_place_and_a_cancelled_one_is_gone() {
    let mut rig = Rig::new();
    for (key, after) in [("1", "5s"), ("\"a\"", "5s"), ("1.0", "9s"), ("[1]", "5s")] {
        rig.ask_clock("after", &format!("{{\"key\": {key}, \"after\": \"{after}\"}}"));
    }
    rig.ask_clock("every", r#"{"every": "7s"}"#);
    assert_eq!(rig.timers().0, 4);
    rig.ask_clock("cancel", r#"["a", "none"]"#);
    assert_eq!(rig.timers().0, 2, "the one without a key, too");
    rig.restart();
    assert_eq!(rig.timers().0, 2);
    rig.wait(6_000);
    assert_eq!(rig.shown(CLOCK, "fired").matches("[1]").count(), 1);
    rig.wait(6_000);
    assert!(rig.shown(CLOCK, "fired").contains("[1,\"1970-01-01T00:00:10.003Z\""));
}

#[test]
fn after_an_outage_one_turn_stands_for_all_or_each_comes() {
    for (body, late, again) in [
        (r#"{"every": "1s"}"#, 1, "[null,\"1970-01-01T00:00:06.001Z\",\"1970-01-01T00:00:06.001Z\"]"),
        (r#"{"every": "1s", "each": true}"#, 3, "\"1970-01-01T00:00:06.001Z\""),
    ] {
        let mut rig = Rig::new();
        rig.ask_clock("every", body);
        rig.wait(1_000);
        assert_eq!(rig.timers(), (1, 1));
        rig.restart();
        rig.wait(3_900);
        assert_eq!(rig.timers(), (1, late), "{body}");
        rig.wait(100);
        assert!(
            rig.shown(CLOCK, "fired").contains(again),
            "it stays on its grid: {}",
            rig.shown(CLOCK, "fired")
        );
        rig.ask_clock("cancel", "[]");
        assert_eq!((rig.timers().0, rig.shard.next_due()), (0, None));
    }
    for (due, every, now, after, next) in [
        (10, 0, 10, AfterOutage::Each, None),
        (10, 5, 10, AfterOutage::Once, Some(15)),
        (10, 5, 14, AfterOutage::Once, Some(15)),
        (10, 5, 15, AfterOutage::Once, Some(20)),
        (10, 5, 27, AfterOutage::Once, Some(30)),
        (10, 5, 27, AfterOutage::Each, Some(15)),
        (10, 5, 3, AfterOutage::Once, Some(15)),
    ] {
        assert_eq!(next_turn(due, every, now, after), next, "{due} {every} {now} {after:?}");
    }
}

#[test]
fn what_a_timer_could_not_do_is_shown_and_the_next_turn_comes() {
    let mut rig = Rig::new();
    rig.ask_clock("after", r#"{"key": "wrong", "after": "1s"}"#);
    rig.ask_clock("after", r#"{"key": "no", "after": "2s"}"#);
    rig.ask_clock("after", r#"{"key": "again", "after": "0s"}"#);
    rig.wait(3_500);
    assert_eq!(rig.shown(CLOCK, "fired"), r#"["again"]"#);
    let faults = rig.shown(CLOCK, "faults");
    for part in [
        r#""at":"/clock/1","timer":"once","key":"wrong","error":"a whole number is divided by zero (at spec.agents[4].rules[6].do[0].set.to)","time":4503"#,
        r#""key":"no","error":"no (at spec.agents[4].rules[7].do[0].refuse)""#,
    ] {
        assert!(faults.contains(part), "{faults}");
    }
    assert_eq!((rig.timers(), rig.shard.counts().faults), ((1, 3), 2));
    rig.restart();
    rig.wait(1_000);
    assert_eq!(rig.shown(CLOCK, "fired"), r#"["again","again"]"#);
}

#[test]
fn a_timer_sends_as_a_command_does() {
    let mut rig = Rig::new();
    rig.ask_clock("after", r#"{"key": "to", "after": "1s"}"#);
    rig.now_ms += 1_000;
    rig.shard.fire(rig.now_ms);
    rig.deliver();
    assert_eq!(rig.shown("/sum/x", "total"), "4");
}

#[test]
fn wrong_times_are_refused() {
    let mut rig = Rig::new();
    for (lane, body, error) in [
        ("after", r#"{"after": 5}"#, "a duration such as duration('5m') is expected, not one of type int"),
        ("after", r#"{"after": "5"}"#, "a duration such as duration('5m') is expected, not '5'"),
        ("after", r#"{"key": null, "after": "5s"}"#, "null is no key"),
        (
            "at",
            r#"{"at": "tomorrow"}"#,
            "a timestamp such as now + duration('5m') or '2013-01-31T05:00:00Z' is expected, not 'tomorrow'",
        ),
        (
            "after",
            r#"{"after": "2570000h"}"#,
            "a duration such as duration('5m') is expected, not '2570000h'",
        ),
        ("every", r#"{"every": "99ms"}"#, "a timer fires every 100 ms at most, and every 68 years at least"),
        ("every", r#"{"every": "-1s"}"#, "a timer fires every 100 ms at most, and every 68 years at least"),
        (
            "every",
            r#"{"every": "613200h"}"#,
            "a timer fires every 100 ms at most, and every 68 years at least",
        ),
    ] {
        let refusal = rig.send(CLOCK, lane, body, None).unwrap_err();
        assert_eq!((refusal.code, &*refusal.error), (422, error), "{body}");
    }
    assert_eq!(rig.timers().0, 0);
}

#[test]
fn without_room_for_timers_commands_are_refused_and_what_is_there_fires() {
    let mut rig = Rig::new();
    let room = Room { timers: 10 * 48 + 100, ..Room::OF_NODE };
    rig.shard = Shard::new(1, room);
    rig.shard.handle(Event::Configured(configuration()), 0);
    let after = |rig: &mut Rig, key: u64| {
        rig.send(CLOCK, "after", &format!("{{\"key\": {key}, \"after\": \"1s\"}}"), None)
    };
    let taken = (0..20).take_while(|key| after(&mut rig, *key).is_ok()).count();
    assert_eq!(taken, 12);
    let refusal = after(&mut rig, 99).unwrap_err();
    assert_eq!((refusal.code, &*refusal.error), (429, "this node has no room for more timers at present"));
    rig.wait(1_000);
    assert_eq!(rig.timers(), (0, taken as u64));
    after(&mut rig, 99).unwrap();
}

#[test]
fn a_timer_waits_for_a_plan_that_has_its_name() {
    let mut rig = Rig::new();
    rig.ask_clock("every", r#"{"every": "1s"}"#);
    rig.ask_clock("after", r#"{"key": 1, "after": "1s"}"#);
    let without = PLAN.replace("\"once\"", "\"other\"");
    let plan = Plan::parse(without.as_bytes()).unwrap_or_else(|errors| panic!("{errors:?}"));
    let other =
        Arc::new(Assignment { plan: Arc::new(plan), generation: 2, owned: configuration().owned.clone() });
    rig.handle(Event::Configured(other));
    rig.wait(5_500);
    assert_eq!((rig.timers(), rig.shard.next_due()), ((2, 0), None));
    rig.handle(Event::Configured(configuration()));
    rig.fire();
    assert_eq!(rig.timers(), (1, 2), "once for all that it has missed");
}

#[test]
fn slot_time_goes_on_slowly_while_the_clock_is_behind() {
    let mut rig = Rig::new();
    rig.now_ms = 10_000_000;
    rig.ask_clock("after", r#"{"key": 1, "after": "10s"}"#);
    // The clock is set back by more than an hour.
    rig.now_ms -= 5_000_000;
    let mut since_ms = 0;
    while rig.timers().1 == 0 {
        (since_ms, rig.now_ms) = (since_ms + 500, rig.now_ms + 500);
        rig.shard.at(since_ms);
        if since_ms % 1_000 == 0 {
            rig.tick();
        }
        rig.fire();
        assert!(since_ms < 30_000, "it waits until the clock has come up");
    }
    assert_eq!((since_ms, rig.now_ms), (20_000, 5_020_001));
    assert!(rig.shown(CLOCK, "fired").contains(",\"1970-01-01T02:46:50.001Z\",\"1970-01-01T02:46:50.001Z\""));
}

#[derive(Clone, Debug)]
enum Step {
    After {
        key: u8,
        ms: u64,
    },
    Cancel {
        key: u8,
    },
    Wait {
        ms: u64,
    },
    /// The wall clock is set.
    Clock {
        to: u64,
    },
    Restart,
    /// What is not on the disk is lost.
    Lost {
        key: u8,
        ms: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..6_u8, 0..5_000_u64).prop_map(|(key, ms)| Step::After { key, ms }),
        2 => (0..6_u8).prop_map(|key| Step::Cancel { key }),
        5 => (0..3_000_u64).prop_map(|ms| Step::Wait { ms }),
        1 => (0..20_000_u64).prop_map(|to| Step::Clock { to }),
        2 => Just(Step::Restart),
        1 => (0..6_u8, 0..5_000_u64).prop_map(|(key, ms)| Step::Lost { key, ms }),
    ]
}

/// What a record's slot time was, in order.
fn times(rig: &Rig) -> Vec<u64> {
    rig.log.iter().map(|(_, body)| record::Record::decode(body).unwrap().time_ms).collect()
}

proptest! {
    /// Whatever happens to clock and node: slot time does not fall, what is scheduled and not cancelled fires once, and
    /// not before its time.
    #[test]
    fn each_fires_once_and_never_early(steps in proptest::collection::vec(step(), 1..60)) {
        let (mut rig, mut since_ms) = (Rig::new(), 0);
        let (mut waiting, mut fired) = (BTreeMap::new(), 0);
        let pass = |rig: &mut Rig, since_ms: &mut u64, ms: u64| {
            *since_ms += ms;
            rig.now_ms += ms;
            rig.shard.at(*since_ms);
            rig.tick();
            rig.fire();
        };
        for step in steps {
            match step {
                Step::After { key, ms } => {
                    rig.ask_clock("after", &format!("{{\"key\": {key}, \"after\": \"{ms}ms\"}}"));
                    let scheduled = times(&rig).pop().unwrap();
                    waiting.insert(key, scheduled + ms);
                }
                Step::Cancel { key } => {
                    rig.ask_clock("cancel", &format!("[{key}]"));
                    waiting.remove(&key);
                }
                Step::Wait { ms } => pass(&mut rig, &mut since_ms, ms),
                Step::Clock { to } => rig.now_ms = to,
                Step::Restart => {
                    rig.restart();
                    since_ms = 0;
                }
                Step::Lost { key, ms } => {
                    let body = format!("{{\"key\": {key}, \"after\": \"{ms}ms\"}}");
                    let event = rig.event(CLOCK, "after", &body, None, 0);
                    rig.handle(event);
                    rig.write();
                    rig.restart();
                    since_ms = 0;
                }
            }
            for (_, body) in &rig.log[fired..] {
                let record = record::Record::decode(body).unwrap();
                if let Some(record::Fired { key: Value::Int(key), due_ms, .. }) = &record.fired {
                    prop_assert_eq!(waiting.remove(&(*key as u8)), Some(*due_ms), "it fires once, as it was scheduled last");
                    prop_assert!(*due_ms <= record.time_ms, "not before its time");
                }
            }
            fired = rig.log.len();
        }
        for _ in 0..200 {
            pass(&mut rig, &mut since_ms, 500);
        }
        let times = times(&rig);
        prop_assert!(times.is_sorted(), "{:?}", times);
        prop_assert_eq!(rig.timers().0, 0, "all have fired");
        let records = rig.log[fired..].iter().map(|(_, body)| record::Record::decode(body).unwrap());
        let last: Vec<_> = records.filter_map(|record| record.fired).collect();
        prop_assert_eq!(last.len(), waiting.len());
    }
}
