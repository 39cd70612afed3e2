//! A reading of a recording, live or stored, as a client wants it that speaks Anthropic's own dialect: the bytes as
//! they came, or the message that they tell.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use serde_json::json;

use super::{
    failure::Failure,
    live::{End, Reader},
};
use crate::domain::{
    anthropic::{self, StreamError},
    recording::Segment,
};

/// The events of an answer, as they come.
#[derive(Debug)]
pub struct Events {
    reader: Reader,
    unseen: Vec<Arc<Segment>>,
    ended: bool,
}

impl Events {
    /// Reads from the beginning.
    pub const fn new(reader: Reader) -> Self {
        Self { reader, unseen: Vec::new(), ended: false }
    }

    /// All that has come since the last time, in one piece; `None` after the end.
    pub fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while !self.ended {
            let Poll::Ready(end) = self.reader.poll_read(context, &mut self.unseen) else {
                return Poll::Pending;
            };
            self.ended = end.is_some();
            let failure = match end {
                Some(End::Failed(failure, _)) => error_event(&failure),
                _ => Vec::new(),
            };
            let bytes = match (&*self.unseen, &*failure) {
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
            self.unseen.clear();
            if !bytes.is_empty() {
                return Poll::Ready(Some(bytes));
            }
        }
        Poll::Ready(None)
    }

    /// Whether the last event has been given.
    pub const fn is_ended(&self) -> bool {
        self.ended
    }
}

/// What a client is told of a failure after the answer began: nothing more, where upstream's own error is the last
/// event of the recording (§3).
fn error_event(failure: &Failure) -> Vec<u8> {
    if matches!(failure, Failure::Stream(StreamError::Upstream(_))) {
        return Vec::new();
    }
    let error = json!({ "type": "api_error", "message": failure.to_string() });
    format!("event: error\ndata: {}\n\n", json!({ "type": "error", "error": error })).into_bytes()
}

/// The whole message as JSON, once it is there.
pub async fn message(mut reader: Reader) -> Result<Bytes, Arc<Failure>> {
    match reader.whole().await {
        (_, End::Failed(failure, _)) => Err(failure),
        (recording, End::Whole(_)) => {
            let message = anthropic::assemble(&recording).map_err(Failure::from)?;
            Ok(message.into())
        }
    }
}
