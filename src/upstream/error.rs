//! Errors of upstream, and the decision whether to retry.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use bytesize::ByteSize;
use http::{HeaderMap, header};
use reqwest::Response;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{
    ResponseHead,
    limited::{BodyEnd, read_limited},
    unpack::UnpackError,
};
use crate::domain::{
    anthropic::{self, StreamError, status_of},
    cassette::Miss,
};

/// Most tries of a request. The delays are short, because a client waits.
const MAX_TRIES: u32 = 3;
/// Longest `retry-after` that is waited for here; a longer one is passed to the client.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(3);
/// Delay of the first retry. It doubles with each attempt.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(500);
/// Longest address that an error shows.
const LONGEST_REDIRECT: usize = 300;
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
    /// Anthropic accepted the request, and then sent an error event before any content. It stands for an error status.
    #[error("Anthropic failed before it answered: {}", .body.error.message)]
    ErrorEvent {
        /// Anthropic's explanation.
        body: Box<anthropic::ErrorBody>,
        /// The headers.
        head: Box<ResponseHead>,
    },
    /// The stream broke off, or cannot be read, before any content.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The response is successful, but no event stream: another service answers at this address.
    #[error(
        "the service at the upstream address is not the Messages API: asked for a stream, it answered with status \
         {status} and {}", .media_type.as_deref().unwrap_or("no content type")
    )]
    NotAStream {
        /// The HTTP status.
        status: u16,
        /// Its `content-type`, without parameters.
        media_type: Option<String>,
    },
    /// The upstream address is not the one of the API.
    #[error("the upstream address redirects (status {status}){}", .to.as_ref().map(Redirect::to_string).unwrap_or_default())]
    Redirected {
        /// The HTTP status.
        status: u16,
        /// The target, if it was given.
        to: Option<Redirect>,
    },
    /// The response cannot be unpacked.
    #[error(transparent)]
    Packed(#[from] UnpackError),
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
    /// A body that is no stream is larger than it may be.
    #[error("{what} from upstream is larger than {}, and was not read", ByteSize(*limit as u64).display().iec())]
    LargeBody {
        /// The thing that was to be read.
        what: &'static str,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A body that is no stream did not arrive in time.
    #[error("{what} from upstream did not arrive within {} s", .time.as_secs())]
    LateBody {
        /// The thing that was to be read.
        what: &'static str,
        /// The time.
        time: Duration,
    },
    /// The list of models has an unknown form.
    #[error("the list of models from upstream cannot be read")]
    UnreadableModels(#[source] serde_json::Error),
}

/// The target of a redirect, without anything that may be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect(Url);

impl Redirect {
    /// The target that a response names.
    fn of(response: &Response, key: &SecretString) -> Option<Self> {
        let location = header_text(response.headers(), header::LOCATION.as_str())?;
        let mut to = response.url().join(&location).ok().filter(Url::has_host)?;
        to.set_query(None);
        to.set_fragment(None);
        // Both can be set where there is a host.
        to.set_username("").ok()?;
        to.set_password(None).ok()?;
        let key = key.expose_secret();
        let may_tell = key.is_empty() || !to.as_str().contains(key);
        (may_tell && to.as_str().len() <= LONGEST_REDIRECT).then_some(Self(to))
    }
}

impl fmt::Display for Redirect {
    /// The target, and the setting that would follow it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = self.0.as_str();
        let base = to.find("/v1/").map_or(to, |end| &to[..end]);
        write!(
            f,
            " to {to}; if the Messages API is there, start Reprise with --anthropic-base-url {base} \
             (ANTHROPIC_BASE_URL)"
        )
    }
}

/// The tries of one request. Whether they fail with a status, with an event or with their connection: they share one
/// budget.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tries {
    pub(super) sent: u32,
    failed: u32,
    broken: bool,
    may_be_billed: bool,
}

impl Tries {
    /// Number of requests that were sent. One whose connection could not be made is none.
    pub const fn sent(&self) -> u32 {
        self.sent
    }

    /// Number of tries that failed.
    pub const fn failed(&self) -> u32 {
        self.failed
    }

    /// True if a try that failed may have been billed: upstream had accepted it, or nobody knows.
    pub const fn may_be_billed(&self) -> bool {
        self.may_be_billed
    }

    /// True if a try has failed.
    pub(super) const fn is_retry(&self) -> bool {
        self.failed > 0
    }

    /// True once a connection broke. A pooled one may have been stale, so the next is a new one.
    pub(super) const fn broken(&self) -> bool {
        self.broken
    }

    /// Notes a try that failed, and is followed by another.
    pub fn note(&mut self, error: &Error) {
        let broken = matches!(error, Error::Broken(_) | Error::Stream(StreamError::Cut));
        self.broken |= broken;
        self.may_be_billed |=
            broken || matches!(error, Error::ErrorEvent { .. } | Error::Stream(_));
    }

    /// The delay before the next try; `None` if there is none: a retry is no use, or up to the client, or one too many.
    pub(super) fn retry(&mut self, error: &Error) -> Option<Duration> {
        self.failed += 1;
        let delay = error.retry_delay(self.failed).filter(|_| self.failed < MAX_TRIES)?;
        self.note(error);
        tracing::warn!(
            attempt = self.failed,
            delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            error = error as &dyn std::error::Error,
            "retrying the request to upstream"
        );
        Some(delay)
    }
}

impl Error {
    /// An error event as the first that is told of an answer. `key` is the one that was sent: it is removed, should a
    /// gateway repeat it.
    pub fn event(body: anthropic::ErrorBody, head: &ResponseHead, key: &SecretString) -> Self {
        Self::ErrorEvent { body: Box::new(without_key(body, key)), head: Box::new(head.clone()) }
    }

    /// Returns whether a fixture says so.
    pub(super) fn is_of_fixture(&self) -> bool {
        match self {
            Self::Refused { head, .. } | Self::ErrorEvent { head, .. } => head.fixture.is_some(),
            _ => false,
        }
    }

    /// The delay before the try after the `failed`th one; `None` if a retry is no use, or up to the client.
    fn retry_delay(&self, failed: u32) -> Option<Duration> {
        let backoff = FIRST_RETRY_DELAY * 2_u32.pow(failed - 1);
        match self {
            // A pooled connection may have been stale: a new one is tried at once.
            Self::Broken(_) | Self::Stream(StreamError::Cut) if failed == 1 => Some(Duration::ZERO),
            Self::Connect(_)
            | Self::Broken(_)
            | Self::Stream(StreamError::Cut | StreamError::Unreadable(_)) => Some(backoff),
            // A 429 without retry-after may be a spent limit, which stays spent.
            Self::Refused { status, head, .. } => {
                head.retry_delay(*status, *status != 429 || head.retry_after().is_some(), backoff)
            }
            // An event has no header to say so.
            Self::ErrorEvent { body, head } => {
                head.retry_delay(status_of(&body.error.kind), !body.error.is_spent_limit(), backoff)
            }
            // Events in the wrong order are no accident: the next answer has them too.
            Self::Stream(StreamError::OutOfOrder | StreamError::Upstream(_))
            | Self::IdleTimeout(_)
            | Self::NotAStream { .. }
            | Self::Redirected { .. }
            | Self::Packed(_)
            | Self::NotRecorded { .. }
            | Self::NotCounted
            | Self::LargeBody { .. }
            | Self::LateBody { .. }
            | Self::UnreadableModels(_) => None,
        }
    }
}

impl ResponseHead {
    /// The delay before a retry after an error with this status; `passes`: as far as the error says, it may.
    fn retry_delay(&self, status: u16, passes: bool, backoff: Duration) -> Option<Duration> {
        let is_transient = matches!(status, 408 | 409 | 429 | 500..) && passes;
        let wait = self.retry_after().unwrap_or(backoff);
        let should_retry = self.retry_text("x-should-retry").map(|word| word == "true");
        (should_retry.unwrap_or(is_transient) && wait <= MAX_RETRY_DELAY).then_some(wait)
    }

    /// The time after which upstream wants to be asked again, if it says so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_text("retry-after-ms")
            .and_then(|ms| ms.parse().ok())
            .map(Duration::from_millis)
            .or_else(|| parse_retry_after(self.retry_text("retry-after")?, SystemTime::now()))
    }

    fn retry_text(&self, name: &str) -> Option<&str> {
        self.retry
            .iter()
            .find(|(known, _)| known == name)
            .and_then(|(_, value)| value.to_str().ok())
    }
}

/// Tells a failed connection from one that broke.
pub(super) fn classify(error: reqwest::Error) -> Error {
    let error = error.without_url();
    if error.is_connect() { Error::Connect(error) } else { Error::Broken(error) }
}

/// Reads an error response. `key` is the one that was sent: it is removed, should a gateway repeat it.
pub(super) async fn read_error(response: Response, key: &SecretString, idle: Duration) -> Error {
    let status = response.status().as_u16();
    if response.status().is_redirection() {
        return Error::Redirected { status, to: Redirect::of(&response, key) };
    }
    let head = Box::new(ResponseHead::of(response.headers()));
    // What has come of it says more than nothing.
    let (bytes, _) = read_limited(response, ERROR_BODY_LIMIT, idle).await;
    let body = Box::new(without_key(error_body(&bytes, status), key));
    Error::Refused { status, body, head }
}

/// Reads a body that is no stream, of at most `limit` bytes. `time` is for all of it.
pub(super) async fn read_whole(
    response: Response,
    what: &'static str,
    limit: usize,
    time: Duration,
) -> Result<Bytes, Error> {
    match read_limited(response, limit, time).await {
        (bytes, BodyEnd::Whole) => Ok(bytes.into()),
        (_, BodyEnd::Late) => Err(Error::LateBody { what, time }),
        (_, BodyEnd::Large) => Err(Error::LargeBody { what, limit }),
        (_, BodyEnd::Broken(error)) => Err(classify(error)),
        (_, BodyEnd::Packed(error)) => Err(error.into()),
    }
}

fn without_key(mut body: anthropic::ErrorBody, key: &SecretString) -> anthropic::ErrorBody {
    let key = key.expose_secret();
    for text in body.written.iter_mut().chain([&mut body.error.message]) {
        if text.contains(key) {
            *text = text.replace(key, "[key]");
        }
    }
    body
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
    use http::{HeaderName, HeaderValue};
    use tokio_stream::StreamExt as _;

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

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_no_stream_is_bounded_in_size_and_in_time() {
        let response = |pause: u64| {
            let pieces = tokio_stream::iter(0_u8..).then(move |_| async move {
                tokio::time::sleep(Duration::from_secs(pause)).await;
                Ok::<_, std::convert::Infallible>(Bytes::from_static(b"0123456789"))
            });
            let body = reqwest::Body::wrap_stream(pieces);
            Response::from(http::Response::builder().status(400).body(body).unwrap())
        };
        let time = Duration::from_mins(1);
        let read = async |pause| read_whole(response(pause), "the list", 25, time).await;
        assert!(matches!(read(0).await, Err(Error::LargeBody { what: "the list", limit: 25 })));
        let began = tokio::time::Instant::now();
        assert!(matches!(read(50).await, Err(Error::LateBody { .. })));
        assert_eq!(began.elapsed(), time, "however often something comes");

        let began = tokio::time::Instant::now();
        let error = read_error(response(50), &SecretString::from("key"), time).await;
        assert!(matches!(error, Error::Refused { status: 400, .. }));
        assert_eq!(began.elapsed(), time);
    }

    #[test]
    fn transient_errors_are_retried() {
        let head = |retry: &[(&'static str, &str)]| {
            let headers = retry.iter().map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            });
            Box::new(ResponseHead { retry: headers.collect(), ..ResponseHead::default() })
        };
        let refused = |status, retry: &[_]| Error::Refused {
            status,
            body: Box::default(),
            head: head(retry),
        };
        let second = Some(Duration::from_secs(1));
        let no = ("x-should-retry", "false");
        assert_eq!(refused(529, &[]).retry_delay(1), Some(FIRST_RETRY_DELAY));
        assert_eq!(refused(529, &[]).retry_delay(2), Some(FIRST_RETRY_DELAY * 2));
        assert_eq!(refused(529, &[no]).retry_delay(1), None);
        assert_eq!(refused(429, &[("retry-after", "1")]).retry_delay(1), second);
        assert_eq!(refused(429, &[]).retry_delay(1), None);
        assert_eq!(refused(429, &[("retry-after", "60")]).retry_delay(1), None);
        assert_eq!(refused(400, &[]).retry_delay(1), None);
        let yes = ("x-should-retry", "true");
        assert_eq!(refused(400, &[yes]).retry_delay(1), Some(FIRST_RETRY_DELAY));

        let event = |kind: &str, code: Option<&str>, retry: &[_]| {
            let details =
                code.map(|code| anthropic::ErrorDetails { error_code: Some(code.to_owned()) });
            let error = anthropic::Error { kind: kind.to_owned(), details, ..Default::default() };
            let body = anthropic::ErrorBody { error, ..Default::default() };
            Error::ErrorEvent { body: Box::new(body), head: head(retry) }
        };
        for kind in ["overloaded_error", "api_error", "timeout_error", "rate_limit_error", "new"] {
            assert_eq!(event(kind, None, &[]).retry_delay(1), Some(FIRST_RETRY_DELAY), "{kind}");
            assert_eq!(event(kind, None, &[no]).retry_delay(1), None, "{kind}");
            assert_eq!(event(kind, None, &[("retry-after", "1")]).retry_delay(1), second);
            assert_eq!(event(kind, None, &[("retry-after", "60")]).retry_delay(1), None);
        }
        let spent = Some("enforced_spend_limit_reached");
        assert_eq!(event("rate_limit_error", spent, &[]).retry_delay(1), None);
        for kind in ["invalid_request_error", "authentication_error", "request_too_large"] {
            assert_eq!(event(kind, None, &[]).retry_delay(1), None, "{kind}");
        }
    }

    #[test]
    fn tries_of_all_kinds_share_one_budget() {
        let mut tries = Tries::default();
        let overloaded = Error::Refused { status: 529, body: Box::default(), head: Box::default() };
        assert_eq!(tries.retry(&overloaded), Some(FIRST_RETRY_DELAY));
        assert!(!tries.may_be_billed());
        assert_eq!(tries.retry(&StreamError::Cut.into()), Some(FIRST_RETRY_DELAY * 2));
        assert!(tries.may_be_billed() && tries.broken());
        assert_eq!(tries.retry(&overloaded), None);
    }
}
