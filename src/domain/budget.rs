//! Budgets: what may be spent in a day or a month, by everyone or by a user, and whether Claude may still be asked.
//!
//! Money is counted as the ledger counts it: by when a call came in. So what was spent is read from the ledger at the
//! start and kept up to date from then on ([`Spending`]), and both come to the same.

use std::{collections::BTreeMap, fmt, ops::Range};

use jiff::{Timestamp, ToSpan, civil::Time, tz::TimeZone};
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};

use super::{
    exchange::{Cost, NanoDollars, UnixMillis},
    totals::Totals,
};

/// Who asks is warned from this part of the limit on, unless the budget says otherwise.
const WARN_AT: f64 = 0.8;
/// More than the ledger could count.
const LARGEST: f64 = 1e9;

/// All budgets, and where their days begin.
#[derive(Debug, Clone, PartialEq)]
pub struct Budgets {
    /// In the operator's order.
    pub list: Vec<Budget>,
    /// Where days and months begin.
    pub zone: TimeZone,
}

impl Default for Budgets {
    /// None.
    fn default() -> Self {
        Self { list: Vec::new(), zone: TimeZone::UTC }
    }
}

/// What may be spent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Budget {
    /// So much; Claude is not asked once that is spent.
    pub limit: NanoDollars,
    /// In this time.
    pub per: Per,
    /// By whom.
    pub whose: Whose,
    /// From here on who asks is warned.
    pub warn_from: NanoDollars,
}

/// How long a budget lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Display, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Per {
    /// From midnight to midnight.
    Day,
    /// From the first of a month to the next.
    Month,
}

/// Whose money it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// All calls together.
    Everyone,
    /// One user's.
    User(String),
    /// Each user has as much; calls that name no user share.
    EachUser,
}

/// A budget as the settings file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    limit: f64,
    per: Per,
    user: Option<String>,
    warn_at: Option<f64>,
}

/// What is no budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum NoBudget {
    #[error("a budget's limit is an amount in dollars, such as 20 or 0.5")]
    Limit,
    #[error("a budget's warn_at is a part of its limit, such as 0.8; 1 is no warning")]
    WarnAt,
    #[error("a budget's user is an id, or \"*\" for each; leave it out for all together")]
    User,
}

impl TryFrom<Written> for Budget {
    type Error = NoBudget;

    fn try_from(written: Written) -> Result<Self, NoBudget> {
        let Written { limit, per, user, warn_at } = written;
        let limit = Some(limit).filter(|limit| *limit > 0.0 && *limit <= LARGEST);
        let limit = limit.ok_or(NoBudget::Limit)?;
        let warn_at = warn_at.unwrap_or(WARN_AT);
        let warn_at = Some(warn_at).filter(|part| *part > 0.0 && *part <= 1.0);
        let warn_from = limit * warn_at.ok_or(NoBudget::WarnAt)?;
        let whose = match user.as_deref().map(str::trim) {
            None => Whose::Everyone,
            Some("") => return Err(NoBudget::User),
            Some("*") => Whose::EachUser,
            // As ids are kept, so that it is found again.
            Some(user) => Whose::User(super::cache::bounded(user)),
        };
        Ok(Self {
            limit: NanoDollars::from_dollars(limit),
            per,
            whose,
            warn_from: NanoDollars::from_dollars(warn_from),
        })
    }
}

impl fmt::Display for Budget {
    /// `$2.00 a day for each user`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#} a {}", self.limit, self.per)?;
        match &self.whose {
            Whose::Everyone => Ok(()),
            Whose::User(user) => write!(f, " for {user}"),
            Whose::EachUser => write!(f, " for each user"),
        }
    }
}

impl Budget {
    fn is_about(&self, user: Option<&str>) -> bool {
        match &self.whose {
            Whose::Everyone | Whose::EachUser => true,
            Whose::User(name) => user == Some(name),
        }
    }

    /// Under which name of this budget a user's money is counted.
    fn account<'a>(&self, user: Option<&'a str>) -> &'a str {
        match self.whose {
            Whose::Everyone | Whose::User(_) => "",
            Whose::EachUser => user.unwrap_or_default(),
        }
    }
}

impl Per {
    /// The day or month of a moment.
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
        // The last days of the calendar have no end.
        span().unwrap_or(UnixMillis(i64::MIN)..UnixMillis(i64::MAX))
    }
}

/// What was spent, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Spent {
    /// The sum of all costs that are known.
    #[serde(rename = "nano_dollars")]
    pub amount: NanoDollars,
    /// How many of them are lower bounds.
    pub at_least: u64,
    /// How many calls have no known cost.
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

/// How a budget stands for somebody.
#[derive(Debug, Clone)]
pub struct Standing<'a> {
    /// The budget.
    pub budget: &'a Budget,
    /// Whose account; `None`: all together, or those who name nobody.
    pub user: Option<&'a str>,
    /// What was spent of it.
    pub spent: Spent,
    /// From when until when.
    pub span: Range<UnixMillis>,
}

impl Standing<'_> {
    fn is_spent(&self) -> bool {
        self.spent.amount >= self.budget.limit
    }

    fn is_nearly_spent(&self) -> bool {
        self.spent.amount >= self.budget.warn_from
    }

    /// Which part of the limit is spent.
    pub fn part(&self) -> f64 {
        self.spent.amount.dollars() / self.budget.limit.dollars()
    }

    fn notice(&self, zone: &TimeZone) -> Notice {
        Notice {
            limit: self.budget.limit,
            per: self.budget.per,
            personal: self.budget.whose != Whose::Everyone,
            spent: self.spent,
            until: moment(self.span.end, zone),
        }
    }
}

/// Whether a model has a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priced {
    /// It has.
    Yes,
    /// It has not: what it costs could not be counted.
    No,
}

/// Whether Claude may be asked, by `standings` of all budgets that are about the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<T> {
    /// It may.
    Fine,
    /// It may, and this budget is nearly spent.
    Warn(T),
    /// It may not: this budget is spent.
    Spent(T),
    /// It may not: there is a budget, and no price.
    Unpriced,
}

/// Decides whether Claude may be asked. Of several budgets that are spent the one is named that lasts longest.
pub fn decide<'a, 'b>(standings: &'b [Standing<'a>], priced: Priced) -> Verdict<&'b Standing<'a>> {
    let spent = standings.iter().filter(|standing| standing.is_spent());
    if let Some(longest) = spent.max_by_key(|standing| standing.span.end) {
        return Verdict::Spent(longest);
    }
    if priced == Priced::No && !standings.is_empty() {
        return Verdict::Unpriced;
    }
    let nearly = standings.iter().filter(|standing| standing.is_nearly_spent());
    nearly.max_by(|a, b| a.part().total_cmp(&b.part())).map_or(Verdict::Fine, Verdict::Warn)
}

/// What is said of a budget to whom it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its limit.
    pub limit: NanoDollars,
    /// Its time.
    pub per: Per,
    /// Whether it is the user's own.
    pub personal: bool,
    /// What was spent of it.
    pub spent: Spent,
    /// When it begins again.
    pub until: String,
}

impl fmt::Display for Notice {
    /// `your budget of $5.00 a day`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if self.personal { "your" } else { "the" };
        write!(f, "{whose} budget of {:#} a {}", self.limit, self.per)
    }
}

/// Why Claude is not asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The money is spent.
    #[error(
        "{notice} is spent ({:#}): nothing more is asked of Claude before {}; what the ledger has is answered all the same",
        notice.spent.amount,
        notice.until
    )]
    Spent {
        /// Of which budget.
        notice: Notice,
    },
    /// What it costs could not be counted.
    #[error(
        "there is a budget, and no price is known for {model}: choose another model, or let the operator tell its price \
         with `reprise prices import`"
    )]
    Unpriced {
        /// What was asked.
        model: String,
    },
}

/// What is spent of each budget in its present day or month.
#[derive(Debug)]
pub struct Spending {
    pages: Vec<Page>,
    zone: TimeZone,
}

#[derive(Debug)]
struct Page {
    budget: Budget,
    span: Range<UnixMillis>,
    /// By account.
    spent: BTreeMap<String, Spent>,
}

impl Page {
    /// Begins anew when its time is over.
    fn turn(&mut self, at: UnixMillis, zone: &TimeZone) {
        if at >= self.span.end {
            self.span = self.budget.per.span(at, zone);
            self.spent.clear();
        }
    }

    fn standing<'a>(&'a self, user: Option<&'a str>) -> Standing<'a> {
        let account = self.budget.account(user);
        Standing {
            budget: &self.budget,
            user: match &self.budget.whose {
                Whose::Everyone => None,
                Whose::User(name) => Some(name),
                Whose::EachUser => Some(account).filter(|name| !name.is_empty()),
            },
            spent: self.spent.get(account).copied().unwrap_or_default(),
            span: self.span.clone(),
        }
    }
}

impl Default for Spending {
    /// Without a budget.
    fn default() -> Self {
        Self::new(Budgets::default(), UnixMillis(0))
    }
}

impl Spending {
    /// Those of `budgets` at this moment, with nothing spent.
    pub fn new(budgets: Budgets, now: UnixMillis) -> Self {
        let Budgets { list, zone } = budgets;
        let page = |budget: Budget| {
            let span = budget.per.span(now, &zone);
            Page { budget, span, spent: BTreeMap::new() }
        };
        Self { pages: list.into_iter().map(page).collect(), zone }
    }

    /// The first moment that counts; `None`: there are no budgets.
    pub fn since(&self) -> Option<UnixMillis> {
        self.pages.iter().map(|page| page.span.start).min()
    }

    /// Counts what a call of `user` cost that came in `at` this moment. One of another day is of no matter.
    pub fn pay(&mut self, at: UnixMillis, user: Option<&str>, more: Spent) {
        for page in self.pages.iter_mut().filter(|page| page.budget.is_about(user)) {
            page.turn(at, &self.zone);
            if at < page.span.start {
                continue;
            }
            let account = page.budget.account(user);
            match page.spent.get_mut(account) {
                Some(spent) => spent.add(more),
                None => _ = page.spent.insert(account.to_owned(), more),
            }
        }
    }

    /// Whether Claude may be asked for a call of `user`; if it is to be told, how much is spent.
    pub fn admit(
        &mut self,
        at: UnixMillis,
        user: Option<&str>,
        model: &str,
        priced: Priced,
    ) -> Result<Option<Notice>, Refusal> {
        self.pages.iter_mut().for_each(|page| page.turn(at, &self.zone));
        let about = self.pages.iter().filter(|page| page.budget.is_about(user));
        let standings: Vec<Standing<'_>> = about.map(|page| page.standing(user)).collect();
        match decide(&standings, priced) {
            Verdict::Fine => Ok(None),
            Verdict::Warn(standing) => Ok(Some(standing.notice(&self.zone))),
            Verdict::Spent(standing) => Err(Refusal::Spent { notice: standing.notice(&self.zone) }),
            Verdict::Unpriced => Err(Refusal::Unpriced { model: model.to_owned() }),
        }
    }

    /// All budgets, in the operator's order; where each user has one, the user who spent most first.
    pub fn standings(&self) -> impl Iterator<Item = Standing<'_>> {
        self.pages.iter().flat_map(|page| {
            let mut standings: Vec<Standing<'_>> = match page.budget.whose {
                Whose::Everyone | Whose::User(_) => vec![page.standing(None)],
                Whose::EachUser => {
                    page.spent.keys().map(|user| page.standing(Some(user))).collect()
                }
            };
            standings.sort_by_key(|standing| std::cmp::Reverse(standing.spent.amount));
            standings
        })
    }

    /// A moment where the budgets' days begin, for people.
    pub fn moment(&self, at: UnixMillis) -> String {
        moment(at, &self.zone)
    }
}

fn moment(at: UnixMillis, zone: &TimeZone) -> String {
    let Ok(at) = Timestamp::from_millisecond(at.0) else { return "the end of days".to_owned() };
    let name = zone.iana_name().unwrap_or("local time");
    format!("{} ({name})", zone.to_datetime(at).strftime("%Y-%m-%d %H:%M"))
}
