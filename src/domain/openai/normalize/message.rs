//! Messages of all dialects: roles, items of OpenAI's Responses, and messages that are several in OpenAI's form.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{
    changes::Changes,
    item::{Fields, call, is_set, take_text},
    part::{Piece, Pieces},
};
use crate::domain::openai::{
    message::{Content, Message, Part, Role, ToolCall},
    parse_error::{ParseError, located_at},
};

/// The messages so far.
#[derive(Debug)]
pub(super) struct Messages<'a> {
    changes: &'a mut Changes,
    written: Vec<Message>,
}

impl<'a> Messages<'a> {
    pub(super) fn new(changes: &'a mut Changes) -> Self {
        Self { changes, written: Vec::new() }
    }

    pub(super) fn into_vec(self) -> Vec<Message> {
        self.written
    }

    /// Adds instructions that stand in a field of the request, unless the messages begin with the same.
    pub(super) fn instructions(
        &mut self,
        field: &str,
        text: Value,
        messages: &[Value],
    ) -> Result<(), ParseError> {
        let is_same = messages.first().is_some_and(|first| {
            let is_instruction =
                first.get("role").is_some_and(|role| role == "system" || role == "developer");
            is_instruction && first.get("content") == Some(&text)
        });
        if is_same {
            self.changes.add(field, "is left out, because the messages begin with the same");
            return Ok(());
        }
        self.changes.add(field, "is sent as instructions, like a message `system`");
        let base = Message { role: Role::System, ..Message::default() };
        self.split(base, text, field.to_owned(), field.to_owned())
    }

    /// Adds one message of the client's, which stands at `path`.
    pub(super) fn add(&mut self, message: Value, path: String) -> Result<(), ParseError> {
        let mut fields = match message {
            Value::Object(fields) => fields,
            Value::Null => {
                self.changes.add(path, "a message that is null is left out");
                return Ok(());
            }
            other => {
                // Refused in the words of any other body.
                return serde_path_to_error::deserialize(other)
                    .map(|message| self.written.push(message))
                    .map_err(|error| located_at(&path, error));
            }
        };
        let role = match fields.get("role") {
            Some(Value::String(given)) => {
                let (role, is_odd) = role(given);
                if is_odd {
                    self.changes
                        .add(format!("{path}.role"), "a role is read as the one of OpenAI's");
                }
                role
            }
            None | Some(Value::Null) => match self.item(&mut fields, &path)? {
                Some(role) => Some(role),
                None => return Ok(()),
            },
            Some(_) => None,
        };
        if let Some(role) = role {
            fields.insert("role".to_owned(), role.into());
        }
        for name in ["tool_call_id", "name"] {
            if fields.get(name).is_some_and(Value::is_number) {
                self.changes.add(format!("{path}.{name}"), "a number is read as a text");
                let text = take_text(&mut fields, &[name]).unwrap_or_default();
                fields.insert(name.to_owned(), text.into());
            }
        }
        let content = fields.shift_remove("content").unwrap_or_default();
        let calls = self.calls(&mut fields, &path)?;
        let base: Message = serde_path_to_error::deserialize(Value::Object(fields))
            .map_err(|error| located_at(&path, error))?;
        self.split(Message { tool_calls: calls, ..base }, content, format!("{path}.content"), path)
    }

    /// An item of OpenAI's Responses, or a message without a role: adds it, or returns the role that it must have.
    fn item(
        &mut self,
        fields: &mut Fields,
        path: &str,
    ) -> Result<Option<&'static str>, ParseError> {
        let missing = || ParseError::WrongShape {
            param: format!("{path}.role"),
            reason: "is missing".to_owned(),
        };
        let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let read = "an item without a role is read as the message that it means";
        match kind.as_str() {
            "function_call" | "tool_use" | "custom_tool_call" => {
                self.changes.add(path, read);
                let call = call(std::mem::take(fields), path.to_owned())?;
                self.push_call(call, path);
                Ok(None)
            }
            "function_call_output" | "tool_result" | "custom_tool_call_output" => {
                self.changes.add(path, read);
                let fields = std::mem::take(fields);
                let (role, found) = (Role::Tool, Vec::new());
                let mut pieces = Pieces { role, changes: self.changes, found };
                let result = pieces.result(fields, path.to_owned(), 0)?;
                self.written.push(result);
                Ok(None)
            }
            "reasoning" | "item_reference" => {
                let what = "items of OpenAI's Responses that mean nothing to Claude are left out";
                self.changes.add(path, what);
                Ok(None)
            }
            kind => {
                let by_field = [
                    ("tool_calls", "assistant"),
                    ("tool_call_id", "tool"),
                    ("function_call", "assistant"),
                ];
                let told = by_field
                    .into_iter()
                    .find(|(field, _)| fields.get(*field).is_some_and(is_set))
                    .map(|(_, role)| role);
                // Libraries write the role as the type.
                let role = role(kind).0.or(told).ok_or_else(missing)?;
                self.changes.add(path, read);
                Ok(Some(role))
            }
        }
    }

    /// Adds a call to the message of the assistant before it: in Responses, each is an item of its own.
    fn push_call(&mut self, call: ToolCall, path: &str) {
        match self.written.last_mut() {
            Some(Message { role: Role::Assistant, tool_calls, .. }) => {
                tool_calls.get_or_insert_default().push(call);
            }
            _ => self.written.push(Message {
                role: Role::Assistant,
                tool_calls: Some(vec![call]),
                origin: Some(path.to_owned()),
                ..Message::default()
            }),
        }
    }

    /// Takes out `tool_calls`, with calls whose fields do not stand in `function`.
    fn calls(
        &mut self,
        fields: &mut Fields,
        path: &str,
    ) -> Result<Option<Vec<ToolCall>>, ParseError> {
        let given = match fields.shift_remove("tool_calls") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Array(items)) => items,
            Some(one @ Value::Object(_)) => {
                self.changes.add(format!("{path}.tool_calls"), "one call is read as a list of one");
                vec![one]
            }
            Some(other) => {
                // Refused in the words of any other body.
                return serde_path_to_error::deserialize(other)
                    .map_err(|error| located_at(&format!("{path}.tool_calls"), error));
            }
        };
        let mut calls = Vec::with_capacity(given.len());
        for (at, given) in given.into_iter().enumerate() {
            let path = format!("{path}.tool_calls[{at}]");
            let is_flat = |fields: &Fields| {
                !["function", "custom"].iter().any(|name| fields.get(*name).is_some_and(is_set))
                    && ["name", "toolName"].iter().any(|name| fields.contains_key(*name))
            };
            let mut parsed: ToolCall = match given {
                Value::Object(fields) if is_flat(&fields) => {
                    self.changes.add(&*path, "a call without `function` is read by its own fields");
                    call(fields, path.clone())?
                }
                Value::Object(mut fields) => {
                    if fields.get("id").is_some_and(Value::is_number) {
                        self.changes.add(format!("{path}.id"), "a number is read as a text");
                        let id = take_text(&mut fields, &["id"]).unwrap_or_default();
                        fields.insert("id".to_owned(), id.into());
                    }
                    serde_path_to_error::deserialize(Value::Object(fields))
                        .map_err(|error| located_at(&path, error))?
                }
                other => serde_path_to_error::deserialize(other)
                    .map_err(|error| located_at(&path, error))?,
            };
            parsed.origin = Some(path);
            calls.push(parsed);
        }
        Ok(Some(calls))
    }

    /// Adds a message, whose content stands at `place`, as one or several: calls belong to the assistant, and each
    /// result is a message.
    fn split(
        &mut self,
        base: Message,
        content: Value,
        place: String,
        path: String,
    ) -> Result<(), ParseError> {
        let is_result = matches!(base.role, Role::Tool | Role::Function);
        if matches!(content, Value::Number(_) | Value::Bool(_)) && !is_result {
            // Refused in the words of any other body.
            return serde_path_to_error::deserialize(json!({ "role": "user", "content": content }))
                .map(|message| self.written.push(message))
                .map_err(|error| located_at(&path, error));
        }
        let base = Message { origin: Some(path), ..base };
        if let Value::String(text) = content {
            self.written.push(Message { content: Some(Content::Text(text)), ..base });
            return Ok(());
        }
        let is_null = content.is_null();
        if content.get("type").is_some() {
            self.changes.add(&*place, "one content part is read as a list of one");
        }
        let (role, found) = (base.role, Vec::new());
        let mut pieces = Pieces { role, changes: self.changes, found };
        pieces.content(content, place, 0)?;
        let pieces = pieces.found;
        let moves = |piece: &Piece| !matches!(piece, Piece::Content(_));
        if !pieces.iter().any(moves) {
            let parts = pieces.into_iter().filter_map(part).collect();
            let content = (!is_null).then_some(Content::Parts(parts));
            self.written.push(Message { content, ..base });
        } else if role == Role::Assistant {
            self.assistant(base, pieces);
        } else {
            self.other(base, pieces);
        }
        Ok(())
    }

    /// Adds a turn of the assistant. A result in its middle divides it.
    fn assistant(&mut self, base: Message, pieces: Vec<Piece>) {
        let origin = base.origin.clone();
        let following =
            || Message { role: Role::Assistant, origin: origin.clone(), ..Message::default() };
        let given = base.tool_calls.iter().flatten();
        let mut called: HashSet<String> = given.filter_map(|call| call.id.clone()).collect();
        let keeps_thinking = base.thinking_blocks.as_ref().is_some_and(is_set);
        let (mut turn, mut parts, mut thinking) = (base, Vec::new(), Vec::new());
        for piece in pieces {
            match piece {
                Piece::Content(part) => parts.push(*part),
                Piece::Thinking(block) if !keeps_thinking => thinking.push(block),
                Piece::Thinking(_) => {}
                // Some clients say each call twice, once in either form.
                Piece::Call(call) => {
                    if call.id.as_ref().is_none_or(|id| called.insert(id.clone())) {
                        turn.tool_calls.get_or_insert_default().push(call);
                    }
                }
                Piece::Result(result) => {
                    let done = std::mem::replace(&mut turn, following());
                    self.turn(done, &mut parts, &mut thinking);
                    self.written.push(*result);
                }
            }
        }
        self.turn(turn, &mut parts, &mut thinking);
    }

    fn turn(&mut self, mut turn: Message, parts: &mut Vec<Part>, thinking: &mut Vec<Value>) {
        let (parts, thinking) = (std::mem::take(parts), std::mem::take(thinking));
        let says_something = !parts.is_empty()
            || !thinking.is_empty()
            || turn.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty())
            || turn.function_call.is_some()
            || turn.refusal.is_some();
        if !thinking.is_empty() {
            turn.thinking_blocks = Some(Value::Array(thinking));
        }
        if says_something {
            self.written.push(Message { content: Some(Content::Parts(parts)), ..turn });
        }
    }

    /// Adds a message that is not the assistant's: the calls in it first, then results, then the rest.
    fn other(&mut self, base: Message, pieces: Vec<Piece>) {
        let (mut parts, mut results): (Vec<Part>, Vec<Message>) = (Vec::new(), Vec::new());
        for piece in pieces {
            match piece {
                Piece::Content(part) => parts.push(*part),
                Piece::Call(call) => {
                    let path = base.origin.clone().unwrap_or_default();
                    self.push_call(call, &path);
                }
                Piece::Result(result) => results.push(*result),
                Piece::Thinking(_) => {}
            }
        }
        // A message `tool` whose content is the result of the same call.
        let mut same = results.iter_mut().filter(|result| {
            base.tool_call_id.is_some() && result.tool_call_id == base.tool_call_id
        });
        if let Some(Message { content: Some(Content::Parts(inner)), .. }) = same.next() {
            inner.append(&mut parts);
        }
        self.written.append(&mut results);
        if !parts.is_empty() {
            self.written.push(Message { content: Some(Content::Parts(parts)), ..base });
        }
    }
}

fn part(piece: Piece) -> Option<Part> {
    match piece {
        Piece::Content(part) => Some(*part),
        _ => None,
    }
}

/// OpenAI's role for a client's, and true if it is written otherwise; `None` for one without a meaning.
fn role(given: &str) -> (Option<&'static str>, bool) {
    let role = match &*given.trim().to_lowercase() {
        "user" | "human" => "user",
        "assistant" | "model" | "ai" | "bot" => "assistant",
        "system" => "system",
        "developer" => "developer",
        "tool" | "tool_result" => "tool",
        "function" => "function",
        _ => return (None, false),
    };
    (Some(role), role != given)
}
