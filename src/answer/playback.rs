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
    anthropic,
    exchange::{Cost, UnixMillis},
    openai,
    recording::Segment,
    translate::{self, Bill, Chunks, Form},
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
    status_line: Option<String>,
    unseen: Vec<Arc<Segment>>,
    ended: bool,
}

impl Stream {
    /// Reads from the beginning. The status line, if there is one, comes with the first chunks.
    pub const fn new(
        reader: Reader,
        chunks: Chunks,
        payer: Payer,
        status_line: Option<String>,
    ) -> Self {
        Self { reader, chunks, payer, status_line, unseen: Vec::new(), ended: false }
    }

    /// The chunks of all that has come since the last time, in one piece; `None` after the end.
    pub fn poll_chunks(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while !self.ended {
            let Poll::Ready(end) = self.reader.poll_read(context, &mut self.unseen) else {
                return Poll::Pending;
            };
            let size: usize = self.unseen.iter().map(|segment| segment.bytes().len()).sum();
            let mut out = Vec::with_capacity(size + size / 2 + 1024);
            out.extend(self.status_line.take().into_iter().flat_map(String::into_bytes));
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
            self.chunks.translate(event, out).map_err(|error| Failure::from(error).openai())?;
        }
        match end {
            None => return Ok(()),
            Some(End::Whole(totals)) => {
                let finished = self.chunks.finish(self.payer.bill(totals.cost), out);
                finished.map_err(|error| Failure::from(error).openai())?;
            }
            Some(End::Failed(failure, _)) => return Err(failure.openai()),
        }
        self.ended = true;
        Ok(())
    }
}

/// The whole answer, once it is there.
pub async fn completion(
    mut reader: Reader,
    id: String,
    created: UnixMillis,
    payer: Payer,
    form: &Form,
) -> Result<openai::Completion, Arc<Failure>> {
    match reader.whole().await {
        (_, End::Failed(failure, _)) => Err(failure),
        (recording, End::Whole(totals)) => {
            let message = anthropic::fold(&recording).map_err(Failure::from)?;
            Ok(translate::completion(message, payer.bill(totals.cost), id, created.seconds(), form))
        }
    }
}
