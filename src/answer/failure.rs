//! Why a question that could be read got no whole answer: matched exhaustively where it becomes HTTP.

use crate::{
    domain::{anthropic::StreamError, budget::Refusal, cache::Reason, openai, translate},
    upstream,
};

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Upstream gave none, or broke off.
    #[error(transparent)]
    Upstream(#[from] upstream::Error),
    /// Upstream's stream is no whole answer.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The answer outgrew every limit.
    #[error("the answer is larger than {} MiB", super::LARGEST_RECORDING >> 20)]
    TooLarge,
    /// Reprise is being shut down.
    #[error("Reprise is being shut down")]
    ShuttingDown,
    /// `only-if-cached`, and there is nothing, or nothing that may be served.
    #[error(
        "the ledger has no answer to this request that it may give ({}), and Cache-Control says only-if-cached",
        .0.as_str()
    )]
    NotCached(Reason),
    /// No budget lets Claude be asked.
    #[error(transparent)]
    Budget(#[from] Refusal),
}

impl Failure {
    /// The word for this kind of failure in the ledger and in reports.
    pub fn kind(&self) -> &str {
        match self {
            Self::Upstream(upstream::Error::Refused { body, .. })
            | Self::Stream(StreamError::Upstream(body)) => &body.error.kind,
            Self::Upstream(upstream::Error::Connect(_)) => "connect",
            Self::Upstream(upstream::Error::Silent(_)) => "timeout",
            Self::Upstream(upstream::Error::Broken(_)) | Self::Stream(StreamError::Cut) => "cut",
            Self::Upstream(upstream::Error::NotAStream | upstream::Error::UnreadableModels(_))
            | Self::Stream(StreamError::Unreadable(_) | StreamError::OutOfOrder) => "unreadable",
            Self::Upstream(upstream::Error::NotRecorded { .. } | upstream::Error::NotCounted) => {
                "replay_miss"
            }
            Self::TooLarge => "too_large",
            Self::ShuttingDown => "shutdown",
            Self::NotCached(_) => "not_cached",
            Self::Budget(Refusal::Spent { .. }) => "insufficient_quota",
            Self::Budget(Refusal::Unpriced { .. }) => "unpriced",
        }
    }

    /// The error as an OpenAI client reads it.
    pub fn openai(&self) -> openai::Error {
        let ours = |code: &str| openai::Error {
            message: self.to_string(),
            kind: "server_error",
            param: None,
            code: Some(code.to_owned()),
        };
        match self {
            Self::Upstream(upstream::Error::Refused { body, .. })
            | Self::Stream(StreamError::Upstream(body)) => translate::error(body),
            Self::Upstream(upstream::Error::Silent(_)) => ours("upstream_timeout"),
            Self::Upstream(upstream::Error::NotRecorded { .. } | upstream::Error::NotCounted) => {
                openai::Error { kind: "invalid_request_error", ..ours("replay_miss") }
            }
            Self::Upstream(_) | Self::Stream(_) | Self::TooLarge => ours("upstream_unavailable"),
            Self::ShuttingDown => ours("shutting_down"),
            Self::NotCached(_) => ours("not_cached"),
            Self::Budget(Refusal::Spent { .. }) => {
                openai::Error { kind: "insufficient_quota", ..ours("insufficient_quota") }
            }
            Self::Budget(Refusal::Unpriced { .. }) => openai::Error {
                kind: "invalid_request_error",
                param: Some("model".to_owned()),
                ..ours("model_unpriced")
            },
        }
    }
}
