//! Liveness and readiness.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use serde_json::{Value, json};

use super::App;

/// Liveness: this process answers.
pub(super) async fn alive() -> Json<Value> {
    Json(json!({ "status": "ok", "name": "reprise", "version": env!("CARGO_PKG_VERSION") }))
}

/// Readiness: the ledger can be written, if late. Requests are answered even if it cannot, so that users lose no answer
/// of Claude.
pub(super) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let (ledger, upstream) = (app.answers.ledger().state(), app.answers.upstream());
    let (code, status) = match ledger.queued {
        _ if !ledger.writable => {
            (StatusCode::SERVICE_UNAVAILABLE, "the ledger cannot be written".to_owned())
        }
        1 if ledger.behind => (StatusCode::OK, "ready, 1 row late".to_owned()),
        rows if ledger.behind => (StatusCode::OK, format!("ready, {rows} rows late")),
        _ => (StatusCode::OK, "ready".to_owned()),
    };
    let body = json!({
        "status": status,
        "mode": if upstream.replay().is_some() { "replay" } else { "live" },
        "upstream": { "url": upstream.base(), "reachable": upstream.reachable() },
        "running": app.answers.load(),
        "ledger": ledger,
    });
    (code, Json(body))
}
