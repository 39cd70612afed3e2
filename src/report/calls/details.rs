//! The report of `reprise calls show`: a call, why it was answered as it was, its exchanges with upstream, their costs
//! with the prices, and what of them is kept.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::{
    CallLine,
    bill::{BillReport, counts},
    json, millis,
    prompt_cache::PromptCache,
    rfc3339, why,
};
use crate::{
    domain::{
        anthropic, cassette,
        catalog::Catalog,
        exchange::{AnsweredBy, CallId, Cost, ExchangeId, Micros, Outcome, Tokens},
    },
    report::{
        Money,
        lines::paragraph,
        numbers::{counted, thousands, time},
    },
    store::{self, CallRow, ExchangeDetails, Reader},
};

/// Number of ids in a line.
const LISTED: usize = 10;

/// The report of `reprise calls show`.
#[derive(Debug, Serialize)]
pub struct CallDetails {
    /// The call; `None`: there is only the exchange.
    call: Option<CallLine>,
    /// The reason why it went upstream, in words; `None`: it did not, or nobody wrote it down.
    why: Option<&'static str>,
    /// The call of the same chat that asked for the same before it.
    asked_before: Option<CallId>,
    /// The comparison with what the turn before had left in the prompt cache; `None`: there is nothing to compare.
    prompt_cache: Option<PromptCache>,
    /// Parts of the request that the translation dropped or changed.
    notes: Value,
    /// True if the client's request is kept.
    request_is_kept: bool,
    /// The exchanges that answered it, in their order.
    exchanges: Vec<ExchangeReport>,
    /// Other calls that the same exchange answered.
    also_answered: Vec<CallId>,
    /// Requests and answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    bodies: Option<Bodies>,
}

/// An exchange with upstream.
#[derive(Debug, Serialize)]
struct ExchangeReport {
    id: ExchangeId,
    continues: Option<ExchangeId>,
    opened_at: String,
    ended_at: String,
    model_asked: String,
    model_served: Option<String>,
    outcome: Outcome,
    stop_reason: Option<String>,
    status: Option<u16>,
    error_kind: Option<String>,
    error: Option<String>,
    upstream_request: Option<String>,
    tries: u32,
    ttft_ms: Option<f64>,
    total_ms: Option<f64>,
    tokens: Tokens,
    cost: Money,
    cost_is: &'static str,
    priced_on: Option<String>,
    /// The bill and its prices; `None`: unknown.
    bill: Option<BillReport>,
    key: String,
    scope: String,
    version: Option<String>,
    betas: Option<String>,
    breakpoints: Value,
    /// True if it may answer repeats, as far as its age allows.
    servable: bool,
    request_is_kept: bool,
    /// Size of the answer in the ledger; `None`: it is not kept.
    answer_bytes: Option<i64>,
    #[serde(skip)]
    money: Cost,
    #[serde(skip)]
    times: [Option<Micros>; 2],
}

/// The content of a call.
#[derive(Debug, Serialize)]
pub struct Bodies {
    /// The client's request; `None`: it is not kept, like the others.
    client: Option<Value>,
    /// For each exchange the request to upstream.
    upstream: Vec<Option<Value>>,
    /// For each exchange the answer: a message, or what came of it.
    answers: Vec<Option<Value>>,
}

impl CallDetails {
    /// Reads all about a call.
    pub async fn of_call(
        ledger: &Reader,
        catalog: &Catalog,
        id: CallId,
    ) -> Result<Option<Self>, store::Error> {
        let Some(call) = ledger.call(id).await? else { return Ok(None) };
        let others = match call.exchange {
            Some(exchange) => ledger.calls_of(exchange).await?,
            None => Vec::new(),
        };
        Self::of(ledger, catalog, Some(call), others, None).await.map(Some)
    }

    /// Reads all about an exchange and the call for which it was begun.
    pub async fn of_exchange(
        ledger: &Reader,
        catalog: &Catalog,
        id: ExchangeId,
    ) -> Result<Self, store::Error> {
        // The id of an answer that was continued is that of its first exchange.
        let last = ledger.last_part(id).await?;
        let calls = ledger.calls_of(last).await?;
        let asked = calls.iter().find(|call| call.answered_by.asks()).or(calls.first()).cloned();
        Self::of(ledger, catalog, asked, calls, Some(last)).await
    }

    async fn of(
        ledger: &Reader,
        catalog: &Catalog,
        call: Option<CallRow>,
        others: Vec<CallRow>,
        exchange: Option<ExchangeId>,
    ) -> Result<Self, store::Error> {
        let exchanges = match exchange.or(call.as_ref().and_then(|call| call.exchange)) {
            Some(last) => ledger.exchange_details(last).await?,
            None => Vec::new(),
        };
        let (mut asked_before, mut prompt_cache) = (None, None);
        if let (Some(call), Some(first)) = (&call, exchanges.first()) {
            asked_before = ledger.asked_before(call, &first.key).await?;
            prompt_cache = PromptCache::of(ledger, call, first).await?;
        }
        let reason = call.as_ref().and_then(|call| call.reason.as_deref());
        let own = call.as_ref().map(|call| call.id);
        let notes = call.as_ref().and_then(|call| call.notes.as_deref());
        Ok(Self {
            why: reason.and_then(why::in_words),
            asked_before,
            prompt_cache,
            notes: notes.map_or(Value::Array(Vec::new()), json),
            request_is_kept: call.as_ref().is_some_and(|call| call.request().is_some()),
            exchanges: exchanges.into_iter().map(|it| ExchangeReport::of(it, catalog)).collect(),
            also_answered: others
                .iter()
                .map(|other| other.id)
                .filter(|id| Some(*id) != own)
                .collect(),
            bodies: None,
            call: call.map(CallLine),
        })
    }

    /// Tells whether an exchange is one of those that answered the call.
    pub fn has(&self, exchange: ExchangeId) -> bool {
        self.exchanges.iter().any(|own| own.id == exchange)
    }

    /// The requests and answers; `None`: they were not read.
    pub fn into_bodies(self) -> Option<Bodies> {
        self.bodies
    }

    /// Adds the requests and answers.
    pub async fn with_bodies(self, ledger: &Reader) -> Result<Self, store::Error> {
        let client = match self.call.as_ref().and_then(|call| call.0.request()) {
            Some((frame, head)) => body(ledger, frame, head).await?,
            None => None,
        };
        let mut bodies = Bodies { client, upstream: Vec::new(), answers: Vec::new() };
        if let Some(last) = self.exchanges.last() {
            for part in ledger.answer_parts(last.id).await? {
                bodies.upstream.push(match part.request() {
                    Some((frame, head)) => body(ledger, frame, head).await?,
                    None => None,
                });
                bodies.answers.push(part.recording.as_ref().map(|recording| {
                    let message = anthropic::assemble(recording).ok();
                    let message = message.and_then(|message| serde_json::from_slice(&message).ok());
                    // A stream that is no message is shown as it came.
                    message.unwrap_or_else(|| {
                        let events = recording.events().map(String::from_utf8_lossy);
                        Value::String(events.collect())
                    })
                }));
            }
        }
        Ok(Self { bodies: Some(bodies), ..self })
    }
}

/// A request as one document; `None` if its bodies are not kept any more.
async fn body(
    ledger: &Reader,
    frame: crate::domain::chain::Hash,
    head: Option<crate::domain::chain::Hash>,
) -> Result<Option<Value>, store::Error> {
    match ledger.load_chain(frame, head).await {
        Ok(chain) => Ok(cassette::body(&chain).map(|body| json(&body))),
        Err(store::Error::NoBodies { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl ExchangeReport {
    fn of(details: ExchangeDetails, catalog: &Catalog) -> Self {
        let bill = BillReport::of(&details, catalog);
        let request_is_kept = details.request().is_some();
        let status = details.status();
        let ExchangeDetails { id, continues, key, scope, tokens, cost, ttft_us, total_us, .. } =
            details;
        Self {
            id,
            continues,
            opened_at: rfc3339(details.opened_at),
            ended_at: rfc3339(details.ended_at),
            model_asked: details.model_asked,
            model_served: details.model_served,
            outcome: details.outcome,
            stop_reason: details.stop_reason,
            status,
            error_kind: details.error_kind,
            error: details.error,
            upstream_request: details.upstream_request,
            tries: details.tries,
            ttft_ms: ttft_us.map(millis),
            total_ms: total_us.map(millis),
            tokens,
            cost: cost.into(),
            cost_is: store::cost_word(cost),
            priced_on: details.priced_on,
            bill,
            key: key.to_string(),
            scope,
            version: details.version,
            betas: details.betas.filter(|betas| !betas.is_empty()),
            breakpoints: details.breakpoints.as_deref().map_or(Value::Null, json),
            servable: details.servable,
            request_is_kept,
            answer_bytes: details.recording_bytes,
            money: cost,
            times: [ttft_us, total_us],
        }
    }
}

/// A line with a name; nothing for an empty text.
fn field(f: &mut fmt::Formatter<'_>, name: &str, text: &str) -> fmt::Result {
    if text.is_empty() { Ok(()) } else { paragraph(f, &format!("{name:<10}"), text) }
}

/// The texts that are there, with commas.
fn listed(texts: impl IntoIterator<Item = Option<String>>) -> String {
    texts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn named(name: &str, text: Option<&(impl ToString + ?Sized)>) -> Option<String> {
    text.map(|text| format!("{name} {}", text.to_string()))
}

fn times([first, last]: [Option<Micros>; 2]) -> String {
    let of = |name: &str, micros: Option<Micros>| Some(format!("{name} {}", time(micros?.0)));
    listed([of("first byte", first), of("last byte", last)])
}

fn source(call: &CallRow) -> String {
    let by = match call.answered_by {
        AnsweredBy::Hit => "from the ledger",
        AnsweredBy::Collapsed => "by joining an exchange that was running",
        AnsweredBy::Miss | AnsweredBy::Refresh | AnsweredBy::Bypass => "by Claude",
        AnsweredBy::Replay => "from a fixture",
        AnsweredBy::Refused => "by nobody: it was refused",
    };
    let reason = call.reason.as_deref().map(|reason| why::in_words(reason).unwrap_or(reason));
    let reason = reason.map(|reason| format!(", because {reason}")).unwrap_or_default();
    format!("{}: {by}{reason}", call.answered_by)
}

/// The id of the user, after the name and the mail.
fn user(call: &CallRow) -> Option<String> {
    let id = call.user.as_ref()?;
    let known = [&call.user_name, &call.user_email].into_iter().flatten().cloned();
    let known = known.collect::<Vec<_>>().join(", ");
    Some(if known.is_empty() { id.clone() } else { format!("{known} ({id})") })
}

impl fmt::Display for CallDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.call {
            Some(CallLine(call)) => self.call(f, call)?,
            None => writeln!(f, "No call of this exchange is in the ledger.")?,
        }
        for exchange in &self.exchanges {
            writeln!(f)?;
            exchange.fmt(f)?;
        }
        if let Some(bodies) = &self.bodies {
            bodies.fmt(f)?;
        }
        Ok(())
    }
}

impl CallDetails {
    fn call(&self, f: &mut fmt::Formatter<'_>, call: &CallRow) -> fmt::Result {
        field(f, "call", &call.id.to_string())?;
        field(f, "at", &rfc3339(call.at))?;
        let from = listed([
            named("user", user(call).as_ref()),
            named("chat", call.chat.as_ref()),
            named("message", call.message.as_ref()),
            named("user message", call.user_message.as_ref()),
            named("task", call.task.as_ref().filter(|task| !task.is_empty())),
            named("client", call.client.as_ref()),
            named("key", call.key.as_ref()),
        ]);
        field(f, "from", &from)?;
        field(f, "tags", &call.tags().to_string())?;
        let streamed = if call.stream { ", streamed" } else { "" };
        field(f, "request", &format!("{} API{streamed}, model {}", call.api, call.model))?;
        field(f, "answered", &source(call))?;
        field(
            f,
            "asked",
            &self.asked_before.map(|id| format!("before by {id}")).unwrap_or_default(),
        )?;
        let status = call.status().map(|status| format!("HTTP {status}"));
        let outcome = [Some(call.outcome.to_string()), status, call.error_kind.clone()];
        field(f, "outcome", &listed(outcome))?;
        field(f, "tokens", &counts(&call.tokens))?;
        let prompt_cache = self.prompt_cache.as_ref().map(ToString::to_string);
        field(f, "cache", &prompt_cache.unwrap_or_default())?;
        field(f, "cost", &call.cost.to_string())?;
        if call.answered_by.is_reuse() {
            let saved = call.saved().map_or_else(|| "unpriced".to_owned(), |it| it.to_string());
            field(f, "saved", &saved)?;
        }
        field(f, "time", &times([call.ttft_us, call.total_us]))?;
        for note in self.notes.as_array().into_iter().flatten() {
            let text = |name| note.get(name).and_then(Value::as_str).unwrap_or_default();
            let of = text("field");
            let colon = if of.is_empty() { "" } else { ": " };
            field(f, "note", &format!("{of}{colon}{}", text("what")))?;
        }
        let kept = if self.request_is_kept { "the client's request" } else { "no request" };
        field(f, "kept", kept)?;
        if !self.also_answered.is_empty() {
            let ids: Vec<String> =
                self.also_answered.iter().take(LISTED).map(ToString::to_string).collect();
            let more = self.also_answered.len() - ids.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let calls = counted(self.also_answered.len(), "other call");
            field(f, "shared", &format!("with {calls}: {}{more}", ids.join(", ")))?;
        }
        Ok(())
    }
}

impl fmt::Display for ExchangeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        field(f, "exchange", &self.id.to_string())?;
        field(f, "continues", &self.continues.map(|id| id.to_string()).unwrap_or_default())?;
        field(f, "at", &format!("{} to {}", self.opened_at, self.ended_at))?;
        let served = self.model_served.as_ref().filter(|served| **served != self.model_asked);
        field(f, "model", &listed([Some(self.model_asked.clone()), named("served", served)]))?;
        let outcome = [
            Some(self.outcome.to_string()),
            self.stop_reason.clone(),
            named("HTTP", self.status.as_ref()),
            self.error_kind.clone(),
        ];
        field(f, "outcome", &listed(outcome))?;
        field(f, "error", self.error.as_deref().unwrap_or_default())?;
        let tries = counted(self.tries, "request");
        let upstream = listed([Some(tries), named("the last", self.upstream_request.as_ref())]);
        field(f, "upstream", &upstream)?;
        let betas = named("betas", self.betas.as_ref());
        field(f, "version", &listed([self.version.clone(), betas]))?;
        field(f, "tokens", &counts(&self.tokens))?;
        field(f, "cost", &self.money.to_string())?;
        if let Some(bill) = &self.bill {
            bill.fmt(f)?;
        }
        field(f, "time", &times(self.times))?;
        field(f, "key", &self.key)?;
        field(f, "scope", &self.scope)?;
        let repeats = if self.servable { "may answer repeats" } else { "answers no repeats" };
        let request = if self.request_is_kept { "the request" } else { "no request" };
        let answer = match self.answer_bytes {
            Some(bytes) => format!("the answer ({} bytes packed)", thousands(bytes.unsigned_abs())),
            None => "no answer".to_owned(),
        };
        field(f, "kept", &format!("{request}, {answer}; {repeats}"))
    }
}

impl fmt::Display for Bodies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |f: &mut fmt::Formatter<'_>, name: &str, body: Option<&Value>| match body {
            None => writeln!(f, "\n{name}: not kept"),
            Some(Value::String(text)) => writeln!(f, "\n{name}:\n{text}"),
            Some(body) => writeln!(f, "\n{name}:\n{body:#}"),
        };
        show(f, "request of the client", self.client.as_ref())?;
        for (request, answer) in self.upstream.iter().zip(&self.answers) {
            show(f, "request to Claude", request.as_ref())?;
            show(f, "answer", answer.as_ref())?;
        }
        Ok(())
    }
}
