//! What is read from the ledger: the answer to a repeat, a request as it was sent.

use std::sync::Arc;

use bytes::Bytes;
use sqlx::{QueryBuilder, Row, Sqlite, SqlitePool, sqlite::SqliteRow};
use tracing::warn;

use super::{
    Error, chain,
    record::{Stored, Turn, cost_from_columns},
    sqlite::{self, Place},
};
use crate::domain::{
    cache::{CacheKey, PriorAsk},
    chain::{Chain, Hash},
    exchange::{AnswerRef, Cost, Tokens, UnixMillis},
    recording::Recording,
};

/// So many answers are looked up by one query.
const MOST_NAMES: usize = 500;
/// No answer is continued more often.
pub const MOST_PARTS: usize = 64;

/// A ledger to read from. Cheap to clone; never blocks the writer and is never blocked by it.
#[derive(Debug, Clone)]
pub struct Reader {
    pub(super) pool: SqlitePool,
}

impl Reader {
    /// Opens a ledger for reports only: takes no lock, changes nothing, and may be used while a server writes.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let place = Place::parse(url)?;
        place.must_exist()?;
        let checked = async |pool| {
            let reader = Self::new(pool);
            let mut conn = reader.pool.acquire().await.map_err(Error::Open)?;
            sqlite::check(&mut conn).await?;
            Ok(reader)
        };
        match checked(place.readers()).await {
            Err(Error::Open(error)) if sqlite::is_sealed_folder(&error) => {
                checked(place.readers_in_sealed_folder().ok_or(Error::Open(error))?).await
            }
            read => read,
        }
    }

    pub(super) fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    pub(super) const fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// The newest committed answer to `key`.
    pub async fn find(&self, key: &CacheKey) -> Result<Option<Stored>, Error> {
        const SQL: &str = "select id, coalesce(model_served, model_asked) as model, stop_reason, \
             input, cache_write_5m, cache_write_1h, cache_read, output, thinking, searches, \
             cost, cost_is, ended_at, recording \
             from exchange where key = $1 and servable order by ended_at desc limit 1";
        let row = sqlx::query(SQL)
            .bind(&key.as_bytes()[..])
            .fetch_optional(&self.pool)
            .await
            .map_err(Error::Read)?;
        row.map(|row| stored(&row)).transpose()
    }

    /// Whether a chat has asked before, as far as that is committed.
    pub async fn asked(&self, turn: &Turn<'_>) -> Result<PriorAsk, Error> {
        // Another answer to the same message of the user is another one, also where the request has changed since. Of
        // several messages one is another, and that settles it.
        const SQL: &str = "select message_id, max(outcome = 'complete') as is_whole from call \
             where chat_id = $1 and (key = $2 or user_message_id = $3 and message_id <> $4 and task is null \
                 and exists (select 1 from exchange where id = call.exchange and model_asked = $5)) \
             group by message_id limit 2";
        let Turn { key, chat, message, user_message, model } = *turn;
        let rows: Vec<(Option<String>, bool)> = sqlx::query_as(SQL)
            .bind(chat)
            .bind(&key.as_bytes()[..])
            .bind(user_message)
            .bind(message)
            .bind(model)
            .fetch_all(&self.pool)
            .await
            .map_err(Error::Read)?;
        Ok(PriorAsk::of(message, rows.iter().map(|(earlier, whole)| (earlier.as_deref(), *whole))))
    }

    /// The whole answers within `scope` that `names` name, newest last; those that were continued with what came
    /// before. An answer that is not there any more, or cannot be read, is left out: the others are still of use.
    pub async fn answers(
        &self,
        scope: &str,
        names: &[AnswerRef],
    ) -> Result<Vec<(AnswerRef, Recording)>, Error> {
        let mut answers = Vec::new();
        for names in names.chunks(MOST_NAMES) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "select answer_ref.ref as name, exchange.continues, exchange.recording \
                 from answer_ref join exchange on exchange.id = answer_ref.exchange \
                 where exchange.outcome = 'complete' and exchange.recording is not null \
                 and answer_ref.scope = ",
            );
            query.push_bind(scope).push(" and answer_ref.ref in (");
            let mut list = query.separated(", ");
            for name in names {
                list.push_bind(name.as_str());
            }
            query.push(") order by exchange.id");
            let rows = query.build().fetch_all(&self.pool).await.map_err(Error::Read)?;
            for row in rows {
                let name: &str = row.try_get("name").map_err(Error::Read)?;
                let Some(name) = names.iter().find(|known| known.as_str() == name) else {
                    continue;
                };
                match self.with_what_came_before(&row).await {
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
    async fn with_what_came_before(&self, row: &SqliteRow) -> Result<Option<Recording>, Error> {
        const SQL: &str =
            "select continues, recording from exchange where id = $1 and recording is not null";
        let mut parts = vec![recording(row)?];
        let mut before: Option<String> = row.try_get("continues").map_err(Error::Read)?;
        while let Some(id) = before.filter(|_| parts.len() < MOST_PARTS) {
            let found = sqlx::query(SQL).bind(id).fetch_optional(&self.pool).await;
            let Some(row) = found.map_err(Error::Read)? else { return Ok(None) };
            parts.push(recording(&row)?);
            before = row.try_get("continues").map_err(Error::Read)?;
        }
        let mut whole = Recording::default();
        for part in parts.iter().rev() {
            part.segments(0).iter().for_each(|segment| whole.append(Arc::clone(segment)));
        }
        Ok(Some(whole))
    }

    /// A request as it was sent, byte for byte.
    pub async fn load_chain(&self, frame: Hash, head: Option<Hash>) -> Result<Chain, Error> {
        let mut conn = self.pool.acquire().await.map_err(Error::Read)?;
        chain::load(&mut conn, frame, head).await
    }
}

/// What an exchange cost.
pub(super) fn cost(row: &SqliteRow) -> Result<Cost, Error> {
    let amount = row.try_get("cost").map_err(Error::Read)?;
    cost_from_columns(amount, row.try_get("cost_is").map_err(Error::Read)?)
        .ok_or(Error::Damaged { table: "exchange", column: "cost_is" })
}

fn stored(row: &SqliteRow) -> Result<Stored, Error> {
    let id: &str = row.try_get("id").map_err(Error::Read)?;
    let exchange = id.parse().map_err(|_| Error::Damaged { table: "exchange", column: "id" })?;
    let recording = recording(row)?;
    let tokens = tokens(row).map_err(Error::Read)?;
    let cost = cost(row)?;
    Ok(Stored {
        exchange,
        recording: Arc::new(recording),
        model_served: row.try_get("model").map_err(Error::Read)?,
        stop_reason: row.try_get("stop_reason").map_err(Error::Read)?,
        tokens,
        cost,
        ended_at: UnixMillis(row.try_get("ended_at").map_err(Error::Read)?),
        was_read: Arc::default(),
    })
}

fn recording(row: &SqliteRow) -> Result<Recording, Error> {
    let encoded =
        chain::decompress(row.try_get("recording").map_err(Error::Read)?).map_err(Error::Zstd)?;
    Recording::decode(Bytes::from(encoded)).map_err(Error::Recording)
}

pub(super) fn tokens(row: &SqliteRow) -> Result<Tokens, sqlx::Error> {
    Ok(Tokens {
        input: count(row, "input")?,
        cache_write_5m: count(row, "cache_write_5m")?,
        cache_write_1h: count(row, "cache_write_1h")?,
        cache_read: count(row, "cache_read")?,
        output: count(row, "output")?,
        thinking: count(row, "thinking")?,
        searches: count(row, "searches")?,
    })
}

/// A count is never negative; a damaged one reads as zero.
fn count(row: &SqliteRow, column: &str) -> Result<u64, sqlx::Error> {
    Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
}
