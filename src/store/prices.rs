//! Imported prices. They live in the ledger, so that a copy of it explains its own costs, and replicas that share a
//! ledger share its prices.

use jiff::civil::Date;
use sqlx::types::Text;

use super::{
    Error, Ledger, Reader,
    connection::Connection,
    database::{self, Database, Taken},
    query::{query, query_as},
    reprice::{self, Occasion, PriceState, RepricingRun},
    row::from_row,
};
use crate::domain::{
    catalog::Catalog,
    exchange::{OwnerId, UnixMillis},
    price::{DatedPrice, LongPrompt, Price, Prices},
};

/// Time that an import waits for the writer.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

impl Reader {
    /// The imported prices, by model and day.
    pub async fn prices(&self) -> Result<Vec<Price>, Error> {
        const SQL: &str = "select model, since, above, input, output, cache_write_5m, cache_write_1h, cache_read \
             from price order by model, since, above";
        let rows: Vec<PriceRow> = query_as(SQL).fetch_all(&self.pool()).await?;
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

    /// The built-in catalog with the imported prices.
    pub async fn catalog(&self, today: Date) -> Result<Catalog, Error> {
        Ok(Catalog::builtin().with_prices(&self.prices().await?, today))
    }
}

struct PriceRow {
    model: String,
    since: Text<Date>,
    above: i64,
    prices: Prices,
}

from_row!(PriceRow { model, since, above, prices: columns });

/// A change of the imported prices.
#[derive(Debug, Clone, Copy)]
pub struct PriceChange<'a> {
    /// The new prices, in place of those of the same model and day; `None`: all imported prices are deleted.
    pub prices: Option<&'a [Price]>,
    /// The catalog before the change.
    pub before: &'a Catalog,
    /// The catalog after it.
    pub after: &'a Catalog,
    /// The first day with other prices.
    pub from: Option<Date>,
}

/// Changes the imported prices of the ledger at `url`, and the costs of past calls with them. A missing ledger is
/// created, by `owner`, where prices are added. May run beside a server, which finds the change by itself.
pub async fn change(
    url: &str,
    owner: OwnerId,
    change: PriceChange<'_>,
    occasion: Occasion<'_>,
) -> Result<RepricingRun, Error> {
    let PriceChange { prices, before, after, from } = change;
    let database = Database::parse(url)?;
    if prices.is_none() {
        // Nothing to delete in a ledger that is not there.
        database.must_be_ledger().await?;
    }
    // Where several processes may own it, none of them may be the first to apply what is built in here.
    let free = if database.is_shared() { database.must_be_free(owner).await } else { Ok(()) };
    let taken = match free {
        Ok(()) => database.take(owner).await,
        Err(error) => Err(error),
    };
    let is_owner = taken.is_ok();
    let (mut conn, lock) = match taken {
        Ok(Taken { conn, lock, .. }) => (conn, lock),
        Err(Error::InUse { .. }) => {
            let mut conn = database.beside(PATIENCE).await.map_err(Error::Open)?;
            database::check(&mut conn).await?;
            (conn, None)
        }
        Err(error) => return Err(error),
    };
    let builtin = Catalog::builtin().fingerprint();
    let owner_of = is_owner.then_some(&*builtin);
    let written = async {
        write(&mut conn, prices).await.map_err(Error::Write)?;
        let state = PriceState::read(&mut conn).await?;
        let catalogs = reprice::Prices { before, now: after, state, from, owner_of };
        reprice::apply(&mut conn, &catalogs, occasion).await
    };
    let written = written.await;
    conn.close().await.map_err(Error::Write)?;
    drop(lock);
    written
}

impl Ledger {
    /// Computes the costs in the ledger anew if prices have changed since they were last: while no server ran, by another
    /// process, or by a new version of the program. `catalog` has the prices of `state`; `builtin` is the fingerprint of
    /// those that are built in.
    pub async fn apply_prices(
        &self,
        state: PriceState,
        catalog: &Catalog,
        builtin: &str,
        at: UnixMillis,
    ) -> Result<(), Error> {
        if self.file.is_in_memory() || state.is_settled(builtin) {
            return Ok(());
        }
        let cause = if state.is_applied() {
            concat!("prices of reprise ", env!("CARGO_PKG_VERSION"))
        } else {
            "import or reset while the server ran"
        };
        let occasion = Occasion { at, cause, operator: "serve" };
        let mut conn = self.file.beside(PATIENCE).await.map_err(Error::Open)?;
        // Repeats that were answered during the first run may have saved the cost of before.
        let runs: &[Option<&str>] =
            if state.is_applied() { &[Some(builtin)] } else { &[None, Some(builtin)] };
        let mut run = Ok(RepricingRun::default());
        for &owner_of in runs {
            let (before, state) = (catalog, state.clone());
            let prices = reprice::Prices { before, now: catalog, state, from: None, owner_of };
            // Answers in memory have the costs of before.
            self.hot().forget();
            run = reprice::apply(&mut conn, &prices, occasion).await;
            self.hot().forget();
            if run.is_err() {
                break;
            }
        }
        conn.close().await.map_err(Error::Write)?;
        run.map(drop)
    }
}

async fn write(conn: &mut Connection<'_>, prices: Option<&[Price]>) -> Result<(), sqlx::Error> {
    const GONE: &str = "delete from price where model = $1 and since = $2";
    const NEW: &str = "insert into price \
         (model, since, above, input, output, cache_write_5m, cache_write_1h, cache_read) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)";
    let mut tx = conn.begin_write().await?;
    reprice::changed(&mut tx).await?;
    if prices.is_none() {
        query("delete from price").execute(&mut *tx).await?;
    }
    for Price { model, dated } in prices.into_iter().flatten() {
        query(GONE).bind(model).bind(Text(dated.since)).execute(&mut *tx).await?;
        let band = dated.long_prompt.as_ref().map(|band| (band.above, &band.prices));
        for (above, prices) in [(0, &dated.prices)].into_iter().chain(band) {
            let Prices { input, output, cache_write_5m, cache_write_1h, cache_read } = *prices;
            let mut query = query(NEW).bind(model).bind(Text(dated.since));
            query = query.bind(i64::try_from(above).unwrap_or(i64::MAX));
            for price in [input, output, cache_write_5m, cache_write_1h, cache_read] {
                query = query.bind(price);
            }
            query.execute(&mut *tx).await?;
        }
    }
    tx.commit().await
}
