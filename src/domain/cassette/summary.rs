//! The summary of a response for the reader of its file: derived from the events, and checked when the file is read.

use super::{RecordedResponse, ResponseBody, event, tree::Tree, wildcard};
use crate::domain::{
    anthropic::{self, BlockKind, StreamError, fold},
    exchange::Micros,
    json::JsonString,
    recording::{Recorder, Recording},
};

/// Length in characters to which texts are shortened.
const LONGEST: usize = 600;

/// One line for each block, one for the stop reason, one for the usage.
pub(super) fn of(response: &RecordedResponse) -> Vec<String> {
    let events = match &response.body {
        ResponseBody::Error(body) => {
            let error =
                serde_json::from_str::<anthropic::ErrorBody>(body).unwrap_or_default().error;
            return vec![format!("error {} {}: {}", response.status, error.kind, error.message)];
        }
        ResponseBody::Events(events) => events.clone(),
        ResponseBody::Message(message) => event::of_message(message, ""),
    };
    let mut recording = Recording::default();
    let mut recorder = Recorder::default();
    for event in &events {
        recorder.push(&event.bytes);
    }
    if let Some(segment) = recorder.cut(Micros(0)) {
        recording.append(std::sync::Arc::new(segment));
    }
    let message = match fold(&recording) {
        Ok(message) => message,
        Err(StreamError::Upstream(body)) => {
            let anthropic::Error { kind, message, .. } = body.error;
            return vec![format!("{}, then error {kind}: {message}", count(events.len() - 1))];
        }
        Err(StreamError::Cut) => return vec![format!("cut after {}", count(events.len()))],
        Err(error) => return vec![format!("unreadable: {error}")],
    };
    let mut lines: Vec<String> = message.content.iter().map(block).collect();
    let tokens = message.tokens();
    let stop = message.stop.stop_reason.as_deref().unwrap_or("nothing");
    lines.push(format!("stop {stop}"));
    lines.push(format!("in {} / out {}", tokens.prompt(), tokens.output));
    if let Some(events) = response.cut_after {
        lines.push(format!("cut after {}", count(events)));
    }
    lines
}

fn count(events: usize) -> String {
    if events == 1 { "1 event".to_owned() } else { format!("{events} events") }
}

fn block(block: &anthropic::Block) -> String {
    match &block.kind {
        BlockKind::Text { text, citations } => {
            let cites = match citations.iter().count() {
                0 => String::new(),
                1 => " (1 citation)".to_owned(),
                count => format!(" ({count} citations)"),
            };
            format!("text {}{cites}", quoted(text))
        }
        BlockKind::Thinking { thinking, .. } => format!("thinking {}", quoted(thinking)),
        BlockKind::RedactedThinking { .. } => "thinking, redacted".to_owned(),
        BlockKind::ToolUse { name, arguments, .. } => {
            format!("tool {name}({})", shortened(&arguments.decode()))
        }
        BlockKind::Fallback => {
            let json = serde_json::to_value(block).unwrap_or_default();
            format!("fallback to {}", json["to"]["model"].as_str().unwrap_or("another model"))
        }
        BlockKind::Other { input } => {
            let json = serde_json::to_value(block).unwrap_or_default();
            let kind = json["type"].as_str().unwrap_or("unknown");
            match json["name"].as_str() {
                Some(name) => {
                    format!("{kind} {name}({})", shortened(&input.decode()))
                }
                None => kind.to_owned(),
            }
        }
    }
}

fn quoted(text: &JsonString) -> String {
    format!("\"{}\"", shortened(&text.decode()))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => {
            format!("{}… ({} more characters)", &text[..end], text[end..].chars().count())
        }
        None => text.to_owned(),
    }
}

/// The last text of the user in a request of either dialect.
pub(super) fn last_user_text(request: &Tree<'_>) -> Option<String> {
    let messages = request.get("messages")?.items()?;
    let from_user = messages.iter().rev().filter(|message| {
        message.get("role").and_then(Tree::text).is_some_and(|role| role == "user")
    });
    from_user
        .filter_map(|message| text(message.get("content")?))
        .find(|text| !text.trim().is_empty())
}

fn text(content: &Tree<'_>) -> Option<String> {
    let one = |tree: &Tree<'_>| tree.text().map(Into::into).or_else(|| wildcard::shown(tree));
    if let Some(text) = one(content) {
        return Some(text);
    }
    let parts = content.items()?.iter().filter_map(|part| one(part.get("text")?));
    let texts: Vec<String> = parts.collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}
