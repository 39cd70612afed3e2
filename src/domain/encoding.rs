//! Content encodings (RFC 9110 §8.4), by their names.

/// Largest number of encodings of one body; each is unpacked in turn.
const MOST: usize = 2;

/// The encodings that bodies may have, as `Accept-Encoding` lists them (RFC 9110 §12.5.3).
pub const ACCEPTED: &str = "gzip, deflate, br, zstd";

/// An encoding that can be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// RFC 1952.
    Gzip,
    /// RFC 1950; some programs leave out its header, and send RFC 1951.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

/// An encoding that is not known, or too many of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownEncoding(pub String);

impl Encoding {
    /// The registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// The encodings that the values of `content-encoding` name, in the order in which they were applied.
    pub fn list<'a>(
        values: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<Self>, UnknownEncoding> {
        let mut encodings = Vec::new();
        for value in values {
            let names = str::from_utf8(value);
            let names = names.map_err(|_| UnknownEncoding("not a text".to_owned()))?;
            for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                encodings.push(match &*name.to_ascii_lowercase() {
                    "identity" => continue,
                    "gzip" | "x-gzip" => Self::Gzip,
                    "deflate" => Self::Deflate,
                    "br" => Self::Brotli,
                    "zstd" => Self::Zstd,
                    _ => return Err(UnknownEncoding(name.chars().take(64).collect())),
                });
            }
        }
        match encodings.len() {
            0..=MOST => Ok(encodings),
            _ => Err(UnknownEncoding("more than two encodings".to_owned())),
        }
    }

    /// True if a body in `deflate` begins with the header that the encoding has.
    pub fn has_zlib_header(body: [u8; 2]) -> bool {
        body[0] & 0x0f == 8 && u16::from_be_bytes(body).is_multiple_of(31)
    }
}
