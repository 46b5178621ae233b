//! What came from a peer, checked.

use super::Error;
use crate::done::{Done, End, Said};
use crate::link::{Begin, Change, Question, Since, Update, Versioned};
use crate::map::Map;
use crate::peer::Configuration;
use crate::peer::{
    Answered, Asked, Attach, Forward, Hello, Identity, Limit, Numbers, Piece, Read, Rejection,
};
use crate::refusal::Refusal;
use crate::shard::{Body, Command, Got, Message, Place, Taken, Verdict};
use proto::address::{Address, Slot};
use proto::binary;
use proto::ring::StoreId;
use proto::value::Value;
use proto::wire::peer;

/// The most characters of the reason in a rejection.
const REJECTION_CHARS: usize = 300;

/// One frame.
#[derive(Debug, Default)]
pub struct Incoming {
    pub hello: Option<Hello>,
    pub rejected: Option<Rejection>,
    pub numbers: Numbers,
    pub wants_configuration: bool,
    pub configuration: Option<Configuration>,
    pub asked: Asked,
    pub answered: Answered,
}

pub fn open(frame: peer::Frame) -> Result<Incoming, Error> {
    let peer::Frame {
        hello: first,
        revision,
        generation,
        want_configuration,
        configuration: given,
        forwards,
        reads,
        attaches,
        detaches,
        messages,
        ended_streams,
        limits,
        questions,
        settled,
        answers,
        updates,
        taken: takes,
        rejected,
    } = frame;
    let asked = Asked {
        forwards: all(forwards, forward)?,
        reads: all(reads, read)?,
        attaches: all(attaches, attach)?,
        detaches,
        limits: limits.into_iter().map(limit).collect(),
        questions: questions.into_iter().map(question).collect(),
        messages: all(messages, message)?,
        ended: ended_streams,
    };
    let answered = Answered {
        settled: settled.into_iter().map(end).collect(),
        pieces: all(answers, piece)?,
        updates: all(updates, update)?,
        taken: all(takes, taken)?,
    };
    Ok(Incoming {
        hello: first.map(hello).transpose()?,
        rejected: rejected.map(rejection),
        numbers: Numbers { revision, generation },
        wants_configuration: want_configuration,
        configuration: given.map(configuration),
        asked,
        answered,
    })
}

fn all<A, B>(items: Vec<A>, each: fn(A) -> Result<B, Error>) -> Result<Vec<B>, Error> {
    items.into_iter().map(each).collect()
}

fn slot(slot: u32) -> Result<Slot, Error> {
    slot.try_into().map_err(|_| Error::Range("a slot"))
}

pub fn hello(hello: peer::Hello) -> Result<Hello, Error> {
    let peer::Hello { identity: who, format, called } = hello;
    let identity = identity(who.ok_or(Error::Missing("the identity"))?)?;
    let called = (!called.is_empty()).then(|| store(&called)).transpose()?;
    Ok(Hello { identity, format, called })
}

fn identity(identity: peer::Identity) -> Result<Identity, Error> {
    let peer::Identity { plan_uid, ordinal, store, incarnation } = identity;
    let ordinal = ordinal.try_into().map_err(|_| Error::Range("an ordinal"))?;
    Ok(Identity { plan_uid, ordinal, store: self::store(&store)?, incarnation })
}

fn store(id: &str) -> Result<StoreId, Error> {
    id.parse().map_err(|_| Error::Range("a store's id"))
}

/// What another node says of itself stands in this node's log, shortened.
fn rejection(rejection: peer::Rejection) -> Rejection {
    let peer::Rejection { error, later_start } = rejection;
    Rejection { error: error.chars().take(REJECTION_CHARS).collect(), later_start }
}

pub fn configuration(request: peer::ConfigureRequest) -> Configuration {
    let peer::ConfigureRequest { plan_name, plan_uid, generation, spec, ring, peers, adopted_by } = request;
    Configuration { plan_name, plan_uid, generation, spec, ring, peers, adopted_by }
}

fn forward(forward: peer::Forward) -> Result<Forward, Error> {
    let peer::Forward { id, stream, slot: place, agent, lane, body, client, sequence, again } = forward;
    let (slot, agent, key) = (slot(place)?, Address::trusted(&agent), (client.into(), sequence));
    Ok(Forward { command: Command { reply: (), id, stream, slot, agent, lane, body, key }, again })
}

fn read(read: peer::Read) -> Result<Read, Error> {
    let peer::Read { id, agent, lane, if_none_match, slot: place } = read;
    Ok(Read { id, slot: slot(place)?, agent: Address::trusted(&agent), lane, if_none_match })
}

fn attach(attach: peer::Attach) -> Result<Attach, Error> {
    let peer::Attach { attachment, agent, lane, slot: place, limit, changed, removed } = attach;
    let since = Since { changed, removed };
    Ok(Attach { attachment, slot: slot(place)?, agent: Address::trusted(&agent), lane, since, limit })
}

fn limit(limit: peer::Limit) -> Limit {
    let peer::Limit { attachment, items } = limit;
    Limit { attachment, items }
}

fn question(question: peer::Question) -> Question {
    let peer::Question { attachment, number } = question;
    Question { attachment, number }
}

fn message(message: peer::Message) -> Result<Message, Error> {
    let peer::Message { from_slot, to_slot, place: at, previous, sender, agent, lane, body, hops } = message;
    Ok(Message {
        from: slot(from_slot)?,
        to: slot(to_slot)?,
        place: place(at)?,
        previous: place(previous)?,
        sender: Address::trusted(&sender),
        agent: Address::trusted(&agent),
        lane: lane.into(),
        body: whole(&body)?,
        hops: hops.try_into().map_err(|_| Error::Range("the number of hops"))?,
    })
}

/// Absent: the first place of all.
fn place(place: Option<peer::Place>) -> Result<Place, Error> {
    let peer::Place { history, lsn, index } = place.unwrap_or_default();
    let history = history.try_into().map_err(|_| Error::Range("a history"))?;
    Ok(Place { history, lsn, index })
}

fn whole(mut bytes: &[u8]) -> Result<Value, Error> {
    let value = binary::decode(&mut bytes)?;
    if bytes.is_empty() { Ok(value) } else { Err(Error::Range("the end of a value")) }
}

fn refusal(refusal: peer::Refusal) -> Refusal {
    let peer::Refusal { code, error, at, retry_after_s, outcome_unknown, by_rule } = refusal;
    let code = u16::try_from(code).unwrap_or(500);
    Refusal { code, error, at, outcome_unknown, retry_after_s, by_rule }
}

fn end(settled: peer::Settled) -> (u64, End) {
    let peer::Settled { id, version, refusal: refused, answer, answer_gone } = settled;
    let done = || Done { version, said: Said::of_wire(answer, answer_gone) };
    (id, refused.map_or_else(|| Ok(done()), |refused| Err(refusal(refused))))
}

fn piece(answer: peer::ReadAnswer) -> Result<Piece, Error> {
    let peer::ReadAnswer { id, version, not_modified, body, refusal: refused, map, more } = answer;
    if let Some(refused) = refused {
        return Ok(Piece { id, end: Err(refusal(refused)), more: false });
    }
    let body = match (not_modified, map) {
        (true, _) => Body::Value(Value::Null),
        (false, false) => Body::Value(whole(&body)?),
        (false, true) => Body::Map(entries(&body)?),
    };
    Ok(Piece { id, end: Ok(Got { version, not_modified, body }), more })
}

fn entries(mut bytes: &[u8]) -> Result<Map, Error> {
    let mut map = Map::default();
    while !bytes.is_empty() {
        map.extend([(binary::decode(&mut bytes)?, binary::decode(&mut bytes)?)]);
    }
    Ok(map)
}

fn update(update: peer::Update) -> Result<(u64, Result<Update, Refusal>), Error> {
    let peer::Update { attachment, version, begin, synced, changes, refusal: refused, answered } = update;
    if let Some(refused) = refused {
        return Ok((attachment, Err(refusal(refused))));
    }
    let changes = all(changes, change)?;
    let begin = begin.map(|begin| {
        let peer::Begin { changed, removed, horizon } = begin;
        Begin { changed, removed, horizon }
    });
    Ok((attachment, Ok(Update { version, begin, synced, changes, entries: None, answered })))
}

fn change(change: peer::Change) -> Result<Versioned, Error> {
    use peer::change::Change as Wire;
    let peer::Change { version, change } = change;
    let change = match change.ok_or(Error::Missing("a change"))? {
        Wire::Set(value) => Change::Set(whole(&value)?),
        Wire::Update(peer::MapUpdate { key, value }) => Change::Put(whole(&key)?, whole(&value)?),
        Wire::Remove(key) => Change::Remove(whole(&key)?),
        Wire::Clear(_) => Change::Clear,
        Wire::Event(value) => Change::Event(whole(&value)?),
    };
    Ok(Versioned { change, version })
}

fn taken(taken: peer::Taken) -> Result<Taken, Error> {
    let verdict = match taken.verdict() {
        peer::Verdict::Done => Verdict::Done,
        peer::Verdict::Behind => Verdict::Behind,
        peer::Verdict::Refused => Verdict::Refused,
        peer::Verdict::Room => Verdict::Room,
    };
    let peer::Taken { from_slot, to_slot, seen, verdict: _ } = taken;
    Ok(Taken { from: slot(from_slot)?, to: slot(to_slot)?, seen: place(seen)?, verdict })
}
