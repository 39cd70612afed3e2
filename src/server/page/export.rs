//! A session as fixtures: the files that `reprise fixtures export --session` writes, in one archive, and what is not in it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use serde::Serialize;

use super::{
    guard::Viewer,
    session_data::{saved_as, session_row},
};
use crate::{
    domain::cassette::RemainingSecret,
    report,
    server::{App, error::Rejection},
    transfer::{self, Exported, LeftOut, ScrubbedFile},
};

const ZIP: HeaderValue = HeaderValue::from_static("application/zip");

/// The content of an archive of fixtures.
#[derive(Debug, Serialize)]
pub(super) struct ExportSummary {
    /// The folder in the archive.
    folder: String,
    /// Number of fixtures.
    fixtures: usize,
    /// The files that are not written, because secrets cannot be taken out of them without breaking them.
    refused: Vec<RefusedFile>,
    /// The calls that cannot be fixtures.
    left_out: Vec<LeftOut>,
}

/// A file that is not written.
#[derive(Debug, Serialize)]
struct RefusedFile {
    name: String,
    places: Vec<RemainingSecret>,
}

/// The files of a session.
struct SessionFiles {
    folder: String,
    files: Vec<ScrubbedFile>,
    left_out: Vec<LeftOut>,
}

/// `GET /page/sessions/{id}/export`: the content of the archive.
pub(super) async fn summary(
    State(app): State<Arc<App>>,
    _: Viewer,
    Path(id): Path<String>,
) -> Result<Json<ExportSummary>, Rejection> {
    let summary = with_files(&app, id, |SessionFiles { folder, files, left_out }| {
        let total = files.len();
        let refused: Vec<_> = files
            .into_iter()
            .filter_map(|ScrubbedFile { name, content }| {
                Some(RefusedFile { name, places: content.err()? })
            })
            .collect();
        ExportSummary { folder, fixtures: total - refused.len(), refused, left_out }
    });
    summary.await.map(Json)
}

/// `GET /page/sessions/{id}/fixtures`: the archive.
pub(super) async fn archive(
    State(app): State<Arc<App>>,
    _: Viewer,
    Path(id): Path<String>,
) -> Result<Response, Rejection> {
    let packed = with_files(&app, id, |SessionFiles { folder, files, .. }| {
        let is_empty = files.iter().all(|file| file.content.is_err());
        (!is_empty).then(|| (transfer::archive(&folder, &files), folder))
    });
    let (archive, folder) = packed.await?.ok_or(Rejection::NoFixtures)?;
    let disposition = saved_as(&format!("{folder}.zip"));
    Ok(([(header::CONTENT_TYPE, ZIP), (header::CONTENT_DISPOSITION, disposition)], archive)
        .into_response())
}

/// Scrubs and renders the files of a session, which takes a processor for a while, and hands them to `make` on the same
/// thread.
async fn with_files<T: Send + 'static>(
    app: &App,
    id: String,
    make: impl FnOnce(SessionFiles) -> T + Send + 'static,
) -> Result<T, Rejection> {
    let (_permit, row) = session_row(app, id).await?;
    let reader = app.answers.ledger().caught_up().await;
    let title = report::title(reader, &row).await.map_err(Rejection::Unreadable)?;
    let exported = transfer::export(reader, &row).await.map_err(Rejection::Unreadable)?;
    let scrubber = app.page.scrubber();
    let making = app.page.tasks.spawn_blocking(move || {
        let Exported { cassettes, left_out } = exported;
        let folder = transfer::folder_name(&title, &scrubber);
        let files = transfer::scrubbed_files(cassettes, &scrubber).collect();
        make(SessionFiles { folder, files, left_out })
    });
    making.await.map_err(|_| Rejection::Panicked)
}
