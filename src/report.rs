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
mod playback;
pub mod prices;
mod prune;
mod reload;
mod sessions;
pub mod stats;
pub mod table;
mod user;
mod verify;

pub use age::{AgeReport, FixtureAge};
pub use budgets::{BudgetList, spending};
pub use calls::{Bodies, CacheMiss, CallDetails, CallLine, CallPage, LiveCall, PromptCache};
pub use explain::{Estimate, Explanation};
pub use fixtures::FixtureList;
pub use key::{KeyReport, KeyReportError};
pub use money::Money;
pub use numbers::counted;
pub use playback::{Playback, PlayedBlock, PlayedKind, Step};
pub use prices::PriceList;
pub use prune::{ChatCounts, PruneReport, would_delete};
pub use reload::ReloadReport;
pub use sessions::{
    AnswerBlock, AttachmentReport, Branch, Session, SessionQuery, SessionSummary, Sessions,
    SessionsError, ToolResult, Turn, WhatIf, attachment, title,
};
pub use stats::Stats;
pub use user::{UserError, user_id, user_id_in};
pub use verify::{Verification, VerifyOutcome, VerifyReport};
