//! Pictures, documents and sounds in the new messages of a request, in either dialect.

use base64::{
    Engine,
    engine::{
        DecodePaddingMode,
        general_purpose::{GeneralPurpose, GeneralPurposeConfig},
    },
};

use super::{asked, tree::Tree};
use crate::domain::{chain::Hash, media_type};

/// Accepts missing padding, as clients write it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The media type of bytes of which nothing is known.
const UNKNOWN: &str = "application/octet-stream";

/// A part of a message that is no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// `image`, `document`, `audio`, or the word of the request for another kind.
    pub kind: String,
    /// The name of the file.
    pub name: Option<String>,
    /// The content.
    pub content: AttachmentContent,
}

/// The content of an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachmentContent {
    /// It is in the request.
    Bytes {
        /// By the first bytes, else as the request declares it.
        media_type: String,
        /// The bytes of the file.
        bytes: Vec<u8>,
    },
    /// It is elsewhere: a URL, or the id of a file at Anthropic. Empty if it cannot be read.
    Elsewhere(String),
}

impl Attachment {
    /// The attachments in the new ones of the last messages of a request, each given as JSON, results of tools included.
    pub fn of_messages(messages: &[Vec<u8>]) -> Vec<Self> {
        let mut found = Vec::new();
        asked::each_new(messages, |message| {
            if let Some(content) = message.get("content") {
                collect(content, &mut found);
            }
        });
        found
    }

    /// The name of its content: a hash of the bytes. `None`: they are not in the request.
    pub fn hash(&self) -> Option<Hash> {
        match &self.content {
            AttachmentContent::Bytes { bytes, .. } => Some(Hash::of("attachment", &[bytes])),
            AttachmentContent::Elsewhere(_) => None,
        }
    }
}

fn collect(content: &Tree<'_>, found: &mut Vec<Attachment>) {
    for part in content.items().unwrap_or_default() {
        let kind = part.get("type").and_then(Tree::text).unwrap_or_default();
        match &*kind {
            "text" | "input_text" => {}
            "tool_result" => {
                if let Some(content) = part.get("content") {
                    collect(content, found);
                }
            }
            kind if part.get("text").and_then(Tree::text).is_none() => {
                let kind = asked::medium(kind).to_owned();
                let (name, content) = (name(part), content_of(part));
                found.push(Attachment { kind, name, content });
            }
            _ => {}
        }
    }
}

fn name(part: &Tree<'_>) -> Option<String> {
    let name = part.get("title").or_else(|| part.get("file")?.get("filename"));
    name.or_else(|| part.get("filename"))?.text().map(Into::into)
}

fn content_of(part: &Tree<'_>) -> AttachmentContent {
    let text = |tree: Option<&Tree<'_>>| tree.and_then(Tree::text).map(String::from);
    // Anthropic's form.
    if let Some(source) = part.get("source") {
        let declared = text(source.get("media_type")).unwrap_or_default();
        return match (text(source.get("type")).as_deref(), text(source.get("data"))) {
            (Some("text"), Some(data)) => bytes(&declared, data.into_bytes()),
            (_, Some(data)) => encoded(&declared, &data),
            _ => {
                let place = text(source.get("url")).or_else(|| text(source.get("file_id")));
                AttachmentContent::Elsewhere(place.unwrap_or_default())
            }
        };
    }
    // OpenAI's forms.
    let image = part.get("image_url");
    let url = text(image).or_else(|| text(image?.get("url")));
    let file = part.get("file").unwrap_or(part);
    if let Some(url) = url.or_else(|| text(file.get("file_data"))) {
        return match url.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("data:")) {
            Some(_) => data_url(&url[5..]),
            None if url.contains("://") => AttachmentContent::Elsewhere(url),
            None => encoded("", &url),
        };
    }
    if let Some(audio) = part.get("input_audio") {
        let format = text(audio.get("format")).unwrap_or_default();
        return encoded(&format!("audio/{format}"), &text(audio.get("data")).unwrap_or_default());
    }
    AttachmentContent::Elsewhere(text(file.get("file_id")).unwrap_or_default())
}

/// A data URL without its scheme (RFC 2397).
fn data_url(url: &str) -> AttachmentContent {
    let (header, data) = url.split_once(',').unwrap_or_default();
    encoded(header.split(';').next().unwrap_or_default().trim(), data)
}

fn encoded(declared: &str, data: &str) -> AttachmentContent {
    let data: String = data.split_ascii_whitespace().collect();
    match BASE64.decode(data.trim_end_matches('=')) {
        Ok(decoded) if !decoded.is_empty() => bytes(declared, decoded),
        _ => AttachmentContent::Elsewhere(String::new()),
    }
}

fn bytes(declared: &str, bytes: Vec<u8>) -> AttachmentContent {
    let media_type = media_type::sniff(&bytes).unwrap_or(match declared {
        "" => UNKNOWN,
        declared => declared,
    });
    AttachmentContent::Bytes { media_type: media_type.to_owned(), bytes }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn attachments(content: &Value) -> Vec<Attachment> {
        let messages =
            [json!({"role": "assistant", "content": [{"type": "image"}]}), content.clone()];
        Attachment::of_messages(&messages.map(|message| message.to_string().into_bytes()))
    }

    #[test]
    fn files_of_either_dialect_are_bytes_with_a_media_type() {
        let png = "iVBORw0KGgo=";
        let found = attachments(&json!({"role": "user", "content": [
            {"type": "text", "text": "Look"},
            {"type": "image_url", "image_url": {"url": format!("data:image/jpeg;base64,{png}")}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png}},
            {"type": "file", "file": {"filename": "a.bin", "file_data": "data:;base64,AAEC"}},
            {"type": "tool_result", "content": [
                {"type": "document", "title": "Notes", "source": {"type": "text", "media_type": "text/plain", "data": "Hi"}},
            ]},
        ]}));
        let told: Vec<_> = found
            .iter()
            .map(|it| match &it.content {
                AttachmentContent::Bytes { media_type, bytes } => {
                    (&*it.kind, it.name.as_deref(), &**media_type, bytes.len())
                }
                AttachmentContent::Elsewhere(_) => panic!("{it:?}"),
            })
            .collect();
        assert_eq!(
            told,
            [
                ("image", None, "image/png", 8),
                ("image", None, "image/png", 8),
                ("document", Some("a.bin"), "application/octet-stream", 3),
                ("document", Some("Notes"), "text/plain", 2),
            ]
        );
        assert_eq!(found[0].hash(), found[1].hash());
        assert_ne!(found[0].hash(), found[2].hash());
    }

    #[test]
    fn what_is_elsewhere_or_damaged_has_no_bytes() {
        let found = attachments(&json!({"role": "user", "content": [
            {"type": "image_url", "image_url": "https://example.org/a.png"},
            {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,!"}},
            {"type": "later"},
        ]}));
        let places: Vec<_> = found.iter().map(|it| &it.content).collect();
        let elsewhere = |place: &str| AttachmentContent::Elsewhere(place.to_owned());
        let expected = ["https://example.org/a.png", "file_1", "", ""].map(elsewhere);
        assert_eq!(places, expected.iter().collect::<Vec<_>>());
    }
}
