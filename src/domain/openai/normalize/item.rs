//! Fields of calls and results, which have other names in each dialect.

use serde_json::{Map, Value};

use crate::domain::openai::{
    message::{CustomCall, FunctionCall, ToolCall},
    parse_error::ParseError,
};

/// An object that is taken apart.
pub(super) type Fields = Map<String, Value>;

/// True for a value that says something.
pub(super) fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    }
}

/// The first of these fields that is set.
pub(super) fn take_first(fields: &mut Fields, names: &[&str]) -> Option<Value> {
    let name =
        names.iter().find(|name| fields.get(**name).is_some_and(|value| !value.is_null()))?;
    fields.shift_remove(*name)
}

/// An id, or another text that some clients write as a number.
pub(super) fn take_text(fields: &mut Fields, names: &[&str]) -> Option<String> {
    match take_first(fields, names)? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A call: Anthropic's `tool_use`, Responses' `function_call`, or one of a library.
pub(super) fn call(mut fields: Fields, path: String) -> Result<ToolCall, ParseError> {
    // In Responses, `id` is the item's own.
    let id =
        take_text(&mut fields, &["call_id", "tool_call_id", "toolCallId", "tool_use_id", "id"]);
    let mut function = match fields.shift_remove("function") {
        Some(Value::Object(function)) => function,
        _ => Fields::new(),
    };
    let names = ["name", "toolName", "tool_name"];
    let name = take_text(&mut fields, &names).or_else(|| take_text(&mut function, &names));
    let Some(name) = name else {
        let reason = "is missing".to_owned();
        return Err(ParseError::WrongShape { param: format!("{path}.name"), reason });
    };
    let names = ["input", "arguments", "args"];
    let arguments = take_first(&mut fields, &names).or_else(|| take_first(&mut function, &names));
    let arguments = arguments.unwrap_or_default();
    if fields.get("type").is_some_and(|kind| kind == "custom_tool_call") {
        let input = arguments.as_str().map(str::to_owned);
        let custom = Some(CustomCall { name, input });
        return Ok(ToolCall { id, custom, origin: Some(path), ..ToolCall::default() });
    }
    Ok(ToolCall {
        id,
        function: Some(FunctionCall { name, arguments }),
        origin: Some(path),
        ..ToolCall::default()
    })
}

/// The call that a result names.
pub(super) fn called_by(fields: &mut Fields) -> Option<String> {
    take_text(fields, &["tool_use_id", "tool_call_id", "call_id", "toolCallId"])
}
