//! Records of the ledger: the opening and the sealing of an exchange, and calls.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::domain::{
    anthropic::{self, ApiHeaders, StreamError},
    cache::{CacheKey, Requester, SharedCall},
    chain::Chain,
    exchange::{
        AnswerRef, AnsweredBy, Api, CallId, Cost, ExchangeId, Micros, NanoDollars, Outcome, Tokens,
        UnixMillis,
    },
    price::{Bill, Pricing},
    recording::Recording,
    tags::Tags,
};

/// The beginning of an exchange, written before the first byte goes upstream.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The id, made by the caller.
    pub exchange: ExchangeId,
    /// The cache key, by which the answer can be found.
    pub key: CacheKey,
    /// The scope in which the answer is shared.
    pub scope: String,
    /// The requested model.
    pub model: String,
    /// The moment when it began.
    pub opened_at: UnixMillis,
    /// The exchange before in the same answer.
    pub continues: Option<ExchangeId>,
    /// Positions of the cache breakpoints in the request, as JSON.
    pub breakpoints: Option<String>,
    /// The headers of the request; `None` where they are not known any more.
    pub headers: Option<ApiHeaders>,
    /// The upstream request; `None` where no bodies may be kept.
    pub chain: Option<Arc<Chain>>,
    /// The call that this exchange answers first, as it was begun.
    pub call: CallRecord,
}

impl Opening {
    /// The opening without its bodies, for the queue: they are packed and counted apart, and must not be held twice.
    pub(super) fn without_bodies(&self) -> Self {
        let call = CallRecord { client_chain: None, ..self.call.clone() };
        Self { chain: None, call, ..self.clone() }
    }
}

/// A call: begun when it comes in, finished when its answer ends. A call that is never finished is lost, and its record
/// says so from the beginning.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallRecord {
    /// The id, made by the caller.
    pub id: CallId,
    /// Time of arrival.
    pub at: UnixMillis,
    /// Source of the answer.
    pub answered_by: AnsweredBy,
    /// The API that the client used.
    #[serde(alias = "door")]
    pub api: Api,
    /// Set if the client asked for a stream.
    pub stream: bool,
    /// The user, as the client states it.
    pub user: Option<String>,
    /// The chat, as the client states it.
    pub chat: Option<String>,
    /// The message that is being answered into.
    pub message: Option<String>,
    /// The user's message that is being answered.
    pub user_message: Option<String>,
    /// Open WebUI's name for a background call.
    pub task: Option<String>,
    /// The client program.
    pub client: Option<String>,
    /// The name of the client key.
    #[serde(default)]
    pub client_key: Option<String>,
    /// Estimated cost that budgets reserve while the call runs.
    #[serde(default)]
    pub reserved: NanoDollars,
    /// Parts of the request that the translation dropped or changed, as JSON.
    pub notes: Option<String>,
    /// The client's labels.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// The reason why it went upstream, or was refused; `None` where the ledger answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The request as the client sent it; `None` where no bodies may be kept.
    #[serde(skip)]
    pub client_chain: Option<Arc<Chain>>,
    /// Key of the request.
    #[serde(skip, default = "no_key")]
    pub key: CacheKey,
    /// The exchange that answers; an answer that paused ends with another than it began with.
    #[serde(skip)]
    pub exchange: Option<ExchangeId>,
    /// The model: as requested, and in the end as upstream named it.
    #[serde(skip)]
    pub model: String,
    /// HTTP status of our response, if the client got one.
    #[serde(skip)]
    pub status: Option<u16>,
    /// Outcome of the exchange that answers.
    #[serde(skip, default = "lost")]
    pub outcome: Outcome,
    /// Kind of the error: Anthropic's `error.type`, or ours.
    #[serde(skip)]
    pub error_kind: Option<String>,
    /// Time until the first bytes of the answer.
    #[serde(skip)]
    pub ttft: Option<Micros>,
    /// Time until the last bytes of the answer; `None` if nobody saw them.
    #[serde(skip)]
    pub total: Option<Micros>,
    /// Number of requests that the call's exchanges sent to upstream.
    #[serde(skip)]
    pub tries: u32,
    /// Tokens of the answer, of all its exchanges.
    #[serde(skip)]
    pub tokens: Tokens,
    /// Cost of this call: of all its exchanges.
    #[serde(skip, default = "unknown_cost")]
    pub cost: Cost,
    /// Details of this cost.
    #[serde(skip)]
    pub pricing: Pricing,
    /// Cost of asking instead of reusing an answer, as far as it is known ([`crate::domain::catalog::Catalog::cost_again`]).
    #[serde(skip, default = "free")]
    pub saved: Cost,
}

/// A placeholder until the key is read from the row of `running`.
const fn no_key() -> CacheKey {
    CacheKey::from_bytes([0; 32])
}

const fn lost() -> Outcome {
    Outcome::Lost
}

const fn unknown_cost() -> Cost {
    Cost::AtLeast(NanoDollars(0))
}

const fn free() -> Cost {
    Cost::Exact(NanoDollars(0))
}

impl CallRecord {
    /// A call of which nothing else is known.
    pub fn new(
        id: CallId,
        at: UnixMillis,
        answered_by: AnsweredBy,
        api: Api,
        key: CacheKey,
        model: String,
    ) -> Self {
        Self {
            id,
            at,
            answered_by,
            api,
            stream: false,
            user: None,
            chat: None,
            message: None,
            user_message: None,
            task: None,
            client: None,
            client_key: None,
            reserved: NanoDollars(0),
            notes: None,
            tags: Tags::default(),
            reason: None,
            client_chain: None,
            key,
            exchange: None,
            model,
            status: None,
            outcome: lost(),
            error_kind: None,
            ttft: None,
            total: None,
            tries: 0,
            tokens: Tokens::default(),
            cost: unknown_cost(),
            pricing: Pricing::default(),
            saved: free(),
        }
    }
}

/// The end of an exchange. With its [`Opening`] it makes the exchange's row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sealing {
    /// The outcome.
    pub outcome: Outcome,
    /// Anthropic's `stop_reason`.
    pub stop_reason: Option<String>,
    /// Kind of the error: Anthropic's `error.type`, or ours.
    pub error_kind: Option<String>,
    /// The error, for people.
    pub error: Option<String>,
    /// HTTP status of the upstream response, if there was one.
    pub status: Option<u16>,
    /// Anthropic's `request-id`.
    pub upstream_request: Option<String>,
    /// The model as upstream named it.
    pub model_served: Option<String>,
    /// The moment when it ended.
    pub ended_at: UnixMillis,
    /// Time from the request until the first event.
    pub ttft: Option<Micros>,
    /// Time from the request until the end; `None` if nobody saw the end.
    pub total: Option<Micros>,
    /// Number of requests that were sent to upstream: the first one, retries, and those without a part that upstream
    /// refused.
    pub tries: u32,
    /// Tokens as upstream counted them, of all tries.
    pub tokens: Tokens,
    /// The cost.
    pub cost: Cost,
    /// Details of the cost.
    pub pricing: Pricing,
    /// The bill, encoded; `None`: nothing was billed here.
    pub bill: Option<String>,
    /// The day of the prices, `YYYY-MM-DD`.
    pub priced_on: Option<String>,
    /// Set if the answer may be served again. Without a recording it never is.
    pub servable: bool,
    /// The upstream response; `None` where no bodies may be kept.
    #[serde(skip)]
    pub recording: Option<Arc<Recording>>,
    /// Tool-call ids and signatures in the answer.
    pub refs: Vec<AnswerRef>,
    /// The call, finished with this exchange; `None` where another exchange continues the answer.
    #[serde(skip)]
    pub call: Option<CallRecord>,
}

impl Sealing {
    /// Finishes the call of `opening` with this exchange, which alone answers it.
    #[must_use]
    pub fn with_call_of(self, opening: &Opening) -> Self {
        let call = CallRecord {
            key: opening.key,
            exchange: Some(opening.exchange),
            model: self.model_served.as_ref().unwrap_or(&opening.model).clone(),
            status: self.status,
            outcome: self.outcome,
            error_kind: self.error_kind.clone(),
            ttft: self.ttft,
            total: self.total,
            tries: self.tries,
            tokens: self.tokens,
            cost: self.cost,
            pricing: self.pricing.clone(),
            ..opening.call.clone()
        };
        Self { call: Some(call), ..self }
    }
}

/// A recording of the ledger, and the readings of it that are made once.
#[derive(Debug, Default)]
pub struct StoredRecording {
    recording: Arc<Recording>,
    readings: OnceLock<Result<Readings, String>>,
}

/// Readings of a recording, for all who get it again.
#[derive(Debug)]
pub struct Readings {
    /// The recording in larger pieces ([`anthropic::merge`]).
    pub merged: Recording,
    /// The whole answer.
    pub message: anthropic::Message,
}

impl From<Arc<Recording>> for StoredRecording {
    fn from(recording: Arc<Recording>) -> Self {
        Self { recording, readings: OnceLock::new() }
    }
}

impl StoredRecording {
    /// The recording as it came.
    pub const fn recording(&self) -> &Arc<Recording> {
        &self.recording
    }

    /// The readings. That a recording can be read is not checked when it is sealed: where it cannot be, the error says why.
    pub fn readings(&self) -> Result<&Readings, &str> {
        let read = || {
            let merged = anthropic::merge(&self.recording).map_err(StreamError::from)?;
            let message = anthropic::fold(&merged)?;
            Ok(Readings { merged, message })
        };
        let read = || read().map_err(|error: StreamError| error.to_string());
        self.readings.get_or_init(read).as_ref().map_err(String::as_str)
    }
}

/// A servable exchange of the ledger.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The exchange.
    pub exchange: ExchangeId,
    /// The recorded answer. Shared by all clones.
    pub recording: Arc<StoredRecording>,
    /// The requested model.
    pub model_asked: String,
    /// The model as upstream named it, else the requested one.
    pub model_served: String,
    /// Anthropic's `stop_reason`.
    pub stop_reason: Option<String>,
    /// Tokens as upstream counted them.
    pub tokens: Tokens,
    /// The cost of the exchange.
    pub cost: Cost,
    /// The bill; `None`: the exchange is older than the bills.
    pub bill: Option<Bill>,
    /// The requester, as far as it is known here.
    pub requester: Option<Requester>,
    /// True if no other answer to the key was there when it was read.
    pub is_only: bool,
    /// The moment when it ended, from which its age counts.
    pub ended_at: UnixMillis,
}

impl Stored {
    /// The answer of an exchange that is being sealed.
    pub(super) fn sealed(opening: &Opening, sealing: &Sealing, recording: &Arc<Recording>) -> Self {
        let Opening { exchange, model, call, .. } = opening;
        let Sealing { model_served, tokens, cost, ended_at, .. } = sealing;
        let served = model_served.as_ref().unwrap_or(model);
        Self {
            exchange: *exchange,
            recording: Arc::new(StoredRecording::from(Arc::clone(recording))),
            model_asked: model.clone(),
            model_served: served.clone(),
            stop_reason: sealing.stop_reason.clone(),
            tokens: *tokens,
            cost: *cost,
            bill: sealing.bill.as_deref().and_then(|bill| Bill::decode(bill, served, tokens)),
            ended_at: *ended_at,
            requester: Some(Requester::of(call.user.as_deref(), call.chat.as_deref())),
            is_only: false,
        }
    }

    /// Returns whether `call` gets this answer if it is the newest to its key.
    pub(super) fn is_for(&self, call: &SharedCall<'_>) -> bool {
        self.is_only || self.requester.as_ref() == Some(&call.requester)
    }
}

/// A request of a chat, as far as it tells whether the chat asked before.
#[derive(Debug, Clone, Copy)]
pub struct PriorAskQuery<'a> {
    /// The cache key.
    pub key: &'a CacheKey,
    /// The chat.
    pub chat: &'a str,
    /// The message that is being answered into.
    pub message: Option<&'a str>,
    /// The user's message that is being answered; `None` where it is unknown, or for a background call.
    pub user_message: Option<&'a str>,
    /// The scope in which it lies, in whatever chat: a clone of a chat has the same messages.
    pub scope: &'a str,
    /// The requested model.
    pub model: &'a str,
}
