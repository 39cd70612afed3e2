//! Bodies: a request's, read up to the limit of the server, and a response's that streams events.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::FusedStream;
use http::{HeaderName, header};
use http_body::Frame;
use tokio::time::{Instant, Sleep};
use tokio_stream::StreamExt;

use super::{App, body_budget::BodyShare, encoding, error::Rejection};

/// Longest pause of a client while it sends a body.
const BODY_READ_TIMEOUT: Duration = Duration::from_mins(1);
/// Bytes that a body must have for each second after the first minute: one byte a minute would hold a connection, and
/// a share of the memory for bodies, for ever. The slowest mobile networks are faster.
const LOWEST_RATE: u64 = 16 << 10;
/// Longest silence of a response that streams: clients and proxies give up a connection that says nothing for long.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// A comment, which readers of event streams ignore.
const HEARTBEAT: Bytes = Bytes::from_static(b": heartbeat\n\n");
/// Programs on Windows begin texts in UTF-8 with it; JSON has none (RFC 8259 §8.1).
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// Number of bytes that are read past the limit and discarded, so that the client gets to read the error.
const DISCARD_LIMIT: usize = 256 << 20;

/// The body of a request without its content encoding, no larger than the server allows, packed and unpacked.
pub(super) struct LimitedBody(pub Bytes);

impl FromRequest<Arc<App>> for LimitedBody {
    type Rejection = Rejection;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Rejection> {
        let limit = app.body_limit;
        let (head, body) = request.into_parts();
        let mut share = app.body_budget.share();
        let packed = read(body, limit, &mut share).await?;
        let mut body = encoding::unpacked(&head.headers, packed, limit, &mut share)?;
        if body.starts_with(BYTE_ORDER_MARK) {
            body.advance(BYTE_ORDER_MARK.len());
        }
        Ok(Self(share.hold(body)))
    }
}

/// Reads a body of at most `limit` bytes. One that is refused is read on, so that the client gets to read why.
async fn read(body: Body, limit: usize, share: &mut BodyShare) -> Result<Bytes, Rejection> {
    let mut chunks = body.into_data_stream();
    let began = Instant::now();
    // Most bodies come in one piece, which is not copied.
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    let mut size = 0;
    let mut refusal = None;
    loop {
        let deadline = deadline(began, Instant::now(), size);
        let chunk = tokio::time::timeout_at(deadline, chunks.next()).await;
        let Some(chunk) = chunk.map_err(|_| Rejection::SlowBody)? else { break };
        let data = chunk.map_err(|_| Rejection::BrokenBody)?;
        size += data.len();
        if size > limit {
            refusal = Some(Rejection::LargeBody { limit });
            if size > limit + DISCARD_LIMIT {
                break;
            }
        }
        if refusal.is_none() && share.grow_to(size.max(joined.capacity())).is_err() {
            refusal = Some(Rejection::BodiesFull);
        }
        if refusal.is_some() {
            (first, joined) = (Bytes::new(), BytesMut::new());
            *share = share.another();
        } else if first.is_empty() && joined.is_empty() {
            first = data;
        } else {
            joined.extend_from_slice(&std::mem::take(&mut first));
            joined.extend_from_slice(&data);
        }
    }
    match refusal {
        Some(refusal) => Err(refusal),
        None if joined.is_empty() => Ok(first),
        None => Ok(joined.freeze()),
    }
}

/// The moment by which more of a body must come, of which `size` bytes have come since it began.
fn deadline(began: Instant, now: Instant, size: usize) -> Instant {
    let by_rate = Duration::from_secs(size as u64 / LOWEST_RATE);
    (now + BODY_READ_TIMEOUT).min(began + BODY_READ_TIMEOUT + by_rate)
}

impl From<encoding::Fault> for Rejection {
    fn from(fault: encoding::Fault) -> Self {
        match fault {
            encoding::Fault::Unknown(name) => Self::UnknownEncoding { name },
            encoding::Fault::Broken(name) => Self::BrokenEncoding(name),
            encoding::Fault::Large { limit } => Self::LargeBody { limit },
            encoding::Fault::NoRoom => Self::BodiesFull,
        }
    }
}

/// An event stream as a response body: one frame for each item, and the end at once after the last. In between, each
/// silence has heartbeats.
pub(super) struct SseBody<S> {
    stream: S,
    /// Time of the last frame.
    last_frame: Instant,
    /// Fires when the silence is long enough; `None` as long as there was none. It is not reset for each frame, which
    /// would cost more than the frame.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> SseBody<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, last_frame: Instant::now(), timer: None }
    }

    /// Waits for the end of the silence that is allowed after the last frame.
    fn poll_heartbeat(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        let deadline = self.last_frame + HEARTBEAT_INTERVAL;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        while timer.as_mut().poll(context).is_ready() {
            if timer.deadline() >= deadline {
                return Poll::Ready(HEARTBEAT);
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl<S: FusedStream<Item = Bytes> + Unpin> http_body::Body for SseBody<S> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let item = match Pin::new(&mut this.stream).poll_next(context) {
            Poll::Pending => this.poll_heartbeat(context).map(Some),
            item @ Poll::Ready(_) => item,
        };
        if item.is_ready() {
            this.last_frame = Instant::now();
        }
        item.map(|item| item.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_terminated()
    }
}

impl<S: FusedStream<Item = Bytes> + Unpin + Send + 'static> IntoResponse for SseBody<S> {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
            (header::CACHE_CONTROL, "no-cache"),
            // nginx must not buffer the stream.
            (HeaderName::from_static("x-accel-buffering"), "no"),
        ];
        (headers, Body::new(self)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http_body::Body as _;

    use super::{super::body_budget::BodyBudget, *};

    /// Items that come at these times after the beginning, in seconds.
    struct Timed {
        items: VecDeque<(u64, &'static str)>,
        began: Instant,
        timer: Pin<Box<Sleep>>,
    }

    impl Timed {
        fn new(items: &[(u64, &'static str)]) -> Self {
            let (items, began) = (items.iter().copied().collect(), Instant::now());
            Self { items, began, timer: Box::pin(tokio::time::sleep_until(began)) }
        }
    }

    impl tokio_stream::Stream for Timed {
        type Item = Bytes;

        fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
            let this = self.get_mut();
            let Some(&(at, item)) = this.items.front() else { return Poll::Ready(None) };
            let at = this.began + Duration::from_secs(at);
            if this.timer.deadline() != at {
                this.timer.as_mut().reset(at);
            }
            this.timer.as_mut().poll(context).map(|()| {
                this.items.pop_front();
                Some(item.into())
            })
        }
    }

    impl FusedStream for Timed {
        fn is_terminated(&self) -> bool {
            self.items.is_empty()
        }
    }

    /// The frames of a body, each with its time in seconds.
    async fn frames(items: &[(u64, &'static str)]) -> Vec<(u64, Bytes)> {
        let began = Instant::now();
        let mut body = SseBody::new(Timed::new(items));
        let mut frames = Vec::new();
        while !body.is_end_stream() {
            let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
            let data = frame.await.unwrap().unwrap().into_data().unwrap();
            frames.push((began.elapsed().as_secs(), data));
        }
        frames
    }

    #[tokio::test(start_paused = true)]
    async fn silence_has_heartbeats_and_nothing_else_has() {
        let frames = async |items| frames(items).await;
        let beat = |at| (at, HEARTBEAT);
        let item = |at, item: &'static str| (at, Bytes::from(item));
        assert_eq!(
            frames(&[(0, "a"), (14, "b"), (28, "c")]).await,
            [item(0, "a"), item(14, "b"), item(28, "c")]
        );
        let silent = frames(&[(0, "a"), (10, "b"), (60, "c")]).await;
        let expected = [item(0, "a"), item(10, "b"), beat(25), beat(40), beat(55), item(60, "c")];
        assert_eq!(silent, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_must_come_in_time_and_at_a_rate() {
        let pieces = |pause: u64, size: usize, count: usize| {
            let pieces = tokio_stream::iter(0..count).then(move |_| async move {
                tokio::time::sleep(Duration::from_secs(pause)).await;
                Ok::<_, Infallible>(Bytes::from(vec![b' '; size]))
            });
            Body::from_stream(pieces)
        };
        let budget = BodyBudget::new(1 << 20);
        let read = async |body| {
            let began = Instant::now();
            let read = read(body, 64 << 20, &mut budget.share()).await;
            (read.map(|body| body.len()).ok(), began.elapsed().as_secs())
        };
        assert_eq!(read(pieces(61, 1, 1)).await, (None, 60), "a pause");
        assert_eq!(read(pieces(59, 1, 10)).await, (None, 60), "one byte at a time");
        assert_eq!(read(pieces(1, 8 << 10, 1000)).await, (None, 119), "half the rate");
        assert_eq!(read(pieces(50, 1 << 20, 9)).await, (Some(9 << 20), 450));
    }

    #[test]
    fn a_heartbeat_is_a_comment() {
        assert_eq!(crate::domain::sse::parse(&HEARTBEAT).data.len(), 0);
        assert!(HEARTBEAT.starts_with(b": ") && HEARTBEAT.ends_with(b"\n\n"));
    }
}
