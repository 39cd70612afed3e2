//! What the upstream does with one request, written down before the request comes.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tokio::sync::{Semaphore, watch};

use super::soon;

/// One answer. Each piece of its body is a write of its own, and a chunk of its own where the body is chunked.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(super) only_for: Option<String>,
    pub(super) before_head: Vec<Step>,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) framing: BodyFraming,
    pub(super) body: Vec<Step>,
    pub(super) afterwards: Afterwards,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Piece(Bytes),
    /// The same piece again and again.
    Endless(Bytes),
    Wait(Gate),
    Stall,
    Cut,
    Reset,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum BodyFraming {
    /// The length of all the pieces, also of those behind a cut.
    Length,
    Chunked,
    UntilClose,
}

/// What becomes of the connection after a complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Afterwards {
    Keep,
    Close,
    /// Closed under the next request, which is never read.
    Stale,
}

impl Script {
    /// An answer without a body yet: [`body`](Self::body) gives it one.
    pub(crate) fn respond(status: u16) -> Self {
        Self {
            only_for: None,
            before_head: Vec::new(),
            status: StatusCode::from_u16(status).expect("a status"),
            headers: HeaderMap::new(),
            framing: BodyFraming::Length,
            body: Vec::new(),
            afterwards: Afterwards::Keep,
        }
    }

    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::respond(status).header("content-type", "application/json").body(body.to_string())
    }

    /// An error as Anthropic words it.
    pub(crate) fn error(status: u16, kind: &str, message: &str) -> Self {
        let error = serde_json::json!({"type": kind, "message": message});
        Self::json(status, &serde_json::json!({"type": "error", "error": error}))
    }

    /// A stream of these events, each a piece: see [`Answer`](super::sse::Answer), or
    /// [`cut_every`](super::sse::cut_every) for pieces that end anywhere.
    pub(crate) fn sse<P: Into<Bytes>>(pieces: impl IntoIterator<Item = P>) -> Self {
        let mut script = Self::respond(200)
            .header("content-type", "text/event-stream; charset=utf-8")
            .header("cache-control", "no-cache");
        script.framing = BodyFraming::Chunked;
        script.pieces(pieces)
    }

    /// Reads the request and never answers.
    pub(crate) fn silent() -> Self {
        let mut script = Self::respond(200);
        script.before_head.push(Step::Stall);
        script
    }

    /// Reads the request and closes the connection.
    pub(crate) fn hang_up() -> Self {
        let mut script = Self::respond(200);
        script.before_head.push(Step::Cut);
        script
    }

    /// Writes these bytes in place of a response, and closes the connection.
    pub(crate) fn raw(bytes: impl Into<Bytes>) -> Self {
        let mut script = Self::respond(200);
        script.framing = BodyFraming::UntilClose;
        script.before_head = vec![Step::Piece(bytes.into()), Step::Cut];
        script
    }

    /// The same, and the connection is reset: what was not read yet of the bytes is gone.
    pub(crate) fn raw_and_reset(bytes: impl Into<Bytes>) -> Self {
        let mut script = Self::raw(bytes);
        script.before_head.pop();
        script.before_head.push(Step::Reset);
        script
    }

    /// Keeps this script for a request whose body contains the text; others pass it by.
    pub(crate) fn only_for(mut self, text: &str) -> Self {
        self.only_for = Some(text.to_owned());
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name).expect("a header's name");
        self.headers.insert(name, HeaderValue::from_str(value).expect("a header's value"));
        self
    }

    /// Waits before the head.
    pub(crate) fn hold(mut self, gate: &Gate) -> Self {
        self.before_head.push(Step::Wait(gate.clone()));
        self
    }

    pub(crate) fn body(self, body: impl Into<Bytes>) -> Self {
        self.step(Step::Piece(body.into()))
    }

    pub(crate) fn pieces<P: Into<Bytes>>(mut self, pieces: impl IntoIterator<Item = P>) -> Self {
        self.body.extend(pieces.into_iter().map(|piece| Step::Piece(piece.into())));
        self
    }

    /// Waits here, between two pieces.
    pub(crate) fn wait(self, gate: &Gate) -> Self {
        self.step(Step::Wait(gate.clone()))
    }

    /// Goes on like this for as long as anyone listens.
    pub(crate) fn endless(self, piece: impl Into<Bytes>) -> Self {
        self.step(Step::Endless(piece.into()))
    }

    /// Says nothing more, and keeps the connection open.
    pub(crate) fn stall(self) -> Self {
        self.step(Step::Stall)
    }

    /// Closes the connection here, in the middle of the body.
    pub(crate) fn cut(self) -> Self {
        self.step(Step::Cut)
    }

    /// Ends the body by closing the connection, with no other sign of its end.
    pub(crate) fn until_close(mut self) -> Self {
        self.framing = BodyFraming::UntilClose;
        self.afterwards = Afterwards::Close;
        self.header(header::CONNECTION.as_str(), "close")
    }

    /// Keeps the connection open after the answer and closes it under the next request on it: what a client meets that
    /// takes a connection from its pool just as the server gives it up. That request is not recorded and takes no
    /// script; [`stale`](super::upstream::Upstream::stale) counts it.
    pub(crate) fn then_stale(mut self) -> Self {
        self.afterwards = Afterwards::Stale;
        self
    }

    fn step(mut self, step: Step) -> Self {
        self.body.push(step);
        self
    }
}

/// Where a script waits until the test lets it go on. A clone is the same gate.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    permits: Arc<Semaphore>,
    arrivals: watch::Sender<usize>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(0)), arrivals: watch::Sender::new(0) }
    }

    /// Lets everyone through, now and later.
    pub(crate) fn open(&self) {
        self.permits.close();
    }

    /// Lets one through: who waits already, or else the next to come.
    pub(crate) fn release(&self) {
        self.permits.add_permits(1);
    }

    /// Waits until a script has come to this gate as many times.
    pub(crate) async fn reached(&self, times: usize) {
        let mut arrivals = self.arrivals.subscribe();
        let reached = arrivals.wait_for(|count| *count >= times);
        soon("a script to come to a gate", reached).await.expect("the gate holds the sender");
    }

    pub(super) async fn pass(&self) {
        self.arrivals.send_modify(|count| *count += 1);
        // An error says that the gate is open for good.
        if let Ok(permit) = self.permits.acquire().await {
            permit.forget();
        }
    }
}
