//! The lines of the journal, as they are written and as the next start reads them.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read},
    path::Path,
};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::MOST_PENDING;
use crate::{
    domain::{
        cache::CacheKey,
        chain::{Chain, Hash},
        exchange::{CallId, Cost, ExchangeId, Micros, NanoDollars, Outcome, Tokens, UnixMillis},
        price::Pricing,
    },
    store::{
        record::{CallRecord, Opening},
        sqlite,
    },
};

/// Limit of what is read at the start: what two files of the largest allowed length would have.
const MOST_READ: u64 = 2 * MOST_PENDING as u64;

/// A line of the journal; `C` is a call, borrowed to be written, owned when it is read.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line<C> {
    /// A call. While it reads along with a running exchange, its end is that of the exchange.
    Call(JournaledCall<C>),
    /// The opening of an exchange, which has no row yet.
    Opening(JournaledOpening<C>),
    /// What a running exchange has used so far.
    #[serde(alias = "tries")]
    Progress {
        exchange: ExchangeId,
        #[serde(flatten)]
        progress: Progress,
    },
}

/// What is known of a running exchange, for the case that the process dies.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Progress {
    /// Number of times that it was sent.
    pub tries: u32,
    /// The model that answers.
    #[serde(default)]
    pub model: Option<String>,
    /// Tokens of all tries, as far as they are known.
    #[serde(default)]
    pub tokens: Tokens,
    /// Their cost: a lower bound.
    #[serde(default = "unknown_cost")]
    pub cost: Cost,
    /// The prices that were taken.
    #[serde(default)]
    pub pricing: Pricing,
    /// The bill, by which a corrected price applies.
    #[serde(default)]
    pub bill: Option<String>,
    /// The day of the prices.
    #[serde(default)]
    pub priced_on: Option<String>,
}

/// The subject of a line: a later line with the same one replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Call(CallId),
    Opening(ExchangeId),
    Progress(ExchangeId),
}

impl<'a> Line<&'a CallRecord> {
    /// The line of a call.
    pub(super) fn call(call: &'a CallRecord) -> Self {
        Self::Call(JournaledCall::of(call))
    }

    /// The line of an opening.
    pub(super) fn opening(opening: &'a Opening) -> Self {
        let Opening { exchange, key, scope, model, opened_at, continues, call, .. } = opening;
        Self::Opening(JournaledOpening {
            exchange: *exchange,
            opened_at: *opened_at,
            key: Hash::from_bytes(*key.as_bytes()),
            scope: scope.clone(),
            model: model.clone(),
            continues: *continues,
            call,
        })
    }
}

impl<C> Line<C> {
    pub(super) fn subject(&self) -> Subject
    where
        C: std::borrow::Borrow<CallRecord>,
    {
        match self {
            Self::Call(call) => Subject::Call(call.begun.borrow().id),
            Self::Opening(opening) => Subject::Opening(opening.exchange),
            Self::Progress { exchange, .. } => Subject::Progress(*exchange),
        }
    }
}

impl Progress {
    /// An exchange of which only the number of tries is known.
    fn of(tries: u32) -> Self {
        let cost = unknown_cost();
        let (tokens, pricing) = (Tokens::default(), Pricing::default());
        Self { tries, model: None, tokens, cost, pricing, bill: None, priced_on: None }
    }
}

const fn unknown_cost() -> Cost {
    Cost::AtLeast(NanoDollars(0))
}

/// A call with the fields that the column `running.call` does not have.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct JournaledCall<C> {
    begun: C,
    key: Hash,
    exchange: Option<ExchangeId>,
    model: String,
    status: Option<u16>,
    outcome: Outcome,
    error_kind: Option<String>,
    ttft: Option<Micros>,
    total: Option<Micros>,
    tokens: Tokens,
    cost: Cost,
    saved: Cost,
    client_frame: Option<Hash>,
    client_head: Option<Hash>,
}

/// An opening without the bodies: a request is kept once its exchange has a row.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::store) struct JournaledOpening<C> {
    pub(in crate::store) exchange: ExchangeId,
    pub(in crate::store) opened_at: UnixMillis,
    pub(in crate::store) key: Hash,
    pub(in crate::store) scope: String,
    pub(in crate::store) model: String,
    pub(in crate::store) continues: Option<ExchangeId>,
    pub(in crate::store) call: C,
}

impl<'a> JournaledCall<&'a CallRecord> {
    fn of(call: &'a CallRecord) -> Self {
        let client = call.client_chain.as_deref();
        Self {
            begun: call,
            key: Hash::from_bytes(*call.key.as_bytes()),
            exchange: call.exchange,
            model: call.model.clone(),
            status: call.status,
            outcome: call.outcome,
            error_kind: call.error_kind.clone(),
            ttft: call.ttft,
            total: call.total,
            tokens: call.tokens,
            cost: call.cost,
            saved: call.saved,
            client_frame: client.map(|chain| chain.frame.hash),
            client_head: client.and_then(Chain::head),
        }
    }
}

impl JournaledCall<CallRecord> {
    /// The call, and its client's frame and head.
    fn call(self) -> (CallRecord, Option<Hash>, Option<Hash>) {
        let call = CallRecord {
            key: CacheKey::from_bytes(*self.key.as_bytes()),
            exchange: self.exchange,
            model: self.model,
            status: self.status,
            outcome: self.outcome,
            error_kind: self.error_kind,
            ttft: self.ttft,
            total: self.total,
            tokens: self.tokens,
            cost: self.cost,
            saved: self.saved,
            ..self.begun
        };
        (call, self.client_frame, self.client_head)
    }
}

/// What a dead process left in its journal.
#[derive(Debug, Default)]
pub(in crate::store) struct Left {
    /// Calls, with the frame and head of the client's request.
    pub(super) calls: Vec<(CallRecord, Option<Hash>, Option<Hash>)>,
    openings: Vec<JournaledOpening<CallRecord>>,
    progress: HashMap<ExchangeId, Progress>,
}

impl Left {
    /// Reads the journal at `path`. Lines that cannot be read, such as one that a kill cut, are left out.
    pub(in crate::store) fn read(path: Option<&Path>) -> io::Result<Self> {
        let mut left = Self::default();
        let Some(path) = path.filter(|path| fs::symlink_metadata(path).is_ok()) else {
            return Ok(left);
        };
        let mut bytes = Vec::new();
        sqlite::private_file(path)?.take(MOST_READ).read_to_end(&mut bytes)?;
        let mut unread = 0;
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(Line::Call(call)) => left.calls.push(JournaledCall::call(call)),
                Ok(Line::Opening(opening)) => left.openings.push(opening),
                // The later line knows more.
                Ok(Line::Progress { exchange, progress }) => {
                    left.progress.insert(exchange, progress);
                }
                Err(_) => unread += 1,
            }
        }
        if unread > 0 {
            warn!(lines = unread, path = %path.display(), "the ledger's journal has lines that cannot be read");
        }
        Ok(left)
    }

    /// Tells whether there is nothing to bring in order.
    pub(in crate::store) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.openings.is_empty() && self.progress.is_empty()
    }

    /// Exchanges that had begun. Some may have ended since, or have a row that tells more.
    pub(in crate::store) fn take_openings(&mut self) -> Vec<JournaledOpening<CallRecord>> {
        std::mem::take(&mut self.openings)
    }

    /// What is known of a lost exchange.
    pub(in crate::store) fn progress(&self, exchange: ExchangeId) -> Progress {
        self.progress.get(&exchange).cloned().unwrap_or_else(|| Progress::of(1))
    }
}
