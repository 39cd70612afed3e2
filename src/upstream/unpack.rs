//! Unpacks bodies of responses as they come: Reprise asks for none that is packed, and some gateways pack all the same.

use std::{
    fmt,
    io::{self, Write},
};

use bytes::Bytes;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header};

use crate::domain::encoding::{Encoding, UnknownEncoding};

/// Most bytes that one read of the network may unpack to.
const MOST: usize = 32 << 20;
/// Buffer of the Brotli decoder, in bytes.
const BUFFER: usize = 16 << 10;
/// Largest window of Zstandard, as a power of two: RFC 9659 §3.
const ZSTD_WINDOW: u32 = 23;

/// The reason why a response cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// Its encoding is not known.
    #[error("upstream packed its response, unasked, in an encoding that is not known: {0}")]
    Unknown(#[from] UnknownEncoding),
    /// It is not in its encoding, or unpacks to too much.
    #[error("the response of upstream is not {0}, which its content-encoding says")]
    Broken(&'static str),
}

/// Undoes the encodings of a body.
#[derive(Debug)]
pub(super) struct Unpacker(Vec<Decoder>);

/// Undoes one encoding.
enum Decoder {
    Gzip(Box<MultiGzDecoder<Output>>),
    /// Until it has begun: its first bytes tell which of two it is.
    Deflate(Vec<u8>),
    Zlib(Box<ZlibDecoder<Output>>),
    RawDeflate(Box<DeflateDecoder<Output>>),
    Brotli(Box<brotli_decompressor::DecompressorWriter<Output>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Output>>),
}

/// What has been unpacked, up to the limit.
#[derive(Debug, Default)]
struct Output(Vec<u8>);

impl Unpacker {
    /// Undoes the encodings that the headers of a response name.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, UnpackError> {
        let values = headers.get_all(header::CONTENT_ENCODING);
        let encodings = Encoding::list(values.iter().map(http::HeaderValue::as_bytes))?;
        // The last one was applied last.
        let decoders: io::Result<_> = encodings.into_iter().rev().map(Decoder::new).collect();
        decoders.map(Self).map_err(|_| UnpackError::Broken("unpacked"))
    }

    /// Unpacks the next bytes of the body.
    pub(super) fn push(&mut self, bytes: Bytes) -> Result<Bytes, UnpackError> {
        self.0.iter_mut().try_fold(bytes, |bytes, decoder| {
            let name = decoder.name();
            decoder.push(&bytes).map(Bytes::from).map_err(|_| UnpackError::Broken(name))
        })
    }
}

impl Decoder {
    fn new(encoding: Encoding) -> io::Result<Self> {
        let output = Output::default();
        Ok(match encoding {
            Encoding::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(output))),
            Encoding::Deflate => Self::Deflate(Vec::new()),
            Encoding::Brotli => {
                let decoder = brotli_decompressor::DecompressorWriter::new(output, BUFFER);
                Self::Brotli(Box::new(decoder))
            }
            Encoding::Zstd => {
                let mut decoder = zstd::stream::write::Decoder::new(output)?;
                decoder.window_log_max(ZSTD_WINDOW)?;
                Self::Zstd(Box::new(decoder))
            }
        })
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Gzip(_) => Encoding::Gzip.name(),
            Self::Deflate(_) | Self::Zlib(_) | Self::RawDeflate(_) => Encoding::Deflate.name(),
            Self::Brotli(_) => Encoding::Brotli.name(),
            Self::Zstd(_) => Encoding::Zstd.name(),
        }
    }

    fn push(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(decoder) => unpack(&mut **decoder, bytes, MultiGzDecoder::get_mut),
            Self::Zlib(decoder) => unpack(&mut **decoder, bytes, ZlibDecoder::get_mut),
            Self::RawDeflate(decoder) => unpack(&mut **decoder, bytes, DeflateDecoder::get_mut),
            Self::Brotli(decoder) => {
                unpack(&mut **decoder, bytes, brotli_decompressor::DecompressorWriter::get_mut)
            }
            Self::Zstd(decoder) => {
                unpack(&mut **decoder, bytes, zstd::stream::write::Decoder::get_mut)
            }
            Self::Deflate(held) => {
                held.extend_from_slice(bytes);
                let Some(&beginning) = held.first_chunk() else { return Ok(Vec::new()) };
                let (output, begun) = (Output::default(), std::mem::take(held));
                *self = if Encoding::has_zlib_header(beginning) {
                    Self::Zlib(Box::new(ZlibDecoder::new(output)))
                } else {
                    Self::RawDeflate(Box::new(DeflateDecoder::new(output)))
                };
                self.push(&begun)
            }
        }
    }
}

/// Writes all of `bytes`, and takes all that they unpack to.
fn unpack<D: Write>(
    decoder: &mut D,
    bytes: &[u8],
    output: impl FnOnce(&mut D) -> &mut Output,
) -> io::Result<Vec<u8>> {
    decoder.write_all(bytes)?;
    decoder.flush()?;
    Ok(std::mem::take(&mut output(decoder).0))
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
