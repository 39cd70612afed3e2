//! Parsers of values, shared by settings and by the arguments of commands. Each error states what is expected.

use std::{
    fmt::{self, Display},
    str::FromStr,
    time::Duration,
};

use bytesize::ByteSize;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::tz::TimeZone;
use secrecy::SecretString;
use strum::VariantNames;
use url::Url;

use crate::domain::exchange::NanoDollars;

/// Largest amount of money in a setting, in US dollars.
const MOST_DOLLARS: f64 = 1e9;

/// Description of the values that a parser accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected(pub(super) &'static str);

impl Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.0)
    }
}

impl std::error::Error for Expected {}

/// Parser of any type that is read from a string.
pub(super) fn parsed<T: FromStr>(
    expected: &'static str,
) -> impl Fn(&str) -> Result<T, Expected> + Clone {
    move |text| text.trim().parse().map_err(|_| Expected(expected))
}

/// Parser of an enum by the names of its variants.
pub(super) fn word<T>() -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = strum::ParseError> + VariantNames + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(T::VARIANTS).try_map(|word| word.parse())
}

/// A number of bytes, or a number with KiB, MiB or GiB. `k`, `KB` and the like are taken as binary units, too.
pub(super) fn size(text: &str) -> Result<u64, Expected> {
    let expected = Expected("a size such as 32MiB or 2GiB");
    let text = text.trim().to_ascii_lowercase();
    let short = text.strip_suffix('b').unwrap_or(&text);
    let short = short.strip_suffix('i').unwrap_or(short);
    let binary = if short.ends_with(['k', 'm', 'g']) { format!("{short}iB") } else { text };
    binary.parse().ok().filter(|size: &ByteSize| size.0 > 0).map(|size| size.0).ok_or(expected)
}

/// An amount of US dollars, with or without the sign.
pub(super) fn dollars(text: &str) -> Result<NanoDollars, Expected> {
    let text = text.trim();
    let amount = text.strip_prefix('$').unwrap_or(text).trim_start().parse().ok();
    let amount = amount.filter(|amount: &f64| *amount > 0.0 && *amount <= MOST_DOLLARS);
    amount.map(NanoDollars::from_dollars).ok_or(Expected("an amount in dollars such as 1 or 0.50"))
}

/// A size with its unit, for what deletes.
pub fn size_with_unit(text: &str) -> Result<u64, Refused> {
    match bare_number(text) {
        Some(number) => Err(Unclear::Bytes { number: number.to_owned() }.into()),
        None => Ok(size(text)?),
    }
}

/// A duration in seconds, or as jiff reads it: `90s`, `2h` or `30d`. A day has 24 hours.
pub(super) fn duration(text: &str) -> Result<Duration, Expected> {
    let text = text.trim();
    let duration = text.parse().map(Duration::from_secs).ok().or_else(|| span(text));
    duration.filter(|duration| !duration.is_zero()).ok_or(Expected(DURATION))
}

/// A duration with its unit, for what expires.
pub(super) fn duration_with_unit(text: &str) -> Result<Duration, Refused> {
    let text = text.trim();
    match bare_number(text).filter(|number| number.parse::<u64>().is_ok()) {
        Some(number) => {
            Err(Unclear::Seconds { name: String::new(), number: number.to_owned() }.into())
        }
        // A time of the day is no duration: 12:00:00 in a TOML file is one.
        None if text.contains(':') => Err(Expected(DURATION).into()),
        None => Ok(duration(text)?),
    }
}

/// An age with its unit, for what deletes and is days long: `m` could be months, which have no fixed length.
pub fn age(text: &str) -> Result<Duration, Refused> {
    let text = text.trim();
    let is_minutes = text.strip_suffix('m').filter(|rest| !rest.contains('h'));
    let number = is_minutes
        .map(str::trim_end)
        .map(|rest| rest.rsplit(|digit: char| !digit.is_ascii_digit()).next().unwrap_or_default());
    match number.and_then(|number| number.parse::<u32>().ok()) {
        Some(number) => Err(Unclear::Minutes { text: text.to_owned(), number }.into()),
        None => duration_with_unit(text),
    }
}

/// An age, where 0 has a meaning.
pub fn age_or_zero(text: &str) -> Result<Duration, Refused> {
    if is_zero(text) { Ok(Duration::ZERO) } else { age(text) }
}

/// A duration with its unit, where 0 has a meaning.
pub(super) fn duration_or_zero(text: &str) -> Result<Duration, Refused> {
    if is_zero(text) { Ok(Duration::ZERO) } else { duration_with_unit(text) }
}

/// True for 0, with or without a unit.
fn is_zero(text: &str) -> bool {
    let text = text.trim();
    text.parse() == Ok(0) || span(text) == Some(Duration::ZERO)
}

/// The number of a text that is nothing else. 0 needs no unit.
fn bare_number(text: &str) -> Option<&str> {
    let number = text.trim().trim_start_matches('+');
    number.parse().is_ok_and(|number: f64| number > 0.0 && number.is_finite()).then_some(number)
}

fn span(text: &str) -> Option<Duration> {
    let span = text.parse::<jiff::Span>().and_then(|span| {
        Duration::try_from(span.to_duration(jiff::SpanRelativeTo::days_are_24_hours())?)
    });
    span.ok()
}

/// A number that deletes or expires something, and whose unit is missing or ambiguous.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// A duration without a unit.
    #[error(
        "{name}{number} has no unit and would mean {number} seconds: write {name}{number}d for days, or {name}{number}s \
         for seconds"
    )]
    Seconds {
        /// The part of the text before the number, with `=`.
        name: String,
        /// The number.
        number: String,
    },
    /// A size without a unit.
    #[error(
        "{number} has no unit and would mean {number} bytes: write {number}GiB, or {number}B for bytes"
    )]
    Bytes {
        /// The number.
        number: String,
    },
    /// Minutes or months.
    #[error(
        "{text} could be minutes or months: write {number}min for minutes, or {}d for months",
        u64::from(*number) * 30
    )]
    Minutes {
        /// The text.
        text: String,
        /// The number before `m`.
        number: u32,
    },
}

/// The reason why a value is refused that needs a unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It cannot be read.
    #[error(transparent)]
    Expected(#[from] Expected),
    /// Its unit is not clear.
    #[error(transparent)]
    Unclear(#[from] Unclear),
}

const DURATION: &str = "a time such as 90s, 2h or 30d";

/// A duration with its unit, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DurationOrOff(pub(super) Option<Duration>);

pub(super) fn duration_or_off(text: &str) -> Result<DurationOrOff, Refused> {
    match text.trim() {
        "off" => Ok(DurationOrOff(None)),
        text => match duration_with_unit(text) {
            Ok(duration) => Ok(DurationOrOff(Some(duration))),
            Err(Refused::Expected(_)) => {
                Err(Expected("a time such as 90s, 2h or 30d, or `off`").into())
            }
            Err(unclear) => Err(unclear),
        },
    }
}

/// A time zone of the IANA database.
pub fn time_zone(name: &str) -> Result<TimeZone, Expected> {
    TimeZone::get(name.trim())
        .map_err(|_| Expected("a time zone such as Europe/Berlin, Asia/Kolkata or UTC"))
}

/// A key. A blank one is a mistake, such as `--api-key "$UNSET"`, and must not grant access.
pub(super) fn key(text: &str) -> Result<SecretString, Expected> {
    match text.trim() {
        "" => Err(Expected("a key; leave it out for none")),
        key => Ok(SecretString::from(key)),
    }
}

/// A name, which cannot be blank.
pub(super) fn name(text: &str) -> Result<String, Expected> {
    match text.trim() {
        "" => Err(Expected("a name; leave it out for none")),
        name => Ok(name.to_owned()),
    }
}

/// A bare HTTP address: a password or token in it would be shown with the settings.
pub(super) fn base_url(text: &str) -> Result<Url, Expected> {
    let url = Url::parse(text.trim()).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    url.ok_or(Expected("an address such as https://api.anthropic.com"))
}

/// The address of a webhook. It may have a password or a token in it, so it is a secret.
pub(super) fn webhook(text: &str) -> Result<SecretString, Expected> {
    let url = Url::parse(text.trim()).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.map(|url| String::from(url).into())
        .ok_or(Expected("an address that begins with https:// or http://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        for (text, bytes) in [
            ("1", 1),
            ("17b", 17),
            ("2k", 2 << 10),
            ("2 KB", 2 << 10),
            ("32MiB", 32 << 20),
            ("32 mib", 32 << 20),
            ("2g", 2 << 30),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "MiB", "32 parsecs", "-1"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_are_dollars() {
        for (text, cents) in [("1", 100), (" $1.50 ", 150), ("0.02", 2), ("$ 3", 300)] {
            assert_eq!(dollars(text), Ok(NanoDollars(cents * 10_000_000)), "{text}");
        }
        for text in ["", "$", "0", "-1", "inf", "NaN", "1e10", "one"] {
            assert!(dollars(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_have_days_of_24_hours() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("30d"), Ok(Duration::from_hours(30 * 24)));
        for text in ["", "0", "0s", "-1h", "soon"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_deletes_or_expires_has_a_unit() {
        let day = |days: u64| Ok(Duration::from_hours(days * 24));
        for (text, expected) in [("30d", day(30)), (" 2 weeks", day(14)), ("P90D", day(90))] {
            assert_eq!((age(text), duration_with_unit(text)), (expected.clone(), expected));
        }
        for text in ["1min", "1h 30m", "90 mins", "PT1M"] {
            assert!(age(text).is_ok(), "{text}");
        }
        assert_eq!(duration_with_unit("5m"), Ok(Duration::from_mins(5)));
        for text in ["90", "+90", " 7 ", "007"] {
            for refused in
                [age, age_or_zero, duration_with_unit, duration_or_zero].map(|parse| parse(text))
            {
                let refused = refused.unwrap_err();
                assert!(matches!(refused, Refused::Unclear(Unclear::Seconds { .. })), "{text}");
            }
            let refused = size_with_unit(text).unwrap_err();
            assert!(matches!(refused, Refused::Unclear(Unclear::Bytes { .. })), "{text}");
        }
        for text in ["1m", "1 m", "6m", "2d 1m"] {
            assert!(
                matches!(age_or_zero(text), Err(Refused::Unclear(Unclear::Minutes { .. }))),
                "{text}"
            );
        }
        assert_eq!(
            age("6m").unwrap_err().to_string(),
            "6m could be minutes or months: write 6min for minutes, or 180d for months"
        );
        for text in ["0", "0d", " 0s"] {
            let zeros = [age_or_zero, duration_or_zero].map(|parse| parse(text));
            assert_eq!(zeros, [Ok(Duration::ZERO), Ok(Duration::ZERO)], "{text}");
        }
        for text in ["", "0", "0d", "-90", "90.5", "-1d", "12:00:00", "soon", "1 month"] {
            assert!(matches!(age(text), Err(Refused::Expected(_))), "{text}: {:?}", age(text));
        }
        assert!(matches!(size_with_unit("2.5"), Err(Refused::Unclear(Unclear::Bytes { .. }))));
        assert_eq!(size_with_unit("2B"), Ok(2));
        assert_eq!(size_with_unit("1.5g"), Ok(3 << 29));
    }
}
