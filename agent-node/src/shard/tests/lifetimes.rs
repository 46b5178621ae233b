//! Agents that end, by a rule or for want of commands, and entries that go for their age.

use super::*;
use proptest::prelude::*;

const VISIT: &str = "/visit/1";
const HOUR: u64 = 3_600_000;

impl Rig {
    fn visit(&mut self, lane: &str, body: &str) {
        self.send(VISIT, lane, body, None).unwrap_or_else(|refusal| panic!("{lane} {body}: {refusal:?}"));
    }

    fn lanes(&mut self) -> [String; 3] {
        ["hits", "recent", "memo"].map(|lane| self.shown(VISIT, lane))
    }

    fn keys(&mut self) -> Vec<i64> {
        let Body::Map(map) = self.get(VISIT, "recent").unwrap().body else { panic!("a map") };
        map.values()
            .filter_map(|(key, _)| if let Value::Int(key) = key { Some(*key) } else { None })
            .collect()
    }
}

#[test]
fn an_agent_that_ends_is_as_in_the_beginning_and_may_begin_anew() {
    for (body, lanes, timers, note) in [
        ("\"go\"", ["0", "[]", "[0,0]"], 1, "[0,0]"),
        ("\"again\"", ["0", "[[\"bye\",0]]", "[0,0]"], 3, "2"),
        ("\"stay\"", ["100", "[[5,1]]", "[100,1]"], 3, "1"),
    ] {
        let mut rig = Rig::new();
        rig.visit("hit", "5");
        rig.visit("bye", body);
        assert_eq!(rig.lanes(), lanes, "{body}");
        assert_eq!(rig.shard.counts().timers.scheduled, timers, "{body}");
        rig.restart();
        assert_eq!(rig.lanes(), lanes, "{body}");
        assert_eq!(rig.shard.counts().timers.scheduled, timers, "{body}");
        rig.wait(1_000);
        assert_eq!(rig.lanes()[2], note, "{body}");
    }
}

#[test]
fn whoever_watches_is_told_of_the_end() {
    let mut rig = Rig::new();
    rig.visit("hit", "5");
    for (watch, lane) in [(1, "hits"), (2, "recent")] {
        let (agent, slot) = (Address::parse(VISIT).unwrap(), Rig::slot_of(VISIT));
        rig.handle(Event::Attach(Attach { watch, agent, slot, lane: lane.into(), since: 0, limit: None }));
    }
    rig.settle();
    let bye = rig.event(VISIT, "bye", "\"again\"", None, 0);
    rig.handle(bye);
    let told = rig.settle().into_iter().filter_map(|effect| match effect {
        Effect::Update { to, update } => {
            let changes = update.changes.into_iter().map(|one| format!("{:?}", one.change));
            Some(format!("{to}: {}", changes.collect::<Vec<_>>().join(", ")))
        }
        _ => None,
    });
    let mut told: Vec<String> = told.collect();
    told.sort_unstable();
    assert_eq!(told, ["1: Set(Int(100)), Set(Int(0))", "2: Clear, Put(Text(\"bye\"), Int(0))"]);
}

#[test]
fn an_agent_without_a_command_for_so_long_ends_and_one_with_commands_does_not() {
    let mut rig = Rig::new();
    rig.visit("hit", "5");
    let records = rig.log.len();
    for _ in 0..5 {
        rig.wait(HOUR - 60_000);
        assert_ne!(rig.lanes()[0], "0");
        rig.visit("hit", "5");
        rig.restart();
    }
    let beside = rig.log.len() - records - 5;
    assert!(beside <= 10, "{beside} records beside those of commands");
    rig.wait(HOUR - 1);
    assert_eq!(rig.lanes()[0], "6");
    rig.wait(1);
    assert_eq!(rig.lanes()[..2], ["0", "[]"]);
    assert_eq!(rig.shard.counts().timers.scheduled, 0);
    rig.restart();
    assert_eq!(rig.lanes()[..2], ["0", "[]"]);
}

#[test]
fn more_time_holds_at_once_and_less_from_the_next_command_on() {
    let other = |expire: &str| {
        let text = PLAN.replace("\"expire\": \"1h\", ", expire);
        let plan = Plan::parse(text.as_bytes()).unwrap_or_else(|errors| panic!("{errors:?}"));
        let owned = configuration().owned.clone();
        Event::Configured(Arc::new(Assignment { plan: Arc::new(plan), generation: 2, owned }))
    };
    let mut rig = Rig::new();
    rig.visit("hit", "5");
    rig.handle(other("\"expire\": \"3h\", "));
    rig.wait(2 * HOUR);
    assert_eq!(rig.lanes()[0], "1");
    rig.handle(other("\"expire\": \"1m\", "));
    rig.wait(HOUR - 20);
    assert_eq!(rig.lanes()[0], "1");
    rig.visit("hit", "5");
    rig.wait(60_000);
    assert_eq!(rig.lanes()[0], "0");
    rig.visit("hit", "5");
    rig.handle(other(""));
    rig.wait(100 * HOUR);
    assert_eq!(rig.lanes()[0], "1", "without the field none ends");
}

proptest! {
    /// Whatever is put when, and whenever the node starts again: an entry is there until it is a minute old, and not for
    /// much longer.
    #[test]
    fn entries_go_when_they_are_old_and_not_before(
        steps in proptest::collection::vec((0..6_i64, 0..40_000_u64, 0..8_u8), 1..60)
    ) {
        let mut rig = Rig::new();
        let mut put: BTreeMap<i64, u64> = BTreeMap::new();
        for (key, ms, what) in steps {
            match what {
                0 => rig.restart(),
                1..4 => {
                    rig.visit("hit", &key.to_string());
                    put.insert(key, rig.now_ms);
                }
                _ => rig.wait(ms),
            }
            rig.fire();
            let keys = rig.keys();
            for (key, at) in &put {
                let age = rig.now_ms - at;
                prop_assert!(age >= 60_000 || keys.contains(key), "{} went after {}", key, age);
                prop_assert!(age <= 60_000 + 10_000 || !keys.contains(key), "{} is there after {}", key, age);
            }
        }
    }
}
