//! Clearing of the cache: answers that are never served again. Their bodies and totals stay.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{
    Error, Reader,
    connection::Connection,
    database::Database,
    hot::Hot,
    older::Older,
    query::{self, QueryBuilder},
    replicas::CLEARED,
    sqlite::WRITER_BUSY,
};
use crate::domain::{cache::KeyPrefix, exchange::UnixMillis};

/// Selection of answers to clear: all given conditions must hold; without any, all answers are selected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clearing {
    /// Answers that were given in this chat, also where they were given elsewhere before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Answers of this model, as it was requested or as upstream named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Answers that ended before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_before: Option<UnixMillis>,
    /// The time now, by which answers of a clock that was ahead are told; `None`: there are none.
    #[serde(skip)]
    pub now: Option<UnixMillis>,
    /// Answers under a key with this prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyPrefix>,
}

/// A clearing that is queued for the writer.
#[derive(Debug)]
pub(super) struct Clear {
    pub(super) clearing: Clearing,
    /// The number of cleared answers, once it is committed.
    pub(super) cleared: Arc<AtomicU64>,
    pub(super) hot: Arc<Mutex<Hot>>,
}

impl Clearing {
    async fn conditions(
        &self,
        conn: &mut Connection<'_>,
        query: &mut QueryBuilder<'_>,
    ) -> Result<(), sqlx::Error> {
        query.push(" where servable");
        let Self { session, model, ended_before, now, key } = self;
        if let Some(chat) = session {
            query.push(" and id in (select exchange from call where chat_id = ");
            query.push_bind(chat.clone()).push(")");
        }
        if let Some(model) = model {
            query.push(" and (model_asked = ").push_bind(model.clone());
            query.push(" or model_served = ").push_bind(model.clone()).push(")");
        }
        if let Some(moment) = ended_before {
            query.push(" and ");
            let now = now.unwrap_or(UnixMillis(i64::MAX));
            Older::than(conn, *moment, now).await?.push_exchanges(query);
        }
        if let Some(prefix) = key {
            let (first, last) = prefix.range();
            query.push(" and key between ").push_bind(first.to_vec());
            query.push(" and ").push_bind(last.to_vec());
        }
        Ok(())
    }
}

impl Clear {
    /// Clears in a transaction of its own.
    pub(super) async fn run(&self, file: &Database) -> Result<(), sqlx::Error> {
        let mut conn = file.beside(WRITER_BUSY).await?;
        let mut tx = conn.begin_write().await?;
        let mut query = QueryBuilder::new("update exchange set servable = false");
        self.clearing.conditions(&mut tx, &mut query).await?;
        let done = query.build().execute(&mut *tx).await?;
        if file.is_shared() {
            query::query(CLEARED).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        self.cleared.store(done, Relaxed);
        conn.close().await
    }

    /// Called after the commit: empties the memory, too. Answers that were sealed before are not taken in after this.
    pub(super) fn committed(&self) {
        self.hot.lock().forget();
    }
}

impl Reader {
    /// Counts the answers that a clearing selects.
    pub async fn count(&self, what: &Clearing) -> Result<u64, Error> {
        let mut query = QueryBuilder::new("select count(*) from exchange");
        let mut conn = self.pool().acquire().await?;
        what.conditions(&mut conn, &mut query).await?;
        let count: i64 = query.build_query_scalar().fetch_one(&mut conn).await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}
