//! Reports: computed from the ledger or from a request, rendered as a table, JSON, CSV or Markdown.

mod budgets;
mod columns;
pub mod doctor;
mod explain;
mod listing;
mod numbers;
pub mod prices;
mod prune;
mod sessions;
pub mod stats;
mod verify;
mod why;

pub use budgets::{BudgetList, books};
pub use columns::columns;
pub use explain::{Estimate, Explanation};
pub use listing::Listing;
pub use numbers::counted;
pub use prices::PriceList;
pub use prune::PruneReport;
pub use sessions::{Branch, Heading, Session, Sessions, Turn, title};
pub use stats::Stats;
pub use verify::{Verification, VerifyOutcome, VerifyReport};
pub use why::{NoWhy, Why};
