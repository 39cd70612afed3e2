//! What an OpenAI client sends (`reference/anthropic-api.md` §8.1, §8.2), as it was sent: types are checked here,
//! meaning is not. Lenient where clients in the wild are sloppy, so that only a request that nobody could
//! understand is refused here, and then with the path to the place.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::text_or::{TextOr, deserialize_text_or};

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

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// `function`, `custom`.
    pub kind: Option<String>,
    /// Of a `function` tool.
    pub function: Option<Function>,
    /// Of a `custom` tool.
    pub custom: Option<CustomTool>,
    /// A function whose fields stand in the tool itself, as Anthropic writes it.
    pub flat: Option<Function>,
    /// Anthropic's mark for prompt caching, which some clients send.
    pub cache_control: Option<Value>,
}

impl<'de> Deserialize<'de> for Tool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(expecting = "a tool, which is an object with `type` and `function`")]
        struct Fields {
            #[serde(default, rename = "type")]
            kind: Option<String>,
            #[serde(default)]
            function: Option<Function>,
            #[serde(default)]
            custom: Option<CustomTool>,
            #[serde(default)]
            name: Option<String>,
            #[serde(default)]
            description: Option<String>,
            #[serde(default, alias = "input_schema")]
            parameters: Option<Value>,
            #[serde(default)]
            strict: Option<bool>,
            #[serde(default)]
            cache_control: Option<Value>,
        }
        let Fields { kind, function, custom, name, description, parameters, strict, cache_control } =
            Fields::deserialize(deserializer)?;
        let flat = name.map(|name| Function {
            name,
            description,
            parameters,
            strict,
            cache_control: None,
        });
        Ok(Self { kind, function, custom, flat, cache_control })
    }
}

/// A tool whose input is a text.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(expecting = "an object with `name`, `description` and `format`")]
pub struct CustomTool {
    /// At most 64 characters.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Any text, or one that fits a grammar.
    #[serde(default)]
    pub format: Option<Value>,
}

/// What can be called.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(expecting = "an object with `name`, `description` and `parameters`")]
pub struct Function {
    /// At most 64 characters.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// A JSON schema.
    #[serde(default)]
    pub parameters: Option<Value>,
    /// Whether arguments must fit the schema.
    #[serde(default)]
    pub strict: Option<bool>,
    /// Anthropic's mark for prompt caching, which some clients put here.
    #[serde(default)]
    pub cache_control: Option<Value>,
}

/// Which tools may or must be called: a word, or an object that names some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolChoice {
    /// `none`, `auto`, `required`, `function`, `custom`, `allowed_tools`.
    pub kind: String,
    /// The tool that must be called.
    pub name: Option<String>,
    /// Those that may be called.
    pub allowed: Option<AllowedTools>,
}

/// `tool_choice.allowed_tools`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(expecting = "an object with `mode` and `tools`")]
pub struct AllowedTools {
    /// `auto`, `required`.
    #[serde(default)]
    pub mode: Option<String>,
    /// Which ones.
    #[serde(default)]
    pub tools: Vec<NamedTool>,
}

/// A tool by its name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(expecting = "an object with `type` and `function`")]
pub struct NamedTool {
    #[serde(default)]
    function: Option<ToolName>,
    #[serde(default)]
    custom: Option<ToolName>,
    #[serde(default)]
    name: Option<String>,
}

impl NamedTool {
    /// Its name, wherever it stands.
    pub fn name(&self) -> Option<&str> {
        let named = self.function.as_ref().or(self.custom.as_ref());
        named.map(|tool| &*tool.name).or(self.name.as_deref())
    }
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

deserialize_text_or!(Content, Stop, ImageUrl, ToolChoice);

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

#[derive(Deserialize)]
#[serde(expecting = "an object with `type` and `function`")]
pub(super) struct ToolChoiceObject {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    allowed_tools: Option<AllowedTools>,
    #[serde(flatten)]
    named: NamedTool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(expecting = "an object with `name`")]
struct ToolName {
    name: String,
}

impl TextOr<'_> for ToolChoice {
    type Other = ToolChoiceObject;
    const EXPECTED: &'static str = "a string or an object with `type` and `function`";

    fn from_text(kind: String) -> Self {
        Self { kind, name: None, allowed: None }
    }

    fn from_other(ToolChoiceObject { kind, allowed_tools, named }: ToolChoiceObject) -> Self {
        // `function_call`, the old form, has no type.
        let kind = kind.unwrap_or_else(|| "function".to_owned());
        Self { kind, name: named.name().map(str::to_owned), allowed: allowed_tools }
    }
}
