//! Bills: the cost of each exchange, so that it can be computed again at other prices.

use std::ops::Range;

use futures_util::TryStreamExt;
use jiff::civil::Date;
use sqlx::types::Text;

use super::row::{COLUMNS, CallTotals};
use crate::{
    domain::{
        catalog::PricedExchange,
        exchange::{CallId, Cost, ExchangeId, Outcome, Tokens, UnixMillis},
        totals::Key,
    },
    store::{
        Error, Reader,
        query::{QueryBuilder, query_as},
        read::answer_parts,
        row::{FromRow as _, from_row},
    },
};

/// Selection of calls whose bills are read.
#[derive(Debug, Clone, Copy)]
pub enum BilledCalls<'a> {
    /// Those that came in within the span and that reports count.
    Within(&'a Range<UnixMillis>),
    /// These.
    These(&'a [CallId]),
}

impl Reader {
    /// Shows each of `calls` that was answered upstream to `visit`, with the bills of its exchanges: prices of
    /// long prompts go by the exchange. Reads the exchanges, so it takes longer than [`Reader::calls`].
    pub async fn bills(
        &self,
        calls: BilledCalls<'_>,
        mut visit: impl FnMut(UnixMillis, &Key<'_>, &[PricedExchange]),
    ) -> Result<(), Error> {
        const PARTS: &str = answer_parts!(
            "select coalesce(model_served, model_asked) as model, model_asked, exchange.outcome, bill, priced_on, \
             input, cache_write_5m, cache_write_1h, cache_read, output, thinking, searches, cost, cost_is"
        );
        let mut query = QueryBuilder::new(COLUMNS);
        query.push(
            ", exchange.model_asked, exchange.bill, exchange.priced_on, exchange.continues, exchange.id as last \
             from call left join exchange on exchange.id = call.exchange \
             where call.answered_by in ('miss', 'refresh', 'bypass') and ",
        );
        let mut conn = self.pool().acquire().await?;
        match calls {
            BilledCalls::Within(span) => {
                let counted_from = super::watermark(&mut conn).await?.totals_from;
                query.push("call.at >= ").push_bind(span.start.max(counted_from));
                query.push(" and call.at < ").push_bind(span.end);
            }
            BilledCalls::These(ids) => {
                query.push("call.id in (select value from json_each(");
                query.push_bind(serde_json::json!(ids).to_string()).push("))");
            }
        }
        let mut beside = self.pool().acquire().await?;
        let mut rows = query.build().fetch(&mut conn);
        while let Some(row) = rows.try_next().await? {
            let call = CallTotals::read(&row)?;
            let bills: Vec<BillRow> = if row.get::<Option<ExchangeId>, _>("continues")?.is_none() {
                vec![BillRow::from_row(&row)?]
            } else {
                let last: ExchangeId = row.get("last")?;
                query_as(PARTS).bind(last).fetch_all(&mut beside).await?
            };
            let bills: Vec<PricedExchange> = bills.into_iter().map(PricedExchange::from).collect();
            visit(call.at, &call.key(), &bills);
        }
        Ok(())
    }
}

struct BillRow {
    model: String,
    /// `None`: the exchange is not there any more.
    model_asked: Option<String>,
    outcome: Outcome,
    bill: Option<String>,
    priced_on: Option<Text<Date>>,
    tokens: Tokens,
    cost: Cost,
}

from_row!(BillRow { model, model_asked, outcome, bill, priced_on, tokens: columns, cost: columns });

impl From<BillRow> for PricedExchange {
    fn from(row: BillRow) -> Self {
        let BillRow { model, model_asked, outcome, bill, priced_on, tokens, cost } = row;
        Self {
            asked: model_asked.unwrap_or_else(|| model.clone()),
            model,
            tokens,
            bill,
            is_complete: outcome == Outcome::Complete,
            cost,
            priced_on: priced_on.map(|Text(day)| day),
        }
    }
}
