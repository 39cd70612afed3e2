//! Content encodings of request bodies (RFC 9110 §8.4).

use std::io::{self, Read};

use bytes::Bytes;
use http::{HeaderMap, header};

use super::body_budget::{BodyShare, NoRoom};

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
    Large { limit: usize },
    /// There is no room for the unpacked body now.
    NoRoom,
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
    fn unpack(self, body: &[u8], limit: usize, share: &mut BodyShare) -> Result<Vec<u8>, Fault> {
        let mut read = |from: &mut dyn Read| read(from, limit, share);
        let broken = |_| Fault::Broken(self.name());
        match self {
            Self::Gzip => read(&mut flate2::read::MultiGzDecoder::new(body)),
            // Some clients leave out the zlib header that the encoding has.
            Self::Deflate => match read(&mut flate2::read::ZlibDecoder::new(body)) {
                Err(Stopped::Broken(_)) => read(&mut flate2::read::DeflateDecoder::new(body)),
                result => result,
            },
            Self::Brotli => read(&mut brotli_decompressor::Decompressor::new(body, BUFFER)),
            Self::Zstd => {
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
    let encodings = encodings(headers)?;
    // The last one was applied last.
    encodings.into_iter().rev().try_fold(body, |body, encoding| {
        let mut unpacked = share.another();
        let body = Bytes::from(encoding.unpack(&body, limit, &mut unpacked)?);
        *share = unpacked;
        Ok(body)
    })
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
