//! Rejected requests, and errors as HTTP responses in the form of the client's API.

use std::{sync::Arc, time::SystemTime};

use axum::response::{IntoResponse, Response};
use bytesize::ByteSize;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::{body_budget::LARGEST_BODIES, headers};
use crate::{
    answer::{Error, ErrorForm, Failure, UpstreamFailure},
    domain::{
        encoding, exchange::Api, prepare::InvalidId, tags::InvalidTags, user_name::AmbiguousUser,
    },
    store, upstream,
};

/// Seconds until a prune that did not start is worth another try.
const PRUNE_RETRY_AFTER: HeaderValue = HeaderValue::from_static("10");

/// Seconds until there may be room for a body.
const BODIES_RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// The reason why a request is rejected.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    #[error(
        "no such path: {0} (there are POST /v1/chat/completions, POST /v1/messages and GET /v1/models, and the page for operators \
         at /: the base URL of an OpenAI client ends in /v1, that of an Anthropic client does not)"
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
        "pages of {0} are not allowed to send requests, because any page could then spend your money; start Reprise \
         with --allow-origin {0} (REPRISE_ALLOW_ORIGIN), or with a key that clients must send (--api-key or \
         REPRISE_API_KEY)"
    )]
    ForeignOrigin(String),
    #[error(
        "X-OpenWebUI-User-Jwt is not signed with the secret that Reprise has, or has expired: give Open WebUI's \
         FORWARD_USER_INFO_HEADER_JWT_SECRET as --user-jwt-secret or REPRISE_USER_JWT_SECRET, and check both clocks"
    )]
    UserNotSigned,
    #[error(
        "the user of the call is not signed, and this server requires that (--require-signed-users): set \
         FORWARD_USER_INFO_HEADER_JWT_SECRET in Open WebUI, or give other clients a [[key]] with a user"
    )]
    UserWithoutSignature,
    #[error("the id in the header {header} {invalid}")]
    InvalidId { header: HeaderName, invalid: InvalidId },
    #[error("the header X-Reprise-Tag {0}")]
    InvalidTags(InvalidTags),
    #[error("the header {header} is there several times, with different ids")]
    SeveralIds { header: HeaderName },
    #[error(
        "wrong admin key: send the one that Reprise was started with (--admin-key or REPRISE_ADMIN_KEY)"
    )]
    WrongAdminKey,
    #[error(
        "this is for operators: send the request from the machine itself, with the client key if there is one, or \
         start Reprise with a key for operators (--admin-key or REPRISE_ADMIN_KEY)"
    )]
    NotLocal,
    #[error(
        "this is for operators, and the key of clients is not theirs: run `reprise cache clear`, `reprise prune` or \
         `reprise reload` on the machine itself, as a user who can read the ledger, or start Reprise with a key for \
         operators (--admin-key or REPRISE_ADMIN_KEY)"
    )]
    NotLedgerOperator,
    #[error("sign in first: POST /page/login, or send the key with the request")]
    NotSignedIn,
    #[error("this key does not open the page")]
    WrongPageKey,
    #[error("too many wrong keys from this address; try again in {seconds} s")]
    TooManyLogins { seconds: u64 },
    #[error("this is for the page of this server, and the request comes from another one")]
    ForeignPage,
    #[error("{0}")]
    InvalidQuery(String),
    #[error(transparent)]
    AmbiguousUser(AmbiguousUser),
    #[error("there is no call {0}")]
    NoSuchCall(String),
    #[error("there is no session {0}")]
    NoSuchSession(String),
    #[error("none of the calls of this session can be a fixture")]
    NoFixtures,
    #[error("there is no exchange {0}")]
    NoSuchExchange(String),
    #[error("there is no attachment {0}, or it is not kept any more")]
    NoSuchAttachment(String),
    #[error(
        "sessions cannot be searched: the index of words is not ready yet, or none is kept (--search off)"
    )]
    NotSearchable,
    #[error("the answer {0} is not running")]
    NotRunning(String),
    #[error("this answer must not be kept, and is not shown to operators either")]
    NotReadable,
    #[error(
        "this answer is of a call with another client key, and only an operator may stop it: start Reprise with a key \
         for operators (--admin-key or REPRISE_ADMIN_KEY)"
    )]
    NotStoppable,
    #[error("too many windows are open that show what is running; close one")]
    TooManyStreams,
    #[error("the ledger cannot be read now: {0}")]
    Unreadable(#[source] store::Error),
    #[error("the request must have one Host header, with the name or address of this server")]
    NoHost,
    #[error(
        "requests to {0} are not answered, because a foreign page could then spend your money; use the address of this \
         machine, or start Reprise with --allow-origin http://{0} (REPRISE_ALLOW_ORIGIN), or with a key that clients \
         must send (--api-key or REPRISE_API_KEY)"
    )]
    ForeignHost(String),
    #[error("pruning failed part way; prune again to delete the rest: {0}")]
    NotPruned(#[source] store::Error),
    #[error("a prune is already running, and this one did not start; try again when it has ended")]
    PruneRunning,
    #[error("the ledger cannot be written now, and nothing was pruned; try again later")]
    PruneNotStarted,
    #[error("the ledger cannot be written now; finished answers wait in memory")]
    NotFlushed,
    #[error("this server cannot read its settings again; restart it")]
    NotReloadable,
    #[error("the settings cannot be used, and nothing has changed: {0}")]
    NotReloaded(String),
    #[error("this server writes to a different ledger than the one that was named")]
    AnotherLedger,
    #[error("the request cannot be parsed: {0}")]
    InvalidBody(String),
    #[error("the ledger cannot be written now; the command is queued and runs when it can be")]
    LedgerLate,
    #[error("the request body is larger than {}, which is the limit of this server (--max-body)", ByteSize(*limit as u64).display().iec())]
    LargeBody { limit: usize },
    #[error(
        "the bodies of other requests take up all memory that this server has for them, which is enough for {} of the \
         largest size (--max-body); try again in a moment",
        LARGEST_BODIES
    )]
    BodiesFull,
    #[error("the request body did not arrive in time")]
    SlowBody,
    #[error("the request body ended early")]
    BrokenBody,
    #[error(
        "the body has a content encoding that is not known: {name} (known are {})",
        encoding::ACCEPTED
    )]
    UnknownEncoding { name: String },
    #[error("the body is not {0}, which its content-encoding says")]
    BrokenEncoding(&'static str),
    #[error("{0}")]
    NoSuchScenario(String),
    #[error("no such model: {0} (GET /v1/models lists the models that exist)")]
    NoSuchModel(String),
    #[error("a bug in Reprise: the request was given up, the server keeps running")]
    Panicked,
    /// A replay has no fixture for a chat of Open WebUI, which shows one line. The end of the replay reports the rest.
    #[error("{}", .0.without_content())]
    MissInChat(Arc<Failure>),
    #[error(transparent)]
    Answer(#[from] Error),
}

impl Rejection {
    /// The error that the client reads.
    fn form(&self) -> ErrorForm<'_> {
        let invalid = |status, code| ErrorForm::invalid_request(status, code, self.to_string());
        let server_error = |status, code| ErrorForm::server_error(status, code, self.to_string());
        match self {
            Self::NoSuchPath(_) => invalid(404, Some("unknown_url")),
            Self::WrongMethod(_) => invalid(405, Some("method_not_supported")),
            Self::NoClientKey | Self::WrongClientKey | Self::NoAnthropicKey => {
                invalid(401, Some("invalid_api_key"))
            }
            Self::WrongAdminKey => invalid(401, Some("invalid_admin_key")),
            Self::NotSignedIn => invalid(401, Some("not_signed_in")),
            Self::WrongPageKey => invalid(401, Some("invalid_page_key")),
            Self::TooManyLogins { .. } => invalid(429, Some("too_many_logins")),
            Self::ForeignPage => invalid(403, Some("foreign_page")),
            Self::InvalidQuery(_) => invalid(400, Some("invalid_query")),
            Self::AmbiguousUser(_) => invalid(400, Some("ambiguous_user")),
            Self::NoFixtures => invalid(404, Some("no_fixtures")),
            Self::NoSuchCall(_) => invalid(404, Some("unknown_call")),
            Self::NoSuchSession(_) => invalid(404, Some("unknown_session")),
            Self::NoSuchExchange(_) => invalid(404, Some("unknown_exchange")),
            Self::NoSuchAttachment(_) => invalid(404, Some("unknown_attachment")),
            Self::NotSearchable => server_error(503, Some("not_searchable")),
            Self::NotRunning(_) => invalid(404, Some("not_running")),
            Self::NotReadable => invalid(403, Some("not_readable")),
            Self::NotStoppable => invalid(403, Some("not_stoppable")),
            Self::TooManyStreams => invalid(429, Some("too_many_streams")),
            Self::Unreadable(_) => server_error(503, Some("ledger_unreadable")),
            Self::UserNotSigned | Self::UserWithoutSignature => {
                invalid(401, Some("invalid_user_signature")).with_param("X-OpenWebUI-User-Jwt")
            }
            Self::InvalidId { header, .. } | Self::SeveralIds { header } => {
                invalid(400, Some("invalid_id")).with_param(header.as_str())
            }
            Self::InvalidTags(_) => invalid(400, Some("invalid_tag")).with_param("X-Reprise-Tag"),
            Self::ForeignOrigin(_) => invalid(403, Some("foreign_origin")),
            Self::NotLocal | Self::NotLedgerOperator => invalid(403, Some("not_an_operator")),
            Self::NoHost => invalid(400, Some("invalid_host")).with_param("Host"),
            Self::ForeignHost(_) => invalid(403, Some("foreign_host")).with_param("Host"),
            Self::NoSuchModel(_) => invalid(404, Some("model_not_found")).with_param("model"),
            Self::NoSuchScenario(_) => {
                invalid(404, Some("unknown_scenario")).with_param("X-Reprise-Scenario")
            }
            Self::SlowBody => invalid(408, None),
            Self::PruneRunning => invalid(409, Some("prune_running")),
            Self::AnotherLedger => invalid(409, Some("another_ledger")),
            Self::LargeBody { .. } => invalid(413, Some("request_too_large")),
            Self::UnknownEncoding { .. } | Self::BrokenEncoding(_) => {
                invalid(415, Some("unsupported_encoding"))
            }
            Self::BrokenBody | Self::InvalidBody(_) => invalid(400, None),
            Self::NotReloadable => invalid(409, Some("not_reloadable")),
            Self::NotReloaded(_) => invalid(422, Some("invalid_settings")),
            Self::NotPruned(_) => server_error(500, Some("not_pruned")),
            Self::BodiesFull => server_error(503, Some("bodies_full")),
            Self::LedgerLate | Self::PruneNotStarted | Self::NotFlushed => {
                server_error(503, Some("ledger_late"))
            }
            Self::Panicked | Self::Answer(Error::Panicked(_)) => server_error(500, None),
            Self::Answer(Error::Prepare(cause)) => ErrorForm::unprepared(cause),
            Self::MissInChat(failure) => failure.form().with_message(self.to_string()),
            Self::Answer(Error::Failed { failure, .. }) => failure.form(),
        }
    }

    /// The word under which the request is counted as refused; `None` if the ledger has it as a call, or if the fault is
    /// ours.
    pub(super) fn refusal(&self) -> Option<String> {
        if let Self::Answer(_) | Self::MissInChat(_) | Self::Panicked = self {
            return None;
        }
        let error = self.form().into_openai();
        Some(error.code.unwrap_or_else(|| error.kind.to_owned()))
    }

    fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Answer(Error::Failed { failure, .. }) | Self::MissInChat(failure) => {
                Some(failure)
            }
            _ => None,
        }
    }

    fn respond(&self, api: Api) -> Response {
        let form = self.form();
        let status = form.status(api);
        // A request that went upstream has its line in the log already.
        if matches!(self.failure(), None | Some(Failure::NotCached(_) | Failure::Budget(_))) {
            // A string is escaped: text of the client cannot look like another line of the log.
            tracing::info!(status, error = self.to_string(), "request rejected");
        }
        let is_permanent = form.is_permanent();
        let content_type = [(header::CONTENT_TYPE, "application/json")];
        let mut response = (content_type, form.body(api)).into_response();
        *response.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        if let Some(Failure::Upstream(UpstreamFailure {
            error: upstream::Error::Refused { head, .. } | upstream::Error::ErrorEvent { head, .. },
            ..
        })) = self.failure()
        {
            headers::forward(api, head, SystemTime::now(), headers);
        }
        if let Self::Answer(Error::Failed { exchange: Some(exchange), .. }) = self {
            headers::insert_exchange(*exchange, headers);
        }
        if let Self::PruneRunning | Self::PruneNotStarted = self {
            headers.insert(header::RETRY_AFTER, PRUNE_RETRY_AFTER);
        }
        if let Self::TooManyLogins { seconds } = self {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
        }
        if let Self::BodiesFull = self {
            headers.insert(header::RETRY_AFTER, BODIES_RETRY_AFTER);
        }
        if let Self::UnknownEncoding { .. } | Self::BrokenEncoding(_) = self {
            let accepted = HeaderValue::from_static(encoding::ACCEPTED);
            headers.insert(header::ACCEPT_ENCODING, accepted);
        }
        if is_permanent {
            let name = HeaderName::from_static("x-should-retry");
            headers.insert(name, HeaderValue::from_static("false"));
        }
        response
    }
}

/// An empty response with the rejection as an extension: the API of the client is not known here.
/// [`render_rejection`] writes the body.
impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// The rejection that a response stands for.
pub(super) fn rejection(response: &Response) -> Option<&Rejection> {
    response.extensions().get::<Arc<Rejection>>().map(|rejection| &**rejection)
}

/// Renders a rejection for a client of `api`; any other response stays as it is.
pub(super) fn render_rejection(response: Response, api: Api) -> Response {
    match rejection(&response) {
        Some(rejection) => rejection.respond(api),
        None => response,
    }
}
