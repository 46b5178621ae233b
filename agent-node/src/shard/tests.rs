//! Commands, sends, watchers and plans against one shard, with a log that forgets what was not synced.

mod blocking;
mod lifetimes;
mod plans;
mod refused;
mod room;
mod snapshots;
mod steps;
mod timers;

use super::*;
use crate::log::Head;
use proto::address::Slot as SlotId;
use proto::value::Text;
use std::collections::{BTreeMap, VecDeque};
use std::sync::LazyLock;

type Out = Effect<u32, u32>;

const PLAN: &str = r#"{
  "replicas": 1, "slots": 256, "storage": {"size": "1Gi"},
  "agents": [
    {"route": "/counter/:id",
     "lanes": [
       {"name": "add", "type": "Command"}, {"name": "both", "type": "Command"},
       {"name": "total", "type": "Value", "initial": 0}, {"name": "seen", "type": "Map", "retain": {"entries": 3}},
       {"name": "note", "type": "Value", "access": "ReadWrite"}, {"name": "marks", "type": "Map", "access": "ReadWrite"},
       {"name": "bell", "type": "Supply"}, {"name": "hidden", "type": "Value", "access": "Internal"}],
     "rules": [
       {"command": "add", "do": [
         {"set": {"lane": "total", "to": "total + event.n"}},
         {"put": {"lane": "seen", "key": "event.n", "to": "total"}},
         {"emit": {"lane": "bell", "body": "total"}},
         {"send": {"agent": "'/sum/' + event.to", "lane": "take", "body": "event.n", "when": "has(event.to)"}},
         {"set": {"lane": "hidden", "to": "1 / event.n"}}]},
       {"command": "both", "do": [
         {"send": {"agent": "'/sum/x'", "lane": "take", "body": "1"}},
         {"send": {"agent": "'/sum/x'", "lane": "take", "body": "2"}},
         {"send": {"agent": "'/sum/y'", "lane": "take", "body": "4"}}]}]},
    {"route": "/sum/:id",
     "lanes": [{"name": "take", "type": "Command", "schema": {"type": "Int"}}, {"name": "total", "type": "Value", "initial": 0},
               {"name": "count", "type": "Value", "initial": 0}],
     "rules": [{"command": "take", "do": [
       {"set": {"lane": "total", "to": "total + event"}}, {"set": {"lane": "count", "to": "count + 1"}},
       {"set": {"lane": "total", "to": "1 / 0", "when": "event == 13"}}]}]},
    {"route": "/echo/:id",
     "lanes": [{"name": "hear", "type": "Command"}, {"name": "heard", "type": "Value", "initial": 0}],
     "rules": [{"command": "hear", "do": [
       {"set": {"lane": "heard", "to": "heard + 1"}}, {"send": {"agent": "here", "lane": "hear"}}]}]},
    {"route": "/shop/:id",
     "lanes": [{"name": "order", "type": "Command"}, {"name": "hear", "type": "Command"},
               {"name": "walk", "type": "Command"}, {"name": "say", "type": "Command"},
               {"name": "stock", "type": "Map", "access": "ReadWrite"}, {"name": "orders", "type": "Value", "initial": 0},
               {"name": "heard", "type": "Value", "initial": []}, {"name": "bell", "type": "Supply"}],
     "rules": [
       {"command": "order", "do": [
         {"set": {"lane": "orders", "to": "orders + 1"}},
         {"refuse": {"each": "event.items", "when": "!(item.sku in stock)", "with": "'there is no ' + item.sku"}},
         {"refuse": {"each": "event.items", "when": "stock[item.sku] == 0", "with": "'all ' + item.sku + ' are sold'",
                     "code": 409}},
         {"put": {"lane": "stock", "each": "event.items", "key": "item.sku", "to": "stock[item.sku] - item.n",
                  "when": "item.n > 0"}},
         {"refuse": {"each": "event.items", "when": "stock[item.sku] < 0", "with": "item.n", "code": 429}},
         {"emit": {"lane": "bell", "each": "event.items", "body": "[item.sku, stock[item.sku]]"}},
         {"send": {"agent": "'/shop/' + item", "lane": "hear", "each": "event.?tell.orValue([])", "body": "[here, item]"}},
         {"answer": "{'order': orders, 'left': stock}"}]},
       {"command": "hear", "do": [
         {"set": {"lane": "heard", "to": "heard + [event]"}},
         {"refuse": {"with": "'the shop is shut'", "code": 429, "when": "agent.id == 'shut'"}},
         {"answer": "1 / 0"}]},
       {"command": "walk", "do": [
         {"set": {"lane": "heard", "each": "event.over == 'stock' ? stock : event.over", "to": "heard + [item]"}},
         {"remove": {"lane": "stock", "each": "event.?gone.orValue([])", "key": "item", "when": "item != 'keep'"}},
         {"clear": {"lane": "stock", "each": "event.?gone.orValue([])", "when": "item == 'all'"}}]},
       {"command": "say", "when": "has(event.first)", "do": [{"answer": "event.first"}]},
       {"command": "say", "when": "has(event.second)", "do": [{"answer": "event.second"}]}]},
    {"route": "/clock/:id",
     "timers": [{"name": "once"}, {"name": "each", "afterOutage": "Each"}],
     "lanes": [{"name": "after", "type": "Command"}, {"name": "at", "type": "Command"}, {"name": "every", "type": "Command"},
               {"name": "cancel", "type": "Command"}, {"name": "fired", "type": "Value", "initial": []},
               {"name": "poke", "type": "Command"}],
     "rules": [
       {"command": "after", "do": [{"schedule": {"timer": "once", "key": "event.?key.orValue(0)", "after": "event.after"}}]},
       {"command": "at", "do": [{"schedule": {"timer": "once", "key": "event.?key.orValue(0)", "at": "event.at"}}]},
       {"command": "every", "when": "!has(event.each)", "do": [{"schedule": {"timer": "once", "every": "event.every"}}]},
       {"command": "every", "when": "has(event.each)", "do": [{"schedule": {"timer": "each", "every": "event.every"}}]},
       {"command": "cancel", "do": [{"cancel": {"timer": "once", "key": "item", "each": "event"}},
                                    {"cancel": {"timer": "once"}}, {"cancel": {"timer": "each"}}]},
       {"timer": "once", "when": "key != 'wrong' && key != 'no' && key != 'again' && key != 'to'", "do": [
         {"set": {"lane": "fired", "to": "fired + [[key, event.due, string(now)]]"}}]},
       {"timer": "once", "when": "key == 'wrong'", "do": [{"set": {"lane": "fired", "to": "1 / 0"}}]},
       {"timer": "once", "when": "key == 'no'", "do": [{"refuse": {"with": "'no'", "code": 429}}]},
       {"timer": "once", "when": "key == 'again'", "do": [
         {"set": {"lane": "fired", "to": "fired + [key]"}}, {"schedule": {"timer": "once", "key": "key", "after": "'1s'"}}]},
       {"timer": "once", "when": "key == 'to'", "do": [{"send": {"agent": "'/sum/x'", "lane": "take", "body": "4"}}]},
       {"timer": "each", "do": [{"set": {"lane": "fired", "to": "fired + [event.due]"}}]}]},
    {"route": "/visit/:id", "expire": "1h", "timers": [{"name": "later"}],
     "lanes": [{"name": "hit", "type": "Command"}, {"name": "bye", "type": "Command"}, {"name": "hits", "type": "Value", "initial": 0},
               {"name": "recent", "type": "Map", "retain": {"age": "1m"}}, {"name": "memo", "type": "Value", "access": "ReadWrite"}],
     "rules": [
       {"command": "hit", "do": [
         {"set": {"lane": "hits", "to": "hits + 1"}}, {"put": {"lane": "recent", "key": "event", "to": "hits"}}]},
       {"command": "bye", "do": [
         {"schedule": {"timer": "later", "key": "1", "after": "'1s'"}},
         {"set": {"lane": "hits", "to": "100"}},
         {"end": {"when": "event != 'stay'"}},
         {"set": {"lane": "memo", "to": "[hits, size(recent)]"}},
         {"put": {"lane": "recent", "key": "'bye'", "to": "hits", "when": "event == 'again'"}},
         {"schedule": {"timer": "later", "key": "2", "after": "'1s'", "when": "event == 'again'"}}]},
       {"timer": "later", "do": [{"set": {"lane": "memo", "to": "key"}}]}]}
  ]}"#;

/// A shard with its log, which forgets what was not synced when it is killed.
struct Rig {
    shard: Shard<u32, u32>,
    log: Vec<(Head, Vec<u8>)>,
    durable: usize,
    now_ms: u64,
    next: u64,
    snapshots: snapshots::Snapshots,
}

fn configuration() -> Arc<Assignment> {
    static FIRST: LazyLock<Arc<Assignment>> = LazyLock::new(|| {
        let plan = Plan::parse(PLAN.as_bytes()).unwrap_or_else(|errors| panic!("{errors:?}"));
        let owned = vec![Some(Ownership { epoch: 1, history: 5 }); 256];
        Arc::new(Assignment { plan: Arc::new(plan), generation: 1, owned })
    });
    FIRST.clone()
}

impl Rig {
    fn new() -> Rig {
        let mut shard = Shard::new(1, Room::OF_NODE);
        shard.handle(Event::Configured(configuration()), 0);
        Rig {
            shard,
            log: Vec::new(),
            durable: 0,
            now_ms: 1000,
            next: 0,
            snapshots: snapshots::Snapshots::default(),
        }
    }

    fn handle(&mut self, event: Event<u32, u32>) {
        self.now_ms += 1;
        self.shard.handle(event, self.now_ms);
    }

    fn write(&mut self) {
        let records = self.shard.records();
        for (head, body) in records.heads() {
            self.log.push((*head, records.buffer()[body.clone()].to_vec()));
        }
        self.shard.appended(Position(self.log.len() as u64));
    }

    fn release(&mut self) -> Vec<Out> {
        let mut out = Vec::new();
        self.shard.release(Position(self.durable as u64), &mut out);
        out
    }

    fn tick(&mut self) {
        self.shard.tick(self.now_ms, TIDY_MAX);
    }

    /// Writes, syncs, and gives out what leaves.
    fn settle(&mut self) -> Vec<Out> {
        self.write();
        self.durable = self.log.len();
        self.release()
    }

    /// What is not synced is gone.
    fn restart(&mut self) {
        self.log.truncate(self.durable);
        let mut shard = Shard::new(2, Room::OF_NODE);
        self.snapshots.install(&mut shard, self.durable);
        for (position, (head, body)) in (0..).zip(&self.log) {
            if !self.snapshots.has(head) {
                shard.replay(Position(position), *head, body).unwrap();
            }
        }
        shard.handle(Event::Configured(configuration()), self.now_ms);
        self.shard = shard;
    }

    fn slot_of(agent: &str) -> SlotId {
        configuration().plan.find(&Address::parse(agent).unwrap()).map_or(0, |found| found.slot)
    }

    fn event(
        &mut self,
        agent: &str,
        lane: &str,
        body: &str,
        key: Option<u64>,
        stream: Stream,
    ) -> Event<u32, u32> {
        self.next += 1;
        Event::Command(Command {
            reply: 7,
            id: self.next,
            stream,
            slot: Rig::slot_of(agent),
            agent: Address::parse(agent).unwrap(),
            lane: lane.into(),
            body: body.to_owned().into(),
            key: key.map(|sequence| ("client".into(), sequence)),
        })
    }

    fn send(&mut self, agent: &str, lane: &str, body: &str, key: Option<u64>) -> Result<u64, Refusal> {
        let event = self.event(agent, lane, body, key, 0);
        self.handle(event);
        let mut answers = self.settle().into_iter().filter_map(|effect| match effect {
            Effect::Answer { end, .. } => Some(end.map(|done| done.version)),
            _ => None,
        });
        answers.next().expect("an answer")
    }

    fn get(&mut self, agent: &str, lane: &str) -> Result<Got, Refusal> {
        let read = Read {
            reply: 7,
            id: 1,
            slot: Rig::slot_of(agent),
            agent: Address::parse(agent).unwrap(),
            lane: lane.into(),
            if_none_match: None,
        };
        self.shard.read(&read)
    }

    fn shown(&mut self, agent: &str, lane: &str) -> String {
        let mut out = Vec::new();
        match self.get(agent, lane).unwrap().body {
            Body::Value(value) => proto::json::write(&value, &mut out),
            Body::Map(entries) => {
                let entries = entries.values().map(|(key, value)| Value::list([key.clone(), value.clone()]));
                proto::json::write(&Value::list(entries.collect::<Vec<_>>()), &mut out);
            }
        }
        String::from_utf8(out).unwrap()
    }

    /// Reads from the log what the shard does not keep in memory.
    fn fetch(&mut self, from: SlotId, fetch: &Fetch) {
        let mut sent = Vec::new();
        for (position, place) in &fetch.places {
            assert!(position.0 < self.durable as u64, "it is on the disk");
            let (head, body) = &self.log[position.0 as usize];
            let of_record = messages(*head, body).unwrap();
            sent.extend(of_record.filter(|(message, _)| (message.to, message.place) == (fetch.to, *place)));
        }
        assert_eq!(sent.len(), fetch.places.len());
        self.handle(Event::Fetched { from, to: fetch.to, messages: sent });
    }

    /// Lets messages and what is said of them go around until nothing moves.
    fn deliver(&mut self) {
        let mut effects = VecDeque::from(self.settle());
        let mut turns = 0;
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Send(message) => self.handle(Event::Message(message)),
                Effect::Taken(taken) => self.handle(Event::Taken(taken)),
                Effect::Fetch(from, fetch) => self.fetch(from, &fetch),
                _ => continue,
            }
            effects.extend(self.settle());
            turns += 1;
            assert!(turns < 2_000_000, "messages go round without end");
        }
    }
}

#[test]
fn each_wrong_command_has_its_code_and_leaves_nothing() {
    let mut rig = Rig::new();
    for (agent, lane, body, code, at) in [
        ("/counter/1", "none", "1", 404, "/counter/1"),
        ("/counter/1", "hidden", "1", 404, "/counter/1"),
        ("/nobody/1", "add", "1", 404, "/nobody/1"),
        ("/counter/1", "total", "1", 405, "total"),
        ("/counter/1", "bell", "1", 405, "bell"),
        ("/counter/1", "add", "{\"n\": 1", 400, "body:7"),
        ("/counter/1", "add", "", 400, "body"),
        ("/counter/1", "add", "{\"n\": \"x\"}", 422, "spec.agents[0].rules[0].do[0].set.to"),
        ("/counter/1", "add", "{\"n\": 0}", 422, "spec.agents[0].rules[0].do[4].set.to"),
        ("/counter/1", "add", "{\"n\": 1, \"to\": 5}", 422, "spec.agents[0].rules[0].do[3].send.agent"),
        ("/counter/1", "marks", "{\"put\": {}}", 400, "body"),
        ("/counter/1", "marks", "{\"remove\": {\"key\": null}}", 400, "key"),
        ("/sum/1", "take", "1.5", 400, "body"),
    ] {
        let refusal = rig.send(agent, lane, body, None).unwrap_err();
        assert_eq!((refusal.code, &*refusal.at), (code, at), "{agent} {lane} {body}: {refusal:?}");
    }
    assert_eq!(rig.log.len(), 0);
    assert_eq!(rig.shard.counts().agents, 0);
    assert_eq!(rig.shown("/counter/1", "seen"), "[]", "what failed in its last step was taken back");
}

#[test]
fn what_comes_of_commands_and_messages_is_counted_by_route() {
    let mut rig = Rig::new();
    rig.send("/counter/1", "add", "{\"n\": 5, \"to\": \"x\"}", Some(1)).unwrap();
    rig.send("/counter/2", "note", "1", None).unwrap();
    for wrong in ["{\"n\": 0}", "no JSON"] {
        rig.send("/counter/1", "add", wrong, None).unwrap_err();
    }
    rig.send("/counter/1", "add", "{\"n\": 5}", Some(1)).unwrap();
    rig.send("/nobody/1", "add", "1", None).unwrap_err();
    rig.send("/counter/1", "both", "null", None).unwrap();
    rig.shard.handle(Event::Configured(configuration()), rig.now_ms);
    rig.deliver();
    let counts = rig.shard.counts().routes;
    let counts: Vec<_> = counts.iter().map(|of| (&*of.route, of.done, of.refused, of.messages)).collect();
    assert_eq!(
        counts,
        [
            ("/counter/:id", 3, 2, 0),
            ("/sum/:id", 0, 0, 4),
            ("/echo/:id", 0, 0, 0),
            ("/shop/:id", 0, 0, 0),
            ("/clock/:id", 0, 0, 0),
            ("/visit/:id", 0, 0, 0)
        ],
        "a repeat is counted once"
    );
}

#[test]
fn all_steps_of_a_command_take_effect_in_one_record() {
    let mut rig = Rig::new();
    let first = rig.send("/counter/1", "add", "{\"n\": 5}", None).unwrap();
    assert_eq!(first, (5 << 40) + 1);
    for n in [7, 9, 11] {
        rig.send("/counter/1", "add", &format!("{{\"n\": {n}}}"), None).unwrap();
    }
    assert_eq!(rig.log.len(), 4);
    assert_eq!(rig.shown("/counter/1", "total"), "32");
    assert_eq!(rig.shown("/counter/1", "seen"), "[[7,12],[9,21],[11,32]]", "the oldest is gone");
    rig.restart();
    assert_eq!(rig.shown("/counter/1", "seen"), "[[7,12],[9,21],[11,32]]");
    assert_eq!(rig.get("/counter/1", "total").unwrap().version, first + 3);
    rig.send("/counter/1", "add", "{\"n\": 1}", None).unwrap();
    assert_eq!(rig.shown("/counter/1", "seen"), "[[1,33],[9,21],[11,32]]", "in the order before the restart");
}

#[test]
fn clients_change_what_is_theirs_to_change() {
    let mut rig = Rig::new();
    rig.send("/counter/1", "note", "{\"b\": 1.50}", None).unwrap();
    assert_eq!(rig.shown("/counter/1", "note"), "{\"b\":1.5}");
    for (change, shown) in [
        ("{\"update\": {\"key\": \"b\", \"value\": 2}}", "[[\"b\",2]]"),
        ("{\"update\": {\"key\": 3, \"value\": null}}", "[[3,null],[\"b\",2]]"),
        ("{\"remove\": {\"key\": 3.0}}", "[[\"b\",2]]"),
        ("{\"remove\": {\"key\": \"none\"}}", "[[\"b\",2]]"),
        ("{\"clear\": {}}", "[]"),
    ] {
        rig.send("/counter/1", "marks", change, None).unwrap();
        assert_eq!(rig.shown("/counter/1", "marks"), shown, "{change}");
        rig.restart();
        assert_eq!(rig.shown("/counter/1", "marks"), shown, "{change}, after a restart");
    }
}

#[test]
fn nothing_leaves_before_its_record_is_on_the_disk() {
    let mut rig = Rig::new();
    let command = rig.event("/counter/1", "add", "{\"n\": 1}", Some(1), 0);
    rig.handle(command);
    // A retry, a refusal and a read, all computed from what is not durable yet; and one of another slot.
    let retry = rig.event("/counter/1", "add", "{\"n\": 1}", Some(1), 0);
    let refused = rig.event("/counter/1", "add", "{\"n\": 0}", None, 0);
    let read = |agent: &str| Read {
        reply: 7,
        id: 9,
        slot: Rig::slot_of(agent),
        agent: Address::parse(agent).unwrap(),
        lane: "total".into(),
        if_none_match: None,
    };
    let (here, elsewhere) = (read("/counter/1"), read("/counter/2"));
    rig.handle(retry);
    rig.handle(refused);
    rig.handle(Event::Read(here));
    rig.write();
    rig.handle(Event::Read(elsewhere));
    assert!(matches!(&rig.release()[..], [Effect::Got { .. }]), "only what depends on nothing unwritten");
    rig.durable = rig.log.len();
    assert_eq!(rig.release().len(), 4);
    assert_eq!(rig.log.len(), 1, "the retry had no second effect");
}

#[test]
fn a_key_has_one_effect_through_restarts_and_a_refused_one_runs_again() {
    let mut rig = Rig::new();
    let first = rig.send("/counter/1", "add", "{\"n\": 1}", Some(5)).unwrap();
    rig.restart();
    assert_eq!(rig.send("/counter/1", "add", "{\"n\": 1}", Some(5)), Ok(first));
    assert_eq!(rig.send("/counter/1", "add", "{}", Some(6)).unwrap_err().code, 422);
    assert!(rig.send("/counter/1", "add", "{\"n\": 1}", Some(6)).unwrap() > first);
    for sequence in 7..1100 {
        rig.send("/counter/1", "add", "{\"n\": 1}", Some(sequence)).unwrap();
    }
    assert_eq!(rig.send("/counter/1", "add", "{\"n\": 1}", Some(5)).unwrap_err().code, 409);
    rig.now_ms += names::IDLE_MS;
    rig.tick();
    rig.settle();
    rig.restart();
    assert_eq!(
        rig.send("/counter/1", "add", "{\"n\": 1}", Some(1099)).unwrap_err().code,
        409,
        "its highest is its floor"
    );
    rig.now_ms += names::REMEMBER_MS;
    rig.tick();
    rig.settle();
    assert!(rig.send("/counter/1", "add", "{\"n\": 1}", Some(1)).is_ok(), "forgotten");
}

#[test]
fn what_follows_a_command_that_was_not_admitted_is_not_admitted_either() {
    let mut rig = Rig::new();
    let event = rig.event("/counter/1", "add", "{\"n\": 1}", None, 3);
    rig.shard.refuse(event, &Refusal::full("the disk is full", ""));
    for (stream, ended, expected) in [(3, false, Err(429)), (4, false, Ok(())), (3, true, Ok(()))] {
        if ended {
            rig.handle(Event::Ended(3));
        }
        rig.settle();
        let event = rig.event("/counter/1", "add", "{\"n\": 1}", None, stream);
        rig.handle(event);
        let out = rig.settle();
        let end = out.iter().find_map(|effect| match effect {
            Effect::Answer { end, .. } => Some(end.as_ref().map(|_| ()).map_err(|refusal| refusal.code)),
            _ => None,
        });
        assert_eq!(end, Some(expected), "stream {stream}");
    }
}

#[test]
fn sends_arrive_once_and_in_order_whatever_is_lost() {
    let mut rig = Rig::new();
    rig.send("/counter/1", "both", "null", None).unwrap();
    // The messages of the first round were lost with the process.
    rig.restart();
    rig.deliver();
    assert_eq!((rig.shown("/sum/x", "total"), rig.shown("/sum/y", "total")), ("3".into(), "4".into()));
    // What is delivered twice, or late, counts once.
    let event = rig.event("/counter/1", "both", "null", None, 0);
    rig.handle(event);
    let sends: Vec<Message> = rig
        .settle()
        .into_iter()
        .filter_map(|e| if let Effect::Send(m) = e { Some(m) } else { None })
        .collect();
    assert_eq!(sends.len(), 3);
    for message in sends.iter().rev().chain(&sends) {
        rig.handle(Event::Message(message.clone()));
    }
    for message in &sends {
        rig.handle(Event::Message(message.clone()));
    }
    rig.deliver();
    assert_eq!((rig.shown("/sum/x", "total"), rig.shown("/sum/x", "count")), ("6".into(), "4".into()));
    assert_eq!(rig.shard.counts().outbox, 0);
    rig.tick();
    rig.tick();
    rig.settle();
    rig.restart();
    assert_eq!(rig.shard.counts().outbox, 0, "what was taken is said in a record");
    rig.deliver();
    assert_eq!(rig.shown("/sum/x", "count"), "4");
}

#[test]
fn a_slot_whose_outbox_is_full_refuses_clients_and_no_other_slot() {
    let mut rig = Rig::new();
    let refusal = (0..100_000).find_map(|_| rig.send("/counter/1", "both", "null", None).err());
    let refusal = refusal.expect("it is full at some time");
    assert_eq!(refusal.code, 429, "{refusal}");
    let full = rig.shard.counts().outbox;
    assert!(full >= 262_144, "{full}");
    let message = Message {
        from: 9,
        to: Rig::slot_of("/counter/1"),
        place: Place { history: 1, lsn: 1, index: 1 },
        previous: Place::default(),
        sender: Address::parse("/sum/x").unwrap(),
        agent: Address::parse("/counter/1").unwrap(),
        lane: Text::new("both"),
        body: Value::Null,
        hops: 1,
    };
    rig.handle(Event::Message(message));
    let verdicts: Vec<_> = rig
        .settle()
        .into_iter()
        .filter_map(|effect| if let Effect::Taken(taken) = effect { Some(taken.verdict) } else { None })
        .collect();
    assert_eq!((verdicts, rig.shard.counts().outbox), (vec![Verdict::Done], full + 3));
    // With a receiver that answers, clients are let in again.
    let mut slots = ["/sum/x", "/sum/y"].map(Rig::slot_of).to_vec();
    slots.sort_unstable();
    rig.handle(Event::Resend(slots));
    rig.deliver();
    assert_eq!(rig.shard.counts().outbox, 0);
    rig.send("/counter/1", "both", "null", None).unwrap();
}

#[test]
fn what_a_receiver_refuses_stands_in_its_faults() {
    let mut rig = Rig::new();
    for n in ["13", "2.5", "2"] {
        let event = rig.event("/counter/1", "add", &format!("{{\"n\": {n}, \"to\": \"z\"}}"), None, 0);
        rig.handle(event);
        rig.deliver();
    }
    assert_eq!(rig.shown("/sum/z", "total"), "2", "all or nothing of the first, and nothing of a fraction");
    let faults = rig.shown("/sum/z", "faults");
    assert!(faults.contains("/counter/1") && faults.contains("do[2].set.to"), "{faults}");
    assert!(faults.contains("an integer is expected") && faults.contains("(at body)"), "{faults}");
    assert_eq!((rig.shard.counts().faults, rig.shard.counts().messages), (2, 3));
    rig.restart();
    assert_eq!(rig.shown("/sum/z", "faults"), faults);
}

#[test]
fn a_chain_of_sends_without_end_ends_as_a_fault() {
    let mut rig = Rig::new();
    rig.send("/echo/1", "hear", "1", None).unwrap();
    rig.deliver();
    rig.restart();
    rig.deliver();
    assert_eq!(rig.shown("/echo/1", "heard"), "65");
    assert!(rig.shown("/echo/1", "faults").contains("64"));
}

#[test]
fn a_watcher_that_folds_its_updates_has_the_state() {
    use crate::link::Change;
    let mut rig = Rig::new();
    rig.send("/counter/1", "add", "{\"n\": 100}", None).unwrap();
    let agent = Address::parse("/counter/1").unwrap();
    for (watch, lane) in [(1, "seen"), (2, "total"), (3, "bell"), (4, "hidden")] {
        rig.handle(Event::Attach(Attach {
            watch,
            agent: agent.clone(),
            slot: Rig::slot_of("/counter/1"),
            lane: lane.into(),
            since: 0,
            limit: None,
        }));
    }
    let (mut entries, mut bells, mut last) = (BTreeMap::new(), 0, None);
    let mut closed = 0;
    for n in 1..=6 {
        let event = rig.event("/counter/1", "add", &format!("{{\"n\": {n}}}"), None, 0);
        rig.handle(event);
        for effect in rig.settle() {
            match effect {
                Effect::Update { to, update } => {
                    for change in update.changes {
                        match (to, change.change) {
                            (1, Change::Put(key, value)) => drop(entries.insert(key, value)),
                            (1, Change::Remove(key)) => drop(entries.remove(&key)),
                            (2, Change::Set(value)) => last = Some(value),
                            (3, Change::Event(_)) => bells += 1,
                            other => panic!("{other:?}"),
                        }
                    }
                }
                Effect::Closed { to, refusal } => {
                    assert_eq!((to, refusal.code), (4, 404));
                    closed += 1;
                }
                _ => {}
            }
        }
    }
    let Body::Map(state) = rig.get("/counter/1", "seen").unwrap().body else { panic!("a map") };
    assert!(entries.iter().eq(state.values()));
    assert_eq!((bells, closed), (6, 1));
    assert_eq!(last, Some(Value::Int(121)));
    rig.handle(Event::Detach { watch: 1, agent, slot: Rig::slot_of("/counter/1"), lane: "seen".into() });
    let event = rig.event("/counter/1", "add", "{\"n\": 1}", None, 0);
    rig.handle(event);
    assert!(rig.settle().iter().all(|effect| !matches!(effect, Effect::Update { to: 1, .. })));
}

#[test]
fn a_lane_that_a_plan_drops_is_back_when_its_name_is() {
    let mut rig = Rig::new();
    rig.send("/counter/1", "add", "{\"n\": 5}", None).unwrap();
    let without = PLAN
        .replace("\"name\": \"note\"", "\"name\": \"remark\"")
        .replace("/sum/:id", "/sums/:id")
        .replace("'/sum/", "'/sums/");
    rig.send("/counter/1", "note", "7", None).unwrap();
    let owned = vec![Some(Ownership { epoch: 1, history: 5 }); 256];
    let plan = Arc::new(Plan::parse(without.as_bytes()).unwrap());
    rig.handle(Event::Configured(Arc::new(Assignment { plan, generation: 2, owned })));
    assert_eq!(rig.get("/counter/1", "note").unwrap_err().code, 404);
    assert_eq!(rig.shown("/counter/1", "total"), "5");
    rig.handle(Event::Configured(configuration()));
    assert_eq!((rig.shown("/counter/1", "note"), rig.shown("/counter/1", "total")), ("7".into(), "5".into()));
}

#[test]
fn what_is_not_owned_is_not_answered_for() {
    let mut rig = Rig::new();
    let plan = configuration().plan.clone();
    rig.handle(Event::Configured(Arc::new(Assignment { plan, generation: 1, owned: vec![None; 256] })));
    assert_eq!(rig.send("/counter/1", "add", "{\"n\": 1}", None).unwrap_err().code, 421);
    assert_eq!(rig.get("/counter/1", "total").unwrap_err().code, 421);
}

mod laws {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Turn {
        Add {
            agent: u8,
            n: i64,
            to: Option<u8>,
            key: Option<u64>,
        },
        Both {
            agent: u8,
        },
        Mark {
            agent: u8,
            key: u8,
            value: Option<i64>,
        },
        Deliver {
            drop: bool,
        },
        Sync,
        Kill,
        Tick,
        /// Asks for snapshots of all slots.
        Snapshots,
        Walk(usize),
    }

    fn turn() -> impl Strategy<Value = Turn> {
        prop_oneof![
            4 => (0..4_u8, -2..20_i64, proptest::option::of(0..3_u8), proptest::option::of(1..30_u64))
                .prop_map(|(agent, n, to, key)| Turn::Add { agent, n, to, key }),
            1 => (0..4_u8).prop_map(|agent| Turn::Both { agent }),
            2 => (0..4_u8, 0..5_u8, proptest::option::of(any::<i64>())).prop_map(|(agent, key, value)| Turn::Mark { agent, key, value }),
            3 => any::<bool>().prop_map(|drop| Turn::Deliver { drop }),
            2 => Just(Turn::Sync),
            1 => Just(Turn::Kill),
            1 => Just(Turn::Tick),
            1 => Just(Turn::Snapshots),
            4 => (1..400_usize).prop_map(Turn::Walk),
        ]
    }

    /// The command of a turn that is one: agent, lane, body, and the sequence of its key.
    fn command(turn: &Turn) -> Option<(String, &'static str, String, Option<u64>)> {
        let (agent, lane, body, key) = match turn {
            Turn::Add { agent, n, to, key } => {
                let to = to.map_or(String::new(), |to| format!(", \"to\": \"{to}\""));
                (agent, "add", format!("{{\"n\": {n}{to}}}"), *key)
            }
            Turn::Both { agent } => (agent, "both", "0".to_owned(), None),
            Turn::Mark { agent, key, value } => {
                let change = value.map_or(format!("{{\"remove\": {{\"key\": {key}}}}}"), |value| {
                    format!("{{\"update\": {{\"key\": {key}, \"value\": {value}}}}}")
                });
                (agent, "marks", change, None)
            }
            _ => return None,
        };
        Some((format!("/counter/{agent}"), lane, body, key))
    }

    /// Everything that a shard holds, as clients could see it.
    fn state(rig: &mut Rig) -> Vec<String> {
        let mut all = Vec::new();
        for agent in 0..4 {
            for lane in ["total", "seen", "marks", "note", "faults"] {
                all.push(rig.shown(&format!("/counter/{agent}"), lane));
            }
        }
        for agent in ["0", "1", "2", "x", "y"] {
            for lane in ["total", "count", "faults"] {
                all.push(rig.shown(&format!("/sum/{agent}"), lane));
            }
        }
        all
    }

    proptest! {
        /// Kills between any two events, losses and doubles of messages: what was acknowledged is there, once, and
        /// a replay of the log is the state that wrote it.
        #[test]
        fn kills_and_losses_change_nothing(full in proptest::bool::weighted(0.1), turns in proptest::collection::vec(turn(), 1..60)) {
            let mut rig = Rig::new();
            let mut wire: VecDeque<Out> = VecDeque::new();
            let (mut asked, mut acknowledged) = (BTreeMap::new(), BTreeMap::<u64, (SlotId, u64)>::new());
            // More messages for one slot than memory keeps.
            let many = std::iter::repeat_n(Turn::Both { agent: 0 }, if full { 1_100 } else { 0 });
            for turn in many.chain(turns) {
                if let Some((agent, lane, body, key)) = command(&turn) {
                    let event = rig.event(&agent, lane, &body, key, 0);
                    asked.insert(rig.next, Rig::slot_of(&agent));
                    rig.handle(event);
                }
                match turn {
                    Turn::Add { .. } | Turn::Both { .. } | Turn::Mark { .. } => {}
                    Turn::Deliver { drop } => match wire.pop_front() {
                        Some(Effect::Send(message)) if !drop => {
                            wire.push_back(Effect::Send(message.clone()));
                            rig.handle(Event::Message(message));
                        }
                        Some(Effect::Taken(taken)) if !drop => rig.handle(Event::Taken(taken)),
                        // What is read can't be lost.
                        Some(Effect::Fetch(from, fetch)) => rig.fetch(from, &fetch),
                        _ => {}
                    },
                    Turn::Sync => {
                        for effect in rig.settle() {
                            match effect {
                                Effect::Answer { id, end: Ok(done), .. } => {
                                    acknowledged.insert(id, (asked[&id], done.version));
                                }
                                effect => wire.push_back(effect),
                            }
                        }
                    }
                    Turn::Kill => {
                        wire.retain(|effect| !matches!(effect, Effect::Fetch(..)));
                        rig.write();
                        rig.restart();
                    }
                    Turn::Tick => rig.tick(),
                    Turn::Snapshots => rig.ask_for_snapshots(),
                    Turn::Walk(bytes) => rig.walk(bytes),
                }
            }
            wire.clear();
            rig.settle();
            let live = state(&mut rig);
            rig.restart();
            prop_assert_eq!(&live, &state(&mut rig));
            rig.snapshots_follow_from_the_log();
            // All that is left goes on until nothing moves; then every send of a record has had its effect.
            rig.tick();
            rig.deliver();
            rig.tick();
            rig.deliver();
            prop_assert_eq!(rig.shard.counts().outbox, 0);
            let (mut sent, mut versions) = (0, BTreeMap::<(SlotId, u64, bool), u32>::new());
            for (head, body) in &rig.log {
                let record = record::Record::decode(body).unwrap();
                sent += record.sends.len() as u64;
                if let Some((_, sequence)) = record.key {
                    *versions.entry((head.slot, sequence, record.is_refused)).or_default() += 1;
                }
            }
            prop_assert!(versions.values().all(|count| *count == 1), "a key had two records of one kind");
            let taken: u64 = ["0", "1", "2", "x", "y"].iter().map(|agent| rig.shown(&format!("/sum/{agent}"), "count").parse::<u64>().unwrap()).sum();
            let faults = ["0", "1", "2", "x", "y"].iter().map(|agent| match rig.get(&format!("/sum/{agent}"), "faults").unwrap().body {
                Body::Map(entries) => entries.last_key().map_or(0, |number| if let Value::Int(n) = number { *n as u64 } else { 0 }),
                Body::Value(_) => 0,
            }).sum::<u64>();
            prop_assert_eq!(sent, taken + faults);
            // Whoever has an answer finds its record, once.
            for (slot, version) in acknowledged.values() {
                let lsn = version & ((1 << 40) - 1);
                let found = rig.log.iter().filter(|(head, _)| (head.slot, head.lsn) == (*slot, lsn));
                prop_assert_eq!(found.count(), 1);
            }
        }

        #[test]
        fn no_bytes_make_the_reader_of_records_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = record::Record::decode(&bytes);
            let mut begun = vec![2, 5, 100, 1, 0];
            begun.extend(bytes);
            let _ = record::Record::decode(&begun);
        }
    }
}
