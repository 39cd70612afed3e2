//! Warnings that a busy server would repeat with every call, and gives once in a while.

use std::{
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::Duration,
};

use crate::domain::exchange::UnixMillis;

/// The warnings.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    /// Open WebUI sends no ids.
    pub(super) missing_ids: LastTime,
    /// Upstream counted tokens that cannot be right.
    pub(super) doubtful_counts: LastTime,
    /// Upstream sent events out of order.
    pub(super) odd_order: LastTime,
}

/// The last time that a warning was given.
#[derive(Debug, Default)]
pub(super) struct LastTime(AtomicI64);

impl LastTime {
    /// Tells whether the warning was not given for some time, and notes that it is now. Of several callers, one is told.
    pub(super) fn is_due(&self, now: UnixMillis, pause: Duration) -> bool {
        let before = self.0.load(Relaxed);
        let pause = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        now.0.saturating_sub(before) >= pause
            && self.0.compare_exchange(before, now.0, Relaxed, Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_due_once_a_pause() {
        let last = LastTime::default();
        let at = |seconds: i64| UnixMillis(1_700_000_000_000 + seconds * 1000);
        let due =
            [0, 1, 59, 60, 61, 300].map(|second| last.is_due(at(second), Duration::from_mins(1)));
        assert_eq!(due, [true, false, false, true, false, true]);
    }
}
