//! The texts of a call: what is new in its request, and its answer.

use super::terms;
use crate::{
    domain::{
        anthropic::{self, BlockKind},
        cassette::Asked,
        chain::Hash,
        exchange::{AnsweredBy, ExchangeId},
        recording::Recording,
    },
    store::{
        Error, chain, connection::Connection, query::query_as, read::answer_parts, row::from_row,
    },
};

/// Maximum length of an entry, in bytes. The rest is not found.
const LONGEST: usize = 64 << 10;

/// A call whose texts are to be indexed.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) seq: i64,
    exchange: Option<ExchangeId>,
    answered_by: AnsweredBy,
    task: Option<String>,
    client_frame: Option<Hash>,
    client_head: Option<Hash>,
}

from_row!(Call { seq, exchange, answered_by, task, client_frame, client_head });

struct Part {
    frame: Option<Hash>,
    head: Option<Hash>,
    recording: Option<Recording>,
}

from_row!(Part { frame, head, recording });

/// An entry of the index, and the bodies that it was made from.
#[derive(Debug, Default)]
pub(super) struct CallText {
    pub(super) text: String,
    pub(super) client: bool,
    pub(super) upstream: bool,
    pub(super) answer: bool,
}

impl CallText {
    pub(super) async fn of(conn: &mut Connection<'_>, call: &Call) -> Result<Self, Error> {
        const PARTS: &str = answer_parts!("select exchange.frame, exchange.head, recording");
        let mut said = Self::default();
        if call.answered_by == AnsweredBy::Refused {
            return Ok(said);
        }
        let mut parts: Vec<Part> = match call.exchange {
            Some(exchange) => query_as(PARTS).bind(exchange).fetch_all(&mut *conn).await?,
            None => Vec::new(),
        };
        parts.reverse();
        if call.task.is_none() {
            let client = call.client_frame.and(call.client_head);
            let upstream = parts.first().and_then(|part| part.frame.and(part.head));
            if let Some(asked) = asked(conn, client).await? {
                said.client = true;
                said.add_request(&asked);
            } else if let Some(asked) = asked(conn, upstream).await? {
                said.upstream = true;
                said.add_request(&asked);
            }
        }
        for recording in parts.iter().filter_map(|part| part.recording.as_ref()) {
            said.answer = true;
            let message = anthropic::fold_begun(recording);
            for block in message.iter().flat_map(|message| &message.content) {
                if let BlockKind::Text { text, .. } = &block.kind {
                    said.add(&text.decode());
                }
            }
        }
        Ok(said)
    }

    fn add_request(&mut self, asked: &Asked) {
        let results = asked.results.iter().map(|result| &result.content);
        asked.texts.iter().chain(results).for_each(|text| self.add(text));
    }

    /// Adds a text in the form that is indexed, as far as there is room.
    fn add(&mut self, text: &str) {
        let text = terms::indexed(text.trim());
        let room = LONGEST.saturating_sub(self.text.len() + 1);
        let end = text.floor_char_boundary(room);
        if end == 0 {
            return;
        }
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text += &text[..end];
    }
}

async fn asked(conn: &mut Connection<'_>, head: Option<Hash>) -> Result<Option<Asked>, Error> {
    let Some(head) = head else { return Ok(None) };
    let messages = chain::load_newest(conn, head).await?;
    Ok(messages.and_then(|messages| Asked::of_messages(&messages)))
}
