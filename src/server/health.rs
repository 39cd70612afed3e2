//! Whether Reprise lives, and whether it can work.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde::Serialize;
use serde_json::json;

use super::App;

/// Alive: this process answers.
pub(super) async fn alive() -> Response {
    json(
        StatusCode::OK,
        &json!({ "status": "ok", "name": "reprise", "version": env!("CARGO_PKG_VERSION") }),
    )
}

/// Ready: the ledger can be written. Answers go on when it cannot, so that nothing Claude said is lost to the user.
pub(super) async fn ready(State(app): State<App>) -> Response {
    let ledger = app.0.answers.ledger().state();
    let (status, word) = if ledger.writable {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the ledger cannot be written")
    };
    let upstream = app.0.answers.upstream();
    let upstream = json!({ "url": upstream.base(), "reachable": upstream.reachable() });
    let running = app.0.answers.load();
    json(
        status,
        &json!({ "status": word, "mode": "live", "upstream": upstream, "running": running, "ledger": ledger }),
    )
}

/// A JSON response.
pub(super) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    let body = serde_json::to_vec(value).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
