//! Budgets as written in the settings file.

use jiff::civil::Weekday;
use serde::Deserialize;

use super::{Budget, BudgetOwner, Period};
use crate::domain::exchange::NanoDollars;

/// Default fraction of the limit from which callers are warned.
const WARN_AT: f64 = 0.8;
/// Maximum limit, in US dollars.
const MAX_LIMIT: f64 = 1e9;
/// Last day of a month on which a period may begin: the last that each month has.
const LAST_DAY: i64 = 28;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BudgetSetting {
    limit: f64,
    per: PeriodSetting,
    resets_on: Option<DaySetting>,
    user: Option<String>,
    users: Option<Vec<String>>,
    key: Option<String>,
    model: Option<String>,
    warn_at: Option<f64>,
    #[serde(default)]
    show: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PeriodSetting {
    Day,
    Week,
    Month,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "resets_on must be a day such as 15 or \"sunday\"")]
enum DaySetting {
    OfMonth(i64),
    OfWeek(String),
}

/// The reason that a budget setting is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidBudget {
    #[error("a budget's limit must be an amount in dollars, such as 20 or 0.5")]
    Limit,
    #[error("a budget's warn_at must be a fraction of its limit, such as 0.8; 1 means no warning")]
    WarnAt,
    #[error("a budget's user must be an id, or \"*\" for each user; leave it out for all together")]
    User,
    #[error("a budget's users must be a list of ids, such as [\"ann\", \"bob\"], who share it")]
    Users,
    #[error("a budget has either a user or users")]
    UserAndUsers,
    #[error("a budget's key must be the name of a [[key]]")]
    Key,
    #[error("a budget's model must be an id, such as \"claude-opus-5-5\" or \"claude-opus-*\"")]
    Model,
    #[error("a budget per day resets at midnight: leave out resets_on")]
    DayResets,
    #[error(
        "a budget per week resets on a day such as resets_on = \"sunday\"; without it, on Mondays"
    )]
    WeekResets,
    #[error("a budget per month resets on a day from 1 to {LAST_DAY}, which each month has")]
    MonthResets,
}

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let setting = BudgetSetting::deserialize(deserializer)?;
        Self::try_from(setting).map_err(serde::de::Error::custom)
    }
}

impl TryFrom<BudgetSetting> for Budget {
    type Error = InvalidBudget;

    fn try_from(setting: BudgetSetting) -> Result<Self, InvalidBudget> {
        let BudgetSetting { limit, per, resets_on, user, users, key, model, warn_at, show } =
            setting;
        let limit = Some(limit).filter(|limit| *limit > 0.0 && *limit <= MAX_LIMIT);
        let limit = limit.ok_or(InvalidBudget::Limit)?;
        let warn_at = warn_at.unwrap_or(WARN_AT);
        let warn_at = Some(warn_at).filter(|part| *part > 0.0 && *part <= 1.0);
        let warn_from = limit * warn_at.ok_or(InvalidBudget::WarnAt)?;
        let owner = match (user.as_deref().map(str::trim), users) {
            (None, None) => BudgetOwner::Everyone,
            (None, Some(users)) => group(&users)?,
            (Some(_), Some(_)) => return Err(InvalidBudget::UserAndUsers),
            (Some(""), None) => return Err(InvalidBudget::User),
            (Some("*"), None) => BudgetOwner::EachUser,
            // As ids are stored, so that it matches.
            (Some(user), None) => BudgetOwner::User(user.to_owned()),
        };
        let key = key.map(|key| name(&key).ok_or(InvalidBudget::Key)).transpose()?;
        let model = model.map(|model| name(&model).ok_or(InvalidBudget::Model)).transpose()?;
        if model.as_deref().is_some_and(|model| model.trim_end_matches('*').contains('*')) {
            return Err(InvalidBudget::Model);
        }
        Ok(Self {
            limit: NanoDollars::from_dollars(limit),
            per: period(&per, resets_on)?,
            owner,
            key,
            model,
            warn_from: NanoDollars::from_dollars(warn_from),
            show,
        })
    }
}

fn group(users: &[String]) -> Result<BudgetOwner, InvalidBudget> {
    let users: Option<Vec<String>> = users.iter().map(|user| name(user)).collect();
    let users = users.filter(|users| !users.is_empty() && !users.iter().any(|user| user == "*"));
    users.map(BudgetOwner::Group).ok_or(InvalidBudget::Users)
}

fn name(text: &str) -> Option<String> {
    Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn period(per: &PeriodSetting, resets_on: Option<DaySetting>) -> Result<Period, InvalidBudget> {
    match (per, resets_on) {
        (PeriodSetting::Day, None) => Ok(Period::Day),
        (PeriodSetting::Day, Some(_)) => Err(InvalidBudget::DayResets),
        (PeriodSetting::Week, None) => Ok(Period::Week(1)),
        (PeriodSetting::Week, Some(DaySetting::OfWeek(day))) => weekday(&day)
            .map(|day| Period::Week(day.to_monday_one_offset()))
            .ok_or(InvalidBudget::WeekResets),
        (PeriodSetting::Week, Some(DaySetting::OfMonth(_))) => Err(InvalidBudget::WeekResets),
        (PeriodSetting::Month, None) => Ok(Period::Month(1)),
        (PeriodSetting::Month, Some(DaySetting::OfMonth(day))) if (1..=LAST_DAY).contains(&day) => {
            i8::try_from(day).map(Period::Month).map_err(|_| InvalidBudget::MonthResets)
        }
        (PeriodSetting::Month, Some(_)) => Err(InvalidBudget::MonthResets),
    }
}

fn weekday(name: &str) -> Option<Weekday> {
    Some(match &*name.trim().to_ascii_lowercase() {
        "monday" => Weekday::Monday,
        "tuesday" => Weekday::Tuesday,
        "wednesday" => Weekday::Wednesday,
        "thursday" => Weekday::Thursday,
        "friday" => Weekday::Friday,
        "saturday" => Weekday::Saturday,
        "sunday" => Weekday::Sunday,
        _ => return None,
    })
}
