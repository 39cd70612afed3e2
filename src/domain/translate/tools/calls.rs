//! Calls in a history, and the ids by which results name them (`reference/anthropic-api.md` §1.6).

use std::{borrow::Cow, collections::HashMap};

use serde_json::{Value, json};

use super::{
    super::{
        form::{CUSTOM_INPUT, Form},
        note::{Error, Notes},
    },
    names,
};
use crate::domain::{anthropic::ContentBlock, chain::Hash, json::Raw, openai};

/// A call of the history that waits for its result.
#[derive(Debug)]
pub(in crate::domain::translate) struct PendingCall<'a> {
    given: ResultKey<'a>,
    id: String,
    /// The path to the call in the client's request.
    at: String,
    result: Option<Vec<ContentBlock>>,
}

/// The key by which a result names its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResultKey<'a> {
    Id(&'a str),
    /// The name of a function, in the deprecated form.
    Name(&'a str),
}

impl PendingCall<'_> {
    /// True if the id differs from the client's.
    pub(in crate::domain::translate) fn is_renamed(&self) -> bool {
        !matches!(self.given, ResultKey::Id(given) if given == self.id)
    }

    /// True if the call has a result.
    pub(in crate::domain::translate) fn is_answered(&self) -> bool {
        self.result.is_some()
    }
}

/// Attaches `result` to the call with this id; `false` if no such call waits for a result.
pub(in crate::domain::translate) fn answer(
    calls: &mut [PendingCall<'_>],
    id: &str,
    result: &mut Vec<ContentBlock>,
) -> bool {
    give(calls, result, |given| given == ResultKey::Id(id))
}

/// Attaches `result` to the call of this function; else to the oldest call that waits for a result, because there
/// can be only one.
pub(in crate::domain::translate) fn answer_function(
    calls: &mut [PendingCall<'_>],
    name: Option<&str>,
    result: &mut Vec<ContentBlock>,
) -> bool {
    give(calls, result, |given| name.is_some_and(|name| given == ResultKey::Name(name)))
        || give(calls, result, |given| matches!(given, ResultKey::Name(_)))
}

fn give(
    calls: &mut [PendingCall<'_>],
    result: &mut Vec<ContentBlock>,
    is_meant: impl Fn(ResultKey<'_>) -> bool,
) -> bool {
    let mut waiting = calls.iter_mut().filter(|call| !call.is_answered());
    let meant = waiting.find(|call| is_meant(call.given));
    meant.map(|call| call.result = Some(std::mem::take(result))).is_some()
}

/// The results of all calls of a turn, in the order of the calls: all must stand in the next message.
pub(in crate::domain::translate) fn results(
    calls: &mut Vec<PendingCall<'_>>,
    notes: &mut Notes,
) -> Vec<ContentBlock> {
    calls
        .drain(..)
        .map(|PendingCall { id, at, result, .. }| {
            let is_error = result.is_none();
            let content = result.unwrap_or_else(|| {
                notes.add(at, "has no result in the history; an error is sent in its place");
                vec![ContentBlock::text("No result of this call was recorded.")]
            });
            ContentBlock::ToolResult { tool_use_id: id, content, is_error }
        })
        .collect()
}

/// The ids of a whole history, made such as Anthropic takes them. Depends on nothing but the calls up to each one,
/// so that a longer history begins with the same bytes.
#[derive(Debug, Default)]
pub(in crate::domain::translate) struct ToolUseIds {
    /// Number of calls by id.
    copies: HashMap<String, usize>,
    /// Number of calls in the deprecated form, which have no ids.
    functions: usize,
}

impl ToolUseIds {
    /// The call at `path` as a block, and as one that waits for its result.
    pub(in crate::domain::translate) fn call<'a>(
        &mut self,
        call: &'a openai::ToolCall,
        form: &Form,
        path: String,
        notes: &mut Notes,
    ) -> Result<(ContentBlock, PendingCall<'a>), Error> {
        let (name, input) = match (&call.custom, &call.function) {
            (Some(custom), _) => {
                let name = name(&custom.name, || format!("{path}.custom.name"), notes);
                let text = custom.input.as_deref().unwrap_or_default();
                (name, Raw::of(&json!({ CUSTOM_INPUT: text })))
            }
            (None, Some(function)) => {
                called(function, form, &|field| format!("{path}.function.{field}"), notes)
            }
            (None, None) => {
                let is_custom = call.kind.as_deref() == Some("custom");
                let kind = if is_custom { "custom" } else { "function" };
                return Err(Error::Missing { field: format!("{path}.{kind}") });
            }
        };
        let given = call.id.as_deref().unwrap_or_default();
        let id = self.claim(given);
        if id != given {
            notes.once(|| format!("{path}.id"), "the id is changed to one that Anthropic accepts");
        }
        let block = ContentBlock::ToolUse { id: id.clone(), name, input };
        Ok((block, PendingCall { given: ResultKey::Id(given), id, at: path, result: None }))
    }

    /// The block for a deprecated `function_call`. Its id depends only on the number of such calls before it.
    pub(in crate::domain::translate) fn function_call<'a>(
        &mut self,
        call: &'a openai::FunctionCall,
        form: &Form,
        path: String,
        notes: &mut Notes,
    ) -> (ContentBlock, PendingCall<'a>) {
        let (name, input) = called(call, form, &|field| format!("{path}.{field}"), notes);
        self.functions += 1;
        let id = self.claim(&format!("function_call_{}", self.functions));
        let block = ContentBlock::ToolUse { id: id.clone(), name, input };
        (block, PendingCall { given: ResultKey::Name(&call.name), id, at: path, result: None })
    }

    fn claim(&mut self, given: &str) -> String {
        let id = if names::is_word(given) {
            given.to_owned()
        } else {
            let hash = Hash::of("tool call id", &[given.as_bytes()]).to_string();
            format!("{}_{}", names::word(given, 48), &hash[..12])
        };
        // How often each id was asked for, so that many copies of one are numbered without trying each number.
        let mut copies =
            *self.copies.entry(id.clone()).and_modify(|copies| *copies += 1).or_insert(1);
        let mut unique = id.clone();
        while copies > 1 {
            unique = format!("{id}_{copies}");
            if !self.copies.contains_key(&unique) {
                self.copies.insert(id, copies);
                self.copies.insert(unique.clone(), 1);
                break;
            }
            copies += 1;
        }
        unique
    }
}

/// The name and the arguments of a function as they go upstream.
fn called(
    function: &openai::FunctionCall,
    form: &Form,
    path: &dyn Fn(&str) -> String,
    notes: &mut Notes,
) -> (String, Raw) {
    let name = name(&function.name, || path("name"), notes);
    let input = match input(&function.arguments) {
        Ok(input) => match form.upstream_arguments(&name, input.get()) {
            Cow::Borrowed(_) => input,
            Cow::Owned(renamed) => Raw::parse(&renamed).unwrap_or(input),
        },
        Err(text) => {
            let what = "is not a JSON object; it is sent inside one, as INVALID_JSON";
            notes.once(|| path("arguments"), what);
            Raw::of(&json!({"INVALID_JSON": text}))
        }
    };
    (name, input)
}

/// The name as the definition has it upstream.
fn name(given: &str, field: impl FnOnce() -> String, notes: &mut Notes) -> String {
    let name = names::upstream(given);
    if name != given {
        notes.once(field, names::CHANGED);
    }
    name
}

/// The arguments as an object, exactly as they were written, or the text that is none.
fn input(arguments: &Value) -> Result<Raw, String> {
    match arguments {
        Value::Null => Ok(Raw::of(&json!({}))),
        Value::Object(_) => Ok(Raw::of(arguments)),
        Value::String(text) if text.trim().is_empty() => Ok(Raw::of(&json!({}))),
        Value::String(text) => Raw::object(text).ok_or_else(|| text.clone()),
        other => Err(other.to_string()),
    }
}
