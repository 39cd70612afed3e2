//! Texts that come from outside and are taken apart, put together, compared or shown: JSON in its canonical form and
//! without halves of surrogate pairs, long strings kept apart, keys renamed in pieces, differences, a terminal.

use std::{collections::BTreeMap, io::Write, sync::Arc};

use reprise::{
    cli::Printable,
    domain::{
        anthropic::ApiHeaders,
        cache::{CacheDirectives, KeyPrefix},
        chain,
        diff::diff,
        json::{JsonString, KeyRewriter, canonical, trailing_half, without_lone_surrogates},
        media_type, varint,
    },
};
use serde_json::Value;

use super::{
    edit::{edit, reversed},
    input::Input,
};

/// The first byte is the length of pieces. Then comes a text; after a zero, changes to its structure.
pub(super) fn check(data: &[u8]) {
    let Some((size, data)) = data.split_first() else { return };
    let size = usize::from(*size).max(1);
    bytes(data, size);
    let split = data.iter().position(|byte| *byte == 0);
    let (text, edits) = split.map_or((data, &[][..]), |at| (&data[..at], &data[at + 1..]));
    headers(&String::from_utf8_lossy(text));
    surrogates(text);
    if let Ok(value) = serde_json::from_slice::<Value>(text) {
        document(text, &value, edits);
    }
    keys(&String::from_utf8_lossy(text), size);
}

/// What is true of any bytes.
fn bytes(data: &[u8], size: usize) {
    assert_eq!(printed(data.chunks(size)), printed(std::iter::once(data)), "cut in pieces");
    let (rest, pieces) = chain::split(data);
    assert_eq!(chain::join(&rest, pieces), data, "split and joined");
    // Offsets as a damaged ledger may have them.
    let mut input = Input(data);
    let offsets: Vec<usize> = (0..4).map(|_| input.below(256) * 300).collect();
    let _ = chain::join(data, offsets.iter().map(|at| (*at, &data[..data.len().min(8)])));
    let mut left = data;
    while let Some(number) = varint::take(&mut left) {
        let mut written = Vec::new();
        varint::put(&mut written, number);
        assert_eq!(varint::take(&mut &*written), Some(number));
    }
    if let Some(at) = media_type::embedded_pdf(data, true) {
        assert_eq!(media_type::sniff(&data[at..]), Some(media_type::PDF));
    }
    let _ = (media_type::sniff(data), media_type::sniff_unreadable(data));
    canonical(data);
}

/// What a terminal gets of bytes in these pieces: nothing that it obeys.
fn printed<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> String {
    let mut shown = Vec::new();
    let mut printable = Printable::new(&mut shown);
    for piece in pieces {
        printable.write_all(piece).expect("memory can be written to");
    }
    let shown = String::from_utf8(shown).expect("a terminal gets text");
    let obeyed = |c: char| {
        (c.is_control() && c != '\n' && c != '\t') || "\u{202e}\u{2066}\u{200f}".contains(c)
    };
    // As a line ends in CSV.
    assert!(!shown.replace("\r\n", "\n").contains(obeyed), "{shown:?}");
    shown
}

fn headers(text: &str) {
    let directives = CacheDirectives::parse(text);
    let more = CacheDirectives::parse(&format!("{text}, no-store, max-age=7"));
    assert!(more.no_store && (more.max_age == Some(7) || text.contains('"')), "{more:?}");
    assert!(more.no_cache == directives.no_cache || text.contains('"'));
    let headers = ApiHeaders::new("2023-06-01", [text]);
    let (betas, normal) = (headers.betas(), headers.normalized());
    assert!(betas.is_sorted() && betas.iter().all(|beta| !beta.is_empty() && beta.trim() == *beta));
    assert_eq!(normal.betas(), betas);
    assert_eq!(normal.features(), headers.features(), "the order of betas counts");
    if let Ok(prefix) = text.parse::<KeyPrefix>() {
        let (first, last) = prefix.range();
        assert!(first <= last && prefix.as_str().len() <= 64);
    }
}

fn surrogates(text: &[u8]) {
    if let Some(mended) = without_lone_surrogates(text) {
        assert_eq!(mended.len(), text.len());
        assert_eq!(without_lone_surrogates(&mended), None, "mended once");
        if serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
            && std::str::from_utf8(text).is_ok()
        {
            assert!(serde_json::from_slice::<Value>(&mended).is_ok() || is_no_value(&mended));
        }
    }
    if let Ok(text) = std::str::from_utf8(text) {
        assert!(trailing_half(text).is_none_or(|at| at + 6 == text.len()));
    }
}

/// True for numbers that are JSON and no double, and for documents that are too deep.
fn is_no_value(json: &[u8]) -> bool {
    let error = serde_json::from_slice::<Value>(json).expect_err("the caller has seen it");
    let error = error.to_string();
    error.contains("out of range") || error.contains("recursion")
}

fn document(text: &[u8], value: &Value, edits: &[u8]) {
    let once = canonical(text);
    assert_eq!(canonical(&once), once, "canonical twice");
    assert_eq!(
        serde_json::from_slice::<Value>(&once).as_ref().ok(),
        Some(value),
        "the meaning is kept"
    );
    let written = value.to_string();
    let canonical_value = canonical(written.as_bytes());
    assert_eq!(
        canonical(reversed(value).to_string().as_bytes()),
        canonical_value,
        "the order of keys counts"
    );
    assert_eq!(canonical(format!("{value:#}").as_bytes()), canonical_value, "spaces count");
    assert!(diff(value, &reversed(value), 10).is_empty(), "no document differs from itself");
    let mut other = value.clone();
    edit(&mut other, edits);
    let (there, back) = (diff(value, &other, 10), diff(&other, value, 10));
    assert_eq!(there.is_empty(), *value == other, "what differs is told");
    assert_eq!(there.is_empty(), back.is_empty());
    assert!(there.differences.len() <= 10);
}

/// Keys of arguments get other names, in whatever pieces the text comes.
fn keys(text: &str, size: usize) {
    let names = [("a", "$top"), ("b_", "a b"), ("name", "é\"x")];
    let names: BTreeMap<String, String> =
        names.into_iter().map(|(from, to)| (from.to_owned(), to.to_owned())).collect();
    let names = Arc::new(names);
    let whole = KeyRewriter::rewrite(&names, &JsonString::new(text)).decode();
    let mut rewriter = KeyRewriter::new(Arc::clone(&names));
    let mut pieced = String::new();
    let characters: Vec<char> = text.chars().collect();
    for piece in characters.chunks(size) {
        let piece: String = piece.iter().collect();
        pieced += &rewriter.push(&JsonString::new(&piece)).decode();
    }
    pieced += &rewriter.finish().decode();
    assert_eq!(pieced, whole, "cut in pieces");
    let (Ok(before), Ok(after)) =
        (serde_json::from_str::<Value>(text), serde_json::from_str::<Value>(&whole))
    else {
        return assert!(serde_json::from_str::<Value>(text).is_err(), "{text} became {whole}");
    };
    let is_named = |key: &str| text.contains(key);
    if !names.keys().any(|key| is_named(key)) && !text.contains('\\') {
        assert_eq!(before, after, "nothing is to be renamed");
    }
}
