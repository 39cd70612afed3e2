//! Reads of the ledger: the answer to a repeat, a request as it was sent.

use std::{mem, sync::Arc};

use parking_lot::RwLock;
use tracing::warn;

use super::{
    Error, chain,
    connection::Pool,
    database::{self, Database},
    query::{QueryBuilder, query_as, query_scalar},
    record::{PriorAskQuery, Stored, StoredRecording},
    row::from_row,
    sqlite,
};
use crate::domain::{
    cache::{CacheKey, Candidate, Holders, PriorAsk, Requester, SALT_LENGTH, SharedCall},
    chain::{Chain, Hash},
    exchange::{AnswerRef, Cost, ExchangeId, Tokens, UnixMillis},
    price::Bill,
    recording::Recording,
};

/// Limit of answers that one query looks up.
const MOST_NAMES: usize = 500;
/// Limit of exchanges that make one answer.
pub const MOST_PARTS: usize = 64;

/// End of an answer that nothing tells the age of: older than any limit.
pub(super) const UNKNOWN_AGE: UnixMillis = UnixMillis(0);

/// A query for the exchange `$1` and those that it continues, the last one first, at most [`MOST_PARTS`].
macro_rules! answer_parts {
    ($select:literal) => {
        concat!(
            "with recursive part (id, continues, position) as ( \
             select id, continues, 1 from exchange where id = $1 \
             union all \
             select exchange.id, exchange.continues, part.position + 1 \
             from part join exchange on exchange.id = part.continues where part.position < 64) ",
            $select,
            " from part join exchange on exchange.id = part.id order by part.position",
        )
    };
}
pub(super) use answer_parts;

/// A query for the exchanges that `$condition` selects, as answers to repeats.
macro_rules! stored {
    ($condition:literal) => {
        concat!(
            "select id, model_asked, coalesce(model_served, model_asked) as model, stop_reason, \
             input, cache_write_5m, cache_write_1h, cache_read, output, thinking, searches, \
             cost, cost_is, bill, ended_at, recording, (select count(*) from (select 1 from exchange as other \
             where other.key = exchange.key and other.servable limit 2) as few) = 1 as is_only from exchange where ",
            $condition,
        )
    };
}

/// A ledger to read from. Cheap to clone; never blocks the writer and is never blocked by it.
#[derive(Debug, Clone)]
pub struct Reader {
    /// Replaced when the ledger is opened anew.
    pool: Arc<RwLock<Pool>>,
}

impl Reader {
    /// Opens a ledger for reports only: takes no lock, changes nothing, and may be used while a server writes.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let file = Database::parse(url)?;
        file.must_be_ledger().await?;
        let checked = async |pool| {
            let reader = Self::new(pool);
            let mut conn = reader.pool().acquire().await.map_err(Error::Open)?;
            database::check(&mut conn).await?;
            Ok(reader)
        };
        match checked(file.readers()).await {
            Err(Error::Open(error)) if sqlite::is_sealed_folder(&error) => {
                checked(file.readers_in_sealed_folder().ok_or(Error::Open(error))?).await
            }
            read => read,
        }
    }

    pub(super) fn new(pool: Pool) -> Self {
        Self { pool: Arc::new(RwLock::new(pool)) }
    }

    pub(super) fn pool(&self) -> Pool {
        self.pool.read().clone()
    }

    /// Reads from another file from now on; returns the connections to the one before.
    pub(super) fn replace(&self, pool: Pool) -> Pool {
        mem::replace(&mut *self.pool.write(), pool)
    }

    /// The newest committed answer to `key`. It ended as late as the ledger allows: where its time is ahead of `now`,
    /// because the clock was, calls that were committed after it and are not ahead prove an earlier end. Without such a
    /// call its age is unknown, and it is very old.
    pub async fn find(&self, key: &CacheKey, now: UnixMillis) -> Result<Option<Stored>, Error> {
        self.find_among(key, now, None).await
    }

    /// The committed answer to `key` that `call` chooses; the newest if its scope is not shared.
    pub(super) async fn find_among(
        &self,
        key: &CacheKey,
        now: UnixMillis,
        call: Option<&SharedCall<'_>>,
    ) -> Result<Option<Stored>, Error> {
        const NEWEST: &str = stored!("key = $1 and servable order by ended_at desc limit 1");
        let newest: Option<StoredRow> =
            query_as(NEWEST).bind(key).fetch_optional(&self.pool()).await?;
        let Some(newest) = newest.map(Stored::from) else { return Ok(None) };
        if newest.ended_at <= now && (newest.is_only || call.is_none()) {
            return Ok(Some(newest));
        }
        let answers = self.answers_to(key, now).await?;
        let chosen = match (call, answers.last()) {
            (Some(call), _) => call.choose(&answers),
            (None, last @ Some(Candidate { ended_at: UNKNOWN_AGE, .. })) => last,
            (None, _) => answers.iter().max_by_key(|answer| answer.ended_at),
        };
        let Some(&Candidate { exchange, ended_at, .. }) = chosen else { return Ok(None) };
        let found = if exchange == newest.exchange {
            Some(newest)
        } else {
            self.servable(exchange).await?
        };
        Ok(found.map(|found| Stored { ended_at, ..found }))
    }

    /// The answer of an exchange, if it is committed and may be served again.
    pub(super) async fn servable(&self, exchange: ExchangeId) -> Result<Option<Stored>, Error> {
        const ONE: &str = stored!("id = $1 and servable");
        let found: Option<StoredRow> =
            query_as(ONE).bind(exchange).fetch_optional(&self.pool()).await?;
        Ok(found.map(Stored::from))
    }

    /// The last 64 answers to `key` in the order of their commits.
    async fn answers_to(&self, key: &CacheKey, now: UnixMillis) -> Result<Vec<Candidate>, Error> {
        // No index on calls has an exchange, but the call that a servable exchange was begun for has its time.
        const ANSWERS: &str = "select exchange.id, opened_at, ended_at, call.id is not null, user_id, chat_id \
             from exchange left join call on call.at = opened_at and call.exchange = exchange.id \
             and call.answered_by not in ('hit', 'collapsed') \
             where exchange.rowid in (select rowid from exchange where key = $1 and servable order by rowid desc limit 64) \
             order by exchange.rowid";
        // The first later call that is not ahead came in soon after the clock was set.
        const PROOF: &str = "select at from call where seq > (select min(seq) from call \
             where at between $1 and $2 and exchange = $3) and at <= $4 order by seq limit 1";
        type Row = (ExchangeId, UnixMillis, UnixMillis, bool, Option<String>, Option<String>);
        let rows: Vec<Row> = query_as(ANSWERS).bind(key).fetch_all(&self.pool()).await?;
        let mut answers = Vec::with_capacity(rows.len());
        for (exchange, opened_at, mut ended_at, is_known, user, chat) in rows {
            if ended_at > now {
                let proof = query_scalar(PROOF)
                    .bind(opened_at.0.saturating_sub(UnixMillis::HOUR))
                    .bind(ended_at)
                    .bind(exchange)
                    .bind(now);
                ended_at = proof.fetch_optional(&self.pool()).await?.unwrap_or(UNKNOWN_AGE);
            }
            let requester = is_known.then(|| Requester::of(user.as_deref(), chat.as_deref()));
            answers.push(Candidate { exchange, requester, ended_at });
        }
        Ok(answers)
    }

    /// The names of the holders of keys in this ledger.
    pub async fn holders(&self) -> Result<Holders, Error> {
        let salt: Vec<u8> =
            query_scalar("select salt from holder_salt").fetch_one(&self.pool()).await?;
        let old: Vec<String> =
            query_scalar("select name from old_holder").fetch_all(&self.pool()).await?;
        let mut fixed = [0; SALT_LENGTH];
        fixed.iter_mut().zip(salt).for_each(|(fixed, byte)| *fixed = byte);
        Ok(Holders::new(fixed, old))
    }

    /// Tells whether a chat has asked before, as far as that is committed.
    pub async fn prior_ask(&self, query: &PriorAskQuery<'_>) -> Result<PriorAsk, Error> {
        // A request for another answer to the same message of the user is a repeated ask, also where the request has
        // changed since. One other message settles it, so two rows are enough.
        const SQL: &str = "select message_id, max(case when outcome = 'complete' then 1 else 0 end) = 1 as is_whole \
             from (select message_id, outcome from call where chat_id = $1 and key = $2 \
                 union all \
                 select message_id, outcome from call \
                 where user_message_id = $3 and ($4 is null or message_id is distinct from $4) and task is null \
                 and exists (select 1 from exchange where id = call.exchange and model_asked = $5 and scope = $6)) as earlier \
             group by message_id limit 2";
        let PriorAskQuery { key, chat, message, user_message, scope, model } = *query;
        let rows: Vec<(Option<String>, bool)> = query_as(SQL)
            .bind(chat)
            .bind(key)
            .bind(user_message)
            .bind(message)
            .bind(model)
            .bind(scope)
            .fetch_all(&self.pool())
            .await?;
        Ok(PriorAsk::of(message, rows.iter().map(|(earlier, whole)| (earlier.as_deref(), *whole))))
    }

    /// The whole answers within `scope` that `names` name, newest last; an answer of several exchanges with all of its
    /// parts. An answer that is gone or cannot be read is left out: the others are still of use.
    pub async fn answers(
        &self,
        scope: &str,
        names: &[AnswerRef],
    ) -> Result<Vec<(AnswerRef, Recording)>, Error> {
        let mut answers = Vec::new();
        for names in names.chunks(MOST_NAMES) {
            let mut query = QueryBuilder::new(
                "select answer_ref.ref, answer_ref.exchange, exchange.continues, exchange.recording \
                 from answer_ref join exchange on exchange.id = answer_ref.exchange \
                 where exchange.outcome = 'complete' and exchange.recording is not null \
                 and answer_ref.scope = ",
            );
            query.push_bind(scope).push(" and answer_ref.ref in (");
            query.push_list(names);
            query.push(") order by exchange.id");
            for row in query.build().fetch_all(&self.pool()).await? {
                let name: &str = row.get("ref")?;
                let Some(name) = names.iter().find(|known| known.as_str() == name) else {
                    continue;
                };
                let answer = match row.get::<Option<ExchangeId>, _>("continues")? {
                    None => row.get("recording").map(Some).map_err(Error::from),
                    Some(_) => self.whole_answer(row.get("exchange")?).await,
                };
                match answer {
                    Ok(Some(whole)) => answers.push((name.clone(), whole)),
                    Ok(None) => {}
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        warn!(name = name.as_str(), error, "an earlier answer cannot be read");
                    }
                }
            }
        }
        Ok(answers)
    }

    /// The recording of an exchange, after those of the exchanges that it continues; `None` where one of them is gone.
    async fn whole_answer(&self, exchange: ExchangeId) -> Result<Option<Recording>, Error> {
        const SQL: &str = answer_parts!("select exchange.continues, exchange.recording");
        let parts: Vec<(Option<ExchangeId>, Option<Recording>)> =
            query_as(SQL).bind(exchange).fetch_all(&self.pool()).await?;
        let first_is_there =
            parts.len() == MOST_PARTS || parts.last().is_some_and(|(before, _)| before.is_none());
        let mut whole = Recording::default();
        for (_, part) in parts.iter().rev() {
            let Some(part) = part else { return Ok(None) };
            part.segments(0).iter().for_each(|segment| whole.append(Arc::clone(segment)));
        }
        Ok(first_is_there.then_some(whole))
    }

    /// A request as it was sent, byte for byte.
    pub async fn load_chain(&self, frame: Hash, head: Option<Hash>) -> Result<Chain, Error> {
        let mut conn = self.pool().acquire().await?;
        chain::load(&mut conn, frame, head).await
    }
}

struct StoredRow {
    id: ExchangeId,
    model_asked: String,
    model: String,
    stop_reason: Option<String>,
    tokens: Tokens,
    cost: Cost,
    bill: Option<String>,
    ended_at: UnixMillis,
    recording: Recording,
    is_only: bool,
}

from_row!(StoredRow {
    id,
    model_asked,
    model,
    stop_reason,
    tokens: columns,
    cost: columns,
    bill,
    ended_at,
    recording,
    is_only,
});

impl From<StoredRow> for Stored {
    fn from(row: StoredRow) -> Self {
        let StoredRow { id, model_asked, model, stop_reason, tokens, cost, .. } = row;
        Self {
            exchange: id,
            recording: Arc::new(StoredRecording::from(Arc::new(row.recording))),
            bill: row.bill.and_then(|bill| Bill::decode(&bill, &model, &tokens)),
            model_asked,
            model_served: model,
            stop_reason,
            tokens,
            cost,
            ended_at: row.ended_at,
            requester: None,
            is_only: row.is_only,
        }
    }
}
