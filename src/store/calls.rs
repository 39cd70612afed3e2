//! Calls one by one: pages of calls for an export, and all that is known about a single one.

use std::ops::Range;

use uuid::Uuid;

use super::{
    Error, Reader,
    call_condition::Condition,
    query::{QueryBuilder, query_as, query_scalar},
    read::answer_parts,
    row::{FromRow, from_row},
};
use crate::domain::{
    cache::CacheKey,
    chain::Hash,
    exchange::{
        AnsweredBy, Api, CallId, Cost, ExchangeId, Micros, NanoDollars, Outcome, Tokens, UnixMillis,
    },
    tags::Tags,
};

/// Limit of calls in a page. A page is read at once, so that a slow reader of an export does not hold an old state of
/// the ledger.
const PAGE: i64 = 1000;

/// Time after the beginning of an exchange within which one that continues it begins.
const A_DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Selection of calls: all given conditions hold.
#[derive(Debug, Clone)]
pub struct CallFilter {
    /// The time of arrival.
    pub span: Range<UnixMillis>,
    /// The user.
    pub user: Option<String>,
    /// The chat.
    pub chat: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The background task.
    pub task: Option<String>,
    /// The outcome.
    pub outcome: Option<Outcome>,
    /// The source of the answer.
    pub answered_by: Option<AnsweredBy>,
    /// Tags, as `TAG`, `KEY=VALUE`, or `KEY` for any value.
    pub tags: Vec<String>,
    /// Further conditions.
    pub conditions: Vec<Condition>,
}

/// A call without its bodies, and what its last exchange knows besides.
#[derive(Debug, Clone)]
pub struct CallRow {
    /// The number of its commit.
    pub seq: i64,
    pub id: CallId,
    /// Time of arrival.
    pub at: UnixMillis,
    /// The exchange that answered, the last one of several.
    pub exchange: Option<ExchangeId>,
    pub answered_by: AnsweredBy,
    /// The reason why it went upstream, or was refused.
    pub reason: Option<String>,
    /// The API that the client used.
    pub api: Api,
    pub stream: bool,
    pub user: Option<String>,
    /// The name of the user.
    pub user_name: Option<String>,
    /// The mail of the user.
    pub user_email: Option<String>,
    pub chat: Option<String>,
    pub message: Option<String>,
    pub user_message: Option<String>,
    pub task: Option<String>,
    /// The client program.
    pub client: Option<String>,
    /// The name of the client key.
    pub key: Option<String>,
    tags: Option<Tags>,
    /// The model that answered, else the requested one.
    pub model: String,
    status: Option<i64>,
    pub outcome: Outcome,
    pub error_kind: Option<String>,
    pub ttft_us: Option<Micros>,
    pub total_us: Option<Micros>,
    /// Number of requests that upstream was sent for it.
    pub tries: u32,
    pub tokens: Tokens,
    pub cost: Cost,
    saved: NanoDollars,
    saved_is: String,
    /// Anthropic's `request-id`.
    pub upstream_request: Option<String>,
    /// Parts of the request that the translation dropped or changed, as JSON.
    pub notes: Option<String>,
    client_frame: Option<Hash>,
    client_head: Option<Hash>,
}

from_row!(CallRow {
    seq, id, at, exchange, answered_by, reason, api, stream, user = "user_id", user_name,
    user_email, chat = "chat_id", message = "message_id", user_message = "user_message_id", task,
    client, key = "client_key", tags, model, status, outcome, error_kind, ttft_us, total_us,
    tries: number, tokens: columns, cost: columns, saved, saved_is, upstream_request, notes,
    client_frame, client_head,
});

/// A query for calls, before its conditions.
const CALLS: &str = "select call.seq, call.id, call.at, call.exchange, call.answered_by, call.reason, call.api, \
     call.stream, call.user_id, call.chat_id, call.message_id, call.user_message_id, call.task, call.client, \
     call.client_key, call.tags, \
     call.model, call.status, call.outcome, call.error_kind, call.ttft_us, call.total_us, call.tries, \
     call.input, call.cache_write_5m, call.cache_write_1h, call.cache_read, call.output, call.thinking, call.searches, \
     call.cost, call.cost_is, call.saved, call.saved_is, exchange.upstream_request, call.notes, \
     call.client_frame, call.client_head, user_name.name as user_name, user_name.email as user_email \
     from call left join exchange on exchange.id = call.exchange \
     left join user_name on user_name.id = call.user_id where ";

impl CallRow {
    /// HTTP status of our response.
    pub fn status(&self) -> Option<u16> {
        self.status.and_then(|status| u16::try_from(status).ok())
    }

    /// The client's labels.
    pub fn tags(&self) -> Tags {
        self.tags.clone().unwrap_or_default()
    }

    /// The cost of the answer, where the call did not pay it; `None`: unpriced.
    pub fn saved(&self) -> Option<NanoDollars> {
        (self.saved_is == "exact").then_some(self.saved)
    }

    /// The hashes of the client's request; `None` where no bodies were kept.
    pub fn request(&self) -> Option<(Hash, Option<Hash>)> {
        self.client_frame.map(|frame| (frame, self.client_head))
    }
}

/// An exchange without its recording.
#[derive(Debug, Clone)]
pub struct ExchangeDetails {
    pub id: ExchangeId,
    /// The exchange before in the same answer.
    pub continues: Option<ExchangeId>,
    pub key: CacheKey,
    /// The scope in which the answer is shared.
    pub scope: String,
    pub model_asked: String,
    /// The model as upstream named it.
    pub model_served: Option<String>,
    pub outcome: Outcome,
    /// Anthropic's `stop_reason`.
    pub stop_reason: Option<String>,
    pub error_kind: Option<String>,
    /// The error, for people.
    pub error: Option<String>,
    status: Option<i64>,
    /// Anthropic's `request-id`.
    pub upstream_request: Option<String>,
    pub opened_at: UnixMillis,
    pub ended_at: UnixMillis,
    pub ttft_us: Option<Micros>,
    pub total_us: Option<Micros>,
    /// Number of requests that upstream was sent.
    pub tries: u32,
    pub tokens: Tokens,
    pub cost: Cost,
    /// The day of the prices, `YYYY-MM-DD`.
    pub priced_on: Option<String>,
    /// The bill, encoded; `None`: it is older than bills.
    pub bill: Option<String>,
    /// Set if the answer may be served again.
    pub servable: bool,
    /// Positions of the cache breakpoints, as JSON.
    pub breakpoints: Option<String>,
    /// `anthropic-version`.
    pub version: Option<String>,
    /// `anthropic-beta`.
    pub betas: Option<String>,
    frame: Option<Hash>,
    head: Option<Hash>,
    /// Size of the upstream response in the ledger; `None`: it is not kept.
    pub recording_bytes: Option<i64>,
}

from_row!(ExchangeDetails {
    id,
    continues,
    key,
    scope,
    model_asked,
    model_served,
    outcome,
    stop_reason,
    error_kind,
    error,
    status,
    upstream_request,
    opened_at,
    ended_at,
    ttft_us,
    total_us,
    tries: number,
    tokens: columns,
    cost: columns,
    priced_on,
    bill,
    servable,
    breakpoints,
    version,
    betas,
    frame,
    head,
    recording_bytes,
});

impl ExchangeDetails {
    /// HTTP status of the upstream response.
    pub fn status(&self) -> Option<u16> {
        self.status.and_then(|status| u16::try_from(status).ok())
    }

    /// The hashes of the upstream request; `None` where no bodies were kept.
    pub fn request(&self) -> Option<(Hash, Option<Hash>)> {
        self.frame.map(|frame| (frame, self.head))
    }
}

/// Adds the condition that a call has all of these tags.
pub(super) fn push_tags(query: &mut QueryBuilder<'_>, tags: &[String]) {
    for tag in tags {
        query.push(" and call.tags is not null and exists (select 1 from json_each(call.tags) where value = ");
        query.push_bind(tag.clone());
        // All values of a key.
        let of_key = format!("{tag}=");
        query.push(" or substr(value, 1, length(").push_bind(of_key.clone()).push(")) = ");
        query.push_bind(of_key).push(")");
    }
}

impl CallFilter {
    fn push(&self, query: &mut QueryBuilder<'_>) {
        let Self { span, user, chat, model, task, outcome, answered_by, tags, conditions } = self;
        // The `+ 0` keeps the database from going by time instead of by number.
        query.push(" and call.at + 0 >= ").push_bind(span.start);
        query.push(" and call.at + 0 < ").push_bind(span.end);
        let texts = [
            (" and call.user_id = ", user),
            (" and call.chat_id = ", chat),
            (" and call.model = ", model),
            (" and call.task = ", task),
        ];
        for (condition, text) in texts {
            if let Some(text) = text {
                query.push(condition).push_bind(text.clone());
            }
        }
        if let Some(outcome) = outcome {
            query.push(" and call.outcome = ").push_bind(*outcome);
        }
        if let Some(answered_by) = answered_by {
            query.push(" and call.answered_by = ").push_bind(*answered_by);
        }
        push_tags(query, tags);
        for condition in conditions {
            condition.push(query);
        }
    }
}

impl Reader {
    /// The number after which the calls of `filter` begin, and that of the newest call in the ledger; with `last`, the
    /// newest calls only.
    pub async fn call_bounds(
        &self,
        filter: &CallFilter,
        last: Option<u32>,
    ) -> Result<(i64, i64), Error> {
        // The `+ 0` lets the database go by time: else it would go through the calls by number.
        const FIRST: &str = "select min(seq + 0) from call where at >= $1 and at < $2";
        let newest = self.newest_call().await?;
        let Some(last) = last else {
            let CallFilter { span, .. } = filter;
            let first = query_scalar::<Option<i64>>(FIRST).bind(span.start).bind(span.end);
            let first = first.fetch_one(&self.pool()).await?;
            return Ok((first.map_or(newest, |first| first - 1), newest));
        };
        let mut query =
            QueryBuilder::new("select min(seq) from (select seq from call where seq <= ");
        query.push_bind(newest);
        filter.push(&mut query);
        query.push(" order by seq desc limit ").push_bind(last).push(") as newest");
        let first: Option<i64> = query.build_query_scalar().fetch_one(&self.pool()).await?;
        Ok((first.map_or(newest, |first| first - 1), newest))
    }

    /// The number of the newest call; 0: there is none.
    pub async fn newest_call(&self) -> Result<i64, Error> {
        const NEWEST: &str = "select coalesce(max(seq), 0) from call";
        Ok(query_scalar(NEWEST).fetch_one(&self.pool()).await?)
    }

    /// The next calls of `filter` from after the number `after` to `newest`, in the order of their commits: none if
    /// there are no more, else up to a limit.
    pub async fn call_page(
        &self,
        filter: &CallFilter,
        after: i64,
        newest: i64,
    ) -> Result<Vec<CallRow>, Error> {
        let mut query = QueryBuilder::new(CALLS);
        query.push("call.seq > ").push_bind(after);
        query.push(" and call.seq <= ").push_bind(newest);
        filter.push(&mut query);
        query.push(" order by call.seq limit ").push_bind(PAGE);
        Ok(query.build_query_as().fetch_all(&self.pool()).await?)
    }

    /// The newest calls of `filter` that were committed before the number `before`, the newest first, at most `most`.
    pub async fn newest_calls(
        &self,
        filter: &CallFilter,
        before: Option<i64>,
        most: u32,
    ) -> Result<Vec<CallRow>, Error> {
        self.newest(CALLS, filter, before, most).await
    }

    /// The same as rows of a query for calls, before its conditions.
    pub(super) async fn newest<T>(
        &self,
        calls: &'static str,
        filter: &CallFilter,
        before: Option<i64>,
        most: u32,
    ) -> Result<Vec<T>, Error>
    where
        T: FromRow + Send,
    {
        // The `+ 0` as above.
        const BOUNDS: &str =
            "select min(seq + 0), max(seq + 0) from call where at >= $1 and at < $2";
        let Range { start, end } = filter.span;
        let bounds = query_as::<(Option<i64>, Option<i64>)>(BOUNDS).bind(start).bind(end);
        let (Some(first), Some(last)) = bounds.fetch_one(&self.pool()).await? else {
            return Ok(Vec::new());
        };
        let mut query = QueryBuilder::new(calls);
        query.push("call.seq >= ").push_bind(first).push(" and call.seq <= ").push_bind(last);
        query.push(" and call.seq < ").push_bind(before.unwrap_or(i64::MAX));
        filter.push(&mut query);
        query.push(" order by call.seq desc limit ").push_bind(most);
        Ok(query.build_query_as().fetch_all(&self.pool()).await?)
    }

    /// The calls and the exchanges whose ids begin with `beginning`, at most `most` of each.
    pub async fn ids_with(
        &self,
        beginning: &str,
        most: u32,
    ) -> Result<(Vec<CallId>, Vec<ExchangeId>), Error> {
        const CALL: &str = "select id from call where id >= $1 and id < $2 order by id limit $3";
        const EXCHANGE: &str =
            "select id from exchange where id >= $1 and id < $2 order by id limit $3";
        // Behind all digits.
        let end = format!("{beginning}g");
        let calls = query_scalar(CALL).bind(beginning).bind(&*end).bind(most);
        let exchanges = query_scalar(EXCHANGE).bind(beginning).bind(&*end).bind(most);
        Ok((calls.fetch_all(&self.pool()).await?, exchanges.fetch_all(&self.pool()).await?))
    }

    /// Tells whether an exchange is running whose id begins with `beginning`.
    pub async fn is_running(&self, beginning: &str) -> Result<bool, Error> {
        const SQL: &str =
            "select exists (select 1 from running where exchange >= $1 and exchange < $2)";
        let end = format!("{beginning}g");
        let running = query_scalar(SQL).bind(beginning).bind(end);
        Ok(running.fetch_one(&self.pool()).await?)
    }

    /// A call.
    pub async fn call(&self, id: CallId) -> Result<Option<CallRow>, Error> {
        let mut query = QueryBuilder::new(CALLS);
        query.push("call.id = ").push_bind(id);
        Ok(query.build_query_as().fetch_optional(&self.pool()).await?)
    }

    /// The calls that an exchange answered, oldest first, up to a limit.
    pub async fn calls_of(&self, exchange: ExchangeId) -> Result<Vec<CallRow>, Error> {
        // The call came in before its exchange began, by milliseconds or by the time that it waited for its opening.
        const BEGAN: &str = "select opened_at from exchange where id = $1";
        let began: Option<UnixMillis> =
            query_scalar(BEGAN).bind(exchange).fetch_optional(&self.pool()).await?;
        let since = began.map_or(0, |began| began.0.saturating_sub(A_DAY_MS));
        let mut query = QueryBuilder::new(CALLS);
        query.push("call.at >= ").push_bind(since);
        query.push(" and call.exchange = ").push_bind(exchange);
        query.push(" order by call.at, call.seq limit ").push_bind(PAGE);
        Ok(query.build_query_as().fetch_all(&self.pool()).await?)
    }

    /// The newest call of the same chat that asked for `key` before.
    pub async fn asked_before(
        &self,
        call: &CallRow,
        key: &CacheKey,
    ) -> Result<Option<CallId>, Error> {
        const SQL: &str = "select id from call where chat_id = $1 and key = $2 and seq < $3 order by seq desc limit 1";
        let before = query_scalar(SQL).bind(call.chat.as_deref()).bind(key).bind(call.seq);
        Ok(before.fetch_optional(&self.pool()).await?)
    }

    /// The newest call before number `seq` in the same chat that went upstream and is no background task, and its last
    /// exchange.
    pub async fn turn_before(&self, seq: i64) -> Result<Option<(CallId, ExchangeId)>, Error> {
        const SQL: &str = "select id, exchange from call where chat_id = (select chat_id from call where seq = $1) \
             and seq < $1 and task is null and exchange is not null \
             and answered_by in ('miss', 'refresh', 'bypass') order by seq desc limit 1";
        Ok(query_as(SQL).bind(seq).fetch_optional(&self.pool()).await?)
    }

    /// The last of the exchanges that continue `exchange`; itself if none does.
    pub async fn last_part(&self, exchange: ExchangeId) -> Result<ExchangeId, Error> {
        // Ids are in the order of time, so that a few days of them are enough.
        const NEXT: &str =
            "select id from exchange where id > $1 and id < $2 and continues = $1 limit 1";
        let mut last = exchange;
        for _ in 0..super::MOST_PARTS {
            let (Some(end), id) = (a_day_after(last), last) else { break };
            let next = query_scalar(NEXT).bind(id).bind(end);
            let Some(next) = next.fetch_optional(&self.pool()).await? else { break };
            last = next;
        }
        Ok(last)
    }

    /// The exchange `id` after those that it continues, without their recordings.
    pub async fn exchange_details(&self, id: ExchangeId) -> Result<Vec<ExchangeDetails>, Error> {
        const SQL: &str = answer_parts!(
            "select exchange.id, exchange.continues, key, scope, model_asked, model_served, outcome, stop_reason, \
             error_kind, error, status, upstream_request, opened_at, ended_at, ttft_us, total_us, tries, \
             input, cache_write_5m, cache_write_1h, cache_read, output, thinking, searches, cost, cost_is, priced_on, bill, \
             servable, breakpoints, version, betas, frame, head, cast(length(recording) as bigint) as recording_bytes"
        );
        let mut parts: Vec<ExchangeDetails> =
            query_as(SQL).bind(id).fetch_all(&self.pool()).await?;
        parts.reverse();
        Ok(parts)
    }
}

/// An id of a day later: the first 48 bits of a UUIDv7 are its time in milliseconds (RFC 9562 §5.7).
fn a_day_after(id: ExchangeId) -> Option<ExchangeId> {
    let day = u128::try_from(A_DAY_MS).ok()? << 80;
    Some(ExchangeId::new(Uuid::from_u128(id.uuid().as_u128().checked_add(day)?)))
}
