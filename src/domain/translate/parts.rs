//! Content parts of a message as blocks.

use super::{
    caching,
    instructions::NOT_SENT,
    media::{self, PictureLimits},
    note::{Error, Notes},
    turn::Turn,
};
use crate::domain::{
    anthropic::{self, ContentBlock},
    json::Raw,
    openai::{self, Content, Part, Role},
};

/// Notes fields of earlier answers that are left out.
pub(super) fn leave_out_extras(at: usize, message: &openai::Message, notes: &mut Notes) {
    let extras = [("annotations", &message.annotations), ("audio", &message.audio)];
    for (name, value) in extras {
        let given = value.as_ref().is_some_and(|value| {
            value.as_array().is_none_or(|items| !items.is_empty()) && value.as_str() != Some("")
        });
        if given {
            let field = || format!("{}.{name}", message.path(at));
            notes.once(field, "citations and sound of earlier answers are left out");
        }
    }
}

/// The blocks of a message, except blank ones.
pub(super) fn blocks(
    message_path: &str,
    message: &openai::Message,
    turn: Turn,
    limits: &PictureLimits<'_>,
    notes: &mut Notes,
) -> Result<Vec<ContentBlock>, Error> {
    let mut blocks = Vec::new();
    match &message.content {
        None => {}
        Some(Content::Text(text)) if anthropic::is_blank(text) => {}
        Some(Content::Text(text)) => blocks.push(ContentBlock::text(text)),
        Some(Content::Parts(parts)) => {
            for (number, part) in parts.iter().enumerate() {
                let path = |field: &str| match &part.origin {
                    Some(origin) => format!("{origin}{field}"),
                    None => format!("{message_path}.content[{number}]{field}"),
                };
                match block(message.role, part, turn, limits, &path, notes) {
                    Ok(block) => blocks.extend(block),
                    Err(error) if turn == Turn::Last => return Err(error),
                    Err(_) => {
                        let what = "a part that cannot be sent is replaced by a text that says so";
                        notes.once(|| path(""), what);
                        // The assistant and the instructions never said it.
                        if matches!(message.role, Role::User | Role::Tool) {
                            blocks.push(ContentBlock::text(NOT_SENT));
                        }
                    }
                }
                caching::mark(message.role, caching::of_part(part), &path, &mut blocks, notes);
            }
        }
    }
    let path = |field: &str| format!("{message_path}{field}");
    caching::mark(message.role, caching::of_message(message), &path, &mut blocks, notes);
    Ok(blocks)
}

/// One part, whose fields `path` names; `None` if it is left out.
fn block(
    role: Role,
    part: &Part,
    turn: Turn,
    limits: &PictureLimits<'_>,
    path: &dyn Fn(&str) -> String,
    notes: &mut Notes,
) -> Result<Option<ContentBlock>, Error> {
    let text = |text: &Option<String>, field| match text {
        Some(text) if anthropic::is_blank(text) => Ok(None),
        Some(text) => Ok(Some(ContentBlock::text(text))),
        None => Err(Error::Missing { field: path(field) }),
    };
    let speaks = matches!(role, Role::User | Role::Tool);
    match part.kind.as_str() {
        "text" => {
            let block = text(&part.text, ".text")?;
            if block.is_none() {
                notes.once(|| path(""), "a blank part is left out");
            }
            Ok(block)
        }
        "refusal" if part.refusal.is_none() => {
            notes.once(|| path(""), "a blank part is left out");
            Ok(None)
        }
        "refusal" => text(&part.refusal, ".refusal"),
        "image_url" | "file" | "image" | "document" | "input_audio" | "audio_url" | "audio"
        | "video_url" | "input_video" | "video" => {
            if !speaks {
                let what = "pictures and files are left out where the user does not speak";
                notes.once(|| path(""), what);
                return Ok(None);
            }
            media::block(part, turn, limits, path, notes).map(Some)
        }
        "thinking" | "redacted_thinking" | "reasoning" if role == Role::Assistant => {
            let what = "thinking, citations and sound of earlier answers are left out";
            notes.once(|| path(""), what);
            Ok(None)
        }
        "fallback" => {
            notes.once(|| path(""), "marks of fallbacks in earlier answers are left out");
            Ok(None)
        }
        kind => match (&part.block, &part.text) {
            (Some(block), _) => Ok(Some(ContentBlock::Original(Raw::of(block)))),
            (None, given @ Some(_)) => text(given, ".text"),
            (None, None) => {
                let kind = kind.chars().take(64).collect();
                Err(Error::UnknownPart { field: path(".type"), kind })
            }
        },
    }
}
