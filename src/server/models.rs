//! `GET /v1/models` and `GET /v1/models/{id}`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{App, auth::Credentials, error::Rejection};
use crate::{
    answer::Listed,
    domain::{
        exchange::Api,
        json::{Object, Raw},
    },
};

/// OpenAI's model object (`reference/anthropic-api.md` §8.3), with fields that Open WebUI and others also read.
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

/// Anthropic's model object (§5): its own where it listed one, else from the catalog.
fn anthropic_model(listed: &Listed) -> Raw {
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

/// The query of Anthropic's list (§5).
#[derive(Deserialize, Default)]
pub(super) struct PageQuery {
    limit: Option<String>,
    after_id: Option<String>,
    before_id: Option<String>,
}

/// A page of Anthropic's list (§5).
#[derive(Serialize)]
struct Page {
    data: Vec<Raw>,
    has_more: bool,
    first_id: Option<String>,
    last_id: Option<String>,
}

impl Page {
    /// The page that `query` asks for. Without a limit it is the whole list, so that no client needs a second request.
    fn of(models: &[Listed], query: PageQuery) -> Self {
        let PageQuery { limit, after_id, before_id } = query;
        let position =
            |id: Option<String>| id.and_then(|id| models.iter().position(|model| model.id == id));
        let limit = limit.and_then(|limit| limit.parse().ok()).unwrap_or(models.len()).max(1);
        let (models, has_more) = match (position(after_id), position(before_id)) {
            (None, Some(before)) => {
                let start = before.saturating_sub(limit);
                (&models[start..before], start > 0)
            }
            (after, _) => {
                let rest = &models[after.map_or(0, |after| after + 1)..];
                (&rest[..rest.len().min(limit)], rest.len() > limit)
            }
        };
        let id = |model: Option<&Listed>| model.map(|model| model.id.clone());
        Self {
            data: models.iter().map(anthropic_model).collect(),
            has_more,
            first_id: id(models.first()),
            last_id: id(models.last()),
        }
    }
}

/// Lists all models.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    api: Api,
    Credentials { holder, anthropic, .. }: Credentials,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Response {
    match api {
        Api::Messages => {
            let models = app.models.anthropics(&holder, anthropic.as_ref()).await;
            let Query(query) = query.unwrap_or_default();
            Json(Page::of(&models, query)).into_response()
        }
        Api::Chat => {
            let models = app.models.list(&holder, anthropic.as_ref()).await;
            let data: Vec<Model<'_>> = models.iter().map(Model::from).collect();
            Json(json!({ "object": "list", "data": data })).into_response()
        }
    }
}

/// Shows one model.
pub(super) async fn one(
    State(app): State<Arc<App>>,
    api: Api,
    Credentials { holder, anthropic, .. }: Credentials,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Rejection> {
    let Path(id) = id.map_err(|_| Rejection::NoSuchModel("a name that is no text".to_owned()))?;
    let (models, key) = (&app.models, anthropic.as_ref());
    let found = match api {
        Api::Messages => models.find_anthropics(&id, &holder, key).await,
        Api::Chat => models.find(&id, &holder, key).await,
    };
    let model = found.ok_or(Rejection::NoSuchModel(id))?;
    Ok(match api {
        Api::Messages => Json(anthropic_model(&model)).into_response(),
        Api::Chat => Json(Model::from(&model)).into_response(),
    })
}
