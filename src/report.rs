//! Reports: computed from the ledger, rendered as a table or as JSON.

mod stats;

pub use stats::Stats;
