//! The report of `reprise budgets`: what is spent of each, by the ledger.

use std::fmt;

use serde::Serialize;

use super::{columns::columns, numbers::percent};
use crate::{
    domain::{
        budget::{Budgets, Per, Spending, Spent, Standing, Whose},
        catalog::Catalog,
        exchange::{NanoDollars, UnixMillis},
    },
    store::{self, Reader},
};

/// The books of `budgets` at this moment, with what the ledger says was spent.
pub async fn books(
    ledger: &Reader,
    budgets: Budgets,
    catalog: &Catalog,
    now: UnixMillis,
) -> Result<Spending, store::Error> {
    let mut books = Spending::new(budgets, now);
    if let Some(since) = books.since() {
        let span = since..UnixMillis(i64::MAX);
        ledger
            .calls(span, catalog, |at, key, totals| {
                // What a clock that was wrong dates into the future counts now.
                books.pay(at.min(now), key.user.as_deref(), Spent::from(totals));
            })
            .await?;
    }
    Ok(books)
}

/// How the budgets stand.
#[derive(Debug, Serialize)]
pub struct BudgetList {
    /// In the operator's order.
    pub budgets: Vec<Line>,
}

/// One budget; where each user has one, one user's.
#[derive(Debug, Serialize)]
pub struct Line {
    /// `everyone`, `user` or `each_user`.
    pub whose: &'static str,
    /// Which user; `None`: all together, or those who name nobody.
    pub user: Option<String>,
    /// The time that it is for.
    pub per: Per,
    /// In US dollars.
    pub limit: f64,
    /// What was spent, in US dollars, as far as it is known.
    pub spent: f64,
    /// How many of the costs are lower bounds.
    pub at_least: u64,
    /// How many calls have no known cost.
    pub unpriced: u64,
    /// By how much calls that ran when it was spent went over the limit, in US dollars.
    pub over: f64,
    /// `fine`, `warn` or `spent`.
    pub state: &'static str,
    /// When it began, in unix milliseconds.
    pub from: UnixMillis,
    /// When it begins again, in unix milliseconds.
    pub until: UnixMillis,
    #[serde(skip)]
    words: [String; 6],
    #[serde(skip)]
    has_no_bound: bool,
}

impl BudgetList {
    /// What stands in `books`.
    pub fn of(books: &Spending) -> Self {
        Self { budgets: books.standings().map(|standing| line(&standing, books)).collect() }
    }
}

fn line(standing: &Standing<'_>, books: &Spending) -> Line {
    let Standing { budget, user, spent, span } = standing;
    let over = NanoDollars((spent.amount.0 - budget.limit.0).max(0));
    let state = match spent.amount {
        amount if amount >= budget.limit => "spent",
        amount if amount >= budget.warn_from => "warn",
        _ => "fine",
    };
    let whose = match budget.whose {
        Whose::Everyone => "everyone",
        Whose::User(_) => "user",
        Whose::EachUser => "each_user",
    };
    let name = match (&budget.whose, user) {
        (Whose::Everyone, _) => "everyone".to_owned(),
        (_, Some(user)) => (*user).to_owned(),
        (_, None) => "–".to_owned(),
    };
    let bound = if spent.at_least > 0 { "≥ " } else { "" };
    let more = if spent.unpriced > 0 { " +?" } else { "" };
    let told = match state {
        "spent" if over.0 > 0 => format!("spent, {over:#} over"),
        state => state.to_owned(),
    };
    let part = percent((standing.part() * 100.0).floor() / 100.0);
    Line {
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
            books.moment(span.end),
        ],
        has_no_bound: spent.unpriced > 0,
    }
}

impl fmt::Display for BudgetList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.budgets.is_empty() {
            return writeln!(
                f,
                "There are no budgets, or nobody has spent anything: [[budget]] in the settings file makes one."
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
            writeln!(f, "+?  not counting calls without a known price")?;
        }
        Ok(())
    }
}
