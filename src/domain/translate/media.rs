//! Pictures and files: from the URLs that OpenAI takes to the sources that Anthropic takes
//! (`reference/anthropic-api.md` §1.6, "Media sources"). Nothing is fetched here. What is in a data URL is read, not
//! believed.

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

use super::note::{Error, FileFault, ImageFault, Notes};
use crate::domain::{
    anthropic::{self, ContentBlock, Source},
    openai::{self, Part},
};

const PDF: &str = "application/pdf";

/// Takes missing padding, and bits left over at the end.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The source of the picture at `url`, a field that `field` names.
pub(super) fn image(
    url: &str,
    field: &dyn Fn() -> String,
    notes: &mut Notes,
) -> Result<Source, ImageFault> {
    let url = url.trim();
    if url.is_empty() {
        return Err(ImageFault::Empty);
    }
    if let Some(inside) = data_url(url) {
        return inline(inside, field, notes);
    }
    let parsed = Url::parse(url).map_err(|_| ImageFault::NotAUrl)?;
    web(url, parsed).ok_or(ImageFault::Scheme)
}

/// An OpenAI `file` part, whose fields `path` names, as what its bytes are.
pub(super) fn file(
    part: &Part,
    path: &dyn Fn(&str) -> String,
    notes: &mut Notes,
) -> Result<ContentBlock, Error> {
    let Some(openai::File { file_data, file_id, filename }) = &part.file else {
        return Err(Error::Missing { field: path(".file") });
    };
    let fault = |name| move |fault| Error::File { field: path(name), fault };
    let found = match (file_data, file_id) {
        (Some(data), id) => {
            if id.is_some() {
                let what = "is left out, because file_data says what is in the file";
                notes.once(|| path(".file.file_id"), what);
            }
            let field = || path(".file.file_data");
            bytes_or_url(data, &field, notes).map_err(fault(".file.file_data"))?
        }
        (None, Some(id)) => Found::Document(uploaded(id).map_err(fault(".file.file_id"))?),
        (None, None) => return Err(fault(".file")(FileFault::Absent)),
    };
    Ok(found.block(filename.as_deref()))
}

/// Anthropic's own `image` or `document`, which clients send through OpenAI's door as well.
pub(super) fn anthropic(
    part: &Part,
    path: &dyn Fn(&str) -> String,
    notes: &mut Notes,
) -> Result<ContentBlock, Error> {
    let Some(openai::Source { kind, media_type, data, url, file_id }) = &part.source else {
        return Err(Error::Missing { field: path(".source") });
    };
    let is_image = part.kind == "image";
    let of_kind = |source| if is_image { Found::Image(source) } else { Found::Document(source) };
    let given = |value: &Option<String>, name: &'static str| {
        value.clone().ok_or_else(|| Error::Missing { field: path(name) })
    };
    let fault = |name| move |fault| Error::File { field: path(name), fault };
    let found = match kind.as_str() {
        "base64" => {
            let data = given(data, ".source.data")?;
            let declared = media_type.as_deref().unwrap_or_default();
            let field = || path(".source.media_type");
            let found = read(declared, &data, &field, notes).map_err(fault(".source.data"))?;
            if is_image != matches!(found, Found::Image(_)) {
                return Err(fault(".source.data")(FileFault::OtherKind));
            }
            found
        }
        "text" if !is_image => {
            let data = given(data, ".source.data")?;
            Found::Document(text(data).ok_or(FileFault::Empty).map_err(fault(".source.data"))?)
        }
        "url" => {
            let url = given(url, ".source.url")?;
            let parsed = Url::parse(url.trim()).ok();
            let source = parsed.and_then(|parsed| web(url.trim(), parsed));
            of_kind(source.ok_or(FileFault::Scheme).map_err(fault(".source.url"))?)
        }
        "file" => {
            let id = given(file_id, ".source.file_id")?;
            of_kind(uploaded(&id).map_err(fault(".source.file_id"))?)
        }
        _ => return Err(fault(".source")(FileFault::Source)),
    };
    Ok(found.block(part.title.as_deref()))
}

/// What a file turned out to be.
enum Found {
    Image(Source),
    Document(Source),
}

impl Found {
    fn block(self, title: Option<&str>) -> ContentBlock {
        match self {
            Self::Image(source) => ContentBlock::Image { source },
            Self::Document(source) => {
                let title = title.map(str::trim).filter(|title| !title.is_empty());
                ContentBlock::Document { source, title: title.map(str::to_owned) }
            }
        }
    }
}

/// A file by its `data:` URL, its https URL, or its base64 alone.
fn bytes_or_url(
    data: &str,
    field: &dyn Fn() -> String,
    notes: &mut Notes,
) -> Result<Found, FileFault> {
    let data = data.trim();
    if let Some(inside) = data_url(data) {
        let (declared, data) = split(inside).ok_or(FileFault::NotBase64)?;
        return read(declared, data, field, notes);
    }
    // No base64 has a colon.
    if data.contains(':') {
        let parsed = Url::parse(data).map_err(|_| FileFault::Scheme)?;
        let found = by_name(&parsed);
        return found(web(data, parsed).ok_or(FileFault::Scheme)?).ok_or(FileFault::Format);
    }
    read("", data, field, notes)
}

/// What a file of the web is, as far as its name says: Anthropic fetches pictures and PDFs, and nobody else looks
/// inside. A name that says nothing is taken for a PDF's.
fn by_name(url: &Url) -> fn(Source) -> Option<Found> {
    let name = url.path_segments().and_then(|mut names| names.next_back()).unwrap_or_default();
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("png" | "jpg" | "jpeg" | "gif" | "webp") => |source| Some(Found::Image(source)),
        Some(
            "mp3" | "wav" | "m4a" | "aac" | "ogg" | "opus" | "flac" | "mp4" | "m4v" | "mov" | "avi"
            | "mkv" | "webm" | "mpeg" | "mpg",
        ) => |_| None,
        _ => |source| Some(Found::Document(source)),
    }
}

/// A file by its base64. Only a type that promises something else than the bytes are is worth a note: a text is a
/// text, whatever it is called.
fn read(
    declared: &str,
    data: &str,
    field: &dyn Fn() -> String,
    notes: &mut Notes,
) -> Result<Found, FileFault> {
    let (bytes, data) = decode(data).map_err(|undecodable| match undecodable {
        Undecodable::Empty => FileFault::Empty,
        Undecodable::Bad => FileFault::BadBase64,
    })?;
    let declared = declared.to_ascii_lowercase();
    let differs = |media_type: &str| {
        declared != media_type
            && (declared == PDF || declared.starts_with("image/") || declared.starts_with("text/"))
    };
    let (media_type, found) = if bytes.starts_with(b"%PDF-") {
        (PDF, Found::Document(Source::Base64 { media_type: PDF, data }))
    } else if let Some(media_type) = sniff(&bytes) {
        (media_type, Found::Image(Source::Base64 { media_type, data }))
    } else {
        let said = String::from_utf8(bytes).map_err(|_| FileFault::Format)?;
        // Texts have no zeros; many other files do.
        if said.contains('\0') {
            return Err(FileFault::Format);
        }
        let found = Found::Document(text(said).ok_or(FileFault::Empty)?);
        (if declared.starts_with("text/") { &*declared } else { "text/plain" }, found)
    };
    if differs(media_type) {
        notes.add(field(), format!("the file is sent as {media_type}, which its bytes are"));
    }
    Ok(found)
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
fn uploaded(id: &str) -> Result<Source, FileFault> {
    let is_word = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if id.starts_with("file_") && is_word {
        Ok(Source::File { file_id: id.to_owned() })
    } else {
        Err(FileFault::Id)
    }
}

/// What follows `data:`, if that is what the URL begins with.
fn data_url(url: &str) -> Option<&str> {
    let scheme = url.get(..5)?;
    scheme.eq_ignore_ascii_case("data:").then(|| &url[5..])
}

/// A page of the web: as the client wrote it, if that is how it must begin; else (`HTTPS:/example.com`) as it is
/// understood.
fn web(url: &str, parsed: Url) -> Option<Source> {
    if !matches!(parsed.scheme(), "http" | "https") {
        return None;
    }
    let canonical = ["http://", "https://"].iter().any(|begin| url.starts_with(begin))
        && !url.contains(char::is_whitespace);
    Some(Source::Url { url: if canonical { url.to_owned() } else { parsed.into() } })
}

/// The source of a data URL, given without its scheme.
fn inline(url: &str, field: &dyn Fn() -> String, notes: &mut Notes) -> Result<Source, ImageFault> {
    let (declared, data) = split(url).ok_or(ImageFault::NotBase64)?;
    let (bytes, data) = decode(data).map_err(|undecodable| match undecodable {
        Undecodable::Empty => ImageFault::Empty,
        Undecodable::Bad => ImageFault::BadBase64,
    })?;
    let media_type = sniff(&bytes).ok_or(ImageFault::Format)?;
    if !declared.is_empty() && !declared.eq_ignore_ascii_case(media_type) {
        notes.add(field(), format!("the picture is sent as {media_type}, which its bytes are"));
    }
    Ok(Source::Base64 { media_type, data })
}

/// The media type and the data of a base64 data URL, given without its scheme; `None` if it is not base64.
fn split(url: &str) -> Option<(&str, &str)> {
    let (header, data) = url.split_once(',')?;
    let mut params = header.split(';').map(str::trim);
    let declared = params.next().unwrap_or_default();
    params.any(|param| param.eq_ignore_ascii_case("base64")).then_some((declared, data))
}

/// Why something is not base64 of anything.
enum Undecodable {
    Empty,
    Bad,
}

/// The bytes, and the base64 of them that Anthropic takes.
fn decode(data: &str) -> Result<(Vec<u8>, String), Undecodable> {
    let data = tidy(data);
    if data.is_empty() {
        return Err(Undecodable::Empty);
    }
    if let Ok(bytes) = STANDARD.decode(data.as_bytes()) {
        return Ok((bytes, data.into_owned()));
    }
    let bytes = LENIENT.decode(data.as_bytes()).map_err(|_| Undecodable::Bad)?;
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

/// The media type of a picture by its first bytes.
fn sniff(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}
