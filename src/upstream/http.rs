//! The Messages API over HTTP: send, stream, retry before the first byte.
//!
//! No total timeout: an answer may take long, but it may not be silent for long (Anthropic sends pings while Claude
//! thinks).

use std::{
    pin::Pin,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::{Client, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, Sleep};
use url::Url;

use super::{
    Body, Counted, Error, Head, Incoming, Model, More, Outgoing, Unanswered,
    error::{Failed, classify, refused, text},
};
use crate::domain::{anthropic, json::Raw, recording::Recorder};

/// How often a request is sent at most. The pauses are short, because a client waits.
const ATTEMPTS: u32 = 3;
/// Pieces of a body that are gathered at once: more than one read of a socket brings.
const MOST_PIECES: usize = 512;
/// Pages of the model list, of a thousand each.
const MOST_PAGES: usize = 20;

/// Anthropic, or something that speaks like it.
#[derive(Debug)]
pub struct Http {
    pooled: Client,
    /// Never reuses a connection: for the retry after a pooled one turned out to be stale.
    fresh: OnceLock<Client>,
    base: String,
    idle: Duration,
    /// Whether the last try found somebody there; `None` before the first.
    reachable: Mutex<Option<bool>>,
}

/// The body of a response, as it comes.
#[derive(Debug)]
pub(super) struct Stream {
    response: Response,
    /// What a read found after the bytes that it brought.
    after: Option<Result<More, Error>>,
    /// How long upstream may be silent.
    idle: Duration,
    /// When it last was not.
    heard: Instant,
    alarm: Pin<Box<Sleep>>,
}

/// The address of an API, with or without `/v1`, as [`Upstream::base`](super::Upstream::base) tells it.
pub fn bare(base: &Url) -> String {
    base.as_str().trim_end_matches('/').trim_end_matches("/v1").to_owned()
}

impl Http {
    /// A client for the API at `base`; nothing is sent yet. `idle` bounds each wait for bytes.
    ///
    /// # Errors
    ///
    /// When the machine has no CA certificates.
    pub fn new(base: &Url, idle: Duration) -> reqwest::Result<Self> {
        let base = bare(base);
        let pooled = builder().pool_idle_timeout(Duration::from_secs(90)).build()?;
        Ok(Self { pooled, fresh: OnceLock::new(), base, idle, reachable: Mutex::default() })
    }

    /// Where requests go.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Whether the last request found somebody there, whatever they answered; `None` before the first.
    pub fn reachable(&self) -> Option<bool> {
        *self.reachable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message request and waits for the answer to begin. Retries what may work the next time
    /// (`reference/anthropic-api.md` §4): nothing of an answer has been seen yet.
    pub async fn send(&self, outgoing: &Outgoing) -> Result<Incoming, Unanswered> {
        let mut attempt = 1;
        let mut client = &self.pooled;
        let mut broken_before = false;
        loop {
            let error = match self.send_once(client, outgoing).await {
                Ok(incoming) => return Ok(Incoming { broken_before, ..incoming }),
                Err(error) => error,
            };
            let Some(wait) = error.retry(attempt).filter(|_| attempt < ATTEMPTS) else {
                return Err(Unanswered { error: error.error, broken_before });
            };
            tracing::warn!(
                attempt,
                wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                error = &error.error as &dyn std::error::Error,
                "asking upstream again"
            );
            if matches!(error.error, Error::Broken(_)) {
                broken_before = true;
                client = self.fresh();
            }
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    fn fresh(&self) -> &Client {
        self.fresh.get_or_init(|| {
            let built = builder().pool_max_idle_per_host(0).build();
            built.unwrap_or_else(|_| self.pooled.clone())
        })
    }

    /// Asks how many tokens a request has. Once: nobody waits for it as for an answer, and every SDK asks again.
    pub async fn count_tokens(&self, outgoing: &Outgoing) -> Result<Counted, Error> {
        let request = post(&self.pooled, &self.base, "/v1/messages/count_tokens", outgoing);
        let response = self.dial(request).await?;
        if !response.status().is_success() {
            return Err(refused(response, &outgoing.key, self.idle).await.error);
        }
        let request_id = text(response.headers(), "request-id");
        Ok(Counted { body: self.in_time(response.bytes()).await?, request_id })
    }

    async fn send_once(&self, client: &Client, outgoing: &Outgoing) -> Result<Incoming, Failed> {
        let request = post(client, &self.base, "/v1/messages", outgoing);
        let response = self.dial(request).await?;
        if !response.status().is_success() {
            return Err(refused(response, &outgoing.key, self.idle).await);
        }
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
            return Err(Error::NotAStream.into());
        }
        Ok(incoming(response, self.idle))
    }

    /// All models that Anthropic lists for `key`, newest first.
    pub async fn models(&self, key: &SecretString) -> Result<Vec<Model>, Error> {
        #[derive(Deserialize)]
        struct Page {
            data: Vec<Box<RawValue>>,
            #[serde(default)]
            has_more: bool,
            last_id: Option<String>,
        }
        let mut models: Vec<Model> = Vec::new();
        let mut after = None;
        for _ in 0..MOST_PAGES {
            let mut url = format!("{}/v1/models?limit=1000", self.base);
            if let Some(after) = after {
                url.push_str("&after_id=");
                url.extend(url::form_urlencoded::byte_serialize(String::as_bytes(&after)));
            }
            let request = self
                .pooled
                .get(url)
                .headers(api_headers(anthropic::Version::default().as_str(), key));
            let response = self.dial(request).await?;
            if !response.status().is_success() {
                return Err(refused(response, key, self.idle).await.error);
            }
            let bytes = self.in_time(response.bytes()).await?;
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

    async fn in_time<T>(&self, work: impl Future<Output = reqwest::Result<T>>) -> Result<T, Error> {
        match tokio::time::timeout(self.idle, work).await {
            Ok(done) => done.map_err(classify),
            Err(_) => Err(Error::Silent(self.idle)),
        }
    }

    async fn dial(&self, request: reqwest::RequestBuilder) -> Result<Response, Error> {
        let sent = self.in_time(request.send()).await;
        *self.reachable.lock().unwrap_or_else(PoisonError::into_inner) = Some(sent.is_ok());
        sent
    }
}

fn incoming(response: Response, idle: Duration) -> Incoming {
    Incoming {
        head: Head::of(response.headers()),
        status: response.status().as_u16(),
        broken_before: false,
        body: Body::Http(Stream {
            response,
            after: None,
            idle,
            heard: Instant::now(),
            alarm: Box::pin(tokio::time::sleep(idle)),
        }),
    }
}

impl Stream {
    /// Waits for bytes and gives all that are there to `recorder`.
    pub(super) async fn read(&mut self, recorder: &mut Recorder) -> Result<More, Error> {
        if let Some(after) = self.after.take() {
            return after;
        }
        match self.wait().await? {
            Some(bytes) => recorder.push(&bytes),
            None => return Ok(More::No),
        }
        // The connection's task hands over one piece at a time and needs a turn to hand over the next: what one read
        // of the socket brought is gathered here, so that it goes to the client in one write.
        for _ in 0..MOST_PIECES {
            tokio::task::yield_now().await;
            match self.response.chunk().now_or_never() {
                Some(Ok(Some(bytes))) => recorder.push(&bytes),
                Some(Ok(None)) => {
                    self.after = Some(Ok(More::No));
                    break;
                }
                Some(Err(error)) => {
                    self.after = Some(Err(classify(error)));
                    break;
                }
                None => break,
            }
        }
        self.heard = Instant::now();
        Ok(More::Yes)
    }

    /// The next piece. The alarm is not set anew for each, which would cost more than reading it: when it rings, it is
    /// put off by what has been heard since.
    async fn wait(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            tokio::select! {
                biased;
                piece = self.response.chunk() => return piece.map_err(classify),
                () = &mut self.alarm => {
                    let silent_at = self.heard + self.idle;
                    if silent_at <= Instant::now() {
                        return Err(Error::Silent(self.idle));
                    }
                    self.alarm.as_mut().reset(silent_at);
                }
            }
        }
    }
}

pub(super) fn builder() -> reqwest::ClientBuilder {
    Client::builder()
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .tcp_keepalive(Duration::from_mins(1))
        .redirect(reqwest::redirect::Policy::none())
}

fn post(client: &Client, base: &str, path: &str, outgoing: &Outgoing) -> reqwest::RequestBuilder {
    let Outgoing { body, headers: stated, key, scenario: _ } = outgoing;
    let mut headers = api_headers(stated.version(), key);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if !stated.wire_betas().is_empty()
        && let Ok(betas) = HeaderValue::from_str(stated.wire_betas())
    {
        headers.insert(HeaderName::from_static("anthropic-beta"), betas);
    }
    headers.extend(stated.others().iter().filter_map(|(name, value)| {
        Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
    }));
    client.post(format!("{base}{path}")).headers(headers).body(body.clone())
}

pub(super) fn api_headers(version: &str, key: &SecretString) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(version) = HeaderValue::from_str(version) {
        headers.insert(HeaderName::from_static("anthropic-version"), version);
    }
    // A key that cannot stand in a header cannot be right: upstream will say that there is none.
    if let Ok(mut key) = HeaderValue::from_str(key.expose_secret()) {
        key.set_sensitive(true);
        headers.insert(HeaderName::from_static("x-api-key"), key);
    }
    headers
}
