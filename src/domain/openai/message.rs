//! The messages of a request (`reference/anthropic-api.md` §8.2), as they were sent.

use serde::Deserialize;
use serde_json::Value;

use super::text_or::{TextOr, deserialize_text_or};

/// One message. Flat, because every role uses a part of the same fields; unknown ones are ignored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(expecting = "a message, which is an object with `role` and `content`")]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    #[serde(default)]
    pub content: Option<Content>,
    /// Of the speaker, or of the function that answers.
    #[serde(default)]
    pub name: Option<String>,
    /// What the assistant called.
    #[serde(default)]
    pub tool_calls: Option<Vec<ToolCall>>,
    /// Which call a `tool` message answers.
    #[serde(default)]
    pub tool_call_id: Option<String>,
    /// What the assistant said instead of an answer.
    #[serde(default)]
    pub refusal: Option<String>,
    /// The old form of `tool_calls`.
    #[serde(default)]
    pub function_call: Option<FunctionCall>,
    /// Thinking, for the eye (§8.5).
    #[serde(default)]
    pub reasoning_content: Option<Value>,
    /// The same, as other providers call it.
    #[serde(default)]
    pub reasoning: Option<Value>,
    /// Thinking with its signatures (§8.5).
    #[serde(default)]
    pub reasoning_details: Option<Value>,
    /// The same, as other proxies call it.
    #[serde(default)]
    pub thinking_blocks: Option<Value>,
    /// Citations of the answer.
    #[serde(default)]
    pub annotations: Option<Value>,
    /// The answer in sound.
    #[serde(default)]
    pub audio: Option<Value>,
    /// Anthropic's mark for prompt caching, which some clients put here.
    #[serde(default)]
    pub cache_control: Option<Value>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions.
    System,
    /// Instructions, by their new name.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The result of a call.
    Tool,
    /// The result of a call, in the old form.
    Function,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// One text.
    Text(String),
    /// Texts, pictures and more.
    Parts(Vec<Part>),
}

/// A piece of a message. Flat, so that an error names the whole path.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(expecting = "a content part, which is an object with `type`")]
pub struct Part {
    /// `text`, `image_url`, `input_audio`, `file`, `refusal`; Anthropic's `image` and `document`, which some clients
    /// send.
    #[serde(rename = "type")]
    pub kind: String,
    /// Of a `text` part.
    #[serde(default)]
    pub text: Option<String>,
    /// Of an `image_url` part.
    #[serde(default)]
    pub image_url: Option<ImageUrl>,
    /// Of a `refusal` part.
    #[serde(default)]
    pub refusal: Option<String>,
    /// Of a `file` part.
    #[serde(default)]
    pub file: Option<File>,
    /// Of Anthropic's `image` and `document`.
    #[serde(default)]
    pub source: Option<Source>,
    /// Of Anthropic's `document`.
    #[serde(default)]
    pub title: Option<String>,
    /// OpenAI's mark for prompt caching.
    #[serde(default)]
    pub prompt_cache_breakpoint: Option<Value>,
    /// Anthropic's mark for prompt caching, which some clients send.
    #[serde(default)]
    pub cache_control: Option<Value>,
}

/// A picture: an object with `url`, or the URL alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUrl {
    /// `data:`, http or https.
    pub url: String,
    /// How closely to look: `auto`, `low`, `high`, `original`.
    pub detail: Option<String>,
}

/// A file: its bytes, or where they were uploaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, expecting = "an object with `file_data` or `file_id`")]
pub struct File {
    /// A `data:` URL or base64 alone; some clients send an https URL.
    pub file_data: Option<String>,
    /// Of an upload.
    pub file_id: Option<String>,
    /// Its name.
    pub filename: Option<String>,
}

/// `source` of Anthropic's `image` and `document`. Flat, so that an error names the whole path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, expecting = "an object with `type`")]
pub struct Source {
    /// `base64`, `url`, `text`, `file`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the bytes are said to be.
    pub media_type: Option<String>,
    /// Of `base64` and `text`.
    pub data: Option<String>,
    /// Of `url`.
    pub url: Option<String>,
    /// Of `file`.
    pub file_id: Option<String>,
}

/// A call that the assistant made.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(expecting = "a tool call, which is an object with `id` and `function`")]
pub struct ToolCall {
    /// What the result refers to.
    #[serde(default)]
    pub id: Option<String>,
    /// `function`, `custom`.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// What was called.
    #[serde(default)]
    pub function: Option<FunctionCall>,
    /// What was called, if it is a custom tool.
    #[serde(default)]
    pub custom: Option<CustomCall>,
}

/// A call of a custom tool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(expecting = "an object with `name` and `input`")]
pub struct CustomCall {
    /// The tool.
    pub name: String,
    /// What it was given.
    #[serde(default)]
    pub input: Option<String>,
}

/// What was called, and with what.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(expecting = "an object with `name` and `arguments`")]
pub struct FunctionCall {
    /// The function.
    pub name: String,
    /// A string with JSON in it; some clients send the JSON itself.
    #[serde(default)]
    pub arguments: Value,
}

deserialize_text_or!(Content, ImageUrl);

impl TextOr<'_> for Content {
    type Other = Vec<Part>;
    const EXPECTED: &'static str = "a string or an array of parts";

    fn from_text(text: String) -> Self {
        Self::Text(text)
    }

    fn from_other(parts: Vec<Part>) -> Self {
        Self::Parts(parts)
    }
}

#[derive(Deserialize)]
#[serde(expecting = "an object with `url`")]
pub(super) struct ImageUrlObject {
    url: String,
    #[serde(default)]
    detail: Option<String>,
}

impl TextOr<'_> for ImageUrl {
    type Other = ImageUrlObject;
    const EXPECTED: &'static str = "an object with `url`";

    fn from_text(url: String) -> Self {
        Self { url, detail: None }
    }

    fn from_other(ImageUrlObject { url, detail }: ImageUrlObject) -> Self {
        Self { url, detail }
    }
}
