//! Budgets: limits on the spending of a day, a week or a month, for all calls together or for a user, a group of users, a
//! client key or a model.
//!
//! Spending counts by the time at which a call came in, as in the ledger. [`Spending`] is read from the ledger at the start
//! and updated from then on, and both agree. A call that goes upstream reserves the [`estimate()`] of its cost first, so that
//! calls that run at once do not spend together what is enough for one.

mod estimate;
mod period;
mod setting;
mod spending;

use std::fmt;

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

pub use self::{
    estimate::{Estimate, MeanOutputs, estimate, prompt_tokens},
    period::Period,
    spending::{
        Admission, BudgetLevel, BudgetStatus, Crossing, ReservationId, Spending, Threshold,
    },
};
use super::{
    catalog::undated,
    exchange::{Cost, NanoDollars, UnixMillis},
    price::Charge,
    totals::{Key, Totals},
};

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// The limit; no request goes upstream that may exceed it.
    pub limit: NanoDollars,
    /// The period after which spending starts again from zero.
    pub per: Period,
    /// The users to whom it applies.
    pub owner: BudgetOwner,
    /// The name of the client key whose calls it limits; `None`: those of all keys.
    pub key: Option<String>,
    /// The model whose calls it limits, with a `*` at its end all models that begin so; `None`: all models.
    pub model: Option<String>,
    /// Spending from which callers are warned.
    pub warn_from: NanoDollars,
    /// True if callers are always shown what is left.
    pub show: bool,
}

/// The users to whom a budget applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BudgetOwner {
    /// All calls together.
    Everyone,
    /// One user.
    User(String),
    /// Each user separately; calls that name no user share one budget.
    EachUser,
    /// Several users together.
    Group(Vec<String>),
}

impl BudgetOwner {
    /// The word for it, which names no user.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Everyone => "everyone",
            Self::User(_) => "user",
            Self::EachUser => "each_user",
            Self::Group(_) => "group",
        }
    }
}

/// The caller whose spending is counted, and the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spender<'a> {
    /// The user.
    pub user: Option<&'a str>,
    /// The name of the client key.
    pub key: Option<&'a str>,
    /// The model that answered, else the one that was asked.
    pub model: &'a str,
}

impl<'a> Spender<'a> {
    /// The spender of the calls with this key of the sums.
    pub fn of(key: &'a Key<'_>) -> Self {
        let (user, client_key) = (key.user.as_deref(), key.client_key.as_deref());
        Self { user, key: client_key, model: &key.model }
    }
}

/// A [`Spender`] that outlives its call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedSpender {
    user: Option<String>,
    key: Option<String>,
    model: String,
}

impl From<Spender<'_>> for OwnedSpender {
    fn from(Spender { user, key, model }: Spender<'_>) -> Self {
        let [user, key] = [user, key].map(|name| name.map(str::to_owned));
        Self { user, key, model: model.to_owned() }
    }
}

impl OwnedSpender {
    /// The same, borrowed.
    pub fn get(&self) -> Spender<'_> {
        let Self { user, key, model } = self;
        Spender { user: user.as_deref(), key: key.as_deref(), model }
    }
}

impl fmt::Display for Budget {
    /// `$2.00 a day for each user on claude-opus-5-5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#} a {}", self.limit, self.per)?;
        match &self.owner {
            BudgetOwner::Everyone => {}
            BudgetOwner::User(user) => write!(f, " for {user}")?,
            BudgetOwner::EachUser => write!(f, " for each user")?,
            BudgetOwner::Group(users) => write!(f, " for {}", users.join(", "))?,
        }
        self.write_rest(f)
    }
}

impl Budget {
    fn applies_to(&self, spender: Spender<'_>) -> bool {
        let of_user = match &self.owner {
            BudgetOwner::Everyone | BudgetOwner::EachUser => true,
            BudgetOwner::User(name) => spender.user == Some(name),
            BudgetOwner::Group(users) => {
                spender.user.is_some_and(|user| users.iter().any(|name| name == user))
            }
        };
        let of_key = self.key.as_deref().is_none_or(|key| spender.key == Some(key));
        of_user && of_key && self.model.as_deref().is_none_or(|model| covers(model, spender.model))
    }

    /// The account of this budget to which a user's spending is added.
    fn account<'a>(&self, user: Option<&'a str>) -> &'a str {
        match self.owner {
            BudgetOwner::Everyone | BudgetOwner::User(_) | BudgetOwner::Group(_) => "",
            BudgetOwner::EachUser => user.unwrap_or_default(),
        }
    }

    /// The key and the model that it limits, if any.
    fn write_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            write!(f, " with the key {key}")?;
        }
        match &self.model {
            Some(model) => write!(f, " on {model}"),
            None => Ok(()),
        }
    }
}

/// True if a budget's model is this one, or a snapshot of it.
fn covers(model: &str, spent_on: &str) -> bool {
    match model.strip_suffix('*') {
        Some(start) => spent_on.starts_with(start),
        None => undated(model) == undated(spent_on),
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
    /// Returns whether more may have been spent than is known.
    pub const fn is_bound(&self) -> bool {
        self.at_least > 0 || self.unpriced > 0
    }

    fn add(&mut self, more: Self) {
        self.amount.0 = self.amount.0.saturating_add(more.amount.0);
        self.at_least += more.at_least;
        self.unpriced += more.unpriced;
    }
}

impl fmt::Display for Spent {
    /// `$0.0123`, or `≥ $0.0123` if more may have been spent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = if self.is_bound() { "≥ " } else { "" };
        write!(f, "{least}{:#}", self.amount)
    }
}

/// A message about a budget to the caller to which it applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetNotice {
    /// The limit.
    pub limit: NanoDollars,
    /// The period.
    pub per: Period,
    /// `the`, `your` or `your group's`.
    pub whose: &'static str,
    /// The key and the model that it limits, if any.
    pub rest: String,
    /// Spending in the current period.
    pub spent: Spent,
    /// True if it tells what is left instead of what is spent.
    pub tells_left: bool,
    /// Estimated cost of the calls that are running.
    pub reserved: NanoDollars,
    /// The start of the next period.
    pub until: String,
}

impl BudgetNotice {
    /// The part of the limit that is not spent; less if the spending is a lower bound.
    pub fn left(&self) -> NanoDollars {
        NanoDollars(self.limit.0.saturating_sub(self.spent.amount.0).max(0))
    }
}

impl fmt::Display for BudgetNotice {
    /// `your budget of $5.00 a day`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} budget of {:#} a {}{}", self.whose, self.limit, self.per, self.rest)
    }
}

/// The reason that no request may go upstream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BudgetRefusal {
    /// A budget is spent.
    #[error(
        "{notice} is spent ({}): no request goes to Claude before {}; answers in the ledger are still served",
        notice.spent,
        notice.until
    )]
    Spent {
        /// The budget.
        notice: BudgetNotice,
    },
    /// The request may cost more than is left.
    #[error(
        "this request may cost {estimate:#}, which {notice} does not have any more ({} is spent, {:#} reserved by \
         running calls): ask for a shorter answer, another model, or again {}; answers in the ledger are still served",
        notice.spent,
        notice.reserved,
        again(notice)
    )]
    TooDear {
        /// The budget.
        notice: BudgetNotice,
        /// The estimated cost of the request.
        estimate: NanoDollars,
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

/// When a request may fit that is too dear now.
fn again(notice: &BudgetNotice) -> String {
    let ended = if notice.reserved.0 > 0 { "when they have ended, or " } else { "" };
    format!("{ended}after {}", notice.until)
}

fn format_time(at: UnixMillis, zone: &TimeZone) -> String {
    let Ok(at) = Timestamp::from_millisecond(at.0) else { return "the end of days".to_owned() };
    let name = zone.iana_name().unwrap_or("local time");
    format!("{} ({name})", zone.to_datetime(at).strftime("%Y-%m-%d %H:%M"))
}
