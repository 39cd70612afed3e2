//! `GET /v1/models` and `GET /v1/models/{id}`.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::{App, error::Rejection, health::json};
use crate::answer::Listed;

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
        let Listed { id, name, created, context_window, max_output } = listed;
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

/// All models.
pub(super) async fn list(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, Rejection> {
    let credentials = app.0.auth.check(&headers)?;
    let list = app.0.models.list(&credentials.holder, credentials.anthropic.as_ref()).await;
    let data: Vec<Model<'_>> = list.iter().map(Model::from).collect();
    Ok(json(StatusCode::OK, &json!({ "object": "list", "data": data })))
}

/// One model.
pub(super) async fn one(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Rejection> {
    let credentials = app.0.auth.check(&headers)?;
    let found = app.0.models.find(&id, &credentials.holder, credentials.anthropic.as_ref()).await;
    let listed = found.ok_or(Rejection::NoSuchModel(id))?;
    Ok(json(StatusCode::OK, &Model::from(&listed)))
}
