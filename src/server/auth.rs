//! Who may ask, and with whose Anthropic key.

use http::{HeaderMap, header};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::Rejection;
use crate::domain::cache::KeyHolder;

/// What Anthropic's keys begin with.
const ANTHROPIC_KEY: &str = "sk-ant-";

/// The keys that the operator set.
#[derive(Debug)]
pub(super) struct Auth {
    /// What clients must show; `None`: anyone who can connect may ask.
    client: Option<SecretString>,
    /// What upstream is asked with; `None`: clients bring their own.
    anthropic: Option<SecretString>,
}

/// What a caller may do.
#[derive(Debug)]
pub(super) struct Credentials {
    /// Whose key the call came under.
    pub holder: KeyHolder,
    /// What to ask upstream with, if there is anything.
    pub anthropic: Option<SecretString>,
}

impl Auth {
    /// Clients show `client`; upstream is asked with `anthropic`.
    pub(super) const fn new(client: Option<SecretString>, anthropic: Option<SecretString>) -> Self {
        Self { client, anthropic }
    }

    /// Checks what a request shows, as a bearer token or as `x-api-key`.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<Credentials, Rejection> {
        let shown = [bearer(headers), text(headers, "x-api-key")];
        let shown = || shown.iter().copied().flatten();
        if let Some(client) = &self.client {
            let client = client.expose_secret();
            if shown().next().is_none() {
                return Err(Rejection::NoClientKey);
            }
            if !shown().any(|key| same(key, client)) {
                return Err(Rejection::WrongClientKey);
            }
            let own = shown().find(|key| key.starts_with(ANTHROPIC_KEY) && !same(key, client));
            return Ok(self.credentials(client, own));
        }
        // Any page that a browser has open can send requests to this machine, and no key would stop it.
        if let Some(origin) = text(headers, "origin").filter(|origin| !is_local(origin)) {
            return Err(Rejection::ForeignOrigin(origin.to_owned()));
        }
        let own = shown().find(|key| key.starts_with(ANTHROPIC_KEY));
        Ok(self.credentials(shown().next().unwrap_or_default(), own))
    }

    /// The operator's key goes before the client's own; whose key pays decides who shares answers.
    fn credentials(&self, client: &str, own: Option<&str>) -> Credentials {
        match (&self.anthropic, own) {
            (Some(key), _) => {
                Credentials { holder: KeyHolder::of(client), anthropic: Some(key.clone()) }
            }
            (None, Some(own)) => {
                Credentials { holder: KeyHolder::of(own), anthropic: Some(own.into()) }
            }
            (None, None) => Credentials { holder: KeyHolder::of(client), anthropic: None },
        }
    }
}

/// Compares digests in constant time, so that neither the time nor the length tells anything of the key.
fn same(shown: &str, expected: &str) -> bool {
    Sha256::digest(shown).ct_eq(&Sha256::digest(expected)).into()
}

/// Whether a page was served by this machine.
fn is_local(origin: &str) -> bool {
    url::Url::parse(origin).is_ok_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    })
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
    use http::HeaderValue;

    use super::*;

    fn check(auth: &Auth, headers: &[(&'static str, &'static str)]) -> Option<Credentials> {
        let headers = headers
            .iter()
            .map(|&(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect::<HeaderMap>();
        auth.check(&headers).ok()
    }

    #[test]
    fn the_client_key_is_taken_from_either_header() {
        let auth = Auth::new(Some("k".into()), Some("sk-ant-op".into()));
        assert!(check(&auth, &[("authorization", "Bearer k")]).is_some());
        assert!(check(&auth, &[("x-api-key", "k")]).is_some());
        for wrong in ["Bearer kk", "Bearer", "Basic k", "k", ""] {
            assert!(check(&auth, &[("authorization", wrong)]).is_none(), "{wrong:?}");
        }
        assert!(check(&auth, &[]).is_none());
    }

    #[test]
    fn without_an_operators_key_clients_bring_their_own_and_share_with_nobody_else() {
        let auth = Auth::new(None, None);
        let a = check(&auth, &[("authorization", "Bearer sk-ant-a")]).unwrap();
        let b = check(&auth, &[("x-api-key", "sk-ant-b")]).unwrap();
        assert_eq!(a.anthropic.unwrap().expose_secret(), "sk-ant-a");
        assert_ne!(a.holder, b.holder);
        assert!(check(&auth, &[("authorization", "Bearer other")]).unwrap().anthropic.is_none());
    }

    #[test]
    fn without_a_client_key_only_pages_of_this_machine_may_ask() {
        let open = Auth::new(None, Some("sk-ant-op".into()));
        for local in ["http://localhost:3000", "http://127.0.0.1:8080", "http://[::1]"] {
            assert!(check(&open, &[("origin", local)]).is_some(), "{local}");
        }
        for foreign in ["https://evil.example", "http://localhost.evil.example", "null"] {
            assert!(check(&open, &[("origin", foreign)]).is_none(), "{foreign}");
        }
        let keyed = Auth::new(Some("k".into()), None);
        let page = [("origin", "https://chat.example"), ("authorization", "Bearer k")];
        assert!(check(&keyed, &page).is_some());
    }

    #[test]
    fn both_keys_can_come_at_once() {
        let auth = Auth::new(Some("k".into()), None);
        let both =
            check(&auth, &[("authorization", "Bearer k"), ("x-api-key", "sk-ant-a")]).unwrap();
        assert_eq!(both.anthropic.unwrap().expose_secret(), "sk-ant-a");
        assert_eq!(both.holder, KeyHolder::of("sk-ant-a"));
        assert!(check(&auth, &[("x-api-key", "sk-ant-a")]).is_none());
    }
}
