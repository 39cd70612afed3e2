//! Deletion of what was said in one session or by one user, as `reprise prune --chat` and `--user` delete it: first the
//! figures, then the deletion, both for whoever may prune the ledger.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{ConnectInfo, State},
};
use serde::Deserialize;

use super::{
    guard::{Deleter, SameOrigin},
    session_data::session_row,
};
use crate::{
    answer,
    report::PruneReport,
    server::{App, body::LimitedBody, error::Rejection, operator},
    store::prune::{Limits, Preview, Whose},
};

/// The body of `POST /page/deletion`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deletion {
    of: Target,
    /// True if totals are deleted too, so that reports count the calls no longer.
    totals: bool,
    /// True if nothing is deleted.
    dry_run: bool,
}

/// The calls whose messages and answers are deleted.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Target {
    /// Those of the session with this id.
    Session(String),
    /// Those of the user with this id.
    User(String),
}

/// `POST /page/deletion`: the report of `reprise prune --json`.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    _: SameOrigin,
    Deleter(role): Deleter,
    LimitedBody(body): LimitedBody,
) -> Result<Json<PruneReport>, Rejection> {
    let deletion = serde_json::from_slice(&body);
    let Deletion { of, totals, dry_run } =
        deletion.map_err(|error| Rejection::InvalidBody(error.to_string()))?;
    let everything = Some(Duration::ZERO);
    let (keep_bodies, keep_totals) = if totals { (None, everything) } else { (everything, None) };
    let whose = whose(&app, of).await?;
    let limits = Limits { whose, keep_bodies, keep_totals, max_bytes: None };
    let report = |pruned, bodies_before, totals_before| {
        let (max_bytes, chats) = (None, None);
        Json(PruneReport { dry_run, max_bytes, chats, pruned, bodies_before, totals_before })
    };
    if dry_run {
        let Ok(_permit) = app.page.reports.acquire().await else { return Err(Rejection::Panicked) };
        let preview =
            app.answers.ledger().caught_up().await.would_prune(&limits, answer::now()).await;
        let Preview { pruned, bodies_before, totals_before } =
            preview.map_err(Rejection::Unreadable)?;
        return Ok(report(pruned, bodies_before, totals_before));
    }
    tracing::info!(%peer, by = %role, whose = %limits.whose, totals, "deleting by the page");
    // It goes on when the browser leaves.
    let pruning = {
        let app = Arc::clone(&app);
        async move { operator::pruned(&app, &limits).await }
    };
    let pruning = app.page.closing.clone().run_until_cancelled_owned(pruning);
    let pruned = app.page.tasks.spawn(pruning).await.map_err(|_| Rejection::Panicked)?;
    let pruned = pruned.unwrap_or(Err(Rejection::PruneNotStarted))?;
    tracing::info!(
        %peer,
        calls = pruned.calls,
        exchanges = pruned.exchanges,
        bodies = pruned.bodies,
        requests = pruned.requests,
        "deleted by the page"
    );
    Ok(report(pruned, None, None))
}

async fn whose(app: &App, target: Target) -> Result<Whose, Rejection> {
    let id = match target {
        Target::User(user) => return Ok(Whose::User(user)),
        Target::Session(id) => id,
    };
    let (_permit, row) = session_row(app, id).await?;
    // What Reprise refused in a chat is no part of the session, but belongs to the chat.
    let chat = row.calls.first().and_then(|call| call.chat());
    Ok(match chat {
        Some(chat) => Whose::Chats(vec![chat.to_owned()]),
        None => Whose::Calls(row.calls.iter().map(|call| call.id).collect()),
    })
}
