//! Commands of operators to a running server.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, RequestExt,
    extract::{ConnectInfo, FromRequest, Request, State},
};
use http::{HeaderMap, Uri};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{
    App, Reloaded, auth::OperatorAuth, body::LimitedBody, caller::SCENARIO, error::Rejection,
};
use crate::{
    answer,
    domain::cassette::PlayerStatus,
    store::{
        self, Clearing,
        prune::{Limits, Pruned},
    },
    upstream::Replay,
};

/// Longest wait for rows that the ledger does not take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// The arguments of an operator's command to the ledger of this server.
pub(super) struct LedgerCommand<T>(T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for LedgerCommand<T> {
    type Rejection = Rejection;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Rejection> {
        let peer = request.extensions().get().ok_or(Rejection::NotLocal)?;
        let (ConnectInfo(peer), owner) = (*peer, app.answers.ledger().owner());
        app.auth().check_ledger_operator(request.headers(), peer, owner)?;
        let LimitedBody(body) = request.extract_with_state(app).await?;
        let arguments = serde_json::from_slice(if body.is_empty() { b"{}" } else { &body });
        arguments.map(Self).map_err(|error| Rejection::InvalidBody(error.to_string()))
    }
}

/// `POST /cache/clear`: makes stored answers unservable, in the ledger and in memory.
pub(super) async fn clear_cache(
    State(app): State<Arc<App>>,
    LedgerCommand(clearing): LedgerCommand<Clearing>,
) -> Result<Json<Value>, Rejection> {
    tracing::info!(?clearing, "clearing answers");
    let clearing = Clearing { now: Some(answer::now()), ..clearing };
    let cleared = app.answers.ledger().clear(clearing).await.ok_or(Rejection::LedgerLate)?;
    Ok(Json(json!({ "cleared": cleared })))
}

/// `POST /prune`: deletes what is too old or too large, while others write. One prune runs at a time.
pub(super) async fn prune(
    State(app): State<Arc<App>>,
    LedgerCommand(limits): LedgerCommand<Limits>,
) -> Result<Json<Pruned>, Rejection> {
    let Limits { whose, keep_bodies, keep_totals, max_bytes } = &limits;
    tracing::info!(%whose, ?keep_bodies, ?keep_totals, max_bytes, "pruning");
    pruned(&app, &limits).await.map(Json)
}

/// Prunes the ledger of this server.
pub(super) async fn pruned(app: &App, limits: &Limits) -> Result<Pruned, Rejection> {
    match app.answers.ledger().prune(limits, answer::now()).await {
        Ok(Some(pruned)) => Ok(pruned),
        Ok(None) => Err(Rejection::PruneNotStarted),
        Err(store::Error::PruneRunning) => Err(Rejection::PruneRunning),
        Err(error) => Err(Rejection::NotPruned(error)),
    }
}

/// `POST /flush`: writes what was handed over to the ledger before, so that a backup has it.
pub(super) async fn flush(
    State(app): State<Arc<App>>,
    LedgerCommand(Nothing {}): LedgerCommand<Nothing>,
) -> Result<Json<Value>, Rejection> {
    match tokio::time::timeout(FLUSH_TIMEOUT, app.answers.ledger().flush()).await {
        Ok(true) => Ok(Json(json!({}))),
        Ok(false) | Err(_) => Err(Rejection::NotFlushed),
    }
}

/// `POST /reload`: reads the settings again.
pub(super) async fn reload(
    State(app): State<Arc<App>>,
    LedgerCommand(Nothing {}): LedgerCommand<Nothing>,
) -> Result<Json<Reloaded>, Rejection> {
    let (done, reloaded) = oneshot::channel();
    app.reloads.send(done).await.map_err(|_| Rejection::NotReloadable)?;
    let reloaded = reloaded.await.map_err(|_| Rejection::NotReloadable)?;
    reloaded.map(Json).map_err(Rejection::NotReloaded)
}

/// No arguments.
#[derive(Deserialize)]
pub(super) struct Nothing {}

/// `GET /replay`: the fixtures that were played, and the number of misses.
pub(super) async fn replay(
    State(app): State<Arc<App>>,
    _: OperatorAuth,
    uri: Uri,
) -> Result<Json<PlayerStatus>, Rejection> {
    Ok(Json(running_replay(&app, &uri)?.status()))
}

/// `POST /replay/reset`: starts the replay again; with `X-Reprise-Scenario`, only that scenario.
pub(super) async fn reset_replay(
    State(app): State<Arc<App>>,
    _: OperatorAuth,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<PlayerStatus>, Rejection> {
    let replay = running_replay(&app, &uri)?;
    let scenario = headers.get(SCENARIO).and_then(|name| name.to_str().ok());
    let scenario = scenario.filter(|name| !name.is_empty());
    replay.reset(scenario).map_err(|miss| Rejection::NoSuchScenario(miss.to_string()))?;
    Ok(Json(replay.status()))
}

/// The replay. A live server does not have the paths of one.
fn running_replay<'a>(app: &'a App, uri: &Uri) -> Result<&'a Replay, Rejection> {
    app.answers.upstream().replay().ok_or_else(|| Rejection::NoSuchPath(uri.path().to_owned()))
}
