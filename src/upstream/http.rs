//! The Messages API over HTTP: send, stream.
//!
//! There is no total timeout: an answer may take long, but it may not be silent for long (Anthropic sends pings while
//! Claude thinks).

use std::{mem, ops::ControlFlow, pin::Pin, sync::OnceLock, task::Poll, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use parking_lot::Mutex;
use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, Sleep};
use url::Url;

use super::{
    Body, Error, Model, Request, Response, ResponseHead, TokenCount, Tries,
    error::{classify, header_text, read_error, read_whole},
    unpack::Unpacker,
};
use crate::domain::{anthropic, json::Raw, recording::Recorder};

/// Most chunks of a body that are read at once: more than one read of a socket brings.
const MAX_CHUNKS: usize = 512;
/// Most pages of the list of models that are read, of a thousand models each.
const MAX_PAGES: usize = 20;

/// Most bytes of the list of models, all pages together. Anthropic's entries have one to two thousand each.
const MODELS_LIMIT: usize = 8 << 20;
/// Most bytes of a count of tokens, which has a few dozen.
const TOKEN_COUNT_LIMIT: usize = 64 << 10;

/// A client of Anthropic, or of a gateway with the same API.
#[derive(Debug)]
pub struct Http {
    pooled: Client,
    /// Never reuses a connection: for retries after a pooled connection turned out to be stale.
    unpooled: OnceLock<Client>,
    base: String,
    idle: Duration,
    /// True if the last attempt got a response; `None` before the first.
    reachable: Mutex<Option<bool>>,
}

/// The body of a response.
#[derive(Debug)]
pub(super) struct HttpBody {
    response: reqwest::Response,
    unpacker: Unpacker,
    /// The end that the last read found after its bytes.
    end: Option<Result<(), Error>>,
    /// Longest silence of upstream.
    idle: Duration,
    /// Time of the last bytes.
    last_read: Instant,
    timer: Pin<Box<Sleep>>,
}

/// The URL of an API without `/v1`, as [`Upstream::base`](super::Upstream::base) gives it.
pub fn api_root(base: &Url) -> String {
    base.as_str().trim_end_matches('/').trim_end_matches("/v1").to_owned()
}

impl Http {
    /// Sets up a client for the API at `base`, and sends nothing yet. `idle` bounds each wait for bytes.
    ///
    /// # Errors
    ///
    /// Fails if the machine has no CA certificates.
    pub fn new(base: &Url, idle: Duration) -> reqwest::Result<Self> {
        let base = api_root(base);
        let pooled = builder().pool_idle_timeout(Duration::from_secs(90)).build()?;
        Ok(Self { pooled, unpooled: OnceLock::new(), base, idle, reachable: Mutex::default() })
    }

    /// The URL that requests go to.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Returns whether the last request got any response; `None` before the first.
    pub fn reachable(&self) -> Option<bool> {
        *self.reachable.lock()
    }

    /// Sends a request for a message, and waits for the head of the response.
    pub(super) async fn send(
        &self,
        request: &Request,
        tries: &mut Tries,
    ) -> Result<Response, Error> {
        let client = if tries.broken() { self.unpooled() } else { &self.pooled };
        tries.sent += 1;
        let sent = self.execute(self.post(client, "/v1/messages", request)).await;
        if matches!(sent, Err(Error::Connect(_))) {
            tries.sent -= 1;
        }
        let response = sent?;
        if !response.status().is_success() {
            return Err(read_error(response, &request.key, self.idle).await);
        }
        let (status, headers) = (response.status().as_u16(), response.headers());
        let content_type = header_text(headers, header::CONTENT_TYPE.as_str());
        let media_type = content_type.as_deref().and_then(|text| text.split(';').next());
        if !media_type.is_some_and(|it| it.trim().eq_ignore_ascii_case("text/event-stream")) {
            let media_type = media_type.map(|it| it.trim().chars().take(100).collect());
            return Err(Error::NotAStream { status, media_type });
        }
        let (head, unpacker) = (ResponseHead::of(headers), Unpacker::of(headers)?);
        let body = HttpBody::new(response, unpacker, self.idle);
        Ok(Response { head, status, body: Body::Http(body) })
    }

    fn unpooled(&self) -> &Client {
        self.unpooled.get_or_init(|| {
            let built = builder().pool_max_idle_per_host(0).build();
            built.unwrap_or_else(|_| self.pooled.clone())
        })
    }

    /// Counts the tokens of a request. One attempt only: every SDK retries by itself.
    pub async fn count_tokens(&self, request: &Request) -> Result<TokenCount, Error> {
        let response =
            self.execute(self.post(&self.pooled, "/v1/messages/count_tokens", request)).await?;
        if !response.status().is_success() {
            return Err(read_error(response, &request.key, self.idle).await);
        }
        let request_id = header_text(response.headers(), "request-id");
        let body = read_whole(response, "the token count", TOKEN_COUNT_LIMIT, self.idle).await?;
        Ok(TokenCount { body, request_id })
    }

    /// Lists the models that `key` can use, newest first.
    pub async fn models(&self, key: &SecretString) -> Result<Vec<Model>, Error> {
        #[derive(Deserialize)]
        struct Page {
            data: Vec<Box<RawValue>>,
            #[serde(default)]
            has_more: bool,
            last_id: Option<String>,
        }
        let mut models: Vec<Model> = Vec::new();
        let mut left = MODELS_LIMIT;
        let mut after = None;
        for _ in 0..MAX_PAGES {
            let mut url = format!("{}/v1/models?limit=1000", self.base);
            if let Some(after) = after {
                url.push_str("&after_id=");
                url.extend(url::form_urlencoded::byte_serialize(String::as_bytes(&after)));
            }
            let request = self
                .pooled
                .get(url)
                .headers(api_headers(anthropic::Version::default().as_str(), key));
            let response = self.execute(request).await?;
            if !response.status().is_success() {
                return Err(read_error(response, key, self.idle).await);
            }
            let bytes = read_whole(response, "the list of models", left, self.idle).await?;
            left -= bytes.len();
            let page: Page = serde_json::from_slice(&bytes).map_err(Error::UnreadableModels)?;
            for entry in page.data {
                let model: Model =
                    serde_json::from_str(entry.get()).map_err(Error::UnreadableModels)?;
                models.push(Model { written: Some(Raw::new(&entry)), ..model });
            }
            after = page.last_id.filter(|_| page.has_more);
            if after.is_none() {
                break;
            }
        }
        Ok(models)
    }

    async fn with_timeout<T>(
        &self,
        work: impl Future<Output = reqwest::Result<T>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.idle, work).await {
            Ok(result) => result.map_err(classify),
            Err(_) => Err(Error::IdleTimeout(self.idle)),
        }
    }

    async fn execute(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Error> {
        let response = self.with_timeout(request.send()).await;
        *self.reachable.lock() = Some(response.is_ok());
        response
    }

    fn post(&self, client: &Client, path: &str, request: &Request) -> reqwest::RequestBuilder {
        let Request { body, headers: api, key, scenario: _, record: _ } = request;
        let mut headers = api_headers(api.version(), key);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if !api.wire_betas().is_empty()
            && let Ok(betas) = HeaderValue::from_str(api.wire_betas())
        {
            headers.insert(HeaderName::from_static("anthropic-beta"), betas);
        }
        headers.extend(api.others().iter().filter_map(|(name, value)| {
            Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
        }));
        client.post(format!("{}{path}", self.base)).headers(headers).body(body.clone())
    }
}

impl HttpBody {
    fn new(response: reqwest::Response, unpacker: Unpacker, idle: Duration) -> Self {
        let timer = Box::pin(tokio::time::sleep(idle));
        Self { response, unpacker, end: None, idle, last_read: Instant::now(), timer }
    }

    /// Waits for bytes, and gives all that have arrived to `recorder`. Breaks at the end of the body.
    pub(super) async fn read(&mut self, recorder: &mut Recorder) -> Result<ControlFlow<()>, Error> {
        if let Some(end) = self.end.take() {
            return end.map(ControlFlow::Break);
        }
        match self.next_chunk().await? {
            Some(bytes) => recorder.push(&self.unpacker.push(bytes)?),
            None => return Ok(ControlFlow::Break(())),
        }
        // The task of the connection hands over one chunk at a time, and needs a turn to hand over the next. All that
        // one read of the socket brought is collected here, so that it goes to the client in one write.
        for _ in 0..MAX_CHUNKS {
            turn().await;
            match self.response.chunk().now_or_never() {
                Some(Ok(Some(bytes))) => match self.unpacker.push(bytes) {
                    Ok(bytes) => recorder.push(&bytes),
                    Err(error) => {
                        self.end = Some(Err(error.into()));
                        break;
                    }
                },
                Some(Ok(None)) => {
                    self.end = Some(Ok(()));
                    break;
                }
                Some(Err(error)) => {
                    self.end = Some(Err(classify(error)));
                    break;
                }
                None => break,
            }
        }
        self.last_read = Instant::now();
        Ok(ControlFlow::Continue(()))
    }

    /// Waits for the next chunk. The timer is not reset for each chunk, which would cost more than reading it: when it
    /// fires, it is set to the end of the silence that is allowed since the last read.
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            tokio::select! {
                biased;
                chunk = self.response.chunk() => return chunk.map_err(classify),
                () = &mut self.timer => {
                    let deadline = self.last_read + self.idle;
                    if deadline <= Instant::now() {
                        return Err(Error::IdleTimeout(self.idle));
                    }
                    self.timer.as_mut().reset(deadline);
                }
            }
        }
    }
}

/// Gives the tasks that are ready a turn. Tokio's own `yield_now` asks the system for events of sockets first, which costs
/// more than reading a chunk.
async fn turn() {
    let mut is_over = false;
    std::future::poll_fn(|context| {
        if mem::replace(&mut is_over, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Settings of every HTTP client for upstream.
pub(super) fn builder() -> reqwest::ClientBuilder {
    // A stream that is packed comes later.
    let plain = (header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Client::builder()
        .default_headers(HeaderMap::from_iter([plain]))
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .tcp_keepalive(Duration::from_mins(1))
        .redirect(reqwest::redirect::Policy::none())
}

/// The headers that every request to the API needs.
pub(super) fn api_headers(version: &str, key: &SecretString) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(version) = HeaderValue::from_str(version) {
        headers.insert(HeaderName::from_static("anthropic-version"), version);
    }
    // A key that is no valid header value cannot be right: upstream will answer that there is none.
    if let Ok(mut key) = HeaderValue::from_str(key.expose_secret()) {
        key.set_sensitive(true);
        headers.insert(HeaderName::from_static("x-api-key"), key);
    }
    headers
}
