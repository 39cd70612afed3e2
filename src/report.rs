//! Reports: computed from the ledger or from a request, rendered as a table or as JSON.

mod explain;
mod imported;
mod listing;
mod sessions;
mod stats;
mod why;

pub use explain::{Asked, Caller, Estimate, Explanation, Refused};
pub use imported::{Imported, Place};
pub use listing::Listing;
pub use sessions::{Branch, Heading, LeftOut, Recorded, Session, Sessions, Turn, recorded, title};
pub use stats::Stats;
pub use why::{NoWhy, Why};
