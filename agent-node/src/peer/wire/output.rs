//! What goes to a peer, gathered until a frame is full.

use crate::done::{Done, End};
use crate::link::{Begin, Change, Question, Since, Update, Versioned};
use crate::map::Walk;
use crate::peer::{Attach, FRAME_BYTES, Forward, Hello, Identity, Limit, Numbers, Read, Rejection};
use crate::peer::{Configuration, Report};
use crate::reads::{Answer, Charge};
use crate::refusal::Refusal;
use crate::shard::{Body, Command, Message, Place, Stream, Taken, Verdict};
use bytes::Bytes;
use proto::binary;
use proto::trust::Digests;
use proto::value::Value;
use proto::wire::peer;
use std::ops::ControlFlow;

/// A frame in the making. Sizes are estimates, a little above.
#[derive(Debug, Default)]
pub struct Batch {
    frame: peer::Frame,
    bytes: usize,
}

/// What an item costs beside its texts and bodies.
const ITEM_BYTES: usize = 40;

impl Batch {
    /// What still fits; 0: it is full.
    pub fn room(&self) -> usize {
        FRAME_BYTES.saturating_sub(self.bytes)
    }

    /// What it has so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub fn finish(self, numbers: Numbers) -> peer::Frame {
        peer::Frame { revision: numbers.revision, generation: numbers.generation, ..self.frame }
    }

    pub fn hello(&mut self, hello: Hello) {
        let Hello { identity, format, called } = hello;
        let called = called.map_or_else(String::new, |store| store.to_string());
        self.frame.hello = Some(peer::Hello { identity: Some(identity_out(identity)), format, called });
        self.bytes += ITEM_BYTES;
    }

    pub fn rejection(&mut self, rejection: Rejection) {
        let Rejection { error, later_start } = rejection;
        self.bytes += error.len() + ITEM_BYTES;
        self.frame.rejected = Some(peer::Rejection { error, later_start });
    }

    /// Nothing but the numbers, which every frame carries.
    pub fn numbers(&mut self) {
        self.bytes += 1;
    }

    pub fn want_configuration(&mut self) {
        self.frame.want_configuration = true;
        self.bytes += 1;
    }

    pub fn configuration(&mut self, configuration: Configuration) {
        self.bytes += configuration.spec.len() + configuration.ring.len() + ITEM_BYTES;
        self.frame.configuration = Some(configuration_out(configuration));
    }

    pub fn forward(&mut self, forward: Forward) {
        let Forward { command, again } = forward;
        let Command { reply: (), id, stream, slot, agent, lane, body, key: (client, sequence) } = command;
        self.bytes += agent.as_str().len() + lane.len() + body.len() + client.len() + ITEM_BYTES;
        self.frame.forwards.push(peer::Forward {
            id,
            stream,
            slot: slot.into(),
            agent: agent.as_str().to_owned(),
            lane,
            body,
            client: client.as_ref().to_owned(),
            sequence,
            again,
        });
    }

    pub fn read(&mut self, read: Read) {
        let Read { id, slot, agent, lane, if_none_match } = read;
        self.bytes += agent.as_str().len() + lane.len() + ITEM_BYTES;
        let agent = agent.as_str().to_owned();
        self.frame.reads.push(peer::Read { id, agent, lane, if_none_match, slot: slot.into() });
    }

    pub fn add_attach(&mut self, attach: Attach) {
        let Attach { attachment, slot, agent, lane, since: Since { changed, removed }, limit } = attach;
        self.bytes += agent.as_str().len() + lane.len() + ITEM_BYTES;
        let agent = agent.as_str().to_owned();
        self.frame.attaches.push(peer::Attach {
            attachment,
            agent,
            lane,
            slot: slot.into(),
            limit,
            changed,
            removed,
        });
    }

    pub fn limit(&mut self, limit: Limit) {
        let Limit { attachment, items } = limit;
        self.bytes += ITEM_BYTES;
        self.frame.limits.push(peer::Limit { attachment, items });
    }

    pub fn question(&mut self, question: Question) {
        let Question { attachment, number } = question;
        self.bytes += ITEM_BYTES;
        self.frame.questions.push(peer::Question { attachment, number });
    }

    pub fn detach(&mut self, attachment: u64) {
        self.bytes += ITEM_BYTES;
        self.frame.detaches.push(attachment);
    }

    pub fn ended(&mut self, stream: Stream) {
        self.bytes += ITEM_BYTES;
        self.frame.ended_streams.push(stream);
    }

    pub fn message(&mut self, message: &Message) {
        let Message { from, to, place: at, previous, sender, agent, lane, body, hops } = message;
        let body = value(body);
        self.bytes += sender.as_str().len() + agent.as_str().len() + lane.len() + body.len() + ITEM_BYTES;
        self.frame.messages.push(peer::Message {
            from_slot: (*from).into(),
            to_slot: (*to).into(),
            place: Some(place(*at)),
            previous: Some(place(*previous)),
            sender: sender.as_str().to_owned(),
            agent: agent.as_str().to_owned(),
            lane: lane.to_string(),
            body,
            hops: (*hops).into(),
        });
    }

    pub fn settled(&mut self, id: u64, end: End) {
        self.bytes += ITEM_BYTES / 2;
        let settled = match end {
            Ok(Done { version, said }) => {
                let (answer, answer_gone) = said.into_wire();
                self.bytes += answer.len();
                peer::Settled { id, version, refusal: None, answer, answer_gone }
            }
            Err(refusal) => {
                peer::Settled { id, refusal: Some(self.refusal(refusal)), ..peer::Settled::default() }
            }
        };
        self.frame.settled.push(settled);
    }

    pub fn taken(&mut self, taken: Taken) {
        let Taken { from, to, seen, verdict } = taken;
        let verdict = match verdict {
            Verdict::Done => peer::Verdict::Done,
            Verdict::Behind => peer::Verdict::Behind,
            Verdict::Refused => peer::Verdict::Refused,
            Verdict::Room => peer::Verdict::Room,
        };
        self.bytes += ITEM_BYTES;
        self.frame.taken.push(peer::Taken {
            from_slot: from.into(),
            to_slot: to.into(),
            seen: Some(place(seen)),
            verdict: verdict.into(),
        });
    }

    /// About so many bytes of an answer; the rest, if there is one, comes back.
    pub fn got(&mut self, reading: Reading, bytes_max: usize) -> Option<Reading> {
        let Reading { charge, id, version, rest } = reading;
        let mut answer = peer::ReadAnswer { id, version, ..peer::ReadAnswer::default() };
        self.bytes += ITEM_BYTES;
        let rest = match rest {
            Rest::NotModified => {
                answer.not_modified = true;
                None
            }
            Rest::Value(given) => {
                answer.body = value(&given);
                None
            }
            Rest::Entries(mut walk) => {
                let mut body = Vec::new();
                walk.visit(|key, value| {
                    binary::encode(key, &mut body);
                    binary::encode(value, &mut body);
                    if body.len() < bytes_max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                });
                answer.map = true;
                answer.more = walk.left() > 0;
                answer.body = body.into();
                answer.more.then_some(Rest::Entries(walk))
            }
        };
        self.bytes += answer.body.len();
        self.frame.answers.push(answer);
        rest.map(|rest| Reading { charge, id, version, rest })
    }

    pub fn unread(&mut self, id: u64, refusal: Refusal) {
        let refused = self.refusal(refusal);
        self.bytes += ITEM_BYTES;
        let answer = peer::ReadAnswer { id, refusal: Some(refused), ..peer::ReadAnswer::default() };
        self.frame.answers.push(answer);
    }

    pub fn update(&mut self, attachment: u64, update: Update) {
        let Update { version, begin, synced, changes, entries, answered } = update;
        let begin = begin.map(|begin| {
            let Begin { changed, removed, horizon } = begin;
            peer::Begin { changed, removed, horizon }
        });
        self.bytes += ITEM_BYTES;
        let entries = entries.unwrap_or_default();
        let entries = entries.entries().map(|(key, entry)| Versioned {
            change: Change::Put(key.clone(), entry.value.clone()),
            version: entry.version(),
        });
        let changes = entries.chain(changes).map(|versioned| {
            let change = change(versioned.change);
            self.bytes += ITEM_BYTES / 2 + change_bytes(&change);
            peer::Change { change: Some(change), version: versioned.version }
        });
        let changes = changes.collect();
        let refusal = None;
        let update = peer::Update { attachment, version, begin, synced, changes, refusal, answered };
        self.frame.updates.push(update);
    }

    pub fn detached(&mut self, attachment: u64, refusal: Refusal) {
        let refusal = Some(self.refusal(refusal));
        self.frame.updates.push(peer::Update { attachment, refusal, ..peer::Update::default() });
    }

    fn refusal(&mut self, refusal: Refusal) -> peer::Refusal {
        let Refusal { code, error, at, outcome_unknown, retry_after_s, by_rule } = refusal;
        self.bytes += error.len() + at.len() + ITEM_BYTES;
        peer::Refusal { code: code.into(), error, at, retry_after_s, outcome_unknown, by_rule }
    }
}

/// An answer to a read that is being sent, in pieces where it is long.
#[derive(Debug)]
pub struct Reading {
    /// Given back before the rest goes.
    charge: Charge,
    id: u64,
    version: u64,
    rest: Rest,
}

#[derive(Debug)]
enum Rest {
    NotModified,
    Value(Value),
    Entries(Walk),
}

impl Reading {
    pub fn new(id: u64, answer: Answer) -> Reading {
        let Answer { charge, version, not_modified, body } = answer;
        let rest = match body {
            _ if not_modified => Rest::NotModified,
            Body::Value(value) => Rest::Value(value),
            Body::Map(map) => Rest::Entries(Walk::new(map)),
        };
        Reading { charge, id, version, rest }
    }
}

fn value(value: &Value) -> Bytes {
    let mut bytes = Vec::new();
    binary::encode(value, &mut bytes);
    bytes.into()
}

fn place(place: Place) -> peer::Place {
    let Place { history, lsn, index } = place;
    peer::Place { history: history.into(), lsn, index }
}

fn change(change: Change) -> peer::change::Change {
    use peer::change::Change as Wire;
    match change {
        Change::Set(given) => Wire::Set(value(&given)),
        Change::Put(key, given) => Wire::Update(peer::MapUpdate { key: value(&key), value: value(&given) }),
        Change::Remove(key) => Wire::Remove(value(&key)),
        Change::Clear => Wire::Clear(true),
        Change::Event(given) => Wire::Event(value(&given)),
    }
}

fn change_bytes(change: &peer::change::Change) -> usize {
    use peer::change::Change as Wire;
    match change {
        Wire::Set(bytes) | Wire::Remove(bytes) | Wire::Event(bytes) => bytes.len(),
        Wire::Update(peer::MapUpdate { key, value }) => key.len() + value.len(),
        Wire::Clear(_) => 0,
    }
}

fn identity_out(identity: Identity) -> peer::Identity {
    let Identity { plan_uid, ordinal, store, incarnation } = identity;
    peer::Identity { plan_uid, ordinal: ordinal.into(), store: store.to_string(), incarnation }
}

pub fn configuration_out(configuration: Configuration) -> peer::ConfigureRequest {
    let Configuration { plan_name, plan_uid, generation, spec, ring, peers, adopted_by } = configuration;
    peer::ConfigureRequest { plan_name, plan_uid, generation, spec, ring, peers, adopted_by }
}

pub fn report_out(report: Report) -> peer::ReportResponse {
    let Report {
        plan_uid,
        ordinal,
        store,
        incarnation,
        revision,
        generation,
        slots_owned,
        slots_serving,
        had_ring,
        certificates: Digests { bundle, certificate },
        held,
        hints,
    } = report;
    peer::ReportResponse {
        identity: Some(peer::Identity { plan_uid, ordinal: ordinal.into(), store, incarnation }),
        revision,
        generation,
        slots_owned,
        slots_serving,
        had_ring,
        version: env!("CARGO_PKG_VERSION").into(),
        certificates: Some(peer::Certificates { bundle, certificate }),
        held,
        ring: Bytes::new(),
        hints: Some(hints),
    }
}
