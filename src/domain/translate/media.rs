//! Images and files: URLs that OpenAI accepts as sources that Anthropic accepts (`reference/anthropic-api.md` §1.6,
//! "Media sources"). Nothing is fetched. The media type is read from the bytes, whatever the client declares.

use std::borrow::Cow;

use base64::{
    Engine,
    alphabet::STANDARD as ALPHABET,
    engine::{
        DecodePaddingMode,
        general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD},
    },
};
use url::Url;

use super::note::{Error, MediaFault, Notes};
use crate::domain::{
    anthropic::{self, ContentBlock, Source},
    media_type::{PDF, sniff},
    openai::{self, Part},
};

/// Accepts missing padding and trailing bits.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The source of the image at `url`, a field that `field` names.
pub(super) fn image(
    url: &str,
    field: &dyn Fn() -> String,
    notes: &mut Notes,
) -> Result<Source, MediaFault> {
    let url = url.trim();
    if url.is_empty() {
        return Err(MediaFault::Empty);
    }
    let Some(data_url) = data_url(url) else {
        return Ok(web_source(url, web_url(url)?));
    };
    let (declared, data) = split(data_url).ok_or(MediaFault::NotBase64)?;
    let (bytes, data) = decode(data)?;
    let media_type = sniff(&bytes).filter(|kind| *kind != PDF).ok_or(MediaFault::NotAnImage)?;
    if !declared.is_empty() && !declared.eq_ignore_ascii_case(media_type) {
        note_media_type(media_type, field, notes);
    }
    Ok(Source::Base64 { media_type, data })
}

/// The block for OpenAI's `file` part, whose fields `path` names, by the type of its bytes.
pub(super) fn file(
    part: &Part,
    path: &dyn Fn(&str) -> String,
    notes: &mut Notes,
) -> Result<ContentBlock, Error> {
    let Some(openai::File { file_data, file_id, filename }) = &part.file else {
        return Err(Error::Missing { field: path(".file") });
    };
    let fault = |name| move |fault| Error::File { field: path(name), fault };
    let block = match (file_data, file_id) {
        (Some(data), id) => {
            if id.is_some() {
                let what = "is left out, because file_data has the content of the file";
                notes.once(|| path(".file.file_id"), what);
            }
            let field = || path(".file.file_data");
            bytes_or_url(data, &field, notes).map_err(fault(".file.file_data"))?
        }
        (None, Some(id)) => document(uploaded(id).map_err(fault(".file.file_id"))?),
        (None, None) => return Err(fault(".file")(MediaFault::Absent)),
    };
    Ok(titled(block, filename.as_deref()))
}

/// The block for Anthropic's own `image` or `document` part, which some clients send through the chat API.
pub(super) fn anthropic(
    part: &Part,
    path: &dyn Fn(&str) -> String,
    notes: &mut Notes,
) -> Result<ContentBlock, Error> {
    let Some(openai::Source { kind, media_type, data, url, file_id }) = &part.source else {
        return Err(Error::Missing { field: path(".source") });
    };
    let is_image = part.kind == "image";
    let of_kind = |source| {
        if is_image { ContentBlock::Image { source } } else { document(source) }
    };
    let required = |value: &Option<String>, name: &'static str| {
        value.clone().ok_or_else(|| Error::Missing { field: path(name) })
    };
    let fault = |name| move |fault| Error::File { field: path(name), fault };
    let block = match kind.as_str() {
        "base64" => {
            let data = required(data, ".source.data")?;
            let declared = media_type.as_deref().unwrap_or_default();
            let field = || path(".source.media_type");
            let block = read(declared, &data, &field, notes).map_err(fault(".source.data"))?;
            if is_image != matches!(block, ContentBlock::Image { .. }) {
                return Err(fault(".source.data")(MediaFault::OtherKind));
            }
            block
        }
        "text" if !is_image => {
            let text = text(required(data, ".source.data")?);
            document(text.ok_or(MediaFault::Empty).map_err(fault(".source.data"))?)
        }
        "url" => {
            let url = required(url, ".source.url")?;
            let url = url.trim();
            of_kind(web_source(url, web_url(url).map_err(fault(".source.url"))?))
        }
        "file" => {
            let id = required(file_id, ".source.file_id")?;
            of_kind(uploaded(&id).map_err(fault(".source.file_id"))?)
        }
        _ => return Err(fault(".source")(MediaFault::Source)),
    };
    Ok(titled(block, part.title.as_deref()))
}

fn document(source: Source) -> ContentBlock {
    ContentBlock::Document { source, title: None }
}

/// A document with its title; images have none.
fn titled(block: ContentBlock, title: Option<&str>) -> ContentBlock {
    let title = title.map(str::trim).filter(|title| !title.is_empty()).map(str::to_owned);
    match block {
        ContentBlock::Document { source, .. } => ContentBlock::Document { source, title },
        other => other,
    }
}

/// A file by its `data:` URL, its https URL, or its base64 alone.
fn bytes_or_url(
    data: &str,
    field: &dyn Fn() -> String,
    notes: &mut Notes,
) -> Result<ContentBlock, MediaFault> {
    let data = data.trim();
    if let Some(data_url) = data_url(data) {
        let (declared, data) = split(data_url).ok_or(MediaFault::NotBase64)?;
        return read(declared, data, field, notes);
    }
    // Base64 has no colon.
    if data.contains(':') {
        let url = web_url(data)?;
        return linked(data, url).ok_or(MediaFault::Format);
    }
    read("", data, field, notes)
}

/// The block for a file on the web, by the extension of its name; `None` for sound and video. Anthropic fetches images
/// and PDFs only, so a name without a known extension is taken for a PDF.
fn linked(given: &str, url: Url) -> Option<ContentBlock> {
    let name = url.path_segments().and_then(|mut names| names.next_back()).unwrap_or_default();
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("png" | "jpg" | "jpeg" | "gif" | "webp") => {
            Some(ContentBlock::Image { source: web_source(given, url) })
        }
        Some(
            "mp3" | "wav" | "m4a" | "aac" | "ogg" | "opus" | "flac" | "mp4" | "m4v" | "mov" | "avi"
            | "mkv" | "webm" | "mpeg" | "mpg",
        ) => None,
        _ => Some(document(web_source(given, url))),
    }
}

/// A file by its base64. The declared type is noted only if it promises another kind of file: a text is a text,
/// whatever it is called.
fn read(
    declared: &str,
    data: &str,
    field: &dyn Fn() -> String,
    notes: &mut Notes,
) -> Result<ContentBlock, MediaFault> {
    let (bytes, data) = decode(data)?;
    let declared = declared.to_ascii_lowercase();
    let (media_type, block) = match sniff(&bytes) {
        Some(PDF) => (PDF, document(Source::Base64 { media_type: PDF, data })),
        Some(media_type) => {
            (media_type, ContentBlock::Image { source: Source::Base64 { media_type, data } })
        }
        None => {
            let content = String::from_utf8(bytes).map_err(|_| MediaFault::Format)?;
            // A NUL is the sign of a binary file.
            if content.contains('\0') {
                return Err(MediaFault::Format);
            }
            let block = document(text(content).ok_or(MediaFault::Empty)?);
            (if declared.starts_with("text/") { &*declared } else { "text/plain" }, block)
        }
    };
    let is_claim =
        declared == PDF || declared.starts_with("image/") || declared.starts_with("text/");
    if is_claim && declared != media_type {
        note_media_type(media_type, field, notes);
    }
    Ok(block)
}

fn note_media_type(media_type: &str, field: &dyn Fn() -> String, notes: &mut Notes) {
    notes.add(field(), format!("is sent as {media_type}, the type of its bytes"));
}

/// A text as a document; `None` if it is blank, which Anthropic refuses.
fn text(text: String) -> Option<Source> {
    let data = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    if anthropic::is_blank(&data) {
        return None;
    }
    Some(Source::Text { media_type: "text/plain", data })
}

/// A file of Anthropic's Files API. Ids of OpenAI's (`file-…`) mean nothing there.
fn uploaded(id: &str) -> Result<Source, MediaFault> {
    let is_word = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if id.starts_with("file_") && is_word {
        Ok(Source::File { file_id: id.to_owned() })
    } else {
        Err(MediaFault::Id)
    }
}

/// The part of a data URL after `data:`; `None` for any other URL.
fn data_url(url: &str) -> Option<&str> {
    let scheme = url.get(..5)?;
    scheme.eq_ignore_ascii_case("data:").then(|| &url[5..])
}

/// Parses the URL of a file on the web.
fn web_url(url: &str) -> Result<Url, MediaFault> {
    let parsed = Url::parse(url).map_err(|_| MediaFault::NotAUrl)?;
    if matches!(parsed.scheme(), "http" | "https") { Ok(parsed) } else { Err(MediaFault::Scheme) }
}

/// The source of a file on the web: the URL as the client wrote it, or normalized if it is written oddly
/// (`HTTPS:/example.com`).
fn web_source(given: &str, parsed: Url) -> Source {
    let is_plain = ["http://", "https://"].iter().any(|begin| given.starts_with(begin))
        && !given.contains(char::is_whitespace);
    Source::Url { url: if is_plain { given.to_owned() } else { parsed.into() } }
}

/// The media type and the data of a base64 data URL, given without its scheme; `None` if it is not base64.
fn split(url: &str) -> Option<(&str, &str)> {
    let (header, data) = url.split_once(',')?;
    let mut params = header.split(';').map(str::trim);
    let declared = params.next().unwrap_or_default();
    params.any(|param| param.eq_ignore_ascii_case("base64")).then_some((declared, data))
}

/// The bytes, and their base64 as Anthropic accepts it.
fn decode(data: &str) -> Result<(Vec<u8>, String), MediaFault> {
    let data = tidy(data);
    if data.is_empty() {
        return Err(MediaFault::Empty);
    }
    if let Ok(bytes) = STANDARD.decode(data.as_bytes()) {
        return Ok((bytes, data.into_owned()));
    }
    let bytes = LENIENT.decode(data.as_bytes()).map_err(|_| MediaFault::BadBase64)?;
    let data = STANDARD.encode(&bytes);
    Ok((bytes, data))
}

/// Base64 as the standard alphabet has it: without white space, and neither percent-encoded nor URL-safe.
fn tidy(data: &str) -> Cow<'_, str> {
    let odd = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'%' | b'-' | b'_');
    if !data.as_bytes().iter().any(odd) {
        return Cow::Borrowed(data);
    }
    let spaceless: String = data.split_ascii_whitespace().collect();
    let mut tidy = spaceless.replace('-', "+").replace('_', "/");
    for (escape, character) in [("%2B", "+"), ("%2F", "/"), ("%3D", "="), ("%0A", ""), ("%0D", "")]
    {
        if tidy.contains('%') {
            tidy = tidy.replace(escape, character).replace(&escape.to_lowercase(), character);
        }
    }
    Cow::Owned(tidy)
}
