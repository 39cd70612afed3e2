//! Periods from `--since` to `--until`: `7d`, `yesterday`, `2026-10`, in the time zone of the user.

use std::{ops::Range, str::FromStr};

use jiff::{
    Span, Timestamp, ToSpan, Zoned,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};

use crate::domain::exchange::UnixMillis;

/// A point in time or a range of days, as written in an argument.
#[derive(Debug, Clone)]
pub enum TimeSpec {
    /// A whole day.
    Day(Date),
    /// A whole day, at this distance before today.
    DayBefore(Span),
    /// A whole month, given by its first day.
    Month(Date),
    /// A local date and time.
    At(DateTime),
    /// A point in time with its own offset.
    Exactly(Timestamp),
    /// A duration before now.
    Ago(Span),
}

/// The error for an argument that is neither a point in time nor a day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "give a day or a time such as 7d, 12h, today, yesterday, 2026-10, 2026-10-01 or 2026-10-01T12:30"
)]
pub struct InvalidTime;

impl FromStr for TimeSpec {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let text = text.trim();
        if let Some(ago) = match text {
            "today" => Some(0),
            "yesterday" => Some(1),
            _ => None,
        } {
            return Ok(Self::DayBefore(ago.days()));
        }
        if let Ok(date) = text.parse::<Date>()
            && text.len() == "2026-10-01".len()
        {
            return Ok(Self::Day(date));
        }
        if text.len() == "2026-10".len()
            && let Ok(first) = format!("{text}-01").parse()
        {
            return Ok(Self::Month(first));
        }
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(Self::Exactly(at));
        }
        if text.contains('T')
            && let Ok(at) = text.parse::<DateTime>()
        {
            return Ok(Self::At(at));
        }
        // `5m` is five minutes, as everywhere in the settings.
        match text.parse::<Span>() {
            Ok(span) if span.is_positive() => {
                let by_the_day = span.get_days() != 0
                    || span.get_weeks() != 0
                    || span.get_months() != 0
                    || span.get_years() != 0;
                let whole =
                    span.get_hours() == 0 && span.get_minutes() == 0 && span.get_seconds() == 0;
                Ok(if by_the_day && whole { Self::DayBefore(span) } else { Self::Ago(span) })
            }
            _ => Err(InvalidTime),
        }
    }
}

impl TimeSpec {
    /// The range from the beginning of the day or month to its end; empty for a point in time.
    fn range(&self, now: &Zoned) -> Result<Range<Timestamp>, jiff::Error> {
        let zone = now.time_zone();
        let moment = |at: Timestamp| at..at;
        let days = |first: Date, length: Span| {
            let begins = |day: Date| zone.to_zoned(day.to_datetime(Time::midnight()));
            Ok(begins(first)?.timestamp()..begins(first.checked_add(length)?)?.timestamp())
        };
        match self {
            Self::Day(day) => days(*day, 1.day()),
            Self::DayBefore(span) => days(now.date().checked_sub(*span)?, 1.day()),
            Self::Month(first) => days(*first, 1.month()),
            Self::At(at) => Ok(moment(zone.to_zoned(*at)?.timestamp())),
            Self::Exactly(at) => Ok(moment(*at)),
            Self::Ago(span) => Ok(moment(now.checked_sub(*span)?.timestamp())),
        }
    }
}

/// The reason why two arguments are no period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPeriod {
    /// A time is out of range.
    #[error("--since and --until")]
    Time(#[from] InvalidTime),
    /// It ends before it begins.
    #[error("--until ends at {until}, which is not after --since, {since}: exchange the two")]
    Inverted {
        /// Its beginning.
        since: String,
        /// Its end.
        until: String,
    },
}

/// The period of a report: from the beginning of `since` to the end of `until`.
#[derive(Debug, Clone)]
pub struct Period {
    /// The range of time, without its end.
    pub span: Range<UnixMillis>,
    /// The time zone that days begin in.
    pub zone: TimeZone,
    since: Option<Zoned>,
    until: Option<Zoned>,
}

impl Period {
    /// Builds a period; an argument that is missing sets no limit. `now` is the reference of relative times.
    pub fn new(
        since: Option<&TimeSpec>,
        until: Option<&TimeSpec>,
        now: &Zoned,
    ) -> Result<Self, InvalidPeriod> {
        let range = |when: &TimeSpec| when.range(now).map_err(|_| InvalidTime);
        let since = since.map(range).transpose()?.map(|range| range.start);
        let until = until.map(range).transpose()?.map(|range| range.end);
        let millis = |at: Timestamp| UnixMillis(at.as_millisecond());
        let zoned = |at: Timestamp| at.to_zoned(now.time_zone().clone());
        if let (Some(since), Some(until)) = (since, until)
            && until <= since
        {
            let named = |at: Timestamp| zoned(at).strftime("%Y-%m-%d %H:%M").to_string();
            return Err(InvalidPeriod::Inverted { since: named(since), until: named(until) });
        }
        Ok(Self {
            span: since.map_or(UnixMillis(0), millis)..until.map_or(UnixMillis(i64::MAX), millis),
            zone: now.time_zone().clone(),
            since: since.map(zoned),
            until: until.map(zoned),
        })
    }

    /// The period without limits.
    pub fn ever(zone: TimeZone) -> Self {
        Self { span: UnixMillis(0)..UnixMillis(i64::MAX), zone, since: None, until: None }
    }

    /// The day of `counted_from`, if the period begins before it; earlier calls are not counted.
    pub(super) fn pruned(&self, counted_from: UnixMillis) -> Option<String> {
        let at = Timestamp::from_millisecond(counted_from.0).ok()?;
        let day = self.zone.to_datetime(at).strftime("%Y-%m-%d %H:%M").to_string();
        (self.span.start < counted_from).then(|| day.trim_end_matches(" 00:00").to_owned())
    }

    /// The period in words, for the head of a report; `None`: no limit.
    pub(super) fn in_words(&self) -> Option<String> {
        let named = |at: &Zoned, from: &str| {
            // A day that ends at midnight is named by itself, not by the next one.
            let midnight = at.time() == Time::midnight();
            match (midnight, from) {
                (true, "until") => at.date().yesterday().unwrap_or(at.date()).to_string(),
                (true, _) => at.date().to_string(),
                (false, _) => at.strftime("%Y-%m-%d %H:%M").to_string(),
            }
        };
        let since = self.since.as_ref().map(|at| named(at, "since"));
        let until = self.until.as_ref().map(|at| named(at, "until"));
        let zone = self.zone.iana_name().unwrap_or("local time");
        Some(match (since, until) {
            (None, None) => return None,
            (Some(since), Some(until)) if since == until => format!("{since}, {zone}"),
            (Some(since), Some(until)) => format!("{since} to {until}, {zone}"),
            (Some(since), None) => format!("since {since}, {zone}"),
            (None, Some(until)) => format!("until {until}, {zone}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(since: &str, until: &str, zone: &str) -> (String, String) {
        let zone = TimeZone::get(zone).unwrap();
        let now: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
        let (since, until) = (since.parse().unwrap(), until.parse().unwrap());
        let period = Period::new(Some(&since), Some(&until), &now.to_zoned(zone)).unwrap();
        let text = |at: UnixMillis| Timestamp::from_millisecond(at.0).unwrap().to_string();
        (text(period.span.start), text(period.span.end))
    }

    #[test]
    fn days_are_whole_and_begin_where_the_user_lives() {
        let utc = |since, until| span(since, until, "UTC");
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(utc("7d", "today"), pair("2026-11-18T00:00:00Z", "2026-11-26T00:00:00Z"));
        assert_eq!(utc("2026-10", "2026-10"), pair("2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"));
        assert_eq!(
            utc("2026-10-01", "2026-10-01T06:30"),
            pair("2026-10-01T00:00:00Z", "2026-10-01T06:30:00Z")
        );
        assert_eq!(utc("12h", "30m"), pair("2026-11-25T00:00:00Z", "2026-11-25T11:30:00Z"));
        assert_eq!(
            span("yesterday", "yesterday", "Asia/Kolkata"),
            pair("2026-11-23T18:30:00Z", "2026-11-24T18:30:00Z")
        );
        // The day on which clocks go back has 25 hours.
        assert_eq!(
            span("2026-10-25", "2026-10-25", "Europe/Berlin"),
            pair("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z")
        );
        let exact = utc("2026-10-01T00:00:00+05:30", "1mo");
        assert_eq!(exact, pair("2026-09-30T18:30:00Z", "2026-10-26T00:00:00Z"));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "soon", "-7d", "2026-13-01", "2026-1", "7", "T"] {
            assert_eq!(text.parse::<TimeSpec>().unwrap_err(), InvalidTime, "{text:?}");
        }
    }
}
