//! Selection of rows that are older than a moment.
//!
//! A row whose time is ahead of the clock, because the clock was, would never be older than anything. The order of commits
//! tells more than its time: it is older than a moment if a call that was committed later came in before that moment.

use super::{
    connection::Connection,
    query::{QueryBuilder, query_scalar},
};
use crate::domain::exchange::UnixMillis;

/// Milliseconds by which a time counts as ahead. Less is what was written while the selection was made.
const AHEAD: i64 = 60_000;

/// Selection of the rows before a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Older {
    before: UnixMillis,
    /// Moment from which on times are ahead of the clock.
    ahead: UnixMillis,
    /// Of calls whose times are ahead, the newest `seq` that is selected.
    upto: i64,
}

impl Older {
    /// All rows.
    pub(super) const EVERYTHING: Self =
        Self { before: UnixMillis(i64::MAX), ahead: UnixMillis(i64::MAX), upto: 0 };

    /// The rows that are older than a moment, by a clock that shows `now`.
    pub(super) async fn than(
        conn: &mut Connection<'_>,
        before: UnixMillis,
        now: UnixMillis,
    ) -> Result<Self, sqlx::Error> {
        // Not later than the first call since that moment: a clock that was behind proves nothing.
        const UPTO: &str = "select case when exists (select 1 from call where at > $3) then \
             (select coalesce(max(seq), 0) from call where at < $1 and seq < coalesce( \
             (select min(seq) from call where at between $1 and $2), 9223372036854775807)) else 0 end";
        let ahead = ahead_of(now);
        let upto = query_scalar(UPTO).bind(before).bind(now).bind(ahead);
        Ok(Self { before, ahead, upto: upto.fetch_one(conn).await? })
    }

    /// The rows that are older than now, and all that have a time ahead of the clock.
    pub(super) fn than_now(now: UnixMillis) -> Self {
        Self { before: now, ahead: ahead_of(now), upto: i64::MAX }
    }

    /// The moment.
    pub(super) const fn before(self) -> UnixMillis {
        self.before
    }

    /// True if rows may be selected whose times are ahead of the clock.
    pub(super) const fn goes_ahead(self) -> bool {
        self.upto > 0
    }

    /// Appends the condition on `call`.
    pub(super) fn push_calls(self, query: &mut QueryBuilder<'_>) {
        query.push("(call.at < ").push_bind(self.before);
        if self.goes_ahead() {
            query.push(" or call.at > ").push_bind(self.ahead);
            query.push(" and call.seq <= ").push_bind(self.upto);
        }
        query.push(")");
    }

    /// Appends the condition on `exchange`.
    pub(super) fn push_exchanges(self, query: &mut QueryBuilder<'_>) {
        query.push("(exchange.ended_at < ").push_bind(self.before);
        if self.goes_ahead() {
            query.push(" or exchange.ended_at > ").push_bind(self.ahead);
            query.push(" and exchange.id in (select exchange from call where seq <= ");
            query.push_bind(self.upto).push(" and exchange is not null)");
        }
        query.push(")");
    }
}

/// The moment from which on times are ahead of a clock that shows `now`.
pub(super) const fn ahead_of(now: UnixMillis) -> UnixMillis {
    UnixMillis(now.0.saturating_add(AHEAD))
}
