//! Deltas of a stream that are rare enough to be built before they are written (`reference/anthropic-api.md` §8.3).

use serde::Serialize;

use super::response::{Annotation, ReasoningDetail, ResponseFunctionCall, ResponseToolCall};

/// Thinking.
#[derive(Debug, Serialize)]
pub struct ReasoningDelta<'a> {
    /// A part of one block.
    pub reasoning_details: [&'a ReasoningDetail; 1],
}

/// Sources of the text.
#[derive(Debug, Serialize)]
pub struct AnnotationsDelta {
    /// In order.
    pub annotations: Vec<Annotation>,
}

/// A call begins, in the old form.
#[derive(Debug, Serialize)]
pub struct FunctionCallDelta {
    /// Its name.
    pub function_call: ResponseFunctionCall,
}

/// A call begins.
#[derive(Debug, Serialize)]
pub struct ToolCallsDelta {
    tool_calls: [Indexed<ResponseToolCall>; 1],
}

impl ToolCallsDelta {
    /// The call number `index`.
    pub fn of(index: usize, call: ResponseToolCall) -> Self {
        Self { tool_calls: [Indexed { index, more: call }] }
    }
}

/// The input of a custom tool.
#[derive(Debug, Serialize)]
pub struct CustomInputDelta {
    tool_calls: [Indexed<Custom>; 1],
}

impl CustomInputDelta {
    /// The input of the call number `index`.
    pub fn of(index: usize, input: String) -> Self {
        Self { tool_calls: [Indexed { index, more: Custom { custom: Input { input } } }] }
    }
}

#[derive(Debug, Serialize)]
struct Indexed<T> {
    index: usize,
    #[serde(flatten)]
    more: T,
}

#[derive(Debug, Serialize)]
struct Custom {
    custom: Input,
}

#[derive(Debug, Serialize)]
struct Input {
    input: String,
}
