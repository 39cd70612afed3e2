//! Reports: computed from the ledger or from a request, rendered as a table or as JSON.

mod explain;
mod stats;
mod why;

pub use explain::{Asked, Caller, Estimate, Explanation, Refused};
pub use stats::Stats;
pub use why::{NoWhy, Why};
