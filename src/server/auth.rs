//! Authentication of clients and operators, and the Anthropic key that a request is sent upstream with.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::extract::{ConnectInfo, FromRequestParts};
use http::{HeaderMap, header, request::Parts};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    App,
    error::Rejection,
    origin::{AllowedOrigins, is_local},
};
use crate::{
    config::{ClientKey, Origin},
    domain::{
        cache::{Holders, KeyHolder},
        exchange::OwnerId,
    },
};

/// The header that names the owner of the ledger, as its lock file does.
const OWNER: &str = "x-reprise-owner";

/// Prefix of Anthropic's keys.
const ANTHROPIC_KEY_PREFIX: &str = "sk-ant-";

/// The keys that the operator configured.
#[derive(Debug)]
pub(super) struct Auth {
    /// The keys of which clients must send one; none: anyone who can connect may send requests.
    clients: Vec<HeldKey>,
    /// The key that requests are sent upstream with; `None`: clients bring their own.
    anthropic: Option<SecretString>,
    /// The key that operators must send; `None`: operators must be on this machine.
    admin: Option<SecretString>,
    /// The pages that may send requests.
    origins: AllowedOrigins,
    /// The ledger's names of holders of keys.
    holders: Holders,
}

/// A client key, and its holder, whose name takes long to find.
#[derive(Debug)]
struct HeldKey {
    key: SecretString,
    digest: [u8; 32],
    /// `None`: the key has no name.
    name: Option<String>,
    /// The user whose calls come with it.
    user: Option<String>,
    holder: KeyHolder,
}

/// The credentials of an authenticated client.
#[derive(Debug)]
pub(super) struct Credentials {
    /// The holder of the key that the request came with.
    pub holder: KeyHolder,
    /// The name of the client key.
    pub key_name: Option<String>,
    /// The user whose calls come with the client key.
    pub key_user: Option<String>,
    /// The key to send the request upstream with, if there is one.
    pub anthropic: Option<SecretString>,
}

/// The rights of somebody who sees the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// Has the admin key; or is on this machine, and there is no key at all.
    Operator,
    /// Has a client key: its name, or `None` for the key without a name.
    Client(Option<String>),
}

/// Proof that a request comes from an operator.
#[derive(Debug)]
pub(super) struct OperatorAuth;

/// The key that opens the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PageKey {
    /// The key of operators, from anywhere.
    Admin,
    /// A key of clients, from this machine.
    Client,
}

/// The digest of a key.
pub(super) type KeyDigest = [u8; 32];

impl FromRequestParts<Arc<App>> for Credentials {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Rejection> {
        app.auth().check(&parts.headers)
    }
}

impl FromRequestParts<Arc<App>> for OperatorAuth {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Rejection> {
        let ConnectInfo(peer) = parts.extensions.get().ok_or(Rejection::NotLocal)?;
        app.auth().check_operator(&parts.headers, *peer).map(|_| Self)
    }
}

impl Auth {
    /// Clients send `client`, operators `admin`; requests go upstream with `anthropic`. Connections come in at `bound`.
    pub(super) fn new(
        client: Option<SecretString>,
        anthropic: Option<SecretString>,
        admin: Option<SecretString>,
        allowed: Vec<Origin>,
        bound: IpAddr,
    ) -> Self {
        let clients: Vec<HeldKey> =
            client.into_iter().map(|key| HeldKey::new(&key, None, None)).collect();
        let origins = AllowedOrigins::new(allowed, !clients.is_empty(), bound);
        Self { clients, anthropic, admin, origins, holders: Holders::default() }
    }

    /// Lets clients send one of these keys, too, and names the holders of all of them as the ledger does.
    pub(super) fn named_by(mut self, holders: Holders, keys: Vec<ClientKey>) -> Self {
        for ClientKey { name, key, user, file: _ } in keys {
            self.clients.push(HeldKey::new(&key, Some(name), user));
            self.origins = self.origins.keyed();
        }
        // Each takes as long as guessing it must take.
        std::thread::scope(|scope| {
            for held in &mut self.clients {
                let holders = &holders;
                scope.spawn(move || held.holder = holders.of_client_key(held.key.expose_secret()));
            }
        });
        Self { holders, ..self }
    }

    /// The pages that may send requests.
    pub(super) const fn origins(&self) -> &AllowedOrigins {
        &self.origins
    }

    /// Checks that a request comes from an operator: with the admin key, or, without one, from this machine and to this
    /// machine, with the client key if there is one.
    pub(super) fn check_operator(
        &self,
        headers: &HeaderMap,
        peer: SocketAddr,
    ) -> Result<Role, Rejection> {
        if let Some(admin) = &self.admin {
            let has_key = has_key(headers, admin);
            return if has_key { Ok(Role::Operator) } else { Err(Rejection::WrongAdminKey) };
        }
        let role = match self.client(headers) {
            _ if self.clients.is_empty() => Some(Role::Operator),
            client => client.map(HeldKey::role),
        };
        role.filter(|_| is_here(headers, peer)).ok_or(Rejection::NotLocal)
    }

    /// The key that opens the page; `None`: it is open to this machine.
    pub(super) fn page_key(&self) -> Option<PageKey> {
        match (&self.admin, self.clients.is_empty()) {
            (Some(_), _) => Some(PageKey::Admin),
            (None, false) => Some(PageKey::Client),
            (None, true) => None,
        }
    }

    /// True if clients must send a key.
    pub(super) fn requires_key(&self) -> bool {
        !self.clients.is_empty()
    }

    /// True if requests go upstream with a key of the operator.
    pub(super) fn has_upstream_key(&self) -> bool {
        self.anthropic.is_some()
    }

    /// True if the page may be opened from where a request comes from: without an admin key, from this machine only.
    pub(super) fn may_reach_page(&self, headers: &HeaderMap, peer: SocketAddr) -> bool {
        self.admin.is_some() || is_here(headers, peer)
    }

    /// Returns the digest of a key that opens the page; `None`: it does not.
    pub(super) fn page_key_digest(&self, sent: &str) -> Option<KeyDigest> {
        let digest = Sha256::digest(sent).into();
        self.page_role(Some(&digest)).map(|_| digest)
    }

    /// The rights of a session of the page that was begun with the key of this digest; `None`: it is no key of the page. All
    /// keys are compared, in constant time.
    pub(super) fn page_role(&self, key: Option<&KeyDigest>) -> Option<Role> {
        match (key, &self.admin) {
            (None, _) => self.page_key().is_none().then_some(Role::Operator),
            (Some(digest), Some(admin)) => {
                let is_it = Sha256::digest(admin.expose_secret()).ct_eq(digest).into();
                Some(Role::Operator).filter(|_| is_it)
            }
            (Some(digest), None) => {
                let held = self.clients.iter().filter(|held| held.is(digest));
                held.map(HeldKey::role).fold(None, |found, role| found.or(Some(role)))
            }
        }
    }

    /// Checks that a request may delete from the ledger of `owner`: with the admin key; or from this machine, with the id
    /// of the owner, which only those can read who can read the ledger; or, where there is no key at all, from this
    /// machine. The client key does not suffice: every client has it.
    pub(super) fn check_ledger_operator(
        &self,
        headers: &HeaderMap,
        peer: SocketAddr,
        owner: OwnerId,
    ) -> Result<(), Rejection> {
        let named = headers.get(OWNER).map(|named| same(named.as_bytes(), &owner.to_string()));
        let (is_here, is_owner) = (is_here(headers, peer), named == Some(true));
        match (&self.admin, self.clients.first()) {
            (Some(admin), _) if has_key(headers, admin) => {}
            (Some(_), _) if is_here && is_owner => {}
            (Some(_), _) => return Err(Rejection::WrongAdminKey),
            (None, _) if !is_here => return Err(Rejection::NotLocal),
            (None, Some(_)) if named.is_none() => return Err(Rejection::NotLedgerOperator),
            (None, _) => {}
        }
        // Another server, with another ledger, may answer at this address.
        if named == Some(false) { Err(Rejection::AnotherLedger) } else { Ok(()) }
    }

    /// Checks the key of a client.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<Credentials, Rejection> {
        let sent = || sent_keys(headers);
        if !self.clients.is_empty() {
            if sent().next().is_none() {
                return Err(Rejection::NoClientKey);
            }
            let client = self.client(headers).ok_or(Rejection::WrongClientKey)?;
            let own = sent().find(|key| {
                key.starts_with(ANTHROPIC_KEY_PREFIX) && !client.is(&Sha256::digest(key))
            });
            let credentials = self.credentials(client.holder.clone(), own);
            let (key_name, key_user) = (client.name.clone(), client.user.clone());
            return Ok(Credentials { key_name, key_user, ..credentials });
        }
        let origin = headers.get(header::ORIGIN);
        let origin = origin.map(|origin| String::from_utf8_lossy(origin.as_bytes()));
        if let Some(origin) = origin.filter(|origin| !self.origins.allows(origin)) {
            return Err(Rejection::ForeignOrigin(origin.into_owned()));
        }
        let own = sent().find(|key| key.starts_with(ANTHROPIC_KEY_PREFIX));
        Ok(self.credentials(self.holders.of(sent().next().unwrap_or_default()), own))
    }

    /// The operator's key takes precedence over the client's own; the key that pays decides who shares answers.
    fn credentials(&self, holder: KeyHolder, own: Option<&str>) -> Credentials {
        let (holder, anthropic) = match (&self.anthropic, own) {
            (Some(key), _) => (holder, Some(key.clone())),
            (None, Some(own)) => (self.holders.of(own), Some(own.into())),
            (None, None) => (holder, None),
        };
        Credentials { holder, key_name: None, key_user: None, anthropic }
    }

    /// The client key that a request carries. All keys are compared, so that the time does not tell which it is.
    fn client(&self, headers: &HeaderMap) -> Option<&HeldKey> {
        let mut found = None;
        for sent in sent_keys(headers) {
            let sent = Sha256::digest(sent);
            for held in &self.clients {
                if held.is(&sent) && found.is_none() {
                    found = Some(held);
                }
            }
        }
        found
    }
}

impl HeldKey {
    fn new(key: &SecretString, name: Option<String>, user: Option<String>) -> Self {
        let (secret, key) = (key.expose_secret(), key.clone());
        Self {
            digest: Sha256::digest(secret).into(),
            holder: KeyHolder::of(secret),
            key,
            name,
            user,
        }
    }

    fn role(&self) -> Role {
        Role::Client(self.name.clone())
    }

    /// Compares digests in constant time.
    fn is(&self, sent: &[u8]) -> bool {
        self.digest.ct_eq(sent).into()
    }
}

/// True if a request comes from this machine and names this machine. A page of another site in a local browser does not. A
/// local proxy that adds no forwarding headers looks like this machine; behind one, an admin key is needed.
fn is_here(headers: &HeaderMap, peer: SocketAddr) -> bool {
    let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    let is_forwarded = forwarded.iter().any(|name| headers.contains_key(*name));
    let host = text(headers, "host").is_some_and(|host| is_local(&format!("http://{host}")));
    let origin = text(headers, "origin").is_none_or(is_local);
    peer.ip().to_canonical().is_loopback() && !is_forwarded && host && origin
}

fn has_key(headers: &HeaderMap, key: &SecretString) -> bool {
    sent_keys(headers).any(|sent| same(sent.as_bytes(), key.expose_secret()))
}

/// Compares digests in constant time, so that neither the time nor the length reveals anything of the key.
fn same(sent: &[u8], expected: &str) -> bool {
    Sha256::digest(sent).ct_eq(&Sha256::digest(expected)).into()
}

/// The keys that a request carries: the bearer token, then `x-api-key`, then `api-key`, as clients of Azure send it.
fn sent_keys(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    [bearer(headers), text(headers, "x-api-key"), text(headers, "api-key")].into_iter().flatten()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = text(headers, header::AUTHORIZATION.as_str())?.split_once(' ')?;
    Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
