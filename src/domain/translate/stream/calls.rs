//! Calls of the client's tools in a stream.

use std::{collections::HashMap, sync::Arc};

use serde_json::value::RawValue;

use super::{
    super::form::{self, Form, ToolKind},
    chunk::Envelope,
};
use crate::domain::{
    json::{JsonString, KeyRewriter},
    openai::{self, ResponseFunctionCall, ResponseToolCall},
};

/// The block index of what came whole with `message_start`: no later event can mean it.
pub(super) const AT_THE_START: usize = usize::MAX;

/// The calls of an answer. Their numbers are dense, as OpenAI's are; Anthropic counts all blocks.
#[derive(Debug)]
pub(super) struct StreamedCalls {
    form: Arc<Form>,
    calls: Vec<StreamedCall>,
    /// The numbers of the calls by the positions of their blocks; of one position, the last.
    by_block: HashMap<usize, usize>,
}

#[derive(Debug)]
struct StreamedCall {
    has_arguments: bool,
    /// The input of a custom tool is told when it is whole: it is the text within the JSON.
    custom: Option<JsonString>,
    /// Gives properties their original names, where they have others upstream.
    keys: Option<KeyRewriter>,
}

impl StreamedCalls {
    pub(super) fn new(form: Arc<Form>) -> Self {
        Self { form, calls: Vec::new(), by_block: HashMap::new() }
    }

    /// Number of calls.
    pub(super) const fn len(&self) -> usize {
        self.calls.len()
    }

    /// Begins a call, with the arguments as far as they came with its block.
    pub(super) fn start(
        &mut self,
        envelope: &Envelope,
        block: usize,
        id: String,
        name: String,
        given: Option<JsonString>,
        out: &mut Vec<u8>,
    ) {
        let tool = self.form.tools.get(&name);
        let name = tool.map_or(name, |tool| tool.name.clone());
        let is_custom = tool.is_some_and(|tool| tool.kind == ToolKind::Custom);
        let mut keys = tool.and_then(|tool| tool.properties.rewriter());
        let has_arguments = given.is_some();
        let mut given = given.unwrap_or_default();
        if let Some(keys) = &mut keys {
            given = keys.push(&given);
        }
        let (custom, arguments) =
            if is_custom { (Some(given), JsonString::default()) } else { (None, given) };
        let index = self.calls.len();
        match self.form.calls {
            form::Calls::FunctionCall if index > 0 => {}
            form::Calls::FunctionCall => {
                let function_call = ResponseFunctionCall { name, arguments };
                envelope.json(&openai::FunctionCallDelta { function_call }, out);
            }
            form::Calls::ToolCalls => {
                let call = if is_custom {
                    ResponseToolCall::custom(id, name, String::new())
                } else {
                    ResponseToolCall::function(id, name, arguments)
                };
                envelope.json(&openai::ToolCallsDelta::of(index, call), out);
            }
        }
        self.by_block.insert(block, index);
        self.calls.push(StreamedCall { has_arguments, custom, keys });
    }

    /// Takes more of the arguments of the call in a block. A block that is no call of the client's is one of a tool that
    /// Anthropic runs.
    pub(super) fn push(
        &mut self,
        envelope: &Envelope,
        block: usize,
        json: &RawValue,
        out: &mut Vec<u8>,
    ) {
        let Some(number) = self.position(block) else { return };
        let call = &mut self.calls[number];
        call.has_arguments = true;
        match (&mut call.custom, &mut call.keys) {
            (Some(input), _) => input.push(json),
            (None, Some(keys)) => {
                let mut piece = JsonString::default();
                piece.push(json);
                let renamed = keys.push(&piece);
                self.tell_renamed(envelope, number, &renamed, out);
            }
            (None, None) => self.tell(envelope, number, json.get(), out),
        }
    }

    /// Ends the call in a block, if there is one.
    pub(super) fn end(&mut self, envelope: &Envelope, block: usize, out: &mut Vec<u8>) {
        if let Some(number) = self.position(block) {
            self.end_one(envelope, number, out);
        }
    }

    /// Ends all calls: a block that lacks its end ends with the answer.
    pub(super) fn end_all(&mut self, envelope: &Envelope, out: &mut Vec<u8>) {
        (0..self.calls.len()).for_each(|number| self.end_one(envelope, number, out));
    }

    /// Forgets the positions of the blocks: after a pause they are counted from zero again.
    pub(super) fn forget_blocks(&mut self) {
        self.by_block.clear();
    }

    fn position(&self, block: usize) -> Option<usize> {
        self.by_block.get(&block).copied()
    }

    fn end_one(&mut self, envelope: &Envelope, number: usize, out: &mut Vec<u8>) {
        if let Some(keys) = &mut self.calls[number].keys {
            let rest = keys.finish();
            self.tell_renamed(envelope, number, &rest, out);
        }
        let call = &mut self.calls[number];
        if let Some(input) = call.custom.take() {
            call.has_arguments = true;
            let input = form::custom_input(&input);
            envelope.json(&openai::CustomInputDelta::of(number, input), out);
        } else if !call.has_arguments {
            // A call without arguments has had none to send: `{}` is what the client can parse.
            call.has_arguments = true;
            self.tell(envelope, number, r#""{}""#, out);
        }
    }

    fn tell_renamed(
        &self,
        envelope: &Envelope,
        number: usize,
        arguments: &JsonString,
        out: &mut Vec<u8>,
    ) {
        if !arguments.is_empty() {
            self.tell(envelope, number, &arguments.to_string(), out);
        }
    }

    fn tell(&self, envelope: &Envelope, number: usize, literal: &str, out: &mut Vec<u8>) {
        match self.form.calls {
            form::Calls::ToolCalls => envelope.arguments(number, literal, out),
            form::Calls::FunctionCall if number > 0 => {}
            form::Calls::FunctionCall => envelope.delta(out, |out| {
                out.extend_from_slice(br#"{"function_call":{"arguments":"#);
                out.extend_from_slice(literal.as_bytes());
                out.extend_from_slice(b"}}");
            }),
        }
    }
}
