//! What an OpenAI client sends (`reference/anthropic-api.md` §8.1, §8.2), as it was sent: types are checked here,
//! meaning is not. Lenient where clients in the wild are sloppy, so that only a request that nobody could
//! understand is refused here, and then with the path to the place.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{
    message::Message,
    text_or::{TextOr, deserialize_text_or},
    tool::{Function, Tool, ToolChoice},
};

/// The body of `POST /v1/chat/completions`. Every field may be null or missing.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Request {
    /// Empty if missing.
    #[serde(deserialize_with = "null_is_default")]
    pub model: String,
    /// Oldest first; empty if missing.
    #[serde(deserialize_with = "null_is_default")]
    pub messages: Vec<Message>,
    /// Whether the client wants chunks.
    pub stream: Option<bool>,
    /// Whether it wants a last chunk with the usage.
    pub stream_options: Option<StreamOptions>,
    /// The old name of the limit. A whole number, which some clients write as `100.0`.
    pub max_tokens: Option<f64>,
    /// The new name of the limit.
    pub max_completion_tokens: Option<f64>,
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// 0 to 1.
    pub top_p: Option<f64>,
    /// Where to stop.
    pub stop: Option<Stop>,
    /// How many answers.
    pub n: Option<i64>,
    /// What the model may call.
    pub tools: Option<Vec<Tool>>,
    /// What it may or must call.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may call several at once.
    pub parallel_tool_calls: Option<bool>,
    /// Text, JSON, or JSON of a schema.
    pub response_format: Option<ResponseFormat>,
    /// How hard to think.
    pub reasoning_effort: Option<String>,
    /// `auto`, `default`, `flex`, `scale`, `priority`, `fast`.
    pub service_tier: Option<String>,
    /// Who asks; the deprecated name.
    pub user: Option<String>,
    /// Who asks.
    pub safety_identifier: Option<String>,
    /// `text`, `audio`.
    pub modalities: Option<Vec<String>>,
    /// How an answer in sound should be.
    pub audio: Option<Value>,
    /// Whether to tell the probabilities of tokens.
    pub logprobs: Option<bool>,
    /// Of how many tokens.
    pub top_logprobs: Option<f64>,
    /// Search the web.
    pub web_search_options: Option<Value>,
    /// The old form of `tools`.
    pub functions: Option<Vec<Function>>,
    /// The old form of `tool_choice`.
    pub function_call: Option<ToolChoice>,
    /// No counterpart at Anthropic.
    pub frequency_penalty: Option<f64>,
    /// No counterpart at Anthropic.
    pub presence_penalty: Option<f64>,
    /// No counterpart at Anthropic.
    pub logit_bias: Option<Value>,
    /// No counterpart at Anthropic.
    pub seed: Option<Value>,
    /// No counterpart at Anthropic.
    pub store: Option<Value>,
    /// Labels for OpenAI's dashboard.
    pub metadata: Option<Value>,
    /// What the answer will probably be.
    pub prediction: Option<Value>,
    /// `low`, `medium`, `high`.
    pub verbosity: Option<String>,
    /// Prompt caching as OpenAI does it.
    pub prompt_cache_key: Option<Value>,
    /// Prompt caching as OpenAI does it.
    pub prompt_cache_options: Option<Value>,
    /// Prompt caching as OpenAI does it.
    pub prompt_cache_retention: Option<Value>,
    /// No counterpart at Anthropic.
    pub moderation: Option<Value>,
    /// Everything else: `top_k`, `min_p`, `num_ctx`, …
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

impl Request {
    /// Who asks, as the body says it: `safety_identifier` is the newer word for `user`. With the field's name.
    pub fn end_user(&self) -> Option<(&'static str, &str)> {
        let fields = [("safety_identifier", &self.safety_identifier), ("user", &self.user)];
        let mut given = fields.into_iter().filter_map(|(field, id)| Some((field, id.as_deref()?)));
        given.find(|(_, id)| !id.trim().is_empty())
    }
}

/// `stream_options`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct StreamOptions {
    /// Whether the last chunk before `[DONE]` has the usage.
    pub include_usage: Option<bool>,
}

/// `response_format`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(expecting = "an object with `type`")]
pub struct ResponseFormat {
    /// `text`, `json_object`, `json_schema`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Of `json_schema`.
    #[serde(default)]
    pub json_schema: Option<Value>,
}

/// Where to stop: one text or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop(pub Vec<String>);

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

deserialize_text_or!(Stop);

impl TextOr<'_> for Stop {
    type Other = Vec<String>;
    const EXPECTED: &'static str = "a string or an array of strings";

    fn from_text(text: String) -> Self {
        Self(vec![text])
    }

    fn from_other(texts: Vec<String>) -> Self {
        Self(texts)
    }
}
