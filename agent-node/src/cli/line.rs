//! One line of a feed: `{"agent": text, "lane": text, "body": any}`, and nothing else.
//!
//! The body is taken as it was written: what it has to be is the lane's affair, and the node says so.

use bytes::Bytes;
use serde::de::{DeserializeOwned, IgnoredAny};

/// A command, as a line says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub agent: String,
    pub lane: String,
    /// One JSON value.
    pub body: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Error {
    /// Bytes from the start of the line.
    pub at: usize,
    pub error: String,
}

/// `None`: the line is empty.
pub fn parse(line: &[u8]) -> Result<Option<Command>, Error> {
    let mut cursor = Cursor { line, at: 0 };
    if cursor.next().is_none() {
        return Ok(None);
    }
    let (mut agent, mut lane, mut body) = (None, None, None);
    cursor.expect(b'{', "an object is expected: {\"agent\": .., \"lane\": .., \"body\": ..}")?;
    while cursor.next() != Some(b'}') {
        let at = cursor.at;
        let name: String = cursor.value()?.0;
        cursor.expect(b':', "`:` is expected")?;
        let doubled = match name.as_str() {
            "agent" => agent.replace(cursor.value::<String>()?.0).is_some(),
            "lane" => lane.replace(cursor.value::<String>()?.0).is_some(),
            "body" => body.replace(cursor.value::<IgnoredAny>()?.1).is_some(),
            _ => return Err(Error { at, error: format!("`{name}` is none of `agent`, `lane`, `body`") }),
        };
        if doubled {
            return Err(Error { at, error: format!("`{name}` stands there twice") });
        }
        if cursor.next() != Some(b'}') {
            cursor.expect(b',', "`,` or `}` is expected")?;
        }
    }
    cursor.at += 1;
    if cursor.next().is_some() {
        return Err(cursor.error("nothing more is expected"));
    }
    let missing = |name| cursor.error(&format!("`{name}` is missing"));
    Ok(Some(Command {
        agent: agent.ok_or_else(|| missing("agent"))?,
        lane: lane.ok_or_else(|| missing("lane"))?,
        body: Bytes::copy_from_slice(body.ok_or_else(|| missing("body"))?),
    }))
}

struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// What stands after spaces.
    fn next(&mut self) -> Option<u8> {
        while self.line.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.line.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8, otherwise: &str) -> Result<(), Error> {
        if self.next() != Some(byte) {
            return Err(self.error(otherwise));
        }
        self.at += 1;
        Ok(())
    }

    /// One JSON value, and how it was written.
    fn value<T: DeserializeOwned>(&mut self) -> Result<(T, &'a [u8]), Error> {
        self.next();
        let rest = &self.line[self.at..];
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<T>();
        let value = values.next().unwrap_or_else(|| Err(serde::de::Error::custom("a value is missing")));
        let value = value.map_err(|error| Error {
            at: self.at + error.column().saturating_sub(1),
            error: format!("no JSON: {}", said(&error)),
        })?;
        let written = &rest[..values.byte_offset()];
        self.at += written.len();
        Ok((value, written))
    }

    fn error(&self, error: &str) -> Error {
        Error { at: self.at, error: error.to_owned() }
    }
}

/// Without the place, which would count from the start of the value.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_agent_a_lane_and_any_body_as_it_was_written() {
        for (line, agent, body) in [
            (
                r#"{"agent":"/a/1","lane":"x","body":{"n": 1.0, "t":"a\"}"}}"#,
                "/a/1",
                r#"{"n": 1.0, "t":"a\"}"}"#,
            ),
            (r#" { "body" : 12 , "lane":"x", "agent" : "/a/\u0031"} "#, "/a/1", "12"),
            (r#"{"agent":"/a/1","lane":"x","body":null}"#, "/a/1", "null"),
            (r#"{"lane":"x","body":[1,[2]],"agent":"/a/1"}"#, "/a/1", "[1,[2]]"),
            ("{\"lane\":\"x\",\"body\":\"東\",\"agent\":\"/a/1\"}\r\n", "/a/1", "\"東\""),
        ] {
            let command = parse(line.as_bytes()).unwrap().unwrap();
            assert_eq!((command.agent.as_str(), command.lane.as_str()), (agent, "x"), "{line}");
            assert_eq!(command.body, body.as_bytes(), "{line}");
        }
        for empty in ["", "\n", "  \t\r\n"] {
            assert_eq!(parse(empty.as_bytes()), Ok(None));
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_place() {
        for (line, at, said) in [
            ("JFK", 0, "an object is expected"),
            ("[1]", 0, "an object is expected"),
            (r#"{"agent":"/a","lane":"x"}"#, 25, "`body` is missing"),
            (r#"{"lane":"x","body":1}"#, 21, "`agent` is missing"),
            (r#"{"agent":"/a","lane":"x","body":1,"when":2}"#, 34, "`when` is none of"),
            (r#"{"agent":"/a","agent":"/b","lane":"x","body":1}"#, 14, "`agent` stands there twice"),
            (r#"{"agent":1,"lane":"x","body":1}"#, 9, "no JSON: invalid type"),
            (r#"{"agent":"/a","lane":"x","body":}"#, 32, "no JSON: expected value"),
            (r#"{"agent":"/a","lane":"x","body":{"a":}}"#, 37, "no JSON: expected value"),
            (r#"{"agent":"/a","lane":"x","body":{"#, 32, "no JSON: EOF"),
            (r#"{"agent":"/a","lane":"x","body":1"#, 33, "`,` or `}`"),
            (r#"{"agent":"/a","lane":"x","body":1} 2"#, 35, "nothing more"),
            (r#"{"agent" "/a"}"#, 9, "`:` is expected"),
            ("{", 1, "no JSON"),
        ] {
            let error = parse(line.as_bytes()).unwrap_err();
            assert!(error.error.starts_with(said) && error.at == at, "{line}: {error:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(line in proptest::collection::vec(proptest::num::u8::ANY, 0..60)) {
            let _ = parse(&line);
        }

        #[test]
        fn what_is_cut_short_is_refused(cut in 1_usize..42) {
            let line = br#"{"agent":"/a/1","lane":"x","body":{"n":1}}"#;
            proptest::prop_assert!(parse(&line[..cut.min(line.len() - 1)]).is_err());
        }
    }
}
