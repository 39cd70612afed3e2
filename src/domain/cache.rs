//! The cache: under which key an answer is kept, which answers may be served, and who may be served.
//!
//! Decisions as data: facts in, verdict out. The rules are those of HTTP caching (RFC 9111) where it has any.

use std::fmt;

use super::{anthropic, chain::Hash};

/// Part of every key: raised when the translation or the canonical form changes what a key means.
const KEY_VERSION: &str = "reprise key 2";

/// Longer ids are kept as their hash.
const LONGEST_ID: usize = 256;

/// The name under which an answer is found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey(Hash);

impl CacheKey {
    /// The 32 bytes, for the ledger.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// A key read back from the ledger.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Hash::from_bytes(bytes))
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whose key an upstream call or a client runs under, without the key: 16 hexadecimal digits of its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHolder(String);

impl KeyHolder {
    /// The holder of `key`. Nothing of the key can be read from it.
    pub fn of(key: &str) -> Self {
        let mut digits = Hash::of("reprise key holder", &[key.as_bytes()]).to_string();
        digits.truncate(16);
        Self(digits)
    }

    /// The hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Among whom an answer is shared: never more widely than the holders of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every request with this key.
    Client(KeyHolder),
    /// One user of a client that says who asks.
    User(KeyHolder, String),
    /// One chat of a client that does not say who asks.
    Chat(KeyHolder, String),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(holder) => write!(f, "client {}", holder.as_str()),
            Self::User(holder, user) => write!(f, "user {} {user}", holder.as_str()),
            Self::Chat(holder, chat) => write!(f, "chat {} {chat}", holder.as_str()),
        }
    }
}

/// An id as it is kept. One that is too long is kept as its hash: it still tells its user from others.
pub fn bounded(id: &str) -> String {
    if id.len() <= LONGEST_ID {
        id.to_owned()
    } else {
        Hash::of("long id", &[id.as_bytes()]).to_string()
    }
}

/// The key of a request in a scope: everything that can change the answer, and who may see it.
pub fn key(scope: &Scope, version: &str, betas: &str, digest: &Hash) -> CacheKey {
    let scope = scope.to_string();
    let parts = [scope.as_bytes(), version.as_bytes(), betas.as_bytes(), digest.as_bytes()];
    CacheKey(Hash::of(KEY_VERSION, &parts))
}

/// Whether an answer to this request may be kept for repeats: what is behind a URL can change, and so can the web.
pub fn is_storable(request: &anthropic::Request) -> bool {
    use anthropic::{ContentBlock, Source, Tool};

    fn has_url(block: &ContentBlock) -> bool {
        match block {
            ContentBlock::Image { source } | ContentBlock::Document { source, .. } => {
                matches!(source, Source::Url { .. })
            }
            ContentBlock::ToolResult { content, .. } => content.iter().any(has_url),
            _ => false,
        }
    }
    !request.tools.iter().any(|tool| matches!(tool, Tool::WebSearch(_)))
        && !request.messages.iter().flat_map(|message| &message.content).any(has_url)
}

/// What a request says in `Cache-Control` (RFC 9111 §5.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Directives {
    /// Ask, and keep no bodies.
    pub no_store: bool,
    /// Ask, and keep the answer.
    pub no_cache: bool,
    /// Do not ask.
    pub only_if_cached: bool,
    /// Nothing older than this many seconds.
    pub max_age: Option<u64>,
}

impl Directives {
    /// Reads the header's value. What is not known is ignored, as the RFC asks.
    pub fn parse(value: &str) -> Self {
        let mut directives = Self::default();
        for directive in value.split(',').map(str::trim) {
            let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" => directives.no_store = true,
                "no-cache" => directives.no_cache = true,
                "only-if-cached" => directives.only_if_cached = true,
                "max-age" => directives.max_age = argument.trim().trim_matches('"').parse().ok(),
                _ => {}
            }
        }
        directives
    }
}

/// What a client says of itself, as far as it decides who may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Open WebUI, or anything else that tells chats and messages apart: a repeat may be a *Regenerate*.
    Chats,
    /// A temporary chat: nothing of it is kept.
    Temporary,
    /// Any other client: the same request means the same answer.
    Plain,
}

/// Where an answer may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The ledger, if it has one; else upstream.
    LedgerFirst,
    /// The ledger or nobody.
    LedgerOnly,
    /// Upstream; the answer is kept.
    Refresh,
    /// Upstream; only totals are kept.
    Bypass,
}

/// Decides where the answer to a call may come from (design §5, as far as it is built).
pub fn source(directives: Directives, client: Client) -> Source {
    match (directives, client) {
        (Directives { only_if_cached: true, .. }, _) => Source::LedgerOnly,
        (Directives { no_store: true, .. }, _) | (_, Client::Temporary) => Source::Bypass,
        (Directives { no_cache: true, .. }, _) | (_, Client::Chats) => Source::Refresh,
        (_, Client::Plain) => Source::LedgerFirst,
    }
}
