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
    caller::Authenticated,
    error::Rejection,
    headers,
};
use crate::{
    answer::{self, Answer, playback},
    domain::{exchange::Api, prepare::ClientRequest, translate},
};

/// Answers a chat completion, streamed or whole.
pub(super) async fn completions(
    State(app): State<Arc<App>>,
    Authenticated(caller, access): Authenticated,
    LimitedBody(body): LimitedBody,
) -> Result<Response, Rejection> {
    let is_chat = caller.writes_message();
    let answer = app.answers.answer(ClientRequest::Chat(body), caller, access).await;
    let answer = answer.map_err(|error| match error {
        answer::Error::Failed { failure, .. } if is_chat && failure.is_miss() => {
            Rejection::MissInChat(failure)
        }
        error => error.into(),
    })?;
    let headers = headers::of_answer(Api::Chat, &answer);
    let Answer { reader, call, exchange, at, answered_by, is_watched, status_line, .. } = answer;
    let Answer { chat_cost, stream, form, .. } = answer;
    let id = format!("chatcmpl-{}", call.simple());
    let Some(usage) = stream else {
        let completion = playback::completion(reader, id, at, answered_by, &form, chat_cost);
        let completion = completion.await;
        let completion = completion.map_err(|it| answer::Error::of_exchange(exchange, it))?;
        return Ok((headers, Json(completion)).into_response());
    };
    let chunks = translate::Chunks::new(id, at.seconds(), usage, form);
    let stream = playback::ChunkStream::new(reader, chunks, answered_by).in_chat(chat_cost);
    let stream = if is_watched { stream.watched(status_line) } else { stream };
    Ok((headers, SseBody::new(stream)).into_response())
}
