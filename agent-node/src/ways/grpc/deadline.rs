//! The time that a client gives a call (`grpc-timeout`): when it is over, the call ends with `DEADLINE_EXCEEDED`, and so
//! does all that waits for it.

use crate::{answer, refusal::Refusal};
use axum::body::Body;
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// A longer time is none.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// The time that a call has, if its client gives it one.
pub(super) fn given(headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    let time = value.to_str().ok().and_then(parse);
    let bad = || Refusal::bad("a timeout is 1 to 8 digits and one of H, M, S, m, u, n", "grpc-timeout");
    Ok(Some(time.ok_or_else(bad)?).filter(|time| *time < LONGEST))
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Whether something that the call asked for may have been done and is not answered. Clones say the same.
#[derive(Clone, Default)]
pub(super) struct Doubt(Arc<AtomicBool>);

impl Doubt {
    /// The deadline of the call that is answered here.
    pub fn of<T>(request: &tonic::Request<T>) -> Doubt {
        request.extensions().get().cloned().unwrap_or_default()
    }

    pub fn is(&self, doubtful: bool) {
        self.0.store(doubtful, Relaxed);
    }

    pub fn is_there(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// How a call ends whose time is over.
pub(super) fn over(doubt: &Doubt) -> Refusal {
    let refusal = Refusal::new(408, "the deadline of the call has passed", "grpc-timeout");
    Refusal { outcome_unknown: doubt.is_there(), ..refusal }
}

/// The messages of an answer, until the time of its call is over.
pub(super) struct Limited {
    /// `None`: the time is over.
    body: Option<Body>,
    until: Pin<Box<Sleep>>,
    doubt: Doubt,
}

impl Limited {
    pub fn new(body: Body, until: Instant, doubt: Doubt) -> Limited {
        Limited { body: Some(body), until: Box::pin(sleep_until(until)), doubt }
    }
}

impl hyper::body::Body for Limited {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        if this.until.as_mut().poll(cx).is_pending() {
            return Pin::new(body).poll_frame(cx);
        }
        let status = answer::status(&over(&self.doubt));
        // What waits for this call ends with it.
        self.body = None;
        let mut trailers = HeaderMap::new();
        Poll::Ready(status.add_header(&mut trailers).is_ok().then(|| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(hyper::body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, hyper::body::Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_a_number_and_a_unit() {
        for (text, expected) in [
            ("2H", Ok(Some(Duration::from_hours(2)))),
            ("3M", Ok(Some(Duration::from_mins(3)))),
            ("4S", Ok(Some(Duration::from_secs(4)))),
            ("500m", Ok(Some(Duration::from_millis(500)))),
            ("7u", Ok(Some(Duration::from_micros(7)))),
            ("99999999n", Ok(Some(Duration::from_nanos(99_999_999)))),
            ("0S", Ok(Some(Duration::ZERO))),
            ("99999999H", Ok(None)),
            ("", Err(400)),
            ("S", Err(400)),
            ("1", Err(400)),
            ("1s", Err(400)),
            ("-1S", Err(400)),
            ("+1S", Err(400)),
            ("1.5S", Err(400)),
            ("100000000S", Err(400)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            assert_eq!(given(&headers).map_err(|refusal| refusal.code), expected, "{text}");
        }
        assert_eq!(given(&HeaderMap::new()), Ok(None));
    }
}
