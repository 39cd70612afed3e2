//! What the ledger wants to know of an answer, and whether it is one: an event that no reader could make sense of must
//! not be sealed as part of a whole answer, or every repeat would fail on it.

use super::event::{Block, Delta, ErrorBody, Event, Stop, StreamError, Usage, parse};
use crate::domain::{
    catalog::Terms,
    exchange::{AnswerRef, Tokens},
    json::inside,
    sse,
};

/// Counts along while an answer comes in.
#[derive(Debug, Default)]
pub struct Tally {
    model: Option<String>,
    stop: Stop,
    usage: Usage,
    has_content: bool,
    used_server_tools: bool,
    error: Option<ErrorBody>,
    ended: bool,
    refs: Vec<AnswerRef>,
}

impl Tally {
    /// Reads one event, with its blank line. Once there is content, a delta that is framed as Anthropic frames
    /// them says nothing that is counted, and most events are deltas: it is passed over.
    pub fn read(&mut self, event: &[u8]) -> Result<(), StreamError> {
        if self.has_content && is_framed_delta(event) {
            return Ok(());
        }
        match parse(&sse::parse(event))? {
            Event::Ping | Event::Unknown => {}
            Event::Error(error) => self.error = Some(error),
            // The first, and only the first, is the beginning.
            Event::MessageStart(_) if self.model.is_some() => return Err(StreamError::OutOfOrder),
            Event::MessageStart(start) => {
                for block in start.blocks() {
                    self.begin(&block?.0);
                }
                self.model = Some(start.model);
                self.stop = Stop { stop_reason: start.stop_reason, stop_details: None };
                self.usage = start.usage;
            }
            _ if self.model.is_none() => return Err(StreamError::OutOfOrder),
            Event::BlockStart { block, .. } => {
                self.begin(&block);
            }
            Event::MessageDelta(last) => {
                self.stop.update(last.delta);
                self.usage.update(last.usage);
            }
            Event::MessageStop => self.ended = true,
            Event::BlockDelta { delta, .. } => {
                self.has_content |= delta.says_something();
                if let Delta::Signature(signature) = delta {
                    self.refs.push(AnswerRef::signature(inside(signature)));
                }
            }
            Event::BlockStop { .. } => {}
        }
        Ok(())
    }

    fn begin(&mut self, block: &Block) {
        self.has_content |= match block {
            Block::Text { text, .. } => !text.is_empty(),
            Block::Thinking { thinking, .. } => !thinking.is_empty(),
            Block::RedactedThinking { .. }
            | Block::ToolUse { .. }
            | Block::ServerToolUse
            | Block::Unknown => true,
        };
        match block {
            Block::ToolUse { id, .. } => self.refs.push(AnswerRef::call(id)),
            Block::Thinking { signature, .. } if !signature.is_empty() => {
                self.refs.push(AnswerRef::signature(signature));
            }
            Block::RedactedThinking { data } => self.refs.push(AnswerRef::signature(data)),
            _ => {}
        }
        self.used_server_tools |= matches!(block, Block::ServerToolUse);
    }

    /// The model that answered, once it began to.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref().filter(|model| !model.is_empty())
    }

    /// Whether an answer began.
    pub const fn began(&self) -> bool {
        self.model.is_some()
    }

    /// Whether it stopped only to be continued.
    pub fn is_paused(&self) -> bool {
        self.stop.is_pause()
    }

    /// Why it stopped, in Anthropic's words.
    pub fn stop_reason(&self) -> Option<&str> {
        self.stop.stop_reason.as_deref()
    }

    /// The error in mid-stream.
    pub const fn error(&self) -> Option<&ErrorBody> {
        self.error.as_ref()
    }

    /// Whether `message_stop` came. A stream that ends without it was cut, although SDKs accept it silently.
    pub const fn ended(&self) -> bool {
        self.ended
    }

    /// The tokens so far.
    pub fn tokens(&self) -> Tokens {
        self.usage.tokens()
    }

    /// On which terms they are billed.
    pub fn terms(&self) -> Terms {
        Terms {
            fast: self.usage.speed.as_deref() == Some("fast"),
            us_only: self.usage.inference_geo.as_deref() == Some("us"),
            // A refusal is billed only when something had been said (`claude-models.json`, `_meta.rules.refusal`).
            free: self.stop_reason() == Some("refusal") && !self.has_content,
        }
    }

    /// What the next turn may name of this answer.
    pub fn take_refs(&mut self) -> Vec<AnswerRef> {
        std::mem::take(&mut self.refs)
    }

    /// Whether the answer may be served again (design §5): whole, with content, and ended because it was done.
    pub fn is_servable(&self) -> bool {
        self.ended
            && self.error.is_none()
            && self.has_content
            && !self.used_server_tools
            && matches!(self.stop_reason(), Some("end_turn" | "stop_sequence" | "tool_use"))
    }
}

/// Whether these are the bytes of a delta from its name to its closing brace, other than a signature; what is between
/// is not looked at.
fn is_framed_delta(event: &[u8]) -> bool {
    const FRAME: &[u8] =
        b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":";
    let Some(rest) = event.strip_prefix(FRAME) else { return false };
    let index = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    !rest[index..].starts_with(b",\"delta\":{\"type\":\"signature_delta\"")
        && rest.trim_ascii_end().ends_with(b"}")
}

impl Usage {
    /// Takes over what a later event says: its fields replace, they never add.
    pub fn update(&mut self, later: Self) {
        let Self {
            input_tokens,
            cache_creation_input_tokens,
            cache_read_input_tokens,
            cache_creation,
            output_tokens,
            output_tokens_details,
            server_tool_use,
            inference_geo,
            speed,
            service_tier,
        } = later;
        self.input_tokens = input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens =
            cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.cache_creation = cache_creation.or(self.cache_creation);
        self.output_tokens = output_tokens.or(self.output_tokens);
        self.output_tokens_details = output_tokens_details.or(self.output_tokens_details);
        self.server_tool_use = server_tool_use.or(self.server_tool_use);
        self.inference_geo = inference_geo.or(self.inference_geo.take());
        self.speed = speed.or(self.speed.take());
        self.service_tier = service_tier.or(self.service_tier.take());
    }

    /// The counters of the ledger. Cache writes whose lifetime is not said count as five minutes.
    pub fn tokens(&self) -> Tokens {
        let written = self.cache_creation_input_tokens;
        let split = self.cache_creation.unwrap_or_default();
        let one_hour = split.ephemeral_1h_input_tokens;
        Tokens {
            input: self.input_tokens.unwrap_or(0),
            cache_write_5m: written
                .map_or(split.ephemeral_5m_input_tokens, |all| all.saturating_sub(one_hour)),
            cache_write_1h: one_hour,
            cache_read: self.cache_read_input_tokens.unwrap_or(0),
            output: self.output_tokens.unwrap_or(0),
            thinking: self.output_tokens_details.map_or(0, |details| details.thinking_tokens),
            searches: self.server_tool_use.and_then(|tools| tools.web_search_requests).unwrap_or(0),
        }
    }
}
