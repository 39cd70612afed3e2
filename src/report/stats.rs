//! What was asked, what it cost, what was saved: by day, model, user, chat, task, and so on.

mod group;
mod layout;
mod period;
mod reprice;
mod sums;

use std::collections::BTreeMap;

use serde::Serialize;

pub use self::{
    group::By,
    period::{NoTime, Period, When},
    reprice::Repriced,
    sums::{Money, Numbers, Saved, Times},
};
use self::{group::Groups, sums::Sums};
use crate::{
    domain::catalog::Catalog,
    store::{self, Reader},
};

/// So many groups are shown in tables; the other forms have them all.
pub const TOP: usize = 200;

/// The report of `reprise stats`. Displays as a table for a terminal.
#[derive(Debug, Serialize)]
pub struct Stats {
    /// By what the calls are told apart.
    #[serde(skip)]
    by: Vec<By>,
    /// So many groups are shown in tables.
    #[serde(skip)]
    top: usize,
    /// When the calls came in, in words; `None`: at any time.
    pub period: Option<String>,
    /// What came in before this day is not counted any more, because it was pruned.
    pub pruned_before: Option<String>,
    /// Each group: in the order of time, or the dearest first.
    pub groups: Vec<Group>,
    /// All of them together.
    pub total: Numbers,
}

/// Calls of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// What they have in common; `None`: the client did not say.
    pub of: BTreeMap<&'static str, Option<String>>,
    /// The same, in the order of the question.
    #[serde(skip)]
    names: Vec<Option<String>>,
    /// What they come to.
    #[serde(flatten)]
    pub numbers: Numbers,
}

impl Stats {
    /// Shows so many groups in tables, instead of [`TOP`].
    #[must_use]
    pub fn with_top(self, top: usize) -> Self {
        Self { top, ..self }
    }

    /// Reads the calls of `period`. `catalog` says what the prompt cache saved.
    pub async fn of(
        ledger: &Reader,
        catalog: &Catalog,
        period: &Period,
        by: &[By],
    ) -> Result<Self, store::Error> {
        let mut groups = Groups::<Sums>::new(by, period.zone.clone());
        let mut total = Sums::default();
        let counted_from = ledger
            .calls(period.span.clone(), catalog, |at, key, totals| {
                total.add(key, totals);
                groups.of(at, key).add(key, totals);
            })
            .await?;
        let all = total.cost();
        let groups = groups
            .into_sorted(|sums| (sums.cost(), sums.calls))
            .into_iter()
            .map(|(names, sums)| Group { of: of(by, &names), names, numbers: sums.numbers(all) })
            .collect();
        Ok(Self {
            by: by.to_vec(),
            top: TOP,
            period: period.in_words(),
            pruned_before: period.pruned(counted_from),
            groups,
            total: total.numbers(all),
        })
    }
}

/// What a group has in common.
fn of(by: &[By], names: &[Option<String>]) -> BTreeMap<&'static str, Option<String>> {
    by.iter().map(|by| by.as_str()).zip(names.iter().cloned()).collect()
}
