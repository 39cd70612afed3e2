//! Money: integers of nano-dollars, and how people read them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount of money, in billionths of a US dollar.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NanoDollars(pub i64);

/// A hundredth of a cent: the last digit of an amount below $100.
const FOURTH_DECIMAL: u64 = 100_000;
/// One cent.
const CENT: u64 = 10_000_000;

impl NanoDollars {
    /// US dollars, for JSON that clients add up; the ledger keeps the integer.
    #[expect(clippy::cast_precision_loss, reason = "exact up to nine million dollars")]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The amount closest to this many US dollars.
    #[expect(clippy::cast_possible_truncation, reason = "a float's conversion saturates")]
    pub fn from_dollars(dollars: f64) -> Self {
        Self((dollars * 1e9).round() as i64)
    }

    /// The amount rounded to cents from ten cents on, for estimates.
    #[must_use]
    pub const fn about(self) -> Self {
        match self.0 {
            100_000_000.. => Self((self.0 + 5_000_000) / 10_000_000 * 10_000_000),
            _ => self,
        }
    }

    /// The amount rounded down to the digits that are shown, so that a lower bound stays one.
    #[must_use]
    pub const fn floor(self) -> Self {
        let unit = match self.0 {
            ..100_000 => 1,
            100_000..100_000_000_000 => 100_000,
            _ => 10_000_000,
        };
        Self(self.0 - self.0 % unit)
    }
}

impl fmt::Display for NanoDollars {
    /// `$1,234.56` from $100 on, `$0.0123` below, and as many digits as it takes below a hundredth of a cent, so that no
    /// payment reads as zero.
    ///
    /// The alternate form (`{:#}`) is for prose: `$2.00` for whole cents, `$14.9179` otherwise, and two significant digits
    /// below a tenth of a cent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let is_small =
            0 < amount && amount < if f.alternate() { 10 * FOURTH_DECIMAL } else { FOURTH_DECIMAL };
        let text = if is_small {
            let unit =
                if f.alternate() { 10_u64.pow(amount.ilog10().saturating_sub(1)) } else { 1 };
            let rounded = (amount + unit / 2) / unit * unit;
            let digits = format!("{rounded:09}");
            format!("{sign}$0.{}", digits.trim_end_matches('0'))
        } else {
            let in_cents = if f.alternate() {
                amount.is_multiple_of(CENT)
            } else {
                amount >= 100_000_000_000 - FOURTH_DECIMAL / 2
            };
            let (unit, decimals) = if in_cents { (CENT, 2) } else { (FOURTH_DECIMAL, 4) };
            let rounded = (amount + unit / 2) / unit;
            let per_dollar = 10_u64.pow(decimals);
            let (dollars, rest) = (rounded / per_dollar, rounded % per_dollar);
            let dollars = if f.alternate() { dollars.to_string() } else { thousands(dollars) };
            format!("{sign}${dollars}.{rest:0width$}", width = decimals as usize)
        };
        f.pad(&text)
    }
}

/// A number with its digits in groups: `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}

/// The cost of an exchange. A sum of costs is exact only if every part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cost {
    /// Everything that was billed is known and priced.
    Exact(NanoDollars),
    /// A lower bound: the exchange ended early, and Anthropic billed this much or more.
    AtLeast(NanoDollars),
    /// The catalog has no price for the model.
    Unpriced,
}

impl Cost {
    /// The known amount, if there is one.
    pub const fn amount(self) -> Option<NanoDollars> {
        match self {
            Self::Exact(amount) | Self::AtLeast(amount) => Some(amount),
            Self::Unpriced => None,
        }
    }

    /// False if nothing is known to be paid, as for a call that failed before anything was billed.
    pub fn is_paid(self) -> bool {
        self.amount() != Some(NanoDollars(0))
    }

    /// The sum of two costs. An unpriced part makes it a lower bound, unless both are unpriced.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = |a: NanoDollars, b: NanoDollars| NanoDollars(a.0.saturating_add(b.0));
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) => Self::Exact(sum(a, b)),
            (Self::Exact(a) | Self::AtLeast(a), Self::Exact(b) | Self::AtLeast(b)) => {
                Self::AtLeast(sum(a, b))
            }
            (Self::Unpriced, Self::Unpriced) => Self::Unpriced,
            (known, Self::Unpriced) | (Self::Unpriced, known) => known.at_least(),
        }
    }

    /// The same amount as a lower bound, for an exchange that was stopped, cut or lost.
    #[must_use]
    pub const fn at_least(self) -> Self {
        match self {
            Self::Exact(amount) | Self::AtLeast(amount) => Self::AtLeast(amount),
            Self::Unpriced => Self::Unpriced,
        }
    }
}

impl fmt::Display for Cost {
    /// `$0.0123`, `≥ $0.0123` or `unpriced`; the alternate form is that of [`NanoDollars`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(amount) => amount.fmt(f),
            Self::AtLeast(amount) => {
                f.write_str("≥ ")?;
                if f.alternate() { *amount } else { amount.floor() }.fmt(f)
            }
            Self::Unpriced => f.write_str("unpriced"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(dollars: f64) -> String {
        NanoDollars::from_dollars(dollars).to_string()
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn amounts_stay_short_and_are_never_zero() {
        let small = [0.0, 0.000_035, 0.0001, 1.5, -0.25].map(shown);
        assert_eq!(small, ["$0.0000", "$0.000035", "$0.0001", "$1.5000", "-$0.2500"]);
        let large = [99.9999, 99.999_96, 100.0, 12_345.678].map(shown);
        assert_eq!(large, ["$99.9999", "$100.00", "$100.00", "$12,345.68"]);
    }

    #[test]
    fn a_lower_bound_is_not_rounded_up() {
        let bounds = [0.002_85, 0.0029, 0.000_035, 123.456_9]
            .map(|amount| Cost::AtLeast(NanoDollars::from_dollars(amount)).to_string());
        assert_eq!(bounds, ["≥ $0.0028", "≥ $0.0029", "≥ $0.000035", "≥ $123.45"]);
    }

    #[test]
    fn prose_has_whole_cents_or_two_significant_digits() {
        let shown = |nanos| format!("{:#}", NanoDollars(nanos));
        let amounts = [2_000_000_000, 14_917_900_000, 122_850, 75_390, 1, 0, 999_600];
        let expected =
            ["$2.00", "$14.9179", "$0.00012", "$0.000075", "$0.000000001", "$0.00", "$0.001"];
        assert_eq!(amounts.map(shown), expected);
    }
}
