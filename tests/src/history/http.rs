//! One request over HTTP/1.1, on a connection of its own, and an event stream as it comes.

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// How a request ended.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    /// From the `ETag`.
    pub version: Option<u64>,
    pub body: Value,
}

/// `None`: there is no connection, so that nothing was sent.
pub async fn connect(address: &str) -> Option<http1::SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    Some(sender)
}

pub async fn ask(
    sender: &mut http1::SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Answer> {
    let answer = sender.send_request(request).await?;
    let code = answer.status().as_u16();
    let tag = answer.headers().get("etag").and_then(|tag| tag.to_str().ok());
    let version = tag.and_then(|tag| tag.trim_matches('"').parse().ok());
    let body = answer.into_body().collect().await?.to_bytes();
    ensure!(!body.is_empty(), "{code} without a body");
    Ok(Answer { code, version, body: serde_json::from_slice(&body)? })
}

/// One event of a stream.
#[derive(Debug, Default)]
pub struct StreamEvent {
    pub name: String,
    pub value: Value,
    /// 0 where there is no watermark.
    pub id: Option<u64>,
}

/// An event stream.
pub struct EventStream {
    /// The connection lives as long as this does.
    _sender: http1::SendRequest<Full<Bytes>>,
    body: Incoming,
    /// What has come and was not given yet.
    text: Vec<u8>,
}

impl EventStream {
    pub async fn open(address: &str, request: Request<Full<Bytes>>) -> Option<EventStream> {
        let mut sender = connect(address).await?;
        let answer = sender.send_request(request).await.ok()?;
        if answer.status() != 200 {
            return None;
        }
        Some(EventStream { _sender: sender, body: answer.into_body(), text: Vec::new() })
    }

    /// `None`: it has ended.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        let mut event = StreamEvent::default();
        loop {
            let line = self.line().await?;
            match line.split_once(':').unwrap_or((&line, "")) {
                ("", "") if !event.name.is_empty() => return Some(event),
                ("", "") => event = StreamEvent::default(),
                ("event", name) => name.trim().clone_into(&mut event.name),
                ("data", value) => event.value = serde_json::from_str(value).expect("JSON"),
                ("id", id) => event.id = Some(id.trim().parse().expect("a number")),
                _ => {}
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                return Some(String::from_utf8(line).expect("UTF-8").trim_end().to_owned());
            }
            let frame = self.body.frame().await?.ok()?;
            self.text.extend_from_slice(frame.data_ref()?);
        }
    }
}
