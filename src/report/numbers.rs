//! Formats of numbers for a terminal.

use crate::domain::exchange::NanoDollars;
pub(super) use crate::domain::exchange::thousands;

/// Formats an amount in US dollars to the nano-dollar, for other programs.
pub(super) fn in_full(amount: NanoDollars) -> String {
    let sign = if amount.0 < 0 { "-" } else { "" };
    let nanos = amount.0.unsigned_abs();
    format!("{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

/// Formats a token count: exact below a million, then in millions. JSON has the exact count.
pub(super) fn tokens(count: u64) -> String {
    match count {
        ..1_000_000 => thousands(count),
        _ => format!("{}.{}M", thousands(count / 1_000_000), count / 100_000 % 10),
    }
}

/// Formats a fraction in percent. A fraction above zero is never shown as 0 %.
pub(super) fn percent(part: f64) -> String {
    match part * 100.0 {
        percent if percent > 0.0 && percent < 0.5 => "<1%".to_owned(),
        percent => format!("{percent:.0}%"),
    }
}

/// Formats microseconds in the unit that leaves few digits.
pub(super) fn time(micros: i64) -> String {
    match micros {
        ..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..100_000_000 => format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10),
        _ => format!("{} s", thousands(micros.unsigned_abs() / 1_000_000)),
    }
}

/// Formats a count with its noun: `1 call`, `2 calls`.
pub fn counted(count: impl TryInto<u64>, noun: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{} {noun}{}", thousands(count), if count == 1 { "" } else { "s" })
}

pub(super) fn calls(count: u64) -> String {
    counted(count, "call")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stay_short() {
        let counts = [999_999, 1_000_000, 1_234_567_890].map(tokens);
        assert_eq!(counts, ["999,999", "1.0M", "1,234.5M"]);
    }

    #[test]
    fn times_and_parts_keep_few_digits() {
        let times = [12, 4_500, 999_999, 1_250_000, 61_000_000, 125_000_000].map(time);
        assert_eq!(times, ["12 µs", "4 ms", "999 ms", "1.2 s", "61.0 s", "125 s"]);
        assert_eq!([0.0, 0.001, 0.124, 1.0].map(percent), ["0%", "<1%", "12%", "100%"]);
    }
}
