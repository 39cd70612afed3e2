//! Content parts of all dialects, in one table: what each becomes, by its type.

use serde_json::Value;

use super::{
    changes::Changes,
    item::{Fields, call, called_by, is_set, take_first, take_text},
    media,
};
use crate::domain::openai::{
    message::{Content, Message, Part, Role, ToolCall},
    parse_error::{ParseError, located_at},
};

/// Maximum depth of lists and results within each other.
const DEEPEST: usize = 8;
/// The change of content at a greater depth.
const TOO_DEEP: &str = "content is left out where it lies too deep";
/// The change of a result that has no parts.
const DATA: &str = "a result that is JSON is sent as text";

/// A part, by its place in OpenAI's dialect.
#[derive(Debug)]
pub(super) enum Piece {
    /// Stays in the content.
    Content(Box<Part>),
    /// Belongs to `tool_calls`.
    Call(ToolCall),
    /// A message of its own.
    Result(Box<Message>),
    /// Belongs to `thinking_blocks`.
    Thinking(Value),
}

impl Piece {
    fn content(part: Part) -> Self {
        Self::Content(Box::new(part))
    }
}

/// Takes the content of one message apart.
#[derive(Debug)]
pub(super) struct Pieces<'a> {
    pub(super) role: Role,
    pub(super) changes: &'a mut Changes,
    pub(super) found: Vec<Piece>,
}

impl Pieces<'_> {
    /// Adds content: a text, a part, or a list of both. `path` is its place.
    pub(super) fn content(
        &mut self,
        value: Value,
        path: String,
        depth: usize,
    ) -> Result<(), ParseError> {
        match value {
            Value::Null => {}
            Value::String(text) => self.text(text, path),
            Value::Number(_) | Value::Bool(_) => {
                self.changes.add(&*path, "a value that is no text is read as one");
                self.text(value.to_string(), path);
            }
            Value::Object(fields) => self.part(fields, path, depth)?,
            Value::Array(_) if depth >= DEEPEST => {
                self.changes.add(path, TOO_DEEP);
            }
            Value::Array(items) if self.is_data(&items, &path) => {
                self.text(Value::Array(items).to_string(), path);
            }
            Value::Array(items) => {
                for (at, item) in items.into_iter().enumerate() {
                    let path = format!("{path}[{at}]");
                    if !item.is_object() {
                        self.changes.add(&*path, "an item that is no content part is read as text");
                    }
                    self.content(item, path, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    /// True for a list that a tool returned, and no list of parts.
    fn is_data(&mut self, items: &[Value], path: &str) -> bool {
        let is_data = self.is_result()
            && items.iter().any(Value::is_object)
            && items.iter().all(|item| item.get("type").is_none() && !item.is_string());
        if is_data {
            self.changes.add(path, DATA);
        }
        is_data
    }

    fn is_result(&self) -> bool {
        matches!(self.role, Role::Tool | Role::Function)
    }

    fn text(&mut self, text: String, path: String) {
        let part = Part { text: Some(text), ..media::part("text", path) };
        self.found.push(Piece::content(part));
    }

    /// A part as it is.
    fn typed(&mut self, fields: Fields, path: String) -> Result<(), ParseError> {
        let part: Part = serde_path_to_error::deserialize(Value::Object(fields))
            .map_err(|error| located_at(&path, error))?;
        self.found.push(Piece::content(Part { origin: Some(path), ..part }));
        Ok(())
    }

    /// Adds one part.
    fn part(&mut self, mut fields: Fields, path: String, depth: usize) -> Result<(), ParseError> {
        if depth >= DEEPEST {
            self.changes.add(path, TOO_DEEP);
            return Ok(());
        }
        let kind = self.kind(&fields, &path);
        let is_assistant = self.role == Role::Assistant;
        let speaks = matches!(self.role, Role::User | Role::Tool);
        let has = |names: &[&str]| names.iter().any(|name| fields.get(*name).is_some_and(is_set));
        let piece = match kind.as_str() {
            "text" | "input_text" | "output_text" => {
                return self.text_part(&kind, fields, path, depth);
            }
            "summary_text" | "reasoning_text" if !is_assistant => {
                return self.text_part(&kind, fields, path, depth);
            }
            "image_url" | "input_image" if has(&media::IMAGE) => {
                Piece::content(media::image(&kind, fields, path, self.changes)?)
            }
            "image" if !has(&["source"]) && has(&media::IMAGE) => {
                Piece::content(media::image(&kind, fields, path, self.changes)?)
            }
            "file" | "input_file" if !has(&["file"]) && has(&media::FILE) => {
                Piece::content(media::file(fields, path, self.changes))
            }
            "document" if of_blocks(&fields) => {
                self.changes.add(&*path, "a document of blocks is sent as its blocks");
                let content = fields.get_mut("source").and_then(|source| source.get_mut("content"));
                let content = content.map(Value::take).unwrap_or_default();
                return self.content(content, format!("{path}.source.content"), depth + 1);
            }
            "search_result" => {
                Piece::content(media::search_result(fields, path, speaks, self.changes))
            }
            "thinking" | "redacted_thinking" if is_assistant && has(&["signature", "data"]) => {
                self.changes.add(path, "thinking among the content is read as thinking_blocks");
                Piece::Thinking(Value::Object(fields))
            }
            "thinking" | "redacted_thinking" | "reasoning" | "summary_text" | "reasoning_text"
                if !(is_assistant && kind == "reasoning") =>
            {
                let what = "thinking without a signature, or not of the assistant, is left out";
                self.changes.add(path, what);
                return Ok(());
            }
            "tool_use" | "tool-call" | "tool_call" | "function_call" => {
                self.changes.add(&*path, "a call among the content is read as one of tool_calls");
                Piece::Call(call(fields, path)?)
            }
            "tool_result" | "tool-result" | "function_call_output" => {
                self.changes.add(&*path, "a result among the content is read as a message `tool`");
                Piece::Result(Box::new(self.result(fields, path, depth)?))
            }
            "server_tool_use" | "mcp_tool_use" | "tool_reference" | "container_upload" => {
                self.changes.add(path, "parts of tools that Anthropic runs are left out");
                return Ok(());
            }
            kind if kind.ends_with("_tool_result") => {
                self.changes.add(&*path, "results of tools that Anthropic ran are sent as text");
                let text = Some(words(fields.get("content").unwrap_or(&Value::Null)));
                Piece::content(Part { text, ..media::part(kind, path) })
            }
            "refusal" | "input_audio" | "audio" | "audio_url" | "video" | "video_url"
            | "input_video" | "image_url" | "file" | "image" | "document" | "reasoning" => {
                return self.typed(fields, path);
            }
            _ if self.is_result() => {
                self.changes.add(&*path, DATA);
                return self.content(Value::Object(fields).to_string().into(), path, depth);
            }
            "" => return self.typed(fields, path),
            // Refused, or replaced by words, where it is known how old the message is.
            kind => {
                self.changes.add(&*path, "a part of an unknown type is read for its text");
                let text = take_text(&mut fields, &["text", "value", "content"]);
                Piece::content(Part { text, ..media::part(kind, path) })
            }
        };
        self.found.push(piece);
        Ok(())
    }

    /// The type of a part; of one that lacks it, by its fields.
    fn kind(&mut self, fields: &Fields, path: &str) -> String {
        if let Some(Value::String(kind)) = fields.get("type") {
            return kind.clone();
        }
        let telling = ["text", "image_url", "file", "refusal"];
        let kind = telling.into_iter().find(|name| fields.contains_key(*name));
        match kind {
            Some(kind) if !self.is_result() || fields.len() == 1 => {
                self.changes
                    .add(format!("{path}.type"), "is missing, and told by the other fields");
                kind.to_owned()
            }
            _ => String::new(),
        }
    }

    fn text_part(
        &mut self,
        kind: &str,
        mut fields: Fields,
        path: String,
        depth: usize,
    ) -> Result<(), ParseError> {
        if kind != "text" {
            self.changes.add(&*path, "a text of OpenAI's Responses is read as `text`");
        }
        match fields.shift_remove("text") {
            Some(Value::String(text)) => {
                fields.insert("type".to_owned(), "text".into());
                fields.insert("text".to_owned(), text.into());
                self.typed(fields, path)
            }
            None | Some(Value::Null) => {
                self.changes.add(path, "a text part without a text is left out");
                Ok(())
            }
            // OpenAI's Assistants.
            Some(Value::Object(mut inner)) => {
                self.changes.add(&*path, "a text within an object is read as the text");
                let inner = take_first(&mut inner, &["value", "text"]).unwrap_or_default();
                self.content(inner, path, depth + 1)
            }
            Some(other) => {
                self.changes.add(&*path, "a value that is no text is read as one");
                self.content(other, path, depth + 1)
            }
        }
    }

    /// The result of a call as a message.
    pub(super) fn result(
        &mut self,
        mut fields: Fields,
        path: String,
        depth: usize,
    ) -> Result<Message, ParseError> {
        let tool_call_id = called_by(&mut fields);
        let is_error = ["is_error", "isError"]
            .iter()
            .any(|name| fields.get(*name).and_then(Value::as_bool).unwrap_or_default());
        let said = take_first(&mut fields, &["content", "output", "result"]).unwrap_or_default();
        let mut inside = Pieces { role: Role::Tool, changes: self.changes, found: Vec::new() };
        let said = match said {
            // A library says of what type the output is.
            Value::Object(mut output) if output.contains_key("value") => {
                output.shift_remove("value").unwrap_or_default()
            }
            said => said,
        };
        let place = format!("{path}.content");
        inside.content(said, place, depth + 1)?;
        let mut parts = Vec::new();
        inside.found.into_iter().for_each(|piece| into_parts(piece, &mut parts));
        Ok(Message {
            role: Role::Tool,
            tool_call_id,
            content: Some(Content::Parts(parts)),
            is_error,
            cache_control: fields.shift_remove("cache_control"),
            origin: Some(path),
            ..Message::default()
        })
    }
}

/// The parts of a piece that stands in a result, which can hold no call.
fn into_parts(piece: Piece, parts: &mut Vec<Part>) {
    match piece {
        Piece::Content(part) => parts.push(*part),
        Piece::Result(message) => {
            if let Some(Content::Parts(inner)) = message.content {
                parts.extend(inner);
            }
        }
        Piece::Call(_) | Piece::Thinking(_) => {}
    }
}

/// True for a document that consists of blocks.
fn of_blocks(fields: &Fields) -> bool {
    let source = fields.get("source");
    source.and_then(|source| source.get("type")).is_some_and(|kind| kind == "content")
}

/// What the result of one of Anthropic's own tools says to a reader.
fn words(content: &Value) -> String {
    const SAID: [&str; 6] = ["title", "url", "text", "stdout", "stderr", "error_code"];
    let items = match content {
        Value::Array(items) => items.as_slice(),
        other => std::slice::from_ref(other),
    };
    let line = |item: &Value| {
        let texts = SAID.iter().filter_map(|name| item.get(name)?.as_str());
        let texts: Vec<&str> = texts.filter(|text| !text.trim().is_empty()).collect();
        texts.join(" ")
    };
    let lines: Vec<String> = items.iter().map(line).filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}
