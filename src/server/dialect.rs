//! In which dialect a client is told that something went wrong: the one that it speaks.

use axum::extract::Request;
use http::HeaderMap;

/// Where the native door is, and all below it.
const MESSAGES: &str = "/v1/messages";
/// Where the other door is.
const CHAT: &str = "/v1/chat";

/// What a client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    OpenAi,
    Anthropic,
}

impl Dialect {
    /// By the path, where that is one dialect's own; else by the header that every Anthropic client sends.
    pub(super) fn of(request: &Request) -> Self {
        match request.uri().path() {
            path if path.starts_with(MESSAGES) => Self::Anthropic,
            path if path.starts_with(CHAT) => Self::OpenAi,
            _ => Self::of_headers(request.headers()),
        }
    }

    /// By the header alone: for paths that both dialects have.
    pub(super) fn of_headers(headers: &HeaderMap) -> Self {
        if headers.contains_key("anthropic-version") { Self::Anthropic } else { Self::OpenAi }
    }
}
