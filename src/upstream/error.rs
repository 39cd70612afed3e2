//! Errors of upstream, and the decision whether to retry.

use std::{
    pin::pin,
    time::{Duration, SystemTime},
};

use http::HeaderMap;
use reqwest::Response;
use secrecy::{ExposeSecret, SecretString};
use tokio_stream::StreamExt;

use super::ResponseHead;
use crate::domain::{anthropic, cassette::Miss};

/// Longest `retry-after` that is waited for here; a longer one is passed to the client.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(3);
/// Delay of the first retry. It doubles with each attempt.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(500);
/// Largest part of an error's body that is read.
const ERROR_BODY_LIMIT: usize = 256 * 1024;

/// The reason why upstream gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection could be made.
    #[error("cannot connect to Anthropic")]
    Connect(#[source] reqwest::Error),
    /// No bytes arrived for this long.
    #[error("Anthropic sent nothing for {} s", .0.as_secs())]
    IdleTimeout(Duration),
    /// The connection broke.
    #[error("the connection to Anthropic broke")]
    Broken(#[source] reqwest::Error),
    /// Anthropic answered with an error status.
    #[error("Anthropic refused with status {status}: {}", .body.error.message)]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Anthropic's explanation.
        body: Box<anthropic::ErrorBody>,
        /// The headers.
        head: Box<ResponseHead>,
    },
    /// The response is successful, but no event stream: another service answers at this address.
    #[error("the service at the upstream address is not the Messages API")]
    NotAStream,
    /// A replay has no fixture for the request.
    #[error("{miss}\nto record it, send it through a live Reprise, and then: {command}")]
    NotRecorded {
        /// The reason, and the nearest fixture.
        miss: Box<Miss>,
        /// The command that adds the request to the fixtures.
        command: String,
    },
    /// A replay cannot count tokens.
    #[error("a replay cannot count tokens: fixtures do not contain such counts")]
    NotCounted,
    /// The list of models has an unknown form.
    #[error("the list of models from upstream cannot be read")]
    UnreadableModels(#[source] serde_json::Error),
}

/// The error of one attempt, with what upstream said about retries.
pub(super) struct FailedAttempt {
    pub(super) error: Error,
    should_retry: Option<bool>,
    retry_after: Option<Duration>,
}

impl From<Error> for FailedAttempt {
    fn from(error: Error) -> Self {
        Self { error, should_retry: None, retry_after: None }
    }
}

impl FailedAttempt {
    /// The delay before the next attempt; `None` if a retry is no use, or up to the client.
    pub(super) fn retry_delay(&self, attempt: u32) -> Option<Duration> {
        let backoff = FIRST_RETRY_DELAY * 2_u32.pow(attempt - 1);
        match &self.error {
            // A pooled connection may have been stale: a new one is tried at once.
            Error::Broken(_) if attempt == 1 => Some(Duration::ZERO),
            Error::Connect(_) | Error::Broken(_) => Some(backoff),
            Error::Refused { status, .. } => {
                // A 429 without retry-after may be a spent limit, which stays spent.
                let is_transient = matches!(status, 408 | 409 | 500..)
                    || (*status == 429 && self.retry_after.is_some());
                let wait = self.retry_after.unwrap_or(backoff);
                (self.should_retry.unwrap_or(is_transient) && wait <= MAX_RETRY_DELAY)
                    .then_some(wait)
            }
            Error::IdleTimeout(_)
            | Error::NotAStream
            | Error::NotRecorded { .. }
            | Error::NotCounted
            | Error::UnreadableModels(_) => None,
        }
    }
}

/// Tells a failed connection from one that broke.
pub(super) fn classify(error: reqwest::Error) -> Error {
    let error = error.without_url();
    if error.is_connect() { Error::Connect(error) } else { Error::Broken(error) }
}

/// Reads an error response. `key` is the one that was sent: it is removed, should a gateway repeat it.
pub(super) async fn read_error(
    response: Response,
    key: &SecretString,
    idle: Duration,
) -> FailedAttempt {
    let status = response.status().as_u16();
    let headers = response.headers();
    let retry_after = header_text(headers, "retry-after-ms")
        .and_then(|ms| ms.parse().ok())
        .map(Duration::from_millis)
        .or_else(|| parse_retry_after(&header_text(headers, "retry-after")?, SystemTime::now()));
    let should_retry = header_text(headers, "x-should-retry").map(|word| word == "true");
    let head = Box::new(ResponseHead::of(headers));
    let mut bytes = Vec::new();
    let mut chunks = pin!(response.bytes_stream().timeout(idle));
    while bytes.len() < ERROR_BODY_LIMIT
        && let Some(Ok(Ok(chunk))) = chunks.next().await
    {
        bytes.extend_from_slice(&chunk);
    }
    bytes.truncate(ERROR_BODY_LIMIT);
    let mut body = error_body(&bytes, status);
    body.written = body.written.map(|written| written.replace(key.expose_secret(), "[key]"));
    if body.error.message.contains(key.expose_secret()) {
        body.error.message = body.error.message.replace(key.expose_secret(), "[key]");
    }
    let error = Error::Refused { status, body: Box::new(body), head };
    FailedAttempt { error, should_retry, retry_after }
}

/// Parses the body of an error response. A 413 comes from Anthropic's edge, and a gateway may answer in HTML: without
/// Anthropic's JSON the error is made up from the status.
pub(super) fn error_body(bytes: &[u8], status: u16) -> anthropic::ErrorBody {
    let written = String::from_utf8_lossy(bytes);
    match serde_json::from_str::<anthropic::ErrorBody>(&written) {
        Ok(body) => anthropic::ErrorBody { written: Some(written.into_owned()), ..body },
        Err(_) => anthropic::ErrorBody {
            error: anthropic::Error {
                kind: if status == 413 { "request_too_large" } else { "api_error" }.to_owned(),
                message: format!("Anthropic answered with status {status} and no explanation"),
                details: None,
            },
            request_id: None,
            written: None,
        },
    }
}

/// The value of a header, if it is text.
pub(super) fn header_text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Parses `retry-after`: seconds or an HTTP date (RFC 9110 §10.2.3).
fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = jiff::fmt::rfc2822::parse(value.trim()).ok()?;
    let at = SystemTime::UNIX_EPOCH
        + Duration::from_secs(u64::try_from(date.timestamp().as_second()).ok()?);
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 5);
        assert_eq!(parse_retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(
            parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now),
            Some(Duration::from_secs(5))
        );
        assert_eq!(parse_retry_after("soon", now), None);
    }

    #[test]
    fn transient_errors_are_retried() {
        let refused = |status, should_retry, retry_after| FailedAttempt {
            error: Error::Refused { status, body: Box::default(), head: Box::default() },
            should_retry,
            retry_after,
        };
        let second = Some(Duration::from_secs(1));
        assert_eq!(refused(529, None, None).retry_delay(1), Some(FIRST_RETRY_DELAY));
        assert_eq!(refused(529, None, None).retry_delay(2), Some(FIRST_RETRY_DELAY * 2));
        assert_eq!(refused(529, Some(false), None).retry_delay(1), None);
        assert_eq!(refused(429, None, second).retry_delay(1), second);
        assert_eq!(refused(429, None, None).retry_delay(1), None);
        assert_eq!(refused(429, None, Some(Duration::from_mins(1))).retry_delay(1), None);
        assert_eq!(refused(400, None, None).retry_delay(1), None);
        assert_eq!(refused(400, Some(true), None).retry_delay(1), Some(FIRST_RETRY_DELAY));
    }
}
