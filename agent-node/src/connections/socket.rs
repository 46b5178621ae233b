//! A connection's socket, which closes on a client that takes too little, and notices one that is gone.

use super::pace::{Pace, SHORT_SPAN, SPAN};
use super::unread;
use super::untaken::Untaken;
use prometheus_client::metrics::counter::Counter;
use socket2::SockRef;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// For how long what was sent may be without a sign that it came. More than a client has to take its next piece.
const GONE: Duration = Duration::from_mins(1);
/// How much the kernel holds that it has not sent. With more, a slow client would seem to take nothing for minutes, and
/// then megabytes at once.
const UNSENT: u32 = 64 << 10;

/// A connection works without any of these.
pub fn settle(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_user_timeout(Some(GONE));
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
}

/// Everything due on the connection goes through it, so it knows how the client takes it.
pub struct Socket<S> {
    stream: S,
    pace: Pace,
    look: Option<Pin<Box<Sleep>>>,
    untaken: Untaken,
    slow: Counter,
}

impl<S> Socket<S> {
    /// `untaken` is what the connection holds of event streams, and `slow` counts the clients that were let go.
    pub fn new(stream: S, untaken: Untaken, slow: Counter) -> Socket<S> {
        Socket { stream, pace: Pace::default(), look: None, untaken, slow }
    }

    /// The kernel takes nothing more at present.
    fn waits(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            let (now, has_events) = (Instant::now(), self.untaken.is_some());
            let span = if has_events && unread::is_much() { SHORT_SPAN } else { SPAN };
            let Ok(at) = self.pace.waits(now, span) else {
                self.slow.inc();
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client takes too little",
                )));
            };
            // Meanwhile it may become much.
            let at = if has_events { at.min(now + SHORT_SPAN) } else { at };
            ready!(sleeps(&mut self.look, at, cx));
        }
    }

    fn wrote(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.pace.takes(bytes);
                written
            }
            Poll::Ready(Err(_)) => written,
            Poll::Pending => self.waits(cx),
        }
    }
}

/// Sleeps until then, on a timer that is used again.
pub fn sleeps(timer: &mut Option<Pin<Box<Sleep>>>, until: Instant, cx: &mut Context<'_>) -> Poll<()> {
    let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
    if timer.deadline() != until {
        timer.as_mut().reset(until);
    }
    timer.as_mut().poll(cx)
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Whoever writes flushes when all that it has is written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.pace.rests();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
