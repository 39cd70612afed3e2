//! Rows of `call` as reports read them.

use std::{borrow::Cow, ops::Range};

use futures_util::TryStreamExt;

use crate::{
    domain::{
        catalog::{Catalog, day_of},
        exchange::{AnsweredBy, Cost, Micros, NanoDollars, Outcome, Tokens, UnixMillis},
        tags::Tags,
        totals::{Key, Totals},
    },
    store::{
        Error,
        calls::push_tags,
        columns::{cost, count},
        connection::Connection,
        query::QueryBuilder,
        row::AnyRow,
    },
};

/// Selection of calls.
pub(super) enum Selection<'a> {
    /// Calls after this `seq` that came in within the span.
    After(i64, Range<i64>),
    /// All calls that came in within the span.
    Within(Range<i64>),
    /// The next calls after this `seq`, in its order, at most as many as the second number.
    Next(i64, i64),
    /// The calls within the span that have tags: all of these.
    Tagged(Range<i64>, &'a [String]),
}

/// The key and the totals of a call.
pub(super) struct CallTotals<'r> {
    pub(super) seq: i64,
    pub(super) id: &'r str,
    pub(super) at: UnixMillis,
    model: &'r str,
    priced_as: Option<&'r str>,
    user_id: Option<&'r str>,
    chat_id: Option<&'r str>,
    task: Option<&'r str>,
    client: Option<&'r str>,
    client_key: Option<&'r str>,
    answered_by: AnsweredBy,
    status: Option<i64>,
    outcome: Outcome,
    error_kind: Option<&'r str>,
    ttft_us: Option<Micros>,
    total_us: Option<Micros>,
    tries: u32,
    tokens: Tokens,
    cost: Cost,
    saved: NanoDollars,
    saved_is: &'r str,
    /// Set if no client made the call: it came with a fixture that was imported.
    pub(super) imported: bool,
}

/// The columns of [`CallTotals`].
pub(super) const COLUMNS: &str = "select call.seq, call.id, call.at, call.model, call.priced_as, call.user_id, call.chat_id, \
     call.task, call.client, call.client_key, call.answered_by, call.status, call.outcome, call.error_kind, \
     call.ttft_us, call.total_us, call.tries, \
     call.input, call.cache_write_5m, call.cache_write_1h, call.cache_read, call.output, call.thinking, \
     call.searches, call.cost, call.cost_is, call.saved, call.saved_is, \
     call.answered_by = 'replay' and call.exchange is not null as imported ";

/// Shows each call to `visit`, as totals of one call. `catalog` tells the savings of the prompt cache.
pub(super) async fn each_call(
    conn: &mut Connection<'_>,
    selection: Selection<'_>,
    catalog: &Catalog,
    mut visit: impl FnMut(&CallTotals<'_>, &Key<'_>, &Totals, &Tags),
) -> Result<(), Error> {
    let mut query = QueryBuilder::new(COLUMNS);
    let is_tagged = matches!(selection, Selection::Tagged(..));
    query.push(if is_tagged { ", call.tags from call where " } else { "from call where " });
    match selection {
        // The `+ 0` keeps the database from going through all calls of the span instead of the few after the watermark.
        Selection::After(seq, span) => query
            .push("seq > ")
            .push_bind(seq)
            .push(" and at + 0 >= ")
            .push_bind(span.start)
            .push(" and at + 0 < ")
            .push_bind(span.end),
        Selection::Within(span) => {
            query.push("at >= ").push_bind(span.start).push(" and at < ").push_bind(span.end)
        }
        Selection::Next(seq, most) => {
            query.push("seq > ").push_bind(seq).push(" order by seq limit ").push_bind(most)
        }
        Selection::Tagged(span, tags) => {
            query.push("tags is not null and at >= ").push_bind(span.start);
            query.push(" and at < ").push_bind(span.end);
            push_tags(&mut query, tags);
            &mut query
        }
    };
    let mut rows = query.build().fetch(conn);
    let mut totals = Totals::default();
    let mut tags = Tags::default();
    while let Some(row) = rows.try_next().await? {
        let call = CallTotals::read(&row)?;
        let key = call.key();
        call.add_up(&key, catalog, &mut totals);
        if is_tagged {
            tags = row.get("tags")?;
        }
        visit(&call, &key, &totals, &tags);
    }
    Ok(())
}

impl<'r> CallTotals<'r> {
    /// Reads a row that begins with [`COLUMNS`]. They go by their positions: a report reads a million rows, and looking
    /// up each column by its name takes a tenth of its time.
    pub(super) fn read(row: &'r AnyRow) -> sqlx::Result<Self> {
        let mut at = 0_usize;
        macro_rules! next {
            () => {{
                at += 1;
                row.get(at - 1)?
            }};
        }
        Ok(Self {
            seq: next!(),
            id: next!(),
            at: next!(),
            model: next!(),
            priced_as: next!(),
            user_id: next!(),
            chat_id: next!(),
            task: next!(),
            client: next!(),
            client_key: next!(),
            answered_by: next!(),
            status: next!(),
            outcome: next!(),
            error_kind: next!(),
            ttft_us: next!(),
            total_us: next!(),
            tries: u32::try_from(count(next!())).unwrap_or(u32::MAX),
            tokens: Tokens {
                input: count(next!()),
                cache_write_5m: count(next!()),
                cache_write_1h: count(next!()),
                cache_read: count(next!()),
                output: count(next!()),
                thinking: count(next!()),
                searches: count(next!()),
            },
            cost: cost(next!(), next!())?,
            saved: next!(),
            saved_is: next!(),
            imported: next!(),
        })
    }

    pub(super) fn key(&self) -> Key<'r> {
        Key {
            model: self.model.into(),
            user: self.user_id.map(Cow::Borrowed),
            chat: self.chat_id.map(Cow::Borrowed),
            task: self.task.map(Cow::Borrowed),
            client: self.client.map(Cow::Borrowed),
            client_key: self.client_key.map(Cow::Borrowed),
            answered_by: self.answered_by,
            error: self.error(),
        }
    }

    /// The kind of the error; `None` where there was none.
    fn error(&self) -> Option<Cow<'r, str>> {
        let refused = self.status.filter(|&status| status >= 400);
        let ended = match self.outcome {
            Outcome::Failed | Outcome::Cut | Outcome::Lost | Outcome::Refused => {
                Some(self.outcome.into_str())
            }
            Outcome::Complete | Outcome::Stopped => None,
        };
        match (self.error_kind, refused, ended) {
            (_, None, None) => None,
            (Some(kind), ..) => Some(kind.into()),
            (None, Some(status), _) if self.outcome == Outcome::Complete => {
                Some(format!("http {status}").into())
            }
            (None, ..) => Some(self.outcome.into_str().into()),
        }
    }

    fn add_up(&self, key: &Key<'_>, catalog: &Catalog, totals: &mut Totals) {
        let Self { tokens, cost, .. } = self;
        totals.calls = 1;
        totals.tries = u64::from(self.tries);
        totals.tokens = *tokens;
        totals.cost = cost.amount().unwrap_or_default();
        totals.at_least = u64::from(matches!(cost, Cost::AtLeast(_)));
        totals.unpriced = u64::from(*cost == Cost::Unpriced);
        totals.saved = self.saved;
        totals.saved_unpriced = u64::from(self.saved_is == "unpriced");
        let cached = tokens.cache_write_5m + tokens.cache_write_1h + tokens.cache_read > 0;
        // A call that was not billed saved nothing either.
        let billed = key.answered_by.asks() && *cost != Cost::Exact(NanoDollars(0));
        let cache = (cached && billed).then(|| {
            catalog.cache_saving_on(self.priced_as.unwrap_or(self.model), tokens, day_of(self.at))
        });
        totals.cache_saved = cache.flatten().unwrap_or_default();
        totals.cache_unpriced = u64::from(cache == Some(None));
        for (histogram, time) in
            [(&mut totals.ttft, self.ttft_us), (&mut totals.total, self.total_us)]
        {
            histogram.clear();
            if let Some(time) = time {
                histogram.record(time);
            }
        }
    }
}
