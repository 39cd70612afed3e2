//! Upstream: Anthropic over HTTP, or fixtures that are played back.
//!
//! Knows nothing of clients, the readers of recordings or the ledger. Its users do not see which of the two answers, so
//! that a replay runs all the code that a live answer runs.

mod error;
mod http;
mod limited;
mod mask;
mod probe;
mod replay;
mod unpack;

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use ::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use self::error::header_text;
pub use self::{
    error::{Error, Redirect, Tries},
    http::{Http, api_root},
    mask::KeyMask,
    probe::{ProbeOutcome, ProbeResult, probe},
    replay::{FixtureStore, MissRecorder, Pace, Replay},
    unpack::UnpackError,
};
use crate::domain::{
    anthropic::ApiHeaders,
    cassette::{self, RecordedCall},
    catalog,
    json::Raw,
    recording::Recorder,
};

/// The source of new answers.
#[derive(Debug)]
pub enum Upstream {
    /// Anthropic, or a gateway with the same API.
    Http(Box<Http>),
    /// Fixtures, without a client that could open a connection unless what is missing is recorded.
    Replay(Box<Replay>),
}

/// A request to upstream.
#[derive(Debug, Clone)]
pub struct Request {
    /// The body, in JSON.
    pub body: Bytes,
    /// Version, betas and other headers.
    pub headers: ApiHeaders,
    /// Anthropic's key: the operator's, or the client's own.
    pub key: SecretString,
    /// The fixtures that may answer, in a replay; `None`: all of them.
    pub scenario: Option<String>,
    /// The fixture that a replay may make of it.
    pub record: Recordable,
}

/// The fixture that a replay may make of a request.
#[derive(Debug, Clone)]
pub enum Recordable {
    /// None: its client wants nothing kept, or nothing is recorded.
    Never,
    /// One without a client's request: an answer is continued.
    Continuation,
    /// One of this call.
    Call(Arc<RecordedCall>),
}

impl Recordable {
    /// The same for the request that continues the answer.
    #[must_use]
    pub const fn continued(&self) -> Self {
        match self {
            Self::Never => Self::Never,
            Self::Continuation | Self::Call(_) => Self::Continuation,
        }
    }
}

/// A response whose head has arrived.
#[derive(Debug)]
pub struct Response {
    /// The headers.
    pub head: ResponseHead,
    /// The HTTP status.
    pub status: u16,
    body: Body,
}

/// The unread part of a response.
#[derive(Debug)]
enum Body {
    Http(http::HttpBody),
    Replay(replay::ReplayBody),
    Recorded(Box<replay::RecordedBody>),
}

/// The headers of a response that matter to clients and to support.
#[derive(Debug, Clone, Default)]
pub struct ResponseHead {
    /// Anthropic's id of the request.
    pub request_id: Option<String>,
    /// The `anthropic-ratelimit-…` headers and similar ones (`reference/anthropic-api.md` §4).
    pub limits: Vec<(HeaderName, HeaderValue)>,
    /// The headers that say whether and when to retry, which the SDKs of both APIs know (§4).
    pub retry: Vec<(HeaderName, HeaderValue)>,
    /// The fixture that answers, with its position among the answers to the request.
    pub fixture: Option<String>,
}

impl ResponseHead {
    fn of(headers: &HeaderMap) -> Self {
        const RETRY: [&str; 3] = ["retry-after", "retry-after-ms", "x-should-retry"];
        const LIMITS: [&str; 3] =
            ["anthropic-ratelimit-", "anthropic-priority-", "anthropic-fast-"];
        let select = |matches: &dyn Fn(&str) -> bool| {
            let selected = headers.iter().filter(|(name, _)| matches(name.as_str()));
            selected.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        Self {
            request_id: header_text(headers, "request-id"),
            limits: select(&|name| LIMITS.iter().any(|prefix| name.starts_with(prefix))),
            retry: select(&|name| RETRY.contains(&name)),
            fixture: None,
        }
    }

    /// The headers that a fixture keeps.
    pub fn kept(&self) -> Vec<(String, String)> {
        let id = self.request_id.iter().map(|id| ("request-id".to_owned(), id.clone()));
        let others = self.limits.iter().chain(&self.retry).filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        });
        id.chain(others).filter(|(name, _)| cassette::is_recorded_header(name)).collect()
    }
}

/// The number of tokens of a request, as upstream answers it.
#[derive(Debug, Clone)]
pub struct TokenCount {
    /// The JSON of upstream, unchanged.
    pub body: Bytes,
    /// Anthropic's id of the request, for its support.
    pub request_id: Option<String>,
}

impl Upstream {
    /// Sets up a client for the API at `base`, and sends nothing yet. `idle` bounds each wait for bytes.
    ///
    /// # Errors
    ///
    /// Fails if the machine has no CA certificates.
    pub fn at(base: &Url, idle: Duration) -> reqwest::Result<Self> {
        Http::new(base, idle).map(|http| Self::Http(Box::new(http)))
    }

    /// The replay, if fixtures answer.
    pub const fn replay(&self) -> Option<&Replay> {
        match self {
            Self::Http(_) => None,
            Self::Replay(replay) => Some(replay),
        }
    }

    /// Removes the key that requests are sent with from responses. Fixtures have none.
    pub fn mask(&self, key: &SecretString) -> KeyMask {
        match self {
            Self::Http(_) => KeyMask::new(key),
            Self::Replay(replay) if replay.records() => KeyMask::new(key),
            Self::Replay(_) => KeyMask::none(),
        }
    }

    /// The URL that requests go to.
    pub fn base(&self) -> &str {
        match self {
            Self::Http(http) => http.base(),
            Self::Replay(_) => replay::BASE,
        }
    }

    /// Returns whether the last request got any response; `None` before the first.
    pub fn reachable(&self) -> Option<bool> {
        match self {
            Self::Http(http) => http.reachable(),
            Self::Replay(_) => None,
        }
    }

    /// Returns whether the requests of clients are recorded as fixtures.
    pub fn records(&self) -> bool {
        self.replay().is_some_and(Replay::records)
    }

    /// Returns whether a response with this head is billed. Fixtures cost nothing.
    pub fn is_billed(&self, head: &ResponseHead) -> bool {
        match self {
            Self::Http(_) => true,
            Self::Replay(replay) => replay.records() && head.fixture.is_none(),
        }
    }

    /// Sends a request for a message once, and waits for the head of the response.
    pub async fn send(&self, request: &Request, tries: &mut Tries) -> Result<Response, Error> {
        match self {
            Self::Http(http) => http.send(request, tries).await,
            Self::Replay(replay) => replay.send(request, tries).await,
        }
    }

    /// The delay before a request that failed is sent again, if nothing of its answer has been told; `None` if it is not
    /// (`reference/anthropic-api.md` §4). Fixtures have nothing else to say.
    pub fn retry_delay(&self, tries: &mut Tries, error: &Error) -> Option<Duration> {
        match self {
            Self::Http(_) => tries.retry(error),
            Self::Replay(replay) if replay.records() && !error.is_of_fixture() => {
                tries.retry(error)
            }
            Self::Replay(_) => None,
        }
    }

    /// Counts the tokens of a request.
    pub async fn count_tokens(&self, request: &Request) -> Result<TokenCount, Error> {
        match self {
            Self::Http(http) => http.count_tokens(request).await,
            Self::Replay(_) => Err(Error::NotCounted),
        }
    }

    /// Lists the models that `key` can use, newest first; in a replay, the models of its fixtures.
    pub async fn models(&self, key: &SecretString) -> Result<Vec<Model>, Error> {
        match self {
            Self::Http(http) => http.models(key).await,
            Self::Replay(replay) => Ok(replay.models()),
        }
    }
}

impl Response {
    /// Waits for bytes, and gives all that have arrived to `recorder`. Breaks at the end of the body.
    pub async fn read(&mut self, recorder: &mut Recorder) -> Result<ControlFlow<()>, Error> {
        match &mut self.body {
            Body::Http(body) => body.read(recorder).await,
            Body::Replay(body) => body.read(recorder).await,
            Body::Recorded(body) => body.read(recorder).await,
        }
    }
}

/// An entry of Anthropic's list of models (§5), with the fields that are used.
#[derive(Debug, Clone, Deserialize)]
pub struct Model {
    /// The id of the model.
    pub id: String,
    /// The name for people.
    #[serde(default)]
    pub display_name: Option<String>,
    /// The release date, in RFC 3339.
    #[serde(default)]
    pub created_at: Option<String>,
    /// The size of the context window, in tokens.
    #[serde(default)]
    pub max_input_tokens: Option<u32>,
    /// The largest number of tokens of an answer.
    #[serde(default)]
    pub max_tokens: Option<u32>,
    /// The whole entry, unchanged.
    #[serde(skip)]
    pub written: Option<Raw>,
}

impl Model {
    /// Makes the entry of a model whose id alone is known.
    fn named(id: String) -> Self {
        Self {
            id,
            display_name: None,
            created_at: None,
            max_input_tokens: None,
            max_tokens: None,
            written: None,
        }
    }
}

impl From<&Model> for catalog::LiveModel {
    fn from(model: &Model) -> Self {
        Self {
            id: model.id.clone(),
            name: model.display_name.clone().unwrap_or_else(|| model.id.clone()),
            context_window: model.max_input_tokens,
            max_output: model.max_tokens,
        }
    }
}
