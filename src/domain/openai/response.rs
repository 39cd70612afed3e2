//! Responses that a client gets (`reference/anthropic-api.md` §8.3, §8.4).

use serde::Serialize;

use crate::domain::json::JsonString;

/// A complete answer.
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
    /// Tokens and cost.
    pub usage: Usage,
    /// `default` or `priority`, where upstream said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<&'static str>,
}

/// The one choice.
#[derive(Debug, Serialize)]
pub struct Choice {
    /// Always 0.
    pub index: u32,
    /// The message.
    pub message: ResponseMessage,
    /// Never given by Anthropic.
    pub logprobs: Option<()>,
    /// The reason why the answer ended.
    pub finish_reason: FinishReason,
}

/// The message.
#[derive(Debug, Serialize)]
pub struct ResponseMessage {
    /// Always `assistant`.
    pub role: &'static str,
    /// Null when there are only tool calls.
    pub content: Option<JsonString>,
    /// The explanation of a refusal.
    pub refusal: Option<String>,
    /// Thinking for the eye (§8.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<JsonString>,
    /// Thinking with its signatures, for the next turn (§8.5).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasoning_details: Vec<ReasoningDetail>,
    /// Sources of the text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Annotation>,
    /// In order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ResponseToolCall>,
    /// The first call, for a client that knows no tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_call: Option<ResponseFunctionCall>,
}

/// A block of thinking, as OpenRouter and Open WebUI have it. Those with the same `index` are parts of one block.
#[derive(Debug, Serialize)]
pub struct ReasoningDetail {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<JsonString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<JsonString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    format: &'static str,
    index: usize,
}

/// The format of thinking with a text. Open WebUI sends it back only with its signature.
pub const THINKING_FORMAT: &str = "anthropic-claude-v1";
/// The format of redacted thinking. Not the other one, or Open WebUI would drop it for its lack of a signature.
pub const REDACTED_FORMAT: &str = "reprise-redacted-v1";

impl ReasoningDetail {
    /// A complete block of thinking.
    pub fn text(text: JsonString, signature: JsonString, index: usize) -> Self {
        let signature = Some(signature).filter(|signature| !signature.is_empty());
        Self { text: Some(text), signature, ..Self::new("reasoning.text", THINKING_FORMAT, index) }
    }

    /// The signature of a block whose text has been told.
    pub fn signature(signature: JsonString, index: usize) -> Self {
        let (text, signature) = (Some(JsonString::default()), Some(signature));
        Self { text, signature, ..Self::new("reasoning.text", THINKING_FORMAT, index) }
    }

    /// Redacted thinking.
    pub fn encrypted(data: String, index: usize) -> Self {
        Self { data: Some(data), ..Self::new("reasoning.encrypted", REDACTED_FORMAT, index) }
    }

    fn new(kind: &'static str, format: &'static str, index: usize) -> Self {
        Self { kind, text: None, signature: None, data: None, format, index }
    }
}

/// A source of a part of the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Annotation {
    /// Always `url_citation`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The page.
    pub url_citation: UrlCitation,
}

/// A page on the web, and the range of the text that cites it, in code points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UrlCitation {
    /// The first.
    pub start_index: usize,
    /// The one after the last.
    pub end_index: usize,
    /// Its address.
    pub url: String,
    /// Its title.
    pub title: String,
}

/// A call of one of the client's tools.
#[derive(Debug, Serialize)]
pub struct ResponseToolCall {
    /// Echoed in the message that answers it.
    pub id: String,
    /// The name and the input.
    #[serde(flatten)]
    pub called: Called,
}

/// The name and the input.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Called {
    /// A function, with an object.
    Function {
        /// The name and the input.
        function: ResponseFunctionCall,
    },
    /// A custom tool, with a text.
    Custom {
        /// The name and the input.
        custom: ResponseCustomCall,
    },
}

/// A custom tool's call.
#[derive(Debug, Serialize)]
pub struct ResponseCustomCall {
    /// The tool.
    pub name: String,
    /// The input.
    pub input: String,
}

impl ResponseToolCall {
    /// A call of a function.
    pub fn function(id: String, name: String, arguments: JsonString) -> Self {
        Self { id, called: Called::Function { function: ResponseFunctionCall { name, arguments } } }
    }

    /// A call of a custom tool.
    pub fn custom(id: String, name: String, input: String) -> Self {
        Self { id, called: Called::Custom { custom: ResponseCustomCall { name, input } } }
    }

    /// The call as it was told before there were tools.
    pub fn into_function(self) -> Option<ResponseFunctionCall> {
        match self.called {
            Called::Function { function } => Some(function),
            Called::Custom { .. } => None,
        }
    }
}

/// A function and its arguments.
#[derive(Debug, Serialize)]
pub struct ResponseFunctionCall {
    /// The function.
    pub name: String,
    /// JSON in a string.
    pub arguments: JsonString,
}

/// OpenAI's `finish_reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The answer ended by itself or at a stop sequence.
    Stop,
    /// The answer reached a limit.
    Length,
    /// The answer calls functions.
    ToolCalls,
    /// The answer calls a function, in the deprecated form.
    FunctionCall,
    /// Claude refused.
    ContentFilter,
}

/// Tokens and cost of an answer. Open WebUI shows every key and adds up `cost`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Usage {
    /// The whole prompt, cached or not.
    pub prompt_tokens: u64,
    /// Everything generated, thinking included.
    pub completion_tokens: u64,
    /// Their sum.
    pub total_tokens: u64,
    /// Details of the prompt's tokens.
    pub prompt_tokens_details: PromptTokensDetails,
    /// Details of the answer's tokens.
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
    /// US dollars that the chat has cost so far, this answer and background tasks included; absent where it is not known.
    /// Of the steps of one answer, Open WebUI keeps the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_cost: Option<f64>,
    /// `at least` if `chat_cost` is a lower bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_cost_is: Option<&'static str>,
}

/// Details of the prompt's tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PromptTokensDetails {
    /// Read from the prompt cache.
    pub cached_tokens: u64,
    /// Written to the prompt cache.
    pub cache_write_tokens: u64,
}

/// Details of the answer's tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CompletionTokensDetails {
    /// Thinking.
    pub reasoning_tokens: u64,
}

/// `{"error": {…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// The error.
    pub error: Error,
}

/// The error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Error {
    /// For people: the problem, its cause, and what to do.
    pub message: String,
    /// The kind of error.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The field at fault.
    pub param: Option<String>,
    /// A code for programs.
    pub code: Option<String>,
}
