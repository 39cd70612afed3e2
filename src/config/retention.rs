//! The settings of retention: limits on age and size of the ledger.

use std::time::Duration;

use clap::Args;

use super::parsers::{age, size_with_unit};
use crate::domain::budget::{Budgets, Period};

/// The longest month, and the hour that a change of clocks may add.
const MONTH: Duration = Duration::from_hours(31 * 24 + 1);
const WEEK: Duration = Duration::from_hours(7 * 24 + 1);
const DAY: Duration = Duration::from_hours(25);

/// Limits on age and size of the ledger; `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Args)]
pub struct RetentionSettings {
    /// Delete bodies of requests and answers older than this, as 90d; costs stay; by default never
    #[arg(id = "keep_bodies", long = "keep-bodies", value_name = "TIME", value_parser = age)]
    pub bodies: Option<Duration>,
    /// Delete everything older than this, costs included; by default never
    #[arg(id = "keep_totals", long = "keep-totals", value_name = "TIME", value_parser = age)]
    pub totals: Option<Duration>,
    /// Delete the oldest bodies while the ledger is larger than this, as 2GiB; by default no limit
    #[arg(id = "max_size", long = "max-size", value_name = "SIZE", value_parser = size_with_unit)]
    pub bytes: Option<u64>,
}

impl RetentionSettings {
    /// False if totals would be deleted before a budget has counted them.
    pub(super) fn covers(&self, budgets: &Budgets) -> bool {
        let period = |per: Period| match per {
            Period::Day => DAY,
            Period::Week(_) => WEEK,
            Period::Month(_) => MONTH,
        };
        let longest = budgets.list.iter().map(|budget| period(budget.per)).max();
        self.totals.is_none_or(|totals| totals >= longest.unwrap_or_default())
    }
}
