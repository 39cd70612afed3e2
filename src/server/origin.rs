//! Pages of other origins: which may send requests, and what their browsers are told (CORS, the Fetch standard §3.2).

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::extract::Request;
use http::{HeaderName, Method, Version, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::{App, error::Rejection, headers};
use crate::config::Origin;

/// Time that browsers remember the answer to a preflight request; longer times are cut by them.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_hours(2);

/// Origins whose pages may send requests.
#[derive(Debug)]
pub(super) struct AllowedOrigins {
    listed: Vec<Origin>,
    any: bool,
    /// True if only those can connect who are on this machine.
    is_loopback: bool,
}

impl AllowedOrigins {
    /// Any page that a browser has open can send requests to this machine. With a client key (`keyed`), those that do
    /// not know the key are refused anyway; without one, only `listed` pages and those of this machine may send any.
    pub(super) fn new(listed: Vec<Origin>, keyed: bool, bound: IpAddr) -> Self {
        let any = keyed || listed.iter().any(Origin::is_any);
        Self { listed, any, is_loopback: bound.to_canonical().is_loopback() }
    }

    /// The same with a client key, which pages must know.
    pub(super) fn keyed(self) -> Self {
        Self { any: true, ..self }
    }

    /// True if requests may name this host. A page of another site can give its own name the address of this machine (DNS
    /// rebinding), and is then no page of another origin to the browser. Where there is no client key and only this
    /// machine can connect, no name is allowed that such a page can have.
    fn allows_host(&self, host: &str) -> bool {
        if self.any || !self.is_loopback {
            return true;
        }
        let Ok(url) = url::Url::parse(&format!("http://{host}")) else { return false };
        let Some(url::Host::Domain(name)) = url.host() else { return true };
        let name = name.strip_suffix('.').unwrap_or(name);
        // Names that no public DNS has: of this machine, and those under which containers reach it.
        !name.contains('.')
            || name.ends_with(".localhost")
            || name.ends_with(".internal")
            || ["http", "https"].iter().any(|scheme| {
                let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                self.allows(&format!("{scheme}://{name}{port}"))
            })
    }

    /// True if pages of `origin` may send requests.
    pub(super) fn allows(&self, origin: &str) -> bool {
        self.any || is_local(origin) || self.listed.iter().any(|listed| listed.matches(origin))
    }
}

/// Tells whether an origin is this machine.
pub(super) fn is_local(origin: &str) -> bool {
    url::Url::parse(origin).is_ok_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    })
}

/// Rejects a request that does not name one host (RFC 9112 §3.2), or a foreign one.
pub(super) fn check_host(app: &App, request: &Request) -> Result<(), Rejection> {
    let mut named = request.headers().get_all(header::HOST).iter();
    match (named.next(), named.next()) {
        (Some(host), None) => {
            let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte);
            let host = Some(host.as_bytes()).filter(|host| host.iter().all(is_plain));
            let host = host.and_then(|host| str::from_utf8(host).ok()).ok_or(Rejection::NoHost)?;
            if !app.auth().origins().allows_host(host) {
                return Err(Rejection::ForeignHost(host.to_owned()));
            }
        }
        // The health checks of some load balancers. A browser always names the host.
        (None, _) if request.version() == Version::HTTP_10 => {}
        _ => return Err(Rejection::NoHost),
    }
    Ok(())
}

/// Answers preflight requests, and adds to every response, errors too, what the browser of an allowed page needs.
pub(super) fn cors(app: Arc<App>) -> CorsLayer {
    let allowed = AllowOrigin::predicate(move |origin, _| {
        origin.to_str().is_ok_and(|origin| app.auth().origins().allows(origin))
    });
    let exposed: Vec<HeaderName> =
        headers::EXPOSED.into_iter().map(HeaderName::from_static).collect();
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        // Clients send headers of their own: each is allowed that is asked for.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(exposed)
        // A public page that asks for this machine, or one of the same network, in Chromium.
        .allow_private_network(true)
        .max_age(PREFLIGHT_MAX_AGE)
        .vary([header::ORIGIN])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_client_key_no_name_is_taken_that_a_foreign_page_can_have() {
        let here: IpAddr = "127.0.0.1".parse().unwrap();
        let listed = || vec!["https://chat.example".parse().unwrap()];
        let open = AllowedOrigins::new(listed(), false, here);
        for host in [
            "localhost:8000",
            "LOCALHOST",
            "a.localhost",
            "127.0.0.1:8000",
            "[::1]:8000",
            "192.0.2.7",
            "reprise:8000",
            "host.docker.internal:8000",
            "chat.example",
        ] {
            assert!(open.allows_host(host), "{host}");
        }
        for host in ["evil.example", "evil.example:8000", "localhost.evil.example", "a.b.", "", ":"]
        {
            assert!(!open.allows_host(host), "{host}");
        }
        for other in [
            AllowedOrigins::new(listed(), true, here),
            AllowedOrigins::new(listed(), false, "0.0.0.0".parse().unwrap()),
            AllowedOrigins::new(vec!["*".parse().unwrap()], false, here),
        ] {
            assert!(other.allows_host("reprise.lan"), "{other:?}");
        }
    }
}
