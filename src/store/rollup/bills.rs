//! What was paid, exchange by exchange, so that it can be reckoned anew at other prices.

use std::ops::Range;

use futures_util::TryStreamExt;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, sqlite::SqliteRow};

use super::row::{COLUMNS, key};
use crate::{
    domain::{catalog::ModelUsage, exchange::UnixMillis, totals::Key},
    store::{
        Error, Reader,
        read::{self, MOST_PARTS},
    },
};

impl Reader {
    /// Shows each call that Claude was asked for within `span` to `visit`, with what each of its exchanges cost: bands
    /// of prices go by the exchange. Reads the exchanges, so it takes longer than [`Reader::calls`].
    pub async fn bills(
        &self,
        span: Range<UnixMillis>,
        mut visit: impl FnMut(UnixMillis, &Key<'_>, &[ModelUsage]),
    ) -> Result<(), Error> {
        let mut query = QueryBuilder::<Sqlite>::new(COLUMNS);
        query.push(
            ", exchange.priced_on, exchange.continues, exchange.id as last \
             from call left join exchange on exchange.id = call.exchange \
             where call.answered_by in ('miss', 'refresh', 'bypass') and call.at >= ",
        );
        let mut conn = self.pool.acquire().await.map_err(Error::Read)?;
        let counted_from = super::watermark(&mut conn).await?.totals_from;
        query
            .push_bind(span.start.max(counted_from).0)
            .push(" and call.at < ")
            .push_bind(span.end.0);
        let mut beside = self.pool.acquire().await.map_err(Error::Read)?;
        let mut rows = query.build().fetch(&mut *conn);
        while let Some(row) = rows.try_next().await.map_err(Error::Read)? {
            let at = UnixMillis(row.try_get(2).map_err(Error::Read)?);
            let bills = match row.try_get::<Option<&str>, _>("continues").map_err(Error::Read)? {
                None => vec![bill(&row)?],
                Some(_) => parts(&mut beside, row.try_get("last").map_err(Error::Read)?).await?,
            };
            visit(at, &key(&row)?, &bills);
        }
        Ok(())
    }
}

/// The exchanges of an answer that took several, the last one first.
async fn parts(conn: &mut SqliteConnection, last: String) -> Result<Vec<ModelUsage>, Error> {
    const SQL: &str = "select coalesce(model_served, model_asked) as model, priced_on, continues, \
         input, cache_write_5m, cache_write_1h, cache_read, output, thinking, searches, cost, cost_is \
         from exchange where id = $1";
    let mut parts = Vec::new();
    let mut next = Some(last);
    while let Some(id) = next.filter(|_| parts.len() < MOST_PARTS) {
        let found = sqlx::query(SQL).bind(id).fetch_optional(&mut *conn).await;
        let Some(row) = found.map_err(Error::Read)? else { break };
        parts.push(bill(&row)?);
        next = row.try_get("continues").map_err(Error::Read)?;
    }
    Ok(parts)
}

fn bill(row: &SqliteRow) -> Result<ModelUsage, Error> {
    let day: Option<&str> = row.try_get("priced_on").map_err(Error::Read)?;
    Ok(ModelUsage {
        model: row.try_get("model").map_err(Error::Read)?,
        tokens: read::tokens(row).map_err(Error::Read)?,
        cost: read::cost(row)?,
        priced_on: day.and_then(|day| day.parse().ok()),
    })
}
