//! Imported prices. They live in the ledger, so that a copy of it explains its own costs, and replicas that share a
//! ledger share its prices.

use jiff::civil::Date;
use sqlx::{Connection, FromRow, SqliteConnection, types::Text};

use super::{
    Error, Reader,
    sqlite::{self, DatabaseFile, Taken},
};
use crate::domain::{
    exchange::OwnerId,
    price::{DatedPrice, LongPrompt, Price, Prices},
};

/// Time that an import waits for the writer.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

impl Reader {
    /// The imported prices, by model and day.
    pub async fn prices(&self) -> Result<Vec<Price>, Error> {
        const SQL: &str = "select model, since, above, input, output, cache_write_5m, cache_write_1h, cache_read \
             from price order by model, since, above";
        let rows: Vec<PriceRow> = sqlx::query_as(SQL).fetch_all(&self.pool()).await?;
        let mut prices: Vec<Price> = Vec::new();
        for PriceRow { model, since: Text(since), above, prices: own } in rows {
            match (u64::try_from(above), prices.last_mut()) {
                (Ok(above @ 1..), Some(Price { model: last, dated }))
                    if *last == model && dated.since == since =>
                {
                    dated.long_prompt = Some(LongPrompt { above, prices: own });
                }
                _ => {
                    let dated = DatedPrice { since, prices: own, long_prompt: None };
                    prices.push(Price { model, dated });
                }
            }
        }
        Ok(prices)
    }
}

#[derive(FromRow)]
struct PriceRow {
    model: String,
    since: Text<Date>,
    above: i64,
    #[sqlx(flatten)]
    prices: Prices,
}

/// Writes `prices` to the ledger at `url`, in place of those of the same model and day. A missing ledger is created, by
/// `owner`. May run beside a server, which uses the prices from its next start on.
pub async fn import(url: &str, owner: OwnerId, prices: &[Price]) -> Result<(), Error> {
    let database = DatabaseFile::parse(url)?;
    let (mut conn, lock) = match database.take(owner).await {
        Ok(Taken { conn, lock, .. }) => (conn, lock),
        Err(Error::InUse { .. }) => {
            let mut conn = database.beside(PATIENCE).await.map_err(Error::Open)?;
            sqlite::check(&mut conn).await?;
            (conn, None)
        }
        Err(error) => return Err(error),
    };
    let written = write(&mut conn, prices).await.map_err(Error::Write);
    conn.close().await.map_err(Error::Write)?;
    drop(lock);
    written
}

/// Deletes all imported prices; returns their number.
pub async fn forget(url: &str) -> Result<u64, Error> {
    let database = DatabaseFile::parse(url)?;
    database.must_be_ledger().await?;
    let mut conn = database.beside(PATIENCE).await.map_err(Error::Open)?;
    sqlite::check(&mut conn).await?;
    let gone = sqlx::query("delete from price").execute(&mut conn).await.map_err(Error::Write)?;
    Ok(gone.rows_affected())
}

async fn write(conn: &mut SqliteConnection, prices: &[Price]) -> Result<(), sqlx::Error> {
    const GONE: &str = "delete from price where model = $1 and since = $2";
    const NEW: &str = "insert into price \
         (model, since, above, input, output, cache_write_5m, cache_write_1h, cache_read) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)";
    let mut tx = sqlite::begin_write(conn).await?;
    for Price { model, dated } in prices {
        sqlx::query(GONE).bind(model).bind(Text(dated.since)).execute(&mut *tx).await?;
        let band = dated.long_prompt.as_ref().map(|band| (band.above, &band.prices));
        for (above, prices) in [(0, &dated.prices)].into_iter().chain(band) {
            let Prices { input, output, cache_write_5m, cache_write_1h, cache_read } = *prices;
            let mut query = sqlx::query(NEW).bind(model).bind(Text(dated.since));
            query = query.bind(i64::try_from(above).unwrap_or(i64::MAX));
            for price in [input, output, cache_write_5m, cache_write_1h, cache_read] {
                query = query.bind(price);
            }
            query.execute(&mut *tx).await?;
        }
    }
    tx.commit().await
}
