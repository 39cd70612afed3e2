//! The observer of calls: told of each call that has ended, beside its row and its log line.

use std::sync::Arc;

use parking_lot::RwLock;
use prometheus_client::registry::Registry;

use super::metrics::CallMetrics;
use crate::{domain::catalog::Catalog, store::CallRecord};

/// The observer of calls, shared by all of them.
#[derive(Debug)]
pub(super) struct CallObserver {
    metrics: CallMetrics,
    /// The models and prices as they are known when a call ends.
    catalog: Arc<RwLock<Arc<Catalog>>>,
}

impl CallObserver {
    pub(super) fn new(catalog: Arc<RwLock<Arc<Catalog>>>) -> Self {
        Self { metrics: CallMetrics::default(), catalog }
    }

    /// Notes a call that has ended.
    pub(super) fn ended(&self, call: &CallRecord) {
        let catalog = Arc::clone(&self.catalog.read());
        self.metrics.count(call, &catalog);
    }

    /// Notes a request that Reprise refused for `reason`.
    pub(super) fn refused(&self, reason: &str) {
        self.metrics.count_refusal(reason);
    }

    /// Adds the metrics of calls to a registry.
    pub(super) fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }
}
