//! Event streams: the events of one lane as a body that does not end. The node is asked for the next events only when the
//! connection has room for them, and in between it conflates; so a client that does not read holds no events.

use super::call::EventsWanted;
use super::event_text::{self, Silence};
use crate::connections::{Untaken, unread_room};
use crate::link::LinkOutput;
use crate::node::Links;
use crate::refusal::Refusal;
use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use hyper::Response;
use hyper::header::{self, HeaderName, HeaderValue};
use std::convert::Infallible;
use std::pin::Pin;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// Clients whose streams break at the same time come back over a second, and find their lanes still watched.
const RETRY_MS: std::ops::Range<u32> = 500..1_500;

/// The events of one lane; its link has the number 0.
struct Events {
    links: Links,
    due: Vec<LinkOutput>,
    /// Written and not given yet.
    text: Vec<u8>,
    silence: Silence,
    timer: Pin<Box<Sleep>>,
    untaken: Option<Untaken>,
    stop: CancellationToken,
    has_ended: bool,
}

/// Begins the stream, or says why not.
pub fn answer(
    links: Links,
    agent: &str,
    wanted: &EventsWanted,
    untaken: Option<Untaken>,
    stop: CancellationToken,
) -> Result<Response<Body>, Refusal> {
    let EventsWanted { lane, from, rate } = wanted;
    links.open(0, agent, lane, *from, None);
    if let Some((_, Some(refusal))) = links.ended() {
        return Err(refusal);
    }
    if let Some(rate) = rate {
        links.pace(0, *rate);
    }
    let now = Instant::now();
    let events = Events {
        links,
        due: Vec::new(),
        text: event_text::begin(rand::random_range(RETRY_MS), *from),
        silence: Silence::begins(now.into_std()),
        timer: Box::pin(sleep_until(now + Silence::LONGEST)),
        untaken,
        stop,
        has_ended: false,
    };
    let pieces = stream::unfold(events, |mut events| async {
        let piece = events.next().await?;
        Some((Ok::<_, Infallible>(piece), events))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Proxies that read this hand each piece on at once.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

impl Events {
    /// The next piece; `None`: the stream is over. May be dropped at any await and loses nothing.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.write();
            if !self.text.is_empty() {
                self.silence = Silence::begins(Instant::now().into_std());
                let text = std::mem::take(&mut self.text);
                return Some(match &self.untaken {
                    Some(untaken) => untaken.piece(text),
                    None => text.into(),
                });
            }
            if self.has_ended {
                return None;
            }
            tokio::select! {
                () = self.links.next(&mut self.due, unread_room) => {}
                () = self.stop.cancelled() => self.end(&Refusal::unavailable("this node is stopping", "")),
                // It is not set anew with each event, so it may be early.
                () = self.timer.as_mut() => {
                    let now = Instant::now();
                    let until = self.silence.lasts_until(now.into_std());
                    if until.is_none() {
                        self.text.extend_from_slice(event_text::COMMENT);
                    }
                    let until = until.map_or(now + Silence::LONGEST, Instant::from_std);
                    self.timer.as_mut().reset(until);
                }
            }
        }
    }

    fn write(&mut self) {
        let length = |output: &LinkOutput| match output {
            LinkOutput::Event { event, .. } => event_text::length(event),
            LinkOutput::Closed { .. } => 0,
        };
        self.text.reserve(self.due.iter().map(length).sum());
        for output in std::mem::take(&mut self.due) {
            match output {
                LinkOutput::Event { event, .. } => event_text::write(&event, &mut self.text),
                LinkOutput::Closed { refusal: Some(refusal), .. } => self.end(&refusal),
                LinkOutput::Closed { refusal: None, .. } => self.has_ended = true,
            }
        }
    }

    fn end(&mut self, refusal: &Refusal) {
        self.text.append(&mut event_text::closed(refusal));
        self.has_ended = true;
    }
}
