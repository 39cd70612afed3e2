//! Reports: computed from the ledger or from a request, rendered as a table, JSON, CSV or Markdown.

mod age;
mod budgets;
mod calls;
pub mod doctor;
pub mod escape;
mod explain;
mod fixtures;
mod key;
pub mod ledger;
pub mod lines;
mod moment;
mod money;
mod numbers;
pub mod prices;
mod prune;
mod reload;
mod sessions;
pub mod stats;
pub mod table;
mod verify;

pub use age::{AgeReport, FixtureAge};
pub use budgets::{BudgetList, spending};
pub use calls::{Bodies, CallDetails, CallLine};
pub use explain::{Estimate, Explanation};
pub use fixtures::FixtureList;
pub use key::{KeyReport, KeyReportError};
pub use money::Money;
pub use numbers::counted;
pub use prices::PriceList;
pub use prune::{ChatCounts, PruneReport, would_delete};
pub use reload::ReloadReport;
pub use sessions::{
    Branch, Session, SessionQuery, SessionSummary, Sessions, SessionsError, ToolResult, Turn, title,
};
pub use stats::Stats;
pub use verify::{Verification, VerifyOutcome, VerifyReport};
