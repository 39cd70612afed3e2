//! Pictures: from the URLs that OpenAI takes to the sources that Anthropic takes (`reference/anthropic-api.md` §1.6,
//! "Media sources"). Nothing is fetched here. What is in a data URL is read, not believed.

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

use super::note::{ImageFault, Notes};
use crate::domain::anthropic::Source;

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
    if url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) {
        return inline(&url[5..], field, notes);
    }
    let parsed = Url::parse(url).map_err(|_| ImageFault::NotAUrl)?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(ImageFault::Scheme);
    }
    // As the client wrote it, if that is how it must begin; else (`HTTPS:/example.com`) as it is understood.
    let canonical = ["http://", "https://"].iter().any(|begin| url.starts_with(begin))
        && !url.contains(char::is_whitespace);
    Ok(Source::Url { url: if canonical { url.to_owned() } else { parsed.into() } })
}

/// The source of a data URL, given without its scheme.
fn inline(url: &str, field: &dyn Fn() -> String, notes: &mut Notes) -> Result<Source, ImageFault> {
    let (header, data) = url.split_once(',').ok_or(ImageFault::NotBase64)?;
    let mut params = header.split(';').map(str::trim);
    let declared = params.next().unwrap_or_default();
    if !params.any(|param| param.eq_ignore_ascii_case("base64")) {
        return Err(ImageFault::NotBase64);
    }
    let data = tidy(data);
    if data.is_empty() {
        return Err(ImageFault::Empty);
    }
    let (bytes, data) = if let Ok(bytes) = STANDARD.decode(data.as_bytes()) {
        (bytes, data.into_owned())
    } else {
        let bytes = LENIENT.decode(data.as_bytes()).map_err(|_| ImageFault::BadBase64)?;
        let data = STANDARD.encode(&bytes);
        (bytes, data)
    };
    let media_type = sniff(&bytes).ok_or(ImageFault::Format)?;
    if !declared.is_empty() && !declared.eq_ignore_ascii_case(media_type) {
        notes.add(field(), format!("the picture is sent as {media_type}, which its bytes are"));
    }
    Ok(Source::Base64 { media_type, data })
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
