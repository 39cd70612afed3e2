//! Past exchanges with their requests, which explain a miss.

use serde_json::Value;

use super::{
    Error, Reader,
    query::{query_as, query_scalar},
    row::from_row,
};
use crate::domain::{
    cache::{CacheKey, KeyPrefix},
    chain::{Chain, Hash},
    exchange::{ExchangeId, UnixMillis},
};

/// An exchange in the ledger, without its recording.
#[derive(Debug, Clone)]
pub struct ExchangeSummary {
    /// Its id.
    pub id: ExchangeId,
    /// Its cache key.
    pub key: CacheKey,
    /// The scope in which its answer is shared.
    pub scope: String,
    /// The moment when it began.
    pub opened_at: UnixMillis,
    /// Its outcome, in the ledger's word.
    pub outcome: String,
    /// Anthropic's `stop_reason`.
    pub stop_reason: Option<String>,
    /// Set if its answer may be served again.
    pub servable: bool,
    frame: Option<Hash>,
    head: Option<Hash>,
}

from_row!(ExchangeSummary {
    id,
    key,
    scope,
    opened_at,
    outcome,
    stop_reason,
    servable,
    frame,
    head,
});

impl Reader {
    /// The keys of exchanges with this prefix, at most `most`.
    pub async fn keys(&self, prefix: &KeyPrefix, most: u32) -> Result<Vec<CacheKey>, Error> {
        const SQL: &str = "select distinct key from exchange where key between $1 and $2 limit $3";
        let (first, last) = prefix.range();
        Ok(query_scalar(SQL)
            .bind(first.to_vec())
            .bind(last.to_vec())
            .bind(most)
            .fetch_all(&self.pool())
            .await?)
    }

    /// The exchanges with a key, the newest first, at most `most`, and the oldest one.
    pub async fn with_key(&self, key: &CacheKey, most: u32) -> Result<Vec<ExchangeSummary>, Error> {
        const SQL: &str = "select id, key, scope, opened_at, outcome, stop_reason, servable, frame, head \
             from exchange where key = $1 and (id = (select min(id) from exchange where key = $1) \
             or id in (select id from exchange where key = $1 order by id desc limit $2)) order by id desc";
        Ok(query_as(SQL).bind(key).bind(most).fetch_all(&self.pool()).await?)
    }

    /// The exchanges with other keys that began before `exchange`, the newest first, at most `most`.
    pub async fn before(
        &self,
        exchange: &ExchangeSummary,
        most: u32,
    ) -> Result<Vec<ExchangeSummary>, Error> {
        const SQL: &str = "select id, key, scope, opened_at, outcome, stop_reason, servable, frame, head \
             from exchange where id < $1 and key <> $2 and frame is not null order by id desc limit $3";
        Ok(query_as(SQL)
            .bind(exchange.id)
            .bind(exchange.key)
            .bind(most)
            .fetch_all(&self.pool())
            .await?)
    }

    /// The request of an exchange as one document; `None` where no bodies were kept.
    pub async fn asked_for(&self, exchange: &ExchangeSummary) -> Result<Option<Value>, Error> {
        let Some(frame) = exchange.frame else { return Ok(None) };
        match self.load_chain(frame, exchange.head).await {
            Ok(chain) => Ok(Some(document(&chain))),
            Err(Error::NoBodies { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The request as one document: the frame with the messages in it.
fn document(chain: &Chain) -> Value {
    let read = |body: &[u8]| serde_json::from_slice(body).unwrap_or(Value::Null);
    let mut request: Value = read(&chain.frame.body);
    if let Some(fields) = request.as_object_mut() {
        let messages = chain.nodes.iter().map(|node| read(&node.body)).collect();
        fields.insert("messages".to_owned(), Value::Array(messages));
    }
    request
}
