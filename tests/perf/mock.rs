//! Anthropic's Messages API as the benchmark needs it: one thread, and events that are rendered once.
//!
//! The prompt says how to answer, so that a proxy passes it on: `[[m:0123456789abcdef n=200 d=10000]]`. `m` is repeated
//! as the first text, so that a mixed-up answer is found; `n` is the number of deltas of a stream, `d` the time between two,
//! `t` that before the first, both in microseconds; `w=1` asks for the small answer, also as a stream.

use std::{
    cell::RefCell,
    collections::HashMap,
    convert::Infallible,
    future::Future as _,
    net,
    pin::Pin,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::{Body, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::IgnoredAny};
use tokio::time::{Instant, Sleep};

/// The model that it is.
pub(crate) const MODEL: &str = "claude-sonnet-4-5-20250929";
/// The text of the small answer, after the mark.
pub(crate) const SMALL: &str = "Hello! This is a short answer from the mock upstream.";

/// Number of messages that were asked for.
#[derive(Debug)]
pub(crate) struct Asked(AtomicU64);

impl Asked {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The mark at the beginning of an answer.
pub(crate) fn mark(id: &str) -> String {
    format!("[[m:{id}]] ")
}

/// The text of a delta after the first; 20 bytes.
pub(crate) fn delta(n: usize) -> String {
    format!("tok{n:04} lorem ipsum ")
}

/// Serves until the process ends.
pub(crate) async fn serve(listener: net::TcpListener, asked: &'static Asked) -> anyhow::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let rendered: Rendered = Rc::default();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let rendered = Rc::clone(&rendered);
        let service = service_fn(move |request| answer(request, Rc::clone(&rendered), asked));
        tokio::task::spawn_local(async move {
            // A client may leave whenever it likes.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The events of an answer, by the wanted number of deltas; 0 for the small one.
type Rendered = Rc<RefCell<HashMap<usize, Rc<[Bytes]>>>>;
type Out = Either<Full<Bytes>, Events>;

/// The prompt's word on its answer.
struct Wish {
    id: String,
    deltas: usize,
    delay: Duration,
    first: Duration,
    small: bool,
}

impl Wish {
    /// Finds the last mark of the body, which is the newest message's.
    fn of(body: &[u8]) -> Self {
        let mut wish = Self {
            id: String::new(),
            deltas: 200,
            delay: Duration::ZERO,
            first: Duration::ZERO,
            small: false,
        };
        let begin = memchr::memmem::rfind(body, b"[[m:").map(|at| &body[at + 4..]);
        let mark = begin.and_then(|begin| begin.get(..memchr::memmem::find(begin, b"]]")?));
        let mut words = mark.map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        let fields = words.split_off(words.find(' ').unwrap_or(words.len()));
        wish.id = words;
        for (name, value) in fields.split(' ').filter_map(|field| field.split_once('=')) {
            let value: u64 = value.parse().unwrap_or_default();
            match name {
                "n" => wish.deltas = usize::try_from(value).map_or(1, |n| n.clamp(1, 9_999)),
                "d" => wish.delay = Duration::from_micros(value),
                "t" => wish.first = Duration::from_micros(value),
                "w" => wish.small = value == 1,
                _ => {}
            }
        }
        wish
    }
}

/// The fields that Anthropic requires, and the kind of answer.
#[derive(Deserialize)]
struct Message {
    #[serde(rename = "model")]
    _model: IgnoredAny,
    #[serde(rename = "max_tokens")]
    _max_tokens: u64,
    #[serde(rename = "messages")]
    _messages: IgnoredAny,
    #[serde(default)]
    stream: bool,
}

async fn answer(
    request: Request<Incoming>,
    rendered: Rendered,
    asked: &Asked,
) -> Result<Response<Out>, hyper::Error> {
    let (head, body) = request.into_parts();
    if head.uri.path() != "/v1/messages" {
        return Ok(refusal(StatusCode::NOT_FOUND, "not_found_error", "no such path"));
    }
    let body = body.collect().await?.to_bytes();
    if !is_signed(&head.headers) {
        return Ok(refusal(
            StatusCode::UNAUTHORIZED,
            "authentication_error",
            "headers are missing",
        ));
    }
    let Ok(message) = serde_json::from_slice::<Message>(&body) else {
        return Ok(refusal(StatusCode::BAD_REQUEST, "invalid_request_error", "no message"));
    };
    asked.0.fetch_add(1, Relaxed);
    let wish = Wish::of(&body);
    if !message.stream {
        return Ok(response(
            StatusCode::OK,
            "application/json",
            Either::Left(whole(&wish.id).into()),
        ));
    }
    let deltas = if wish.small { 0 } else { wish.deltas };
    let events = Rc::clone(rendered.borrow_mut().entry(deltas).or_insert_with(|| render(deltas)));
    let begun = Instant::now() + wish.first;
    let (first, delay, at) = (delta_event(&mark(&wish.id)), wish.delay, 0);
    let at_once = wish.delay + wish.first == Duration::ZERO;
    let timer = (!at_once).then(|| Box::pin(tokio::time::sleep_until(begun)));
    let body = Events { all: events, first, begun, delay, timer, at };
    Ok(response(StatusCode::OK, "text/event-stream; charset=utf-8", Either::Right(body)))
}

fn is_signed(headers: &HeaderMap) -> bool {
    headers.contains_key("anthropic-version")
        && (headers.contains_key("x-api-key") || headers.contains_key("authorization"))
}

fn response(status: StatusCode, content_type: &'static str, body: Out) -> Response<Out> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let value = hyper::header::HeaderValue::from_static;
    response.headers_mut().insert("content-type", value(content_type));
    response.headers_mut().insert("request-id", value("req_011MockMockMockMockMock"));
    response
}

fn refusal(status: StatusCode, kind: &str, message: &str) -> Response<Out> {
    let error =
        format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"mock: {message}"}}}}"#);
    response(status, "application/json", Either::Left(error.into()))
}

fn whole(id: &str) -> String {
    let mark = mark(id);
    format!(
        r#"{{"id":"msg_01MockMockMockMockMockMock","type":"message","role":"assistant","model":"{MODEL}","content":[{{"type":"text","text":"{mark}{SMALL}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":25,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":14}}}}"#
    )
}

fn event(name: &str, fields: &str) -> Bytes {
    format!("event: {name}\ndata: {{\"type\":\"{name}\"{fields}}}\n\n").into()
}

fn delta_event(text: &str) -> Bytes {
    event(
        "content_block_delta",
        &format!(r#","index":0,"delta":{{"type":"text_delta","text":"{text}"}}"#),
    )
}

/// Number of events before the first delta.
const BEFORE: usize = 3;

/// All events of an answer; the first delta is a place for the mark.
fn render(deltas: usize) -> Rc<[Bytes]> {
    let usage = r#""input_tokens":25,"cache_creation_input_tokens":0,"cache_read_input_tokens":0"#;
    let start = format!(
        r#","message":{{"id":"msg_01MockMockMockMockMockMock","type":"message","role":"assistant","model":"{MODEL}","content":[],"stop_reason":null,"stop_sequence":null,"usage":{{{usage},"output_tokens":1}}}}"#
    );
    let mut events = vec![
        event("message_start", &start),
        event("content_block_start", r#","index":0,"content_block":{"type":"text","text":""}"#),
        event("ping", ""),
        Bytes::new(),
    ];
    events.extend((1..deltas).map(|n| delta_event(&delta(n))));
    if deltas == 0 {
        events.push(delta_event(SMALL));
    }
    let output = 5 * deltas.max(3);
    events.extend([
        event("content_block_stop", r#","index":0"#),
        event(
            "message_delta",
            &format!(
                r#","delta":{{"stop_reason":"end_turn","stop_sequence":null}},"usage":{{{usage},"output_tokens":{output}}}"#
            ),
        ),
        event("message_stop", ""),
    ]);
    events.into()
}

/// The body of a stream: a frame for each event, at its time.
struct Events {
    all: Rc<[Bytes]>,
    first: Bytes,
    begun: Instant,
    delay: Duration,
    /// `None`: all comes at once.
    timer: Option<Pin<Box<Sleep>>>,
    at: usize,
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let Some(event) = this.all.get(this.at) else { return Poll::Ready(None) };
        // The end comes with the last delta.
        let delta = this.at.saturating_sub(BEFORE).min(this.all.len() - 2 * BEFORE - 1);
        let steps = u32::try_from(delta).unwrap_or(u32::MAX);
        if let Some(timer) = &mut this.timer {
            let due = this.begun + this.delay * steps;
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            ready!(timer.as_mut().poll(context));
        }
        let event = if this.at == BEFORE { this.first.clone() } else { event.clone() };
        this.at += 1;
        Poll::Ready(Some(Ok(Frame::data(event))))
    }

    fn is_end_stream(&self) -> bool {
        self.at == self.all.len()
    }
}
