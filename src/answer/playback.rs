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
    chats::ChatCost,
    failure::Failure,
    live::{End, RecordingReader},
};
use crate::domain::{
    anthropic,
    exchange::{AnsweredBy, Cost, UnixMillis},
    open_webui, openai,
    recording::Segment,
    translate::{self, Bill, Chunks, Form},
};

/// Stream of an answer's chunks. Each item has the chunks of what was recorded since the last one, of a long answer in
/// pieces.
#[derive(Debug)]
pub struct ChunkStream {
    reader: RecordingReader,
    chunks: Chunks,
    answered_by: AnsweredBy,
    status_line: Option<String>,
    /// True if a person sees a status line for an answer that ended early.
    is_watched: bool,
    chat_cost: Option<ChatCost>,
    unread: Vec<Arc<Segment>>,
    /// The end of the recording, while it waits for the cost of the chat.
    end: Option<End>,
    ended: bool,
}

impl ChunkStream {
    /// Plays a recording from its beginning.
    pub fn new(reader: RecordingReader, chunks: Chunks, answered_by: AnsweredBy) -> Self {
        let (status_line, is_watched, chat_cost, end) = (None, false, None, None);
        Self {
            reader,
            chunks,
            answered_by,
            status_line,
            is_watched,
            chat_cost,
            unread: Vec::new(),
            end,
            ended: false,
        }
    }

    /// The same stream, with status lines for a person: `first`, if any, comes with the first chunks, and one about an
    /// answer that ended early with the last.
    #[must_use]
    pub fn watched(self, first: Option<String>) -> Self {
        Self { status_line: first, is_watched: true, ..self }
    }

    /// The same stream, whose usage has the cost of its chat.
    #[must_use]
    pub fn in_chat(self, chat_cost: Option<ChatCost>) -> Self {
        Self { chat_cost, ..self }
    }

    fn write(
        &mut self,
        end: Option<End>,
        context: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), openai::Error> {
        for event in self.unread.iter().flat_map(|segment| segment.events()) {
            self.chunks.translate(event, out).map_err(|error| Failure::from(error).openai())?;
        }
        match end {
            None => return Ok(()),
            Some(End::Complete(totals)) => {
                let chat = match &mut self.chat_cost {
                    None => None,
                    Some(cost) => match Pin::new(cost).poll(context) {
                        Poll::Ready(cost) => cost,
                        Poll::Pending => {
                            self.end = Some(End::Complete(totals));
                            return Ok(());
                        }
                    },
                };
                let early = self.chunks.early_end().filter(|_| self.is_watched);
                out.extend(
                    early.map(open_webui::end_line).into_iter().flat_map(String::into_bytes),
                );
                let finished = self.chunks.finish(bill(self.answered_by, totals.cost, chat), out);
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
            let end = match this.end.take() {
                Some(end) => Some(end),
                None => std::task::ready!(this.reader.poll_read(context, &mut this.unread)),
            };
            let size: usize = this.unread.iter().map(|segment| segment.bytes().len()).sum();
            let mut out = Vec::with_capacity(size + size / 2 + 1024);
            out.extend(this.status_line.take().into_iter().flat_map(String::into_bytes));
            if let Err(error) = this.write(end, context, &mut out) {
                Chunks::fail(error, &mut out);
                this.ended = true;
            }
            this.unread.clear();
            // Some events have no chunks.
            if !out.is_empty() {
                return Poll::Ready(Some(Bytes::from(out)));
            }
            if this.end.is_some() {
                return Poll::Pending;
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
    chat_cost: Option<ChatCost>,
) -> Result<openai::Completion, Arc<Failure>> {
    match reader.ended().await {
        (_, End::Failed(failure, _)) => Err(failure),
        (recording, End::Complete(totals)) => {
            let message = match reader.stored_message() {
                Some(message) => message,
                None => anthropic::fold(&recording).map_err(Failure::from)?,
            };
            let chat = match chat_cost {
                Some(cost) => cost.await,
                None => None,
            };
            let bill = bill(answered_by, totals.cost, chat);
            Ok(translate::completion(message, bill, id, created.seconds(), form))
        }
    }
}

const fn bill(answered_by: AnsweredBy, cost: Cost, chat: Option<Cost>) -> Bill {
    let bill = if answered_by.is_reuse() { Bill::free(cost) } else { Bill::paid(cost) };
    Bill { chat, ..bill }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;

    use super::*;
    use crate::{
        answer::live::{self, AnswerTotals},
        domain::{
            exchange::{Micros, Outcome},
            recording::{Recorder, Recording},
            translate::WithUsage,
        },
        store::StoredRecording,
    };

    /// An answer of many words that came at once, and its text.
    fn long() -> (Arc<Recording>, usize) {
        let mut recorder = Recorder::default();
        let mut push = |data: &str| recorder.push(format!("data: {data}\n\n").as_bytes());
        push(r#"{"type":"message_start","message":{"id":"m","model":"m"}}"#);
        push(
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        );
        let words = 40_000;
        for _ in 0..words {
            push(
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"word"}}"#,
            );
        }
        push(r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#);
        push(r#"{"type":"message_stop"}"#);
        let mut recording = Recording::default();
        recording.append(Arc::new(recorder.cut(Micros(0)).unwrap()));
        (Arc::new(recording), words)
    }

    #[tokio::test]
    async fn a_long_answer_of_the_ledger_is_translated_in_pieces_as_it_is_read() {
        let (recording, words) = long();
        let end = End::Complete(AnswerTotals::unknown(Outcome::Complete));
        let stored = StoredRecording::from(Arc::clone(&recording));
        let reader = live::stored(Arc::new(stored), true, end);
        let chunks = Chunks::new("id".to_owned(), 0, WithUsage::Yes, Arc::default());
        let mut stream = ChunkStream::new(reader, chunks, AnsweredBy::Hit);
        let mut all = Vec::new();
        let mut pieces = 0;
        while let Some(piece) = stream.next().await {
            assert!(piece.len() < 256 << 10, "{}", piece.len());
            all.extend_from_slice(&piece);
            pieces += 1;
        }
        let all = String::from_utf8(all).unwrap();
        assert_eq!(all.matches("word").count(), words);
        let chunks = all.matches(r#"{"content":"word"#).count();
        assert_eq!(chunks, 1 + (words * 4 - 64).div_ceil(4096), "few chunks");
        assert!(all.ends_with("data: [DONE]\n\n"));
        assert!(pieces <= recording.len().div_ceil(64 << 10), "few writes");
    }
}
