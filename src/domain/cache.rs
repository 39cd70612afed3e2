//! The cache: the keys of answers, the scopes that share them, and the decision who answers a call.
//!
//! Decisions are data: facts in, verdict out ([`decide`]). The rules are those of HTTP caching (RFC 9111) where it has any.

mod choice;
mod decision;
mod directives;
mod holder;
mod policy;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    anthropic::{self, ApiHeaders},
    chain::Hash,
    exchange::ExchangeId,
};

pub use self::{
    choice::{Candidate, Requester, SharedCall, UNVERIFIED},
    decision::{
        CallKind, Facts, Freshness, Keep, PriorAsk, Reason, TITLE, Verdict, decide,
        depends_on_ledger,
    },
    directives::CacheDirectives,
    holder::{Holders, KeyHolder, SALT_LENGTH},
    policy::{Policy, Reuse, Sharing},
};

/// Version of the keys: raised when the translation or the canonical form changes the meaning of a key.
const KEY_VERSION: &str = "reprise key 3";

/// The key of a request, under which its answer is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey(Hash);

impl CacheKey {
    /// The placeholder in the ledger for the key of an exchange without bodies.
    pub fn of_nothing(exchange: ExchangeId) -> Self {
        Self(Hash::of("nothing kept", &[exchange.to_string().as_bytes()]))
    }

    /// A second key that is claimed, for no chat: an answer to this user message by this model. A clone of a chat has the
    /// same messages.
    pub fn of_message(user_message: &str, model: &str, scope: &str) -> Self {
        Self(Hash::of("user's message", &[user_message, model, scope].map(str::as_bytes)))
    }

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

/// A prefix of a key, in hexadecimal digits, as people copy it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct KeyPrefix(String);

/// A text that is not the prefix of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key has up to 64 hexadecimal digits, and at least the first 4 are needed")]
pub struct InvalidKey;

impl KeyPrefix {
    /// The digits, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl KeyPrefix {
    /// The first and the last key with this prefix.
    pub fn range(&self) -> ([u8; 32], [u8; 32]) {
        let filled = |digit: &str| {
            let mut bytes = [0; 32];
            let rest = digit.repeat(64 - self.0.len());
            hex::decode_to_slice(format!("{}{rest}", self.0), &mut bytes).unwrap_or_default();
            bytes
        };
        (filled("0"), filled("f"))
    }
}

impl TryFrom<String> for KeyPrefix {
    type Error = InvalidKey;

    fn try_from(digits: String) -> Result<Self, InvalidKey> {
        let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_key = (4..=64).contains(&digits.len()) && are_digits;
        if is_key { Ok(Self(digits.to_ascii_lowercase())) } else { Err(InvalidKey) }
    }
}

impl FromStr for KeyPrefix {
    type Err = InvalidKey;

    /// Parses a prefix, with or without the quotes of `Cache-Status`.
    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        text.trim().trim_matches('"').to_owned().try_into()
    }
}

/// The callers among whom an answer is shared: at most the holders of one client key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every request with this key.
    Client(KeyHolder),
    /// One user, as stated by the client.
    User(KeyHolder, String),
    /// One user without a signature where users are signed: separate from the signed user of that name.
    Unsigned(KeyHolder, String),
    /// One chat of a client that states no user.
    Chat(KeyHolder, String),
}

impl Scope {
    /// The scope of a call: its user if one is stated, else its chat if one is stated, else all holders of the client key.
    /// `sharing` is the operator's setting.
    pub fn of(
        sharing: Sharing,
        holder: KeyHolder,
        user: Option<(&str, IdentityProof)>,
        chat: Option<&str>,
    ) -> Self {
        match (sharing, user, chat) {
            (Sharing::Shared, ..) | (Sharing::User, None, None) => Self::Client(holder),
            (Sharing::User, Some((user, IdentityProof::Verified)), _) => {
                Self::User(holder, user.to_owned())
            }
            (Sharing::User, Some((user, IdentityProof::Unverified)), _) => {
                Self::Unsigned(holder, user.to_owned())
            }
            (Sharing::User, None, Some(chat)) => Self::Chat(holder, chat.to_owned()),
        }
    }
}

/// Verification of a user's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityProof {
    /// By a signature, or by the client key alone if the operator requires no signatures.
    Verified,
    /// Not signed, although the operator requires signatures.
    Unverified,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(holder) => write!(f, "client {}", holder.as_str()),
            Self::User(holder, user) => write!(f, "user {} {user}", holder.as_str()),
            Self::Unsigned(holder, user) => write!(f, "unsigned {} {user}", holder.as_str()),
            Self::Chat(holder, chat) => write!(f, "chat {} {chat}", holder.as_str()),
        }
    }
}

/// The key of a request in a scope: everything that can change the answer, and who may see it. `upstream` is the address
/// that it goes to: a simulator's answers are not Claude's.
pub fn key(scope: &Scope, upstream: &str, headers: &ApiHeaders, digest: &Hash) -> CacheKey {
    let (scope, features) = (scope.to_string(), headers.features());
    let texts = [&*scope, upstream, headers.version(), &*features].map(str::as_bytes);
    let [scope, upstream, version, features] = texts;
    CacheKey(Hash::of(KEY_VERSION, &[scope, upstream, version, features, digest.as_bytes()]))
}

/// Returns whether an answer to this request may rest on more than the request: content behind a URL can change, and so
/// can the web.
pub fn external_data(request: &anthropic::Request) -> bool {
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
    request.tools.iter().any(|tool| matches!(tool, Tool::WebSearch(_)))
        || request.messages.iter().flat_map(|message| &message.content).any(has_url)
}
