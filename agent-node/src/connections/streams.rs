//! The streams of HTTP/2: many on one connection, each with a client that may read the others and not this one. A stream
//! of whose answer too little is taken is reset.
//!
//! hyper asks an answer's body for the next piece as soon as the one before has found room among what waits for the
//! client's window. So a piece that is not followed by another question is due. The body gives pieces that are small
//! enough to tell a slow client by, and the task of the stream looks at the clock when it can't go on.

use super::pace::{Pace, SHORT_SPAN, SPAN};
use super::socket::sleeps;
use super::unread::{self, Unread};
use crate::lock::lock;
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep};

/// The most that waits for a stream's window before its body is asked for no more.
pub const WAITING_MAX: usize = 4 << 10;
/// Bytes of a body that are given at once.
const PIECE: usize = 16 << 10;

tokio::task_local! {
    /// The stream that this task serves. Requests of HTTP/1 have none: their connection's socket is enough.
    static STREAM: Arc<Stream>;
}

#[derive(Default)]
pub struct Stream(Mutex<StreamState>);

#[derive(Default)]
struct StreamState {
    pace: Pace,
    /// Bytes of the piece that was given last, and may wait for room.
    given: usize,
}

impl Stream {
    /// The stream of the request that is answered here.
    pub fn current() -> Option<Arc<Stream>> {
        STREAM.try_with(Arc::clone).ok()
    }

    fn asks(&self) {
        let mut state = lock(&self.0);
        let given = std::mem::take(&mut state.given);
        state.pace.takes(given);
    }

    fn gives(&self, bytes: usize) {
        lock(&self.0).given = bytes;
    }

    fn rests(&self) {
        lock(&self.0).pace.rests();
    }

    /// Ready when the client takes too little.
    fn is_slow(&self, look: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.0);
        while state.given > 0 {
            let now = Instant::now();
            let span = if unread::is_much() { SHORT_SPAN } else { SPAN };
            let Ok(at) = state.pace.waits(now, span) else { return Poll::Ready(()) };
            // Meanwhile it may become much.
            std::task::ready!(sleeps(look, at.min(now + SHORT_SPAN), cx));
        }
        Poll::Pending
    }
}

/// Runs the streams of HTTP/2 connections.
#[derive(Clone)]
pub struct Streams {
    /// Counts the streams that were reset.
    pub slow: Counter,
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let (stream, slow) = (Arc::<Stream>::default(), self.slow.clone());
        let watched = stream.clone();
        tokio::spawn(STREAM.scope(stream, async move {
            let (mut future, mut look) = (pin!(future), None);
            // What is dropped is reset.
            std::future::poll_fn(|cx| {
                if future.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                watched.is_slow(&mut look, cx).map(|()| {
                    slow.inc();
                })
            })
            .await;
        }));
    }
}

/// The body of an answer. What it holds is let go when the answer has ended in any way.
pub struct Paced<H> {
    body: Body,
    /// The rest of a frame that was more than one piece.
    rest: Bytes,
    unread: Unread,
    stream: Option<Arc<Stream>>,
    _held: H,
}

impl<H> Paced<H> {
    pub fn new(body: Body, held: H) -> Paced<H> {
        Paced { body, rest: Bytes::new(), unread: Unread::default(), stream: Stream::current(), _held: held }
    }

    /// The last piece of a frame is so small that it may wait for room behind what waits already.
    fn piece(&mut self, stream: &Stream) -> Bytes {
        let piece = match self.rest.len() {
            all if all <= WAITING_MAX => all,
            more => PIECE.min(more - WAITING_MAX),
        };
        stream.gives(piece);
        let given = self.rest.split_to(piece);
        self.unread.set(self.rest.len());
        given
    }
}

impl<H: Unpin> hyper::body::Body for Paced<H> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let Some(stream) = this.stream.clone() else { return Pin::new(&mut this.body).poll_frame(cx) };
        stream.asks();
        if this.rest.is_empty() {
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Pending => {
                    stream.rests();
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end @ Poll::Ready(_) => return end,
            }
        }
        Poll::Ready(Some(Ok(Frame::data(this.piece(&stream)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
