//! What clients have begun to send and has not come whole: one bound for the process, and a time for each.
//!
//! *Guarantees.* What is held is at most [`BYTES_MAX`]. The last quarter of it is for what is small, so that who sends
//! much keeps nobody else from sending little. What stops in the middle is given up after [`TIME`]. What has come whole
//! is no matter of this file any more, and neither is what lies unread in a connection's window.

use crate::refusal::Refusal;
use bytes::{Buf as _, Bytes};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::{HeaderMap, header};
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
pub struct Coming<B = Incoming> {
    body: B,
    messages: Messages,
    held: Held,
    late: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}", .0.error)]
    Refused(Refusal),
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

/// How a body is cut into what counts as one.
enum Messages {
    /// It is one.
    One,
    /// gRPC's messages: a flag, the length in 4 bytes, and the message.
    Many { head: Vec<u8>, rest: usize, come: usize },
}

impl Messages {
    /// Whether a body is gRPC's, its headers say.
    fn of(headers: &HeaderMap) -> Messages {
        let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
        if kind.starts_with(b"application/grpc") {
            Messages::Many { head: Vec::with_capacity(GRPC_HEAD), rest: 0, come: 0 }
        } else {
            Messages::One
        }
    }

    /// More has come, after so many bytes that are held. Gives how many are held now.
    fn pass(&mut self, held: usize, mut data: &[u8]) -> usize {
        let Messages::Many { head, rest, come } = self else { return held + data.len() };
        while !data.is_empty() {
            if head.len() < GRPC_HEAD {
                let more = data.len().min(GRPC_HEAD - head.len());
                head.extend_from_slice(&data[..more]);
                data.advance(more);
                *come += more;
                if let [_, length @ ..] = &head[..]
                    && let Ok(length) = length.try_into()
                {
                    *rest = u32::from_be_bytes(length) as usize;
                }
            }
            if head.len() == GRPC_HEAD {
                let more = data.len().min(*rest);
                data.advance(more);
                (*rest, *come) = (*rest - more, *come + more);
                if *rest == 0 {
                    head.clear();
                    *come = 0;
                }
            }
        }
        *come
    }
}

const GRPC_HEAD: usize = 5;

/// What one request holds of the bound.
struct Held(usize);

impl Held {
    /// False: there is no room for so many, and it holds what it held.
    fn change(&mut self, to: usize) -> bool {
        let most = if to <= SMALL { BYTES_MAX } else { BYTES_MAX / 4 * 3 };
        let fits = |all: usize| {
            let all = all - self.0 + to;
            (to <= self.0 || all <= most).then_some(all)
        };
        let changed = HELD.fetch_update(Relaxed, Relaxed, fits).is_ok();
        if changed {
            self.0 = to;
        }
        changed
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.fetch_sub(self.0, Relaxed);
    }
}

impl<B> Coming<B> {
    pub fn new(headers: &HeaderMap, body: B) -> Coming<B> {
        Coming { body, messages: Messages::of(headers), held: Held(0), late: None }
    }

    fn passes(&mut self, data: &[u8]) -> Result<(), Error> {
        let before = self.held.0;
        let after = self.messages.pass(before, data);
        if !self.held.change(after) {
            let text = "too much is being sent to this node and has not come whole";
            return Err(Error::Refused(Refusal::full(text, "body")));
        }
        if after == 0 {
            self.late = None;
        } else if before == 0 || after < before + data.len() {
            self.late = Some(Box::pin(sleep(TIME)));
        }
        Ok(())
    }
}

impl<B> Body for Coming<B>
where
    B: Body<Data = Bytes> + Unpin,
    Error: From<B::Error>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            if let Some(late) = &mut this.late {
                ready!(late.as_mut().poll(cx));
                let text = format!("a message has not come whole within {} s", TIME.as_secs());
                return Poll::Ready(Some(Err(Error::Refused(Refusal::new(408, text, "body")))));
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

    fn messages(kind: &'static str) -> Messages {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        Messages::of(&headers)
    }

    #[test]
    fn a_body_is_held_until_it_is_over_and_a_message_until_it_is_whole() {
        let mut one = messages("application/json");
        assert_eq!((one.pass(0, b"abc"), one.pass(3, b"de")), (3, 5));
        // Two messages of 3 and 300 bytes and an empty one, in pieces of every size.
        let mut bytes = vec![0, 0, 0, 0, 3, 1, 2, 3, 1, 0, 0, 1, 44];
        bytes.extend([7; 300]);
        bytes.extend([0; 5]);
        let ends = [8, 313, 318];
        for piece in 1..bytes.len() {
            let (mut many, mut held, mut come) = (messages("application/grpc+proto"), 0, 0);
            for data in bytes.chunks(piece) {
                held = many.pass(held, data);
                come += data.len();
                let begins = ends.iter().copied().filter(|end| *end <= come).max().unwrap_or(0);
                assert_eq!(held, come - begins, "{come} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn what_is_large_leaves_room_for_what_is_small() {
        // The bound is the process's: other tests hold little of it.
        let slack = 1 << 20;
        let (mut large, mut larger, mut small) = (Held(0), Held(0), Held(0));
        assert!(large.change(BYTES_MAX / 4 * 3 - slack));
        assert!(!larger.change(2 * slack) && larger.0 == 0);
        assert!(small.change(SMALL));
        assert!(large.change(slack), "less is always let in");
        assert!(larger.change(2 * slack));
        let before = held();
        drop((large, larger, small));
        assert_eq!(before - held(), 3 * slack + SMALL);
    }
}
