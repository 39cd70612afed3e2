//! Recorded answers put back into the history (design §8).
//!
//! OpenAI's messages cannot express the order of thinking, text and tool calls, nor results of Anthropic's own tools. If
//! the ledger has the answer, and rendering it again gives exactly the turn that came in, its original blocks are put
//! back. An edited answer is sent as edited, with the thinking that the client kept.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::Value;

use super::{
    completion::render,
    context::{Original, Originals},
    form::{CUSTOM_INPUT, Form},
    note::Notes,
    thinking::ThinkingPlan,
    tools,
};
use crate::domain::{
    anthropic::{self, BlockKind, ContentBlock},
    catalog::Catalog,
    exchange::AnswerRef,
    json::{JsonString, Raw, canonical},
    openai::{self, Content, REDACTED_FORMAT, THINKING_FORMAT},
};

/// Inputs for restoring earlier turns of the assistant.
#[derive(Debug)]
pub(super) struct History<'a> {
    pub(super) originals: &'a Originals,
    /// The form in which the client received answers.
    pub(super) form: &'a Form,
    pub(super) catalog: &'a Catalog,
    /// The model that is asked now: thinking means nothing to another.
    pub(super) model: &'a str,
    pub(super) plan: &'a ThinkingPlan,
    /// Answers that the request has named so far.
    pub(super) rendered: RefCell<HashMap<AnswerRef, RenderedAnswer>>,
}

/// The most messages of a history that one answer is compared with. More of them are sent as the client has them: of a
/// few bytes each, they could name a long answer thousands of times over.
const MOST_COPIES: usize = 8;

/// An answer as the client received it.
#[derive(Debug)]
pub(super) struct RenderedAnswer {
    /// The ways in which its text may be kept, trimmed; `None` where it was cut.
    texts: Option<[String; 2]>,
    /// Number of messages that named it.
    copies: usize,
}

impl RenderedAnswer {
    fn of(original: &Original, form: &Form) -> Self {
        let rendered = render(original.blocks.clone(), form);
        // Open WebUI trims what it keeps, and may put the pieces on lines of their own.
        let texts = || [rendered.whole(), rendered.joined("\n")].map(|text| text.trim().to_owned());
        Self { texts: (!rendered.is_cut).then(texts), copies: 0 }
    }
}

/// References to earlier answers in a request, each once: the id of a call, or else a signature.
pub fn refs(request: &openai::Request) -> Vec<AnswerRef> {
    let assistants =
        request.messages.iter().filter(|message| message.role == openai::Role::Assistant);
    let mut known = HashSet::new();
    assistants.filter_map(first_ref).filter(|name| known.insert(name.clone())).collect()
}

fn first_ref(message: &openai::Message) -> Option<AnswerRef> {
    let call = message.tool_calls.iter().flatten().find_map(|call| call.id.as_deref());
    call.map(AnswerRef::call).or_else(|| {
        let first = thinking(message).into_iter().next()?;
        match first {
            ContentBlock::Thinking { signature, .. } => Some(AnswerRef::signature(&signature)),
            ContentBlock::RedactedThinking { data } => Some(AnswerRef::signature(&data)),
            _ => None,
        }
    })
}

impl History<'_> {
    /// The blocks of the answer that `message` repeats, if there is one and it is unchanged.
    pub(super) fn restore(&self, message: &openai::Message) -> Option<Vec<ContentBlock>> {
        let name = first_ref(message)?;
        let original: &Arc<Original> = self.originals.get(&name)?;
        let mut rendered = self.rendered.borrow_mut();
        let rendered =
            rendered.entry(name).or_insert_with(|| RenderedAnswer::of(original, self.form));
        rendered.copies += 1;
        if rendered.copies > MOST_COPIES || !says(message, original, rendered, self.form) {
            return None;
        }
        let same_model =
            self.catalog.rules(&original.model).id == self.catalog.rules(self.model).id;
        let keeps_thinking = same_model && self.plan.takes_blocks();
        let mut restored = content_blocks(&original.blocks);
        restored.retain(|block| keeps_thinking || !block.is_thinking());
        Some(restored)
    }

    /// The thinking that the client kept, where it can be sent.
    pub(super) fn kept_thinking(
        &self,
        at: usize,
        message: &openai::Message,
        notes: &mut Notes,
    ) -> Vec<ContentBlock> {
        let thinking = thinking(message);
        if thinking.is_empty() || self.plan.takes_blocks() {
            return thinking;
        }
        notes.once(
            || format!("messages[{at}].reasoning_details"),
            "thinking of earlier answers is left out, because the model does not think now",
        );
        Vec::new()
    }
}

/// An answer's blocks as blocks of a request, except blank texts, which Anthropic sends and refuses, and the boundaries
/// of fallbacks with the thinking before them, which would be checked as the thinking of the other model.
pub fn content_blocks(blocks: &[anthropic::Block]) -> Vec<ContentBlock> {
    let boundary = blocks.iter().rposition(|block| block.kind == BlockKind::Fallback);
    let sent = blocks.iter().enumerate().filter_map(|(at, block)| match &block.kind {
        BlockKind::Fallback => None,
        BlockKind::Thinking { .. } | BlockKind::RedactedThinking { .. }
            if boundary.is_some_and(|boundary| at < boundary) =>
        {
            None
        }
        BlockKind::Text { text, .. } if text.is_blank() => None,
        BlockKind::Text { text, citations } if citations.is_empty() => {
            Some(ContentBlock::text(text.decode()))
        }
        _ => Some(ContentBlock::Original(Raw::of(block))),
    });
    sent.collect()
}

/// True if the message is the answer as the client received it.
fn says(
    message: &openai::Message,
    original: &Original,
    rendered: &RenderedAnswer,
    form: &Form,
) -> bool {
    let text = text(message);
    let mut texts = rendered.texts.iter().flatten();
    let is_same_text = texts.any(|rendered| rendered == text.trim());
    let mut given = message.tool_calls.iter().flatten();
    let mut calls = original.blocks.iter().filter_map(|block| match &block.kind {
        BlockKind::ToolUse { id, name, arguments } => Some((id, name, arguments)),
        _ => None,
    });
    is_same_text
        && calls.all(|(id, name, arguments)| {
            given.next().is_some_and(|given| {
                given.id.as_ref() == Some(id) && is_same_call(given, name, arguments, form)
            })
        })
        && given.next().is_none()
}

/// True if a call is one of the tool `name` (its name upstream) with these arguments. The tool need not be defined.
fn is_same_call(given: &openai::ToolCall, name: &str, arguments: &JsonString, form: &Form) -> bool {
    // Arguments that are no object cannot be put back: the original has lost them.
    let Some(arguments) = Raw::object(&arguments.decode()) else { return false };
    let (called, given) = match (&given.custom, &given.function) {
        (Some(custom), _) => {
            let input = custom.input.as_deref().unwrap_or_default();
            (&custom.name, serde_json::json!({ CUSTOM_INPUT: input }).to_string())
        }
        (None, Some(function)) => match tools::input(&function.arguments) {
            Ok(input) => (&function.name, input.get().to_owned()),
            Err(_) => return false,
        },
        (None, None) => return false,
    };
    let given = form.upstream_arguments(name, &given);
    tools::upstream_name(called) == name
        && canonical(given.as_bytes()) == canonical(arguments.get().as_bytes())
}

fn text(message: &openai::Message) -> String {
    match &message.content {
        None => String::new(),
        Some(Content::Text(text)) => text.clone(),
        Some(Content::Parts(parts)) => parts
            .iter()
            .filter(|part| part.kind == "text")
            .filter_map(|part| part.text.as_deref())
            .collect(),
    }
}

/// The thinking that a message carries: in `reasoning_details` as Open WebUI and OpenRouter have it, or in
/// `thinking_blocks` as `LiteLLM` does (§8.5). What has no signature is nobody's proof of anything.
fn thinking(message: &openai::Message) -> Vec<ContentBlock> {
    let items = |value: &Option<Value>| match value {
        Some(Value::Array(items)) => items.clone(),
        _ => Vec::new(),
    };
    let details = merged(items(&message.reasoning_details));
    let blocks: Vec<ContentBlock> = details.iter().filter_map(block).collect();
    if blocks.is_empty() {
        items(&message.thinking_blocks).iter().filter_map(block).collect()
    } else {
        blocks
    }
}

/// The parts of a stream that have the same `index`, put together as Open WebUI does (§8.5): texts are joined, other
/// fields replaced.
fn merged(items: Vec<Value>) -> Vec<Value> {
    let mut merged: Vec<Value> = Vec::with_capacity(items.len());
    for item in items {
        let index = item.get("index").and_then(Value::as_u64);
        // Parts of a block follow each other, and its signature is the last.
        let same = merged.last_mut().filter(|last| {
            index.is_some()
                && last.get("index").and_then(Value::as_u64) == index
                && last.get("signature").is_none_or(Value::is_null)
        });
        let (Some(Value::Object(same)), Value::Object(fields)) = (same, &item) else {
            merged.push(item);
            continue;
        };
        for (name, value) in fields {
            match (same.get_mut(name), value) {
                (Some(Value::String(text)), Value::String(more)) if name == "text" => {
                    text.push_str(more);
                }
                _ => {
                    same.insert(name.clone(), value.clone());
                }
            }
        }
    }
    merged
}

fn block(item: &Value) -> Option<ContentBlock> {
    let text = |name: &str| item.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    // Claude cannot read what other labs encrypted. It has a format of their own, or, where the client lost that, an
    // id, which ours never has.
    let format = text("format");
    let is_claudes =
        format.is_none_or(|format| [REDACTED_FORMAT, THINKING_FORMAT].contains(&format));
    match text("type")? {
        "reasoning.text" | "reasoning.encrypted" if !is_claudes => None,
        "reasoning.encrypted" if format.is_none() && text("id").is_some() => None,
        kind @ ("reasoning.text" | "thinking") => {
            let field = if kind == "thinking" { "thinking" } else { "text" };
            let thinking = text(field).unwrap_or_default().to_owned();
            Some(ContentBlock::Thinking { thinking, signature: text("signature")?.to_owned() })
        }
        "reasoning.encrypted" | "redacted_thinking" => {
            Some(ContentBlock::RedactedThinking { data: text("data")?.to_owned() })
        }
        _ => None,
    }
}
