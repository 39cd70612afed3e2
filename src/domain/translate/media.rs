//! Images and files: URLs that OpenAI accepts as sources that Anthropic accepts (`reference/anthropic-api.md` §1.6,
//! "Media sources"). Nothing is fetched. The media type is read from the bytes, whatever the client declares.
//!
//! What cannot be sent is an error where the user can send something else. Elsewhere it would end the chat for ever, so
//! that a text takes its place.

mod data_url;
mod placeholder;
mod shrink;

use std::cell::Cell;

use base64::{Engine, engine::general_purpose::STANDARD};
use url::Url;

use self::{
    data_url::{beginning, data_url, declared, decode, split},
    placeholder::placeholder,
    shrink::{Excess, LONGEST_SIDE, LONGEST_SIDE_OF_MANY, MANY, excess, shrink},
};
use super::{
    context::Cancellation,
    note::{Error, MediaFault, Notes},
    turn::Turn,
};
use crate::domain::{
    anthropic::{self, ContentBlock, Source},
    media_type::{PDF, embedded_pdf, sniff, text},
    openai::{self, Content, ImageUrl, Part},
};

/// Limits for the pictures of a conversation.
#[derive(Debug)]
pub(super) struct PictureLimits<'a> {
    /// Longest side, in pixels.
    longest_side: u32,
    /// Number of pictures that may still be made smaller.
    left: Cell<usize>,
    cancellation: Cancellation<'a>,
}

/// Most pictures of a request that are made smaller: as many as Anthropic takes in a request.
const MOST_SHRUNK: usize = 600;

impl<'a> PictureLimits<'a> {
    pub(super) fn of(messages: &[openai::Message], cancellation: Cancellation<'a>) -> Self {
        Self { longest_side: longest_side(messages), left: Cell::new(MOST_SHRUNK), cancellation }
    }

    /// True if one more picture may be made smaller.
    fn take(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0 && self.cancellation.check().is_ok()
    }
}

/// Limit on the sides of the pictures of a conversation, in pixels.
fn longest_side(messages: &[openai::Message]) -> u32 {
    let parts = messages.iter().filter_map(|message| match &message.content {
        Some(Content::Parts(parts)) => Some(parts),
        _ => None,
    });
    let pictures = parts.flatten().filter(|part| is_picture(part)).count();
    if pictures > MANY { LONGEST_SIDE_OF_MANY } else { LONGEST_SIDE }
}

/// A part that is read, the path to its fields, and the place for notes.
struct PartReader<'a, 'n> {
    part: &'a Part,
    path: &'a dyn Fn(&str) -> String,
    limits: &'a PictureLimits<'a>,
    notes: &'n mut Notes,
}

/// The block for a part with a picture, a file, sound or a video.
pub(super) fn block(
    part: &Part,
    turn: Turn,
    limits: &PictureLimits<'_>,
    path: &dyn Fn(&str) -> String,
    notes: &mut Notes,
) -> Result<ContentBlock, Error> {
    let before = notes.len();
    let mut source = PartReader { part, path, limits, notes };
    let block = match part.kind.as_str() {
        "image_url" => source.image_url(),
        "file" => source.file(),
        "image" | "document" => source.anthropic(),
        "input_audio" | "audio_url" | "audio" => {
            let reason = "Claude cannot hear audio; send a transcript as text";
            Err(Error::Impossible { field: path(".type"), reason })
        }
        _ => {
            let reason = "Claude cannot watch videos; send pictures or a transcript";
            Err(Error::Impossible { field: path(".type"), reason })
        }
    };
    block.or_else(|error| {
        if turn == Turn::Last {
            return Err(error);
        }
        let fault = match &error {
            Error::Image { fault, .. } | Error::File { fault, .. } if fault.is_excess() => {
                "which is too large for Claude"
            }
            _ => "which Claude cannot read",
        };
        notes.truncate(before);
        notes.add(error.param(), "cannot be sent to Claude; a text stands in its place");
        Ok(ContentBlock::text(placeholder(part, fault)))
    })
}

impl PartReader<'_, '_> {
    /// OpenAI's `image_url` part. Some clients put every file there.
    fn image_url(&mut self) -> Result<ContentBlock, Error> {
        let Some(ImageUrl { url, detail }) = &self.part.image_url else {
            return Err(Error::Missing { field: (self.path)(".image_url") });
        };
        if detail.as_ref().is_some_and(|detail| detail != "auto") {
            self.notes.once(
                || (self.path)(".image_url.detail"),
                "is left out, because Claude looks at every picture alike",
            );
        }
        let name = ".image_url.url";
        let block = match web_or_bytes(url.trim()) {
            Err(fault) => Err(fault),
            Ok(Location::Web(url, parsed)) => match extension(&parsed, None).as_deref() {
                Some("pdf") => Ok(document(web_source(url, parsed))),
                Some(extension) if is_unreadable(extension) => Err(MediaFault::NotAnImage),
                _ => Ok(ContentBlock::Image { source: web_source(url, parsed) }),
            },
            Ok(Location::Bytes(declared, data)) => {
                // A text that calls itself a picture is an SVG.
                let is_text = !declared.is_empty() && !declared.starts_with("image/");
                match self.read(declared, data, name) {
                    Ok(ContentBlock::Document { source: Source::Text { .. }, .. }) if !is_text => {
                        Err(MediaFault::NotAnImage)
                    }
                    Err(MediaFault::Format) if !is_text => Err(MediaFault::NotAnImage),
                    block => block,
                }
            }
        };
        // A word that is no picture in base64 was meant as an address.
        let block = block.map_err(|fault| match fault {
            MediaFault::BadBase64 | MediaFault::NotAnImage if !url.contains(':') => {
                MediaFault::NotAUrl
            }
            fault => fault,
        });
        block.map_err(|fault| Error::Image { field: (self.path)(name), fault })
    }

    /// OpenAI's `file` part, by the type of its bytes.
    fn file(&mut self) -> Result<ContentBlock, Error> {
        let Some(file) = &self.part.file else {
            return Err(Error::Missing { field: (self.path)(".file") });
        };
        let openai::File { file_data, file_url, file_id, filename } = file;
        let (name, block) = match (file_data, file_url, file_id) {
            (Some(data), _, id) => {
                if id.is_some() {
                    let what = "is left out, because file_data has the content of the file";
                    self.notes.once(|| (self.path)(".file.file_id"), what);
                }
                (".file.file_data", self.bytes_or_url(data, filename.as_deref(), ".file.file_data"))
            }
            (None, Some(url), _) => {
                (".file.file_url", self.bytes_or_url(url, filename.as_deref(), ".file.file_url"))
            }
            (None, None, Some(id)) => (".file.file_id", uploaded(id).map(document)),
            (None, None, None) => (".file", Err(MediaFault::Absent)),
        };
        let block = block.map_err(|fault| Error::File { field: (self.path)(name), fault })?;
        Ok(titled(block, filename.as_deref()))
    }

    /// Anthropic's own `image` or `document` part, which some clients send through the chat API.
    fn anthropic(&mut self) -> Result<ContentBlock, Error> {
        let Self { part, path, .. } = *self;
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
                let (within, data) = match data_url(data.trim()).and_then(split) {
                    Some(within) => within,
                    None => (declared, &*data),
                };
                let declared = if declared.is_empty() { within } else { declared };
                let block =
                    self.read(declared, data, ".source.data").map_err(fault(".source.data"))?;
                let is_pdf =
                    matches!(block, ContentBlock::Document { source: Source::Base64 { .. }, .. });
                // A picture in a document is a picture, and a PDF in an image is a document. A text in an image is an
                // SVG.
                if is_image && !is_pdf && !matches!(block, ContentBlock::Image { .. }) {
                    return Err(fault(".source.data")(MediaFault::OtherKind));
                }
                block
            }
            "text" if !is_image => {
                let text = text_source(required(data, ".source.data")?);
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

    /// A file by its `data:` URL, its https URL, or its base64 alone.
    fn bytes_or_url(
        &mut self,
        text: &str,
        filename: Option<&str>,
        name: &'static str,
    ) -> Result<ContentBlock, MediaFault> {
        match web_or_bytes(text.trim())? {
            Location::Web(url, parsed) => linked(url, parsed, filename).ok_or(MediaFault::Format),
            Location::Bytes("", data) => {
                let is_pdf =
                    filename.is_some_and(|name| name.to_ascii_lowercase().ends_with(".pdf"));
                self.read(if is_pdf { PDF } else { "" }, data, name)
            }
            Location::Bytes(declared, data) => self.read(declared, data, name),
        }
    }

    /// A file by its base64, which the field `name` holds. The declared type is noted only if it promises another kind
    /// of file: a text is a text, whatever it is called.
    fn read(
        &mut self,
        declared: &str,
        data: &str,
        name: &'static str,
    ) -> Result<ContentBlock, MediaFault> {
        let (bytes, data) = decode(data)?;
        let declared = declared.to_ascii_lowercase();
        let (media_type, block) = match sniff(&bytes) {
            Some(PDF) => (PDF, document(Source::Base64 { media_type: PDF, data })),
            Some(media_type) => {
                let source = self.picture(media_type, &bytes, data, name)?;
                (media_type, ContentBlock::Image { source })
            }
            None => {
                if let Some(at) = embedded_pdf(&bytes, declared == PDF) {
                    self.notes.add((self.path)(name), "what stands before the PDF is left out");
                    let data = STANDARD.encode(&bytes[at..]);
                    (PDF, document(Source::Base64 { media_type: PDF, data }))
                } else {
                    let text = text(bytes).ok_or(MediaFault::Format)?;
                    let block = document(text_source(text).ok_or(MediaFault::Empty)?);
                    (if declared.starts_with("text/") { &*declared } else { "text/plain" }, block)
                }
            }
        };
        let is_claim =
            declared == PDF || declared.starts_with("image/") || declared.starts_with("text/");
        if is_claim && declared != media_type {
            let what = format!("is sent as {media_type}, the type of its bytes");
            self.notes.add((self.path)(name), what);
        }
        Ok(block)
    }

    /// A picture, made smaller if it is over a limit.
    fn picture(
        &mut self,
        media_type: &'static str,
        bytes: &[u8],
        data: String,
        name: &'static str,
    ) -> Result<Source, MediaFault> {
        let Some(excess) = excess(bytes, media_type, self.limits.longest_side) else {
            return Ok(Source::Base64 { media_type, data });
        };
        let (fault, limit) = match excess {
            Excess::Bytes => (MediaFault::TooManyBytes, "5 MiB".to_owned()),
            Excess::Side => {
                (MediaFault::TooManyPixels, format!("{} pixels a side", self.limits.longest_side))
            }
        };
        if !self.limits.take() {
            return Err(fault);
        }
        let (media_type, bytes) = shrink(bytes, media_type).ok_or(fault)?;
        let what = format!("is over the limit of {limit}; it is sent smaller, as {media_type}");
        self.notes.add((self.path)(name), what);
        Ok(Source::Base64 { media_type, data: STANDARD.encode(bytes) })
    }
}

/// True for a part that becomes a picture, by the first bytes.
fn is_picture(part: &Part) -> bool {
    let data = match part {
        Part { image_url: Some(image), .. } => &image.url,
        Part { file: Some(openai::File { file_data: Some(data), .. }), .. }
        | Part { source: Some(openai::Source { data: Some(data), .. }), .. } => data,
        Part { kind, .. } => return kind == "image",
    };
    let (_, data) = declared(data);
    match beginning(data).as_deref().and_then(sniff) {
        Some(media_type) => media_type != PDF,
        None => part.kind == "image_url" && web_url(data.trim()).is_ok(),
    }
}

/// The place of a file's bytes.
enum Location<'a> {
    /// On the web: the address as it was written, and parsed.
    Web(&'a str, Url),
    /// In the request: their declared type, empty if there is none, and their base64.
    Bytes(&'a str, &'a str),
}

fn web_or_bytes(text: &str) -> Result<Location<'_>, MediaFault> {
    if text.is_empty() {
        return Err(MediaFault::Empty);
    }
    if let Some(data_url) = data_url(text) {
        let (declared, data) = split(data_url).ok_or(MediaFault::NotBase64)?;
        return Ok(Location::Bytes(declared, data));
    }
    // Base64 has no colon.
    if text.contains(':') {
        return Ok(Location::Web(text, web_url(text)?));
    }
    Ok(Location::Bytes("", text))
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

/// The block for a file on the web, by the extension of its name; `None` for sound, video and pictures that Claude does
/// not read. Anthropic fetches images and PDFs only, so a name without a known extension is taken for a PDF.
fn linked(given: &str, url: Url, filename: Option<&str>) -> Option<ContentBlock> {
    match extension(&url, filename).as_deref() {
        Some("png" | "jpg" | "jpeg" | "gif" | "webp") => {
            Some(ContentBlock::Image { source: web_source(given, url) })
        }
        Some(extension) if is_unreadable(extension) => None,
        _ => Some(document(web_source(given, url))),
    }
}

/// The extension of a file on the web, in lower case: in its address, or else in its name.
fn extension(url: &Url, filename: Option<&str>) -> Option<String> {
    let segment = url.path_segments().and_then(|mut names| names.next_back()).unwrap_or_default();
    let of =
        |name: &str| name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    of(segment).or_else(|| of(filename?))
}

/// True for sound, video and pictures that Claude does not read. Servers may send an AVIF as something else.
fn is_unreadable(extension: &str) -> bool {
    matches!(
        extension,
        "mp3"
            | "wav"
            | "m4a"
            | "aac"
            | "ogg"
            | "opus"
            | "flac"
            | "mp4"
            | "m4v"
            | "mov"
            | "avi"
            | "mkv"
            | "webm"
            | "mpeg"
            | "mpg"
            | "svg"
            | "heic"
            | "heif"
            | "bmp"
            | "tif"
            | "tiff"
    )
}

/// A text as a document; `None` if it is blank, which Anthropic refuses.
fn text_source(text: String) -> Option<Source> {
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
