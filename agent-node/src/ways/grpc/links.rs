//! `Watch` and `Links`: events of lanes as messages. The node is asked for the next output only when the client has
//! taken the one before, and in between it conflates; so a client that does not read holds no events.

use super::{Source, broken, stopping};
use crate::{
    answer,
    connections::unread_room,
    link::{self, EventKind, LinkOutput, Rate},
    node::Links,
    refusal::Refusal,
};
use proto::wire::v1;
use std::collections::HashSet;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

/// The most links of one stream.
const LINKS_MAX: usize = 65_536;

/// The events of one lane; its link has the number 0.
pub(super) struct Watch {
    links: Links,
    stop: CancellationToken,
    due: Vec<LinkOutput>,
    /// How the call ends when what is due has been sent.
    closed: Option<Result<(), Refusal>>,
}

impl Watch {
    pub(super) fn new(links: Links, stop: CancellationToken) -> Self {
        Self { links, stop, due: Vec::new(), closed: None }
    }

    fn message(&mut self) -> Option<v1::WatchResponse> {
        let mut events = Vec::with_capacity(self.due.len());
        for output in self.due.drain(..) {
            match output {
                LinkOutput::Event { event: given, .. } => events.push(event(given)),
                LinkOutput::Closed { refusal, .. } => self.closed = Some(refusal.map_or(Ok(()), Err)),
            }
        }
        (!events.is_empty()).then_some(v1::WatchResponse { events })
    }
}

impl Source for Watch {
    type Message = v1::WatchResponse;

    async fn next(&mut self) -> Result<Option<v1::WatchResponse>, Status> {
        loop {
            if let Some(message) = self.message() {
                return Ok(Some(message));
            }
            if let Some(end) = self.closed.take() {
                return end.map(|()| None).map_err(|refusal| answer::status(&refusal));
            }
            tokio::select! {
                () = self.links.next(&mut self.due, unread_room) => {}
                () = self.stop.cancelled() => return Err(stopping()),
            }
        }
    }
}

/// The events of many lanes.
pub(super) struct Many {
    links: Links,
    incoming: Streaming<v1::LinksRequest>,
    stop: CancellationToken,
    open: HashSet<u32>,
    due: Vec<LinkOutput>,
    /// The client says nothing more; its links go on.
    half_closed: bool,
}

impl Many {
    pub(super) fn new(links: Links, incoming: Streaming<v1::LinksRequest>, stop: CancellationToken) -> Self {
        Self { links, incoming, stop, open: HashSet::new(), due: Vec::new(), half_closed: false }
    }

    fn apply(&mut self, message: v1::LinksRequest) -> Result<(), Status> {
        let v1::LinksRequest { open, close, credit } = message;
        for one in open {
            if self.open.len() >= LINKS_MAX {
                let refusal = Refusal::full(format!("a stream has at most {LINKS_MAX} links"), one.agent);
                self.due.push(LinkOutput::Closed { link: one.link, refusal: Some(refusal) });
            } else if self.open.insert(one.link) {
                self.open(one);
            } else {
                let refusal = Refusal::bad(format!("link {} is open", one.link), "open.link");
                return Err(answer::status(&refusal));
            }
        }
        // Either may cross with the node's own end of the link.
        for link in close.into_iter().filter(|link| self.open.contains(link)) {
            self.links.close(link);
        }
        for v1::Credit { link, events } in
            credit.into_iter().filter(|credit| self.open.contains(&credit.link))
        {
            self.links.credit(link, events);
        }
        Ok(())
    }

    fn open(&mut self, one: v1::OpenLink) {
        let v1::OpenLink { link, agent, lane, from, credit, rate } = one;
        let rate = match rate.map(Rate::new).transpose() {
            Ok(rate) => rate,
            Err(refusal) => return self.due.push(LinkOutput::Closed { link, refusal: Some(refusal) }),
        };
        self.links.open(link, &agent, &lane, from, credit);
        if let Some(rate) = rate {
            self.links.pace(link, rate);
        }
    }

    fn message(&mut self) -> v1::LinksResponse {
        let mut response = v1::LinksResponse::default();
        for output in self.due.drain(..) {
            match output {
                LinkOutput::Event { link, event: given } => {
                    response.events.push(v1::LinkEvent { link, event: Some(event(given)) });
                }
                LinkOutput::Closed { link, refusal } => {
                    self.open.remove(&link);
                    response.closed.push(v1::LinkClosed { link, refusal: refusal.map(answer::message) });
                }
            }
        }
        response
    }
}

impl Source for Many {
    type Message = v1::LinksResponse;

    async fn next(&mut self) -> Result<Option<v1::LinksResponse>, Status> {
        loop {
            if !self.due.is_empty() {
                return Ok(Some(self.message()));
            }
            if self.half_closed && self.open.is_empty() {
                return Ok(None);
            }
            tokio::select! {
                () = self.links.next(&mut self.due, unread_room), if !self.open.is_empty() => {}
                read = self.incoming.message(), if !self.half_closed => match read.map_err(broken)? {
                    Some(message) => self.apply(message)?,
                    None => self.half_closed = true,
                },
                () = self.stop.cancelled() => return Err(stopping()),
            }
        }
    }
}

fn event(event: link::Event) -> v1::Event {
    let link::Event { kind, key, value, id, gap: (gap_from, gap_to) } = event;
    v1::Event { kind: event_kind(kind).into(), key, value, id, gap_from, gap_to }
}

fn event_kind(kind: EventKind) -> v1::EventKind {
    match kind {
        EventKind::Set => v1::EventKind::Set,
        EventKind::Update => v1::EventKind::Update,
        EventKind::Remove => v1::EventKind::Remove,
        EventKind::Clear => v1::EventKind::Clear,
        EventKind::Event => v1::EventKind::Event,
        EventKind::Synced => v1::EventKind::Synced,
        EventKind::Reset => v1::EventKind::Reset,
        EventKind::Gap => v1::EventKind::Gap,
        EventKind::Stale => v1::EventKind::Stale,
    }
}
