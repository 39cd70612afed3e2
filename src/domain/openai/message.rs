//! The messages of a client's request (`reference/anthropic-api.md` §8.2).

use serde::Deserialize;
use serde_json::Value;

use super::text_or::{TextOr, deserialize_text_or};

/// One message. Flat, because every role uses a part of the same fields; unknown ones are ignored.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(expecting = "a message, which is an object with `role` and `content`")]
pub struct Message {
    /// The speaker.
    pub role: Role,
    /// The content.
    #[serde(default)]
    pub content: Option<Content>,
    /// The name of the speaker, or of the function that answers.
    #[serde(default)]
    pub name: Option<String>,
    /// Calls of the assistant.
    #[serde(default)]
    pub tool_calls: Option<Vec<ToolCall>>,
    /// The call that a `tool` message answers.
    #[serde(default)]
    pub tool_call_id: Option<String>,
    /// A refusal of the assistant.
    #[serde(default)]
    pub refusal: Option<String>,
    /// The old form of `tool_calls`.
    #[serde(default)]
    pub function_call: Option<FunctionCall>,
    /// Thinking, for the eye (§8.5).
    #[serde(default)]
    pub reasoning_content: Option<Value>,
    /// The same, under the name of other providers.
    #[serde(default)]
    pub reasoning: Option<Value>,
    /// Thinking with its signatures (§8.5).
    #[serde(default)]
    pub reasoning_details: Option<Value>,
    /// The same, under the name of other proxies.
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
    /// The path to it in the client's request; `None` where it is its position.
    #[serde(skip)]
    pub origin: Option<String>,
    /// A result of a call that failed, for which OpenAI has no form.
    #[serde(skip)]
    pub is_error: bool,
}

impl Message {
    /// The path to the message, which is the one at `at`, in the client's request.
    pub fn path(&self, at: usize) -> String {
        self.origin.clone().unwrap_or_else(|| format!("messages[{at}]"))
    }
}

/// The speaker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions.
    System,
    /// Instructions, by their new name.
    Developer,
    /// The person.
    #[default]
    User,
    /// The model.
    Assistant,
    /// The result of a call.
    Tool,
    /// The result of a call, in the old form.
    Function,
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// One text.
    Text(String),
    /// Texts, images and more.
    Parts(Vec<Part>),
}

/// A content part. Flat, so that an error names the whole path.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(expecting = "a content part, which is an object with `type`")]
pub struct Part {
    /// `text`, `image_url`, `input_audio`, `file`, `refusal`; Anthropic's `image` and `document`, which some clients
    /// send.
    #[serde(rename = "type")]
    pub kind: String,
    /// Content of a `text` part.
    #[serde(default)]
    pub text: Option<String>,
    /// Content of an `image_url` part.
    #[serde(default)]
    pub image_url: Option<ImageUrl>,
    /// Content of a `refusal` part.
    #[serde(default)]
    pub refusal: Option<String>,
    /// Content of a `file` part.
    #[serde(default)]
    pub file: Option<File>,
    /// Content of Anthropic's `image` and `document` parts.
    #[serde(default)]
    pub source: Option<Source>,
    /// The title of Anthropic's `document` part.
    #[serde(default)]
    pub title: Option<String>,
    /// OpenAI's mark for prompt caching.
    #[serde(default)]
    pub prompt_cache_breakpoint: Option<Value>,
    /// Anthropic's mark for prompt caching, which some clients send.
    #[serde(default)]
    pub cache_control: Option<Value>,
    /// The path to it in the client's request; `None` where it is its position.
    #[serde(skip)]
    pub origin: Option<String>,
    /// A block of Anthropic's for which OpenAI has no form.
    #[serde(skip)]
    pub block: Option<Value>,
}

/// An image: an object with `url`, or the URL alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUrl {
    /// `data:`, http or https.
    pub url: String,
    /// The resolution: `auto`, `low`, `high`, `original`.
    pub detail: Option<String>,
}

/// A file: its bytes, its address, or where they were uploaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, expecting = "an object with `file_data` or `file_id`")]
pub struct File {
    /// A `data:` URL or base64 alone; some clients send an https URL.
    pub file_data: Option<String>,
    /// An https URL.
    #[serde(alias = "url")]
    pub file_url: Option<String>,
    /// The id of an upload.
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
    /// The declared media type.
    pub media_type: Option<String>,
    /// Only for `base64` and `text`.
    pub data: Option<String>,
    /// Only for `url`.
    pub url: Option<String>,
    /// Only for `file`.
    pub file_id: Option<String>,
}

/// A call that the assistant made.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(expecting = "a tool call, which is an object with `id` and `function`")]
pub struct ToolCall {
    /// The id that the result refers to.
    #[serde(default)]
    pub id: Option<String>,
    /// `function`, `custom`.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// The function.
    #[serde(default)]
    pub function: Option<FunctionCall>,
    /// The custom tool.
    #[serde(default)]
    pub custom: Option<CustomCall>,
    /// The path to it in the client's request; `None` where it is its position.
    #[serde(skip)]
    pub origin: Option<String>,
}

/// A call of a custom tool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(expecting = "an object with `name` and `input`")]
pub struct CustomCall {
    /// The tool.
    pub name: String,
    /// The input.
    #[serde(default)]
    pub input: Option<String>,
}

/// A function and its arguments.
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
