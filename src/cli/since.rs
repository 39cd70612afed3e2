//! Moments as a person writes them: `2h`, `7d`, `2026-11-20`.

use anyhow::{Context, anyhow};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::domain::exchange::UnixMillis;

/// The moment that `text` means when it is said at `now`.
pub(super) fn moment(text: &str, now: UnixMillis) -> anyhow::Result<UnixMillis> {
    let wrong = || {
        anyhow!(
            "--since: {text:?} is no time such as 30m, 2h, 7d, 2026-11-20 or 2026-11-20T15:00:00Z"
        )
    };
    if let Some((number, unit)) = text.split_at_checked(text.len().saturating_sub(1))
        && let Ok(number) = number.parse::<i64>()
    {
        let unit = match unit {
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            _ => return Err(wrong()),
        };
        let ago = number.checked_mul(unit * 1000).with_context(wrong)?;
        return Ok(UnixMillis(now.0.saturating_sub(ago)));
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(UnixMillis(moment.as_millisecond()));
    }
    let date: Date = text.parse().map_err(|_| wrong())?;
    let moment = date.to_zoned(TimeZone::UTC).map_err(|_| wrong())?;
    Ok(UnixMillis(moment.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_tell_them() {
        let now = UnixMillis(1_700_000_000_000);
        let told = |text| moment(text, now).map(|moment| moment.0);
        assert_eq!(told("2h").unwrap(), 1_699_992_800_000);
        assert_eq!(told("1d").unwrap(), 1_699_913_600_000);
        assert_eq!(told("2023-11-14").unwrap(), 1_699_920_000_000);
        assert_eq!(told("2023-11-14T00:00:01Z").unwrap(), 1_699_920_001_000);
        assert!(told("soon").unwrap_err().to_string().contains("is no time such as"));
        assert!(told("2y").is_err() && told("").is_err() && told("é").is_err());
    }
}
