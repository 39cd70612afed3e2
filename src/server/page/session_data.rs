//! Sessions for the page, as JSON: their list, their turns, answers to be played back, and the files in them.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Uri, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::SemaphorePermit;

use super::{
    data::{Span, arguments},
    guard::Viewer,
};
use crate::{
    answer,
    domain::{
        cassette::{Attachment, AttachmentContent},
        catalog::day_of,
        exchange::{CallId, ExchangeId, UnixMillis},
        media_type,
        user_name::{AmbiguousUser, UserName},
    },
    report::{
        self, Bodies, CallDetails, Playback, Session, SessionQuery, Sessions, SessionsError,
        UserError, WhatIf, stats::priced_model,
    },
    server::{App, error::Rejection},
    store::{SessionFilter, SessionRow},
};

/// Number of sessions on a page.
const SESSIONS: usize = 30;

/// The pictures that browsers show and that can do nothing else.
const PICTURES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];
/// Files that are saved under their own media type.
const DOCUMENTS: [&str; 1] = ["application/pdf"];
/// The media type of all other files.
const BYTES: &str = "application/octet-stream";

/// The arguments of `GET /page/sessions`. An empty one is as one that is not given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionsQuery {
    since: Option<String>,
    until: Option<String>,
    /// The id, mail or name of a user.
    user: Option<String>,
    model: Option<String>,
    task: Option<String>,
    /// Words as `reprise sessions search` has them.
    words: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
}

/// The arguments of `GET /page/sessions/{id}/what-if`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhatIfQuery {
    model: String,
}

/// The arguments of `GET /page/users`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsersQuery {
    /// An id, a mail or a name.
    named: String,
}

/// `GET /page/sessions`: the report of `reprise sessions list --json`, with `words` that of `reprise sessions search`.
pub(super) async fn sessions(
    State(app): State<Arc<App>>,
    _: Viewer,
    uri: Uri,
) -> Result<Json<Sessions>, Rejection> {
    let SessionsQuery { since, until, user, model, task, words, after } = arguments(&uri)?;
    let some = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let (since, until) = (some(since), some(until));
    let has_period = since.is_some() || until.is_some();
    let period = Span { since, until }.period(&app)?;
    let span = has_period.then_some(period.span);
    let reader = app.answers.ledger().caught_up().await;
    let user = match some(user) {
        Some(user) => Some(report::user_id(reader, &user).await.map_err(unknown_user)?),
        None => None,
    };
    let filter = SessionFilter { span, user, model: some(model), task: some(task) };
    let query = SessionQuery { filter, words: some(words), after: some(after), most: SESSIONS };
    let index = app.page.session_index.catch_up(reader).await;
    let Ok(_permit) = app.page.reports.acquire().await else { return Err(Rejection::Panicked) };
    let names = reader.user_names().await.map_err(Rejection::Unreadable)?;
    let page = Sessions::of(reader, &names, index, &query).await;
    page.map(Json).map_err(|error| match error {
        SessionsError::Store(error) => Rejection::Unreadable(error),
        SessionsError::Cursor(error) => Rejection::InvalidQuery(error.to_string()),
        SessionsError::NoTexts => Rejection::NotSearchable,
    })
}

/// `GET /page/sessions/{id}`: the report of `reprise sessions show --json`.
pub(super) async fn session(
    State(app): State<Arc<App>>,
    _: Viewer,
    Path(id): Path<String>,
) -> Result<Json<Session>, Rejection> {
    let (_permit, row) = session_row(&app, id).await?;
    let reader = app.answers.ledger().caught_up().await;
    let names = reader.user_names().await.map_err(Rejection::Unreadable)?;
    Session::of(reader, &names, &row).await.map(Json).map_err(Rejection::Unreadable)
}

/// The session with this id, and the permit under which a report on it is computed.
pub(super) async fn session_row(
    app: &App,
    id: String,
) -> Result<(SemaphorePermit<'_>, SessionRow), Rejection> {
    let reader = app.answers.ledger().caught_up().await;
    let index = app.page.session_index.catch_up(reader).await;
    let Ok(permit) = app.page.reports.acquire().await else { return Err(Rejection::Panicked) };
    let rows = match index {
        Some(index) => reader.sessions_like(index, &id).await,
        None => reader.sessions(UnixMillis(0)).await,
    };
    let rows = rows.map_err(Rejection::Unreadable)?;
    // Only the whole id: an address shows the same session for ever.
    let row = rows.into_iter().find(|row| row.id == id);
    Ok((permit, row.ok_or(Rejection::NoSuchSession(id))?))
}

/// `GET /page/sessions/{id}/what-if?model`: the cost of a session with another model, as `reprise sessions show --what-if` has it.
pub(super) async fn what_if(
    State(app): State<Arc<App>>,
    _: Viewer,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<WhatIf>, Rejection> {
    let WhatIfQuery { model } = arguments(&uri)?;
    let (catalog, today) = (app.answers.catalog(), day_of(answer::now()));
    let model = priced_model(&catalog, &model, today);
    let model = model.map_err(|error| Rejection::InvalidQuery(error.to_string()))?;
    let (_permit, row) = session_row(&app, id).await?;
    let reader = app.answers.ledger().caught_up().await;
    let what_if = WhatIf::of(reader, &catalog, &row, (&model, today)).await;
    what_if.map(Json).map_err(Rejection::Unreadable)
}

/// `GET /page/users?named`: the users that a text names, where it names several.
pub(super) async fn users(
    State(app): State<Arc<App>>,
    _: Viewer,
    uri: Uri,
) -> Result<Json<Value>, Rejection> {
    let UsersQuery { named } = arguments(&uri)?;
    let reader = app.answers.ledger().caught_up().await;
    let names = reader.user_names().await.map_err(Rejection::Unreadable)?;
    let ids = match names.id_of(&named) {
        Ok(id) => id.map(str::to_owned).into_iter().collect(),
        Err(AmbiguousUser { ids }) => ids,
    };
    let user = |id: &String| {
        let UserName { name, email } = names.get(Some(id));
        json!({ "user": id, "user_name": name, "user_email": email })
    };
    Ok(Json(json!({ "users": ids.iter().map(user).collect::<Vec<_>>() })))
}

fn unknown_user(error: UserError) -> Rejection {
    match error {
        UserError::Ambiguous(error) => Rejection::AmbiguousUser(error),
        UserError::Store(error) => Rejection::Unreadable(error),
    }
}

/// `GET /page/playback/{exchange}`: an answer with its times.
pub(super) async fn playback(
    State(app): State<Arc<App>>,
    _: Viewer,
    Path(id): Path<String>,
) -> Result<Json<Playback>, Rejection> {
    let none = || Rejection::NoSuchExchange(id.clone());
    let exchange: ExchangeId = id.parse().map_err(|_| none())?;
    let played = Playback::of(app.answers.ledger().caught_up().await, exchange).await;
    played.map_err(Rejection::Unreadable)?.map(Json).ok_or_else(none)
}

/// `GET /page/calls/{id}/requests`: the client's request, those to upstream, and the answers.
pub(super) async fn requests(
    State(app): State<Arc<App>>,
    _: Viewer,
    Path(id): Path<String>,
) -> Result<Json<Bodies>, Rejection> {
    let none = || Rejection::NoSuchCall(id.clone());
    let call: CallId = id.parse().map_err(|_| none())?;
    let reader = app.answers.ledger().caught_up().await;
    let details = CallDetails::of_call(reader, &app.answers.catalog(), call).await;
    let details = details.map_err(Rejection::Unreadable)?.ok_or_else(none)?;
    let details = details.with_bodies(reader).await.map_err(Rejection::Unreadable)?;
    details.into_bodies().map(Json).ok_or_else(none)
}

/// `GET /page/calls/{id}/attachments/{hash}`: a picture, or another file to be saved.
pub(super) async fn attachment(
    State(app): State<Arc<App>>,
    _: Viewer,
    Path((call, hash)): Path<(String, String)>,
) -> Result<Response, Rejection> {
    let none = || Rejection::NoSuchAttachment(hash.clone());
    let call: CallId = call.parse().map_err(|_| none())?;
    let found = report::attachment(app.answers.ledger().caught_up().await, call, &hash).await;
    let Attachment { name, content, .. } =
        found.map_err(Rejection::Unreadable)?.ok_or_else(none)?;
    let AttachmentContent::Bytes { bytes, .. } = content else { return Err(none()) };
    // What a client declares is not believed.
    let sniffed = media_type::sniff(&bytes);
    let picture = sniffed.filter(|known| PICTURES.contains(known));
    let known = picture.or(sniffed.filter(|known| DOCUMENTS.contains(known)));
    let media_type = HeaderValue::from_static(known.unwrap_or(BYTES));
    let disposition = match picture {
        Some(_) => HeaderValue::from_static("inline"),
        None => saved_as(name.as_deref().unwrap_or("attachment")),
    };
    let headers = [(header::CONTENT_TYPE, media_type), (header::CONTENT_DISPOSITION, disposition)];
    Ok((headers, bytes).into_response())
}

/// A `Content-Disposition` for a file to be saved (RFC 6266, RFC 8187).
pub(super) fn saved_as(name: &str) -> HeaderValue {
    let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
    let disposition = HeaderValue::try_from(format!("attachment; filename*=UTF-8''{name}"));
    disposition.unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_cannot_end_its_header() {
        let told = saved_as("a\r\nSet-Cookie: x=\"é\".html");
        assert_eq!(
            told,
            "attachment; filename*=UTF-8''a%0D%0ASet%2DCookie%3A%20x%3D%22%C3%A9%22%2Ehtml"
        );
    }
}
