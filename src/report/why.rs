//! Why the ledger did not answer: what was asked under a key, what came of it, and which earlier request was nearest.

use std::fmt;

use serde::Serialize;

use crate::{
    domain::{
        cache::KeyPrefix,
        diff::{Diff, Fingerprint, diff},
        exchange::{ExchangeId, UnixMillis},
    },
    store::{self, ExchangeSummary, Reader},
};

/// So many keys are named where several begin alike.
const MOST_KEYS: u32 = 5;
/// So many exchanges under one key are told, and the first of all.
const MOST_EXCHANGES: u32 = 20;
/// So many earlier requests are compared.
const MOST_CANDIDATES: u32 = 300;
/// So many differences are told.
const MOST_DIFFERENCES: usize = 5;

/// The report of `reprise explain --key`.
#[derive(Debug, Serialize)]
pub struct Why {
    /// The whole key.
    pub key: String,
    /// Among whom its answers are shared, as the ledger writes it.
    pub scope: String,
    /// What was asked of Claude under it, the newest first.
    pub exchanges: Vec<Attempt>,
    /// The nearest request before the first of them, under another key.
    pub nearest: Option<Nearest>,
    /// Whether what was asked was kept, so that it can be compared.
    pub kept: bool,
}

/// An exchange under the key.
#[derive(Debug, Serialize)]
pub struct Attempt {
    /// Which one.
    pub exchange: ExchangeId,
    /// When it began, in unix milliseconds.
    pub at: UnixMillis,
    /// How it ended.
    pub outcome: String,
    /// Anthropic's word for why.
    pub stop_reason: Option<String>,
    /// Whether it answers repeats.
    pub servable: bool,
}

/// The request that would have been a hit, had it been the same.
#[derive(Debug, Serialize)]
pub struct Nearest {
    /// Its key.
    pub key: String,
    /// Among whom its answer is shared.
    pub scope: String,
    /// How it ended.
    #[serde(flatten)]
    pub attempt: Attempt,
    /// From 0 to 1.
    pub likeness: f64,
    /// Where they differ: the earlier one is left.
    pub diff: Diff,
}

/// Why there is nothing to explain.
#[derive(Debug, thiserror::Error)]
pub enum NoWhy {
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

impl Why {
    /// Looks into the ledger.
    pub async fn of(ledger: &Reader, prefix: &KeyPrefix) -> Result<Self, NoWhy> {
        let digits = || prefix.as_str().to_owned();
        let keys = ledger.keys(prefix, MOST_KEYS).await?;
        let key = match &*keys {
            [] => return Err(NoWhy::Unknown(digits())),
            [key] => key,
            several => {
                let keys: Vec<_> = several.iter().map(ToString::to_string).collect();
                return Err(NoWhy::Ambiguous(digits(), keys.join(", ")));
            }
        };
        let exchanges = ledger.with_key(key, MOST_EXCHANGES).await?;
        let Some(first) = exchanges.last() else { return Err(NoWhy::Unknown(digits())) };
        let request = ledger.asked_for(first).await?;
        let nearest = match &request {
            Some(request) => nearest(ledger, first, request).await?,
            None => None,
        };
        Ok(Self {
            key: first.key.to_string(),
            scope: first.scope.clone(),
            exchanges: exchanges.iter().map(Attempt::from).collect(),
            nearest,
            kept: request.is_some(),
        })
    }
}

async fn nearest(
    ledger: &Reader,
    exchange: &ExchangeSummary,
    request: &serde_json::Value,
) -> Result<Option<Nearest>, store::Error> {
    let fingerprint = Fingerprint::of(request);
    let mut best: Option<(f64, ExchangeSummary, serde_json::Value)> = None;
    for candidate in ledger.before(exchange, MOST_CANDIDATES).await? {
        let Some(asked) = ledger.asked_for(&candidate).await? else { continue };
        let likeness = fingerprint.likeness(&Fingerprint::of(&asked));
        // Of two that are alike, the one that could have been served.
        let is_own = |past: &ExchangeSummary| past.scope == exchange.scope;
        let is_nearer = best
            .as_ref()
            .is_none_or(|(most, held, _)| (likeness, is_own(&candidate)) > (*most, is_own(held)));
        if is_nearer {
            best = Some((likeness, candidate, asked));
        }
    }
    Ok(best.map(|(likeness, past, asked)| Nearest {
        key: past.key.to_string(),
        scope: past.scope.clone(),
        attempt: Attempt::from(&past),
        likeness,
        diff: diff(&asked, request, MOST_DIFFERENCES),
    }))
}

/// In UTC, to the second: the same wherever it is read.
fn time(at: UnixMillis) -> String {
    let moment = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    moment.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

impl From<&ExchangeSummary> for Attempt {
    fn from(past: &ExchangeSummary) -> Self {
        Self {
            exchange: past.id,
            at: past.opened_at,
            outcome: past.outcome.clone(),
            stop_reason: past.stop_reason.clone(),
            servable: past.servable,
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { exchange: _, at, outcome, stop_reason, servable } = self;
        write!(f, "{}, {outcome}", time(*at))?;
        if let Some(stop_reason) = stop_reason {
            write!(f, " ({stop_reason})")?;
        }
        f.write_str(if *servable { ": answers repeats" } else { ": never served again" })
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, scope, exchanges, nearest, kept } = self;
        writeln!(f, "key      {key}")?;
        writeln!(f, "scope    {scope}")?;
        for (at, exchange) in exchanges.iter().enumerate() {
            writeln!(f, "{:8} {exchange}", if at == 0 { "asked" } else { "" })?;
        }
        let Some(Nearest { key, scope: theirs, attempt, likeness, diff }) = nearest else {
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
