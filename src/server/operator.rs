//! What operators may ask of a running server.

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{App, Inner, accept::Peer, caller::SCENARIO, chat::read, error::Rejection, health};
use crate::{
    answer,
    store::{Clearing, prune::Limits},
    upstream::Replay,
};

/// `POST /cache/clear`: answers are never served again, neither from the ledger nor from memory.
pub(super) async fn clear_cache(
    State(app): State<App>,
    request: Request,
) -> Result<Response, Rejection> {
    let app = &app.0;
    let what: Clearing = asked(app, request).await?;
    tracing::info!(?what, "clearing answers");
    let cleared = app.answers.ledger().clear(what).await.ok_or(Rejection::LedgerLate)?;
    Ok(health::json(StatusCode::OK, &json!({ "cleared": cleared })))
}

/// `POST /prune`: lets go of what is too old or too large, while others write.
pub(super) async fn prune(State(app): State<App>, request: Request) -> Result<Response, Rejection> {
    let app = &app.0;
    let limits: Limits = asked(app, request).await?;
    tracing::info!(?limits, "pruning");
    let pruned = app.answers.ledger().prune(&limits, answer::now()).await;
    let pruned = pruned.map_err(Rejection::NotPruned)?.ok_or(Rejection::LedgerLate)?;
    Ok(health::json(StatusCode::OK, &pruned))
}

/// What an operator asks of this ledger and no other.
async fn asked<T: DeserializeOwned>(app: &Inner, request: Request) -> Result<T, Rejection> {
    admit(app, &request)?;
    let owner = app.answers.ledger().owner().to_string();
    let meant = request.headers().get("x-reprise-owner");
    if meant.is_some_and(|meant| meant.as_bytes() != owner.as_bytes()) {
        return Err(Rejection::AnotherLedger);
    }
    let body = read(request.into_body(), app.largest_body).await?;
    serde_json::from_slice(if body.is_empty() { b"{}" } else { &body })
        .map_err(|error| Rejection::Misunderstood(error.to_string()))
}

/// `GET /replay`: which fixtures were given, and how often none was found.
pub(super) async fn replay(
    State(app): State<App>,
    request: Request,
) -> Result<Response, Rejection> {
    let app = &app.0;
    admit(app, &request)?;
    Ok(health::json(StatusCode::OK, &stage(app, &request)?.status()))
}

/// `POST /replay/reset`: begins again; with `X-Reprise-Scenario`, only in that scenario.
pub(super) async fn reset_replay(
    State(app): State<App>,
    request: Request,
) -> Result<Response, Rejection> {
    let app = &app.0;
    admit(app, &request)?;
    let scenario = request.headers().get(SCENARIO).and_then(|name| name.to_str().ok());
    let replay = stage(app, &request)?;
    replay.reset(scenario.filter(|name| !name.is_empty()));
    Ok(health::json(StatusCode::OK, &replay.status()))
}

/// Lets operators in, and nobody else.
fn admit(app: &Inner, request: &Request) -> Result<(), Rejection> {
    let peer = request.extensions().get::<Peer>().ok_or(Rejection::NotLocal)?.0;
    app.auth.check_operator(request.headers(), peer)
}

/// A live server has no such path.
fn stage<'a>(app: &'a Inner, request: &Request) -> Result<&'a Replay, Rejection> {
    let path = || Rejection::NoSuchPath(request.uri().path().to_owned());
    app.answers.upstream().replay().ok_or_else(path)
}
