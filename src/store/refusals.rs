//! Counts of refused requests that get no row of their own: those of unknown clients, and repetitions. A count an hour
//! and reason, so that the ledger does not grow with the number of requests.

use std::{
    collections::BTreeMap,
    mem,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;

use super::{Error, Reader, error::WriteError, insert::Sink, query::query_as};
use crate::domain::exchange::UnixMillis;

/// By hour since the Unix epoch, and reason.
type Counts = BTreeMap<(i64, String), i64>;

/// Counts that are not written yet.
#[derive(Debug, Default)]
pub(super) struct RefusalCounts {
    waiting: Mutex<Counts>,
    /// Set while an operation that takes them is queued: there is never more than one.
    is_queued: AtomicBool,
}

/// Adds the waiting counts to the ledger.
#[derive(Debug)]
pub(super) struct CountRefusals {
    from: Arc<RefusalCounts>,
    /// Counts that it has taken; it may have to write them several times.
    taken: Mutex<Counts>,
}

impl CountRefusals {
    /// Writes the counts inside the transaction that `connection` is in.
    pub(super) fn run(&self, sink: &mut Sink<'_>) -> Result<(), WriteError> {
        const SQL: &str = "insert into refusal (hour, reason, count) values ($1, $2, $3) \
             on conflict (hour, reason) do update set count = refusal.count + excluded.count";
        self.from.is_queued.store(false, Relaxed);
        let counts = {
            let mut taken = self.taken.lock();
            for (of, count) in mem::take(&mut *self.from.waiting.lock()) {
                *taken.entry(of).or_default() += count;
            }
            taken.clone()
        };
        let counts: Vec<_> = counts.into_iter().collect();
        sink.each(SQL, &counts, |values, ((hour, reason), count)| {
            values.add(hour)?;
            values.add(reason)?;
            values.add(count)
        })
    }
}

impl RefusalCounts {
    /// Counts a request; returns what has to be queued to write it, if that is not queued yet.
    pub(super) fn add(self: &Arc<Self>, at: UnixMillis, reason: &str) -> Option<CountRefusals> {
        let of = (at.hour(), reason.to_owned());
        *self.waiting.lock().entry(of).or_default() += 1;
        let is_queued = self.is_queued.swap(true, Relaxed);
        (!is_queued).then(|| CountRefusals { from: Arc::clone(self), taken: Mutex::default() })
    }
}

impl Reader {
    /// The number of requests that were refused without a row in the hours that begin within `span`, or with it, by
    /// reason.
    pub async fn refusals(&self, span: Range<UnixMillis>) -> Result<Vec<(String, u64)>, Error> {
        const SQL: &str = "select reason, cast(sum(count) as bigint) from refusal where hour >= $1 and hour < $2 group by reason";
        let last = UnixMillis(span.end.0.saturating_add(UnixMillis::HOUR - 1));
        let counts: Vec<(String, i64)> =
            query_as(SQL).bind(span.start.hour()).bind(last.hour()).fetch_all(&self.pool()).await?;
        let count = |(reason, count): (String, i64)| (reason, u64::try_from(count).unwrap_or(0));
        Ok(counts.into_iter().map(count).collect())
    }
}
