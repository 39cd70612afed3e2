//! Pictures, files and search results, whose fields stand elsewhere in each dialect.

use serde_json::{Value, json};

use super::{
    changes::Changes,
    item::{Fields, is_set, take_first, take_text},
};
use crate::domain::openai::{
    message::{File, ImageUrl, Part, Source},
    parse_error::{ParseError, located_at},
};

/// Fields that have a picture.
pub(super) const IMAGE: [&str; 5] = ["image_url", "url", "image", "file_id", "data"];
/// Fields that have a file.
pub(super) const FILE: [&str; 5] = ["file_data", "file_url", "data", "url", "file_id"];
/// Fields that have the address of a picture.
const ADDRESS: [&str; 3] = ["image_url", "url", "image"];

/// A part of this type, without content.
pub(super) fn part(kind: &str, path: String) -> Part {
    Part { kind: kind.to_owned(), origin: Some(path), ..Part::default() }
}

/// A picture: an address, which stands in a field or in an object, an upload, or its bytes.
pub(super) fn image(
    kind: &str,
    mut fields: Fields,
    path: String,
    changes: &mut Changes,
) -> Result<Part, ParseError> {
    let cache_control = fields.shift_remove("cache_control");
    let has = |name: &&str| fields.get(*name).is_some_and(is_set);
    if !ADDRESS.iter().any(has) {
        changes.add(&*path, "a picture without an address is read as Anthropic's `image`");
        let source = match take_text(&mut fields, &["file_id"]) {
            Some(id) => Source { kind: "file".to_owned(), file_id: Some(id), ..Source::default() },
            // The form of the Model Context Protocol.
            None => Source {
                kind: "base64".to_owned(),
                media_type: take_text(&mut fields, &["mimeType", "media_type", "mediaType"]),
                data: take_text(&mut fields, &["data"]),
                ..Source::default()
            },
        };
        return Ok(Part { source: Some(source), cache_control, ..part("image", path) });
    }
    if kind != "image_url" || !has(&"image_url") {
        changes.add(&*path, "a picture of another dialect is read as `image_url`");
    }
    let given = take_first(&mut fields, &ADDRESS).unwrap_or_default();
    let image: ImageUrl = serde_path_to_error::deserialize(given)
        .map_err(|error| located_at(&format!("{path}.image_url"), error))?;
    let detail = image.detail.or_else(|| take_text(&mut fields, &["detail"]));
    let image_url = Some(ImageUrl { detail, ..image });
    Ok(Part { image_url, cache_control, ..part("image_url", path) })
}

/// A file whose fields stand in the part itself.
pub(super) fn file(mut fields: Fields, path: String, changes: &mut Changes) -> Part {
    changes.add(&*path, "a file of another dialect is read as `file`");
    let file = File {
        file_data: take_text(&mut fields, &["file_data", "data"]),
        file_url: take_text(&mut fields, &["file_url", "url"]),
        file_id: take_text(&mut fields, &["file_id"]),
        filename: take_text(&mut fields, &["filename", "name", "title"]),
    };
    let cache_control = fields.shift_remove("cache_control");
    Part { file: Some(file), cache_control, ..part("file", path) }
}

/// Anthropic's block for what a search found, where it is whole and the speaker `may_quote`; else its texts.
pub(super) fn search_result(
    mut fields: Fields,
    path: String,
    may_quote: bool,
    changes: &mut Changes,
) -> Part {
    let source = take_text(&mut fields, &["source", "url"]).unwrap_or_default();
    let title = take_text(&mut fields, &["title"]).unwrap_or_default();
    let content = match fields.shift_remove("content") {
        Some(Value::Array(items)) => items,
        Some(other) => vec![other],
        None => Vec::new(),
    };
    let texts: Vec<&str> = content
        .iter()
        .filter_map(|item| item.as_str().or_else(|| item.get("text")?.as_str()))
        .filter(|text| !text.trim().is_empty())
        .collect();
    let cache_control = fields.shift_remove("cache_control");
    if may_quote && !source.trim().is_empty() && !title.trim().is_empty() && !texts.is_empty() {
        changes.add(&*path, "what a search found is sent as Anthropic's block, without citations");
        let blocks = texts.into_iter().map(|text| json!({"type": "text", "text": text}));
        let content: Vec<Value> = blocks.collect();
        let block = Some(json!({
            "type": "search_result", "source": source, "title": title, "content": content,
        }));
        return Part { cache_control, block, ..part("search_result", path) };
    }
    changes.add(&*path, "what a search found is sent as text");
    let lines = [&*title, &*source].into_iter().chain(texts);
    let lines: Vec<&str> = lines.filter(|line| !line.trim().is_empty()).collect();
    Part { text: Some(lines.join("\n")), cache_control, ..part("text", path) }
}
