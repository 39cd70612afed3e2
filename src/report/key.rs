//! The report of `reprise explain --key`: the exchanges under a key, and the nearest earlier request.

use std::fmt;

use serde::Serialize;

use super::moment;
use crate::{
    domain::{
        cache::{KeyPrefix, Sharing},
        diff::{Diff, Fingerprint, diff},
        exchange::{ExchangeId, UnixMillis},
    },
    store::{self, ExchangeSummary, Reader},
};

/// Maximum number of keys in the error for an ambiguous prefix.
const MOST_KEYS: u32 = 5;
/// Maximum number of exchanges listed, besides the first.
const MOST_EXCHANGES: u32 = 20;
/// Maximum number of earlier requests compared.
const MOST_CANDIDATES: u32 = 300;
/// Maximum number of differences listed.
const MOST_DIFFERENCES: usize = 5;

/// The report of `reprise explain --key`.
#[derive(Debug, Serialize)]
pub struct KeyReport {
    /// The full key.
    pub key: String,
    /// The scope, as stored in the ledger.
    pub scope: String,
    /// The exchanges under the key, the newest first.
    pub exchanges: Vec<KeyExchange>,
    /// The operator's word on who shares answers, which tells who gets which of several.
    #[serde(skip)]
    sharing: Sharing,
    /// The nearest request before the first of them, under another key.
    pub nearest: Option<NearestRequest>,
    /// True if the request was kept and can be compared.
    pub kept: bool,
}

/// An exchange under the key.
#[derive(Debug, Serialize)]
pub struct KeyExchange {
    /// Its id.
    pub exchange: ExchangeId,
    /// The start, in unix milliseconds.
    #[serde(serialize_with = "moment::serialize")]
    pub at: UnixMillis,
    /// The outcome.
    pub outcome: String,
    /// Anthropic's stop reason.
    pub stop_reason: Option<String>,
    /// True if it answers repeats.
    pub servable: bool,
}

/// The earlier request that is most similar.
#[derive(Debug, Serialize)]
pub struct NearestRequest {
    /// Its key.
    pub key: String,
    /// Its scope.
    pub scope: String,
    /// The outcome.
    #[serde(flatten)]
    pub attempt: KeyExchange,
    /// From 0 to 1.
    pub likeness: f64,
    /// The differences; the earlier request is on the left.
    pub diff: Diff,
}

/// The reason why there is nothing to explain.
#[derive(Debug, thiserror::Error)]
pub enum KeyReportError {
    /// Nothing was asked under it.
    #[error(
        "nothing was asked of Claude under a key that begins with {0}, or nothing of it was kept; Cache-Status names the \
         key of each answer, and --database-url the ledger to look into"
    )]
    Unknown(String),
    /// It is the beginning of several.
    #[error("several keys begin with {0}: {1}")]
    Ambiguous(String, String),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] store::Error),
}

impl KeyReport {
    /// Reads the report from the ledger.
    pub async fn of(
        ledger: &Reader,
        prefix: &KeyPrefix,
        sharing: Sharing,
    ) -> Result<Self, KeyReportError> {
        let digits = || prefix.as_str().to_owned();
        let keys = ledger.keys(prefix, MOST_KEYS).await?;
        let key = match &*keys {
            [] => return Err(KeyReportError::Unknown(digits())),
            [key] => key,
            several => {
                let keys: Vec<_> = several.iter().map(ToString::to_string).collect();
                return Err(KeyReportError::Ambiguous(digits(), keys.join(", ")));
            }
        };
        let exchanges = ledger.with_key(key, MOST_EXCHANGES).await?;
        let Some(first) = exchanges.last() else { return Err(KeyReportError::Unknown(digits())) };
        let request = ledger.asked_for(first).await?;
        let nearest = match &request {
            Some(request) => nearest(ledger, first, request).await?,
            None => None,
        };
        Ok(Self {
            key: first.key.to_string(),
            scope: first.scope.clone(),
            exchanges: exchanges.iter().map(KeyExchange::from).collect(),
            sharing,
            nearest,
            kept: request.is_some(),
        })
    }
}

async fn nearest(
    ledger: &Reader,
    exchange: &ExchangeSummary,
    request: &serde_json::Value,
) -> Result<Option<NearestRequest>, store::Error> {
    let fingerprint = Fingerprint::of(request);
    let mut best: Option<(f64, ExchangeSummary, serde_json::Value)> = None;
    for candidate in ledger.before(exchange, MOST_CANDIDATES).await? {
        let Some(asked) = ledger.asked_for(&candidate).await? else { continue };
        let likeness = fingerprint.likeness(&Fingerprint::of(&asked));
        // Of two with the same similarity, the one in the same scope.
        let is_own = |summary: &ExchangeSummary| summary.scope == exchange.scope;
        let is_nearer = best
            .as_ref()
            .is_none_or(|(most, held, _)| (likeness, is_own(&candidate)) > (*most, is_own(held)));
        if is_nearer {
            best = Some((likeness, candidate, asked));
        }
    }
    Ok(best.map(|(likeness, summary, asked)| NearestRequest {
        key: summary.key.to_string(),
        scope: summary.scope.clone(),
        attempt: KeyExchange::from(&summary),
        likeness,
        diff: diff(&asked, request, MOST_DIFFERENCES),
    }))
}

/// Formats a time in UTC, to the second.
fn time(at: UnixMillis) -> String {
    let moment = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    moment.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

impl From<&ExchangeSummary> for KeyExchange {
    fn from(summary: &ExchangeSummary) -> Self {
        Self {
            exchange: summary.id,
            at: summary.opened_at,
            outcome: summary.outcome.clone(),
            stop_reason: summary.stop_reason.clone(),
            servable: summary.servable,
        }
    }
}

impl fmt::Display for KeyExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { exchange: _, at, outcome, stop_reason, servable } = self;
        write!(f, "{}, {outcome}", time(*at))?;
        if let Some(stop_reason) = stop_reason {
            write!(f, " ({stop_reason})")?;
        }
        f.write_str(if *servable { ": answers repeats" } else { ": never served again" })
    }
}

impl fmt::Display for KeyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, scope, exchanges, sharing, nearest, kept } = self;
        writeln!(f, "key      {key}")?;
        writeln!(f, "scope    {scope}")?;
        for (at, exchange) in exchanges.iter().enumerate() {
            writeln!(f, "{:8} {exchange}", if at == 0 { "asked" } else { "" })?;
        }
        if exchanges.iter().filter(|exchange| exchange.servable).count() > 1 {
            let who = match sharing {
                Sharing::User => "a repeat gets the newest answer",
                Sharing::Shared => {
                    "a repeat gets the newest answer that the same user asked for, else the oldest"
                }
            };
            writeln!(f, "repeats  {who}")?;
        }
        let Some(NearestRequest { key, scope: theirs, attempt, likeness, diff }) = nearest else {
            return match kept {
                true => writeln!(f, "nearest  nothing was asked before it"),
                false => writeln!(f, "nearest  not known: nothing was kept of what was asked"),
            };
        };
        writeln!(f, "\nnearest  {attempt}")?;
        writeln!(f, "         key {key}, {:.0} % alike", (likeness * 100.0).floor())?;
        if theirs != scope {
            writeln!(f, "differs  in the scope: it was {theirs}")?;
        }
        for (at, difference) in diff.differences.iter().enumerate() {
            let heading = if at == 0 && theirs == scope { "differs" } else { "" };
            writeln!(f, "{heading:8} {difference}")?;
        }
        if diff.more > 0 {
            writeln!(f, "         and in {} more places", diff.more)?;
        }
        if diff.is_empty() && theirs == scope {
            writeln!(
                f,
                "differs  not in the request: in anthropic-version, anthropic-beta, the address of upstream, or the \
                 version of Reprise"
            )?;
        }
        Ok(())
    }
}
