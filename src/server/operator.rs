//! What operators may ask of a running server.

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::StatusCode;
use serde_json::json;

use super::{App, accept::Peer, chat::read, error::Rejection, health};
use crate::store::Clearing;

/// `POST /cache/clear`: answers are never served again, neither from the ledger nor from memory.
pub(super) async fn clear_cache(
    State(app): State<App>,
    request: Request,
) -> Result<Response, Rejection> {
    let app = &app.0;
    let peer = request.extensions().get::<Peer>().ok_or(Rejection::NotLocal)?.0;
    app.auth.check_operator(request.headers(), peer)?;
    let body = read(request.into_body(), app.largest_body).await?;
    let what: Clearing = serde_json::from_slice(if body.is_empty() { b"{}" } else { &body })
        .map_err(|error| Rejection::Misunderstood(error.to_string()))?;
    tracing::info!(?what, "clearing answers");
    let cleared = app.answers.ledger().clear(what).await.ok_or(Rejection::LedgerLate)?;
    Ok(health::json(StatusCode::OK, &json!({ "cleared": cleared })))
}
