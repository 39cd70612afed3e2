//! Prices that were imported. They live in the ledger: what was paid is explained by the file that says what was paid,
//! wherever it is carried, and replicas that share a ledger share its prices.

use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    Error, Reader,
    sqlite::{self, Place},
};
use crate::domain::{
    exchange::OwnerId,
    price::{DatedPrice, LongPrompt, PicoDollars, Price, Prices},
};

/// How long an import waits for whoever writes.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

impl Reader {
    /// The imported prices, by model and day.
    pub async fn prices(&self) -> Result<Vec<Price>, Error> {
        const SQL: &str = "select model, since, above, input, output, cache_write_5m, cache_write_1h, cache_read \
             from price order by model, since, above";
        let rows = sqlx::query(SQL).fetch_all(&self.pool).await.map_err(Error::Read)?;
        let mut prices: Vec<Price> = Vec::new();
        for row in &rows {
            let model: String = row.try_get("model").map_err(Error::Read)?;
            let since: &str = row.try_get("since").map_err(Error::Read)?;
            let damaged = |_| Error::Damaged { table: "price", column: "since" };
            let since = since.parse().map_err(damaged)?;
            let above: i64 = row.try_get("above").map_err(Error::Read)?;
            let own = self::prices(row).map_err(Error::Read)?;
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

/// Keeps `prices` in the ledger at `url`; those of the same model and day are replaced. A ledger that is not there yet
/// is made, by `owner`. May run beside a server, which uses them from its next start on.
pub async fn import(url: &str, owner: OwnerId, prices: &[Price]) -> Result<(), Error> {
    let place = Place::parse(url)?;
    let mut conn = match place.take(owner).await {
        Ok((conn, _lock)) => conn,
        Err(Error::InUse { .. }) => {
            let mut conn = place.beside(PATIENCE).await.map_err(Error::Open)?;
            sqlite::check(&mut conn).await?;
            conn
        }
        Err(error) => return Err(error),
    };
    write(&mut conn, prices).await.map_err(Error::Write)
}

/// Forgets all imported prices; returns how many there were.
pub async fn forget(url: &str) -> Result<u64, Error> {
    let place = Place::parse(url)?;
    place.must_exist()?;
    let mut conn = place.beside(PATIENCE).await.map_err(Error::Open)?;
    sqlite::check(&mut conn).await?;
    let gone = sqlx::query("delete from price").execute(&mut conn).await.map_err(Error::Write)?;
    Ok(gone.rows_affected())
}

async fn write(conn: &mut SqliteConnection, prices: &[Price]) -> Result<(), sqlx::Error> {
    const GONE: &str = "delete from price where model = $1 and since = $2";
    const NEW: &str = "insert into price \
         (model, since, above, input, output, cache_write_5m, cache_write_1h, cache_read) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)";
    let mut tx = sqlx::Connection::begin_with(conn, "begin immediate").await?;
    for Price { model, dated } in prices {
        let since = dated.since.to_string();
        sqlx::query(GONE).bind(model).bind(&since).execute(&mut *tx).await?;
        let band = dated.long_prompt.as_ref().map(|band| (band.above, &band.prices));
        for (above, prices) in [(0, &dated.prices)].into_iter().chain(band) {
            let Prices { input, output, cache_write_5m, cache_write_1h, cache_read } = *prices;
            let mut query = sqlx::query(NEW).bind(model).bind(&since);
            query = query.bind(i64::try_from(above).unwrap_or(i64::MAX));
            for price in [input, output, cache_write_5m, cache_write_1h, cache_read] {
                query = query.bind(price.picos());
            }
            query.execute(&mut *tx).await?;
        }
    }
    tx.commit().await
}

fn prices(row: &SqliteRow) -> Result<Prices, sqlx::Error> {
    let price = |column| Ok::<_, sqlx::Error>(PicoDollars::new(row.try_get(column)?));
    Ok(Prices {
        input: price("input")?,
        output: price("output")?,
        cache_write_5m: price("cache_write_5m")?,
        cache_write_1h: price("cache_write_1h")?,
        cache_read: price("cache_read")?,
    })
}
