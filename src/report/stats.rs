//! The report of `reprise stats`: calls, cost and savings by day, model, user, chat, task and so on.

mod group;
pub(super) mod layout;
mod period;
pub(super) mod reprice;
mod sums;

use std::collections::BTreeMap;

use serde::Serialize;

pub use self::{
    group::GroupBy,
    period::{InvalidPeriod, InvalidTime, Period, TimeSpec},
    reprice::{Comparison, NewPrices, NoPrice, Repriced, priced_model},
    sums::{Numbers, Saved, Times},
};
use self::{group::Groups, sums::Sums};
pub use super::money::Money;
use crate::{
    domain::{
        catalog::Catalog,
        exchange::UnixMillis,
        user_name::{UserName, UserNames},
    },
    store::{self, PricedAs, Reader},
};

/// Default number of groups in tables. CSV and JSON have all of them.
pub const TOP: usize = 200;

/// The names of a user's name and mail.
const NAMES_OF_USER: [&str; 2] = ["user_name", "user_email"];

/// The report of `reprise stats`. Displays as a table for a terminal.
#[derive(Debug, Serialize)]
pub struct Stats {
    /// The dimensions of the groups.
    #[serde(skip)]
    by: Vec<GroupBy>,
    /// Number of groups in tables.
    #[serde(skip)]
    top: usize,
    /// The period in words; `None`: no limit.
    pub period: Option<String>,
    /// The day before which calls were pruned and are not counted.
    pub pruned_before: Option<String>,
    /// True if the groups have only calls with tags.
    #[serde(skip)]
    tagged: bool,
    /// True if only calls with some tags are counted.
    #[serde(skip)]
    filtered: bool,
    /// The groups, in the order of time or by descending cost.
    pub groups: Vec<Group>,
    /// The total of all groups.
    pub total: Numbers,
    /// Calls that were priced as another model, because upstream named one without a price.
    pub priced_as: Vec<PricedAs>,
}

/// A group of calls.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// The value of each dimension, and beside a user its name and mail; `None`: not stated by the client.
    pub of: BTreeMap<String, Option<String>>,
    /// The same values for people, in the requested order.
    #[serde(skip)]
    labels: Vec<String>,
    /// The figures of the group.
    #[serde(flatten)]
    pub numbers: Numbers,
}

impl Stats {
    /// Sets the number of groups in tables; the default is [`TOP`].
    #[must_use]
    pub fn with_top(self, top: usize) -> Self {
        Self { top, ..self }
    }

    /// Reads the calls of `period` and computes the report. `catalog` prices the savings of the prompt cache.
    pub async fn of(
        ledger: &Reader,
        catalog: &Catalog,
        period: &Period,
        by: &[GroupBy],
    ) -> Result<Self, store::Error> {
        Self::of_tagged(ledger, catalog, period, by, &[]).await
    }

    /// The same of the calls that have all of `tags`. Only those with tags are read one by one.
    pub async fn of_tagged(
        ledger: &Reader,
        catalog: &Catalog,
        period: &Period,
        by: &[GroupBy],
        tags: &[String],
    ) -> Result<Self, store::Error> {
        let mut groups = Groups::<Sums>::new(by, period.zone.clone());
        let mut total = Sums::default();
        let span = || period.span.clone();
        let tagged = by.iter().any(GroupBy::is_tag);
        let counted_from = if tags.is_empty() {
            let counted_from = ledger
                .calls(span(), catalog, |at, key, totals| {
                    total.add(key, totals);
                    if !tagged {
                        groups.of(at, key).add(key, totals);
                    }
                })
                .await?;
            for (reason, count) in ledger.refusals(span()).await? {
                total.refuse(&reason, count);
            }
            counted_from
        } else {
            UnixMillis::default()
        };
        let counted_from = if tagged || !tags.is_empty() {
            ledger
                .tagged_calls(span(), tags, catalog, |at, key, totals, of| {
                    if !tags.is_empty() {
                        total.add(key, totals);
                    }
                    groups.each_of(at, key, of, |sums| sums.add(key, totals));
                })
                .await?
        } else {
            counted_from
        };
        let all = total.cost();
        let users = users(ledger, by).await?;
        let groups = groups
            .into_sorted(|sums| (sums.cost(), sums.calls))
            .into_iter()
            .map(|(names, sums)| Group {
                of: of(by, &names, &users),
                labels: labels(by, &names, &users),
                numbers: sums.numbers(all),
            })
            .collect();
        Ok(Self {
            by: by.to_vec(),
            top: TOP,
            period: period.in_words(),
            pruned_before: period.pruned(counted_from),
            tagged,
            filtered: !tags.is_empty(),
            groups,
            total: total.numbers(all),
            priced_as: ledger.priced_as(period.span.clone()).await?,
        })
    }
}

/// The names that groups by these dimensions need.
async fn users(ledger: &Reader, by: &[GroupBy]) -> Result<UserNames, store::Error> {
    if by.contains(&GroupBy::User) { ledger.user_names().await } else { Ok(UserNames::default()) }
}

/// The value of each dimension, by its name.
fn of(
    by: &[GroupBy],
    names: &[Option<String>],
    users: &UserNames,
) -> BTreeMap<String, Option<String>> {
    let mut of: BTreeMap<_, _> =
        by.iter().map(|by| by.as_str().to_owned()).zip(names.iter().cloned()).collect();
    if let Some(user) = of.get(GroupBy::User.as_str()) {
        let UserName { name, email } = users.get(user.as_deref());
        of.extend(NAMES_OF_USER.map(str::to_owned).into_iter().zip([name, email]));
    }
    of
}

/// The value of each dimension, as tables show it.
fn labels(by: &[GroupBy], names: &[Option<String>], users: &UserNames) -> Vec<String> {
    let label = |(by, name): (&GroupBy, &Option<String>)| match (by, name) {
        (_, None) => "–".to_owned(),
        (GroupBy::User, Some(id)) => users.label(id),
        (_, Some(name)) => name.clone(),
    };
    by.iter().zip(names).map(label).collect()
}
