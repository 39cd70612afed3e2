//! The files of the page, embedded in the binary.
//!
//! All are below one path that has a hash of them, so that modules import each other by relative names and browsers keep
//! them for ever. Only the document has a path without a hash; it names the others.

use std::io::Write;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

/// The document, and what a browser gets that may not see it.
const DOCUMENT: &str = include_str!("assets/index.html");
const REFUSAL: &str = include_str!("assets/refused.html");

/// Embeds files of the folder `assets`.
macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("assets/", $name)))),*]
    };
}

/// The files that the document names, and those that they import.
const FILES: &[(&str, &str)] = embedded![
    "api.js",
    "app.js",
    "branches.js",
    "call_columns.js",
    "chart.js",
    "components.js",
    "deletion.js",
    "dom.js",
    "export.js",
    "format.js",
    "icon.svg",
    "markdown.js",
    "period.js",
    "player.js",
    "prose.js",
    "router.js",
    "style.css",
    "theme.js",
    "vendor/marked.js",
    "views/call.js",
    "views/calls.js",
    "views/live.js",
    "views/login.js",
    "views/overview.js",
    "views/session.js",
    "views/sessions.js",
    "views/setup.js",
    "what_if.js",
];

/// Place of the path of the files in the document.
const PATH: &str = "{{assets}}";

/// A cache asks whether it is still the same.
const REVALIDATED: HeaderValue = HeaderValue::from_static("no-cache");
/// Another content has another path.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// The files, packed.
#[derive(Debug)]
pub(super) struct Assets {
    version: String,
    document: Asset,
    refusal: Asset,
    files: Vec<(&'static str, Asset)>,
}

/// A file.
#[derive(Debug)]
pub(super) struct Asset {
    media_type: HeaderValue,
    caching: HeaderValue,
    tag: HeaderValue,
    plain: Bytes,
    gzip: Bytes,
}

impl Assets {
    /// Packs the embedded files.
    pub(super) fn embedded() -> Self {
        let mut hash = Sha256::new();
        for (name, text) in FILES {
            hash.update(name);
            hash.update([0]);
            hash.update(text);
            hash.update([0]);
        }
        let version = short(&hash.finalize());
        let path = format!("/page/assets/{version}");
        let document =
            |text: &str| Asset::new("html", Bytes::from(text.replace(PATH, &path)), REVALIDATED);
        let files = FILES.iter().map(|(name, text)| {
            let extension = name.rsplit('.').next().unwrap_or_default();
            (*name, Asset::new(extension, Bytes::from_static(text.as_bytes()), IMMUTABLE))
        });
        Self {
            document: document(DOCUMENT),
            refusal: document(REFUSAL),
            files: files.collect(),
            version,
        }
    }

    pub(super) const fn document(&self) -> &Asset {
        &self.document
    }

    /// The document for those who may not see the page.
    pub(super) const fn refusal(&self) -> &Asset {
        &self.refusal
    }

    /// A file of this version; `None`: there is none, or it is of another version.
    pub(super) fn file(&self, version: &str, name: &str) -> Option<&Asset> {
        let named = self.files.iter().find(|(known, _)| *known == name);
        named.filter(|_| version == self.version).map(|(_, asset)| asset)
    }
}

impl Asset {
    fn new(extension: &str, plain: Bytes, caching: HeaderValue) -> Self {
        let media_type = HeaderValue::from_static(match extension {
            "html" => "text/html; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "svg" => "image/svg+xml",
            _ => "application/octet-stream",
        });
        let tag = format!("\"{}\"", short(&Sha256::digest(&plain)));
        let tag = HeaderValue::try_from(tag).expect("hexadecimal digits");
        let gzip = gzip(&plain).into();
        Self { media_type, caching, tag, plain, gzip }
    }

    /// The response to a request with these headers: nothing if the client has it already.
    pub(super) fn response(&self, headers: &HeaderMap) -> Response {
        let has_it = headers.get(header::IF_NONE_MATCH).is_some_and(|tags| self.is_among(tags));
        let mut response = if has_it {
            StatusCode::NOT_MODIFIED.into_response()
        } else if takes_gzip(headers) {
            let encoding = [(header::CONTENT_ENCODING, "gzip")];
            (encoding, Body::from(self.gzip.clone())).into_response()
        } else {
            Body::from(self.plain.clone()).into_response()
        };
        let head = response.headers_mut();
        if !has_it {
            head.insert(header::CONTENT_TYPE, self.media_type.clone());
        }
        head.insert(header::CACHE_CONTROL, self.caching.clone());
        head.insert(header::ETAG, self.tag.clone());
        head.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        response
    }

    /// True if a list of entity tags has that of the file, strong or weak (RFC 9110 §13.1.2).
    fn is_among(&self, tags: &HeaderValue) -> bool {
        let tag = self.tag.as_bytes();
        let mut tags = tags.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        tags.any(|other| other == b"*" || other.strip_prefix(b"W/").unwrap_or(other) == tag)
    }
}

/// True if a client takes gzip (RFC 9110 §12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = accepted.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        is_gzip && weight.is_none_or(|weight| weight.parse().is_ok_and(|weight: f32| weight > 0.0))
    })
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let packed = encoder.write_all(plain).and_then(|()| encoder.finish());
    packed.expect("a vector takes all bytes")
}

/// The beginning of a hash, as hexadecimal digits.
fn short(hash: &[u8]) -> String {
    hex::encode(&hash[..8])
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_embedded() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/server/page/assets");
        let mut found = Vec::new();
        for folder in ["", "vendor/", "views/"] {
            for entry in fs::read_dir(root.join(folder)).unwrap() {
                let entry = entry.unwrap();
                if entry.path().is_file() {
                    found.push(format!("{folder}{}", entry.file_name().to_str().unwrap()));
                }
            }
        }
        // The documents have paths of their own, and nobody loads a licence.
        let elsewhere = ["index.html", "refused.html", "vendor/marked.LICENSE.md"];
        found.retain(|name| !elsewhere.contains(&&**name));
        found.sort_unstable();
        let embedded: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(found, embedded);
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (accepted, expected) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("br", false),
            ("gzipped", false),
            ("", false),
        ] {
            let value = HeaderValue::from_static(accepted);
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, value)]);
            assert_eq!(takes_gzip(&headers), expected, "{accepted}");
        }
    }
}
