//! Encodings of secrets: all forms of a value, and the base64 in a text.

use std::ops::Range;

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};

use super::encode;

/// Length from which a run of characters is decoded as base64.
const SHORTEST_BASE64: usize = 24;

/// A value as it is, in JSON, in URLs, and in base64 at any position.
pub(super) fn forms(value: &str) -> Vec<String> {
    let quoted = encode(value);
    let mut forms = vec![
        value.to_owned(),
        quoted[1..quoted.len() - 1].to_owned(),
        percent_encode(value, false),
        percent_encode(value, true),
    ];
    for offset in 0..3 {
        let core = base64_core(value, offset);
        forms.extend([core.replace('+', "-").replace('/', "_"), core]);
    }
    forms
}

/// A value as encoded in a URL.
fn percent_encode(value: &str, plus: bool) -> String {
    let mut out = String::new();
    for byte in value.bytes() {
        match byte {
            b' ' if plus => out.push('+'),
            b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out.extend(["%", &hex::encode_upper([byte])]),
        }
    }
    out
}

/// The part of the base64 of a text that depends only on the value, which begins `offset` bytes after a multiple of
/// three.
fn base64_core(value: &str, offset: usize) -> String {
    let mut bytes = vec![0; offset];
    bytes.extend_from_slice(value.as_bytes());
    let coded = STANDARD.encode(&bytes);
    // Characters that share bits with a neighbour are left out.
    let begin = (offset * 8).div_ceil(6);
    let end = bytes.len() * 8 / 6;
    coded.get(begin..end).unwrap_or_default().to_owned()
}

/// Runs of base64 characters: their places, and the text that they encode.
pub(super) fn base64_runs(text: &str) -> impl Iterator<Item = (Range<usize>, String)> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/-_=".contains(c);
    let mut end = 0;
    let runs = text.split(move |c| !is_base64(c)).map(move |run| {
        // Each separator is one character.
        let begin = end;
        end =
            begin + run.len() + text[begin + run.len()..].chars().next().map_or(0, char::len_utf8);
        (begin..begin + run.len(), run)
    });
    runs.filter(|(_, run)| run.len() >= SHORTEST_BASE64).filter_map(|(place, run)| {
        let coded = run.trim_end_matches('=');
        let alphabet = if coded.contains(['-', '_']) {
            &base64::alphabet::URL_SAFE
        } else {
            &base64::alphabet::STANDARD
        };
        // A single last character encodes no byte.
        let coded = &coded[..coded.len() - usize::from(coded.len() % 4 == 1)];
        let decoded = GeneralPurpose::new(alphabet, LENIENT).decode(coded).ok()?;
        Some((place, String::from_utf8_lossy(&decoded).into_owned()))
    })
}
