//! A ledger that is written as the server writes it, from events.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use reprise::{
    domain::{
        cache::CacheKey,
        catalog::day_of,
        chain::Hash,
        exchange::{Api, CallId, Cost, ExchangeId, Micros, NanoDollars, OwnerId, UnixMillis},
    },
    store::{CallRecord, Durable, Ledger, Opening, Options, Sealing},
};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::traffic::Event;

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
            ..Options::new(format!("sqlite://{}", folder.path().join("ledger.db").display()))
        };
        let owner = OwnerId::new(Uuid::from_u128(1));
        let ledger = Ledger::open(&options, owner, UnixMillis(0), &TaskTracker::new()).await;
        Self { folder, ledger: ledger.unwrap(), calls: 0 }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("ledger.db")
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite://{}", self.path().display())
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
    let key = CacheKey::from_bytes(*Hash::of("test", &[&n.to_be_bytes()]).as_bytes());
    let (id, model) = (CallId::new(Uuid::from_u128(n)), event.model.to_owned());
    let call = CallRecord {
        stream: true,
        user: event.user.clone(),
        chat: event.chat.clone(),
        task: event.task.map(str::to_owned),
        client: Some(event.client.to_owned()),
        ..CallRecord::new(id, event.at, event.answered_by, Api::Chat, key, model)
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
    let opening = Arc::new(Opening {
        exchange: ExchangeId::new(Uuid::from_u128(n)),
        key,
        scope: "client 0".to_owned(),
        model: event.model.to_owned(),
        opened_at: event.at,
        continues: None,
        breakpoints: None,
        headers: None,
        chain: None,
        call,
    });
    let sealing = Sealing {
        outcome: event.outcome,
        stop_reason: None,
        error_kind: event.error.map(str::to_owned),
        error: None,
        status: event.status,
        upstream_request: None,
        model_served: None,
        ended_at: UnixMillis(event.at.0 + event.total_us / 1_000),
        ttft,
        total,
        tokens: event.tokens,
        cost: event.cost,
        priced_on: Some(day_of(event.at).to_string()),
        servable: false,
        recording: None,
        refs: Vec::new(),
        call: None,
    };
    let sealing = sealing.with_call_of(&opening);
    let (opened, sealed) =
        tokio::join!(ledger.open_exchange(&opening), ledger.seal(&opening, sealing));
    assert_eq!((opened, sealed), (Durable::Committed, Durable::Committed));
}
