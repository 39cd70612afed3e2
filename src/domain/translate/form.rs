//! The form in which a client wants its answer: the part of a request that Claude does not see.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Value;

use super::tools::PropertyNames;
use crate::domain::json::JsonString;

/// The form in which a client wants its answer. Two clients that share a recording may want it in two forms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    /// Tools that have another name upstream, or properties that have, or that are not functions; by their name upstream.
    pub tools: BTreeMap<String, ToolForm>,
    /// The field for calls.
    pub calls: Calls,
    /// The treatment of a code fence around the text.
    pub code_fence: CodeFence,
    /// The place for a refusal.
    pub refusal: Refusal,
    /// Stop sequences that Claude does not take; all are blank.
    pub stops: Vec<String>,
}

/// A tool as the client defined it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolForm {
    /// The client's name for it.
    pub name: String,
    /// The client's kind of tool.
    pub kind: ToolKind,
    /// Properties that have another name upstream.
    pub properties: PropertyNames,
}

impl Form {
    /// Arguments of the client's as they go upstream; `tool` is the name upstream.
    pub(super) fn upstream_arguments<'a>(&self, tool: &str, arguments: &'a str) -> Cow<'a, str> {
        match self.tools.get(tool) {
            Some(ToolForm { kind: ToolKind::Function, properties, .. }) => {
                properties.upstream(arguments)
            }
            Some(ToolForm { kind: ToolKind::Custom, .. }) | None => Cow::Borrowed(arguments),
        }
    }
}

/// The kind of tool that a client defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolKind {
    /// Its arguments are an object.
    Function,
    /// Its input is a text, which goes upstream as the one property [`CUSTOM_INPUT`].
    Custom,
}

/// The property that holds the input of a custom tool.
pub(super) const CUSTOM_INPUT: &str = "input";

/// The field for calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Calls {
    /// `tool_calls`.
    #[default]
    ToolCalls,
    /// The deprecated `function_call`: the first call only.
    FunctionCall,
}

/// The treatment of a Markdown code fence around the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CodeFence {
    /// Text is passed on unchanged.
    #[default]
    Keep,
    /// A fence that Claude puts around JSON is removed.
    Strip,
}

/// The place for a refusal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Refusal {
    /// The field `refusal`.
    #[default]
    Field,
    /// The text as well, for a client that shows nothing else.
    Text,
}

/// The input of a custom tool, from the arguments that hold it. Arguments that were cut short are returned as they are.
pub(super) fn custom_input(arguments: &JsonString) -> String {
    let text = arguments.decode();
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
