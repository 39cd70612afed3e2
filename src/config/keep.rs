//! The settings that say how long the ledger keeps what.

use std::time::Duration;

use super::{
    Error,
    layers::{Layers, size},
};
use crate::domain::budget::{Budgets, Period};

/// The longest month, and the hour that a change of clocks may add.
const MONTH: Duration = Duration::from_hours(31 * 24 + 1);
const DAY: Duration = Duration::from_hours(25);

/// How long what is kept; `None`: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    /// What was said.
    pub bodies: Option<Duration>,
    /// What it cost.
    pub totals: Option<Duration>,
    /// The oldest that was said goes when the ledger is larger, in bytes.
    pub bytes: Option<u64>,
}

/// What a budget counts must be there when it is counted.
pub(super) fn keep(layers: &Layers, budgets: &Budgets) -> Result<Keep, Error> {
    let totals = layers.time("keep_totals")?;
    let lasts = |budget: &Period| if *budget == Period::Month { MONTH } else { DAY };
    let longest = budgets.list.iter().map(|budget| lasts(&budget.per)).max().unwrap_or_default();
    let is_short = totals.is_some_and(|totals| totals < longest);
    if is_short {
        layers.read_as::<()>(
            "keep_totals",
            "as long as a budget lasts, and a little more",
            |_| None,
        )?;
    }
    Ok(Keep {
        bodies: layers.time("keep_bodies")?,
        totals,
        bytes: layers
            .read_as("max_size", "a size such as 2GiB", size)?
            .and_then(|bytes| u64::try_from(bytes).ok()),
    })
}
