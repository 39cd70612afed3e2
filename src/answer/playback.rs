//! A reading of a recording, live or stored, as an OpenAI client wants it.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::{
    failure::Failure,
    live::{End, Reader},
};
use crate::domain::{
    anthropic::{self, FoldError},
    exchange::{Cost, UnixMillis},
    openai,
    recording::Segment,
    translate::{self, Bill, Chunks, StreamError, WithUsage},
};

/// Who pays for what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payer {
    /// This call.
    ThisCall,
    /// An earlier one.
    AnEarlierCall,
}

impl Payer {
    const fn bill(self, cost: Cost) -> Bill {
        match self {
            Self::ThisCall => Bill::Paid(cost),
            Self::AnEarlierCall => Bill::Free { saved: cost },
        }
    }
}

/// The chunks of an answer, as they come.
#[derive(Debug)]
pub struct Stream {
    reader: Reader,
    chunks: Chunks,
    payer: Payer,
    unseen: Vec<Arc<Segment>>,
    ended: bool,
}

impl Stream {
    /// Reads from the beginning; `id` and `created` are the call's own.
    pub fn new(
        reader: Reader,
        id: String,
        created: UnixMillis,
        payer: Payer,
        usage: WithUsage,
    ) -> Self {
        let chunks = Chunks::new(id, created.seconds(), usage);
        Self { reader, chunks, payer, unseen: Vec::new(), ended: false }
    }

    /// The chunks of all that has come since the last time, in one piece; `None` after the end.
    pub fn poll_chunks(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while !self.ended {
            let Poll::Ready(end) = self.reader.poll_read(context, &mut self.unseen) else {
                return Poll::Pending;
            };
            let size: usize = self.unseen.iter().map(|segment| segment.bytes().len()).sum();
            let mut out = Vec::with_capacity(size + size / 2 + 1024);
            if let Err(error) = self.write(end, &mut out) {
                Chunks::fail(error, &mut out);
                self.ended = true;
            }
            self.unseen.clear();
            // A read may have brought nothing that an OpenAI client would see.
            if !out.is_empty() {
                return Poll::Ready(Some(Bytes::from(out)));
            }
        }
        Poll::Ready(None)
    }

    /// Whether the last chunk has been given.
    pub const fn is_ended(&self) -> bool {
        self.ended
    }

    fn write(&mut self, end: Option<End>, out: &mut Vec<u8>) -> Result<(), openai::Error> {
        for event in self.unseen.iter().flat_map(|segment| segment.events()) {
            self.chunks.translate(event, out).map_err(in_stream)?;
        }
        match end {
            None => return Ok(()),
            Some(End::Whole { cost, .. }) => {
                self.chunks.finish(self.payer.bill(cost), out).map_err(in_stream)?;
            }
            Some(End::Failed(failure)) => return Err(failure.openai()),
        }
        self.ended = true;
        Ok(())
    }
}

fn in_stream(error: StreamError) -> openai::Error {
    match error {
        StreamError::Upstream(body) => translate::error(&body),
        StreamError::Cut => Failure::Cut.openai(),
        StreamError::Unreadable(error) => Failure::Unreadable(error).openai(),
        StreamError::OutOfOrder => Failure::OutOfOrder.openai(),
    }
}

/// The whole answer, once it is there.
pub async fn completion(
    mut reader: Reader,
    id: String,
    created: UnixMillis,
    payer: Payer,
) -> Result<openai::Completion, Arc<Failure>> {
    match reader.whole().await {
        (_, End::Failed(failure)) => Err(failure),
        (recording, End::Whole { cost, .. }) => {
            let message = anthropic::fold(&recording).map_err(|error| match error {
                FoldError::Upstream(body) => Failure::MidStream(body),
                FoldError::Incomplete => Failure::Cut,
                FoldError::OutOfOrder => Failure::OutOfOrder,
                FoldError::Unreadable(error) => Failure::Unreadable(error),
            })?;
            Ok(translate::completion(message, payer.bill(cost), id, created.seconds()))
        }
    }
}
