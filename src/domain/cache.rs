//! The cache: under which key an answer is kept, among whom it is shared, and who may answer a call.
//!
//! Decisions as data: facts in, verdict out ([`decide`]). The rules are those of HTTP caching (RFC 9111) where it has
//! any.

mod decision;
mod directives;
mod policy;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    anthropic::{self, ApiHeaders},
    chain::Hash,
    exchange::ExchangeId,
};

pub use self::{
    decision::{
        CallKind, Facts, Freshness, Keep, PriorAsk, Reason, TITLE, Verdict, decide,
        depends_on_ledger,
    },
    directives::Directives,
    policy::{Policy, Reuse, Sharing},
};

/// Part of every key: raised when the translation or the canonical form changes what a key means.
const KEY_VERSION: &str = "reprise key 3";

/// Longer ids are kept as their hash.
const LONGEST_ID: usize = 256;

/// The name under which an answer is found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey(Hash);

impl CacheKey {
    /// What stands in the ledger for the key of an exchange of which nothing is kept.
    pub fn of_nothing(exchange: ExchangeId) -> Self {
        Self(Hash::of("nothing kept", &[exchange.to_string().as_bytes()]))
    }

    /// What a chat claims besides the key of a request: to be answered this message of the user's by this model.
    pub fn of_message(user_message: &str, model: &str) -> Self {
        Self(Hash::of("user's message", &[user_message.as_bytes(), model.as_bytes()]))
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

/// The beginning of a key, as people copy it: hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct KeyPrefix(String);

/// A text that no key begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key has up to 64 hexadecimal digits, and at least the first 4 are needed")]
pub struct NoKey;

impl KeyPrefix {
    /// The digits, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl KeyPrefix {
    /// The first and the last key that begin so.
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
    type Error = NoKey;

    fn try_from(digits: String) -> Result<Self, NoKey> {
        let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_key = (4..=64).contains(&digits.len()) && are_digits;
        if is_key { Ok(Self(digits.to_ascii_lowercase())) } else { Err(NoKey) }
    }
}

impl FromStr for KeyPrefix {
    type Err = NoKey;

    /// Also as it stands in `Cache-Status`, in quotes.
    fn from_str(text: &str) -> Result<Self, NoKey> {
        text.trim().trim_matches('"').to_owned().try_into()
    }
}

/// Whose key an upstream call or a client runs under, without the key: 16 hexadecimal digits of its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHolder(String);

impl KeyHolder {
    /// The holder of `key`. The key cannot be read from it; but one that is short enough to guess can be tested.
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
    /// One user whom nobody vouches for, where users are signed: apart from the signed one of that name.
    Unsigned(KeyHolder, String),
    /// One chat of a client that does not say who asks.
    Chat(KeyHolder, String),
}

impl Scope {
    /// Among whom the answer to a call is shared: the user's own, where one is stated; else the chat's, where one is;
    /// else all that show the same key. `sharing` is the operator's word.
    pub fn of(
        sharing: Sharing,
        holder: KeyHolder,
        user: Option<(&str, Vouched)>,
        chat: Option<&str>,
    ) -> Self {
        match (sharing, user, chat) {
            (Sharing::Shared, ..) | (Sharing::User, None, None) => Self::Client(holder),
            (Sharing::User, Some((user, Vouched::Yes)), _) => Self::User(holder, user.to_owned()),
            (Sharing::User, Some((user, Vouched::No)), _) => {
                Self::Unsigned(holder, user.to_owned())
            }
            (Sharing::User, None, Some(chat)) => Self::Chat(holder, chat.to_owned()),
        }
    }
}

/// Whether somebody who may know vouches for a user's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vouched {
    /// A signature, or the client key alone where the operator asks for no signatures.
    Yes,
    /// Nobody, where the operator asks for signatures.
    No,
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

/// An id as it is kept. One that is too long is kept as its hash: it still tells its user from others.
pub fn bounded(id: &str) -> String {
    if id.len() <= LONGEST_ID {
        id.to_owned()
    } else {
        Hash::of("long id", &[id.as_bytes()]).to_string()
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

/// Whether an answer to this request may rest on more than the request: what is behind a URL can change, and so can
/// the web.
pub fn reaches_out(request: &anthropic::Request) -> bool {
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
