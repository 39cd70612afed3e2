//! Numbers as people read them in a terminal.

/// With cents from $100 on, with as many digits as it takes below a hundredth of a cent: what was paid is never $0.
pub(super) fn dollars(amount: f64) -> String {
    if amount < 0.0 {
        return format!("-{}", dollars(-amount));
    }
    if amount > 0.0 && amount < 0.0001 {
        return format!("${amount:.9}").trim_end_matches('0').to_owned();
    }
    let text = if amount < 99.99995 { format!("{amount:.4}") } else { format!("{amount:.2}") };
    let (whole, rest) = text.split_once('.').unwrap_or((&text, "0"));
    format!("${}.{rest}", whole.parse().map_or_else(|_| whole.to_owned(), thousands))
}

/// Cut off instead of rounded, so that a lower bound stays one.
pub(super) fn floor(amount: f64) -> f64 {
    let unit = if amount < 100.0 { 1e4 } else { 1e2 };
    // A hair more, since four decimals are mostly a hair less in binary.
    if amount < 0.0001 { amount } else { (amount * unit + 1e-6).floor() / unit }
}

/// `1234567` as `1,234,567`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}

/// To the token below a million, then in millions: the JSON has them all.
pub(super) fn tokens(count: u64) -> String {
    match count {
        ..1_000_000 => thousands(count),
        _ => format!("{}.{}M", thousands(count / 1_000_000), count / 100_000 % 10),
    }
}

/// A part of a whole, in percent; what is there is never 0 %.
pub(super) fn percent(part: f64) -> String {
    match part * 100.0 {
        percent if percent > 0.0 && percent < 0.5 => "<1%".to_owned(),
        percent => format!("{percent:.0}%"),
    }
}

/// Microseconds, in the unit that leaves few digits.
pub(super) fn time(micros: i64) -> String {
    match micros {
        ..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..100_000_000 => format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10),
        _ => format!("{} s", thousands(micros.unsigned_abs() / 1_000_000)),
    }
}

/// `1 call`, `2 calls`.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(count), if count == 1 { "" } else { "s" })
}

pub(super) fn calls(count: u64) -> String {
    counted(count, "call")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn tokens_and_dollars_stay_short() {
        let counts = [999_999, 1_000_000, 1_234_567_890].map(tokens);
        assert_eq!(counts, ["999,999", "1.0M", "1,234.5M"]);
        let small = [0.0, 0.000_035, 0.0001, 1.5, -0.25].map(dollars);
        assert_eq!(small, ["$0.0000", "$0.000035", "$0.0001", "$1.5000", "-$0.2500"]);
        let large = [99.9999, 99.999_96, 100.0, 12_345.678].map(dollars);
        assert_eq!(large, ["$99.9999", "$100.00", "$100.00", "$12,345.68"]);
    }

    #[test]
    fn a_lower_bound_is_not_rounded_up() {
        let bounds = [0.002_85, 0.0029, 0.000_035, 123.456_9].map(|amount| dollars(floor(amount)));
        assert_eq!(bounds, ["$0.0028", "$0.0029", "$0.000035", "$123.45"]);
    }

    #[test]
    fn times_and_parts_keep_few_digits() {
        let times = [12, 4_500, 999_999, 1_250_000, 61_000_000, 125_000_000].map(time);
        assert_eq!(times, ["12 µs", "4 ms", "999 ms", "1.2 s", "61.0 s", "125 s"]);
        assert_eq!([0.0, 0.001, 0.124, 1.0].map(percent), ["0%", "<1%", "12%", "100%"]);
    }
}
