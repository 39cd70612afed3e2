//! Why upstream gave no answer, and whether asking again is of use.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use reqwest::Response;
use secrecy::{ExposeSecret, SecretString};

use super::Head;
use crate::domain::{anthropic, cassette::Miss};

/// A longer `retry-after` is the client's to wait for.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// The first pause; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// More of an error's body is not read.
const LARGEST_ERROR: usize = 256 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection came about.
    #[error("cannot connect to Anthropic")]
    Connect(#[source] reqwest::Error),
    /// Nothing came for too long.
    #[error("nothing came from Anthropic for {} s", .0.as_secs())]
    Silent(Duration),
    /// The connection broke.
    #[error("the connection to Anthropic broke")]
    Broken(#[source] reqwest::Error),
    /// Anthropic answered with an error.
    #[error("Anthropic refused with status {status}: {}", .body.error.message)]
    Refused {
        /// Its status.
        status: u16,
        /// Its explanation.
        body: Box<anthropic::ErrorBody>,
        /// What else its head says.
        head: Box<Head>,
    },
    /// A success that is no event stream: something else answers at this address.
    #[error("what answers at the upstream address is not the Messages API")]
    NotAStream,
    /// A replay has no fixture for the request.
    #[error("{miss}\nto record it, send it through a live Reprise, and then: {command}")]
    NotRecorded {
        /// Why not, and what is nearest.
        miss: Box<Miss>,
        /// What puts it among the fixtures.
        command: String,
    },
    /// A replay does not know how many tokens a request has.
    #[error("a replay counts no tokens: fixtures have none of that")]
    NotCounted,
    /// The model list is not what it should be.
    #[error("the model list from upstream cannot be read")]
    UnreadableModels(#[source] serde_json::Error),
}

/// An error, and what upstream said about trying again.
pub(super) struct Failed {
    pub(super) error: Error,
    should_retry: Option<bool>,
    retry_after: Option<Duration>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, should_retry: None, retry_after: None }
    }
}

impl Failed {
    /// How long to wait before asking again; `None` when asking again is no use, or not ours to do.
    pub(super) fn retry(&self, attempt: u32) -> Option<Duration> {
        let backoff = FIRST_WAIT * 2_u32.pow(attempt - 1);
        match &self.error {
            // A pooled connection may have been stale: a fresh one is tried at once.
            Error::Broken(_) if attempt == 1 => Some(Duration::ZERO),
            Error::Connect(_) | Error::Broken(_) => Some(backoff),
            Error::Refused { status, .. } => {
                // Without a word about when, a 429 can be a spent limit, which stays spent.
                let worth = matches!(status, 408 | 409 | 500..)
                    || (*status == 429 && self.retry_after.is_some());
                let wait = self.retry_after.unwrap_or(backoff);
                (self.should_retry.unwrap_or(worth) && wait <= LONGEST_WAIT).then_some(wait)
            }
            Error::Silent(_)
            | Error::NotAStream
            | Error::NotRecorded { .. }
            | Error::NotCounted
            | Error::UnreadableModels(_) => None,
        }
    }
}

pub(super) fn classify(error: reqwest::Error) -> Error {
    let error = error.without_url();
    if error.is_connect() { Error::Connect(error) } else { Error::Broken(error) }
}

/// The error that a response tells. `key` is what was sent: should a gateway repeat it, it goes no further.
pub(super) async fn refused(mut response: Response, key: &SecretString, idle: Duration) -> Failed {
    let status = response.status().as_u16();
    let headers = response.headers();
    let wait =
        text(headers, "retry-after-ms").and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
    let wait = wait.or_else(|| {
        text(headers, "retry-after").and_then(|value| parse_retry_after(&value, SystemTime::now()))
    });
    let should_retry = text(headers, "x-should-retry").map(|word| word == "true");
    let head = Box::new(Head::of(headers));
    let mut bytes = Vec::new();
    while let Ok(Ok(Some(more))) = tokio::time::timeout(idle, response.chunk()).await {
        let room = LARGEST_ERROR - bytes.len();
        bytes.extend_from_slice(&more[..more.len().min(room)]);
        if bytes.len() == LARGEST_ERROR {
            break;
        }
    }
    let mut body = error_body(&bytes, status);
    body.written = body.written.map(|written| written.replace(key.expose_secret(), "[key]"));
    if body.error.message.contains(key.expose_secret()) {
        body.error.message = body.error.message.replace(key.expose_secret(), "[key]");
    }
    let error = Error::Refused { status, body: Box::new(body), head };
    Failed { error, should_retry, retry_after: wait }
}

/// The body of an error. 413s come from Anthropic's edge and may be no Anthropic JSON; gateways answer in HTML.
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

/// A header's text.
pub(super) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Seconds or an HTTP date (RFC 9110 §10.2.3).
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
    fn what_may_work_the_next_time_is_asked_again() {
        let refused = |status, should_retry, retry_after| Failed {
            error: Error::Refused { status, body: Box::default(), head: Box::default() },
            should_retry,
            retry_after,
        };
        let second = Some(Duration::from_secs(1));
        assert_eq!(refused(529, None, None).retry(1), Some(FIRST_WAIT));
        assert_eq!(refused(529, None, None).retry(2), Some(FIRST_WAIT * 2));
        assert_eq!(refused(529, Some(false), None).retry(1), None);
        assert_eq!(refused(429, None, second).retry(1), second);
        assert_eq!(refused(429, None, None).retry(1), None);
        assert_eq!(refused(429, None, Some(Duration::from_mins(1))).retry(1), None);
        assert_eq!(refused(400, None, None).retry(1), None);
        assert_eq!(refused(400, Some(true), None).retry(1), Some(FIRST_WAIT));
    }
}
