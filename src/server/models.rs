//! `GET /v1/models` and `GET /v1/models/{id}`.

use axum::{
    extract::{Path, RawQuery, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::{App, dialect::Dialect, error::Rejection, health::json};
use crate::{
    answer::Listed,
    domain::json::{Object, Raw},
};

/// OpenAI's model object (`reference/anthropic-api.md` §8.3), with what Open WebUI and others also read.
#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: &'static str,
    name: &'a str,
    context_length: u32,
    max_output_tokens: u32,
}

impl<'a> From<&'a Listed> for Model<'a> {
    fn from(listed: &'a Listed) -> Self {
        let Listed { id, name, created, context_window, max_output, written: _ } = listed;
        Self {
            id,
            object: "model",
            created: *created,
            owned_by: "anthropic",
            name,
            context_length: *context_window,
            max_output_tokens: *max_output,
        }
    }
}

/// Anthropic's model object (§5): what it says itself, else what is known.
fn native(listed: &Listed) -> Raw {
    let Listed { id, name, created, context_window, max_output, written } = listed;
    if let Some(written) = written {
        return written.clone();
    }
    let at = jiff::Timestamp::from_second(*created).unwrap_or_default();
    let mut model = Object::default();
    model.set("type", Raw::of("model"));
    model.set("id", Raw::of(id));
    model.set("display_name", Raw::of(name));
    model.set("created_at", Raw::of(&at.to_string()));
    model.set("lifecycle", Raw::of("active"));
    for unknown in ["line", "deprecated_at", "retires_at"] {
        model.set(unknown, Raw::of(&None::<&str>));
    }
    model.set("max_input_tokens", Raw::of(context_window));
    model.set("max_tokens", Raw::of(max_output));
    model.set("capabilities", Raw::of(&None::<&str>));
    Raw::of(&model)
}

/// A page of Anthropic's list (§5). Without `limit` it is the whole list: nobody needs to ask twice.
fn page(list: &[Listed], query: &str) -> Response {
    let asked = |name: &str| {
        let mut fields = url::form_urlencoded::parse(query.as_bytes());
        fields.find_map(|(field, value)| (field == name).then(|| value.into_owned()))
    };
    let place = |id: Option<String>| id.and_then(|id| list.iter().position(|model| model.id == id));
    let limit = asked("limit").and_then(|limit| limit.parse().ok()).unwrap_or(list.len()).max(1);
    let (data, has_more) = match (place(asked("after_id")), place(asked("before_id"))) {
        (None, Some(before)) => {
            let start = before.saturating_sub(limit);
            (&list[start..before], start > 0)
        }
        (after, _) => {
            let rest = &list[after.map_or(0, |after| after + 1)..];
            (&rest[..rest.len().min(limit)], rest.len() > limit)
        }
    };
    let id = |model: Option<&Listed>| model.map(|model| model.id.clone());
    json(
        StatusCode::OK,
        &Page {
            data: data.iter().map(native).collect(),
            has_more,
            first_id: id(data.first()),
            last_id: id(data.last()),
        },
    )
}

#[derive(Serialize)]
struct Page {
    data: Vec<Raw>,
    has_more: bool,
    first_id: Option<String>,
    last_id: Option<String>,
}

/// All models.
pub(super) async fn list(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Rejection> {
    let credentials = app.0.auth.check(&headers)?;
    let (models, holder, key) =
        (&app.0.models, &credentials.holder, credentials.anthropic.as_ref());
    match Dialect::of_headers(&headers) {
        Dialect::Anthropic => {
            let list = models.anthropics(holder, key).await;
            Ok(page(&list, &query.unwrap_or_default()))
        }
        Dialect::OpenAi => {
            let list = models.list(holder, key).await;
            let data: Vec<Model<'_>> = list.iter().map(Model::from).collect();
            Ok(json(StatusCode::OK, &json!({ "object": "list", "data": data })))
        }
    }
}

/// One model.
pub(super) async fn one(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Rejection> {
    let credentials = app.0.auth.check(&headers)?;
    let (models, holder, key) =
        (&app.0.models, &credentials.holder, credentials.anthropic.as_ref());
    let dialect = Dialect::of_headers(&headers);
    let found = match dialect {
        Dialect::Anthropic => models.find_anthropics(&id, holder, key).await,
        Dialect::OpenAi => models.find(&id, holder, key).await,
    };
    let listed = found.ok_or(Rejection::NoSuchModel(id))?;
    Ok(match dialect {
        Dialect::Anthropic => json(StatusCode::OK, &native(&listed)),
        Dialect::OpenAi => json(StatusCode::OK, &Model::from(&listed)),
    })
}
