//! Recorded costs at prices that were learnt late or corrected. After it, each cost in the ledger is the one that it would
//! have if today's prices of its day had been known when it was recorded.
//!
//! Calls are written before the exchanges that they point at. So after a kill between two transactions, the next run finds
//! these exchanges again. Every transaction voids the sums, because they may have taken in the costs before. Each run is
//! in `repricing`, with the costs before and after.

mod changes;

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Serialize;
use sqlx::types::Text;

use self::changes::{CallChange, ExchangeChange, call_changes, exchange_changes};
use super::{
    Error, Reader,
    columns::cost_word,
    connection::Connection,
    query::{QueryBuilder, query, query_as},
    rollup,
    row::from_row,
};
use crate::domain::{
    budget::Spender,
    catalog::Catalog,
    exchange::{Cost, NanoDollars, UnixMillis},
    price::Charge,
};

/// Limit of rows that one transaction writes: openings of exchanges wait for it.
const CHUNK: usize = 1_000;

/// The occasion of a change of costs.
#[derive(Debug, Clone, Copy)]
pub struct Occasion<'a> {
    /// The time.
    pub at: UnixMillis,
    /// The cause, in words.
    pub cause: &'a str,
    /// The user who ran the command, or `serve`.
    pub operator: &'a str,
}

/// The changes of one run, of exchanges that one model answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repricing {
    /// The time.
    #[serde(skip)]
    pub at: UnixMillis,
    /// The cause, in words.
    pub cause: String,
    /// The user who ran the command, or `serve`.
    pub operator: String,
    /// The model that answered.
    pub model: String,
    /// Number of exchanges whose cost changed.
    pub exchanges: u64,
    /// Number of those that had no price.
    pub newly_priced: u64,
    /// Number of those that have none any more.
    pub no_longer_priced: u64,
    /// Sum of their known costs before.
    #[serde(skip)]
    pub before: NanoDollars,
    /// Sum of their known costs now.
    #[serde(skip)]
    pub after: NanoDollars,
}

from_row!(Repricing {
    at,
    cause,
    operator,
    model,
    exchanges: number,
    newly_priced: number,
    no_longer_priced: number,
    before,
    after,
});

/// The result of a run.
#[derive(Debug, Default)]
pub struct RepricingRun {
    /// The changes by model.
    pub changes: Vec<Repricing>,
    /// Number of exchanges with another price now whose recorded cost no price explains. They keep it.
    pub unexplained: u64,
}

/// The prices in a ledger, and those that its costs agree with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceState {
    version: i64,
    applied: i64,
    builtin: Option<String>,
    after_seq: i64,
}

from_row!(PriceState { version, applied, builtin, after_seq });

impl PriceState {
    pub(super) async fn read(conn: &mut Connection<'_>) -> Result<Self, sqlx::Error> {
        const SQL: &str = "select version, applied, builtin, after_seq from price_state";
        query_as(SQL).fetch_one(conn).await
    }

    /// True if the costs agree with all prices in the ledger and with the built-in ones.
    pub(super) fn is_settled(&self, builtin: &str) -> bool {
        self.applied == self.version && self.builtin.as_deref() == Some(builtin)
    }

    /// True if the prices in the ledger are those that all costs agree with.
    pub fn is_applied(&self) -> bool {
        self.applied == self.version
    }
}

/// Catalogs of a run.
pub(super) struct Prices<'a> {
    /// The prices by which the costs were computed, as far as they are known.
    pub(super) before: &'a Catalog,
    pub(super) now: &'a Catalog,
    /// As it was before `now` was read.
    pub(super) state: PriceState,
    /// The first day with other prices; `None`: any.
    pub(super) from: Option<Date>,
    /// The fingerprint of the built-in prices, if this process owns the ledger: no other computes costs meanwhile.
    pub(super) owner_of: Option<&'a str>,
}

/// Computes the recorded costs anew and writes those that change.
pub(super) async fn apply(
    conn: &mut Connection<'_>,
    prices: &Prices<'_>,
    occasion: Occasion<'_>,
) -> Result<RepricingRun, Error> {
    let state = &prices.state;
    let (changes, unexplained) = exchange_changes(conn, prices).await?;
    // Calls that another process wrote before it knew of the change.
    let suspect = if state.is_applied() { i64::MAX } else { state.after_seq };
    let calls = call_changes(conn, prices, &changes, suspect).await?;
    for chunk in calls.chunks(CHUNK) {
        write_calls(conn, chunk).await.map_err(Error::Write)?;
    }
    let mut run = RepricingRun { changes: Vec::new(), unexplained };
    for chunk in changes.chunks(CHUNK) {
        let audit = audit_of(chunk, occasion);
        write_exchanges(conn, chunk, &audit).await.map_err(Error::Write)?;
        run.changes.extend(audit);
    }
    run.changes = together(run.changes);
    finish(conn, state, prices.owner_of).await.map_err(Error::Write)?;
    for Repricing { model, exchanges, newly_priced, no_longer_priced, before, after, .. } in
        &run.changes
    {
        tracing::info!(
            cause = occasion.cause,
            operator = occasion.operator,
            model,
            exchanges,
            newly_priced,
            no_longer_priced,
            nano_dollars_before = before.0,
            nano_dollars_after = after.0,
            "recorded costs follow other prices"
        );
    }
    if unexplained > 0 {
        tracing::warn!(
            exchanges = unexplained,
            "no price explains what these exchanges cost; their costs stay"
        );
    }
    Ok(run)
}

async fn write_calls(conn: &mut Connection<'_>, calls: &[CallChange]) -> Result<(), sqlx::Error> {
    const SQL: &str = "update call set cost = $1, cost_is = $2, priced_as = $3, estimate = $4, saved = $5, saved_is = $6 \
         where seq = $7";
    let mut tx = conn.begin_write().await?;
    for CallChange { seq, cost, pricing, saved } in calls {
        query(SQL)
            .bind(cost.amount())
            .bind(cost_word(*cost))
            .bind(pricing.priced_as.as_deref())
            .bind(pricing.estimate)
            .bind(saved.amount().unwrap_or_default())
            .bind(if *saved == Cost::Unpriced { "unpriced" } else { "exact" })
            .bind(seq)
            .execute(&mut *tx)
            .await?;
    }
    rollup::void(&mut tx).await?;
    tx.commit().await
}

async fn write_exchanges(
    conn: &mut Connection<'_>,
    changes: &[ExchangeChange],
    audit: &[Repricing],
) -> Result<(), sqlx::Error> {
    const SQL: &str = "update exchange set cost = $1, cost_is = $2, priced_as = $3, estimate = $4, priced_on = $5, \
         bill = $6 where id = $7";
    const AUDIT: &str = "insert into repricing \
         (at, cause, operator, model, exchanges, newly_priced, no_longer_priced, before, after) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let mut tx = conn.begin_write().await?;
    for ExchangeChange { id, charge: Charge { cost, pricing }, priced_on, bill, .. } in changes {
        query(SQL)
            .bind(cost.amount())
            .bind(cost_word(*cost))
            .bind(pricing.priced_as.as_deref())
            .bind(pricing.estimate)
            .bind(Text(*priced_on))
            .bind(bill)
            .bind(id)
            .execute(&mut *tx)
            .await?;
    }
    for line in audit {
        let mut query = query(AUDIT).bind(line.at).bind(&line.cause).bind(&line.operator);
        query = query.bind(&line.model);
        for count in [line.exchanges, line.newly_priced, line.no_longer_priced] {
            query = query.bind(i64::try_from(count).unwrap_or(i64::MAX));
        }
        query.bind(line.before).bind(line.after).execute(&mut *tx).await?;
    }
    rollup::void(&mut tx).await?;
    tx.commit().await
}

/// Ends a run. Even where no cost changed, the savings of the prompt cache in the sums may have.
async fn finish(
    conn: &mut Connection<'_>,
    state: &PriceState,
    owner_of: Option<&str>,
) -> Result<(), sqlx::Error> {
    const APPLIED: &str = "update price_state set applied = $1, builtin = $2";
    let mut tx = conn.begin_write().await?;
    if let Some(builtin) = owner_of {
        query(APPLIED).bind(state.version).bind(builtin).execute(&mut *tx).await?;
    }
    rollup::void(&mut tx).await?;
    tx.commit().await
}

/// Notes a change of the prices in the ledger, inside the transaction that `conn` is in.
pub(super) async fn changed(conn: &mut Connection<'_>) -> Result<(), sqlx::Error> {
    const SQL: &str = "update price_state set version = version + 1, after_seq = case when applied = version \
         then (select coalesce(max(seq), 0) from call) else after_seq end";
    query(SQL).execute(conn).await?;
    Ok(())
}

/// The rows of changes in the audit, by model.
fn audit_of(changes: &[ExchangeChange], occasion: Occasion<'_>) -> Vec<Repricing> {
    let lines = changes.iter().map(|change| {
        let is_priced = |cost: Cost| cost != Cost::Unpriced;
        let (before, after) = (change.before, change.charge.cost);
        Repricing {
            at: occasion.at,
            cause: occasion.cause.to_owned(),
            operator: occasion.operator.to_owned(),
            model: change.model.clone(),
            // An estimate, or the name of a price, is no cost.
            exchanges: u64::from(before != after),
            newly_priced: u64::from(!is_priced(before) && is_priced(after)),
            no_longer_priced: u64::from(is_priced(before) && !is_priced(after)),
            before: if before == after {
                NanoDollars(0)
            } else {
                before.amount().unwrap_or_default()
            },
            after: if before == after {
                NanoDollars(0)
            } else {
                after.amount().unwrap_or_default()
            },
        }
    });
    together(lines.filter(|line| line.exchanges > 0).collect())
}

/// Adds up the rows of one run and model.
fn together(lines: Vec<Repricing>) -> Vec<Repricing> {
    let mut sums: BTreeMap<(UnixMillis, String, String), Repricing> = BTreeMap::new();
    for line in lines {
        let key = (line.at, line.cause.clone(), line.model.clone());
        match sums.get_mut(&key) {
            None => _ = sums.insert(key, line),
            Some(sum) => {
                sum.exchanges += line.exchanges;
                sum.newly_priced += line.newly_priced;
                sum.no_longer_priced += line.no_longer_priced;
                sum.before.0 = sum.before.0.saturating_add(line.before.0);
                sum.after.0 = sum.after.0.saturating_add(line.after.0);
            }
        }
    }
    sums.into_values().collect()
}

/// Calls at the price of another model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PricedAs {
    /// The model that answered.
    pub model: String,
    /// The model whose price was taken.
    pub priced_as: String,
    /// Number of calls.
    pub calls: u64,
}

from_row!(PricedAs { model, priced_as, calls: number });

/// Time, user, client key, model and estimate of a call.
type Estimated = (UnixMillis, Option<String>, Option<String>, String, NanoDollars);

impl Reader {
    /// All changes of recorded costs, the oldest first.
    pub async fn repricings(&self) -> Result<Vec<Repricing>, Error> {
        const SQL: &str = "select at, cause, operator, model, exchanges, newly_priced, no_longer_priced, before, after \
             from repricing order by id";
        Ok(together(query_as(SQL).fetch_all(&self.pool()).await?))
    }

    /// The calls that came in within `span` and were priced as another model.
    pub async fn priced_as(
        &self,
        span: std::ops::Range<UnixMillis>,
    ) -> Result<Vec<PricedAs>, Error> {
        let mut query = QueryBuilder::new(
            "select model, priced_as, count(*) as calls from call where priced_as is not null and at >= ",
        );
        query.push_bind(span.start).push(" and at < ").push_bind(span.end);
        query.push(" and at >= (select totals_from from rollup_state)");
        query.push(" group by model, priced_as order by calls desc, model, priced_as");
        Ok(query.build_query_as().fetch_all(&self.pool()).await?)
    }

    /// Shows what budgets count beside the cost of each call that came in within `span`: its user, and the estimate of what
    /// has no price.
    pub async fn estimates(
        &self,
        span: std::ops::Range<UnixMillis>,
        mut visit: impl FnMut(UnixMillis, Spender<'_>, NanoDollars),
    ) -> Result<(), Error> {
        let mut query = QueryBuilder::new(
            "select at, user_id, client_key, model, estimate from call where estimate is not null and at >= ",
        );
        query.push_bind(span.start).push(" and at < ").push_bind(span.end);
        query.push(" and at >= (select totals_from from rollup_state)");
        let rows: Vec<Estimated> = query.build_query_as().fetch_all(&self.pool()).await?;
        for (at, user, key, model, estimate) in rows {
            let (user, key) = (user.as_deref(), key.as_deref());
            visit(at, Spender { user, key, model: &model }, estimate);
        }
        Ok(())
    }

    /// The state of the prices. Read it before the prices: those may be newer, and then are applied again.
    pub async fn price_state(&self) -> Result<PriceState, Error> {
        let mut conn = self.pool().acquire().await?;
        Ok(PriceState::read(&mut conn).await?)
    }
}
