//! Histograms of durations, in few bytes: the width of the buckets grows with the duration.
//!
//! A power of two has 32 buckets, so a quantile is at most 1.6 % off. Histograms can be added, quantiles can't: that is
//! why sums by hour keep these.

use super::exchange::Micros;

/// Counts of durations, by bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    /// Non-empty buckets with their counts, sorted.
    counts: Vec<(u16, u64)>,
}

impl Histogram {
    /// Counts one duration; a negative one counts as zero.
    pub fn record(&mut self, time: Micros) {
        self.add(bucket(u64::try_from(time.0).unwrap_or(0)), 1);
    }

    /// Counts `count` durations of a bucket.
    pub fn add(&mut self, bucket: u16, count: u64) {
        match self.counts.binary_search_by_key(&bucket, |&(held, _)| held) {
            Ok(at) => self.counts[at].1 += count,
            Err(at) => self.counts.insert(at, (bucket, count)),
        }
    }

    /// Adds another histogram.
    pub fn merge(&mut self, other: &Self) {
        for &(bucket, count) in &other.counts {
            self.add(bucket, count);
        }
    }

    /// Removes all counts, and keeps the memory.
    pub fn clear(&mut self) {
        self.counts.clear();
    }

    /// The non-empty buckets with their counts, sorted by duration.
    pub fn buckets(&self) -> &[(u16, u64)] {
        &self.counts
    }

    /// Number of durations.
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }

    /// The percentile by nearest rank; `None` if nothing was counted.
    pub fn percentile(&self, percent: u64) -> Option<Micros> {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        self.counts.iter().find_map(|&(bucket, count)| {
            seen += count;
            (seen >= rank).then(|| Micros(i64::try_from(middle(bucket)).unwrap_or(i64::MAX)))
        })
    }
}

/// Binary logarithm of the number of buckets for each power of two.
const BITS: u32 = 5;

/// The bucket of a duration: exact below 64 µs, by its six highest bits above.
fn bucket(micros: u64) -> u16 {
    let shift = micros.checked_ilog2().unwrap_or(0).saturating_sub(BITS);
    u16::try_from((u64::from(shift) << BITS) + (micros >> shift)).expect("at most 58 × 32 + 63")
}

/// The middle of a bucket, in microseconds.
fn middle(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    let shift = (bucket >> BITS).saturating_sub(1);
    ((bucket - (shift << BITS)) << shift) + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_is_near_all_that_is_in_it(micros in prop_oneof![0..100_u64, 0..1_u64 << 40]) {
            let off = middle(bucket(micros)).abs_diff(micros);
            prop_assert!(off * 62 <= micros, "{micros} reads as {}", middle(bucket(micros)));
        }

        #[test]
        fn longer_is_never_in_an_earlier_bucket(a: u64, b: u64) {
            prop_assert_eq!(bucket(a.min(b)).cmp(&bucket(a.max(b))).is_le(), true);
        }

        #[test]
        fn a_percentile_is_that_of_the_sorted_list(
            mut times in prop::collection::vec(0..64_i64, 1..200), percent in 1..=100_u64,
        ) {
            let (mut whole, mut half) = (Histogram::default(), Histogram::default());
            for (n, &time) in times.iter().enumerate() {
                if n % 2 == 0 { whole.record(Micros(time)) } else { half.record(Micros(time)) }
            }
            whole.merge(&half);
            times.sort_unstable();
            let rank = (times.len() * usize::try_from(percent).unwrap()).div_ceil(100).max(1);
            prop_assert_eq!(whole.percentile(percent), Some(Micros(times[rank - 1])));
        }
    }

    #[test]
    fn nothing_has_no_percentile() {
        assert_eq!(Histogram::default().percentile(50), None);
        assert_eq!(bucket(u64::MAX), 58 * 32 + 63);
    }
}
