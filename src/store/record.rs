//! Records of the ledger: an exchange's opening and sealing, and calls.

use std::sync::{Arc, atomic::AtomicBool};

use serde::{Deserialize, Serialize};

use crate::domain::{
    anthropic::ApiHeaders,
    cache::CacheKey,
    chain::Chain,
    exchange::{
        AnswerRef, AnsweredBy, Api, CallId, Cost, ExchangeId, Micros, NanoDollars, Outcome, Tokens,
        UnixMillis,
    },
    recording::Recording,
};

/// What is known of an exchange before the first byte goes upstream.
#[derive(Debug, Clone)]
pub struct Opening {
    /// Made by the caller.
    pub exchange: ExchangeId,
    /// Under which the answer may be found again.
    pub key: CacheKey,
    /// Among whom the answer is shared.
    pub scope: String,
    /// The model that upstream is asked for.
    pub model: String,
    /// When it began.
    pub opened_at: UnixMillis,
    /// The exchange before in the same session.
    pub continues: Option<ExchangeId>,
    /// Where prompt caching is asked for, as JSON.
    pub breakpoints: Option<String>,
    /// The headers of the request; `None` where they are not known any more.
    pub head: Option<ApiHeaders>,
    /// The request that goes upstream; `None` where no bodies may be kept.
    pub chain: Option<Arc<Chain>>,
    /// The call that this exchange answers first, as it was begun.
    pub call: CallRecord,
}

impl Opening {
    /// What waits in the queue: the bodies are packed apart and counted, and must not be held twice.
    pub(super) fn without_bodies(&self) -> Self {
        let call = CallRecord { client_chain: None, ..self.call.clone() };
        Self { chain: None, call, ..self.clone() }
    }
}

/// A call: begun when it comes in, finished when its answer ends. A call that is never finished is lost, and its record
/// says so from the beginning.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallRecord {
    /// Made by the caller.
    pub id: CallId,
    /// Time of arrival.
    pub at: UnixMillis,
    /// Source of the answer.
    pub answered_by: AnsweredBy,
    /// The API that the client used.
    #[serde(alias = "door")]
    pub api: Api,
    /// Whether the client asked for a stream.
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
    /// Parts of the request that the translation dropped or changed, as JSON.
    pub notes: Option<String>,
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
    /// Kind of the error, in Anthropic's words or ours.
    #[serde(skip)]
    pub error_kind: Option<String>,
    /// Time until the first bytes of the answer.
    #[serde(skip)]
    pub ttft: Option<Micros>,
    /// Time until the last bytes of the answer; `None` if nobody saw them.
    #[serde(skip)]
    pub total: Option<Micros>,
    /// Tokens of the answer, of all its exchanges.
    #[serde(skip)]
    pub tokens: Tokens,
    /// Cost of this call: of all its exchanges.
    #[serde(skip, default = "unknown_cost")]
    pub cost: Cost,
    /// Cost that the call would have had without an earlier one.
    #[serde(skip, default = "free")]
    pub saved: Cost,
}

/// Stands until the exchange's key is read beside the call.
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
            notes: None,
            client_chain: None,
            key,
            exchange: None,
            model,
            status: None,
            outcome: lost(),
            error_kind: None,
            ttft: None,
            total: None,
            tokens: Tokens::default(),
            cost: unknown_cost(),
            saved: free(),
        }
    }
}

/// How an exchange ended. With its [`Opening`] it makes the exchange's row and the row of its call.
#[derive(Debug, Clone)]
pub struct Sealing {
    /// How it ended.
    pub outcome: Outcome,
    /// Anthropic's word.
    pub stop_reason: Option<String>,
    /// What kind of error, in Anthropic's word or ours.
    pub error_kind: Option<String>,
    /// The error, for people.
    pub error: Option<String>,
    /// The HTTP status of upstream's response, if there was one.
    pub status: Option<u16>,
    /// Anthropic's `request-id`.
    pub upstream_request: Option<String>,
    /// The model as upstream named it.
    pub model_served: Option<String>,
    /// When it ended.
    pub ended_at: UnixMillis,
    /// From the sending of the request until the first event.
    pub ttft: Option<Micros>,
    /// From the sending of the request until the end; `None` where nobody saw the end.
    pub total: Option<Micros>,
    /// As upstream counted them.
    pub tokens: Tokens,
    /// What it cost.
    pub cost: Cost,
    /// The day whose prices these are, `YYYY-MM-DD`.
    pub priced_on: Option<String>,
    /// Whether it may answer repeats. Without a recording it may not, whatever this says.
    pub servable: bool,
    /// What came back; `None` where no bodies may be kept.
    pub recording: Option<Arc<Recording>>,
    /// Tool-call ids and signatures in the answer.
    pub refs: Vec<AnswerRef>,
    /// The call, finished with this exchange; `None` where another exchange continues the answer.
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
            tokens: self.tokens,
            cost: self.cost,
            ..opening.call.clone()
        };
        Self { call: Some(call), ..self }
    }
}

/// A servable exchange as it comes back from the ledger.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Which exchange it is.
    pub exchange: ExchangeId,
    /// What Claude said.
    pub recording: Arc<Recording>,
    /// The model as upstream named it, else as it was asked for.
    pub model_served: String,
    /// Anthropic's word for why it ended.
    pub stop_reason: Option<String>,
    /// As upstream counted them.
    pub tokens: Tokens,
    /// What it cost when it was asked.
    pub cost: Cost,
    /// When it ended: its age is counted from here.
    pub ended_at: UnixMillis,
    /// Whether all of it was read once, without an error. Shared by all copies.
    pub was_read: Arc<AtomicBool>,
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
    /// The requested model.
    pub model: &'a str,
}
