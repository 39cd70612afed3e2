//! Bodies: a request's, read up to the limit of the server, and a response's that streams events.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
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

use super::{App, encoding, error::Rejection};

/// Longest pause of a client while it sends a body.
const BODY_READ_TIMEOUT: Duration = Duration::from_mins(1);
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
        let mut chunks = pin!(body.into_data_stream().timeout(BODY_READ_TIMEOUT));
        // Most bodies come in one piece, which is not copied.
        let mut first = Bytes::new();
        let mut joined = BytesMut::new();
        let mut size = 0;
        while let Some(chunk) = chunks.next().await {
            let data =
                chunk.map_err(|_| Rejection::SlowBody)?.map_err(|_| Rejection::BrokenBody)?;
            size += data.len();
            if size > limit {
                (first, joined) = (Bytes::new(), BytesMut::new());
                if size > limit + DISCARD_LIMIT {
                    break;
                }
            } else if first.is_empty() && joined.is_empty() {
                first = data;
            } else {
                joined.extend_from_slice(&std::mem::take(&mut first));
                joined.extend_from_slice(&data);
            }
        }
        if size > limit {
            return Err(Rejection::LargeBody { limit });
        }
        let packed = if joined.is_empty() { first } else { joined.freeze() };
        let mut body =
            encoding::unpacked(&head.headers, packed, limit).map_err(|fault| match fault {
                encoding::Fault::Unknown(name) => Rejection::UnknownEncoding { name },
                encoding::Fault::Broken(name) => Rejection::BrokenEncoding(name),
                encoding::Fault::Large => Rejection::LargeBody { limit },
            })?;
        if body.starts_with(BYTE_ORDER_MARK) {
            body.advance(BYTE_ORDER_MARK.len());
        }
        Ok(Self(body))
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

    use super::*;

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

    #[test]
    fn a_heartbeat_is_a_comment() {
        assert_eq!(crate::domain::sse::parse(&HEARTBEAT).data.len(), 0);
        assert!(HEARTBEAT.starts_with(b": ") && HEARTBEAT.ends_with(b"\n\n"));
    }
}
