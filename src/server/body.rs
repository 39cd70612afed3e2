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
use tokio_stream::StreamExt;

use super::{App, encoding, error::Rejection};

/// Longest pause of a client while it sends a body.
const BODY_READ_TIMEOUT: Duration = Duration::from_mins(1);
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

/// An event stream as a response body: one frame for each item, and the end at once after the last.
pub(super) struct SseBody<S>(pub S);

impl<S: FusedStream<Item = Bytes> + Unpin> http_body::Body for SseBody<S> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let item = Pin::new(&mut self.0).poll_next(context);
        item.map(|item| item.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_terminated()
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
