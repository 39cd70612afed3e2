//! Earlier answers as Claude gave them (design §8).
//!
//! OpenAI's messages cannot say how thinking, text and calls of tools alternated, nor what Anthropic's own tools found.
//! Where the ledger has the answer, and telling it again gives just the turn that came in, its blocks are put back. An
//! answer that somebody edited is sent as it was edited, with the thinking that the client kept.

use std::{borrow::Cow, sync::Arc};

use serde_json::Value;

use super::{
    completion::{Told, tell},
    form::Form,
    note::Notes,
    request::{Original, Originals},
    thinking::Plan,
};
use crate::domain::{
    anthropic::{BlockKind, ContentBlock},
    catalog::Catalog,
    exchange::AnswerRef,
    json::{JsonString, Raw},
    openai::{self, Called, Content, REDACTED_FORMAT, THINKING_FORMAT},
};

/// What the turns of the assistant are compared with.
#[derive(Debug, Clone, Copy)]
pub(super) struct History<'a> {
    pub(super) originals: &'a Originals,
    /// How the client is told of answers.
    pub(super) form: &'a Form,
    pub(super) catalog: &'a Catalog,
    /// The model that is asked now: thinking means nothing to another.
    pub(super) model: &'a str,
    pub(super) plan: &'a Plan,
}

/// What a request names of earlier answers: by a call's id, or else by a signature.
pub fn refs(request: &openai::Request) -> Vec<AnswerRef> {
    let assistants =
        request.messages.iter().filter(|message| message.role == openai::Role::Assistant);
    assistants.filter_map(first_ref).collect()
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
        let original: &Arc<Original> = self.originals.get(&first_ref(message)?)?;
        if !says(message, &tell(original.blocks.clone(), self.form)) {
            return None;
        }
        let same_model =
            self.catalog.rules(&original.model).id == self.catalog.rules(self.model).id;
        let keeps_thinking = same_model && self.plan.takes_blocks();
        let restored = original.blocks.iter().filter_map(|block| match &block.kind {
            BlockKind::Thinking { .. } | BlockKind::RedactedThinking { .. } if !keeps_thinking => {
                None
            }
            // Anthropic refuses blank text, although it may itself have said so.
            BlockKind::Text { text, .. } if text.is_blank() => None,
            BlockKind::Text { text, citations } if citations.is_empty() => {
                text.decode().map(ContentBlock::text)
            }
            _ => Some(ContentBlock::Original(Raw::of(block))),
        });
        Some(restored.collect())
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

/// Whether the message says what the client was told.
fn says(message: &openai::Message, told: &Told) -> bool {
    let calls = message.tool_calls.as_deref().unwrap_or_default();
    let said = said(message);
    let texts: Vec<Cow<'_, str>> = vec![told.joined("").into(), told.joined("\n").into()];
    // Open WebUI trims what it keeps, and may put the pieces on lines of their own.
    texts.iter().any(|text| text.trim() == said.trim())
        && calls.len() == told.calls.len()
        && calls.iter().zip(&told.calls).all(|(given, told)| {
            given.id.as_deref() == Some(&*told.id) && is_same_call(given, &told.called)
        })
}

fn is_same_call(given: &openai::ToolCall, told: &Called) -> bool {
    match (told, &given.function) {
        (Called::Function { function }, Some(given)) => {
            given.name == function.name && same_json(&given.arguments, &function.arguments)
        }
        (Called::Custom { custom }, _) => given.custom.as_ref().is_some_and(|given| {
            given.name == custom.name && given.input.as_deref().unwrap_or_default() == custom.input
        }),
        (Called::Function { .. }, None) => false,
    }
}

/// Whether arguments are the same JSON. Ones that are none cannot be put back: the original has lost them.
fn same_json(given: &Value, told: &JsonString) -> bool {
    let Some(told) = told.decode().and_then(|text| serde_json::from_str::<Value>(&text).ok())
    else {
        return false;
    };
    match given {
        Value::String(text) if text.trim().is_empty() => told == serde_json::json!({}),
        Value::String(text) => serde_json::from_str::<Value>(text).is_ok_and(|given| given == told),
        given => *given == told,
    }
}

fn said(message: &openai::Message) -> String {
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
    let blocks: Vec<ContentBlock> =
        items(&message.reasoning_details).iter().filter_map(block).collect();
    if blocks.is_empty() {
        items(&message.thinking_blocks).iter().filter_map(block).collect()
    } else {
        blocks
    }
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
