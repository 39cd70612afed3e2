//! Failures of answers, and the one table of how each reads to clients of either API and in the ledger.

use std::{borrow::Cow, fmt};

use serde_json::json;

use crate::{
    domain::{
        anthropic::{self, StreamError, kind_of, status_of},
        budget::BudgetRefusal,
        cache::Reason,
        exchange::Api,
        openai,
        prepare::PrepareError,
        translate::{self, Tried},
    },
    upstream::{self, ResponseHead},
};

/// The reason why a request has no complete answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Upstream gave no answer, or broke off.
    #[error(transparent)]
    Upstream(UpstreamFailure),
    /// Upstream's stream is not a complete answer.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The answer is larger than any recording may be.
    #[error("the answer is larger than {} MiB", super::LARGEST_RECORDING >> 20)]
    TooLarge,
    /// Reprise is shutting down.
    #[error("Reprise is shutting down; ask again when it is back")]
    ShuttingDown,
    /// An operator stopped the answer.
    #[error("an operator of Reprise stopped this answer")]
    StoppedByOperator,
    /// The client sent `only-if-cached`, and the ledger has no answer that may be served.
    #[error(
        "the ledger has no answer to this request that it may serve ({}), and Cache-Control is only-if-cached",
        .0.as_str()
    )]
    NotCached(Reason),
    /// A budget does not allow the request.
    #[error(transparent)]
    Budget(#[from] BudgetRefusal),
}

/// The last failure of upstream, after all tries.
#[derive(Debug)]
pub struct UpstreamFailure {
    /// The failure.
    pub error: upstream::Error,
    /// Number of tries that failed.
    pub tries: u32,
}

impl From<upstream::Error> for Failure {
    fn from(error: upstream::Error) -> Self {
        Self::Upstream(UpstreamFailure { error, tries: 1 })
    }
}

impl fmt::Display for UpstreamFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)?;
        if self.tries > 1 { write!(f, " (tried {} times)", self.tries) } else { Ok(()) }
    }
}

impl std::error::Error for UpstreamFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// An error as clients of either API read it.
#[derive(Debug)]
pub struct ErrorForm<'a> {
    chat_status: u16,
    messages_status: u16,
    openai: openai::Error,
    /// Anthropic's own error, which its clients get unchanged.
    anthropic: Option<&'a anthropic::ErrorBody>,
}

const INVALID_REQUEST: &str = "invalid_request_error";
const SERVER_ERROR: &str = "server_error";
const QUOTA: &str = "insufficient_quota";
const NOT_CACHED: &str = "not_cached";
const REPLAY_MISS: &str = "replay_miss";
const STOPPED: &str = "stopped_by_operator";
const UNAVAILABLE: &str = "upstream_unavailable";

/// Anthropic's status for "overloaded", which HTTP does not have.
const OVERLOADED: u16 = 529;

impl Failure {
    /// The name of this kind of failure in the ledger and in reports.
    pub fn kind(&self) -> &str {
        self.describe().0
    }

    /// True if a replay has no fixture for the request.
    pub const fn is_miss(&self) -> bool {
        matches!(
            self,
            Self::Upstream(UpstreamFailure { error: upstream::Error::NotRecorded { .. }, .. })
        )
    }

    /// The failure in words, without any content of messages, for the log.
    pub fn without_content(&self) -> String {
        match self {
            Self::Upstream(UpstreamFailure {
                error: upstream::Error::NotRecorded { miss, .. },
                ..
            }) => miss.without_content(),
            failure => failure.to_string(),
        }
    }

    /// The error that clients read.
    pub fn form(&self) -> ErrorForm<'_> {
        self.describe().1
    }

    /// The error that an OpenAI client reads.
    pub fn openai(&self) -> openai::Error {
        self.form().openai
    }

    /// The failure's name in the ledger, and its form for clients.
    fn describe(&self) -> (&str, ErrorForm<'_>) {
        let form = |status, kind, code: &str| ErrorForm::of(self, status, kind, code);
        match self {
            Self::Upstream(failed) => failed.describe(),
            Self::Stream(error) => describe_stream(self, error),
            Self::TooLarge => ("too_large", form(502, SERVER_ERROR, UNAVAILABLE)),
            Self::ShuttingDown => ("shutdown", form(503, SERVER_ERROR, "shutting_down")),
            Self::StoppedByOperator => (STOPPED, form(503, SERVER_ERROR, STOPPED)),
            Self::NotCached(_) => (NOT_CACHED, form(504, SERVER_ERROR, NOT_CACHED)),
            Self::Budget(BudgetRefusal::Spent { .. } | BudgetRefusal::TooDear { .. }) => {
                (QUOTA, form(429, QUOTA, QUOTA))
            }
            Self::Budget(BudgetRefusal::Unpriced { .. }) => {
                ("unpriced", form(400, INVALID_REQUEST, "model_unpriced").with_param("model"))
            }
        }
    }
}

impl UpstreamFailure {
    fn describe(&self) -> (&str, ErrorForm<'_>) {
        use upstream::Error as Upstream;
        let form = |status, kind, code: &str| ErrorForm::of(self, status, kind, code);
        let tried = |head: &ResponseHead| Tried { tries: self.tries, wait: head.retry_after() };
        match &self.error {
            Upstream::Refused { status, body, head } => {
                (&*body.error.kind, ErrorForm::refused(*status, body, tried(head)))
            }
            Upstream::ErrorEvent { body, head } => {
                let status = status_of(&body.error.kind);
                (&*body.error.kind, ErrorForm::refused(status, body, tried(head)))
            }
            Upstream::Stream(error) => describe_stream(self, error),
            Upstream::Connect(_) => ("connect", form(502, SERVER_ERROR, UNAVAILABLE)),
            Upstream::IdleTimeout(_) | Upstream::LateBody { .. } => {
                ("timeout", form(504, SERVER_ERROR, "upstream_timeout"))
            }
            Upstream::Broken(_) => ("cut", form(502, SERVER_ERROR, UNAVAILABLE)),
            Upstream::NotAStream { .. }
            | Upstream::Packed(_)
            | Upstream::LargeBody { .. }
            | Upstream::UnreadableModels(_) => ("unreadable", form(502, SERVER_ERROR, UNAVAILABLE)),
            Upstream::Redirected { .. } => ("redirected", form(502, SERVER_ERROR, UNAVAILABLE)),
            // 404, because no SDK retries it.
            Upstream::NotRecorded { .. } | Upstream::NotCounted => {
                (REPLAY_MISS, form(404, INVALID_REQUEST, REPLAY_MISS))
            }
        }
    }
}

/// The name and the form of a stream that is no complete answer; `failure` is the same in words.
fn describe_stream<'a>(
    failure: &dyn fmt::Display,
    error: &'a StreamError,
) -> (&'a str, ErrorForm<'a>) {
    let form = || ErrorForm::of(failure, 502, SERVER_ERROR, UNAVAILABLE);
    match error {
        StreamError::Upstream(body) => (&*body.error.kind, ErrorForm::in_stream(body)),
        StreamError::Cut => ("cut", form()),
        StreamError::Unreadable(_) | StreamError::OutOfOrder => ("unreadable", form()),
    }
}

/// The HTTP status of a response that fails before its first byte, or does not fail.
pub(super) fn response_status(api: Api, failure: Option<&Failure>) -> u16 {
    failure.map_or(200, |failure| failure.form().status(api))
}

impl<'a> ErrorForm<'a> {
    /// An error of Reprise itself, as an OpenAI client reads it. Anthropic's `type` follows from the status.
    pub const fn new(status: u16, openai: openai::Error) -> Self {
        Self { chat_status: status, messages_status: status, openai, anthropic: None }
    }

    /// A failure in words.
    fn of(failure: &dyn fmt::Display, status: u16, kind: &'static str, code: &str) -> Self {
        let (message, code) = (failure.to_string(), Some(code.to_owned()));
        Self::new(status, openai::Error { message, kind, param: None, code })
    }

    /// A request that cannot be prepared.
    pub fn unprepared(cause: &PrepareError) -> Self {
        Self::new(400, cause.openai())
    }

    /// An error of the client.
    pub fn invalid_request(status: u16, code: Option<&str>, message: String) -> Self {
        let (kind, code) = (INVALID_REQUEST, code.map(str::to_owned));
        Self::new(status, openai::Error { message, kind, param: None, code })
    }

    /// An error that is not the client's fault.
    pub fn server_error(status: u16, code: Option<&str>, message: String) -> Self {
        let (kind, code) = (SERVER_ERROR, code.map(str::to_owned));
        Self::new(status, openai::Error { message, kind, param: None, code })
    }

    /// The same error in other words for an OpenAI client.
    #[must_use]
    pub fn with_message(mut self, message: String) -> Self {
        self.openai.message = message;
        self
    }

    /// The same error, with the field or header that caused it.
    #[must_use]
    pub fn with_param<'p>(mut self, param: impl Into<Option<&'p str>>) -> Self {
        self.openai.param = param.into().map(str::to_owned);
        self
    }

    /// An error response of Anthropic. Its status is kept where it means the same to an OpenAI client, 401 and 403
    /// included: every SDK has a class for them, and the message says whose key it was (`reference/anthropic-api.md`
    /// §9.4).
    fn refused(status: u16, body: &'a anthropic::ErrorBody, tried: Tried) -> Self {
        let chat_status = match status {
            OVERLOADED => 503,
            400..=500 | 504 => status,
            _ => 502,
        };
        let messages_status = if (400..600).contains(&status) { status } else { 502 };
        Self::of_anthropic(chat_status, messages_status, body, tried)
    }

    /// An error event of Anthropic, with the status that it would have had before the stream began.
    fn in_stream(body: &'a anthropic::ErrorBody) -> Self {
        let status = status_of(&body.error.kind);
        let chat_status = match status {
            OVERLOADED => 503,
            400 | 429 | 504 => status,
            _ => 502,
        };
        Self::of_anthropic(chat_status, status, body, Tried::default())
    }

    fn of_anthropic(
        chat_status: u16,
        messages_status: u16,
        body: &'a anthropic::ErrorBody,
        tried: Tried,
    ) -> Self {
        let openai = translate::error(body, tried);
        Self { chat_status, messages_status, openai, anthropic: Some(body) }
    }

    /// The error as an OpenAI client reads it.
    pub fn into_openai(self) -> openai::Error {
        self.openai
    }

    /// The HTTP status.
    pub const fn status(&self, api: Api) -> u16 {
        match api {
            Api::Chat => self.chat_status,
            Api::Messages => self.messages_status,
        }
    }

    /// True if a request must not be sent again by itself: a spent limit stays spent, neither the ledger nor a replay gets
    /// more answers by itself, and an operator meant what was stopped.
    pub fn is_permanent(&self) -> bool {
        matches!(self.openai.code.as_deref(), Some(QUOTA | NOT_CACHED | REPLAY_MISS | STOPPED))
    }

    /// The JSON body of the response.
    pub fn body(self, api: Api) -> Vec<u8> {
        match api {
            Api::Chat => {
                serde_json::to_vec(&openai::ErrorBody { error: self.openai }).unwrap_or_default()
            }
            Api::Messages => self.anthropic_body().into_owned().into_bytes(),
        }
    }

    /// The error in Anthropic's form (`reference/anthropic-api.md` §4): Anthropic's own as it wrote it.
    fn anthropic_body(&self) -> Cow<'a, str> {
        let (kind, message, request_id) = match self.anthropic {
            Some(anthropic::ErrorBody { written: Some(written), .. }) => return written.into(),
            Some(anthropic::ErrorBody { error, request_id, .. }) => {
                (&*error.kind, &error.message, request_id.as_deref())
            }
            None => (kind_of(self.messages_status), &self.openai.message, None),
        };
        let error = json!({ "type": kind, "message": message });
        json!({ "type": "error", "error": error, "request_id": request_id }).to_string().into()
    }
}
