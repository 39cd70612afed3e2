//! Budgets: limits on the spending of a day or a month, for all calls together or for a user.
//!
//! Spending counts by the time at which a call came in, as in the ledger. [`Spending`] is read from the ledger at the start
//! and updated from then on, and both agree.

use std::{collections::BTreeMap, fmt, ops::Range};

use jiff::{Timestamp, ToSpan, civil::Time, tz::TimeZone};
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};

use super::{
    exchange::{Cost, NanoDollars, UnixMillis},
    price::Charge,
    totals::Totals,
};

/// Default fraction of the limit from which callers are warned.
const WARN_AT: f64 = 0.8;
/// Maximum limit, in US dollars.
const MAX_LIMIT: f64 = 1e9;

/// All budgets, with their time zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Budgets {
    /// In the operator's order.
    pub list: Vec<Budget>,
    /// The time zone in which days and months begin.
    pub zone: TimeZone,
}

impl Default for Budgets {
    /// No budgets.
    fn default() -> Self {
        Self { list: Vec::new(), zone: TimeZone::UTC }
    }
}

/// A limit on spending.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BudgetSetting")]
pub struct Budget {
    /// The limit; no request goes upstream once it is spent.
    pub limit: NanoDollars,
    /// The period after which spending starts again from zero.
    pub per: Period,
    /// The callers to which it applies.
    pub owner: BudgetOwner,
    /// Spending from which callers are warned.
    pub warn_from: NanoDollars,
}

/// The period of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Display, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From the first of a month to the next.
    Month,
}

/// The callers to which a budget applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BudgetOwner {
    /// All calls together.
    Everyone,
    /// One user.
    User(String),
    /// Each user separately; calls that name no user share one budget.
    EachUser,
}

/// A budget as written in the settings file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BudgetSetting {
    limit: f64,
    per: Period,
    user: Option<String>,
    warn_at: Option<f64>,
}

/// The reason that a budget setting is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum InvalidBudget {
    #[error("a budget's limit must be an amount in dollars, such as 20 or 0.5")]
    Limit,
    #[error("a budget's warn_at must be a fraction of its limit, such as 0.8; 1 means no warning")]
    WarnAt,
    #[error("a budget's user must be an id, or \"*\" for each user; leave it out for all together")]
    User,
}

impl TryFrom<BudgetSetting> for Budget {
    type Error = InvalidBudget;

    fn try_from(setting: BudgetSetting) -> Result<Self, InvalidBudget> {
        let BudgetSetting { limit, per, user, warn_at } = setting;
        let limit = Some(limit).filter(|limit| *limit > 0.0 && *limit <= MAX_LIMIT);
        let limit = limit.ok_or(InvalidBudget::Limit)?;
        let warn_at = warn_at.unwrap_or(WARN_AT);
        let warn_at = Some(warn_at).filter(|part| *part > 0.0 && *part <= 1.0);
        let warn_from = limit * warn_at.ok_or(InvalidBudget::WarnAt)?;
        let owner = match user.as_deref().map(str::trim) {
            None => BudgetOwner::Everyone,
            Some("") => return Err(InvalidBudget::User),
            Some("*") => BudgetOwner::EachUser,
            // As ids are stored, so that it matches.
            Some(user) => BudgetOwner::User(user.to_owned()),
        };
        Ok(Self {
            limit: NanoDollars::from_dollars(limit),
            per,
            owner,
            warn_from: NanoDollars::from_dollars(warn_from),
        })
    }
}

impl fmt::Display for Budget {
    /// `$2.00 a day for each user`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#} a {}", self.limit, self.per)?;
        match &self.owner {
            BudgetOwner::Everyone => Ok(()),
            BudgetOwner::User(user) => write!(f, " for {user}"),
            BudgetOwner::EachUser => write!(f, " for each user"),
        }
    }
}

impl Budget {
    fn applies_to(&self, user: Option<&str>) -> bool {
        match &self.owner {
            BudgetOwner::Everyone | BudgetOwner::EachUser => true,
            BudgetOwner::User(name) => user == Some(name),
        }
    }

    /// The account of this budget to which a user's spending is added.
    fn account<'a>(&self, user: Option<&'a str>) -> &'a str {
        match self.owner {
            BudgetOwner::Everyone | BudgetOwner::User(_) => "",
            BudgetOwner::EachUser => user.unwrap_or_default(),
        }
    }
}

impl Period {
    /// The day or month that contains a moment.
    fn span(self, at: UnixMillis, zone: &TimeZone) -> Range<UnixMillis> {
        let span = || {
            let day = zone.to_datetime(Timestamp::from_millisecond(at.0).ok()?).date();
            let (first, length) = match self {
                Self::Day => (day, 1.day()),
                Self::Month => (day.first_of_month(), 1.month()),
            };
            let begins = |day: jiff::civil::Date| {
                let begins = zone.to_zoned(day.to_datetime(Time::midnight())).ok()?;
                Some(UnixMillis(begins.timestamp().as_millisecond()))
            };
            Some(begins(first)?..begins(first.checked_add(length).ok()?)?)
        };
        // The last days of the calendar have no end in this type.
        span().unwrap_or(UnixMillis(i64::MIN)..UnixMillis(i64::MAX))
    }
}

/// An amount of spending, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Spent {
    /// Sum of the known costs.
    #[serde(rename = "nano_dollars")]
    pub amount: NanoDollars,
    /// Number of costs that are lower bounds.
    pub at_least: u64,
    /// Number of calls without a known cost.
    pub unpriced: u64,
}

impl From<Cost> for Spent {
    fn from(cost: Cost) -> Self {
        Self {
            amount: cost.amount().unwrap_or_default(),
            at_least: u64::from(matches!(cost, Cost::AtLeast(_))),
            unpriced: u64::from(cost == Cost::Unpriced),
        }
    }
}

impl From<&Charge> for Spent {
    /// A part without a price counts at the dearest known one.
    fn from(charge: &Charge) -> Self {
        Self { amount: charge.with_estimate().amount().unwrap_or_default(), ..charge.cost.into() }
    }
}

impl From<&Totals> for Spent {
    fn from(totals: &Totals) -> Self {
        Self { amount: totals.cost, at_least: totals.at_least, unpriced: totals.unpriced }
    }
}

impl Spent {
    fn add(&mut self, more: Self) {
        self.amount.0 = self.amount.0.saturating_add(more.amount.0);
        self.at_least += more.at_least;
        self.unpriced += more.unpriced;
    }
}

/// The state of a budget for one account.
#[derive(Debug, Clone)]
pub struct BudgetStatus<'a> {
    /// The budget.
    pub budget: &'a Budget,
    /// The user; `None` for all calls together, or for calls that name no user.
    pub user: Option<&'a str>,
    /// Spending in the current period.
    pub spent: Spent,
    /// The current period.
    pub span: Range<UnixMillis>,
}

impl BudgetStatus<'_> {
    fn is_spent(&self) -> bool {
        self.spent.amount >= self.budget.limit
    }

    fn is_nearly_spent(&self) -> bool {
        self.spent.amount >= self.budget.warn_from
    }

    /// Fraction of the limit that is spent.
    pub fn fraction(&self) -> f64 {
        self.spent.amount.dollars() / self.budget.limit.dollars()
    }

    fn notice(&self, zone: &TimeZone) -> BudgetNotice {
        BudgetNotice {
            limit: self.budget.limit,
            per: self.budget.per,
            personal: self.budget.owner != BudgetOwner::Everyone,
            spent: self.spent,
            until: format_time(self.span.end, zone),
        }
    }
}

/// A message about a budget to the caller to which it applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetNotice {
    /// The limit.
    pub limit: NanoDollars,
    /// The period.
    pub per: Period,
    /// `true` if it is the user's own budget.
    pub personal: bool,
    /// Spending in the current period.
    pub spent: Spent,
    /// The start of the next period.
    pub until: String,
}

impl fmt::Display for BudgetNotice {
    /// `your budget of $5.00 a day`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if self.personal { "your" } else { "the" };
        write!(f, "{whose} budget of {:#} a {}", self.limit, self.per)
    }
}

/// The reason that no request may go upstream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BudgetRefusal {
    /// A budget is spent.
    #[error(
        "{notice} is spent ({:#}): no request goes to Claude before {}; answers in the ledger are still served",
        notice.spent.amount,
        notice.until
    )]
    Spent {
        /// The budget.
        notice: BudgetNotice,
    },
    /// The model has no price, so that its cost could not be counted.
    #[error(
        "there is a budget, and no price is known for {model}: choose another model, or have the operator add its \
         price with `reprise prices import`"
    )]
    Unpriced {
        /// The model.
        model: String,
    },
}

/// Spending of each budget in its current day or month.
#[derive(Debug)]
pub struct Spending {
    usages: Vec<BudgetUsage>,
    zone: TimeZone,
}

#[derive(Debug)]
struct BudgetUsage {
    budget: Budget,
    span: Range<UnixMillis>,
    /// By account.
    spent: BTreeMap<String, Spent>,
}

impl BudgetUsage {
    /// Starts the next period when the current one is over.
    fn advance(&mut self, at: UnixMillis, zone: &TimeZone) {
        if at >= self.span.end {
            self.span = self.budget.per.span(at, zone);
            self.spent.clear();
        }
    }

    fn status<'a>(&'a self, user: Option<&'a str>) -> BudgetStatus<'a> {
        let account = self.budget.account(user);
        BudgetStatus {
            budget: &self.budget,
            user: match &self.budget.owner {
                BudgetOwner::Everyone => None,
                BudgetOwner::User(name) => Some(name),
                BudgetOwner::EachUser => Some(account).filter(|name| !name.is_empty()),
            },
            spent: self.spent.get(account).copied().unwrap_or_default(),
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
        let usage = |budget: Budget| {
            let span = budget.per.span(now, &zone);
            BudgetUsage { budget, span, spent: BTreeMap::new() }
        };
        Self { usages: list.into_iter().map(usage).collect(), zone }
    }

    /// The earliest start of a current period; `None` without budgets.
    pub fn since(&self) -> Option<UnixMillis> {
        self.usages.iter().map(|usage| usage.span.start).min()
    }

    /// Adds the cost of a user's call that came in `at` this time. Calls before the current period are ignored.
    pub fn record(&mut self, at: UnixMillis, user: Option<&str>, more: Spent) {
        for usage in self.usages.iter_mut().filter(|usage| usage.budget.applies_to(user)) {
            usage.advance(at, &self.zone);
            if at < usage.span.start {
                continue;
            }
            let account = usage.budget.account(user);
            match usage.spent.get_mut(account) {
                Some(spent) => spent.add(more),
                None => _ = usage.spent.insert(account.to_owned(), more),
            }
        }
    }

    /// Checks whether a user's call may go upstream. Of several spent budgets, the error names the one with the
    /// latest end; the cost of a model without a price could not be counted. Returns a notice if a budget is nearly
    /// spent.
    pub fn check(
        &mut self,
        at: UnixMillis,
        user: Option<&str>,
        model: &str,
        has_price: bool,
    ) -> Result<Option<BudgetNotice>, BudgetRefusal> {
        self.usages.iter_mut().for_each(|usage| usage.advance(at, &self.zone));
        let about = self.usages.iter().filter(|usage| usage.budget.applies_to(user));
        let statuses: Vec<BudgetStatus<'_>> = about.map(|usage| usage.status(user)).collect();
        let spent = statuses.iter().filter(|status| status.is_spent());
        if let Some(longest) = spent.max_by_key(|status| status.span.end) {
            return Err(BudgetRefusal::Spent { notice: longest.notice(&self.zone) });
        }
        if !has_price && !statuses.is_empty() {
            return Err(BudgetRefusal::Unpriced { model: model.to_owned() });
        }
        let nearly = statuses.iter().filter(|status| status.is_nearly_spent());
        let nearest = nearly.max_by(|a, b| a.fraction().total_cmp(&b.fraction()));
        Ok(nearest.map(|status| status.notice(&self.zone)))
    }

    /// The state of all budgets, in the operator's order; if each user has one, the user who spent most comes first.
    pub fn statuses(&self) -> impl Iterator<Item = BudgetStatus<'_>> {
        self.usages.iter().flat_map(|usage| {
            let mut statuses: Vec<BudgetStatus<'_>> = match usage.budget.owner {
                BudgetOwner::Everyone | BudgetOwner::User(_) => vec![usage.status(None)],
                BudgetOwner::EachUser => {
                    usage.spent.keys().map(|user| usage.status(Some(user))).collect()
                }
            };
            statuses.sort_by_key(|status| std::cmp::Reverse(status.spent.amount));
            statuses
        })
    }

    /// A time in the budgets' time zone, for people.
    pub fn format_time(&self, at: UnixMillis) -> String {
        format_time(at, &self.zone)
    }
}

fn format_time(at: UnixMillis, zone: &TimeZone) -> String {
    let Ok(at) = Timestamp::from_millisecond(at.0) else { return "the end of days".to_owned() };
    let name = zone.iana_name().unwrap_or("local time");
    format!("{} ({name})", zone.to_datetime(at).strftime("%Y-%m-%d %H:%M"))
}
