//! Liveness and readiness.

use std::sync::Arc;

use axum::{Json, extract};
use http::StatusCode;
use serde_json::{Value, json};

use super::App;
use crate::store::State;

/// Liveness: this process answers.
pub(super) async fn alive() -> Json<Value> {
    Json(json!({ "status": "ok", "name": "reprise", "version": env!("CARGO_PKG_VERSION") }))
}

/// Readiness: the ledger can be written, if late. Requests are answered even if it cannot, so that users lose no answer
/// of Claude.
pub(super) async fn ready(
    extract::State(app): extract::State<Arc<App>>,
) -> (StatusCode, Json<Value>) {
    let (ledger, upstream) = (app.answers.ledger().state(), app.answers.upstream());
    let (code, status) = status(&ledger);
    let body = json!({
        "status": status,
        "mode": if upstream.replay().is_some() { "replay" } else { "live" },
        "upstream": { "url": upstream.base(), "reachable": upstream.reachable() },
        "running": app.answers.load(),
        "ledger": ledger,
    });
    (code, Json(body))
}

/// The status, and a word for it.
fn status(ledger: &State) -> (StatusCode, String) {
    let (code, word) = if ledger.writable {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the ledger cannot be written")
    };
    let late = match ledger.queued {
        _ if !ledger.behind => String::new(),
        1 => ", 1 row late".to_owned(),
        rows => format!(", {rows} rows late"),
    };
    (code, format!("{word}{late}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_rows_are_told_and_do_not_make_it_unready() {
        for (writable, behind, queued, code, word) in [
            (true, false, 0, 200, "ready"),
            (true, false, 3, 200, "ready"),
            (true, true, 1, 200, "ready, 1 row late"),
            (true, true, 3, 200, "ready, 3 rows late"),
            (false, true, 3, 503, "the ledger cannot be written, 3 rows late"),
            (false, false, 0, 503, "the ledger cannot be written"),
        ] {
            let (error, queued_bytes) = (None, 0);
            let (bodies_dropped, late, lost, commits) = (0, 7, 0, 9);
            let ledger = State {
                writable,
                error,
                behind,
                queued,
                queued_bytes,
                wal_bytes: 0,
                bodies_dropped,
                late,
                lost,
                commits,
            };
            let (told, status) = status(&ledger);
            assert_eq!((told.as_u16(), &*status), (code, word));
        }
    }
}
