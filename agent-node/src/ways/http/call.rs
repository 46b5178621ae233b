//! What an HTTP request asks for: method, query and headers become a `Call`, or the reason why not.

use crate::{answer, link::Rate, refusal::Refusal};
use hyper::{HeaderMap, Method, Uri, header};
use std::{borrow::Cow, sync::Arc};

#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    Get { lane: String, local: bool, known: Known },
    Events(EventsWanted),
    Post { lane: String, key: Option<(Arc<str>, u64)> },
}

/// The events of a lane.
#[derive(Debug, PartialEq, Eq)]
pub struct EventsWanted {
    pub lane: String,
    /// A watermark that an earlier stream gave.
    pub from: Option<u64>,
    pub rate: Option<Rate>,
}

/// The versions that a client has, from `If-None-Match`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Known {
    any: bool,
    versions: Vec<u64>,
}

impl Known {
    /// Whether this is what the client has.
    pub fn has(&self, version: u64) -> bool {
        self.any || self.versions.contains(&version)
    }

    /// The one version that the node can compare by itself.
    pub fn single(&self) -> Option<u64> {
        match self.versions[..] {
            [version] if !self.any => Some(version),
            _ => None,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// The answer names the agent's lanes, which only the node knows.
    NoLane,
    Method,
    Refused(Refusal),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Call {
    pub fn parse(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Self, Error> {
        let reads = method == Method::GET || method == Method::HEAD;
        if !reads && method != Method::POST {
            return Err(Error::Method);
        }
        let Query { lane, local, from, rate } = Query::parse(uri.query().unwrap_or_default())?;
        if reads && prefers_events(headers) {
            if local {
                let text = "read is for states: the events of a lane are those of this node's mirror of it";
                return Err(Refusal::bad(text, "read").into());
            }
            // A client that comes back asks with the query that it began with.
            let from = last_event_id(headers)?.or(from);
            Ok(Self::Events(EventsWanted { lane: lane.ok_or(Error::NoLane)?, from, rate }))
        } else {
            for (is_there, name) in [(from.is_some(), "from"), (rate.is_some(), "rate")] {
                if is_there {
                    let text = format!("{name} is for event streams: GET with Accept: text/event-stream");
                    return Err(Refusal::bad(text, name).into());
                }
            }
            if reads {
                let lane = lane.ok_or(Error::NoLane)?;
                return Ok(Self::Get { lane, local, known: known(headers) });
            }
            if local {
                return Err(Refusal::bad("read is for GET only", "read").into());
            }
            let lane = lane.ok_or(Error::NoLane)?;
            is_json(headers)?;
            Ok(Self::Post { lane, key: key(headers)? })
        }
    }
}

#[derive(Default)]
struct Query {
    lane: Option<String>,
    local: bool,
    from: Option<u64>,
    rate: Option<Rate>,
}

impl Query {
    fn parse(text: &str) -> Result<Self, Refusal> {
        let mut query = Self::default();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            let twice = || Refusal::bad(format!("{name} stands there twice"), name.as_ref());
            match (name.as_ref(), value.as_ref()) {
                ("lane", _) if query.lane.is_some() => return Err(twice()),
                ("lane", lane) => query.lane = Some(lane.to_owned()),
                ("read", _) if query.local => return Err(twice()),
                ("read", "local") => query.local = true,
                ("read", _) => return Err(Refusal::bad("the only value of read is local", "read")),
                ("from", _) if query.from.is_some() => return Err(twice()),
                ("from", token) => query.from = Some(watermark(token, "from")?),
                ("rate", _) if query.rate.is_some() => return Err(twice()),
                ("rate", rate) => {
                    // What is no number is not one of those that there are.
                    let flushes = digits(rate).and_then(|rate| u32::try_from(rate).ok());
                    query.rate = Some(Rate::new(flushes.unwrap_or(0))?);
                }
                _ => return Err(Refusal::bad(format!("unknown parameter {name}"), name.as_ref())),
            }
        }
        query.lane = query.lane.filter(|lane| !lane.is_empty());
        Ok(query)
    }
}

fn decode(text: &str) -> Result<Cow<'_, str>, Refusal> {
    if !text.contains('%') {
        return Ok(text.into());
    }
    let broken = || Refusal::bad("a broken % in the query", text);
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' {
            let mut digit =
                || bytes.next().and_then(|digit| char::from(digit).to_digit(16)).ok_or_else(broken);
            (digit()? * 16 + digit()?) as u8
        } else {
            byte
        });
    }
    String::from_utf8(out).map(Into::into).map_err(|_| broken())
}

/// The media types that all headers of this name list, each with its parameters.
fn listed(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|item| item.split_once(';').unwrap_or((item, "")))
        .map(|(name, parameters)| (name.trim(), parameters))
}

/// Whether a client would rather have a lane's events than its state. Of what it wants as much, the state comes first, but
/// for what it does not name.
fn prefers_events(headers: &HeaderMap) -> bool {
    let quality = |wanted: &str| {
        let mut ranges = listed(headers, header::ACCEPT);
        ranges.find(|(range, _)| range.eq_ignore_ascii_case(wanted)).map(|(_, parameters)| weight(parameters))
    };
    let Some(events) = quality("text/event-stream").filter(|quality| *quality > 0.0) else { return false };
    let by_range = || quality("application/*").or_else(|| quality("*/*"));
    match quality("application/json") {
        Some(json) => events > json,
        None => by_range().is_none_or(|json| events >= json),
    }
}

/// How much a client wants a media type with these parameters.
fn weight(parameters: &str) -> f32 {
    let mut parameters = parameters.split(';').filter_map(|parameter| parameter.split_once('='));
    let quality = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    let quality = quality.and_then(|(_, value)| value.trim().parse().ok());
    quality.filter(|quality| (0.0..=1.0).contains(quality)).unwrap_or(1.0)
}

/// The watermark that a client has read last, if it comes back.
fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    const NAME: &str = "last-event-id";
    let given = once(headers, NAME)?.filter(|id| !id.is_empty());
    given.map(|id| watermark(id, NAME)).transpose()
}

fn watermark(text: &str, at: &str) -> Result<u64, Refusal> {
    digits(text).ok_or_else(|| Refusal::bad("a watermark is the `id` of an event of this lane", at))
}

/// Browsers send some bodies of other types, and of none, for foreign web pages without asking first.
fn is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut types = listed(headers, header::CONTENT_TYPE);
    let json = types.next().is_some_and(|(name, _)| name.eq_ignore_ascii_case("application/json"));
    let good = json && types.next().is_none();
    let text = "the content type of a body is application/json (curl --json sends it)";
    if good { Ok(()) } else { Err(Refusal::new(415, text, "content-type")) }
}

fn known(headers: &HeaderMap) -> Known {
    let mut known = Known::default();
    for value in headers.get_all(header::IF_NONE_MATCH) {
        for tag in value.to_str().unwrap_or_default().split(',').map(str::trim) {
            let quoted = tag.strip_prefix("W/").unwrap_or(tag);
            let version = quoted.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).and_then(digits);
            // Tags that no node ever gave cannot match.
            known.versions.extend(version);
            known.any |= tag == "*";
        }
    }
    known
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn key(headers: &HeaderMap) -> Result<Option<(Arc<str>, u64)>, Refusal> {
    let (client, sequence) = (once(headers, "shoal-client")?, once(headers, "shoal-sequence")?);
    match (client, sequence) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(Refusal::bad("Shoal-Client without Shoal-Sequence", "shoal-sequence")),
        (None, Some(_)) => Err(Refusal::bad("Shoal-Sequence without Shoal-Client", "shoal-client")),
        (Some(client), Some(sequence)) => answer::key(client, digits(sequence).unwrap_or(0)).map(Some),
    }
}

fn once<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::bad("a header that stands there twice", name));
    }
    value.to_str().map(Some).map_err(|_| Refusal::bad("a header that is no visible ASCII", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &Method, target: &str, headers: &[(&'static str, &str)]) -> Result<Call, Error> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Call::parse(method, &target.parse().unwrap(), &map)
    }

    fn code(result: Result<Call, Error>) -> (u16, String) {
        match result {
            Ok(call) => (200, format!("{call:?}")),
            Err(Error::NoLane) => (400, "no lane".into()),
            Err(Error::Method) => (405, String::new()),
            Err(Error::Refused(refusal)) => (refusal.code, refusal.at),
        }
    }

    #[test]
    fn a_query_is_one_lane_and_nothing_unknown() {
        for (target, expected, at) in [
            ("/a/1", 400, "no lane"),
            ("/a/1?lane=", 400, "no lane"),
            ("/a/1?lane=x&lane=y", 400, "lane"),
            ("/a/1?lane=x&lane=", 400, "lane"),
            ("/a/1?lane=x&rate=1", 400, "rate"),
            ("/a/1?lane=x&read=fresh", 400, "read"),
            ("/a/1?lane=x&read=local&read=local", 400, "read"),
            ("/a/1?lane=%zz", 400, "%zz"),
            ("/a/1?lane=%4", 400, "%4"),
            ("/a/1?lane=%ff", 400, "%ff"),
            ("/a/1?LANE=x", 400, "LANE"),
        ] {
            assert_eq!(code(parse(&Method::GET, target, &[])), (expected, at.into()), "{target}");
        }
        let get = parse(&Method::GET, "/a/1?l%61ne=%78&read=local", &[]);
        assert_eq!(get, Ok(Call::Get { lane: "x".into(), local: true, known: Known::default() }));
        assert_eq!(code(parse(&Method::POST, "/a/1?lane=x&read=local", &[])), (400, "read".into()));
    }

    #[test]
    fn only_get_head_and_post_are_methods_of_an_address() {
        for method in [Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS, Method::TRACE] {
            assert_eq!(parse(&method, "/a/1?lane=x", &[]), Err(Error::Method), "{method}");
        }
        assert!(parse(&Method::HEAD, "/a/1?lane=x", &[]).is_ok());
    }

    #[test]
    fn a_body_is_json_and_says_so() {
        for (value, expected) in [
            ("application/json", 200),
            ("Application/JSON; charset=utf-8", 200),
            ("text/plain", 415),
            ("application/x-www-form-urlencoded", 415),
            ("application/json, text/plain", 415),
            ("", 415),
        ] {
            let call = parse(&Method::POST, "/a/1?lane=x", &[("content-type", value)]);
            assert_eq!(code(call).0, expected, "{value}");
        }
        assert_eq!(code(parse(&Method::POST, "/a/1?lane=x", &[])), (415, "content-type".into()));
    }

    #[test]
    fn an_event_stream_is_for_who_would_rather_have_it_than_the_state() {
        for (value, expected) in [
            ("text/event-stream", true),
            ("Text/Event-Stream", true),
            ("text/html, text/event-stream;q=0.5", true),
            ("text/event-stream, */*;q=0.1", true),
            ("text/event-stream, */*", true),
            ("*/*, text/event-stream", true),
            ("text/event-stream, application/json;q=0.9", true),
            ("text/event-stream;charset=utf-8; Q=0.5, application/*;q=0.4, application/json;q=0.3", true),
            ("text/event-stream, application/json", false),
            ("application/json, text/event-stream", false),
            ("text/event-stream;q=0.5, */*", false),
            ("text/event-stream;q=0", false),
            ("text/event-stream;q=0, text/html", false),
            ("text/*", false),
            ("*/*", false),
            ("application/json", false),
            ("text/html", false),
            ("", false),
        ] {
            let call = parse(&Method::GET, "/a/1?lane=x", &[("accept", value)]);
            assert_eq!(matches!(call, Ok(Call::Events(_))), expected, "{value}: {call:?}");
            assert!(call.is_ok(), "{value}: {call:?}");
        }
        let two = [("accept", "text/html"), ("accept", "text/event-stream")];
        assert!(matches!(parse(&Method::HEAD, "/a/1?lane=x", &two), Ok(Call::Events(_))));
        assert!(matches!(parse(&Method::GET, "/a/1?lane=x", &[]), Ok(Call::Get { .. })));
    }

    #[test]
    fn an_event_stream_goes_on_from_the_last_event_that_was_read() {
        let events = ("accept", "text/event-stream");
        let wanted = |from, rate: Option<u32>| {
            let rate = rate.map(|rate| Rate::new(rate).unwrap());
            Ok(Call::Events(EventsWanted { lane: "x".into(), from, rate }))
        };
        for (target, last, expected) in [
            ("/a/1?lane=x", None, wanted(None, None)),
            ("/a/1?lane=x&from=7", None, wanted(Some(7), None)),
            ("/a/1?lane=x&from=0&rate=1", None, wanted(Some(0), Some(1))),
            ("/a/1?lane=x&rate=1000", Some("18446744073709551615"), wanted(Some(u64::MAX), Some(1_000))),
            ("/a/1?from=7&lane=x", Some("9"), wanted(Some(9), None)),
            ("/a/1?lane=x&from=7", Some(""), wanted(Some(7), None)),
        ] {
            let headers: Vec<_> = [events].into_iter().chain(last.map(|id| ("last-event-id", id))).collect();
            assert_eq!(parse(&Method::GET, target, &headers), expected, "{target} {last:?}");
        }
        for (target, headers, at) in [
            ("/a/1?lane=x&from=", &[events][..], "from"),
            ("/a/1?lane=x&from=-1", &[events], "from"),
            ("/a/1?lane=x&from=1&from=1", &[events], "from"),
            ("/a/1?lane=x&rate=0", &[events], "rate"),
            ("/a/1?lane=x&rate=1001", &[events], "rate"),
            ("/a/1?lane=x&rate=4294967297", &[events], "rate"),
            ("/a/1?lane=x&rate=0.5", &[events], "rate"),
            ("/a/1?lane=x&rate=", &[events], "rate"),
            ("/a/1?lane=x&rate=1&rate=1", &[events], "rate"),
            ("/a/1?lane=x&read=local", &[events], "read"),
            ("/a/1?lane=x", &[events, ("last-event-id", "x")], "last-event-id"),
            ("/a/1?lane=x", &[events, ("last-event-id", "1"), ("last-event-id", "1")], "last-event-id"),
            ("/a/1", &[events], "no lane"),
            // Without the header that asks for events.
            ("/a/1?lane=x&rate=1", &[], "rate"),
            ("/a/1?lane=x&from=1", &[], "from"),
        ] {
            assert_eq!(code(parse(&Method::GET, target, headers)), (400, at.into()), "{target}");
        }
        let json = [("content-type", "application/json"), events];
        assert_eq!(code(parse(&Method::POST, "/a/1?lane=x&rate=1", &json)), (400, "rate".into()));
        assert!(matches!(parse(&Method::POST, "/a/1?lane=x", &json), Ok(Call::Post { .. })));
    }

    #[test]
    fn a_known_version_is_an_entity_tag_of_ours() {
        for (value, single, has_seven) in [
            ("\"7\"", Some(7), true),
            ("W/\"7\"", Some(7), true),
            ("\"6\", \"7\"", None, true),
            ("\"abc\", \"7\"", Some(7), true),
            ("*", None, true),
            ("7", None, false),
            ("\"+7\"", None, false),
            ("\"\"", None, false),
            ("\"99999999999999999999999\"", None, false),
        ] {
            let call = parse(&Method::GET, "/a/1?lane=x", &[("if-none-match", value)]);
            let Ok(Call::Get { known, .. }) = call else { panic!("{call:?}") };
            assert_eq!((known.single(), known.has(7)), (single, has_seven), "{value}");
        }
    }

    #[test]
    fn client_and_sequence_come_together_or_not_at_all() {
        let both = |client, sequence| vec![("shoal-client", client), ("shoal-sequence", sequence)];
        for (headers, expected, at) in [
            (both("me", "1"), 200, ""),
            (both("me", "9223372036854775807"), 200, ""),
            (both("me", "9223372036854775808"), 400, "sequence"),
            (both("me", "0"), 400, "sequence"),
            (both("me", "-1"), 400, "sequence"),
            (both("me", "+1"), 400, "sequence"),
            (both("me", "one"), 400, "sequence"),
            (both("", "1"), 400, "client"),
            (both("a b", "1"), 400, "client"),
            (vec![("shoal-client", "me")], 400, "shoal-sequence"),
            (vec![("shoal-sequence", "1")], 400, "shoal-client"),
            (
                vec![("shoal-client", "me"), ("shoal-client", "me"), ("shoal-sequence", "1")],
                400,
                "shoal-client",
            ),
        ] {
            let headers: Vec<_> = headers.into_iter().chain([("content-type", "application/json")]).collect();
            let (got, text) = code(parse(&Method::POST, "/a/1?lane=x", &headers));
            assert_eq!(got, expected, "{headers:?}");
            assert!(got == 200 || text == at, "{headers:?} at {text}");
        }
    }
}
