//! Exchanges that were sealed as lost and have ended after all: their process was taken for dead, or their end stood in a
//! journal that nobody could read.

use crate::{
    domain::exchange::{CallId, ExchangeId},
    store::{
        connection::Connection,
        query::{QueryBuilder, query, query_scalar},
        rollup, session_index,
    },
};

/// Takes the rows of exchanges and calls out of the ledger, as far as these are lost, so that their ends take the places.
/// Sums that have them are made again.
pub(in crate::store) async fn regain(
    conn: &mut Connection<'_>,
    exchanges: &[ExchangeId],
    calls: &[CallId],
) -> Result<(), sqlx::Error> {
    const CALL: &str = "delete from call where seq = $1";
    const EXCHANGE: &str = "delete from exchange where id = $1 and outcome = 'lost'";
    let mut lost =
        QueryBuilder::new("select count(*) from exchange where outcome = 'lost' and id in (");
    lost.push_list(exchanges).push(")");
    let is_lost: i64 = lost.build_query_scalar().fetch_one(&mut *conn).await?;
    let lost_calls = lost_calls(conn, calls).await?;
    if is_lost == 0 && lost_calls.is_empty() {
        return Ok(());
    }
    let mut tx = conn.begin_write().await?;
    if !lost_calls.is_empty() {
        rollup::void(&mut tx).await?;
        for call in &lost_calls {
            query(CALL).bind(*call).execute(&mut *tx).await?;
        }
        session_index::forget_calls(&mut tx, &lost_calls).await?;
    }
    for exchange in exchanges {
        query(EXCHANGE).bind(*exchange).execute(&mut *tx).await?;
    }
    tx.commit().await
}

/// The numbers of lost calls.
async fn lost_calls(conn: &mut Connection<'_>, calls: &[CallId]) -> Result<Vec<i64>, sqlx::Error> {
    const SQL: &str = "select seq from call where id = $1 and outcome = 'lost'";
    let mut lost = Vec::new();
    for call in calls {
        lost.extend(query_scalar::<i64>(SQL).bind(*call).fetch_optional(&mut *conn).await?);
    }
    Ok(lost)
}
