//! Playback of a recording, live or stored, in OpenAI's API.

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
    anthropic,
    exchange::{AnsweredBy, Cost, UnixMillis},
    openai,
    recording::Segment,
    translate::{self, Bill, Chunks, Form},
};

/// Stream of an answer's chunks. Each item has the chunks of everything recorded since the last one.
#[derive(Debug)]
pub struct ChunkStream {
    reader: RecordingReader,
    chunks: Chunks,
    answered_by: AnsweredBy,
    status_line: Option<String>,
    unread: Vec<Arc<Segment>>,
    ended: bool,
}

impl ChunkStream {
    /// Plays a recording from its beginning. The status line, if any, comes with the first chunks.
    pub const fn new(
        reader: RecordingReader,
        chunks: Chunks,
        answered_by: AnsweredBy,
        status_line: Option<String>,
    ) -> Self {
        Self { reader, chunks, answered_by, status_line, unread: Vec::new(), ended: false }
    }

    fn write(&mut self, end: Option<End>, out: &mut Vec<u8>) -> Result<(), openai::Error> {
        for event in self.unread.iter().flat_map(|segment| segment.events()) {
            self.chunks.translate(event, out).map_err(|error| Failure::from(error).openai())?;
        }
        match end {
            None => return Ok(()),
            Some(End::Complete(totals)) => {
                let finished = self.chunks.finish(bill(self.answered_by, totals.cost), out);
                finished.map_err(|error| Failure::from(error).openai())?;
            }
            Some(End::Failed(failure, _)) => return Err(failure.openai()),
        }
        self.ended = true;
        Ok(())
    }
}

impl Stream for ChunkStream {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = self.get_mut();
        while !this.ended {
            let Poll::Ready(end) = this.reader.poll_read(context, &mut this.unread) else {
                return Poll::Pending;
            };
            let size: usize = this.unread.iter().map(|segment| segment.bytes().len()).sum();
            let mut out = Vec::with_capacity(size + size / 2 + 1024);
            out.extend(this.status_line.take().into_iter().flat_map(String::into_bytes));
            if let Err(error) = this.write(end, &mut out) {
                Chunks::fail(error, &mut out);
                this.ended = true;
            }
            this.unread.clear();
            // Some events have no chunks.
            if !out.is_empty() {
                return Poll::Ready(Some(Bytes::from(out)));
            }
        }
        Poll::Ready(None)
    }
}

/// Ends a response body together with the last item.
impl FusedStream for ChunkStream {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

/// Waits for the end of a recording and returns the completion.
pub async fn completion(
    mut reader: RecordingReader,
    id: String,
    created: UnixMillis,
    answered_by: AnsweredBy,
    form: &Form,
) -> Result<openai::Completion, Arc<Failure>> {
    match reader.ended().await {
        (_, End::Failed(failure, _)) => Err(failure),
        (recording, End::Complete(totals)) => {
            let message = anthropic::fold(&recording).map_err(Failure::from)?;
            let bill = bill(answered_by, totals.cost);
            Ok(translate::completion(message, bill, id, created.seconds(), form))
        }
    }
}

const fn bill(answered_by: AnsweredBy, cost: Cost) -> Bill {
    if answered_by.is_reuse() { Bill::Free { saved: cost } } else { Bill::Paid(cost) }
}
