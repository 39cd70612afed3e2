//! Identities of requests, by which processes that share a ledger claim them.

use crate::domain::{
    cache::CacheKey,
    chain::Hash,
    exchange::{Api, ExchangeId},
};

/// Identity of requests that one exchange may answer, of all processes that share a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClaimKey(Hash);

impl ClaimKey {
    /// The identity of requests with this cache key in this API; in a chat, also by the chat and the message that is
    /// answered into.
    pub fn of(key: &CacheKey, api: Api, message: Option<(&str, &str)>) -> Self {
        let api: &str = api.into();
        let (chat, message) = message.unwrap_or_default();
        let parts: [&[u8]; 4] =
            [key.as_bytes(), api.as_bytes(), chat.as_bytes(), message.as_bytes()];
        Self(Hash::of("claim", &parts))
    }

    /// The hash.
    pub(super) const fn hash(&self) -> &Hash {
        &self.0
    }
}

impl From<Hash> for ClaimKey {
    fn from(hash: Hash) -> Self {
        Self(hash)
    }
}

/// A claim, and the exchange that holds it.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Claimed {
    pub(in crate::store) key: ClaimKey,
    pub(in crate::store) exchange: ExchangeId,
}
