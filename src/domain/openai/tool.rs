//! The tools of a request, and the choice among them (`reference/anthropic-api.md` §8.1), as they were sent.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{
    scalar, shallow,
    text_or::{TextOr, deserialize_text_or},
};

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// `function`, `custom`.
    pub kind: Option<String>,
    /// The definition of a `function` tool.
    pub function: Option<Function>,
    /// The definition of a `custom` tool.
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
        struct ToolFields {
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
            #[serde(default, deserialize_with = "shallow::deserialize")]
            parameters: Option<Value>,
            #[serde(default, deserialize_with = "shallow::deserialize")]
            input_schema: Option<Value>,
            #[serde(default, rename = "inputSchema", deserialize_with = "shallow::deserialize")]
            input_schema_camel: Option<Value>,
            #[serde(default, deserialize_with = "scalar::boolean")]
            strict: Option<bool>,
            #[serde(default)]
            cache_control: Option<Value>,
        }
        let ToolFields {
            kind,
            function,
            custom,
            name,
            description,
            parameters,
            input_schema,
            input_schema_camel,
            strict,
            cache_control,
        } = ToolFields::deserialize(deserializer)?;
        let parameters = parameters.or(input_schema).or(input_schema_camel);
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
    /// A description for the model.
    #[serde(default)]
    pub description: Option<String>,
    /// Any text, or one that fits a grammar.
    #[serde(default)]
    pub format: Option<Value>,
}

/// A function that can be called.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// At most 64 characters.
    pub name: String,
    /// A description for the model.
    pub description: Option<String>,
    /// A JSON schema, under any name that it has in a dialect.
    pub parameters: Option<Value>,
    /// Requires arguments that fit the schema.
    pub strict: Option<bool>,
    /// Anthropic's mark for prompt caching, which some clients put here.
    pub cache_control: Option<Value>,
}

impl<'de> Deserialize<'de> for Function {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(expecting = "an object with `name`, `description` and `parameters`")]
        struct FunctionFields {
            name: String,
            #[serde(default)]
            description: Option<String>,
            #[serde(default, deserialize_with = "shallow::deserialize")]
            parameters: Option<Value>,
            #[serde(default, deserialize_with = "shallow::deserialize")]
            input_schema: Option<Value>,
            #[serde(default, rename = "inputSchema", deserialize_with = "shallow::deserialize")]
            input_schema_camel: Option<Value>,
            #[serde(default, deserialize_with = "scalar::boolean")]
            strict: Option<bool>,
            #[serde(default)]
            cache_control: Option<Value>,
        }
        let FunctionFields {
            name,
            description,
            parameters,
            input_schema,
            input_schema_camel,
            strict,
            cache_control,
        } = FunctionFields::deserialize(deserializer)?;
        let parameters = parameters.or(input_schema).or(input_schema_camel);
        Ok(Self { name, description, parameters, strict, cache_control })
    }
}

/// The tools that may or must be called: a word, or an object that names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolChoice {
    /// `none`, `auto`, `required`, `function`, `custom`, `allowed_tools`.
    pub kind: String,
    /// The tool that must be called.
    pub name: Option<String>,
    /// The tools that may be called.
    pub allowed: Option<AllowedTools>,
    /// At most one call, as Anthropic says it.
    pub single: bool,
}

/// `tool_choice.allowed_tools`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(expecting = "an object with `mode` and `tools`")]
pub struct AllowedTools {
    /// `auto`, `required`.
    #[serde(default)]
    pub mode: Option<String>,
    /// The tools.
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

deserialize_text_or!(ToolChoice);

#[derive(Deserialize)]
#[serde(expecting = "an object with `type` and `function`")]
pub(super) struct ToolChoiceObject {
    #[serde(rename = "type", default, deserialize_with = "innermost_type")]
    kind: Option<String>,
    #[serde(default)]
    allowed_tools: Option<AllowedTools>,
    #[serde(default)]
    disable_parallel_tool_use: Option<bool>,
    #[serde(flatten)]
    named: NamedTool,
}

/// The type of a choice. Clients that translate one that was translated already nest it: `{"type": {"type": "auto"}}`.
fn innermost_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let mut kind = Value::deserialize(deserializer)?;
    loop {
        match kind {
            Value::Null => return Ok(None),
            Value::String(kind) => return Ok(Some(kind)),
            Value::Object(mut fields) => {
                kind = fields.shift_remove("type").unwrap_or_default();
            }
            _ => return Err(serde::de::Error::custom("is not a string")),
        }
    }
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
        Self { kind, name: None, allowed: None, single: false }
    }

    fn from_other(object: ToolChoiceObject) -> Self {
        let ToolChoiceObject { kind, allowed_tools, disable_parallel_tool_use, named } = object;
        // `function_call`, the old form, has no type.
        let kind = kind.unwrap_or_else(|| "function".to_owned());
        Self {
            kind,
            name: named.name().map(str::to_owned),
            allowed: allowed_tools,
            single: disable_parallel_tool_use == Some(true),
        }
    }
}
