//! What the operator lets the ledger answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use strum::{EnumString, VariantNames};

/// What may be answered from the ledger, among whom, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Which calls.
    pub reuse: Reuse,
    /// Among whom answers are shared.
    pub sharing: Sharing,
    /// How long an answer may be served.
    pub ttl: Duration,
    /// The same for single tasks, by Open WebUI's word; `None`: never.
    pub task_ttl: BTreeMap<&'static str, Option<Duration>>,
    /// The same for answers that may rest on the web; `None`: never.
    pub web_ttl: Option<Duration>,
    /// Users of whose calls nothing is kept but totals.
    pub no_store_users: BTreeSet<String>,
}

/// Which calls may be answered from the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Reuse {
    /// None. Answers are recorded all the same.
    Off,
    /// Open WebUI's background calls.
    Tasks,
    /// All.
    All,
}

/// Among whom answers are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Sharing {
    /// Each user has its own.
    User,
    /// All who show the same client key.
    Shared,
}

impl Policy {
    /// How long an answer to such a call may be served; `None`: never. What may rest on the web has a time of its own.
    pub fn ttl(&self, task: Option<&str>, reaches_out: bool) -> Option<Duration> {
        match task.and_then(|task| self.task_ttl.get(task)) {
            _ if reaches_out => self.web_ttl,
            Some(ttl) => *ttl,
            None => Some(self.ttl),
        }
    }

    /// Whether nothing that this user says may be kept.
    pub fn forgets(&self, user: Option<&str>) -> bool {
        user.is_some_and(|user| self.no_store_users.contains(user))
    }

    /// Whether such an answer may be kept for repeats at all.
    pub const fn keeps(&self, reaches_out: bool) -> bool {
        !reaches_out || self.web_ttl.is_some()
    }
}
