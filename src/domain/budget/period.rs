//! Periods of budgets.

use std::ops::Range;

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, Time},
    tz::TimeZone,
};
use serde::{Serialize, Serializer};

use crate::domain::exchange::UnixMillis;

/// The period of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From this day of a week to the next: 1 is Monday.
    Week(i8),
    /// From this day of a month to the next, at most the 28th, which each month has.
    Month(i8),
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Period {
    /// The day, week or month that contains a moment.
    pub(super) fn span(self, at: UnixMillis, zone: &TimeZone) -> Range<UnixMillis> {
        let span = || {
            let day = zone.to_datetime(Timestamp::from_millisecond(at.0).ok()?).date();
            let (first, length) = match self {
                Self::Day => (day, 1.day()),
                Self::Week(begins) => {
                    let since = (day.weekday().to_monday_one_offset() - begins).rem_euclid(7);
                    (day.checked_sub(i32::from(since).days()).ok()?, 1.week())
                }
                Self::Month(begins) => {
                    let before = i32::from(day.day() < begins);
                    let month = day.first_of_month().checked_sub(before.months()).ok()?;
                    (month.checked_add(i32::from(begins - 1).days()).ok()?, 1.month())
                }
            };
            let begins = |day: Date| {
                let begins = zone.to_zoned(day.to_datetime(Time::midnight())).ok()?;
                Some(UnixMillis(begins.timestamp().as_millisecond()))
            };
            Some(begins(first)?..begins(first.checked_add(length).ok()?)?)
        };
        // The last days of the calendar have no end in this type.
        span().unwrap_or(UnixMillis(i64::MIN)..UnixMillis(i64::MAX))
    }
}
