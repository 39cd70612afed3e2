//! The operator's policy for answers from the ledger.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use strum::{EnumString, VariantNames};

/// The calls that the ledger may answer, the sharing of answers, and their lifetimes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The calls that the ledger may answer.
    pub reuse: Reuse,
    /// The callers among whom answers are shared.
    pub sharing: Sharing,
    /// Lifetime of an answer.
    pub ttl: Duration,
    /// Lifetime of answers to single tasks, by Open WebUI's name; `None`: they are never served.
    pub task_ttl: BTreeMap<&'static str, Option<Duration>>,
    /// Lifetime of answers that may depend on the web; `None`: they are never served.
    pub web_ttl: Option<Duration>,
    /// Users of whose calls only totals are stored.
    pub no_store_users: BTreeSet<String>,
}

/// The calls that the ledger may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Reuse {
    /// None; answers are still recorded.
    Off,
    /// Open WebUI's background calls.
    Tasks,
    /// All.
    All,
}

/// The callers among whom answers are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Sharing {
    /// Each user separately.
    User,
    /// All holders of the same client key.
    Shared,
}

impl Policy {
    /// Lifetime of an answer to such a call; `None`: it is never served. Answers that may depend on the web have their own.
    pub fn ttl(&self, task: Option<&str>, external_data: bool) -> Option<Duration> {
        match task.and_then(|task| self.task_ttl.get(task)) {
            _ if external_data => self.web_ttl,
            Some(ttl) => *ttl,
            None => Some(self.ttl),
        }
    }

    /// Returns whether no bodies of this user's calls may be stored.
    pub fn is_no_store_user(&self, user: Option<&str>) -> bool {
        user.is_some_and(|user| self.no_store_users.contains(user))
    }

    /// Returns whether such an answer may be stored for repeats.
    pub const fn stores_answer(&self, external_data: bool) -> bool {
        !external_data || self.web_ttl.is_some()
    }
}
