//! Pages of other origins: which may send requests, and what their browsers are told (CORS, the Fetch standard §3.2).

use std::{sync::Arc, time::Duration};

use axum::{extract::Request, middleware::Next, response::Response};
use http::{HeaderName, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::{App, headers};
use crate::config::Origin;

/// Time that browsers remember the answer to a preflight request; longer times are cut by them.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_hours(2);

/// Origins whose pages may send requests.
#[derive(Debug)]
pub(super) struct AllowedOrigins {
    listed: Vec<Origin>,
    any: bool,
}

impl AllowedOrigins {
    /// Any page that a browser has open can send requests to this machine. With a client key (`keyed`), those that do
    /// not know the key are refused anyway; without one, only `listed` pages and those of this machine may send any.
    pub(super) fn new(listed: Vec<Origin>, keyed: bool) -> Self {
        let any = keyed || listed.iter().any(Origin::is_any);
        Self { listed, any }
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

/// Leaves out the list of shown headers where no page asks.
pub(super) async fn only_for_pages(request: Request, next: Next) -> Response {
    let is_page = request.headers().contains_key(header::ORIGIN);
    let mut response = next.run(request).await;
    if !is_page {
        response.headers_mut().remove(header::ACCESS_CONTROL_EXPOSE_HEADERS);
    }
    response
}

/// Answers preflight requests, and adds to every response, errors too, what the browser of an allowed page needs.
pub(super) fn cors(app: Arc<App>) -> CorsLayer {
    let allowed = AllowOrigin::predicate(move |origin, _| {
        origin.to_str().is_ok_and(|origin| app.auth.origins().allows(origin))
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
