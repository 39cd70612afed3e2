//! Requests that go upstream (`reference/anthropic-api.md` §1).

use serde::Serialize;
use serde_json::Value;

use crate::domain::json::{self, Raw};

/// A translated request. [`super::CanonicalRequest`] is its form for hashing, storing and sending; `stream` is always
/// true and is added on the wire.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// The model's id.
    pub model: String,
    /// Required upstream; includes thinking.
    pub max_tokens: u32,
    /// The thinking mode; `None` for the model's default.
    pub thinking: Option<Thinking>,
    /// Effort, and format of the answer.
    pub output_config: OutputConfig,
    /// Text blocks.
    pub system: Vec<ContentBlock>,
    /// Oldest first.
    pub messages: Vec<RequestMessage>,
    /// Tools that the model may call.
    pub tools: Vec<Tool>,
    /// The tools that the model may or must call.
    pub tool_choice: Option<ToolChoice>,
    /// Never blank.
    pub stop_sequences: Vec<String>,
    /// 0 to 1, where the model samples at all.
    pub temperature: Option<f64>,
    /// 0 to 1, never beside `temperature`.
    pub top_p: Option<f64>,
    /// Only for models that sample.
    pub top_k: Option<u64>,
    /// The models that answer where safeguards decline: `"default"`, or a list. Needs the beta
    /// `server-side-fallback-2026-07-01`.
    pub fallbacks: Option<Value>,
    /// `auto` or `standard_only`.
    pub service_tier: Option<&'static str>,
    /// The end user; does not change the answer.
    pub metadata: Option<Metadata>,
    /// Breakpoints for prompt caching, which do not change the answer. At most four, in the order of the prompt.
    pub breakpoints: Vec<Breakpoint>,
}

/// `metadata`: an opaque id of the end user.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metadata {
    /// At most 256 characters; no e-mail address, no phone number.
    pub user_id: String,
}

/// `thinking` (§1.2). Each model takes some of these, as its catalog entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Thinking {
    /// As much as the question needs.
    Adaptive {
        /// The part that is shown.
        display: Display,
        /// The treatment of blocks that no longer fit the conversation.
        #[serde(skip_serializing_if = "Option::is_none")]
        block_binding: Option<BlockBinding>,
    },
    /// Up to a budget.
    Enabled {
        /// Tokens: at least 1024, less than `max_tokens`.
        budget_tokens: u32,
        /// The part that is shown.
        display: Display,
        /// The treatment of blocks that no longer fit the conversation.
        #[serde(skip_serializing_if = "Option::is_none")]
        block_binding: Option<BlockBinding>,
    },
    /// Not at all.
    Disabled,
    /// Only between calls of tools.
    BetweenTools,
}

/// `thinking.display`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Display {
    /// A summary.
    Summarized,
    /// Nothing.
    Omitted,
}

/// `thinking.block_binding`; needs the beta `thinking-binding-controls-2026-08-01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BlockBinding {
    /// The treatment of a block whose conversation has changed.
    pub prefix_mismatch_behavior: PrefixMismatch,
}

/// `thinking.block_binding.prefix_mismatch_behavior`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PrefixMismatch {
    /// Go on without it.
    DropBlock,
}

/// `output_config` (§1.3, §1.4).
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct OutputConfig {
    /// `None`: the model's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// `None`: text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
}

impl OutputConfig {
    /// True if all fields are unset.
    pub const fn is_default(&self) -> bool {
        self.effort.is_none() && self.format.is_none()
    }
}

/// `output_config.effort`, from little to much.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

/// `output_config.format`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Format {
    /// JSON that fits a schema.
    JsonSchema {
        /// Within the subset of §1.4. Its keys keep the client's order: the answer has its fields in that order.
        schema: Value,
    },
}

/// The speaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person, or the results of tools.
    User,
    /// Claude.
    Assistant,
    /// Instructions in the middle, on models that take them (§1.6).
    System,
}

/// One turn, or a part of one: consecutive messages of one role are combined upstream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RequestMessage {
    /// The speaker.
    pub role: Role,
    /// The content.
    pub content: Vec<ContentBlock>,
}

/// A block of a prompt.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentBlock {
    /// Never blank.
    Text {
        /// The text.
        text: String,
    },
    /// An image.
    Image {
        /// The source of its bytes.
        source: Source,
    },
    /// A PDF or a text.
    Document {
        /// The source of its bytes.
        source: Source,
        /// Its name.
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<String>,
    },
    /// Thinking of an earlier turn.
    Thinking {
        /// The summary that was shown.
        thinking: String,
        /// Anthropic's proof that it is theirs.
        signature: String,
    },
    /// Redacted thinking.
    RedactedThinking {
        /// Encrypted.
        data: String,
    },
    /// An earlier call of a tool, in an assistant turn.
    ToolUse {
        /// `^[a-zA-Z0-9_-]+$`.
        id: String,
        /// The tool.
        name: String,
        /// Always an object, as it was written.
        input: Raw,
    },
    /// The result of a call, at the start of the next user turn.
    ToolResult {
        /// The call.
        tool_use_id: String,
        /// Text, images and documents.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<ContentBlock>,
        /// True if the tool failed.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
    /// Not a block: a client's breakpoint after the block before it, while the messages are put together.
    /// In a finished request it has become one of `breakpoints`.
    #[serde(skip)]
    CacheMark(Ttl),
    /// A block of an earlier answer, exactly as it came.
    #[serde(untagged)]
    Original(Raw),
}

impl ContentBlock {
    /// A text block.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    /// True for thinking, shown or redacted.
    pub fn is_thinking(&self) -> bool {
        match self {
            Self::Thinking { .. } | Self::RedactedThinking { .. } => true,
            Self::Original(raw) => {
                let kind = json::kind(raw.get());
                matches!(kind.as_deref(), Some("thinking" | "redacted_thinking"))
            }
            _ => false,
        }
    }

    /// True if the order of keys in the block is not ours.
    pub(super) fn is_free_form(&self) -> bool {
        matches!(self, Self::ToolUse { .. } | Self::Original(_))
    }
}

/// True for a text that Anthropic refuses, because it is empty or only white space.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(is_blank_char)
}

/// True for white space by Unicode, and for the separators that Python also counts as such.
pub fn is_blank_char(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

/// The location of an image or a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Source {
    /// In the request.
    Base64 {
        /// The type of the bytes, whatever the client declared: `image/jpeg`, `image/png`, `image/gif`, `image/webp` or
        /// `application/pdf`.
        media_type: &'static str,
        /// Standard base64 without line breaks.
        data: String,
    },
    /// A text in the request; documents only.
    Text {
        /// Always `text/plain`.
        media_type: &'static str,
        /// The text.
        data: String,
    },
    /// Anthropic fetches it.
    Url {
        /// http or https.
        url: String,
    },
    /// A file in Anthropic's Files API.
    File {
        /// `file_…`.
        file_id: String,
    },
}

/// A tool.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Tool {
    /// A tool that the client runs.
    Client(ClientTool),
    /// A tool that Anthropic runs.
    WebSearch(WebSearch),
}

impl Tool {
    /// The name by which it is called.
    pub fn name(&self) -> &str {
        match self {
            Self::Client(tool) => &tool.name,
            Self::WebSearch(search) => search.name,
        }
    }
}

/// A tool that the client runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClientTool {
    /// `^[a-zA-Z0-9_-]{1,64}$`.
    pub name: String,
    /// A description for the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A JSON schema whose `type` is `object`, with its keys in the client's order.
    pub input_schema: Value,
    /// Enforces the schema, which must then be within the subset of §1.4.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
}

/// Anthropic's web search (§1.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WebSearch {
    /// The newest version that the model takes.
    #[serde(rename = "type")]
    pub version: String,
    /// Always `web_search`.
    pub name: &'static str,
    /// Maximum number of searches.
    pub max_uses: u32,
    /// Roughly where the user is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_location: Option<UserLocation>,
}

/// Roughly where the user is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct UserLocation {
    /// Always `approximate`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// ISO 3166, two letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// As in the IANA database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
}

/// The tools that may or must be called (§1.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToolChoice {
    /// The model decides.
    Auto {
        /// At most one call.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        disable_parallel_tool_use: bool,
    },
    /// Some tool must be called.
    Any {
        /// At most one call.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        disable_parallel_tool_use: bool,
    },
    /// This tool must be called.
    Tool {
        /// Its name.
        name: String,
        /// At most one call.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        disable_parallel_tool_use: bool,
    },
    /// No tool may be called.
    None,
}

/// `cache_control` on one block (§1.7): everything up to it is to be cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Breakpoint {
    /// The block.
    pub at: BlockPosition,
    /// For how long.
    pub ttl: Ttl,
}

/// A block of a request. Ordered as the prompt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockPosition {
    /// A tool's definition.
    Tool(usize),
    /// A block of the system prompt.
    System(usize),
    /// A block of a message.
    Message {
        /// The position of the message.
        message: usize,
        /// The position of the block in the message.
        block: usize,
    },
}

/// The lifetime of a cached part of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Ttl {
    /// The default.
    #[serde(rename = "5m")]
    FiveMinutes,
    /// Writing costs more.
    #[serde(rename = "1h")]
    OneHour,
}

/// The `anthropic-version` header (§6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// The current one, which knows no sampling parameters.
    #[default]
    V20261021,
    /// The older one, for models that still sample.
    V20230601,
}

impl Version {
    /// The header's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V20261021 => "2026-10-21",
            Self::V20230601 => "2023-06-01",
        }
    }
}
