//! Reports: computed from the ledger or from a request, rendered as a table, JSON, CSV or Markdown.

mod explain;
mod numbers;
pub mod prices;
pub mod stats;
mod why;

pub use explain::{Asked, Caller, Estimate, Explanation, Refused};
pub use numbers::counted;
pub use prices::PriceList;
pub use stats::Stats;
pub use why::{NoWhy, Why};
