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
        app.auth().check_operator(&parts.headers, *peer).map(|()| Self)
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
    ) -> Result<(), Rejection> {
        if let Some(admin) = &self.admin {
            return if has_key(headers, admin) { Ok(()) } else { Err(Rejection::WrongAdminKey) };
        }
        let has_key = self.clients.is_empty() || self.client(headers).is_some();
        if is_here(headers, peer) && has_key { Ok(()) } else { Err(Rejection::NotLocal) }
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
        self.opens_page(&digest).then_some(digest)
    }

    /// True if the key with this digest opens the page. All keys are compared, in constant time.
    pub(super) fn opens_page(&self, digest: &KeyDigest) -> bool {
        match &self.admin {
            Some(admin) => Sha256::digest(admin.expose_secret()).ct_eq(digest).into(),
            None => self.clients.iter().fold(false, |found, held| found | held.is(digest)),
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
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn check(auth: &Auth, headers: &[(&'static str, &'static str)]) -> Option<Credentials> {
        let headers = headers
            .iter()
            .map(|&(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect::<HeaderMap>();
        auth.check(&headers).ok()
    }

    #[test]
    fn the_client_key_is_taken_from_either_header() {
        let auth = Auth::new(Some("k".into()), Some("sk-ant-op".into()), None, Vec::new(), HERE);
        assert!(check(&auth, &[("authorization", "Bearer k")]).is_some());
        assert!(check(&auth, &[("x-api-key", "k")]).is_some());
        assert!(check(&auth, &[("api-key", "k")]).is_some());
        for wrong in ["Bearer kk", "Bearer", "Basic k", "k", ""] {
            assert!(check(&auth, &[("authorization", wrong)]).is_none(), "{wrong:?}");
        }
        assert!(check(&auth, &[]).is_none());
    }

    #[test]
    fn without_an_operators_key_clients_bring_their_own_and_share_with_nobody_else() {
        let auth = Auth::new(None, None, None, Vec::new(), HERE);
        let a = check(&auth, &[("authorization", "Bearer sk-ant-a")]).unwrap();
        let b = check(&auth, &[("x-api-key", "sk-ant-b")]).unwrap();
        assert_eq!(a.anthropic.unwrap().expose_secret(), "sk-ant-a");
        assert_ne!(a.holder, b.holder);
        assert!(check(&auth, &[("authorization", "Bearer other")]).unwrap().anthropic.is_none());
    }

    #[test]
    fn without_a_client_key_only_pages_of_this_machine_and_listed_ones_may_ask() {
        let open = Auth::new(None, Some("sk-ant-op".into()), None, Vec::new(), HERE);
        for local in ["http://localhost:3000", "http://127.0.0.1:8080", "http://[::1]"] {
            assert!(check(&open, &[("origin", local)]).is_some(), "{local}");
        }
        for foreign in ["https://evil.example", "http://localhost.evil.example", "null"] {
            assert!(check(&open, &[("origin", foreign)]).is_none(), "{foreign}");
        }
        let listed = ["app://obsidian.md".parse().unwrap(), "https://a.example".parse().unwrap()];
        let listed = Auth::new(None, Some("sk-ant-op".into()), None, listed.into(), HERE);
        for origin in ["app://obsidian.md", "https://a.example", "http://localhost:3000"] {
            assert!(check(&listed, &[("origin", origin)]).is_some(), "{origin}");
        }
        assert!(check(&listed, &[("origin", "https://b.example")]).is_none());
        let keyed = Auth::new(Some("k".into()), None, None, Vec::new(), HERE);
        let page = [("origin", "https://chat.example"), ("authorization", "Bearer k")];
        assert!(check(&keyed, &page).is_some());
    }

    #[test]
    fn operators_show_their_key_or_are_on_this_machine() {
        let headers = |headers: &[(&'static str, &'static str)]| {
            let named = |&(name, value): &(&'static str, &'static str)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            };
            headers.iter().map(named).collect::<HeaderMap>()
        };
        let (here, away) = ("127.0.0.1:9".parse().unwrap(), "192.0.2.1:9".parse().unwrap());
        let open = Auth::new(None, None, None, Vec::new(), HERE);
        let local = ("host", "localhost:8000");
        assert!(open.check_operator(&headers(&[local]), here).is_ok());
        let client = Auth::new(Some("k".into()), None, None, Vec::new(), HERE);
        let shown = ("authorization", "Bearer k");
        assert!(client.check_operator(&headers(&[local, shown]), here).is_ok());
        assert!(client.check_operator(&headers(&[local]), here).is_err());
        assert!(client.check_operator(&headers(&[local, shown]), away).is_err());
        assert!(
            open.check_operator(&headers(&[local]), "[::ffff:127.0.0.1]:9".parse().unwrap())
                .is_ok()
        );
        assert!(
            open.check_operator(&headers(&[local, ("authorization", "Bearer k")]), away).is_err()
        );
        for foreign in [
            &[("host", "evil.example")][..],
            &[local, ("origin", "https://evil.example")],
            &[local, ("x-forwarded-for", "192.0.2.1")],
            &[],
        ] {
            assert!(open.check_operator(&headers(foreign), here).is_err(), "{foreign:?}");
        }
        let keyed = Auth::new(Some("k".into()), None, Some("admin".into()), Vec::new(), HERE);
        assert!(keyed.check_operator(&headers(&[("authorization", "Bearer admin")]), away).is_ok());
        assert!(keyed.check_operator(&headers(&[local]), here).is_err());
        assert!(keyed.check_operator(&headers(&[local, ("x-api-key", "k")]), here).is_err());
    }

    #[test]
    fn who_may_delete_can_read_the_ledger_or_has_the_admin_key() {
        let owner = OwnerId::new(uuid::Uuid::from_u128(7));
        let id = owner.to_string();
        let (here, away) = ("127.0.0.1:9".parse().unwrap(), "192.0.2.1:9".parse().unwrap());
        let allowed = |auth: &Auth, headers: &[(&'static str, &str)], peer| {
            let named = |&(name, value): &(&'static str, &str)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            };
            let headers = headers.iter().map(named).collect::<HeaderMap>();
            auth.check_ledger_operator(&headers, peer, owner).map_err(|error| match error {
                Rejection::AnotherLedger => "another",
                _ => "no",
            })
        };
        let auth = |client: Option<&str>, admin: Option<&str>| {
            Auth::new(client.map(Into::into), None, admin.map(Into::into), Vec::new(), HERE)
        };
        let (open, client) = (auth(None, None), auth(Some("k"), None));
        let admin = auth(Some("k"), Some("a"));
        let local = ("host", "localhost:8000");
        let (k, a) = (("authorization", "Bearer k"), ("authorization", "Bearer a"));
        let (own, other) = (("x-reprise-owner", &*id), ("x-reprise-owner", "another"));
        for (auth, headers, peer, expected) in [
            (&open, &[local][..], here, Ok(())),
            (&open, &[local, own], here, Ok(())),
            (&open, &[local, other], here, Err("another")),
            (&open, &[local, own], away, Err("no")),
            (&client, &[local, k], here, Err("no")),
            (&client, &[local, k, own], here, Ok(())),
            (&client, &[local, own], here, Ok(())),
            (&client, &[local, k, other], here, Err("another")),
            (&client, &[local, k, own], away, Err("no")),
            (&client, &[("host", "evil.example"), k, own], here, Err("no")),
            (&client, &[local, own, ("via", "1.1 proxy")], here, Err("no")),
            (&admin, &[local, k], here, Err("no")),
            (&admin, &[local, own], here, Ok(())),
            (&admin, &[local, own], away, Err("no")),
            (&admin, &[a], away, Ok(())),
            (&admin, &[a, other], away, Err("another")),
        ] {
            assert_eq!(allowed(auth, headers, peer), expected, "{headers:?} {peer}");
        }
    }

    #[test]
    fn both_keys_can_come_at_once() {
        let auth = Auth::new(Some("k".into()), None, None, Vec::new(), HERE);
        let both =
            check(&auth, &[("authorization", "Bearer k"), ("x-api-key", "sk-ant-a")]).unwrap();
        assert_eq!(both.anthropic.unwrap().expose_secret(), "sk-ant-a");
        assert_eq!(both.holder, KeyHolder::of("sk-ant-a"));
        assert!(check(&auth, &[("x-api-key", "sk-ant-a")]).is_none());
    }
}
