//! The report of `reprise budgets`: the spending of each budget.

use std::fmt;

use serde::Serialize;

use super::{columns::columns, numbers::percent};
use crate::{
    domain::{
        budget::{BudgetOwner, BudgetStatus, Budgets, Period, Spending, Spent},
        catalog::Catalog,
        exchange::{NanoDollars, UnixMillis},
    },
    store::{self, Reader},
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
            .estimates(span.clone(), |at, user, amount| {
                spending.record(at.min(now), user, Spent { amount, ..Spent::default() });
            })
            .await?;
        ledger
            .calls(span, catalog, |at, key, totals| {
                // A call dated in the future by a wrong clock counts as of now.
                spending.record(at.min(now), key.user.as_deref(), Spent::from(totals));
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
    /// `everyone`, `user` or `each_user`.
    pub whose: &'static str,
    /// The user; `None`: everyone, or callers without a user.
    pub user: Option<String>,
    /// The period.
    pub per: Period,
    /// The limit in US dollars.
    pub limit: f64,
    /// The known spending in US dollars.
    pub spent: f64,
    /// Number of costs that are lower bounds.
    pub at_least: u64,
    /// Number of calls without a known cost.
    pub unpriced: u64,
    /// The amount over the limit in US dollars, from calls that ran when it was reached.
    pub over: f64,
    /// `fine`, `warn` or `spent`.
    pub state: &'static str,
    /// The begin of the period, in unix milliseconds.
    pub from: UnixMillis,
    /// The end of the period, in unix milliseconds.
    pub until: UnixMillis,
    #[serde(skip)]
    words: [String; 6],
    #[serde(skip)]
    has_no_bound: bool,
}

impl BudgetList {
    /// Builds the list from `spending`.
    pub fn of(spending: &Spending) -> Self {
        Self { budgets: spending.statuses().map(|status| line(&status, spending)).collect() }
    }
}

fn line(status: &BudgetStatus<'_>, spending: &Spending) -> BudgetRow {
    let BudgetStatus { budget, user, spent, span } = status;
    let over = NanoDollars((spent.amount.0 - budget.limit.0).max(0));
    let state = match spent.amount {
        amount if amount >= budget.limit => "spent",
        amount if amount >= budget.warn_from => "warn",
        _ => "fine",
    };
    let whose = match budget.owner {
        BudgetOwner::Everyone => "everyone",
        BudgetOwner::User(_) => "user",
        BudgetOwner::EachUser => "each_user",
    };
    let name = match (&budget.owner, user) {
        (BudgetOwner::Everyone, _) => "everyone".to_owned(),
        (_, Some(user)) => (*user).to_owned(),
        (_, None) => "–".to_owned(),
    };
    let bound = if spent.at_least > 0 { "≥ " } else { "" };
    let more = if spent.unpriced > 0 { " +?" } else { "" };
    let told = match state {
        "spent" if over.0 > 0 => format!("spent, {over:#} over"),
        state => state.to_owned(),
    };
    let part = percent((status.fraction() * 100.0).floor() / 100.0);
    BudgetRow {
        whose,
        user: user.map(str::to_owned),
        per: budget.per,
        limit: budget.limit.dollars(),
        spent: spent.amount.dollars(),
        at_least: spent.at_least,
        unpriced: spent.unpriced,
        over: over.dollars(),
        state,
        from: span.start,
        until: span.end,
        words: [
            name,
            format!("{:#} a {}", budget.limit, budget.per),
            format!("{bound}{:#}{more}", spent.amount),
            part,
            told,
            spending.format_time(span.end),
        ],
        has_no_bound: spent.unpriced > 0,
    }
}

impl fmt::Display for BudgetList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.budgets.is_empty() {
            return writeln!(
                f,
                "No budgets, or nothing spent yet. Add budgets as [[budget]] to the settings file."
            );
        }
        let head = ["of", "limit", "spent", "", "state", "until"].map(str::to_owned);
        let lines = self.budgets.iter().map(|line| line.words.clone());
        columns(f, &std::iter::once(head).chain(lines).collect::<Vec<_>>())?;
        let at_least: u64 = self.budgets.iter().map(|line| line.at_least).sum();
        if at_least > 0 {
            writeln!(f, "≥   at least this much, because calls ended early")?;
        }
        if self.budgets.iter().any(|line| line.has_no_bound) {
            writeln!(f, "+?  calls without a known price count at the dearest known price")?;
        }
        Ok(())
    }
}
