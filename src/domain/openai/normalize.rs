//! Normalization: what a request says in another dialect (Anthropic's Messages, OpenAI's Responses, the libraries
//! between) is put into the form of chat completions, so that equal meaning is translated equally.
//!
//! A request that is in that form already is not touched. Each change is kept with the request and becomes a note. Only
//! what cannot be understood stays as it is, and is refused as if there were no other dialects.

mod changes;
mod item;
mod media;
mod message;
mod part;
mod tools;

use serde_json::{Map, Value, json};

use self::{changes::Changes, item::is_set, message::Messages};
use super::{
    message::{Content, Message, Part, Role},
    parse_error::{ParseError, located},
    request::Request,
};

/// Fields of other dialects, which are read here.
const FIELDS: [&str; 4] = ["system", "instructions", "stop_sequences", "max_output_tokens"];

/// True if all parts of a request that could be read are in OpenAI's form.
pub(super) fn is_normal(request: &Request) -> bool {
    let Request { messages, extra, .. } = request;
    let is_given = |field: &str| extra.get(field).is_some_and(is_set);
    let is_foreign = FIELDS.into_iter().any(is_given) || messages.is_empty() && is_given("input");
    let tools = request.tools.as_deref().unwrap_or_default();
    !is_foreign && messages.iter().all(is_normal_message) && tools.iter().all(tools::is_normal)
}

fn is_normal_message(message: &Message) -> bool {
    let calls = message.tool_calls.as_deref().unwrap_or_default();
    let has_function = calls.iter().all(|call| call.function.is_some() || call.custom.is_some());
    has_function
        && match &message.content {
            None | Some(Content::Text(_)) => true,
            Some(Content::Parts(parts)) => {
                parts.iter().all(|part| is_normal_part(part, message.role))
            }
        }
}

fn is_normal_part(part: &Part, role: Role) -> bool {
    match part.kind.as_str() {
        "text" => part.text.is_some(),
        "refusal" => part.refusal.is_some(),
        "image_url" => part.image_url.is_some(),
        "file" => part.file.is_some(),
        "image" | "document" => part.source.as_ref().is_some_and(|source| source.kind != "content"),
        "input_audio" => true,
        "reasoning" => role == Role::Assistant,
        _ => false,
    }
}

/// The request of a body that is not in OpenAI's form; `None` if there is nothing to change in it.
pub(super) fn normalized(body: &[u8]) -> Option<Result<Request, ParseError>> {
    let mut fields: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let mut changes = Changes::default();
    let messages = normalize(&mut fields, &mut changes);
    if changes.is_empty() && messages.is_ok() {
        return None;
    }
    Some(messages.and_then(|messages| {
        let mut request: Request =
            serde_path_to_error::deserialize(Value::Object(fields)).map_err(located)?;
        request.messages = messages;
        request.changes = changes.into_vec();
        Ok(request)
    }))
}

/// Puts the fields in order, and takes out the messages.
fn normalize(
    fields: &mut Map<String, Value>,
    changes: &mut Changes,
) -> Result<Vec<Message>, ParseError> {
    let given = take(fields, "messages");
    let (place, given) = match given {
        Value::Array(items) if !items.is_empty() => ("messages", items),
        Value::Null | Value::Array(_) => match take(fields, "input") {
            Value::Null => ("messages", Vec::new()),
            input => {
                changes.add("input", "is read as messages");
                ("input", items(input))
            }
        },
        // Refused in the words of any other body.
        other @ (Value::Number(_) | Value::Bool(_) | Value::String(_)) => {
            fields.insert("messages".to_owned(), other);
            ("messages", Vec::new())
        }
        other => {
            changes.add("messages", "one message is read as a list of one");
            ("messages", items(other))
        }
    };
    let mut messages = Messages::new(changes);
    for field in ["system", "instructions"] {
        let is_text = |text: &Value| is_set(text) && (text.is_string() || text.is_array());
        if fields.get(field).is_some_and(is_text) {
            messages.instructions(field, take(fields, field), &given)?;
        }
    }
    for (at, message) in given.into_iter().enumerate() {
        messages.add(message, format!("{place}[{at}]"))?;
    }
    let messages = messages.into_vec();
    let is_list = |value: &Value| {
        value.is_string()
            || value.as_array().is_some_and(|texts| texts.iter().all(Value::is_string))
    };
    rename(fields, "stop_sequences", &["stop"], is_list, changes);
    let is_limit = |value: &Value| value.as_f64().is_some_and(|limit| limit >= 1.0);
    let limits = ["max_completion_tokens", "max_tokens"];
    rename(fields, "max_output_tokens", &limits, is_limit, changes);
    tools::normalize(fields, changes);
    Ok(messages)
}

fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        Value::Null => Vec::new(),
        Value::String(text) => vec![json!({ "role": "user", "content": text })],
        other => vec![other],
    }
}

fn take(fields: &mut Map<String, Value>, name: &str) -> Value {
    fields.shift_remove(name).unwrap_or_default()
}

/// Moves a field to the first of OpenAI's `names`, unless one of them is given. A field that cannot be meant so stays
/// an unknown one.
fn rename(
    fields: &mut Map<String, Value>,
    field: &'static str,
    names: &[&str],
    is_meant: impl Fn(&Value) -> bool,
    changes: &mut Changes,
) {
    if !fields.get(field).is_some_and(|value| is_set(value) && is_meant(value)) {
        return;
    }
    let value = take(fields, field);
    if names.iter().any(|name| fields.get(*name).is_some_and(is_set)) {
        changes.add(field, "is left out, because OpenAI's field for it is given, too");
    } else {
        changes.add(field, "is read as OpenAI's field for it");
        fields.insert(names[0].to_owned(), value);
    }
}
