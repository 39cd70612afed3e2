//! The exchanges and calls whose recorded costs are not those at today's prices of their day.

use std::collections::{HashMap, HashSet};

use jiff::civil::Date;
use sqlx::types::Text;

use super::Prices;
use crate::{
    domain::{
        catalog::{PricedExchange, day_of},
        exchange::{AnsweredBy, Cost, ExchangeId, NanoDollars, Outcome, Tokens, UnixMillis},
        price::{Bill, Charge, LONG_CACHE, Pricing},
    },
    store::{Error, connection::Connection, query::query_as, read::MOST_PARTS, row::from_row},
};

/// Limit of rows that one query reads.
const ROWS: i64 = 5_000;

struct ExchangeRow {
    position: i64,
    id: ExchangeId,
    model_asked: String,
    model_served: Option<String>,
    outcome: Outcome,
    ended_at: UnixMillis,
    priced_on: Option<Text<Date>>,
    bill: Option<String>,
    tokens: Tokens,
    cost: Cost,
    pricing: Pricing,
}

from_row!(ExchangeRow {
    position,
    id,
    model_asked,
    model_served,
    outcome,
    ended_at,
    priced_on,
    bill,
    tokens: columns,
    cost: columns,
    pricing: columns,
});

/// The new cost of an exchange.
pub(super) struct ExchangeChange {
    pub(super) id: ExchangeId,
    pub(super) model: String,
    pub(super) before: Cost,
    pub(super) charge: Charge,
    pub(super) priced_on: Date,
    /// An exchange that is older than the bills gets one.
    pub(super) bill: String,
}

struct CallRow {
    seq: i64,
    exchange: ExchangeId,
    answered_by: AnsweredBy,
    outcome: Outcome,
    cost: Cost,
    pricing: Pricing,
    saved: NanoDollars,
    saved_is: String,
}

from_row!(CallRow {
    seq,
    exchange,
    answered_by,
    outcome,
    cost: columns,
    pricing: columns,
    saved,
    saved_is,
});

/// The new costs of a call.
pub(super) struct CallChange {
    pub(super) seq: i64,
    pub(super) cost: Cost,
    pub(super) pricing: Pricing,
    pub(super) saved: Cost,
}

struct PartRow {
    continues: Option<ExchangeId>,
    cost: Cost,
    pricing: Pricing,
}

from_row!(PartRow { continues, cost: columns, pricing: columns });

/// A repeat of an answer whose prompt may still have been in the prompt cache.
struct EarlyHit {
    seq: i64,
    at: UnixMillis,
    exchange: ExchangeId,
    model_asked: String,
    model: String,
    ended_at: UnixMillis,
    bill: Option<String>,
    tokens: Tokens,
    cost: Cost,
}

from_row!(EarlyHit {
    seq,
    at,
    exchange,
    model_asked,
    model,
    ended_at,
    bill,
    tokens: columns,
    cost: columns,
});

/// The exchanges that have another cost now, and the number of those that no price explains.
pub(super) async fn exchange_changes(
    conn: &mut Connection<'_>,
    prices: &Prices<'_>,
) -> Result<(Vec<ExchangeChange>, u64), Error> {
    const SQL: &str = "select rowid as position, id, model_asked, model_served, outcome, ended_at, priced_on, bill, \
         input, cache_write_5m, cache_write_1h, cache_read, output, thinking, searches, \
         cost, cost_is, priced_as, estimate \
         from exchange where rowid > $1 and ended_at >= $2 and priced_on is not null order by rowid limit $3";
    let Prices { before, now, from, .. } = prices;
    let from = from.and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok());
    let from = from.map_or(i64::MIN, |day| day.timestamp().as_millisecond());
    let (mut changes, mut unexplained, mut position) = (Vec::new(), 0, i64::MIN);
    loop {
        let rows: Vec<ExchangeRow> =
            query_as(SQL).bind(position).bind(from).bind(ROWS).fetch_all(&mut *conn).await?;
        let Some(last) = rows.last() else { return Ok((changes, unexplained)) };
        position = last.position;
        for row in rows {
            let day = day_of(row.ended_at);
            let asked = row.model_asked;
            let exchange = PricedExchange {
                model: row.model_served.unwrap_or_else(|| asked.clone()),
                asked,
                tokens: row.tokens,
                bill: row.bill,
                is_complete: row.outcome == Outcome::Complete,
                cost: row.cost,
                priced_on: row.priced_on.map(|Text(day)| day),
            };
            let Some(bill) = now.recorded_bill(&exchange, before) else {
                let [then, now] =
                    [before, now].map(|it| it.price_for(&exchange.model, &exchange.asked, day));
                unexplained += u64::from(then != now);
                continue;
            };
            // What was not billed has no tokens, or no cost at any price.
            let is_unbilled = exchange.bill.is_none()
                && exchange.tokens == Tokens::default()
                && exchange.cost != Cost::Unpriced;
            let charge = now.charge(&bill, &exchange.asked, day);
            if !is_unbilled && (charge.cost != row.cost || charge.pricing != row.pricing) {
                let priced_on = now.priced_on(day);
                let bill = bill.encode(&exchange.model, &exchange.tokens);
                let (model, before) = (exchange.model, row.cost);
                changes.push(ExchangeChange { id: row.id, model, before, charge, priced_on, bill });
            }
        }
    }
}

/// The calls whose costs, or savings, change with the exchanges that answered them.
pub(super) async fn call_changes(
    conn: &mut Connection<'_>,
    prices: &Prices<'_>,
    changes: &[ExchangeChange],
    suspect: i64,
) -> Result<Vec<CallChange>, Error> {
    const CONTINUED: &str = "select continues, id from exchange where continues is not null";
    const CALLS: &str = "select seq, exchange, answered_by, outcome, cost, cost_is, priced_as, estimate, saved, saved_is \
         from call where seq > $1 and exchange is not null order by seq limit $2";
    let early = savings_of_early_hits(conn, prices, changes).await?;
    if changes.is_empty() && early.is_empty() && suspect == i64::MAX {
        return Ok(Vec::new());
    }
    let found: HashMap<ExchangeId, &Charge> =
        changes.iter().map(|change| (change.id, &change.charge)).collect();
    // A call points at the last part of its answer.
    let continued: Vec<(ExchangeId, ExchangeId)> =
        query_as(CONTINUED).fetch_all(&mut *conn).await?;
    let continued: HashMap<ExchangeId, ExchangeId> = continued.into_iter().collect();
    let mut ends: HashSet<ExchangeId> = HashSet::with_capacity(found.len());
    for &id in found.keys() {
        let mut last = id;
        // Damaged rows may continue each other in a circle.
        for _ in 0..MOST_PARTS {
            ends.insert(last);
            let Some(next) = continued.get(&last) else { break };
            last = *next;
        }
    }
    let (mut news, mut seq) = (Vec::new(), 0);
    loop {
        let rows: Vec<CallRow> = query_as(CALLS).bind(seq).bind(ROWS).fetch_all(&mut *conn).await?;
        let Some(last) = rows.last() else { return Ok(news) };
        seq = last.seq;
        let affected = |row: &CallRow| {
            ends.contains(&row.exchange) || early.contains_key(&row.seq) || row.seq > suspect
        };
        for row in rows.into_iter().filter(affected) {
            let Some((cost, pricing)) = cost_of_answer(conn, row.exchange, &found).await? else {
                continue;
            };
            let saved = match &*row.saved_is {
                "unpriced" => Cost::Unpriced,
                _ => Cost::Exact(row.saved),
            };
            let CallRow { seq, answered_by, outcome, .. } = row;
            let change = if answered_by.asks() {
                CallChange { seq, cost, pricing, saved }
            } else if answered_by.is_reuse() && outcome == Outcome::Complete {
                let saved = early.get(&seq).copied().unwrap_or(cost);
                let saved = saved.amount().map_or(Cost::Unpriced, Cost::Exact);
                CallChange { seq, cost: row.cost, pricing: row.pricing.clone(), saved }
            } else {
                continue;
            };
            if (change.cost, &change.pricing, change.saved) != (row.cost, &row.pricing, saved) {
                news.push(change);
            }
        }
    }
}

/// What repeats saved, by `seq`, where that is less than the cost of the answer ([`cost_again`](crate::domain::catalog::Catalog::cost_again)).
async fn savings_of_early_hits(
    conn: &mut Connection<'_>,
    prices: &Prices<'_>,
    changes: &[ExchangeChange],
) -> Result<HashMap<i64, Cost>, Error> {
    const SQL: &str = "select call.seq, call.at, exchange.id as exchange, model_asked, \
         coalesce(model_served, model_asked) as model, ended_at, bill, exchange.input, exchange.cache_write_5m, \
         exchange.cache_write_1h, exchange.cache_read, exchange.output, exchange.thinking, exchange.searches, \
         exchange.cost, exchange.cost_is from call join exchange on exchange.id = call.exchange \
         where answered_by = 'hit' and call.at < ended_at + $1 and continues is null \
         and exchange.cache_write_5m + exchange.cache_write_1h > 0";
    let longest = i64::try_from(LONG_CACHE.as_millis()).unwrap_or(i64::MAX);
    let hits: Vec<EarlyHit> = query_as(SQL).bind(longest).fetch_all(&mut *conn).await?;
    let changes: HashMap<ExchangeId, &ExchangeChange> =
        changes.iter().map(|change| (change.id, change)).collect();
    let saving = |hit: EarlyHit| {
        let EarlyHit { seq, at, exchange, model_asked, model, ended_at, bill, tokens, cost } = hit;
        let change = changes.get(&exchange);
        let (cost, bill) = change
            .map_or((cost, bill.as_deref()), |change| (change.charge.cost, Some(&*change.bill)));
        let bill = Bill::decode(bill?, &model, &tokens)?;
        let (day, age) = (day_of(ended_at), at.since(ended_at));
        Some((seq, prices.now.cost_again(cost, &bill, &model_asked, day, age)))
    };
    Ok(hits.into_iter().filter_map(saving).collect())
}

/// The cost of an answer: that of its last exchange and of all that this one continues. `None`: it is not there any more.
async fn cost_of_answer(
    conn: &mut Connection<'_>,
    last: ExchangeId,
    found: &HashMap<ExchangeId, &Charge>,
) -> Result<Option<(Cost, Pricing)>, Error> {
    const SQL: &str =
        "select continues, cost, cost_is, priced_as, estimate from exchange where id = $1";
    let (mut sum, mut next) = (None, Some(last));
    for _ in 0..MOST_PARTS {
        let Some(id) = next else { break };
        let part: Option<PartRow> = query_as(SQL).bind(id).fetch_optional(&mut *conn).await?;
        let Some(PartRow { continues, cost, pricing }) = part else { break };
        let (cost, pricing) = match found.get(&id) {
            Some(Charge { cost, pricing }) => (*cost, pricing.clone()),
            None => (cost, pricing),
        };
        sum = Some(match sum {
            None => (cost, pricing),
            Some((all, mut details)) => {
                let all: Cost = cost.plus(all);
                Pricing::add(&mut details, &pricing);
                (all, details)
            }
        });
        next = continues;
    }
    Ok(sum)
}
