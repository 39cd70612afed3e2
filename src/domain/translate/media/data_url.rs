//! Data URLs and their base64, as clients write them.

use std::borrow::Cow;

use base64::{
    Engine,
    alphabet::STANDARD as ALPHABET,
    engine::{
        DecodePaddingMode,
        general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD},
    },
};

use super::super::note::MediaFault;

/// Accepts missing padding and trailing bits.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Number of characters of base64 that say what a file is.
const BEGINNING: usize = 1024;

/// The part of a data URL after `data:`; `None` for any other text.
pub(super) fn data_url(url: &str) -> Option<&str> {
    let scheme = url.get(..5)?;
    scheme.eq_ignore_ascii_case("data:").then(|| &url[5..])
}

/// The media type and the data of a base64 data URL, given without its scheme; `None` if it is not base64.
pub(super) fn split(url: &str) -> Option<(&str, &str)> {
    let (header, data) = url.split_once(',')?;
    let mut params = header.split(';').map(str::trim);
    let declared = params.next().unwrap_or_default();
    params.any(|param| param.eq_ignore_ascii_case("base64")).then_some((declared, data))
}

/// The declared media type of a text that may be a data URL, and its data.
pub(super) fn declared(text: &str) -> (&str, &str) {
    let Some(url) = data_url(text.trim()) else { return ("", text) };
    let (header, data) = url.split_once(',').unwrap_or((url, ""));
    (header.split(';').next().unwrap_or_default(), data)
}

/// The bytes, and their base64 as Anthropic accepts it.
pub(super) fn decode(data: &str) -> Result<(Vec<u8>, String), MediaFault> {
    let data = tidy(data);
    if data.is_empty() {
        return Err(MediaFault::Empty);
    }
    if let Ok(bytes) = STANDARD.decode(data.as_bytes()) {
        return Ok((bytes, data.into_owned()));
    }
    let unpadded = data.trim_end_matches('=');
    let bytes = LENIENT.decode(unpadded.as_bytes()).map_err(|_| MediaFault::BadBase64)?;
    let data = STANDARD.encode(&bytes);
    Ok((bytes, data))
}

/// The first bytes, as far as they can be decoded.
pub(super) fn beginning(data: &str) -> Option<Vec<u8>> {
    let end = data.char_indices().nth(BEGINNING).map_or(data.len(), |(at, _)| at);
    let data = tidy(&data[..end]);
    let whole = data.len() / 4 * 4;
    LENIENT.decode(data.as_bytes().get(..whole)?).ok()
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
