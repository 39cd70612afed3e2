//! Bodies of responses that are no stream: errors, token counts, lists of models. They are limited in size and time.

use std::time::Duration;

use reqwest::Response;

use super::unpack::{UnpackError, Unpacker};

/// The end of a body that is no stream.
pub(super) enum BodyEnd {
    Whole,
    /// It takes too long.
    Late,
    /// It is larger than it may be.
    Large,
    Broken(reqwest::Error),
    Packed(UnpackError),
}

/// Reads at most `limit` bytes of a body within a time, and how it ended. No other function reads one to its end.
pub(super) async fn read_limited(
    mut response: Response,
    limit: usize,
    time: Duration,
) -> (Vec<u8>, BodyEnd) {
    let mut bytes = Vec::new();
    let read = async {
        let mut unpacker = match Unpacker::of(response.headers()) {
            Ok(unpacker) => unpacker,
            Err(error) => return BodyEnd::Packed(error),
        };
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => unpacker.push(chunk),
                Ok(None) => return BodyEnd::Whole,
                Err(error) => return BodyEnd::Broken(error),
            };
            match chunk {
                Ok(chunk) if chunk.len() <= limit - bytes.len() => bytes.extend_from_slice(&chunk),
                Ok(chunk) => {
                    bytes.extend_from_slice(&chunk[..limit - bytes.len()]);
                    return BodyEnd::Large;
                }
                Err(error) => return BodyEnd::Packed(error),
            }
        }
    };
    let end = tokio::time::timeout(time, read).await.unwrap_or(BodyEnd::Late);
    (bytes, end)
}
