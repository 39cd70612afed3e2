//! The form that a client wants its answer in: what its request says of the answer, and Claude is not told.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::json::JsonString;

/// How an answer is to be written for the client that asked. Two clients that share an answer may want it in two forms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    /// Tools that are not called by the client's own name, or not as functions; by their name upstream.
    pub tools: BTreeMap<String, ToolForm>,
    /// How calls are told.
    pub calls: Calls,
    /// How text is told.
    pub text: Text,
    /// How a refusal is told.
    pub refusal: Refusal,
}

/// A tool as the client knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolForm {
    /// The client's name for it.
    pub name: String,
    /// What kind of tool it is for the client.
    pub kind: ToolKind,
}

/// What kind of tool the client defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolKind {
    /// Its arguments are an object.
    Function,
    /// Its input is a text, which is sent as the one property [`CUSTOM_INPUT`].
    Custom,
}

/// The property that holds the input of a custom tool.
pub(super) const CUSTOM_INPUT: &str = "input";

/// How calls are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Calls {
    /// In `tool_calls`.
    #[default]
    ToolCalls,
    /// In `function_call`, as it was before there were tools: the first one only.
    FunctionCall,
}

/// How text is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Text {
    /// As it comes.
    #[default]
    AsItComes,
    /// Without the code fence that Claude may put around JSON.
    Unfenced,
}

/// How a refusal is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Refusal {
    /// In `refusal`.
    #[default]
    Field,
    /// As text too, for a client that shows nothing else.
    Text,
}

/// The input of a custom tool, out of the arguments that hold it. Arguments that were cut short are told as they are.
pub(super) fn custom_input(arguments: &JsonString) -> String {
    let text = arguments.decode().unwrap_or_default();
    match serde_json::from_str::<Value>(&text) {
        Ok(Value::Object(object)) => match object.get(CUSTOM_INPUT) {
            Some(Value::String(input)) => input.clone(),
            Some(other) => other.to_string(),
            None if object.is_empty() => String::new(),
            None => text,
        },
        _ => text,
    }
}
