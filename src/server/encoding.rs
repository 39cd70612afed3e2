//! Content encodings of request bodies (RFC 9110 §8.4).

use std::io::{self, Read};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

use crate::domain::encoding::{Encoding, UnknownEncoding};

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

/// Unpacks a body to at most `limit` bytes.
fn unpack(encoding: Encoding, body: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    let unpacked = match encoding {
        Encoding::Gzip => read(flate2::read::MultiGzDecoder::new(body), limit),
        Encoding::Deflate if body.first_chunk().copied().is_some_and(Encoding::has_zlib_header) => {
            read(flate2::read::ZlibDecoder::new(body), limit)
        }
        Encoding::Deflate => read(flate2::read::DeflateDecoder::new(body), limit),
        Encoding::Brotli => read(brotli_decompressor::Decompressor::new(body, BUFFER), limit),
        Encoding::Zstd => zstd::stream::read::Decoder::new(body)
            .and_then(|mut decoder| {
                decoder.window_log_max(ZSTD_WINDOW)?;
                Ok(decoder)
            })
            .and_then(|decoder| read(decoder, limit)),
    };
    let unpacked = unpacked.map_err(|_| Fault::Broken(encoding.name()))?;
    if unpacked.len() > limit { Err(Fault::Large) } else { Ok(unpacked) }
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
    let values = headers.get_all(header::CONTENT_ENCODING);
    let encodings = Encoding::list(values.iter().map(HeaderValue::as_bytes))
        .map_err(|UnknownEncoding(name)| Fault::Unknown(name))?;
    // The last one was applied last.
    encodings
        .into_iter()
        .rev()
        .try_fold(body, |body, encoding| Ok(Bytes::from(unpack(encoding, &body, limit)?)))
}
