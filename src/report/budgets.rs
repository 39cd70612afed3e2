//! The report of `reprise budgets`: the spending of each budget.

use std::fmt;

use serde::Serialize;

use super::{
    lines::paragraph,
    moment,
    money::Money,
    numbers::percent,
    table::{Column, Table},
};
use crate::{
    domain::{
        budget::{BudgetOwner, BudgetStatus, Budgets, Period, Spender, Spending, Spent},
        catalog::Catalog,
        exchange::{NanoDollars, UnixMillis},
        user_name::{UserName, UserNames},
    },
    store::{self, CallRecord, Reader},
};

/// Computes the current spending of `budgets` from the ledger.
pub async fn spending(
    ledger: &Reader,
    budgets: Budgets,
    catalog: &Catalog,
    now: UnixMillis,
) -> Result<Spending, store::Error> {
    let mut spending = Spending::new(budgets, now);
    if let Some(since) = spending.since() {
        let span = since..UnixMillis(i64::MAX);
        ledger
            .estimates(span.clone(), |at, spender, amount| {
                spending.record(at.min(now), spender, Spent { amount, ..Spent::default() });
            })
            .await?;
        ledger
            .calls(span, catalog, |at, key, totals| {
                // A call dated in the future by a wrong clock counts as of now.
                spending.record(at.min(now), Spender::of(key), totals.into());
                if key.answered_by.asks() && key.error.is_none() {
                    spending.add_outputs(&key.model, totals.calls, totals.tokens.output);
                }
            })
            .await?;
    }
    Ok(spending)
}

/// The state of all budgets.
#[derive(Debug, Serialize)]
pub struct BudgetList {
    /// The budgets, in the order of the settings file.
    pub budgets: Vec<BudgetRow>,
}

/// The state of one budget; of a budget for each user, that of one user.
#[derive(Debug, Serialize)]
pub struct BudgetRow {
    /// `everyone`, `user`, `each_user` or `group`.
    pub whose: &'static str,
    /// The user; `None`: everyone, a group, or callers without a user.
    pub user: Option<String>,
    /// The name of that user.
    pub user_name: Option<String>,
    /// The mail of that user.
    pub user_email: Option<String>,
    /// The users of a group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// The name of the client key that it limits; `None`: all keys.
    pub key: Option<String>,
    /// The model that it limits; `None`: all models.
    pub model: Option<String>,
    /// The period.
    pub per: Period,
    /// The limit in US dollars, as in the settings file.
    pub limit: f64,
    /// The known spending.
    pub spent: Money,
    /// The estimated cost of the calls that are running.
    pub reserved: Money,
    /// The amount over the limit, from calls that ran when it was reached.
    pub over: Money,
    /// `fine`, `warn` or `spent`.
    pub state: &'static str,
    /// The begin of the period.
    #[serde(serialize_with = "moment::serialize")]
    pub from: UnixMillis,
    /// The end of the period.
    #[serde(serialize_with = "moment::serialize")]
    pub until: UnixMillis,
    #[serde(skip)]
    words: [String; 7],
}

impl BudgetList {
    /// Reads the spending of `budgets` from the ledger, with what running calls have reserved.
    pub async fn read(
        ledger: &Reader,
        budgets: Budgets,
        catalog: &Catalog,
        now: UnixMillis,
    ) -> Result<Self, store::Error> {
        let mut spending = spending(ledger, budgets, catalog, now).await?;
        for call in ledger.running().await? {
            let CallRecord { at, user, client_key, model, reserved, .. } = &call;
            let (user, key) = (user.as_deref(), client_key.as_deref());
            spending.show_reserved(*at, Spender { user, key, model }, *reserved);
        }
        Ok(Self::of(&spending, &ledger.user_names().await?))
    }

    /// Builds the list from `spending`; `names` has the names of the users.
    pub fn of(spending: &Spending, names: &UserNames) -> Self {
        let lines = spending.statuses().map(|status| line(&status, spending, names));
        Self { budgets: lines.collect() }
    }
}

fn line(status: &BudgetStatus<'_>, spending: &Spending, names: &UserNames) -> BudgetRow {
    let BudgetStatus { budget, user, spent, reserved, span } = status;
    let over = NanoDollars((spent.amount.0 - budget.limit.0).max(0));
    let state = match spent.amount {
        amount if amount >= budget.limit => "spent",
        amount if amount >= budget.warn_from => "warn",
        _ => "fine",
    };
    let name = match (&budget.owner, user) {
        (BudgetOwner::Everyone, _) => "everyone".to_owned(),
        (BudgetOwner::Group(users), _) => {
            users.iter().map(|user| names.label(user)).collect::<Vec<_>>().join(", ")
        }
        (_, Some(user)) => names.label(user),
        (_, None) => "–".to_owned(),
    };
    let bound = if spent.at_least > 0 { "≥ " } else { "" };
    let more = if spent.unpriced > 0 { " +?" } else { "" };
    let told = match state {
        "spent" if over.0 > 0 => format!("spent, {over:#} over"),
        state => state.to_owned(),
    };
    let part = percent((status.fraction() * 100.0).floor() / 100.0);
    let UserName { name: user_name, email: user_email } = names.get(*user);
    BudgetRow {
        whose: budget.owner.word(),
        user: user.map(str::to_owned),
        user_name,
        user_email,
        users: match &budget.owner {
            BudgetOwner::Group(users) => users.clone(),
            _ => Vec::new(),
        },
        key: budget.key.clone(),
        model: budget.model.clone(),
        per: budget.per,
        limit: budget.limit.dollars(),
        spent: Money { unpriced: spent.unpriced, ..Money::new(spent.amount, spent.at_least, 0) },
        reserved: Money::exact(*reserved),
        over: Money::exact(over),
        state,
        from: span.start,
        until: span.end,
        words: [
            name,
            [
                Some(format!("{:#} a {}", budget.limit, budget.per)),
                budget.key.clone(),
                budget.model.clone(),
            ]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" · "),
            format!("{bound}{:#}{more}", spent.amount),
            part,
            if reserved.0 > 0 { format!("{reserved:#}") } else { String::new() },
            told,
            spending.format_time(span.end),
        ],
    }
}

impl fmt::Display for BudgetList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.budgets.is_empty() {
            return paragraph(
                f,
                "",
                "No budgets, or nothing spent yet. Add budgets as [[budget]] to the settings file.",
            );
        }
        let mut table = Table::new([
            Column::name("of"),
            Column::name("limit"),
            Column::number("spent"),
            Column::number("used").expendable(2),
            Column::number("reserved").expendable(1),
            Column::name("state"),
            Column::name("until").expendable(3),
        ]);
        self.budgets.iter().for_each(|line| table.row(&line.words));
        table.fmt(f)?;
        let at_least: u64 = self.budgets.iter().map(|line| line.spent.at_least).sum();
        if at_least > 0 {
            paragraph(f, "≥   ", "at least this much, because calls ended early")?;
        }
        if self.budgets.iter().any(|line| line.spent.unpriced > 0) {
            let text = "calls without a known price count at the dearest known price";
            paragraph(f, "+?  ", text)?;
        }
        Ok(())
    }
}
