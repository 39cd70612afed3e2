//! A client that sees an answer as it comes: one read of the socket at a time, up to the end of the body, and can go
//! away whenever it likes.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::net::TcpStream;

use super::wire::{Framing, Wire};
use super::{soon, sse};

/// Sends each request on a connection of its own, with the headers it was given.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    authority: String,
    headers: String,
}

/// An answer whose head has come. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    wire: Wire,
    framing: Framing,
}

/// What the next read brought of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read {
    Piece(Bytes),
    /// The body is complete.
    End,
    /// The connection was closed before the body was complete.
    Cut,
}

impl Client {
    /// The URL is `http://host:port`, also with a path, which is not used.
    pub(crate) fn new(url: &str) -> Self {
        let authority = url.strip_prefix("http://").expect("an http URL");
        let authority = authority.split('/').next().unwrap_or_default().to_owned();
        Self { authority, headers: String::new() }
    }

    /// `host:port`.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        write!(self.headers, "{name}: {value}\r\n").expect("a string takes any text");
        self
    }

    pub(crate) fn bearer(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, b"").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        let json = self.clone().header("content-type", "application/json");
        json.send("POST", path, body.to_string().as_bytes()).await
    }

    /// Any request; its `content-length` is added.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        let Self { authority, headers } = self;
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {authority}\r\ncontent-length: {length}\r\n{headers}\r\n"
        );
        self.send_raw(&[head.as_bytes(), body].concat()).await
    }

    /// Sends these bytes and awaits the head of an answer.
    pub(crate) async fn send_raw(&self, request: &[u8]) -> Reply {
        match soon("the head of an answer", self.try_raw(request)).await {
            Some(reply) => reply,
            None => panic!("the connection was closed without an answer"),
        }
    }

    /// Sends these bytes; `None` when the connection is refused, or closed before the head of an answer.
    pub(crate) async fn try_raw(&self, request: &[u8]) -> Option<Reply> {
        let mut wire = self.connect(request).await?;
        let head = wire.head().await?;
        let status = head.line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not a status line: {:?}", head.line));
        let framing = match status {
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => Framing::Done,
            _ if request.starts_with(b"HEAD ") => Framing::Done,
            _ => Framing::of_response(&head.headers),
        };
        Some(Reply { status, headers: head.headers, wire, framing })
    }

    /// Sends a request and leaves before the head of an answer has come, once the future has ended: a person who
    /// presses Stop at once.
    pub(crate) async fn post_and_leave(
        &self,
        path: &str,
        body: &Value,
        when: impl Future<Output = ()>,
    ) {
        tokio::select! {
            biased;
            reply = self.post(path, body) => panic!("answered already: {}", reply.status),
            () = when => {}
        }
    }

    async fn connect(&self, request: &[u8]) -> Option<Wire> {
        let stream = TcpStream::connect(&self.authority).await.ok()?;
        let wire = Wire::new(stream).ok()?;
        // A server may answer before it has read everything, and then read no more.
        tokio::select! {
            _ = wire.write(request) => {}
            _ = wire.readable() => {}
        }
        Some(wire)
    }
}

impl Reply {
    /// A header's text; nothing where it is missing.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header of plain text"))
    }

    /// Whether the end of the body has come already, with the last piece or before.
    pub(crate) fn is_complete(&self) -> bool {
        self.framing == Framing::Done
    }

    /// The next piece of the body: what one read of the socket brought, without the chunks' framing.
    pub(crate) async fn read(&mut self) -> Read {
        loop {
            let piece = self.wire.take(&mut self.framing);
            if !piece.is_empty() {
                return Read::Piece(piece);
            }
            if self.is_complete() {
                return Read::End;
            }
            if !matches!(soon("the next piece of a body", self.wire.read()).await, Ok(1..)) {
                return match self.framing {
                    Framing::UntilClose => Read::End,
                    _ => Read::Cut,
                };
            }
        }
    }

    /// The next piece as text; the body must not end here, nor may a piece end inside a character.
    pub(crate) async fn piece(&mut self) -> String {
        match self.read().await {
            Read::Piece(piece) => String::from_utf8(piece.into()).expect("a piece of text"),
            end => panic!("the body ended: {end:?}"),
        }
    }

    /// Reads on until the text so far contains this.
    pub(crate) async fn read_until(&mut self, text: &str) -> String {
        let mut read = String::new();
        while !read.contains(text) {
            read.push_str(&self.piece().await);
        }
        read
    }

    /// The rest of the body, and whether it was [`Read::End`] or [`Read::Cut`] that ended it.
    pub(crate) async fn rest(&mut self) -> (Bytes, Read) {
        let mut body = Vec::new();
        loop {
            match self.read().await {
                Read::Piece(piece) => body.extend_from_slice(&piece),
                end @ (Read::End | Read::Cut) => return (body.into(), end),
            }
        }
    }

    /// The rest of a body that must be complete.
    pub(crate) async fn text(mut self) -> String {
        let (body, end) = self.rest().await;
        assert_eq!(end, Read::End, "after {body:?}");
        String::from_utf8(body.into()).expect("a body of text")
    }

    pub(crate) async fn json(self) -> Value {
        let text = self.text().await;
        match serde_json::from_str(&text) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {text:?}"),
        }
    }

    /// The documents of a stream of chunks: see [`sse::openai_sse`].
    pub(crate) async fn chunks(self) -> Vec<Value> {
        let kind = self.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("text/event-stream"), "{kind:?}");
        sse::openai_sse(&self.text().await)
    }
}
