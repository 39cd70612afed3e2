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
pub fn size(text: &str) -> Result<u64, Expected> {
    let expected = Expected("a size such as 32MiB or 2GiB");
    let text = text.trim().to_ascii_lowercase();
    let short = text.strip_suffix('b').unwrap_or(&text);
    let short = short.strip_suffix('i').unwrap_or(short);
    let binary = if short.ends_with(['k', 'm', 'g']) { format!("{short}iB") } else { text };
    binary.parse().ok().filter(|size: &ByteSize| size.0 > 0).map(|size| size.0).ok_or(expected)
}

/// A duration in seconds, or as jiff reads it: `90s`, `2h` or `30d`. A day has 24 hours.
pub fn duration(text: &str) -> Result<Duration, Expected> {
    duration_or_zero(text).and_then(|duration| {
        if duration.is_zero() { Err(Expected(DURATION)) } else { Ok(duration) }
    })
}

/// A duration, where 0 has a meaning.
pub fn duration_or_zero(text: &str) -> Result<Duration, Expected> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let span = text.parse::<jiff::Span>().and_then(|span| {
        Duration::try_from(span.to_duration(jiff::SpanRelativeTo::days_are_24_hours())?)
    });
    span.map_err(|_| Expected(DURATION))
}

const DURATION: &str = "a time such as 90s, 2h or 30d";

/// A duration, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DurationOrOff(pub(super) Option<Duration>);

pub(super) fn duration_or_off(text: &str) -> Result<DurationOrOff, Expected> {
    match text.trim() {
        "off" => Ok(DurationOrOff(None)),
        text => duration(text)
            .map(|duration| DurationOrOff(Some(duration)))
            .map_err(|_| Expected("a time such as 90s, 2h or 30d, or `off`")),
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
    fn durations_have_days_of_24_hours() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("30d"), Ok(Duration::from_hours(30 * 24)));
        assert_eq!(duration_or_zero("0s"), Ok(Duration::ZERO));
        for text in ["", "0", "0s", "-1h", "soon"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
