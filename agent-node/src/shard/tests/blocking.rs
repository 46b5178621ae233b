//! Watchers whose queues block: commands wait for them, for a while.

use super::*;

fn attach(rig: &mut Rig, agent: &str, lane: &str, limit: u64) {
    let slot = Rig::slot_of(agent);
    let agent = Address::parse(agent).unwrap();
    rig.handle(Event::Attach(Attach {
        watch: 1,
        agent,
        slot,
        lane: lane.into(),
        since: 0,
        limit: Some(limit),
    }));
    rig.settle();
}

fn limit(rig: &mut Rig, agent: &str, lane: &str, limit: u64) {
    let agent = Address::parse(agent).unwrap();
    rig.handle(Event::Limit { watch: 1, agent, lane: lane.into(), limit });
}

fn add(rig: &mut Rig) -> Option<u16> {
    rig.send("/counter/1", "add", "{\"n\": 1}", None).err().map(|refusal| refusal.code)
}

#[test]
fn commands_are_refused_until_there_is_room_but_not_for_ever() {
    let mut rig = Rig::new();
    attach(&mut rig, "/counter/1", "bell", 2);
    assert_eq!([add(&mut rig), add(&mut rig), add(&mut rig)], [None, None, Some(429)]);
    assert_eq!(rig.shown("/counter/1", "total"), "2", "nothing of it has happened");
    assert!(rig.send("/counter/2", "add", "{\"n\": 1}", None).is_ok(), "others go on");
    assert!(rig.send("/counter/1", "note", "1", None).is_ok(), "what emits nothing goes on");
    limit(&mut rig, "/counter/1", "bell", 3);
    assert_eq!([add(&mut rig), add(&mut rig)], [None, Some(429)]);
    limit(&mut rig, "/counter/1", "bell", 2);
    assert_eq!(add(&mut rig), Some(429), "a limit does not fall");
    rig.now_ms += 5_000;
    assert_eq!([add(&mut rig), add(&mut rig)], [None, None], "it has waited for long enough");
    limit(&mut rig, "/counter/1", "bell", 6);
    assert_eq!([add(&mut rig), add(&mut rig)], [None, Some(429)], "there was room again in between");
    let agent = Address::parse("/counter/1").unwrap();
    rig.handle(Event::Detach { watch: 1, slot: Rig::slot_of("/counter/1"), agent, lane: "bell".into() });
    assert_eq!(add(&mut rig), None);
}

#[test]
fn what_other_agents_send_waits_and_is_no_fault() {
    let mut rig = Rig::new();
    attach(&mut rig, "/sum/x", "take", 1);
    let event = rig.event("/counter/1", "both", "0", None, 0);
    rig.handle(event);
    rig.deliver();
    rig.tick();
    rig.deliver();
    assert_eq!(rig.shown("/sum/x", "count"), "1");
    limit(&mut rig, "/sum/x", "take", 2);
    rig.tick();
    rig.deliver();
    assert_eq!((rig.shown("/sum/x", "total"), rig.shown("/sum/x", "faults")), ("3".into(), "[]".into()));
    assert_eq!(rig.shard.counts().outbox, 0);
}
