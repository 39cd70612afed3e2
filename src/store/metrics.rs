//! Metrics of the ledger: counted where it is read and written, and encoded by `/metrics` beside its [`super::State`].

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

/// Upper bounds of the buckets of the time of a commit, in seconds: without waiting for the disk it takes less than a
/// millisecond, and on a slow one half a second.
const COMMIT: [f64; 13] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// Metrics of the ledger of this process.
#[derive(Debug)]
pub(super) struct LedgerMetrics {
    /// Time of a commit in seconds.
    pub(super) commit_duration: Histogram,
    /// Tries to write that failed.
    pub(super) write_errors: Counter,
    lookups: Family<LookupLabels, Counter>,
}

/// The place that settles whether a key has an answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lookup {
    /// The answers in memory.
    Memory,
    /// The filter of keys, which says that there is none.
    Filter,
    /// The database.
    Database,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LookupLabels {
    settled_by: &'static str,
}

impl Default for LedgerMetrics {
    fn default() -> Self {
        Self {
            commit_duration: Histogram::new(COMMIT),
            write_errors: Counter::default(),
            lookups: Family::default(),
        }
    }
}

impl LedgerMetrics {
    /// Counts a search for an answer.
    pub(super) fn count(&self, lookup: Lookup) {
        let settled_by = match lookup {
            Lookup::Memory => "memory",
            Lookup::Filter => "filter",
            Lookup::Database => "database",
        };
        self.lookups.get_or_create(&LookupLabels { settled_by }).inc();
    }

    /// Adds the metrics to a registry, which shows what is counted from then on, too.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "ledger_commit_duration_seconds",
            "Time of a commit of the ledger",
            self.commit_duration.clone(),
        );
        registry.register(
            "ledger_write_errors",
            "Tries to write to the ledger that failed; rows stay queued",
            self.write_errors.clone(),
        );
        registry.register(
            "ledger_lookups",
            "Searches for an answer in the ledger, by what settled them: the answers in memory, the filter of keys, or the \
             database",
            self.lookups.clone(),
        );
    }
}
