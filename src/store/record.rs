//! What goes into the ledger: an exchange's opening and sealing, and calls.

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
    /// Set where others with this key are to join instead of asking. No two running exchanges may share it.
    pub collapse: Option<CacheKey>,
    /// The call that this exchange answers first.
    pub call: CallFacts,
}

impl Opening {
    /// What waits in the queue: the bodies are packed apart and counted, and must not be held twice.
    pub(super) fn without_bodies(&self) -> Self {
        let call = CallFacts { client_chain: None, ..self.call.clone() };
        Self { chain: None, call, ..self.clone() }
    }
}

/// What is known of a call when it comes in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallFacts {
    /// Made by the caller.
    pub id: CallId,
    /// When it came in.
    pub at: UnixMillis,
    /// How it is answered.
    pub answered_by: AnsweredBy,
    /// The dialect that the client spoke.
    pub door: Api,
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
    /// The client's word for a background call.
    pub task: Option<String>,
    /// The program that asked.
    pub client: Option<String>,
    /// What the translation dropped or changed, as JSON.
    pub notes: Option<String>,
    /// What the client really sent; `None` where no bodies may be kept.
    #[serde(skip)]
    pub client_chain: Option<Arc<Chain>>,
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
    /// How the call ended with it; `None` where another exchange goes on with the answer.
    pub call: Option<CallEnd>,
}

/// How a call ended whose last exchange this is. It may have needed several.
#[derive(Debug, Clone)]
pub struct CallEnd {
    /// The HTTP status of our response to the client, if it got one.
    pub status: Option<u16>,
    /// Until the first bytes of the answer.
    pub ttft: Option<Micros>,
    /// Until its last bytes; `None` where nobody saw the end.
    pub total: Option<Micros>,
    /// Of all its exchanges.
    pub tokens: Tokens,
    /// Of all its exchanges.
    pub cost: Cost,
    /// What was dropped or changed in all, as JSON, where that is more than was known when the call came in.
    pub notes: Option<String>,
}

/// A call that had no exchange of its own: a hit, or one that joined.
#[derive(Debug, Clone)]
pub struct CallRow {
    /// What was known when it came in.
    pub facts: CallFacts,
    /// What it asked for.
    pub key: CacheKey,
    /// The exchange that answered it.
    pub exchange: Option<ExchangeId>,
    /// The HTTP status of our response.
    pub status: Option<u16>,
    /// How the exchange ended that answered it.
    pub outcome: Outcome,
    /// What kind of error, in Anthropic's word or ours.
    pub error_kind: Option<String>,
    /// Until the first bytes of the answer.
    pub ttft: Option<Micros>,
    /// Until its last bytes.
    pub total: Option<Micros>,
    /// The model that answered.
    pub model: String,
    /// The answer's tokens.
    pub tokens: Tokens,
    /// What this call cost.
    pub cost: Cost,
    /// What it would have cost.
    pub saved: Cost,
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

/// What a chat asks for, so that the ledger can tell whether it asked before.
#[derive(Debug, Clone, Copy)]
pub struct Turn<'a> {
    /// The key.
    pub key: &'a CacheKey,
    /// The chat.
    pub chat: &'a str,
    /// The message that is answered into.
    pub message: Option<&'a str>,
    /// The user's message that is answered; `None` where it is not known, or for a background call.
    pub user_message: Option<&'a str>,
    /// The model that is asked.
    pub model: &'a str,
}

/// The columns `cost` and `cost_is`.
pub(super) fn cost_columns(cost: Cost) -> (Option<i64>, &'static str) {
    match cost {
        Cost::Exact(amount) => (Some(amount.0), "exact"),
        Cost::AtLeast(amount) => (Some(amount.0), "at_least"),
        Cost::Unpriced => (None, "unpriced"),
    }
}

/// The cost in the columns `cost` and `cost_is`; `None` if they make no sense together.
pub(super) fn cost_from_columns(amount: Option<i64>, is: &str) -> Option<Cost> {
    match (amount, is) {
        (Some(amount), "exact") => Some(Cost::Exact(NanoDollars(amount))),
        (Some(amount), "at_least") => Some(Cost::AtLeast(NanoDollars(amount))),
        (None, "unpriced") => Some(Cost::Unpriced),
        _ => None,
    }
}
