//! A ledger that is written as the server writes it, from events.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use reprise::{
    domain::{
        catalog::day_of,
        exchange::{Cost, Micros, NanoDollars, UnixMillis},
    },
    store::{CallRecord, Durable, Ledger, Options, Sealing},
};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use super::traffic::Event;
use crate::support::{backend, rows};

const PATIENCE: Duration = Duration::from_mins(1);

/// A ledger in a folder of its own, and how many calls it was given.
pub(crate) struct Books {
    folder: TempDir,
    pub(crate) ledger: Ledger,
    calls: u128,
}

impl Books {
    pub(crate) async fn open() -> Self {
        let folder = TempDir::new().unwrap();
        let options = Options {
            wait: PATIENCE,
            ..Options::new(backend::url(&folder.path().join("ledger.db")))
        };
        let owner = rows::owner(1);
        let ledger = Ledger::open(&options, owner, UnixMillis(0), &TaskTracker::new()).await;
        Self { folder, ledger: ledger.unwrap(), calls: 0 }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("ledger.db")
    }

    pub(crate) fn url(&self) -> String {
        backend::url(&self.path())
    }

    /// Closes the ledger, whose file stays in the folder.
    pub(crate) async fn close(self) -> TempDir {
        self.ledger.close(PATIENCE).await;
        self.folder
    }

    /// Writes the calls, in this order, and waits until they are committed.
    pub(crate) async fn write(&mut self, events: &[Event]) {
        let (first, ledger) = (self.calls + 1, &self.ledger);
        self.calls += events.len() as u128;
        let all = (first..).zip(events).map(|(n, event)| write(ledger, n, event));
        stream::iter(all).buffered(200).collect::<()>().await;
        let settled = async {
            while self.ledger.state().queued > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, settled).await.unwrap();
    }
}

async fn write(ledger: &Ledger, n: u128, event: &Event) {
    let (ttft, total) = (Some(Micros(event.ttft_us)), Some(Micros(event.total_us)));
    let call = CallRecord {
        user: event.user.clone(),
        chat: event.chat.clone(),
        task: event.task.map(str::to_owned),
        client: Some(event.client.to_owned()),
        ..rows::call(n, event.at, event.answered_by, event.model)
    };
    if !event.answered_by.asks() {
        return ledger.record(CallRecord {
            status: event.status,
            outcome: event.outcome,
            ttft,
            total,
            tokens: event.tokens,
            cost: event.cost,
            saved: match event.saved {
                0 => Cost::Unpriced,
                saved => Cost::Exact(NanoDollars(saved)),
            },
            ..call
        });
    }
    let opening = Arc::new(rows::opening(n, call));
    let ended_at = UnixMillis(event.at.0 + event.total_us / 1_000);
    let sealing = Sealing {
        outcome: event.outcome,
        error_kind: event.error.map(str::to_owned),
        status: event.status,
        ttft,
        total,
        priced_on: Some(day_of(event.at).to_string()),
        ..rows::sealing(ended_at, event.tokens, event.cost)
    };
    let sealing = sealing.with_call_of(&opening);
    let (opened, sealed) =
        tokio::join!(ledger.open_exchange(&opening), ledger.commit_seal(&opening, sealing));
    assert_eq!((opened, sealed), (Durable::Committed, Durable::Committed));
}
