//! Calls in a history, and the ids by which results name them (`reference/anthropic-api.md` §1.6).

use std::{borrow::Cow, collections::HashMap};

use serde_json::{Value, json};

use super::{
    super::{
        form::{CUSTOM_INPUT, Form},
        note::{Error, Notes},
    },
    names,
    results::{PendingCall, ResultKey},
};
use crate::domain::{anthropic::ContentBlock, chain::Hash, json::Raw, openai};

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
        Ok((block, PendingCall::new(ResultKey::Id(given), id, path)))
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
        (block, PendingCall::new(ResultKey::Name(&call.name), id, path))
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

/// The arguments as an object, exactly as they were written, or the text that is none. What says "nothing" is an empty
/// object, as is JSON whose text is JSON again an object.
pub(in crate::domain::translate) fn input(arguments: &Value) -> Result<Raw, String> {
    /// The empty values of JSON and of the languages that clients are written in.
    const NOTHING: [&str; 7] = ["", "null", "[]", "false", "None", "undefined", "\"\""];
    /// Texts within texts, each of which some client or library adds.
    const DEEPEST: usize = 4;
    let nothing = || Ok(Raw::of(&json!({})));
    let mut text = match arguments {
        Value::Null | Value::Bool(false) => return nothing(),
        Value::Array(items) if items.is_empty() => return nothing(),
        Value::Object(_) => return Ok(Raw::of(arguments)),
        Value::String(text) => Cow::Borrowed(text),
        other => return Err(other.to_string()),
    };
    for _ in 0..DEEPEST {
        if NOTHING.contains(&text.trim()) {
            return nothing();
        }
        if let Some(object) = Raw::object(&text) {
            return Ok(object);
        }
        match serde_json::from_str(&text) {
            Ok(inner) => text = Cow::Owned(inner),
            Err(_) => break,
        }
    }
    Err(arguments.as_str().unwrap_or_default().to_owned())
}
