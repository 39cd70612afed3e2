//! A ledger with known books: each line is one call, written as the server writes it.

use std::{sync::Arc, time::Duration};

use reprise::{
    domain::exchange::{AnsweredBy, Cost, Micros, NanoDollars, Outcome, Tokens, UnixMillis},
    store::{CallRecord, Durable, Ledger, Options, Sealing},
};
use tokio_util::task::TaskTracker;

use crate::support::rows;

/// The twentieth of October 2026.
const NOW: UnixMillis = UnixMillis(1_792_454_400_000);
const PATIENCE: Duration = Duration::from_secs(20);

/// A ledger that this process writes to.
pub(crate) struct Books(Ledger);

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    model: &'static str,
    tokens: Tokens,
    outcome: Outcome,
    status: u16,
    paid: Paid,
}

#[derive(Debug, Clone, Copy)]
enum Paid {
    Now(Cost),
    Before(NanoDollars),
}

/// A call that Claude answered.
pub(crate) fn paid(model: &'static str) -> Line {
    let tokens = Tokens { input: 1, output: 1, ..Tokens::default() };
    let paid = Paid::Now(Cost::Unpriced);
    Line { model, tokens, outcome: Outcome::Complete, status: 200, paid }
}

/// A call that the ledger answered, and what it would have cost.
pub(crate) fn hit(model: &'static str, saved: i64) -> Line {
    Line { paid: Paid::Before(NanoDollars(saved)), ..paid(model) }
}

impl Line {
    pub(crate) fn tokens(mut self, prompt: u64, output: u64) -> Self {
        // A part of the prompt was in Anthropic's cache.
        let cache_read = prompt / 3;
        self.tokens =
            Tokens { input: prompt - cache_read, cache_read, output, ..Tokens::default() };
        self
    }

    pub(crate) fn cost(mut self, cost: Cost) -> Self {
        self.paid = Paid::Now(cost);
        self
    }

    pub(crate) fn ended(mut self, outcome: Outcome, status: u16) -> Self {
        (self.outcome, self.status) = (outcome, status);
        self
    }
}

impl Books {
    pub(crate) async fn open(url: &str) -> Self {
        let options = Options { wait: PATIENCE, ..Options::new(url) };
        let owner = rows::owner(1);
        Self(Ledger::open(&options, owner, NOW, &TaskTracker::new()).await.expect("a ledger"))
    }

    pub(crate) async fn write(&self, lines: &[Line]) {
        for (n, line) in (1..).zip(lines) {
            match line.paid {
                Paid::Now(cost) => self.ask(n, line, cost).await,
                Paid::Before(saved) => self.0.record(CallRecord {
                    status: Some(line.status),
                    outcome: line.outcome,
                    ttft: Some(Micros(100)),
                    total: Some(Micros(200)),
                    tokens: line.tokens,
                    cost: Cost::Exact(NanoDollars(0)),
                    saved: Cost::Exact(saved),
                    ..rows::call(n, NOW, AnsweredBy::Hit, line.model)
                }),
            }
        }
    }

    async fn ask(&self, n: u128, line: &Line, cost: Cost) {
        let call = rows::call(n, NOW, AnsweredBy::Miss, line.model);
        let opening = Arc::new(rows::opening(n, call));
        let sealing = Sealing {
            outcome: line.outcome,
            status: Some(line.status),
            priced_on: Some("2026-10-20".to_owned()),
            ..rows::sealing(NOW, line.tokens, cost)
        };
        let sealing = sealing.with_call_of(&opening);
        assert_eq!(self.0.open_exchange(&opening).await, Durable::Committed);
        assert_eq!(self.0.commit_seal(&opening, sealing).await, Durable::Committed);
    }

    /// Writes what is queued and lets go of the lock.
    pub(crate) async fn close(self) {
        self.0.close(PATIENCE).await;
    }
}
