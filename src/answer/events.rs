//! Playback of a recording, live or stored, in Anthropic's API: the recorded bytes, or the message that they make up.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::stream::FusedStream;
use tokio_stream::Stream;

use super::{
    failure::Failure,
    live::{End, RecordingReader},
};
use crate::domain::{
    anthropic::{self, StreamError},
    exchange::Api,
    recording::Segment,
};

/// Stream of an answer's events. Each item has what was recorded since the last one, of a long answer in pieces.
#[derive(Debug)]
pub struct EventStream {
    reader: RecordingReader,
    unread: Vec<Arc<Segment>>,
    ended: bool,
}

impl EventStream {
    /// Plays a recording from its beginning.
    pub const fn new(reader: RecordingReader) -> Self {
        Self { reader, unread: Vec::new(), ended: false }
    }
}

impl Stream for EventStream {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = self.get_mut();
        while !this.ended {
            let Poll::Ready(end) = this.reader.poll_read(context, &mut this.unread) else {
                return Poll::Pending;
            };
            this.ended = end.is_some();
            let failure = match end {
                Some(End::Failed(failure, _)) => error_event(&failure),
                _ => Vec::new(),
            };
            let bytes = match (&*this.unread, &*failure) {
                ([segment], []) => segment.bytes().clone(),
                (segments, failure) => {
                    let size: usize = segments.iter().map(|segment| segment.bytes().len()).sum();
                    let mut bytes = Vec::with_capacity(size + failure.len());
                    for segment in segments {
                        bytes.extend_from_slice(segment.bytes());
                    }
                    bytes.extend_from_slice(failure);
                    bytes.into()
                }
            };
            this.unread.clear();
            if !bytes.is_empty() {
                return Poll::Ready(Some(bytes));
            }
        }
        Poll::Ready(None)
    }
}

/// Ends a response body together with the last item.
impl FusedStream for EventStream {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

/// The event that reports a failure after the answer began. Empty if upstream reported it: then the recording ends with
/// upstream's own event (`reference/anthropic-api.md` §3).
fn error_event(failure: &Failure) -> Vec<u8> {
    if matches!(failure, Failure::Stream(StreamError::Upstream(_))) {
        return Vec::new();
    }
    let mut event = b"event: error\ndata: ".to_vec();
    // A line end between the parts of JSON is a blank like any other.
    let line_end = |byte: u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte };
    event.extend(failure.form().body(Api::Messages).into_iter().map(line_end));
    event.extend_from_slice(b"\n\n");
    event
}

/// Waits for the end of a recording and returns the message as JSON.
pub async fn message(mut reader: RecordingReader) -> Result<Bytes, Arc<Failure>> {
    match reader.ended().await {
        (_, End::Failed(failure, _)) => Err(failure),
        (recording, End::Complete(_)) => {
            let message = anthropic::assemble(&recording).map_err(Failure::from)?;
            Ok(message.into())
        }
    }
}
