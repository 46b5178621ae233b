//! What goes into a frame comes out of it; what is no frame is an error.

use super::*;
use crate::done::{Done, Said};
use crate::link::{Begin, Change, Question, Since, Update, Versioned};
use crate::map::Map;
use crate::peer::{Attach, FORMAT, FRAME_BYTES, Forward, Hello, Identity, Numbers, Read};
use crate::reads::Reads;
use crate::refusal::Refusal;
use crate::shard::{Body, Command, Got, Message, Place, Taken, Verdict};
use bytes::Bytes;
use proto::address::Address;
use proto::ring::StoreId;
use proto::value::Value;

fn sent(batch: Batch) -> Incoming {
    open(batch.finish(Numbers { revision: 5, generation: 2 })).unwrap()
}

fn values() -> Vec<Value> {
    let record = Value::record([("a".into(), Value::Int(-1)), ("b".into(), Value::Null)]);
    let list = Value::List([record.clone(), Value::Double(0.5)].into());
    vec![Value::Null, Value::Bool(true), Value::Int(i64::MAX), Value::text("東京"), record, list]
}

#[test]
fn what_is_asked_arrives_as_it_was() {
    let mut batch = Batch::default();
    let identity =
        Identity { plan_uid: "uid".into(), ordinal: 7, store: StoreId(1 << 100), incarnation: u64::MAX };
    let hello = Hello { identity, format: FORMAT, called: Some(StoreId(7)) };
    batch.hello(hello.clone());
    let agent = Address::trusted("/a/1");
    let command = Command {
        reply: (),
        id: 1,
        stream: 2,
        slot: u16::MAX,
        agent: agent.clone(),
        lane: "x".into(),
        body: "[1]".into(),
        key: ("me".into(), 9),
    };
    let forward = Forward { command, again: true };
    let read = Read { id: 3, slot: 4, agent: agent.clone(), lane: "y".into(), if_none_match: Some(0) };
    let attach = Attach {
        attachment: 5,
        slot: 6,
        agent: agent.clone(),
        lane: "z".into(),
        since: Since { changed: 9, removed: 3 },
        limit: Some(8),
    };
    batch.forward(forward.clone());
    batch.read(read.clone());
    batch.add_attach(attach.clone());
    batch.question(Question { attachment: 5, number: u64::MAX });
    batch.detach(8);
    batch.ended(2);
    let message = |body| Message {
        from: 1,
        to: 2,
        place: Place { history: 3, lsn: 4, index: 5 },
        previous: Place::default(),
        sender: Address::trusted("/b/2"),
        agent: agent.clone(),
        lane: "x".into(),
        body,
        hops: 64,
    };
    let messages: Vec<_> = values().into_iter().map(message).collect();
    for message in &messages {
        batch.message(message);
    }
    let came = sent(batch);
    assert_eq!((came.hello, came.numbers), (Some(hello), Numbers { revision: 5, generation: 2 }));
    assert_eq!(format!("{:?}", came.asked.forwards), format!("{:?}", [forward]));
    assert_eq!(format!("{:?}", came.asked.reads), format!("{:?}", [read]));
    assert_eq!(format!("{:?}", came.asked.attaches), format!("{:?}", [attach]));
    assert_eq!((came.asked.detaches, came.asked.ended), (vec![8], vec![2]));
    assert_eq!(came.asked.questions, [Question { attachment: 5, number: u64::MAX }]);
    assert_eq!(format!("{:?}", came.asked.messages), format!("{messages:?}"));
}

#[test]
fn what_is_answered_arrives_as_it_was() {
    let mut batch = Batch::default();
    let refusals =
        [Refusal::full("full", "/a"), Refusal::unknown("lost", ""), Refusal::by_rule(409, "no", "spec")];
    let ends = [
        Done::plain(70),
        Done { version: 71, said: Said::Json(Bytes::from_static(b"null")) },
        Done { version: 72, said: Said::Gone },
    ];
    for (id, done) in (5..).zip(&ends) {
        batch.settled(id, Ok(done.clone()));
    }
    for (id, refusal) in (2..).zip(&refusals) {
        batch.settled(id, Err(refusal.clone()));
    }
    let taken = [Verdict::Done, Verdict::Behind, Verdict::Refused].map(|verdict| Taken {
        from: 1,
        to: 2,
        seen: Place { history: 1, lsn: 2, index: 3 },
        verdict,
    });
    for taken in taken {
        batch.taken(taken);
    }
    let changes = values().into_iter().flat_map(|value| {
        let put = Change::Put(value.clone(), value.clone());
        [Change::Set(value.clone()), put, Change::Remove(value.clone()), Change::Clear, Change::Event(value)]
    });
    let changes = changes.map(|change| Versioned { change, version: 7 }).collect();
    let update = Update {
        version: 8,
        begin: Some(Begin { changed: 9, removed: 3, horizon: 2 }),
        synced: false,
        changes,
        entries: None,
        answered: 3,
    };
    batch.update(4, update.clone());
    batch.detached(5, refusals[2].clone());
    let came = sent(batch).answered;
    let [full, unknown, wrong] = refusals;
    let [plain, json, gone] = ends.map(Ok);
    let refused = [(2, Err(full)), (3, Err(unknown)), (4, Err(wrong.clone()))];
    let done = [(5, plain), (6, json), (7, gone)];
    assert_eq!(came.settled, [done, refused].concat());
    assert_eq!(came.taken, taken);
    assert_eq!(came.updates, [(4, Ok(update)), (5, Err(wrong))]);
}

fn reading(id: u64, got: Got) -> Reading {
    Reading::new(id, Reads::default().admit(got, "").unwrap())
}

#[test]
fn a_large_map_comes_in_several_frames() {
    let entries: Vec<_> = (0..20_000).map(|n| (Value::Int(n), Value::text(&format!("value {n}")))).collect();
    let got = Got { version: 9, not_modified: false, body: Body::Map(entries.iter().cloned().collect()) };
    let (mut rest, mut all, mut frames) = (Some(reading(3, got)), Vec::new(), 0);
    while let Some(reading) = rest {
        let mut batch = Batch::default();
        let room = batch.room();
        rest = batch.got(reading, room);
        let frame = batch.finish(Numbers::default());
        assert!(prost::Message::encoded_len(&frame) < FRAME_BYTES + 1_000);
        let mut pieces = open(frame).unwrap().answered.pieces;
        let piece = pieces.pop().unwrap();
        assert_eq!((piece.id, piece.more), (3, rest.is_some()));
        match piece.end.unwrap() {
            Got { version: 9, not_modified: false, body: Body::Map(some) } => {
                all.extend(some.values().map(|(key, value)| (key.clone(), value.clone())));
            }
            other => panic!("{other:?}"),
        }
        frames += 1;
    }
    assert!(frames > 3 && all == entries, "{frames}");
}

#[test]
fn short_answers_to_reads_arrive_as_they_were() {
    for got in [
        Got { version: 9, not_modified: true, body: Body::Value(Value::Null) },
        Got { version: 9, not_modified: false, body: Body::Value(Value::Int(1)) },
        Got { version: 0, not_modified: false, body: Body::Map(Map::default()) },
    ] {
        let mut batch = Batch::default();
        assert!(batch.got(reading(1, got.clone()), FRAME_BYTES).is_none());
        assert_eq!(sent(batch).answered.pieces.pop().unwrap().end, Ok(got));
    }
    let mut batch = Batch::default();
    batch.unread(1, Refusal::not_found("no", ""));
    assert_eq!(sent(batch).answered.pieces.pop().unwrap().end, Err(Refusal::not_found("no", "")));
}

#[test]
fn broken_frames_are_errors() {
    use proto::wire::peer as wire;
    let forward = wire::Forward { slot: 70_000, ..wire::Forward::default() };
    let message = wire::Message { body: vec![].into(), ..wire::Message::default() };
    let change = wire::Update { changes: vec![wire::Change::default()], ..wire::Update::default() };
    let hello = wire::Hello::default();
    for frame in [
        wire::Frame { forwards: vec![forward], ..wire::Frame::default() },
        wire::Frame { messages: vec![message], ..wire::Frame::default() },
        wire::Frame { updates: vec![change], ..wire::Frame::default() },
        wire::Frame { hello: Some(hello), ..wire::Frame::default() },
    ] {
        assert!(open(frame.clone()).is_err(), "{frame:?}");
    }
}

#[test]
fn a_frame_is_full_when_it_has_what_it_may() {
    let mut batch = Batch::default();
    let mut count = 0;
    while batch.room() > 0 {
        let body = vec![b'1'; 500].into();
        let (agent, key, lane) = (Address::trusted("/a/1"), ("me".into(), 9), "x".into());
        let command = Command { reply: (), id: 1, stream: 2, slot: 3, agent, lane, body, key };
        batch.forward(Forward { command, again: false });
        count += 1;
    }
    let bytes = prost::Message::encoded_len(&batch.finish(Numbers::default()));
    assert!((100..130).contains(&count) && bytes < FRAME_BYTES + 1_000, "{count} {bytes}");
}
