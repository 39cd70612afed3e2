//! Texts in place of files that cannot be sent, so that Claude knows of them.

use super::data_url::{beginning, declared};
use crate::domain::{
    media_type::sniff_unreadable,
    openai::{File, Part, Source},
};

/// Maximum length of names and types in a text.
const LONGEST_NAME: usize = 100;

/// The text for a part that is left out because of `fault`.
pub(super) fn placeholder(part: &Part, fault: &str) -> String {
    let kind = match part.kind.as_str() {
        "image_url" | "image" => "picture",
        "input_audio" | "audio_url" | "audio" => "sound recording",
        "video_url" | "input_video" | "video" => "video",
        _ => "file",
    };
    let name = name(part).map(|name| format!(" \"{name}\"")).unwrap_or_default();
    let media_type = media_type(part).map(|of| format!(" of type {of}")).unwrap_or_default();
    format!("[{kind}{name}{media_type}, {fault}]")
}

fn name(part: &Part) -> Option<String> {
    let file = part.file.as_ref().and_then(|file| file.filename.as_deref());
    let name = file.or(part.title.as_deref())?.trim();
    let is_harmless = |char: &char| !char.is_control() && *char != '"';
    Some(name.chars().filter(is_harmless).take(LONGEST_NAME).collect())
        .filter(|name: &String| !name.is_empty())
}

/// The type of the bytes, or else the declared one.
fn media_type(part: &Part) -> Option<String> {
    let (declared, data) = match part {
        Part { image_url: Some(image), .. } => declared(&image.url),
        Part { file: Some(File { file_data: Some(data), .. }), .. } => declared(data),
        Part { source: Some(Source { media_type, data, .. }), .. } => {
            let (within, data) = declared(data.as_deref().unwrap_or_default());
            (media_type.as_deref().unwrap_or(within), data)
        }
        _ => return None,
    };
    let sniffed = beginning(data).and_then(|bytes| sniff_unreadable(&bytes));
    if let Some(sniffed) = sniffed {
        return Some(sniffed.to_owned());
    }
    let declared = declared.trim().to_ascii_lowercase();
    let is_type = declared.contains('/')
        && declared.len() <= LONGEST_NAME
        && declared.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/+-._".contains(&byte));
    is_type.then_some(declared)
}
