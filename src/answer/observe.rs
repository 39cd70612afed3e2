//! The observer of calls: told of each call and exchange that has ended, beside its row and its log line. It counts them,
//! hands their spans on where traces are wanted, and tells those who watch.

use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tokio::sync::{broadcast, mpsc};
use url::Url;

use super::{metrics::CallMetrics, span::Span};
use crate::{
    domain::catalog::Catalog,
    store::{CallRecord, CallStatus, Opening, Sealing},
};

/// Number of changes that are kept for a watcher who is late. One who is later has to look at everything again.
const KEPT_CHANGES: usize = 256;

/// A change that those who watch are told of.
#[derive(Debug, Clone)]
pub enum Change {
    /// An exchange has begun.
    Began(Arc<Opening>),
    /// A call has ended.
    Ended(Arc<CallStatus>),
}

/// The observer of calls, shared by all of them.
#[derive(Debug)]
pub(super) struct CallObserver {
    metrics: CallMetrics,
    /// The models and prices as they are known when a call ends.
    catalog: Arc<RwLock<Arc<Catalog>>>,
    /// `None`: nobody wants traces.
    tracer: Option<Tracer>,
    /// Spans that the tracer had no room for.
    dropped_spans: Counter,
    /// Made when somebody watches for the first time.
    changes: OnceLock<broadcast::Sender<Change>>,
}

/// Hands spans on.
#[derive(Debug)]
struct Tracer {
    spans: mpsc::Sender<Span>,
    /// The host and the port of upstream.
    upstream: Option<(String, u16)>,
}

impl CallObserver {
    pub(super) fn new(catalog: Arc<RwLock<Arc<Catalog>>>) -> Self {
        Self {
            metrics: CallMetrics::default(),
            catalog,
            tracer: None,
            dropped_spans: Counter::default(),
            changes: OnceLock::new(),
        }
    }

    /// The same, which also hands the spans of calls to `spans`. Upstream is at `base`.
    pub(super) fn traced(self, spans: mpsc::Sender<Span>, base: &str) -> Self {
        let url = Url::parse(base).ok();
        let upstream =
            url.as_ref().and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)));
        let upstream = upstream.map(|(host, port)| (host.to_owned(), port));
        Self { tracer: Some(Tracer { spans, upstream }), ..self }
    }

    /// Changes from now on.
    pub(super) fn watch(&self) -> broadcast::Receiver<Change> {
        self.changes.get_or_init(|| broadcast::channel(KEPT_CHANGES).0).subscribe()
    }

    /// Tells those who watch of a change, if there are any.
    fn tell(&self, change: impl FnOnce() -> Change) {
        if let Some(changes) = self.changes.get()
            && changes.receiver_count() > 0
        {
            let _ = changes.send(change());
        }
    }

    fn tell_ended(&self, call: &CallRecord) {
        self.tell(|| Change::Ended(Arc::new(CallStatus::of(call))));
    }

    /// Notes an exchange that begins for a call.
    pub(super) fn began(&self, opening: &Arc<Opening>) {
        self.tell(|| Change::Began(Arc::clone(opening)));
    }

    /// Notes a call that has ended.
    pub(super) fn ended(&self, call: &CallRecord) {
        self.tell_ended(call);
        let catalog = Arc::clone(&self.catalog.read());
        self.metrics.count(call, &catalog);
        if let Some(tracer) = &self.tracer {
            self.send(tracer, Span::of_call(call));
        }
    }

    /// Notes an exchange that has ended.
    pub(super) fn sealed(&self, opening: &Opening, sealing: &Sealing) {
        if let Some(tracer) = &self.tracer {
            let span = Span::of_exchange(opening, sealing, tracer.upstream.as_ref());
            self.send(tracer, span);
        }
    }

    /// Notes a call that was refused and has a row.
    pub(super) fn recorded_refusal(&self, call: &CallRecord) {
        self.tell_ended(call);
    }

    /// Notes a request that Reprise refused for `reason`.
    pub(super) fn refused(&self, reason: &str) {
        self.metrics.count_refusal(reason);
    }

    /// Adds the metrics of calls to a registry.
    pub(super) fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
        registry.register(
            "trace_dropped_spans",
            "Spans of traces that were dropped because the queue to the collector was full",
            self.dropped_spans.clone(),
        );
    }

    /// Hands a span on. Never waits.
    fn send(&self, tracer: &Tracer, span: Span) {
        if tracer.spans.try_send(span).is_err() {
            self.dropped_spans.inc();
        }
    }
}
