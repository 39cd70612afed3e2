//! The lines of the journal, as they are written and as the next start reads them: JSON, a tab, and a checksum. Versions
//! before wrote no checksum.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read},
    path::Path,
};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{
    MOST_FILE,
    call::{JournaledCall, JournaledOpening},
    sealing::JournaledSealing,
};
use crate::{
    domain::{
        chain::{Chain, Hash},
        exchange::{AnsweredBy, CallId, Cost, ExchangeId, NanoDollars, Tokens},
        price::Pricing,
    },
    store::{
        batch::SealOp,
        record::{CallRecord, Opening},
        sqlite,
    },
};

/// Limit of what is read at the start.
const MOST_READ: u64 = 2 * MOST_FILE;
/// Size that most lines do not exceed.
const USUAL: usize = 2 << 10;
/// Length of a checksum, in hexadecimal digits.
const CHECKSUM: usize = 8;

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub(super) enum Line<'a> {
    /// A call. While it reads along with a running exchange, its end is that of the exchange.
    Call(JournaledCall<'a>),
    /// The opening of an exchange, which has no row yet.
    Opening(JournaledOpening<'a>),
    /// What a running exchange has used so far.
    #[serde(alias = "tries")]
    Progress {
        exchange: ExchangeId,
        #[serde(flatten)]
        progress: Progress,
    },
    /// The end of an exchange, with its call.
    Sealing(JournaledSealing<'a>),
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
    Sealing(ExchangeId),
}

impl<'a> Line<'a> {
    /// The line of a call.
    pub(super) fn call(call: &'a CallRecord) -> Self {
        let client = call.client_chain.as_deref();
        let hashes = (client.map(|chain| chain.frame.hash), client.and_then(Chain::head));
        Self::Call(JournaledCall::of(call, hashes))
    }

    /// The line of an opening.
    pub(super) fn opening(opening: &'a Opening) -> Self {
        Self::Opening(JournaledOpening::of(opening))
    }

    pub(super) fn subject(&self) -> Subject {
        match self {
            Self::Call(call) => Subject::Call(call.id()),
            Self::Opening(opening) => Subject::Opening(opening.exchange),
            Self::Progress { exchange, .. } => Subject::Progress(*exchange),
            Self::Sealing(sealing) => Subject::Sealing(sealing.exchange()),
        }
    }

    /// The bytes of the line.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(USUAL);
        serde_json::to_writer(&mut line, self)
            .expect("our own types have string keys and finite numbers");
        let checksum = crc32fast::hash(&line);
        line.extend_from_slice(format!("\t{checksum:0CHECKSUM$x}\n").as_bytes());
        line
    }

    /// Reads a line without its end. `None`: it is damaged.
    fn decode(line: &[u8]) -> Option<Line<'static>> {
        let json = match line.iter().rposition(|byte| *byte == b'\t') {
            // JSON has no tab where there is no white space.
            Some(tab) => {
                let checksum = str::from_utf8(&line[tab + 1..]).ok()?;
                let is_whole = checksum.len() == CHECKSUM
                    && u32::from_str_radix(checksum, 16) == Ok(crc32fast::hash(&line[..tab]));
                is_whole.then_some(&line[..tab])?
            }
            None => line,
        };
        serde_json::from_slice(json).ok()
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

/// Something in a journal that has ended, and will be a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Ended {
    /// An exchange, with its call.
    Exchange(ExchangeId),
    /// A call that asked nobody.
    Call(CallId),
    /// A call that joined an exchange, once that has ended.
    With(ExchangeId, CallId),
}

/// What a dead process left in its journal.
#[derive(Debug, Default)]
pub(in crate::store) struct Left {
    /// Calls, with the frame and head of the client's request.
    pub(super) calls: Vec<(CallRecord, Option<Hash>, Option<Hash>)>,
    /// Ends of exchanges, with their calls.
    pub(in crate::store) sealings: Vec<SealOp>,
    openings: Vec<JournaledOpening<'static>>,
    progress: HashMap<ExchangeId, Progress>,
}

impl Left {
    /// Reads the journal at `path`. Lines that cannot be read, such as one that a kill cut, are left out.
    pub(in crate::store) fn read(path: &Path) -> io::Result<Self> {
        let (left, unread) = Self::scan(path)?;
        if unread > 0 {
            warn!(lines = unread, path = %path.display(), "the ledger's journal has lines that cannot be read");
        }
        Ok(left)
    }

    /// Reads the journal at `path` while its process may be writing to it.
    pub(in crate::store) fn peek(path: &Path) -> io::Result<Self> {
        Ok(Self::scan(path)?.0)
    }

    /// Reads the journal at `path`, and counts the lines that cannot be read.
    fn scan(path: &Path) -> io::Result<(Self, usize)> {
        let (mut left, mut unread) = (Self::default(), 0);
        if fs::symlink_metadata(path).is_err() {
            return Ok((left, unread));
        }
        let mut bytes = Vec::new();
        sqlite::private_file(path)?.take(MOST_READ).read_to_end(&mut bytes)?;
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match Line::decode(line) {
                Some(Line::Call(call)) => left.calls.push(call.call()),
                Some(Line::Opening(opening)) => left.openings.push(opening),
                // The later line knows more.
                Some(Line::Progress { exchange, progress }) => {
                    left.progress.insert(exchange, progress);
                }
                Some(Line::Sealing(sealing)) => left.sealings.push(sealing.seal()),
                None => unread += 1,
            }
        }
        Ok((left, unread))
    }

    /// Adds what another process has left.
    pub(in crate::store) fn add(&mut self, other: Self) {
        let Self { calls, sealings, openings, progress } = other;
        self.calls.extend(calls);
        self.sealings.extend(sealings);
        self.openings.extend(openings);
        self.progress.extend(progress);
    }

    /// Tells whether there is nothing to bring in order.
    pub(in crate::store) fn is_empty(&self) -> bool {
        self.calls.is_empty()
            && self.sealings.is_empty()
            && self.openings.is_empty()
            && self.progress.is_empty()
    }

    /// What has ended.
    pub(in crate::store) fn ended(&self) -> impl Iterator<Item = Ended> {
        let sealed = self.sealings.iter().map(|seal| Ended::Exchange(seal.opening.exchange));
        sealed.chain(self.calls.iter().map(|(call, ..)| match (call.answered_by, call.exchange) {
            (AnsweredBy::Collapsed, Some(exchange)) => Ended::With(exchange, call.id),
            _ => Ended::Call(call.id),
        }))
    }

    /// Exchanges that had begun. Some may have ended since, or have a row that tells more.
    pub(in crate::store) fn take_openings(&mut self) -> Vec<JournaledOpening<'static>> {
        std::mem::take(&mut self.openings)
    }

    /// What is known of a lost exchange.
    pub(in crate::store) fn progress(&self, exchange: ExchangeId) -> Progress {
        self.progress.get(&exchange).cloned().unwrap_or_else(|| Progress::of(1))
    }
}
