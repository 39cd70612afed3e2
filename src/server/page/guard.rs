//! Access to the page, and signing in.
//!
//! With an admin key, whoever signs in with it. Without one, this machine only, and if there are client keys, whoever
//! signs in with one of them. A request of another origin is refused, also of another port of this machine, to which
//! browsers send the same cookies.

use std::{fmt, net::SocketAddr, sync::Arc};

use axum::{
    Json,
    extract::{ConnectInfo, FromRequestParts, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    answer::Stoppable,
    server::{
        App,
        auth::{PageKey, Role},
        body::LimitedBody,
        error::Rejection,
    },
};

/// Says where a request comes from; scripts cannot set it (Fetch Metadata §2.2).
const FETCH_SITE: &str = "sec-fetch-site";

/// Proof that a request comes from somebody who may see the page, by the page itself or by a program, and the rights of that
/// one.
#[derive(Debug)]
pub(super) struct Viewer(pub Role);

/// Proof that a request comes from somebody who may delete from the ledger: an operator, or who may run `reprise prune`.
#[derive(Debug)]
pub(super) struct Deleter(pub Role);

/// Proof that a request comes from a page of this server.
#[derive(Debug)]
pub(super) struct SameOrigin;

/// State of the viewer, which the page needs before there is data.
#[derive(Debug, Serialize)]
pub(super) struct SessionState {
    /// True if data may be read.
    signed_in: bool,
    /// The key to sign in with; `None`: none is needed.
    key: Option<PageKey>,
    /// The version of the program.
    version: &'static str,
}

/// The body of `POST /page/login`.
#[derive(Deserialize)]
struct Login {
    key: String,
}

impl FromRequestParts<Arc<App>> for Viewer {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Rejection> {
        check_site(&parts.headers)?;
        let ConnectInfo(peer) = *parts.extensions.get().ok_or(Rejection::NotLocal)?;
        check_viewer(app, &parts.headers, peer).map(Self)
    }
}

impl FromRequestParts<Arc<App>> for Deleter {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Rejection> {
        let Viewer(role) = Viewer::from_request_parts(parts, app).await?;
        if !role.may_delete() {
            let ConnectInfo(peer) = *parts.extensions.get().ok_or(Rejection::NotLocal)?;
            let owner = app.answers.ledger().owner();
            app.auth().check_ledger_operator(&parts.headers, peer, owner)?;
        }
        Ok(Self(role))
    }
}

impl Role {
    /// True if the role alone suffices to delete from the ledger. The key of clients does not: every client has it.
    pub(super) fn may_delete(&self) -> bool {
        *self == Self::Operator
    }

    /// The running answers that the role may stop: operators all, others those that only they wait for.
    pub(super) fn stoppable(&self) -> Stoppable {
        match self {
            Self::Operator => Stoppable::All,
            Self::Client(name) => Stoppable::OfKey(name.clone()),
        }
    }
}

/// The role for the log, without the key.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("an operator"),
            Self::Client(Some(name)) => write!(f, "the client key {name}"),
            Self::Client(None) => f.write_str("the client key"),
        }
    }
}

impl FromRequestParts<Arc<App>> for SameOrigin {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Rejection> {
        check_site(&parts.headers)?;
        // Browsers send at least one of them with each POST.
        let is_told = [FETCH_SITE, header::ORIGIN.as_str()]
            .iter()
            .any(|name| parts.headers.contains_key(*name));
        if is_told { Ok(Self) } else { Err(Rejection::ForeignPage) }
    }
}

/// Rejects a request of somebody who may not see the page, or not any more; else returns the role.
pub(super) fn check_viewer(
    app: &App,
    headers: &HeaderMap,
    peer: SocketAddr,
) -> Result<Role, Rejection> {
    if let Some(role) = role_of_session(app, headers, peer) {
        return Ok(role);
    }
    let auth = app.auth();
    // A program may send its key with each request.
    auth.check_operator(headers, peer).map_err(|rejection| {
        if auth.may_reach_page(headers, peer) { Rejection::NotSignedIn } else { rejection }
    })
}

/// Rejects a request that a page of another origin has made. A person may type the address.
fn check_site(headers: &HeaderMap) -> Result<(), Rejection> {
    let is_ours = match (headers.get(FETCH_SITE), headers.get(header::ORIGIN)) {
        (Some(site), _) => site == "same-origin" || site == "none",
        (None, Some(origin)) => {
            let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
            let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
            authority
                .zip(host)
                .is_some_and(|((_, authority), host)| authority.eq_ignore_ascii_case(host))
        }
        (None, None) => true,
    };
    if is_ours { Ok(()) } else { Err(Rejection::ForeignPage) }
}

/// True if the browser has asked by HTTPS: only it knows, where a proxy is between.
pub(super) fn is_https(headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

/// The role of a request's session, if it is still good: the key that began it may have changed since.
fn role_of_session(app: &App, headers: &HeaderMap, peer: SocketAddr) -> Option<Role> {
    let auth = app.auth();
    let session = app.page.sessions.get(headers, Instant::now())?;
    auth.page_role(session.key.as_ref()).filter(|_| auth.may_reach_page(headers, peer))
}

/// `GET /page/session`: whether data may be read, and with which key to sign in.
pub(super) async fn session(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Json<SessionState>, Rejection> {
    check_site(&headers)?;
    let auth = app.auth();
    if !auth.may_reach_page(&headers, peer) {
        return Err(Rejection::NotLocal);
    }
    let key = auth.page_key();
    let signed_in = key.is_none() || role_of_session(&app, &headers, peer).is_some();
    Ok(Json(SessionState { signed_in, key, version: env!("CARGO_PKG_VERSION") }))
}

/// `POST /page/login` with `{"key": …}`: begins a session.
pub(super) async fn log_in(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    _: SameOrigin,
    headers: HeaderMap,
    LimitedBody(body): LimitedBody,
) -> Result<Response, Rejection> {
    let (auth, sessions, now) = (app.auth(), &app.page.sessions, Instant::now());
    if !auth.may_reach_page(&headers, peer) {
        return Err(Rejection::NotLocal);
    }
    // The error of the parser may have the key in it.
    let Ok(Login { key }) = serde_json::from_slice(&body) else {
        return Err(Rejection::InvalidBody("it must be {\"key\": …}".to_owned()));
    };
    if let Err(left) = sessions.attempt(peer, now) {
        return Err(Rejection::TooManyLogins { seconds: left.as_secs().max(1) });
    }
    let Some(digest) = auth.page_key_digest(&key) else {
        tracing::warn!(%peer, "somebody tried to sign in to the page with a wrong key");
        return Err(Rejection::WrongPageKey);
    };
    sessions.succeed(peer);
    tracing::info!(%peer, key = ?auth.page_key(), "somebody signed in to the page");
    let cookie = sessions.open(Some(digest), now).cookie(is_https(&headers));
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// `POST /page/logout`: ends the session.
pub(super) async fn log_out(
    State(app): State<Arc<App>>,
    _: SameOrigin,
    headers: HeaderMap,
) -> Response {
    let removal = app.page.sessions.close(&headers);
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, removal)]).into_response()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_request_comes_from_this_origin_or_from_no_page() {
        let host = ("host", "localhost:8000");
        for (headers, is_ours) in [
            (&[host][..], true),
            (&[host, ("sec-fetch-site", "same-origin")], true),
            (&[host, ("sec-fetch-site", "none")], true),
            (&[host, ("sec-fetch-site", "same-site")], false),
            (&[host, ("sec-fetch-site", "cross-site")], false),
            (&[host, ("sec-fetch-site", "")], false),
            (&[host, ("origin", "http://localhost:8000")], true),
            (&[host, ("origin", "https://LOCALHOST:8000")], true),
            (&[host, ("origin", "http://localhost:3000")], false),
            (&[host, ("origin", "http://localhost")], false),
            (&[host, ("origin", "https://evil.example")], false),
            (&[host, ("origin", "null")], false),
            (&[("origin", "http://localhost:8000")], false),
            (&[host, ("sec-fetch-site", "same-site"), ("origin", "http://localhost:8000")], false),
        ] {
            let named = |&(name, value): &(&'static str, &'static str)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            };
            let map = headers.iter().map(named).collect::<HeaderMap>();
            assert_eq!(check_site(&map).is_ok(), is_ours, "{headers:?}");
        }
    }
}
