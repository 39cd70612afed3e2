//! Where answers come from: Anthropic over HTTP, or fixtures that are played.
//!
//! Knows nothing of clients, recordings' readers or the ledger. Whoever asks does not see which of the two answers, so
//! that a replay runs all the code that a live answer runs.

mod error;
mod http;
mod probe;
mod replay;

use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use self::error::text;
pub use self::{
    error::Error,
    http::{Http, bare},
    probe::{Seen, Welcome, probe},
    replay::{Pace, Replay},
};
use crate::domain::{anthropic::ApiHeaders, cassette, catalog, json::Raw, recording::Recorder};

/// Who answers.
#[derive(Debug)]
pub enum Upstream {
    /// Anthropic, or something that speaks like it.
    Http(Box<Http>),
    /// Fixtures. There is no client that could open a connection.
    Replay(Box<Replay>),
}

/// What to send.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// JSON.
    pub body: Bytes,
    /// Version, betas and other headers.
    pub headers: ApiHeaders,
    /// Anthropic's key: the operator's, or the client's own.
    pub key: SecretString,
    /// Which fixtures may answer, where the client says so; else all of them.
    pub scenario: Option<String>,
}

/// An answer that has begun.
#[derive(Debug)]
pub struct Incoming {
    /// What its head says.
    pub head: Head,
    /// The status of the response.
    pub status: u16,
    /// Whether an earlier try reached somebody and broke off: it may have been billed.
    pub broken_before: bool,
    body: Body,
}

/// What is left to be read of an answer.
#[derive(Debug)]
enum Body {
    Http(http::Stream),
    Played(replay::Played),
}

/// Why no answer began, and what of it may have been billed.
#[derive(Debug)]
pub struct Unanswered {
    /// Of the last try.
    pub error: Error,
    /// Whether an earlier try reached somebody and broke off: it may have been billed.
    pub broken_before: bool,
}

/// What the head of a response says, for the client and for support.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// Anthropic's id of the request.
    pub request_id: Option<String>,
    /// Its `anthropic-ratelimit-…` headers, and their kin (`reference/anthropic-api.md` §4).
    pub limits: Vec<(HeaderName, HeaderValue)>,
    /// Whether and when to ask again, in words that every SDK of either dialect knows (§4).
    pub retry: Vec<(HeaderName, HeaderValue)>,
    /// The fixture that answers, and which of how many it is.
    pub fixture: Option<String>,
}

impl Head {
    fn of(headers: &HeaderMap) -> Self {
        const RETRY: [&str; 3] = ["retry-after", "retry-after-ms", "x-should-retry"];
        const LIMITS: [&str; 3] =
            ["anthropic-ratelimit-", "anthropic-priority-", "anthropic-fast-"];
        let is_limit =
            |name: &HeaderName| LIMITS.iter().any(|prefix| name.as_str().starts_with(prefix));
        let is_retry = |name: &HeaderName| RETRY.contains(&name.as_str());
        let those = |are: &dyn Fn(&HeaderName) -> bool| {
            let headers = headers.iter().filter(|(name, _)| are(name));
            headers.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        Self {
            request_id: text(headers, "request-id"),
            limits: those(&is_limit),
            retry: those(&is_retry),
            fixture: None,
        }
    }

    /// What of it a fixture would keep.
    pub fn kept(&self) -> Vec<(String, String)> {
        let id = self.request_id.iter().map(|id| ("request-id".to_owned(), id.clone()));
        let others = self.limits.iter().chain(&self.retry).filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        });
        id.chain(others).filter(|(name, _)| cassette::keeps_header(name)).collect()
    }
}

/// How many tokens a request has, in upstream's own words.
#[derive(Debug, Clone)]
pub struct Counted {
    /// JSON, as it came.
    pub body: Bytes,
    /// Anthropic's id of the request, for their support.
    pub request_id: Option<String>,
}

/// Whether a body goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// It may.
    Yes,
    /// That was all.
    No,
}

impl Upstream {
    /// A client for the API at `base`; nothing is sent yet. `idle` bounds each wait for bytes.
    ///
    /// # Errors
    ///
    /// When the machine has no CA certificates.
    pub fn at(base: &Url, idle: Duration) -> reqwest::Result<Self> {
        Http::new(base, idle).map(|http| Self::Http(Box::new(http)))
    }

    /// The stage, where fixtures are played.
    pub const fn replay(&self) -> Option<&Replay> {
        match self {
            Self::Http(_) => None,
            Self::Replay(replay) => Some(replay),
        }
    }

    /// Where requests go.
    pub fn base(&self) -> &str {
        match self {
            Self::Http(http) => http.base(),
            Self::Replay(_) => replay::BASE,
        }
    }

    /// Whether the last request found somebody there, whatever they answered; `None` before the first.
    pub fn reachable(&self) -> Option<bool> {
        match self {
            Self::Http(http) => http.reachable(),
            Self::Replay(_) => None,
        }
    }

    /// Sends a message request and waits for the answer to begin.
    pub async fn send(&self, outgoing: &Outgoing) -> Result<Incoming, Unanswered> {
        match self {
            Self::Http(http) => http.send(outgoing).await,
            Self::Replay(replay) => replay.send(outgoing).await,
        }
    }

    /// Asks how many tokens a request has.
    pub async fn count_tokens(&self, outgoing: &Outgoing) -> Result<Counted, Error> {
        match self {
            Self::Http(http) => http.count_tokens(outgoing).await,
            Self::Replay(_) => Err(Error::NotCounted),
        }
    }

    /// All models that Anthropic lists for `key`, newest first; of a replay, those that its fixtures ask.
    pub async fn models(&self, key: &SecretString) -> Result<Vec<Model>, Error> {
        match self {
            Self::Http(http) => http.models(key).await,
            Self::Replay(replay) => Ok(replay.models()),
        }
    }
}

impl Incoming {
    /// Waits for bytes and gives all that are there to `recorder`.
    pub async fn read(&mut self, recorder: &mut Recorder) -> Result<More, Error> {
        match &mut self.body {
            Body::Http(stream) => stream.read(recorder).await,
            Body::Played(played) => played.read(recorder).await,
        }
    }
}

/// One entry of Anthropic's model list (§5), as far as it is used.
#[derive(Debug, Clone, Deserialize)]
pub struct Model {
    /// The id.
    pub id: String,
    /// For people.
    #[serde(default)]
    pub display_name: Option<String>,
    /// RFC 3339.
    #[serde(default)]
    pub created_at: Option<String>,
    /// The context window.
    #[serde(default)]
    pub max_input_tokens: Option<u32>,
    /// The most tokens of an answer.
    #[serde(default)]
    pub max_tokens: Option<u32>,
    /// All of it, as it was written.
    #[serde(skip)]
    pub written: Option<Raw>,
}

impl Model {
    /// A model of which only the id is known.
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

impl From<&Model> for catalog::Live {
    fn from(model: &Model) -> Self {
        Self {
            id: model.id.clone(),
            name: model.display_name.clone().unwrap_or_else(|| model.id.clone()),
            context_window: model.max_input_tokens,
            max_output: model.max_tokens,
        }
    }
}
