//! Requests that an OpenAI client sends (`reference/anthropic-api.md` §8.1, §8.2). Types are checked here, meaning is
//! not. Parsing is lenient where clients are sloppy: only a request that cannot be understood is refused, with the path
//! to the place.

use std::collections::BTreeMap;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, Unexpected},
};
use serde_json::{Map, Value};

use super::{
    message::Message,
    scalar::{boolean, number, whole},
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
    /// Asks for a stream of chunks.
    #[serde(deserialize_with = "boolean")]
    pub stream: Option<bool>,
    /// Asks for a last chunk with usage.
    pub stream_options: Option<StreamOptions>,
    /// The old name of the limit. A whole number, which some clients write as `100.0`.
    #[serde(deserialize_with = "number")]
    pub max_tokens: Option<f64>,
    /// The new name of the limit.
    #[serde(deserialize_with = "number")]
    pub max_completion_tokens: Option<f64>,
    /// 0 to 2.
    #[serde(deserialize_with = "number")]
    pub temperature: Option<f64>,
    /// 0 to 1.
    #[serde(deserialize_with = "number")]
    pub top_p: Option<f64>,
    /// Stop sequences.
    pub stop: Option<Stop>,
    /// Number of answers.
    #[serde(deserialize_with = "whole")]
    pub n: Option<i64>,
    /// Tools that the model may call.
    pub tools: Option<Vec<Tool>>,
    /// The tools that it may or must call.
    #[serde(deserialize_with = "blank_is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// Allows several calls in one answer.
    #[serde(deserialize_with = "boolean")]
    pub parallel_tool_calls: Option<bool>,
    /// Text, JSON, or JSON of a schema.
    pub response_format: Option<ResponseFormat>,
    /// The effort of thinking.
    pub reasoning_effort: Option<String>,
    /// `auto`, `default`, `flex`, `scale`, `priority`, `fast`.
    pub service_tier: Option<String>,
    /// The end user; deprecated.
    #[serde(deserialize_with = "name")]
    pub user: Option<String>,
    /// The end user.
    #[serde(deserialize_with = "name")]
    pub safety_identifier: Option<String>,
    /// `text`, `audio`.
    pub modalities: Option<Vec<String>>,
    /// Options for an answer in audio.
    pub audio: Option<Value>,
    /// Asks for the probabilities of tokens.
    #[serde(deserialize_with = "boolean")]
    pub logprobs: Option<bool>,
    /// The number of tokens with probabilities.
    #[serde(deserialize_with = "number")]
    pub top_logprobs: Option<f64>,
    /// Search the web.
    pub web_search_options: Option<Value>,
    /// The old form of `tools`.
    pub functions: Option<Vec<Function>>,
    /// The old form of `tool_choice`.
    #[serde(deserialize_with = "blank_is_none")]
    pub function_call: Option<ToolChoice>,
    /// Has no counterpart at Anthropic.
    #[serde(deserialize_with = "number")]
    pub frequency_penalty: Option<f64>,
    /// Has no counterpart at Anthropic.
    #[serde(deserialize_with = "number")]
    pub presence_penalty: Option<f64>,
    /// Has no counterpart at Anthropic.
    pub logit_bias: Option<Value>,
    /// Has no counterpart at Anthropic.
    pub seed: Option<Value>,
    /// Has no counterpart at Anthropic.
    pub store: Option<Value>,
    /// Labels for OpenAI's dashboard.
    pub metadata: Option<Value>,
    /// The predicted answer.
    pub prediction: Option<Value>,
    /// `low`, `medium`, `high`.
    pub verbosity: Option<String>,
    /// Prompt caching as OpenAI does it.
    pub prompt_cache_key: Option<Value>,
    /// Prompt caching as OpenAI does it.
    pub prompt_cache_options: Option<Value>,
    /// Prompt caching as OpenAI does it.
    pub prompt_cache_retention: Option<Value>,
    /// Has no counterpart at Anthropic.
    pub moderation: Option<Value>,
    /// Everything else: `top_k`, `min_p`, `num_ctx`, …
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
    /// Changes that put it into OpenAI's dialect.
    #[serde(skip)]
    pub changes: Vec<Change>,
}

impl Request {
    /// The end user that the body names, and the name of the field: `safety_identifier`, or the older `user`.
    pub fn end_user(&self) -> Option<(&'static str, &str)> {
        let fields = [("safety_identifier", &self.safety_identifier), ("user", &self.user)];
        let mut given = fields.into_iter().filter_map(|(field, id)| Some((field, id.as_deref()?)));
        given.find(|(_, id)| !id.trim_matches([' ', '\t']).is_empty())
    }
}

/// A change that put a part of a request into OpenAI's dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The path in the client's request.
    pub field: String,
    /// The change.
    pub what: &'static str,
}

/// `stream_options`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct StreamOptions {
    /// Asks for usage in the last chunk before `[DONE]`.
    #[serde(deserialize_with = "boolean")]
    pub include_usage: Option<bool>,
}

/// `response_format`: an object, or its type alone.
#[derive(Debug, Clone, PartialEq)]
pub struct ResponseFormat {
    /// `text`, `json_object`, `json_schema`; empty if missing.
    pub kind: String,
    /// Only for `json_schema`.
    pub json_schema: Option<Value>,
    /// Other fields: `schema` and what describes it, as the Responses API and other engines write them.
    pub flat: Map<String, Value>,
}

/// Stop sequences: one text or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop(pub Vec<String>);

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A choice that is not blank.
fn blank_is_none<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<ToolChoice>, D::Error> {
    let choice = Option::<ToolChoice>::deserialize(deserializer)?;
    Ok(choice.filter(|choice| !choice.kind.trim().is_empty()))
}

/// A name, which may be a number.
fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let unexpected = match Value::deserialize(deserializer)? {
        Value::Null => return Ok(None),
        Value::String(text) => return Ok(Some(text)),
        Value::Number(number) => return Ok(Some(number.to_string())),
        Value::Bool(value) => Unexpected::Bool(value),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    };
    Err(D::Error::invalid_type(unexpected, &"a string"))
}

deserialize_text_or!(Stop, ResponseFormat);

#[derive(Deserialize)]
#[serde(expecting = "an object with `type`")]
pub(super) struct ResponseFormatObject {
    #[serde(default, rename = "type", deserialize_with = "null_is_default")]
    kind: String,
    #[serde(default)]
    json_schema: Option<Value>,
    #[serde(flatten)]
    flat: Map<String, Value>,
}

impl TextOr<'_> for ResponseFormat {
    type Other = ResponseFormatObject;
    const EXPECTED: &'static str = "an object with `type`";

    fn from_text(kind: String) -> Self {
        Self { kind, json_schema: None, flat: Map::new() }
    }

    fn from_other(object: ResponseFormatObject) -> Self {
        let ResponseFormatObject { kind, json_schema, flat } = object;
        Self { kind, json_schema, flat }
    }
}

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
