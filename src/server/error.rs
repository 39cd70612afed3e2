//! Errors as HTTP: status, JSON in the client's dialect, `retry-after`. Everything is matched exhaustively, here and nowhere else.

mod native;

use std::{sync::Arc, time::SystemTime};

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::{chat::FIXTURE, dialect::Dialect, limits};
use crate::{
    answer::{Error, Failure},
    domain::{anthropic::StreamError, budget::Refusal, exchange::Api, openai},
    store,
    upstream::{self, Head},
};

/// Why a request is turned away.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    #[error(
        "no such path: {0} (there are POST /v1/chat/completions, POST /v1/messages, GET /v1/models)"
    )]
    NoSuchPath(String),
    #[error("{0} is not a method of this path")]
    WrongMethod(String),
    #[error(
        "no API key: send the key that Reprise was started with as `Authorization: Bearer …` or `x-api-key: …`"
    )]
    NoClientKey,
    #[error(
        "wrong API key: send the key that Reprise was started with (--api-key or REPRISE_API_KEY)"
    )]
    WrongClientKey,
    #[error(
        "no Anthropic key: start Reprise with ANTHROPIC_API_KEY set, or send your own sk-ant-… key as \
         `Authorization: Bearer …` or `x-api-key: …`"
    )]
    NoAnthropicKey,
    #[error(
        "a page of {0} may not ask: anybody's page could spend your money; start Reprise with a key that clients must \
         show (--api-key or REPRISE_API_KEY)"
    )]
    ForeignOrigin(String),
    #[error(
        "X-OpenWebUI-User-Jwt is not signed with the secret that Reprise has, or has expired: give Open WebUI's \
         FORWARD_USER_INFO_HEADER_JWT_SECRET as --user-jwt-secret or REPRISE_USER_JWT_SECRET, and check both clocks"
    )]
    UserNotSigned,
    #[error(
        "wrong admin key: send the one that Reprise was started with (--admin-key or REPRISE_ADMIN_KEY)"
    )]
    WrongAdminKey,
    #[error(
        "this is for operators: ask from the machine itself, with the clients' key where there is one, or start Reprise \
         with a key for operators (--admin-key or REPRISE_ADMIN_KEY)"
    )]
    NotLocal,
    #[error("pruning failed half way; what is left can be pruned again: {0}")]
    NotPruned(#[source] store::Error),
    #[error("this server writes to another ledger than the one that is meant")]
    AnotherLedger,
    #[error("the request is not understood: {0}")]
    Misunderstood(String),
    #[error("the ledger cannot be written now; what was asked is done when it can be")]
    LedgerLate,
    #[error("the request body is larger than {} bytes, which is the limit of this server (--max-body)", .limit)]
    LargeBody { limit: usize },
    #[error("the request body did not arrive in time")]
    SlowBody,
    #[error("the request body broke off")]
    BrokenBody,
    #[error("no such model: {0} (GET /v1/models lists those there are)")]
    NoSuchModel(String),
    #[error("a bug in Reprise: the call was given up, the server goes on")]
    Panicked,
    #[error(transparent)]
    Answer(#[from] Error),
}

impl Rejection {
    fn status(&self, dialect: Dialect) -> StatusCode {
        match self {
            Self::NoSuchPath(_) | Self::NoSuchModel(_) => StatusCode::NOT_FOUND,
            Self::WrongMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoClientKey
            | Self::WrongClientKey
            | Self::NoAnthropicKey
            | Self::UserNotSigned
            | Self::WrongAdminKey => StatusCode::UNAUTHORIZED,
            Self::ForeignOrigin(_) | Self::NotLocal => StatusCode::FORBIDDEN,
            Self::LedgerLate => StatusCode::SERVICE_UNAVAILABLE,
            Self::AnotherLedger => StatusCode::CONFLICT,
            Self::LargeBody { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::BrokenBody | Self::Misunderstood(_) | Self::Answer(Error::Prepare(_)) => {
                StatusCode::BAD_REQUEST
            }
            Self::Panicked | Self::NotPruned(_) | Self::Answer(Error::Panicked(_)) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::Answer(Error::Failed(failure)) => match dialect {
                Dialect::OpenAi => status(failure),
                Dialect::Anthropic => native::status(failure),
            },
        }
    }

    fn openai(&self) -> openai::Error {
        let error = |kind, param: Option<&str>, code: Option<&str>| openai::Error {
            message: self.to_string(),
            kind,
            param: param.map(str::to_owned),
            code: code.map(str::to_owned),
        };
        let invalid = |param, code| error("invalid_request_error", param, code);
        match self {
            Self::NoSuchPath(_) => invalid(None, Some("unknown_url")),
            Self::WrongMethod(_) => invalid(None, Some("method_not_supported")),
            Self::NoClientKey | Self::WrongClientKey | Self::NoAnthropicKey => {
                invalid(None, Some("invalid_api_key"))
            }
            Self::WrongAdminKey => invalid(None, Some("invalid_admin_key")),
            Self::NotLocal => invalid(None, Some("not_an_operator")),
            Self::AnotherLedger => invalid(None, Some("another_ledger")),
            Self::LedgerLate => error("server_error", None, Some("ledger_late")),
            Self::NotPruned(_) => error("server_error", None, Some("not_pruned")),
            Self::ForeignOrigin(_) => invalid(None, Some("foreign_origin")),
            Self::UserNotSigned => {
                invalid(Some("X-OpenWebUI-User-Jwt"), Some("invalid_user_signature"))
            }
            Self::LargeBody { .. } => invalid(None, Some("request_too_large")),
            Self::SlowBody | Self::BrokenBody | Self::Misunderstood(_) => invalid(None, None),
            Self::NoSuchModel(_) => invalid(Some("model"), Some("model_not_found")),
            Self::Panicked | Self::Answer(Error::Panicked(_)) => error("server_error", None, None),
            Self::Answer(Error::Prepare(error)) => error.openai(),
            Self::Answer(Error::Failed(failure)) => failure.openai(),
        }
    }

    /// What upstream said of the failure, for the client's SDK and for support.
    fn refused(&self) -> Option<&Head> {
        match self.failure()? {
            Failure::Upstream(upstream::Error::Refused { head, .. }) => Some(head),
            _ => None,
        }
    }

    fn is_replay_miss(&self) -> bool {
        matches!(
            self.failure(),
            Some(Failure::Upstream(
                upstream::Error::NotRecorded { .. } | upstream::Error::NotCounted
            ))
        )
    }

    fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Answer(Error::Failed(failure)) => Some(failure),
            _ => None,
        }
    }
}

impl From<Arc<Failure>> for Rejection {
    fn from(failure: Arc<Failure>) -> Self {
        Self::Answer(Error::Failed(failure))
    }
}

/// As a mark on an empty response: only who knows the request knows the dialect. [`spoken`] fills it in.
impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// The response as the client can read it: a rejection in its dialect, anything else as it is.
pub(super) fn render_rejection(response: Response, dialect: Dialect) -> Response {
    match response.extensions().get::<Arc<Rejection>>() {
        Some(rejection) => rejection.respond(dialect),
        None => response,
    }
}

impl Rejection {
    fn respond(&self, dialect: Dialect) -> Response {
        let status = self.status(dialect);
        // What came from upstream has its line already, with the call.
        let not_cached = matches!(self.failure(), Some(Failure::NotCached(_)));
        let no_money = matches!(self.failure(), Some(Failure::Budget(_)));
        if self.failure().is_none() || not_cached || no_money {
            // As a string it is escaped: what a client wrote cannot look like a line of the log.
            tracing::info!(status = status.as_u16(), error = self.to_string(), "call turned away");
        }
        let error = self.openai();
        let quota = error.code.as_deref() == Some("insufficient_quota");
        let body = match dialect {
            Dialect::OpenAi => serde_json::to_vec(&openai::ErrorBody { error }).unwrap_or_default(),
            Dialect::Anthropic => native::body(self, status),
        };
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        let headers = response.headers_mut();
        if let Some(head) = self.refused() {
            let fixture = head.fixture.as_ref().and_then(|name| HeaderValue::try_from(name).ok());
            headers.extend(fixture.map(|fixture| (HeaderName::from_static(FIXTURE), fixture)));
            limits::tell(dialect, head, SystemTime::now(), headers);
        }
        // A spent limit stays spent however often it is asked, and neither the ledger nor a replay has more the next moment.
        if quota || not_cached || self.is_replay_miss() {
            headers.insert(
                HeaderName::from_static("x-should-retry"),
                HeaderValue::from_static("false"),
            );
        }
        response
    }
}

/// The status of a failed call as the client of this door gets it.
pub(super) fn status_at(door: Api, failure: &Failure) -> StatusCode {
    match door {
        Api::Chat => status(failure),
        Api::Messages => native::status(failure),
    }
}

/// The status of a failed call (`reference/anthropic-api.md` §9.4). Anthropic's own is kept where it means the same
/// to an OpenAI client; 401 and 403 are, too: every SDK has a class for them, and the message says whose key it was.
fn status(failure: &Failure) -> StatusCode {
    match failure {
        Failure::Upstream(upstream::Error::Refused { status, .. }) => match *status {
            529 => StatusCode::SERVICE_UNAVAILABLE,
            500 | 504 => StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY),
            400..500 => StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_REQUEST),
            _ => StatusCode::BAD_GATEWAY,
        },
        Failure::Stream(StreamError::Upstream(body)) => match body.error.kind.as_str() {
            "overloaded_error" => StatusCode::SERVICE_UNAVAILABLE,
            "rate_limit_error" => StatusCode::TOO_MANY_REQUESTS,
            "timeout_error" => StatusCode::GATEWAY_TIMEOUT,
            "invalid_request_error" => StatusCode::BAD_REQUEST,
            _ => StatusCode::BAD_GATEWAY,
        },
        Failure::Upstream(upstream::Error::Silent(_)) | Failure::NotCached(_) => {
            StatusCode::GATEWAY_TIMEOUT
        }
        // No SDK asks again after it.
        Failure::Upstream(upstream::Error::NotRecorded { .. } | upstream::Error::NotCounted) => {
            StatusCode::NOT_FOUND
        }
        Failure::Upstream(_) | Failure::Stream(_) | Failure::TooLarge => StatusCode::BAD_GATEWAY,
        Failure::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        Failure::Budget(Refusal::Spent { .. }) => StatusCode::TOO_MANY_REQUESTS,
        Failure::Budget(Refusal::Unpriced { .. }) => StatusCode::BAD_REQUEST,
    }
}
