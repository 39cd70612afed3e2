//! A session as fixtures: each exchange behind its calls, with the client's request that it answered.

use std::collections::HashSet;

use crate::{
    domain::{
        cassette::{self, Cassette, ClientRequest, RecordedRequest, Response},
        chain::Hash,
        exchange::{Api, ExchangeId, Outcome, UnixMillis},
        translate,
    },
    store::{self, CallLine, ExchangeRow, MOST_PARTS, Reader, SessionRow},
};

/// What clients that speak Anthropic's dialect mostly say; the ledger does not keep what this one said.
const NATIVE_VERSION: &str = "2023-06-01";
/// What stands before Anthropic's own words in the ledger's text of a refusal.
const REFUSED: &str = "Anthropic refused with status ";

/// A session as fixtures.
#[derive(Debug, Default)]
pub struct Recorded {
    /// In the order of the calls.
    pub cassettes: Vec<Cassette>,
    /// What cannot be a fixture.
    pub left_out: Vec<LeftOut>,
}

/// A call that is not among the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its number in the session, counted from one.
    pub number: usize,
    /// Why.
    pub why: &'static str,
}

/// Reads a session as fixtures, in the order of its calls. An exchange that answered several is one file.
pub async fn recorded(ledger: &Reader, row: &SessionRow) -> Result<Recorded, store::Error> {
    let mut recorded = Recorded::default();
    let mut seen = HashSet::new();
    for (number, call) in (1..).zip(&row.calls) {
        let Some(id) = call.exchange else {
            recorded.left_out.push(LeftOut { number, why: "it has no exchange in the ledger" });
            continue;
        };
        if !seen.insert(id) {
            continue;
        }
        for (at, exchange) in parts(ledger, id).await?.into_iter().enumerate() {
            match one(ledger, call, &exchange, at).await? {
                Ok(cassette) => recorded.cassettes.push(cassette),
                Err(why) => recorded.left_out.push(LeftOut { number, why }),
            }
        }
    }
    Ok(recorded)
}

/// An exchange after those that it continues.
async fn parts(ledger: &Reader, id: ExchangeId) -> Result<Vec<ExchangeRow>, store::Error> {
    let mut parts = Vec::new();
    let mut next = Some(id);
    while let Some(id) = next.filter(|_| parts.len() < MOST_PARTS) {
        let Some(row) = ledger.exchange(id).await? else { break };
        next = row.continues;
        parts.push(row);
    }
    parts.reverse();
    Ok(parts)
}

async fn one(
    ledger: &Reader,
    call: &CallLine,
    exchange: &ExchangeRow,
    at: usize,
) -> Result<Result<Cassette, &'static str>, store::Error> {
    const NO_BODIES: &str = "its bodies were not kept";
    let Some(upstream) = body(ledger, exchange.asked).await? else { return Ok(Err(NO_BODIES)) };
    let asked = asked(call.door, exchange.said.as_ref(), upstream);
    let client = match body(ledger, call.asked).await? {
        // Only the first part of an answer was asked for by the client.
        Some(body) if at == 0 => Some(ClientRequest {
            api: call.door,
            program: call.client.clone(),
            task: call.task.clone(),
            body,
        }),
        _ => None,
    };
    Ok(response(exchange).map(|response| Cassette {
        recorded: Some(day(exchange.ended_at)),
        client,
        upstream: Some(asked),
        when_exhausted: None,
        response,
    }))
}

async fn body(
    ledger: &Reader,
    place: Option<(Hash, Option<Hash>)>,
) -> Result<Option<String>, store::Error> {
    let Some((frame, head)) = place else { return Ok(None) };
    match ledger.load_chain(frame, head).await {
        Ok(chain) => Ok(cassette::body(&chain)),
        Err(store::Error::NoBodies { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The request with its head; an older ledger does not have that, and then the body says what it must have been.
fn asked(door: Api, said: Option<&(String, String)>, body: String) -> RecordedRequest {
    if let Some((version, betas)) = said {
        return RecordedRequest::sent(version, betas, body.as_bytes());
    }
    if door == Api::Messages {
        return RecordedRequest { version: NATIVE_VERSION.to_owned(), betas: Vec::new(), body };
    }
    let value = serde_json::from_str(&body).unwrap_or_default();
    let (version, betas) = translate::head_of(&value);
    let betas = betas.into_iter().map(str::to_owned).collect();
    RecordedRequest { version: version.as_str().to_owned(), betas, body }
}

fn response(exchange: &ExchangeRow) -> Result<Response, &'static str> {
    let ExchangeRow { outcome, status, error_kind, error, recording, .. } = exchange;
    let response = match (outcome, recording, status) {
        (Outcome::Stopped | Outcome::Lost | Outcome::Cut, ..) => {
            return Err("its answer is not whole");
        }
        (Outcome::Complete, None, _) => return Err("its bodies were not kept"),
        (Outcome::Complete | Outcome::Failed, Some(recording), Some(status)) => {
            let response = Response::of(recording, *status);
            if !response.is_complete() {
                return Err("its answer is not whole");
            }
            response
        }
        (Outcome::Failed, None, Some(status)) => {
            let kind = error_kind.as_deref().unwrap_or("api_error");
            Response::error(*status, kind, words(error.as_deref().unwrap_or_default()))
        }
        _ => return Err("upstream did not answer"),
    };
    let request_id = exchange.upstream_request.clone().map(|id| ("request-id".to_owned(), id));
    Ok(Response { headers: request_id.into_iter().collect(), ..response })
}

/// Anthropic's own words in the ledger's text of a refusal.
fn words(error: &str) -> &str {
    let rest = error.strip_prefix(REFUSED).and_then(|rest| rest.split_once(": "));
    rest.map_or(error, |(_, words)| words)
}

fn day(at: UnixMillis) -> String {
    let moment = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    moment.strftime("%Y-%m-%d").to_string()
}
