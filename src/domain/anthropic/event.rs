//! The events of a stream (`reference/anthropic-api.md` §3).
//!
//! Deltas borrow the JSON text of their strings. A string means the same in both dialects, so it is copied from upstream
//! to the client without being decoded and encoded again. Every enum that is read from upstream has a variant for
//! unknown values.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, value::RawValue};

use super::usage::{Usage, or_default};
use crate::domain::{
    json::{inside, kind, without_lone_surrogates},
    sse,
};

/// One event.
#[derive(Debug)]
pub enum Event<'a> {
    /// The beginning, with what is known of the answer.
    MessageStart(MessageStart<'a>),
    /// A content block begins.
    BlockStart {
        /// Its position in the finished answer.
        index: usize,
        /// Its kind and what it has already.
        block: BlockStart,
        /// The block as it was written.
        raw: &'a RawValue,
    },
    /// A content block goes on.
    BlockDelta {
        /// The position of the block.
        index: usize,
        /// The addition.
        delta: Delta<'a>,
    },
    /// A content block is whole.
    BlockStop {
        /// The position of the block.
        index: usize,
    },
    /// The answer's end is near: why it stops, and what it used.
    MessageDelta(MessageDelta),
    /// The answer is whole.
    MessageStop,
    /// A keep-alive.
    Ping,
    /// The answer failed.
    Error(ErrorBody),
    /// An event of a later version.
    Unknown,
}

impl Event<'_> {
    /// The model that answers from this event on, if the event names it (§2 `fallback`, `usage.iterations`).
    pub fn serving_model(&self) -> Option<&str> {
        let model = match self {
            Self::MessageStart(start) => start.usage.fallback_model().unwrap_or(&start.model),
            Self::BlockStart { block: BlockStart::Fallback { to }, .. } => to,
            Self::MessageDelta(last) => last.usage.fallback_model()?,
            _ => return None,
        };
        Some(model).filter(|model| !model.is_empty())
    }
}

/// `message_start.message`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct MessageStart<'a> {
    /// `msg_…`.
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    /// The model that answers, which may be another than the one asked.
    pub model: String,
    /// Mostly empty; calls made by code execution arrive whole in here.
    #[serde(borrow, deserialize_with = "or_default")]
    pub content: Vec<&'a RawValue>,
    /// Mostly null; given where the whole answer is in here.
    pub stop_reason: Option<String>,
    /// The prompt's tokens.
    #[serde(deserialize_with = "or_default")]
    pub usage: Usage,
}

impl MessageStart<'_> {
    /// The blocks that came with the beginning.
    pub fn blocks(&self) -> impl Iterator<Item = Result<(BlockStart, &RawValue), ParseError>> {
        self.content.iter().map(|raw| Ok((serde_json::from_str(raw.get())?, *raw)))
    }
}

/// The beginning of a content block.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum BlockStart {
    /// Text for the reader.
    Text {
        /// Mostly empty here.
        text: String,
        /// Mostly none here; as they were written.
        #[serde(default, deserialize_with = "or_default")]
        citations: Vec<Citation>,
    },
    /// Thinking, or a summary of it.
    Thinking {
        /// Mostly empty here.
        #[serde(default)]
        thinking: String,
        /// Mostly empty here.
        #[serde(default, deserialize_with = "or_default")]
        signature: String,
    },
    /// Thinking that nobody may see.
    RedactedThinking {
        /// Encrypted.
        data: String,
    },
    /// A call of one of the client's tools.
    ToolUse {
        /// `toolu_…`.
        id: String,
        /// The tool.
        name: String,
    },
    /// A call of a tool that Anthropic runs itself, or that a server runs which it asks (MCP).
    #[serde(alias = "mcp_tool_use")]
    ServerToolUse,
    /// The end of what a model answered that then declined. Another answers from here on.
    Fallback {
        /// The id of the other model.
        #[serde(default, deserialize_with = "model_of")]
        to: String,
    },
    /// Anything else.
    #[serde(other)]
    Unknown,
}

/// The `model` in an object; empty if there is none.
fn model_of<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let object = Value::deserialize(deserializer)?;
    Ok(object["model"].as_str().unwrap_or_default().to_owned())
}

/// The input of a call that arrived whole. Mostly it is a placeholder, `{}`, and deltas follow.
pub fn whole_input(block: &RawValue) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Call<'a> {
        #[serde(borrow)]
        input: Option<&'a RawValue>,
    }
    let input = serde_json::from_str::<Call<'_>>(block.get()).ok()?.input?;
    // An object with anything in it has a colon.
    (input.get().starts_with('{') && input.get().contains(':')).then_some(input)
}

/// A source of a text (§2 "Citations"). Only pages on the web have a URL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct Citation {
    /// The address of a page on the web.
    pub url: Option<String>,
    /// The title of the page.
    pub title: Option<String>,
}

impl Citation {
    /// The citation that is written as `raw`; `None` if it cannot be read.
    pub fn parse(raw: &RawValue) -> Option<Self> {
        let raw = raw.get().as_bytes();
        let mended = without_lone_surrogates(raw);
        serde_json::from_slice(mended.as_deref().unwrap_or(raw)).ok()
    }
}

/// An addition to a content block. The values are JSON strings, quotes and escapes included.
#[derive(Debug, Clone, Copy)]
pub enum Delta<'a> {
    /// Adds text.
    Text(&'a RawValue),
    /// More thinking.
    Thinking(&'a RawValue),
    /// More of a tool call's arguments, as JSON in a string.
    Json(&'a RawValue),
    /// The proof that the thinking is Anthropic's.
    Signature(&'a RawValue),
    /// A source of the text: an object, not a string.
    Citation(&'a RawValue),
    /// Anything else, as it was written.
    Unknown(&'a RawValue),
}

impl Delta<'_> {
    /// True if the delta adds visible content.
    pub fn says_something(&self) -> bool {
        match self {
            Self::Text(text) | Self::Thinking(text) | Self::Json(text) => !inside(text).is_empty(),
            Self::Signature(_) | Self::Citation(_) | Self::Unknown(_) => false,
        }
    }
}

/// `message_delta`.
#[derive(Debug, Default, Deserialize)]
pub struct MessageDelta {
    /// The reason why the answer ends.
    #[serde(default, deserialize_with = "or_default")]
    pub delta: Stop,
    /// Replaces what `message_start` said, where given; never adds to it.
    #[serde(default, deserialize_with = "or_default")]
    pub usage: Usage,
}

/// The reason why an answer ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Stop {
    /// `end_turn`, `max_tokens`, `tool_use`, … (§2); null in early `message_delta`s.
    pub stop_reason: Option<String>,
    /// More about a refusal.
    pub stop_details: Option<StopDetails>,
}

impl Stop {
    /// True if the answer paused for Anthropic's own tools and is to be continued.
    pub fn is_pause(&self) -> bool {
        self.stop_reason.as_deref() == Some("pause_turn")
    }

    /// Replaces the reason by that of a later event, if it has one.
    pub fn update(&mut self, later: Self) {
        if later.stop_reason.is_some() {
            *self = later;
        }
    }
}

/// `stop_details`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct StopDetails {
    /// A message for people.
    pub explanation: Option<String>,
    /// `cyber`, `bio`, …
    pub category: Option<String>,
}

/// `{"type": "error", "error": {…}}`, in mid-stream or as the body of an HTTP error (§4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ErrorBody {
    /// The error.
    pub error: Error,
    /// Anthropic's id of the request.
    #[serde(default)]
    pub request_id: Option<String>,
    /// All of it as it was written, for clients that speak Anthropic's dialect themselves; for HTTP errors.
    #[serde(skip)]
    pub written: Option<String>,
}

/// The error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Error {
    /// `invalid_request_error`, `overloaded_error`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// A message for people.
    pub message: String,
    /// A machine code, for some errors.
    pub details: Option<ErrorDetails>,
}

impl Error {
    /// True if a limit of the account is spent: a retry cannot succeed.
    pub fn is_spent_limit(&self) -> bool {
        self.details.as_ref().and_then(|details| details.error_code.as_deref())
            == Some("enforced_spend_limit_reached")
            || self.message.starts_with("You have reached your specified API usage limits")
    }
}

/// `error.details`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ErrorDetails {
    /// For instance `enforced_spend_limit_reached`.
    pub error_code: Option<String>,
}

/// The reason why a stream is not a complete answer.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// An error event.
    #[error("Anthropic failed while answering: {}", .0.error.message)]
    Upstream(Box<ErrorBody>),
    /// The stream ended before `message_stop`.
    #[error("the connection to Anthropic broke before the answer was whole")]
    Cut,
    /// An event at a position where it is not allowed.
    #[error("Anthropic sent its events out of order")]
    OutOfOrder,
    /// An event whose data cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ParseError),
}

/// An event whose data is not what its name promises.
#[derive(Debug, thiserror::Error)]
#[error("Anthropic sent an event that cannot be read")]
pub struct ParseError(#[from] serde_json::Error);

/// Reads the lines of one event. Half of a surrogate pair becomes U+FFFD, except in a delta, where the next may have the
/// other half.
pub fn read(event: &[u8]) -> sse::Event<'_> {
    let mut event = sse::parse(event);
    if let Some(mended) = without_lone_surrogates(&event.data)
        && name_of(&event).as_deref() != Some(b"content_block_delta".as_slice())
    {
        event.data = Cow::Owned(mended);
    }
    event
}

/// Parses one event. Without an `event:` field, the data's own `type` says what it is.
pub fn parse<'a>(event: &'a sse::Event<'_>) -> Result<Event<'a>, ParseError> {
    if event.data.is_empty() {
        return Ok(Event::Unknown);
    }
    name_of(event).map_or(Ok(Event::Unknown), |name| parse_as(&name, &event.data))
}

fn name_of<'a>(event: &'a sse::Event<'_>) -> Option<Cow<'a, [u8]>> {
    if !event.name.is_empty() {
        return Some(Cow::Borrowed(event.name));
    }
    match kind(std::str::from_utf8(&event.data).ok()?)? {
        Cow::Borrowed(kind) => Some(Cow::Borrowed(kind.as_bytes())),
        Cow::Owned(kind) => Some(Cow::Owned(kind.into_bytes())),
    }
}

/// The event that ends a stream.
pub const MESSAGE_STOP: &[u8] = b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// True for the event that ends a stream, with all of its JSON. Its blank line may be missing: after it comes nothing.
pub fn is_whole_end(event: &[u8]) -> bool {
    let event = read(event);
    serde_json::from_slice::<serde::de::IgnoredAny>(&event.data).is_ok()
        && matches!(parse(&event), Ok(Event::MessageStop | Event::Error(_)))
}

fn parse_as<'a>(name: &[u8], data: &'a [u8]) -> Result<Event<'a>, ParseError> {
    #[derive(Deserialize)]
    struct Start<'a> {
        #[serde(borrow)]
        message: MessageStart<'a>,
    }
    #[derive(Deserialize)]
    struct BlockStart<'a> {
        index: usize,
        #[serde(borrow)]
        content_block: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct BlockDelta<'a> {
        index: usize,
        #[serde(borrow)]
        delta: RawDelta<'a>,
    }
    #[derive(Deserialize)]
    struct RawDelta<'a> {
        #[serde(borrow)]
        text: Option<&'a RawValue>,
        #[serde(borrow)]
        thinking: Option<&'a RawValue>,
        #[serde(borrow)]
        partial_json: Option<&'a RawValue>,
        #[serde(borrow)]
        signature: Option<&'a RawValue>,
        #[serde(borrow)]
        citation: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct UnknownDelta<'a> {
        #[serde(borrow)]
        delta: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct BlockStop {
        index: usize,
    }
    let string = |value: Option<&'a RawValue>| value.filter(|value| value.get().starts_with('"'));
    Ok(match name {
        b"content_block_delta" => {
            let BlockDelta { index, delta } = serde_json::from_slice(data)?;
            let delta = if let Some(text) = string(delta.text) {
                Delta::Text(text)
            } else if let Some(thinking) = string(delta.thinking) {
                Delta::Thinking(thinking)
            } else if let Some(json) = string(delta.partial_json) {
                Delta::Json(json)
            } else if let Some(signature) = string(delta.signature) {
                Delta::Signature(signature)
            } else if let Some(citation) = delta.citation {
                Delta::Citation(citation)
            } else {
                Delta::Unknown(serde_json::from_slice::<UnknownDelta<'_>>(data)?.delta)
            };
            Event::BlockDelta { index, delta }
        }
        b"message_start" => Event::MessageStart(serde_json::from_slice::<Start<'_>>(data)?.message),
        b"content_block_start" => {
            let BlockStart { index, content_block: raw } = serde_json::from_slice(data)?;
            Event::BlockStart { index, block: serde_json::from_str(raw.get())?, raw }
        }
        b"content_block_stop" => {
            Event::BlockStop { index: serde_json::from_slice::<BlockStop>(data)?.index }
        }
        b"message_delta" => Event::MessageDelta(serde_json::from_slice(data)?),
        b"message_stop" => Event::MessageStop,
        b"ping" => Event::Ping,
        b"error" => Event::Error(serde_json::from_slice(data)?),
        _ => Event::Unknown,
    })
}
