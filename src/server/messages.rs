//! The native door: `POST /v1/messages` and `POST /v1/messages/count_tokens`, passed on byte for byte.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::Frame;
use tokio_stream::Stream;

use super::{
    App,
    chat::{headers, read, streaming},
    dialect::Dialect,
    error::Rejection,
};
use crate::{
    answer::{self, Answer, Error, EventStream},
    domain::{anthropic::ApiHeaders, prepare::ClientRequest},
    upstream::Counted,
};

/// What is spoken by a client that does not say: the version before there was another.
const UNSAID_VERSION: &str = "2023-06-01";
/// Headers that say more about who asks (`reference/anthropic-api.md` §1).
const PASSED_ON: [&str; 2] = ["anthropic-user-profile-id", "anthropic-workspace-id"];

/// Answers a message, streamed or whole.
pub(super) async fn create(
    State(app): State<App>,
    request: Request,
) -> Result<Response, Rejection> {
    let app = &app.0;
    let credentials = app.auth.check(request.headers())?;
    let (caller, access) = app.callers.asker(request.headers(), credentials)?;
    let headers = api_headers(request.headers());
    let body = read(request.into_body(), app.largest_body).await?;
    let answer = app.answers.answer(ClientRequest::Messages(body, headers), caller, access).await?;
    respond(answer).await
}

/// Counts the tokens of a request, which upstream does.
pub(super) async fn count_tokens(
    State(app): State<App>,
    request: Request,
) -> Result<Response, Rejection> {
    let app = &app.0;
    let credentials = app.auth.check(request.headers())?;
    let (_, access) = app.callers.asker(request.headers(), credentials)?;
    let headers = api_headers(request.headers());
    let body = read(request.into_body(), app.largest_body).await?;
    let Counted { body, request_id } = app.answers.count_tokens(body, headers, access).await?;
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(id) = request_id.and_then(|id| HeaderValue::try_from(id).ok()) {
        headers.insert(HeaderName::from_static("request-id"), id);
    }
    Ok(response)
}

async fn respond(answer: Answer) -> Result<Response, Rejection> {
    let mut headers = headers(&answer, Dialect::Anthropic);
    let Answer { reader, stream, .. } = answer;
    let body = if stream.is_some() {
        streaming(&mut headers);
        Body::new(Frames(EventStream::new(reader)))
    } else {
        let message = answer::message(reader).await.map_err(Error::Failed)?;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Body::from(message)
    };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    Ok(response)
}

fn api_headers(headers: &HeaderMap) -> ApiHeaders {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let version = headers.get("anthropic-version").and_then(text);
    let betas = headers.get_all("anthropic-beta").iter().filter_map(text);
    let others = PASSED_ON.iter().filter_map(|name| Some((*name, text(headers.get(*name)?)?)));
    ApiHeaders::new(version.as_deref().unwrap_or(UNSAID_VERSION), betas)
        .with_others(others.collect())
}

/// The events as a body: a frame for each wake-up, and the end at once after the last.
struct Frames(EventStream);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0)
            .poll_next(context)
            .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_ended()
    }
}
