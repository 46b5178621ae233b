//! What clients have begun to send and has not come whole: one bound for the process, and a time for each.
//!
//! *Guarantees.* What is held is at most [`BYTES_MAX`]. The last quarter of it is for what is small, so that who sends
//! much keeps nobody else from sending little. What stops in the middle is given up after [`TIME`]. What has come whole
//! is no matter of this file any more, and neither is what lies unread in a connection's window.

use super::messages::Messages;
use crate::refusal::Refusal;
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::CONTENT_TYPE;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// For all requests of a process that have not come whole.
pub const BYTES_MAX: usize = 128 << 20;
/// A request of so many bytes is small.
const SMALL: usize = 16 << 10;
/// From the first byte of a message to its last.
const TIME: Duration = Duration::from_secs(30);

static HELD: AtomicUsize = AtomicUsize::new(0);

/// Bytes of requests that have not come whole.
pub fn held() -> usize {
    HELD.load(Relaxed)
}

/// The body of a request.
pub struct RequestBody<B = Incoming> {
    body: B,
    messages: Messages,
    held: Held,
    late: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("{}", .0.error)]
    Refused(Refusal),
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

/// What one request holds of the bound on all of them.
struct Held {
    all: &'static AtomicUsize,
    bytes: usize,
}

impl Held {
    fn of(all: &'static AtomicUsize) -> Held {
        Held { all, bytes: 0 }
    }

    /// False: there is no room for so many, and it holds what it held.
    fn change(&mut self, to: usize) -> bool {
        let most = if to <= SMALL { BYTES_MAX } else { BYTES_MAX / 4 * 3 };
        let fits = |all: usize| {
            let all = all - self.bytes + to;
            (to <= self.bytes || all <= most).then_some(all)
        };
        let changed = to == self.bytes || self.all.fetch_update(Relaxed, Relaxed, fits).is_ok();
        if changed {
            self.bytes = to;
        }
        changed
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Relaxed);
    }
}

impl<B> RequestBody<B> {
    pub fn new(headers: &HeaderMap, body: B) -> RequestBody<B> {
        let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
        RequestBody { body, messages: Messages::of(content_type), held: Held::of(&HELD), late: None }
    }

    fn passes(&mut self, data: &[u8]) -> Result<(), BodyError> {
        let before = self.held.bytes;
        let after = self.messages.pass(before, data);
        if !self.held.change(after) {
            let text = "too much is being sent to this node and has not come whole";
            return Err(BodyError::Refused(Refusal::full(text, "body")));
        }
        if after == 0 {
            self.late = None;
        } else if before == 0 || after < before + data.len() {
            self.late = Some(Box::pin(sleep(TIME)));
        }
        Ok(())
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    BodyError: From<B::Error>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            if let Some(late) = &mut this.late {
                ready!(late.as_mut().poll(cx));
                let text = format!("a message has not come whole within {} s", TIME.as_secs());
                return Poll::Ready(Some(Err(BodyError::Refused(Refusal::new(408, text, "body")))));
            }
            return Poll::Pending;
        };
        let Some(frame) = frame.transpose()? else { return Poll::Ready(None) };
        if let Some(data) = frame.data_ref() {
            this.passes(data)?;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_large_leaves_room_for_what_is_small() {
        static ALL: AtomicUsize = AtomicUsize::new(0);
        let (mut large, mut larger, mut small) = (Held::of(&ALL), Held::of(&ALL), Held::of(&ALL));
        let most = BYTES_MAX / 4 * 3;
        assert!(large.change(most) && !large.change(most + 1));
        assert!(!larger.change(SMALL + 1) && small.change(SMALL));
        assert_eq!((large.bytes, larger.bytes, ALL.load(Relaxed)), (most, 0, most + SMALL));
        assert!(large.change(1), "less is always let in");
        assert!(larger.change(SMALL + 1));
        drop((large, larger, small));
        assert_eq!(ALL.load(Relaxed), 0);
    }
}
