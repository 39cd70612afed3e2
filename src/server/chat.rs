//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};

use super::{
    App,
    body::{LimitedBody, SseBody},
    error::Rejection,
    headers,
};
use crate::{
    answer::{Answer, Ask, Caller, playback},
    domain::{exchange::Api, translate},
};

/// Answers a chat completion, streamed or whole.
pub(super) async fn completions(
    State(app): State<Arc<App>>,
    caller: Caller,
    LimitedBody(body): LimitedBody,
) -> Result<Response, Rejection> {
    let answer = app.answers.answer(Ask::Chat(body), caller).await?;
    let headers = headers::of_answer(Api::Chat, &answer);
    let Answer { reader, call, at, payer, status_line, stream, form, .. } = answer;
    let id = format!("chatcmpl-{}", call.simple());
    let Some(usage) = stream else {
        let completion = playback::completion(reader, id, at, payer, &form).await?;
        return Ok((headers, Json(completion)).into_response());
    };
    let chunks = translate::Chunks::new(id, at.seconds(), usage, form);
    let stream = playback::Stream::new(reader, chunks, payer, status_line);
    Ok((headers, SseBody(stream)).into_response())
}
