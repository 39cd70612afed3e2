//! What a client gets (`reference/anthropic-api.md` §8.3, §8.4).

use serde::Serialize;

use crate::domain::json::JsonString;

/// A whole answer.
#[derive(Debug, Serialize)]
pub struct Completion {
    /// The call's own id, also of an answer from the ledger.
    pub id: String,
    /// Always `chat.completion`.
    pub object: &'static str,
    /// Unix seconds.
    pub created: i64,
    /// The model that answered.
    pub model: String,
    /// Always one.
    pub choices: [Choice; 1],
    /// What it used and cost.
    pub usage: Usage,
}

/// The one choice.
#[derive(Debug, Serialize)]
pub struct Choice {
    /// Always 0.
    pub index: u32,
    /// What was said.
    pub message: Message,
    /// Never given by Anthropic.
    pub logprobs: Option<()>,
    /// Why it stopped.
    pub finish_reason: FinishReason,
}

/// What was said.
#[derive(Debug, Serialize)]
pub struct Message {
    /// Always `assistant`.
    pub role: &'static str,
    /// Null when there are only tool calls.
    pub content: Option<JsonString>,
    /// Why Claude would not answer.
    pub refusal: Option<String>,
    /// Thinking for the eye (§8.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<JsonString>,
    /// In order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
}

/// A call of one of the client's functions.
#[derive(Debug, Serialize)]
pub struct ToolCall {
    /// Echoed in the message that answers it.
    pub id: String,
    /// Always `function`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Which one, with what.
    pub function: FunctionCall,
}

/// Which function, with what.
#[derive(Debug, Serialize)]
pub struct FunctionCall {
    /// The function.
    pub name: String,
    /// JSON in a string.
    pub arguments: JsonString,
}

/// Why an answer stopped, in OpenAI's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// It was done, or met a stop sequence.
    Stop,
    /// It met a limit.
    Length,
    /// It calls functions.
    ToolCalls,
    /// Claude refused.
    ContentFilter,
}

impl FinishReason {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }
}

/// What an answer used and cost. Open WebUI shows every key and adds up `cost`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Usage {
    /// The whole prompt, cached or not.
    pub prompt_tokens: u64,
    /// Everything generated, thinking included.
    pub completion_tokens: u64,
    /// Their sum.
    pub total_tokens: u64,
    /// Of the prompt.
    pub prompt_tokens_details: PromptTokensDetails,
    /// Of the answer.
    pub completion_tokens_details: CompletionTokensDetails,
    /// Anthropic's own word, which Open WebUI reads too.
    pub cache_creation_input_tokens: u64,
    /// Anthropic's own word, which Open WebUI reads too.
    pub cache_read_input_tokens: u64,
    /// US dollars; absent when the model has no known price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// US dollars that asking upstream would have cost; on answers from the ledger only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved: Option<f64>,
}

/// Of the prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PromptTokensDetails {
    /// Read from the prompt cache.
    pub cached_tokens: u64,
    /// Written to the prompt cache.
    pub cache_write_tokens: u64,
}

/// Of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CompletionTokensDetails {
    /// Thinking.
    pub reasoning_tokens: u64,
}

/// `{"error": {…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: Error,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Error {
    /// For people: what happened, why, what to do.
    pub message: String,
    /// The kind of error.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The field of the request that is to blame.
    pub param: Option<String>,
    /// For programs.
    pub code: Option<String>,
}
