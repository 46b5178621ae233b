//! Events of a lane as text of an event stream (WHATWG HTML, "Server-sent events"; `docs/api.md` has the form). Decides, and
//! waits for nothing.
//!
//! *Guarantees.* Each event is one `event` line, one `data` line of JSON, and one `id` line if it carries a watermark or
//! makes the one before void. Whoever goes on with the last `id` that stands in what it has read keeps nothing that no
//! longer holds: until there is a watermark, and from `reset` to the next one, that is 0, which is answered by `reset`.

use crate::link::{Event, EventKind};
use crate::refusal::Refusal;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Says only that the stream is alive.
pub const COMMENT: &[u8] = b":\n";
/// What stands in an event beside key, value and numbers.
const FRAME: usize = 96;

/// The beginning of a stream: after how long a client whose stream has broken connects again, and with which id if it has
/// read no other until then. An event without data is none for the client.
pub fn begin(retry_ms: u32, from: Option<u64>) -> Vec<u8> {
    format!("retry: {retry_ms}\nid: {}\n\n", from.unwrap_or(0)).into()
}

/// About how many bytes an event takes.
pub fn length(event: &Event) -> usize {
    FRAME + event.key.len() + event.value.len()
}

pub fn write(event: &Event, out: &mut Vec<u8>) {
    let Event { kind, key, value, id, gap: (from, to) } = event;
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name(*kind).as_bytes());
    out.extend_from_slice(b"\ndata: ");
    match kind {
        EventKind::Set | EventKind::Event => out.extend_from_slice(value),
        EventKind::Update => {
            out.extend_from_slice(b"{\"key\":");
            out.extend_from_slice(key);
            out.extend_from_slice(b",\"value\":");
            out.extend_from_slice(value);
            out.push(b'}');
        }
        EventKind::Remove => {
            out.extend_from_slice(b"{\"key\":");
            out.extend_from_slice(key);
            out.push(b'}');
        }
        EventKind::Gap => write_number(out, format_args!("{{\"from\":{from},\"to\":{to}}}")),
        EventKind::Clear | EventKind::Synced | EventKind::Reset | EventKind::Stale => {
            out.extend_from_slice(b"null");
        }
    }
    let id = id.or((*kind == EventKind::Reset).then_some(0));
    match id {
        Some(id) => write_number(out, format_args!("\nid: {id}\n\n")),
        None => out.extend_from_slice(b"\n\n"),
    }
}

fn write_number(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a buffer grows");
}

fn name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Set => "set",
        EventKind::Update => "update",
        EventKind::Remove => "remove",
        EventKind::Clear => "clear",
        EventKind::Event => "event",
        EventKind::Synced => "synced",
        EventKind::Reset => "reset",
        EventKind::Gap => "gap",
        EventKind::Stale => "stale",
    }
}

/// The last event of a stream that its node ends.
pub fn closed(refusal: &Refusal) -> Vec<u8> {
    let Refusal { code, error, at, outcome_unknown: _, retry_after_s: _, by_rule: _ } = refusal;
    let data = serde_json::json!({"code": code, "error": error, "at": at});
    format!("event: closed\ndata: {data}\n\n").into()
}

/// When a stream is due a comment: after a time in which nothing was written.
#[derive(Debug)]
pub struct Silence {
    since: Instant,
}

impl Silence {
    pub const LONGEST: Duration = Duration::from_secs(10);

    pub fn begins(now: Instant) -> Silence {
        Silence { since: now }
    }

    /// Until when nothing needs to be written; `None`: a comment is due, and is written now.
    pub fn lasts_until(&mut self, now: Instant) -> Option<Instant> {
        let until = self.since + Silence::LONGEST;
        if now < until {
            return Some(until);
        }
        self.since = now;
        None
    }
}

#[cfg(test)]
mod tests;
