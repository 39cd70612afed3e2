//! Content encodings of request bodies (RFC 9110 §8.4).

use std::io::{self, Read};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

use super::body_budget::{BodyShare, NoRoom};
use crate::domain::encoding::{Encoding, UnknownEncoding};

/// The reason why a body cannot be unpacked.
#[derive(Debug)]
pub(super) enum Fault {
    /// An encoding that is not known, or too many of them.
    Unknown(String),
    /// The bytes are not in the encoding.
    Broken(&'static str),
    /// The unpacked body is larger than the limit.
    Large { limit: usize },
    /// There is no room for the unpacked body now.
    NoRoom,
}

/// Unpacks a body to at most `limit` bytes.
fn unpack(
    encoding: Encoding,
    body: &[u8],
    limit: usize,
    share: &mut BodyShare,
) -> Result<Vec<u8>, Fault> {
    let mut read = |from: &mut dyn Read| read(from, limit, share);
    let broken = |_| Fault::Broken(encoding.name());
    match encoding {
        Encoding::Gzip => read(&mut flate2::read::MultiGzDecoder::new(body)),
        Encoding::Deflate if body.first_chunk().copied().is_some_and(Encoding::has_zlib_header) => {
            read(&mut flate2::read::ZlibDecoder::new(body))
        }
        Encoding::Deflate => read(&mut flate2::read::DeflateDecoder::new(body)),
        Encoding::Brotli => read(&mut brotli_decompressor::Decompressor::new(body, BUFFER)),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(body).map_err(broken)?;
            decoder.window_log_max(ZSTD_WINDOW).map_err(broken)?;
            read(&mut decoder)
        }
    }
    .map_err(|stopped| match stopped {
        Stopped::Broken(error) => broken(error),
        Stopped::Large => Fault::Large { limit },
        Stopped::NoRoom => Fault::NoRoom,
    })
}

/// Buffer of the Brotli decoder, in bytes.
const BUFFER: usize = 64 << 10;
/// Bytes that are unpacked at once, between two looks at the limits.
const STEP: u64 = 64 << 10;
/// Largest window of Zstandard, as a power of two: RFC 9659 §3.
const ZSTD_WINDOW: u32 = 23;

/// The reason why a decoder is not read to its end.
enum Stopped {
    Broken(io::Error),
    Large,
    NoRoom,
}

/// Reads at most `limit` bytes, as far as the share can grow with them.
fn read(from: &mut dyn Read, limit: usize, share: &mut BodyShare) -> Result<Vec<u8>, Stopped> {
    let mut unpacked = Vec::new();
    loop {
        let before = unpacked.len();
        from.take(STEP).read_to_end(&mut unpacked).map_err(Stopped::Broken)?;
        if unpacked.len() > limit {
            return Err(Stopped::Large);
        }
        share.grow_to(unpacked.capacity()).map_err(|NoRoom| Stopped::NoRoom)?;
        if unpacked.len() == before {
            return Ok(unpacked);
        }
    }
}

/// The body without the encodings that `headers` name, no larger than `limit` at any step. `share` is the body's, before
/// and after.
pub(super) fn unpacked(
    headers: &HeaderMap,
    body: Bytes,
    limit: usize,
    share: &mut BodyShare,
) -> Result<Bytes, Fault> {
    let values = headers.get_all(header::CONTENT_ENCODING);
    let encodings = Encoding::list(values.iter().map(HeaderValue::as_bytes))
        .map_err(|UnknownEncoding(name)| Fault::Unknown(name))?;
    // The last one was applied last.
    encodings.into_iter().rev().try_fold(body, |body, encoding| {
        let mut unpacked = share.another();
        let body = Bytes::from(unpack(encoding, &body, limit, &mut unpacked)?);
        *share = unpacked;
        Ok(body)
    })
}
