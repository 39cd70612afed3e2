//! What goes upstream.

use serde::Serialize;
use serde_json::Value;

/// A request as it was translated. It is serialised once, by `cache::chain`, for the key, the ledger and the wire
/// alike; `stream` is always true and stands on the wire only.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// The model as the client named it.
    pub model: String,
    /// Required upstream; includes thinking.
    pub max_tokens: u32,
    /// Text blocks.
    pub system: Vec<ContentBlock>,
    /// Oldest first.
    pub messages: Vec<Message>,
    /// Functions the model may call.
    pub tools: Vec<Tool>,
    /// Which of them it may or must call.
    pub tool_choice: Option<ToolChoice>,
    /// Never blank.
    pub stop_sequences: Vec<String>,
    /// 0 to 1, where the model samples at all.
    pub temperature: Option<f64>,
    /// 0 to 1, never beside `temperature`.
    pub top_p: Option<f64>,
    /// Where the model samples at all.
    pub top_k: Option<u64>,
    /// `auto` or `standard_only`.
    pub service_tier: Option<&'static str>,
    /// Who asks; does not change the answer.
    pub metadata: Option<Metadata>,
}

/// `metadata`: an opaque id of the end user.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metadata {
    /// At most 256 characters; no e-mail address, no phone number.
    pub user_id: String,
}

/// Who speaks.
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
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
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
    /// A picture.
    Image {
        /// Where its bytes are.
        source: ImageSource,
    },
    /// An earlier call of a tool, in an assistant turn.
    ToolUse {
        /// `^[a-zA-Z0-9_-]+$`.
        id: String,
        /// The tool.
        name: String,
        /// Always an object.
        input: Value,
    },
    /// What the tool answered, at the start of the user turn after it.
    ToolResult {
        /// The call.
        tool_use_id: String,
        /// Text and images.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<ContentBlock>,
        /// Whether the tool failed.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

impl ContentBlock {
    /// A text block.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }
}

/// Where a picture's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ImageSource {
    /// In the request.
    Base64 {
        /// `image/jpeg`, `image/png`, `image/gif` or `image/webp`: what the bytes are, not what the client said.
        media_type: &'static str,
        /// Standard base64 without line breaks.
        data: String,
    },
    /// Anthropic fetches it.
    Url {
        /// http or https.
        url: String,
    },
}

/// A client tool.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tool {
    /// `^[a-zA-Z0-9_-]{1,64}$`.
    pub name: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A JSON schema whose `type` is `object`.
    pub input_schema: Value,
}

/// Which tools may or must be called (§1.5).
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
