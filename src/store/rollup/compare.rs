//! The sums of each hour beside those that its calls give now, for the check of a ledger.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;

use super::{HOUR, format, watermark};
use crate::{
    domain::{exchange::Tokens, totals::Totals},
    store::{Error, columns::Body, connection::Connection, query::query_as, row::from_row},
};

/// Sums of calls that do not depend on prices of today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::store) struct Sums {
    calls: i64,
    cost: i64,
    saved: i64,
    tokens: Tokens,
}

from_row!(Sums { calls, cost, saved, tokens: columns });

impl Sums {
    fn add(&mut self, totals: &Totals) {
        self.calls += i64::try_from(totals.calls).unwrap_or(i64::MAX);
        self.cost = self.cost.saturating_add(totals.cost.0);
        self.saved = self.saved.saturating_add(totals.saved.0);
        self.tokens += totals.tokens;
    }
}

struct HourRow {
    hour: i64,
    sums: Sums,
}

from_row!(HourRow { hour, sums: columns });

/// By hour, the sums that are kept and those of the calls. Sums that cannot be read count as none. Empty if all are void.
pub(in crate::store) async fn compared(
    conn: &mut Connection<'_>,
) -> Result<BTreeMap<i64, [Sums; 2]>, Error> {
    const KEPT: &str = "select hour, totals from rollup order by hour";
    const CALLS: &str = "select at / $1 as hour, count(*) as calls, cast(sum(coalesce(cost, 0)) as bigint) as cost, cast(sum(saved) as bigint) as saved, \
         cast(sum(input) as bigint) as input, cast(sum(cache_write_5m) as bigint) as cache_write_5m, cast(sum(cache_write_1h) as bigint) as cache_write_1h, \
         cast(sum(cache_read) as bigint) as cache_read, cast(sum(output) as bigint) as output, cast(sum(thinking) as bigint) as thinking, cast(sum(searches) as bigint) as searches \
         from call where seq <= $2 and at >= $3 and not (answered_by = 'replay' and exchange is not null) \
         group by at / $1";
    let mark = watermark(conn).await?;
    let mut hours: BTreeMap<i64, [Sums; 2]> = BTreeMap::new();
    if mark.upto == 0 {
        return Ok(hours);
    }
    let mut kept = query_as::<(i64, Body)>(KEPT).fetch(&mut *conn);
    while let Some((hour, Body(totals))) = kept.try_next().await? {
        let mut sums = Sums::default();
        if format::read(&totals, |_, _, totals| sums.add(totals)).is_none() {
            sums = Sums::default();
        }
        hours.entry(hour).or_default()[0] = sums;
    }
    drop(kept);
    let calls = query_as(CALLS).bind(HOUR).bind(mark.upto).bind(mark.totals_from);
    let mut calls = calls.fetch(conn);
    while let Some(HourRow { hour, sums }) = calls.try_next().await? {
        hours.entry(hour).or_default()[1] = sums;
    }
    Ok(hours)
}
