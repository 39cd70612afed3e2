//! `POST /v1/messages` and `POST /v1/messages/count_tokens`: Anthropic's Messages API, passed through byte for byte.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::{FromRequestParts, State},
    response::{IntoResponse, Response},
};
use http::{HeaderName, header, request::Parts};

use super::{
    App,
    body::{LimitedBody, SseBody},
    caller::Authenticated,
    error::Rejection,
    headers,
};
use crate::{
    answer::{self, Answer, EventStream},
    domain::{anthropic::ApiHeaders, exchange::Api, prepare::ClientRequest},
    upstream::TokenCount,
};

/// The `anthropic-version` of a client that sends none.
const DEFAULT_VERSION: &str = "2023-06-01";
/// Headers that are passed through besides version and betas (`reference/anthropic-api.md` §1).
const PASSED_THROUGH: [&str; 2] = ["anthropic-user-profile-id", "anthropic-workspace-id"];

/// The content type of JSON that is passed through as bytes.
const JSON: (HeaderName, &str) = (header::CONTENT_TYPE, "application/json");

/// Answers a message, streamed or whole.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Authenticated(caller, access): Authenticated,
    api_headers: ApiHeaders,
    LimitedBody(body): LimitedBody,
) -> Result<Response, Rejection> {
    let answer =
        app.answers.answer(ClientRequest::Messages(body, api_headers), caller, access).await?;
    let headers = headers::of_answer(Api::Messages, &answer);
    let Answer { reader, stream, exchange, .. } = answer;
    if stream.is_none() {
        let message = answer::message(reader).await;
        let message = message.map_err(|it| answer::Error::of_exchange(exchange, it))?;
        return Ok(([JSON], headers, message).into_response());
    }
    Ok((headers, SseBody::new(EventStream::new(reader))).into_response())
}

/// Counts the tokens of a request, which upstream does.
pub(super) async fn count_tokens(
    State(app): State<Arc<App>>,
    Authenticated(_, access): Authenticated,
    api_headers: ApiHeaders,
    LimitedBody(body): LimitedBody,
) -> Result<Response, Rejection> {
    let TokenCount { body, request_id } =
        app.answers.count_tokens(body, api_headers, access).await?;
    let request_id = request_id.map(|id| [("request-id", id)]);
    Ok(([JSON], request_id, body).into_response())
}

impl<S: Send + Sync> FromRequestParts<S> for ApiHeaders {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let betas = parts.headers.get_all("anthropic-beta").iter();
        let betas = betas.filter_map(|betas| betas.to_str().ok());
        let others = PASSED_THROUGH.iter().filter_map(|name| Some((*name, text(name)?.to_owned())));
        Ok(Self::new(text("anthropic-version").unwrap_or(DEFAULT_VERSION), betas)
            .with_others(others.collect()))
    }
}
