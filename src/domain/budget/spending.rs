//! Spending of each budget in its current period, and what running calls have reserved.

use std::{collections::BTreeMap, fmt, ops::Range};

use jiff::tz::TimeZone;
use serde::Serialize;

use super::{
    Budget, BudgetNotice, BudgetOwner, BudgetRefusal, Budgets, Estimate, MeanOutputs, OwnedSpender,
    Spender, Spent, format_time,
};
use crate::domain::exchange::{NanoDollars, UnixMillis};

/// Spending of each budget in its current period.
#[derive(Debug)]
pub struct Spending {
    usages: Vec<BudgetUsage>,
    zone: TimeZone,
    outputs: MeanOutputs,
    reservations: BTreeMap<ReservationId, Reserved>,
    last: u64,
}

/// A reservation, until it is settled or released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReservationId(u64);

/// The estimated cost of a running call.
#[derive(Debug, Clone)]
struct Reserved {
    at: UnixMillis,
    spender: OwnedSpender,
    amount: NanoDollars,
}

/// A call that may go upstream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// A budget that is nearly spent, or that is always shown.
    pub notice: Option<BudgetNotice>,
    /// The reservation of its cost; `None` without budgets.
    pub reservation: Option<ReservationId>,
    /// The amount that is reserved.
    pub reserved: NanoDollars,
}

/// A threshold of a budget that spending has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Threshold {
    /// The amount from which callers are warned.
    Warn,
    /// The limit.
    Limit,
}

/// An account of a budget whose spending has reached a threshold, for the first time in its period.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Crossing {
    /// The threshold.
    pub threshold: Threshold,
    /// The budget in words.
    pub budget: String,
    /// The user; `None` for all calls together, a group, or calls that name no user.
    pub user: Option<String>,
    /// The limit in US dollars.
    pub limit: f64,
    /// The spending in US dollars.
    pub spent: f64,
    /// True if the spending is a lower bound.
    pub at_least: bool,
    /// The begin of the period, in unix milliseconds.
    pub from: UnixMillis,
    /// The end of the period, in unix milliseconds.
    pub until: UnixMillis,
}

/// The state of a budget for one account.
#[derive(Debug, Clone)]
pub struct BudgetStatus<'a> {
    /// The budget.
    pub budget: &'a Budget,
    /// The user; `None` for all calls together, for a group, or for calls that name no user.
    pub user: Option<&'a str>,
    /// Spending in the current period.
    pub spent: Spent,
    /// Estimated cost of the calls that are running.
    pub reserved: NanoDollars,
    /// The current period.
    pub span: Range<UnixMillis>,
}

/// The level of a budget; of a budget for each user, that of the user with the least left.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetLevel {
    /// The budget.
    pub budget: Budget,
    /// The part of the limit that is not spent in the current period; less if the spending is a lower bound.
    pub left: NanoDollars,
    /// Estimated cost of the calls that are running; of a budget for each user, the highest of a user.
    pub reserved: NanoDollars,
}

impl BudgetStatus<'_> {
    fn is_spent(&self) -> bool {
        self.spent.amount >= self.budget.limit
    }

    /// Returns whether the caller is told of it.
    fn is_told(&self) -> bool {
        self.budget.show || self.spent.amount >= self.budget.warn_from
    }

    /// The amount that is neither spent nor reserved.
    fn room(&self) -> NanoDollars {
        let taken = self.spent.amount.0.saturating_add(self.reserved.0);
        NanoDollars(self.budget.limit.0.saturating_sub(taken).max(0))
    }

    fn has_room_for(&self, more: NanoDollars) -> bool {
        more <= self.room()
    }

    /// Fraction of the limit that is spent.
    pub fn fraction(&self) -> f64 {
        self.spent.amount.dollars() / self.budget.limit.dollars()
    }

    fn notice(&self, zone: &TimeZone) -> BudgetNotice {
        BudgetNotice {
            limit: self.budget.limit,
            per: self.budget.per,
            whose: match self.budget.owner {
                BudgetOwner::Everyone => "the",
                BudgetOwner::User(_) | BudgetOwner::EachUser => "your",
                BudgetOwner::Group(_) => "your group's",
            },
            rest: fmt::from_fn(|f| self.budget.write_rest(f)).to_string(),
            spent: self.spent,
            tells_left: self.budget.show,
            reserved: self.reserved,
            until: format_time(self.span.end, zone),
        }
    }

    fn crossing(&self, threshold: Threshold) -> Crossing {
        Crossing {
            threshold,
            budget: self.budget.to_string(),
            user: self.user.map(str::to_owned),
            limit: self.budget.limit.dollars(),
            spent: self.spent.amount.dollars(),
            at_least: self.spent.at_least > 0 || self.spent.unpriced > 0,
            from: self.span.start,
            until: self.span.end,
        }
    }
}

#[derive(Debug, Clone)]
struct BudgetUsage {
    budget: Budget,
    span: Range<UnixMillis>,
    /// By account.
    spent: BTreeMap<String, Spent>,
    /// By account: sums of the reservations of this period. Zeros are left out.
    reserved: BTreeMap<String, NanoDollars>,
}

impl BudgetUsage {
    fn new(budget: Budget, now: UnixMillis, zone: &TimeZone) -> Self {
        let span = budget.per.span(now, zone);
        Self { budget, span, spent: BTreeMap::new(), reserved: BTreeMap::new() }
    }

    /// Starts the next period when the current one is over. A call counts in the period in which it came in, and so does
    /// its reservation.
    fn advance(
        &mut self,
        at: UnixMillis,
        zone: &TimeZone,
        reservations: &BTreeMap<ReservationId, Reserved>,
    ) {
        if at >= self.span.end {
            self.span = self.budget.per.span(at, zone);
            self.spent.clear();
            self.count_reserved(reservations);
        }
    }

    fn count_reserved(&mut self, reservations: &BTreeMap<ReservationId, Reserved>) {
        self.reserved.clear();
        for reserved in reservations.values() {
            self.reserve(reserved);
        }
    }

    fn reserve(&mut self, reserved: &Reserved) {
        self.change_reserved(reserved, reserved.amount.0);
    }

    fn release(&mut self, reserved: &Reserved) {
        self.change_reserved(reserved, -reserved.amount.0);
    }

    fn change_reserved(&mut self, reserved: &Reserved, change: i64) {
        let spender = reserved.spender.get();
        if reserved.at < self.span.start || !self.budget.applies_to(spender) {
            return;
        }
        let account = self.budget.account(spender.user);
        let sum = self.reserved.entry(account.to_owned()).or_default();
        sum.0 = sum.0.saturating_add(change);
        if sum.0 == 0 {
            self.reserved.remove(account);
        }
    }

    fn status<'a>(&'a self, user: Option<&'a str>) -> BudgetStatus<'a> {
        let account = self.budget.account(user);
        BudgetStatus {
            budget: &self.budget,
            user: match &self.budget.owner {
                BudgetOwner::Everyone | BudgetOwner::Group(_) => None,
                BudgetOwner::User(name) => Some(name),
                BudgetOwner::EachUser => Some(account).filter(|name| !name.is_empty()),
            },
            spent: self.spent.get(account).copied().unwrap_or_default(),
            reserved: self.reserved.get(account).copied().unwrap_or_default(),
            span: self.span.clone(),
        }
    }
}

impl Default for Spending {
    /// Spending without budgets.
    fn default() -> Self {
        Self::new(Budgets::default(), UnixMillis(0))
    }
}

impl Spending {
    /// These budgets with nothing spent.
    pub fn new(budgets: Budgets, now: UnixMillis) -> Self {
        let Budgets { list, zone } = budgets;
        let usage = |budget| BudgetUsage::new(budget, now, &zone);
        let usages = list.into_iter().map(usage).collect();
        let (outputs, reservations) = Default::default();
        Self { usages, zone, outputs, reservations, last: 0 }
    }

    /// The budgets.
    pub fn budgets(&self) -> Budgets {
        let list = self.usages.iter().map(|usage| usage.budget.clone()).collect();
        Budgets { list, zone: self.zone.clone() }
    }

    /// The earliest start of a current period; `None` without budgets.
    pub fn since(&self) -> Option<UnixMillis> {
        self.usages.iter().map(|usage| usage.span.start).min()
    }

    /// The running means of what models answer.
    pub const fn outputs(&self) -> &MeanOutputs {
        &self.outputs
    }

    /// Adds answers of a model that have as many tokens together to the running mean.
    pub fn add_outputs(&mut self, model: &str, answers: u64, tokens: u64) {
        self.outputs.add(model, answers, tokens);
    }

    /// Adds the cost of a call that came in `at` this time. Calls before the current period are ignored. Returns the
    /// thresholds that it crosses.
    pub fn record(&mut self, at: UnixMillis, spender: Spender<'_>, more: Spent) -> Vec<Crossing> {
        let Self { usages, zone, reservations, .. } = self;
        let mut crossings = Vec::new();
        for usage in usages.iter_mut().filter(|usage| usage.budget.applies_to(spender)) {
            usage.advance(at, zone, reservations);
            if at < usage.span.start {
                continue;
            }
            let account = usage.budget.account(spender.user);
            let before = usage.spent.get(account).copied().unwrap_or_default().amount;
            match usage.spent.get_mut(account) {
                Some(spent) => spent.add(more),
                None => _ = usage.spent.insert(account.to_owned(), more),
            }
            let Budget { warn_from, limit, .. } = usage.budget;
            let status = usage.status(spender.user);
            let crosses = |from: NanoDollars| before < from && status.spent.amount >= from;
            if warn_from < limit && crosses(warn_from) {
                crossings.push(status.crossing(Threshold::Warn));
            }
            if crosses(limit) {
                crossings.push(status.crossing(Threshold::Limit));
            }
        }
        crossings
    }

    /// Admits a call if all budgets have room for its likely cost, and reserves what it may cost. Of several budgets that
    /// refuse it, the error names the one with the latest end; the cost of a model without a price could not be counted.
    pub fn admit(
        &mut self,
        at: UnixMillis,
        spender: Spender<'_>,
        estimate: Option<Estimate>,
    ) -> Result<Admission, BudgetRefusal> {
        let Self { usages, zone, reservations, last, .. } = self;
        for usage in usages.iter_mut() {
            usage.advance(at, zone, reservations);
        }
        let about = usages.iter().filter(|usage| usage.budget.applies_to(spender));
        let statuses: Vec<BudgetStatus<'_>> =
            about.map(|usage| usage.status(spender.user)).collect();
        let longest = |refuses: &dyn Fn(&BudgetStatus<'_>) -> bool| {
            let refusing = statuses.iter().filter(|status| refuses(status));
            refusing.max_by_key(|status| status.span.end).map(|status| status.notice(zone))
        };
        if let Some(notice) = longest(&|status| status.is_spent()) {
            return Err(BudgetRefusal::Spent { notice });
        }
        let Some(Estimate { likely, reserve }) = estimate else {
            if statuses.is_empty() {
                return Ok(Admission::default());
            }
            return Err(BudgetRefusal::Unpriced { model: spender.model.to_owned() });
        };
        if let Some(notice) = longest(&|status| !status.has_room_for(likely)) {
            return Err(BudgetRefusal::TooDear { notice, estimate: likely });
        }
        let least = statuses.iter().map(BudgetStatus::room).min();
        let amount = least.map_or(reserve, |room| reserve.min(room));
        let told = statuses.iter().filter(|status| status.is_told());
        let nearest = told.max_by(|a, b| a.fraction().total_cmp(&b.fraction()));
        let notice = nearest.map(|status| status.notice(zone));
        if usages.is_empty() {
            return Ok(Admission { notice, reservation: None, reserved: NanoDollars(0) });
        }
        let reserved = Reserved { at, spender: spender.into(), amount };
        for usage in usages.iter_mut() {
            usage.reserve(&reserved);
        }
        *last += 1;
        let id = ReservationId(*last);
        reservations.insert(id, reserved);
        Ok(Admission { notice, reservation: Some(id), reserved: amount })
    }

    /// Shows an amount as reserved that another process has admitted.
    pub fn show_reserved(&mut self, at: UnixMillis, spender: Spender<'_>, amount: NanoDollars) {
        let reserved = Reserved { at, spender: spender.into(), amount };
        for usage in &mut self.usages {
            usage.reserve(&reserved);
        }
    }

    /// Takes a reservation back, at the end of its call. Nothing happens if it was taken back before.
    pub fn release(&mut self, id: ReservationId) {
        if let Some(reserved) = self.reservations.remove(&id) {
            for usage in &mut self.usages {
                usage.release(&reserved);
            }
        }
    }

    /// Takes over what `before`, from whose budgets these may differ, has counted for those that are the same.
    pub fn take_over(&mut self, before: &Self) {
        for usage in &mut self.usages {
            let same = |old: &&BudgetUsage| old.budget == usage.budget && old.span == usage.span;
            if let Some(old) = before.usages.iter().find(same) {
                usage.spent.clone_from(&old.spent);
            }
        }
    }

    /// Takes the place of `before`. Running calls keep what they reserved.
    pub fn replace(&mut self, before: Self) {
        (self.outputs, self.reservations, self.last) =
            (before.outputs, before.reservations, before.last);
        let reservations = &self.reservations;
        for usage in &mut self.usages {
            usage.count_reserved(reservations);
        }
    }

    /// The state of all budgets, in the operator's order; if each user has one, the user who spent most comes first.
    pub fn statuses(&self) -> impl Iterator<Item = BudgetStatus<'_>> {
        self.usages.iter().flat_map(|usage| {
            let mut statuses: Vec<BudgetStatus<'_>> = match usage.budget.owner {
                BudgetOwner::Everyone | BudgetOwner::User(_) | BudgetOwner::Group(_) => {
                    vec![usage.status(None)]
                }
                BudgetOwner::EachUser => {
                    let spent = usage.spent.keys();
                    let only_reserved = usage.reserved.keys();
                    let only_reserved =
                        only_reserved.filter(|user| !usage.spent.contains_key(*user));
                    spent.chain(only_reserved).map(|user| usage.status(Some(user))).collect()
                }
            };
            statuses.sort_by_key(|status| std::cmp::Reverse(status.spent.amount));
            statuses
        })
    }

    /// The levels of all budgets at this time, in the operator's order.
    pub fn levels(&self, now: UnixMillis) -> Vec<BudgetLevel> {
        let level = |usage: &BudgetUsage| {
            // The next period begins with the first call in it.
            let is_over = now >= usage.span.end;
            let spent = usage.spent.values().map(|spent| spent.amount).max();
            let spent = spent.filter(|_| !is_over).unwrap_or_default();
            BudgetLevel {
                budget: usage.budget.clone(),
                left: NanoDollars(usage.budget.limit.0.saturating_sub(spent.0).max(0)),
                reserved: usage.reserved.values().copied().max().unwrap_or_default(),
            }
        };
        self.usages.iter().map(level).collect()
    }

    /// A time in the budgets' time zone, for people.
    pub fn format_time(&self, at: UnixMillis) -> String {
        format_time(at, &self.zone)
    }
}

#[cfg(test)]
mod tests;
