//! Clearing the cache: answers that are never served again. What was said and what it cost stays.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::{Deserialize, Serialize};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{Error, Ledger, Reader, batch::Op, hot::Hot};
use crate::domain::{cache::KeyPrefix, exchange::UnixMillis};

/// Which answers; all that is said must hold, and where nothing is, all answers are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clearing {
    /// Given in this chat, also where they had been given elsewhere before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Given by this model, as it was asked for or as upstream named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whole before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_before: Option<UnixMillis>,
    /// Kept under a key that begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyPrefix>,
}

/// A clearing on its way through the writer.
#[derive(Debug)]
pub(super) struct Clear {
    what: Clearing,
    cleared: Arc<AtomicU64>,
    hot: Arc<Mutex<Hot>>,
}

impl Clearing {
    fn conditions(&self, query: &mut QueryBuilder<Sqlite>) {
        query.push(" where servable");
        let Self { session, model, ended_before, key } = self;
        if let Some(chat) = session {
            query.push(" and id in (select exchange from call where chat_id = ");
            query.push_bind(chat.clone()).push(")");
        }
        if let Some(model) = model {
            query.push(" and (model_asked = ").push_bind(model.clone());
            query.push(" or model_served = ").push_bind(model.clone()).push(")");
        }
        if let Some(moment) = ended_before {
            query.push(" and ended_at < ").push_bind(moment.0);
        }
        if let Some(prefix) = key {
            let (first, last) = prefix.range();
            query.push(" and key between ").push_bind(first.to_vec());
            query.push(" and ").push_bind(last.to_vec());
        }
    }
}

impl Clear {
    /// Clears inside the transaction that `conn` is in.
    pub(super) async fn run(&self, conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let mut query = QueryBuilder::new("update exchange set servable = 0");
        self.what.conditions(&mut query);
        let done = query.build().execute(conn).await?;
        self.cleared.store(done.rows_affected(), Relaxed);
        Ok(())
    }

    /// It is committed: what is in memory goes with it. What was sealed before does not come in after this.
    pub(super) fn committed(&self) {
        self.hot.lock().unwrap_or_else(PoisonError::into_inner).forget();
    }
}

impl Ledger {
    /// Clears answers, committed ones and those in memory, and says how many it were. An answer that is still being
    /// given is not among them. `None`: the ledger cannot be written now; it will be done when it can.
    pub async fn clear(&self, what: Clearing) -> Option<u64> {
        let cleared = Arc::new(AtomicU64::new(0));
        let hot = Arc::clone(&self.hot);
        let op = Op::Clear(Clear { what, cleared: Arc::clone(&cleared), hot });
        let done = self.commit(op, self.shared.packs()).await;
        (done == super::Durable::Committed).then(|| cleared.load(Relaxed))
    }
}

impl Reader {
    /// How many answers a clearing would be about.
    pub async fn count(&self, what: &Clearing) -> Result<u64, Error> {
        let mut query = QueryBuilder::new("select count(*) from exchange");
        what.conditions(&mut query);
        let count: i64 =
            query.build_query_scalar().fetch_one(self.pool()).await.map_err(Error::Read)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}
