//! Errors as Anthropic's own clients read them (`reference/anthropic-api.md` §4): Anthropic's in its own words and
//! with its own status, ours in the same shape.

use http::StatusCode;
use serde_json::json;

use super::Rejection;
use crate::{
    answer::{Error, Failure},
    domain::{anthropic::StreamError, budget::Refusal},
    upstream,
};

/// Anthropic is busy: a status that HTTP does not have.
const OVERLOADED: u16 = 529;

/// The status of a failed call: Anthropic's own, where it gave one.
pub(super) fn status(failure: &Failure) -> StatusCode {
    let own = match failure {
        Failure::Upstream(upstream::Error::Refused { status, .. }) => *status,
        Failure::Stream(StreamError::Upstream(body)) => status_of_kind(&body.error.kind),
        Failure::Upstream(upstream::Error::Silent(_)) | Failure::NotCached(_) => 504,
        Failure::Upstream(upstream::Error::NotRecorded { .. } | upstream::Error::NotCounted) => 404,
        Failure::Upstream(_) | Failure::Stream(_) | Failure::TooLarge => 502,
        Failure::ShuttingDown => 503,
        Failure::Budget(Refusal::Spent { .. }) => 429,
        Failure::Budget(Refusal::Unpriced { .. }) => 400,
    };
    StatusCode::from_u16(own)
        .ok()
        .filter(|status| status.is_client_error() || status.is_server_error())
        .unwrap_or(StatusCode::BAD_GATEWAY)
}

/// The status that an error would have had, had it come before the stream.
fn status_of_kind(kind: &str) -> u16 {
    match kind {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "conflict_error" => 409,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "timeout_error" => 504,
        "overloaded_error" => OVERLOADED,
        _ => 500,
    }
}

const fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..500 => "invalid_request_error",
        504 => "timeout_error",
        OVERLOADED => "overloaded_error",
        _ => "api_error",
    }
}

/// The error's JSON: what Anthropic wrote, if it wrote any.
pub(super) fn body(rejection: &Rejection, status: StatusCode) -> Vec<u8> {
    let theirs = match rejection {
        Rejection::Answer(Error::Failed(failure)) => match &**failure {
            Failure::Upstream(upstream::Error::Refused { body, .. })
            | Failure::Stream(StreamError::Upstream(body)) => Some(body),
            _ => None,
        },
        _ => None,
    };
    if let Some(written) = theirs.and_then(|body| body.written.as_ref()) {
        return written.clone().into_bytes();
    }
    let (kind, message) = match (theirs, rejection) {
        (Some(body), _) => (body.error.kind.clone(), body.error.message.clone()),
        (None, Rejection::Answer(Error::Prepare(error))) => {
            let error = error.anthropic();
            (error.kind, error.message)
        }
        (None, _) => (kind(status.as_u16()).to_owned(), rejection.to_string()),
    };
    let request_id = theirs.and_then(|body| body.request_id.as_ref());
    let error = json!({ "type": kind, "message": message });
    json!({ "type": "error", "error": error, "request_id": request_id }).to_string().into_bytes()
}
