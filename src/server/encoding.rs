//! Content encodings of request bodies (RFC 9110 §8.4).

use std::io::{self, Read};

use bytes::Bytes;
use http::{HeaderMap, header};

/// Largest number of encodings of one body; each is unpacked in turn.
const MOST_ENCODINGS: usize = 2;

/// The encodings that bodies may have, for the header `Accept-Encoding` of a refusal (RFC 9110 §12.5.3).
pub(super) const ACCEPTED: &str = "gzip, deflate, br, zstd";

/// The reason why a body cannot be unpacked.
#[derive(Debug)]
pub(super) enum Fault {
    /// An encoding that is not known, or too many of them.
    Unknown(String),
    /// The bytes are not in the encoding.
    Broken(&'static str),
    /// The unpacked body is larger than the limit.
    Large,
}

/// One encoding.
#[derive(Debug, Clone, Copy)]
enum Encoding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Encoding {
    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// Unpacks a body to at most `limit` bytes.
    fn unpack(self, body: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
        let unpacked = match self {
            Self::Gzip => read(flate2::read::MultiGzDecoder::new(body), limit),
            // Some clients leave out the zlib header that the encoding has.
            Self::Deflate => read(flate2::read::ZlibDecoder::new(body), limit)
                .or_else(|_| read(flate2::read::DeflateDecoder::new(body), limit)),
            Self::Brotli => read(brotli_decompressor::Decompressor::new(body, BUFFER), limit),
            Self::Zstd => zstd::stream::read::Decoder::new(body)
                .and_then(|mut decoder| {
                    decoder.window_log_max(ZSTD_WINDOW)?;
                    Ok(decoder)
                })
                .and_then(|decoder| read(decoder, limit)),
        };
        let unpacked = unpacked.map_err(|_| Fault::Broken(self.name()))?;
        if unpacked.len() > limit { Err(Fault::Large) } else { Ok(unpacked) }
    }
}

/// Buffer of the Brotli decoder, in bytes.
const BUFFER: usize = 64 << 10;
/// Largest window of Zstandard, as a power of two: RFC 9659 §3.
const ZSTD_WINDOW: u32 = 23;

/// Reads one byte more than the limit at most, which tells that there is more.
fn read(from: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    from.take(limit as u64 + 1).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}

/// The body without the encodings that `headers` name, no larger than `limit` at any step.
pub(super) fn unpacked(headers: &HeaderMap, body: Bytes, limit: usize) -> Result<Bytes, Fault> {
    let encodings = encodings(headers)?;
    // The last one was applied last.
    encodings
        .into_iter()
        .rev()
        .try_fold(body, |body, encoding| Ok(Bytes::from(encoding.unpack(&body, limit)?)))
}

/// The encodings of a body, in the order in which they were applied.
fn encodings(headers: &HeaderMap) -> Result<Vec<Encoding>, Fault> {
    let mut encodings = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let names = value.to_str().map_err(|_| Fault::Unknown("not a text".to_owned()))?;
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            encodings.push(match &*name.to_ascii_lowercase() {
                "identity" => continue,
                "gzip" | "x-gzip" => Encoding::Gzip,
                "deflate" => Encoding::Deflate,
                "br" => Encoding::Brotli,
                "zstd" => Encoding::Zstd,
                _ => return Err(Fault::Unknown(name.chars().take(64).collect())),
            });
        }
    }
    match encodings.len() {
        0..=MOST_ENCODINGS => Ok(encodings),
        _ => Err(Fault::Unknown("more than two encodings".to_owned())),
    }
}
