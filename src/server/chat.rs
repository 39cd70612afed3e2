//! `POST /v1/chat/completions`.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio_stream::Stream;

use super::{App, dialect::Dialect, error::Rejection, limits};
use crate::{
    answer::{
        Answer, Error,
        playback::{self, ChunkStream},
    },
    domain::{
        budget::Notice,
        cache::{Freshness, Keep, Reason, Verdict},
        exchange::AnsweredBy,
        prepare::ClientRequest,
        translate,
    },
};

/// How long a client may pause while it sends its body.
const PATIENCE: Duration = Duration::from_mins(1);
/// How much of a body that is too large is read and thrown away, so that the client is ready to read why.
const POLITENESS: usize = 256 << 20;

/// Which fixture answers, in a replay.
pub(super) const FIXTURE: &str = "x-reprise-fixture";

/// That a budget is nearly spent.
const BUDGET: &str = "x-reprise-budget";

/// Answers a chat completion, streamed or whole.
pub(super) async fn completions(
    State(app): State<App>,
    request: Request,
) -> Result<Response, Rejection> {
    let app = &app.0;
    let credentials = app.auth.check(request.headers())?;
    let (caller, access) = app.callers.asker(request.headers(), credentials)?;
    let body = read(request.into_body(), app.largest_body).await?;
    let answer = app.answers.answer(ClientRequest::Chat(body), caller, access).await?;
    respond(answer).await
}

async fn respond(answer: Answer) -> Result<Response, Rejection> {
    let mut headers = headers(&answer, Dialect::OpenAi);
    let Answer { reader, call, at, answered_by, status_line, stream, form, .. } = answer;
    let id = format!("chatcmpl-{}", call.simple());
    let body = if let Some(usage) = stream {
        streaming(&mut headers);
        let chunks = translate::Chunks::new(id, at.seconds(), usage, form);
        Body::new(Chunks(ChunkStream::new(reader, chunks, answered_by, status_line)))
    } else {
        let completion = playback::completion(reader, id, at, answered_by, &form)
            .await
            .map_err(Error::Failed)?;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Body::from(serde_json::to_vec(&completion).map_err(|_| Rejection::Panicked)?)
    };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    Ok(response)
}

/// That events follow, one by one.
pub(super) fn streaming(headers: &mut HeaderMap) {
    headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Tells nginx not to collect the stream.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
}

/// How the answer came about (RFC 9211, RFC 9111 §5.1).
pub(super) fn headers(answer: &Answer, dialect: Dialect) -> HeaderMap {
    let Answer { reader, answered_by, verdict, key, exchange, budget, .. } = answer;
    let how = match *verdict {
        _ if *answered_by == AnsweredBy::Replay => "hit; detail=replay".to_owned(),
        Verdict::Hit(Freshness { ttl, .. }) => format!("hit; ttl={}", ttl.as_secs()),
        Verdict::Join => "fwd=miss; collapsed".to_owned(),
        Verdict::Ask { reason, .. } | Verdict::Refuse(reason) => {
            let is_stored = matches!(verdict, Verdict::Ask { keep: Keep::Answer, .. });
            let (word, detail) = forwarded(reason);
            format!("fwd={word}{}{detail}", if is_stored { "; stored" } else { "" })
        }
    };
    let mut headers = HeaderMap::with_capacity(8);
    let mut insert = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    insert(HeaderName::from_static("cache-status"), format!("reprise; {how}; key=\"{key}\""));
    insert(HeaderName::from_static("x-reprise-exchange"), exchange.to_string());
    if let Some(Notice { limit, per, spent, .. }) = budget {
        let (spent, limit) = (spent.amount.dollars(), limit.dollars());
        insert(HeaderName::from_static(BUDGET), format!("spent={spent}; limit={limit}; per={per}"));
    }
    if let Verdict::Hit(Freshness { age, .. }) = verdict {
        insert(header::AGE, age.as_secs().to_string());
    }
    if let Some(head) = reader.head() {
        if let Some(fixture) = &head.fixture {
            insert(HeaderName::from_static(FIXTURE), fixture.clone());
        }
        limits::tell(dialect, &head, SystemTime::now(), &mut headers);
    }
    headers
}

/// Why the ledger did not answer, in the words of RFC 9211 §2.2, with ours as its `detail` (§2.8) where they say more.
fn forwarded(reason: Reason) -> (&'static str, String) {
    let word = match reason {
        Reason::Nothing => return ("miss", String::new()),
        Reason::Stale => return ("stale", String::new()),
        Reason::NoStore | Reason::Temporary | Reason::UserNoStore | Reason::Off | Reason::NoTtl => {
            "bypass"
        }
        Reason::NoCache
        | Reason::AskedBefore
        | Reason::NoChatId
        | Reason::MaxAge
        | Reason::MinFresh => "request",
    };
    (word, format!("; detail={}", reason.as_str()))
}

/// Reads a body, up to a limit.
pub(super) async fn read(mut body: Body, limit: usize) -> Result<Bytes, Rejection> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut size = 0;
    loop {
        let frame = match tokio::time::timeout(PATIENCE, body.frame()).await {
            Err(_) => return Err(Rejection::SlowBody),
            Ok(None) => break,
            Ok(Some(frame)) => frame.map_err(|_| Rejection::BrokenBody)?,
        };
        let Ok(data) = frame.into_data() else { continue };
        size += data.len();
        if size > limit {
            (first, rest) = (Bytes::new(), BytesMut::new());
            if size > limit + POLITENESS {
                break;
            }
        } else if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    match size {
        too_large if too_large > limit => Err(Rejection::LargeBody { limit }),
        _ if rest.is_empty() => Ok(first),
        _ => Ok(rest.freeze()),
    }
}

/// The chunks as a body: a frame for each wake-up, and the end at once after the last.
struct Chunks(ChunkStream);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0)
            .poll_next(context)
            .map(|chunks| chunks.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_ended()
    }
}
