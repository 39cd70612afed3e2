//! Who may ask, and with whose Anthropic key.

use std::net::SocketAddr;

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
    /// What operators must show; `None`: to be on this machine.
    admin: Option<SecretString>,
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
    /// Clients show `client`, operators `admin`; upstream is asked with `anthropic`.
    pub(super) const fn new(
        client: Option<SecretString>,
        anthropic: Option<SecretString>,
        admin: Option<SecretString>,
    ) -> Self {
        Self { client, anthropic, admin }
    }

    /// Checks that a request comes from an operator: with the admin key, or, where there is none, from this machine and
    /// for this machine, with the clients' key where there is one. A page of another site that a browser here has open
    /// is not that; who comes through a proxy that runs here and says nothing of it looks like this machine, and needs
    /// the key.
    pub(super) fn check_operator(
        &self,
        headers: &HeaderMap,
        peer: SocketAddr,
    ) -> Result<(), Rejection> {
        let shows = |key: &SecretString| {
            let shown = [bearer(headers), text(headers, "x-api-key")];
            shown.into_iter().flatten().any(|shown| same(shown, key.expose_secret()))
        };
        if let Some(admin) = &self.admin {
            return if shows(admin) { Ok(()) } else { Err(Rejection::WrongAdminKey) };
        }
        let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
        let is_forwarded = forwarded.iter().any(|name| headers.contains_key(*name));
        let host = text(headers, "host").is_some_and(|host| is_local(&format!("http://{host}")));
        let origin = text(headers, "origin").is_none_or(is_local);
        let is_here = peer.ip().to_canonical().is_loopback() && !is_forwarded && host && origin;
        if is_here && self.client.as_ref().is_none_or(shows) {
            Ok(())
        } else {
            Err(Rejection::NotLocal)
        }
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
    use http::{HeaderName, HeaderValue};

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
        let auth = Auth::new(Some("k".into()), Some("sk-ant-op".into()), None);
        assert!(check(&auth, &[("authorization", "Bearer k")]).is_some());
        assert!(check(&auth, &[("x-api-key", "k")]).is_some());
        for wrong in ["Bearer kk", "Bearer", "Basic k", "k", ""] {
            assert!(check(&auth, &[("authorization", wrong)]).is_none(), "{wrong:?}");
        }
        assert!(check(&auth, &[]).is_none());
    }

    #[test]
    fn without_an_operators_key_clients_bring_their_own_and_share_with_nobody_else() {
        let auth = Auth::new(None, None, None);
        let a = check(&auth, &[("authorization", "Bearer sk-ant-a")]).unwrap();
        let b = check(&auth, &[("x-api-key", "sk-ant-b")]).unwrap();
        assert_eq!(a.anthropic.unwrap().expose_secret(), "sk-ant-a");
        assert_ne!(a.holder, b.holder);
        assert!(check(&auth, &[("authorization", "Bearer other")]).unwrap().anthropic.is_none());
    }

    #[test]
    fn without_a_client_key_only_pages_of_this_machine_may_ask() {
        let open = Auth::new(None, Some("sk-ant-op".into()), None);
        for local in ["http://localhost:3000", "http://127.0.0.1:8080", "http://[::1]"] {
            assert!(check(&open, &[("origin", local)]).is_some(), "{local}");
        }
        for foreign in ["https://evil.example", "http://localhost.evil.example", "null"] {
            assert!(check(&open, &[("origin", foreign)]).is_none(), "{foreign}");
        }
        let keyed = Auth::new(Some("k".into()), None, None);
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
        let open = Auth::new(None, None, None);
        let local = ("host", "localhost:8000");
        assert!(open.check_operator(&headers(&[local]), here).is_ok());
        let client = Auth::new(Some("k".into()), None, None);
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
        let keyed = Auth::new(Some("k".into()), None, Some("admin".into()));
        assert!(keyed.check_operator(&headers(&[("authorization", "Bearer admin")]), away).is_ok());
        assert!(keyed.check_operator(&headers(&[local]), here).is_err());
        assert!(keyed.check_operator(&headers(&[local, ("x-api-key", "k")]), here).is_err());
    }

    #[test]
    fn both_keys_can_come_at_once() {
        let auth = Auth::new(Some("k".into()), None, None);
        let both =
            check(&auth, &[("authorization", "Bearer k"), ("x-api-key", "sk-ant-a")]).unwrap();
        assert_eq!(both.anthropic.unwrap().expose_secret(), "sk-ant-a");
        assert_eq!(both.holder, KeyHolder::of("sk-ant-a"));
        assert!(check(&auth, &[("x-api-key", "sk-ant-a")]).is_none());
    }
}
