//! Sessions as the ledger has them: the calls of a chat in the order they came, and the exchanges behind them.
//!
//! A client that states no chat has sessions all the same: a call that goes on with what another asked belongs to it.

use std::collections::HashMap;

use bytes::Bytes;
use sqlx::{Row, sqlite::SqliteRow};

use super::{Error, Reader, chain, record::cost_from_columns};
use crate::domain::{
    anthropic::ApiHeaders,
    chain::Hash,
    exchange::{AnsweredBy, Api, CallId, Cost, ExchangeId, Outcome, UnixMillis},
    recording::Recording,
};

/// A session and its calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// The chat as the client states it, else the id of the first call.
    pub id: String,
    /// In the order they came in; at least one.
    pub calls: Vec<CallLine>,
}

/// A call, without its bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallLine {
    pub id: CallId,
    /// What answered it.
    pub exchange: Option<ExchangeId>,
    /// When it came in.
    pub at: UnixMillis,
    pub answered_by: AnsweredBy,
    pub door: Api,
    /// The client's word for a background call.
    pub task: Option<String>,
    /// The program that asked.
    pub client: Option<String>,
    pub outcome: Outcome,
    /// Served, else asked.
    pub model: String,
    /// What this call cost.
    pub cost: Cost,
    /// Where the request is that the client sent; `None` where no bodies were kept.
    pub asked: Option<(Hash, Option<Hash>)>,
    chat: Option<String>,
}

/// An exchange with what came back.
#[derive(Debug, Clone)]
pub struct ExchangeRow {
    pub id: ExchangeId,
    /// The exchange before in the same answer.
    pub continues: Option<ExchangeId>,
    pub outcome: Outcome,
    /// HTTP's, of upstream's response.
    pub status: Option<u16>,
    /// Anthropic's `error.type`, or ours.
    pub error_kind: Option<String>,
    /// For people.
    pub error: Option<String>,
    /// Anthropic's `request-id`.
    pub upstream_request: Option<String>,
    /// When it ended.
    pub ended_at: UnixMillis,
    /// The headers of the request; `None` where they are not known any more.
    pub headers: Option<ApiHeaders>,
    /// Where the request is that went upstream; `None` where no bodies were kept.
    pub asked: Option<(Hash, Option<Hash>)>,
    /// What came back; `None` where no bodies were kept, or nothing came.
    pub recording: Option<Recording>,
}

impl Reader {
    /// All sessions with a call that came in at `since` or later, those that began first first.
    pub async fn sessions(&self, since: UnixMillis) -> Result<Vec<SessionRow>, Error> {
        const SQL: &str = "select id, exchange, at, answered_by, door, chat_id, task, client, outcome, model, \
             cost, cost_is, client_frame, client_head from call where at >= $1 order by at, id";
        let rows =
            sqlx::query(SQL).bind(since.0).fetch_all(self.pool()).await.map_err(Error::Read)?;
        let mut sessions: Vec<SessionRow> = Vec::new();
        let mut chats: HashMap<String, usize> = HashMap::new();
        let mut heads: HashMap<Hash, usize> = HashMap::new();
        for row in &rows {
            let call = call(row)?;
            let head = call.asked.and_then(|(_, head)| head);
            let known = match (&call.chat, head) {
                (Some(chat), _) => chats.get(chat).copied(),
                (None, Some(head)) => self.nearest(head, &heads).await?,
                (None, None) => None,
            };
            let at = known.unwrap_or(sessions.len());
            match (&call.chat, head) {
                (Some(chat), _) => _ = chats.insert(chat.clone(), at),
                (None, Some(head)) => _ = heads.insert(head, at),
                (None, None) => {}
            }
            if known.is_none() {
                let id = call.chat.clone().unwrap_or_else(|| call.id.to_string());
                sessions.push(SessionRow { id, calls: Vec::new() });
            }
            sessions[at].calls.push(call);
        }
        Ok(sessions)
    }

    /// The value of the nearest of the messages up to `head`, itself included, that is a key of `heads`.
    async fn nearest(
        &self,
        head: Hash,
        heads: &HashMap<Hash, usize>,
    ) -> Result<Option<usize>, Error> {
        let line = self.line(head).await?;
        Ok(line.iter().rev().find_map(|hash| heads.get(hash)).copied())
    }

    /// The hashes of the messages up to `head`, oldest first.
    pub async fn line(&self, head: Hash) -> Result<Vec<Hash>, Error> {
        const SQL: &str = "with recursive line (hash, parent, depth) as ( \
             select hash, parent, 0 from node where hash = $1 \
             union all \
             select node.hash, node.parent, line.depth + 1 from node join line on node.hash = line.parent \
             ) select hash from line order by depth desc";
        let rows = sqlx::query(SQL)
            .bind(&head.as_bytes()[..])
            .fetch_all(self.pool())
            .await
            .map_err(Error::Read)?;
        rows.iter().map(|row| hash(row, "hash", "node")?.ok_or(damaged("node", "hash"))).collect()
    }

    /// An exchange; `None` where it is gone.
    pub async fn exchange(&self, id: ExchangeId) -> Result<Option<ExchangeRow>, Error> {
        const SQL: &str = "select id, continues, outcome, status, error_kind, error, upstream_request, ended_at, \
             frame, head, recording, version, betas from exchange where id = $1";
        let row = sqlx::query(SQL)
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await
            .map_err(Error::Read)?;
        row.map(|row| exchange(&row)).transpose()
    }
}

fn call(row: &SqliteRow) -> Result<CallLine, Error> {
    let amount = row.try_get("cost").map_err(Error::Read)?;
    let is = row.try_get("cost_is").map_err(Error::Read)?;
    let frame = hash(row, "client_frame", "call")?;
    let head = hash(row, "client_head", "call")?;
    Ok(CallLine {
        id: text(row, "id")?.parse().map_err(|_| damaged("call", "id"))?,
        exchange: id(row, "exchange", "call")?,
        at: UnixMillis(row.try_get("at").map_err(Error::Read)?),
        answered_by: word(row, "answered_by", "call")?,
        door: word(row, "door", "call")?,
        task: row.try_get("task").map_err(Error::Read)?,
        client: row.try_get("client").map_err(Error::Read)?,
        outcome: word(row, "outcome", "call")?,
        model: row.try_get("model").map_err(Error::Read)?,
        cost: cost_from_columns(amount, is).ok_or(damaged("call", "cost_is"))?,
        asked: frame.map(|frame| (frame, head)),
        chat: row.try_get("chat_id").map_err(Error::Read)?,
    })
}

fn exchange(row: &SqliteRow) -> Result<ExchangeRow, Error> {
    let recording: Option<Vec<u8>> = row.try_get("recording").map_err(Error::Read)?;
    let recording = recording
        .map(|packed| {
            let encoded = chain::decompress(&packed).map_err(Error::Zstd)?;
            Recording::decode(Bytes::from(encoded)).map_err(Error::Recording)
        })
        .transpose()?;
    let frame = hash(row, "frame", "exchange")?;
    let head = hash(row, "head", "exchange")?;
    let status: Option<i64> = row.try_get("status").map_err(Error::Read)?;
    let version: Option<String> = row.try_get("version").map_err(Error::Read)?;
    let betas: Option<String> = row.try_get("betas").map_err(Error::Read)?;
    Ok(ExchangeRow {
        headers: version.zip(betas).map(|(version, betas)| ApiHeaders::new(version, [betas])),
        id: text(row, "id")?.parse().map_err(|_| damaged("exchange", "id"))?,
        continues: id(row, "continues", "exchange")?,
        outcome: word(row, "outcome", "exchange")?,
        status: status.and_then(|status| u16::try_from(status).ok()),
        error_kind: row.try_get("error_kind").map_err(Error::Read)?,
        error: row.try_get("error").map_err(Error::Read)?,
        upstream_request: row.try_get("upstream_request").map_err(Error::Read)?,
        ended_at: UnixMillis(row.try_get("ended_at").map_err(Error::Read)?),
        asked: frame.map(|frame| (frame, head)),
        recording,
    })
}

const fn damaged(table: &'static str, column: &'static str) -> Error {
    Error::Damaged { table, column }
}

fn text<'a>(row: &'a SqliteRow, column: &str) -> Result<&'a str, Error> {
    row.try_get(column).map_err(Error::Read)
}

/// A column of one of our words.
fn word<T: for<'de> serde::Deserialize<'de>>(
    row: &SqliteRow,
    column: &'static str,
    table: &'static str,
) -> Result<T, Error> {
    let word =
        serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text(row, column)?);
    T::deserialize(word).map_err(|_| damaged(table, column))
}

fn id(
    row: &SqliteRow,
    column: &'static str,
    table: &'static str,
) -> Result<Option<ExchangeId>, Error> {
    let id: Option<&str> = row.try_get(column).map_err(Error::Read)?;
    id.map(|id| id.parse().map_err(|_| damaged(table, column))).transpose()
}

fn hash(row: &SqliteRow, column: &'static str, table: &'static str) -> Result<Option<Hash>, Error> {
    let bytes: Option<&[u8]> = row.try_get(column).map_err(Error::Read)?;
    bytes
        .map(|bytes| bytes.try_into().map(Hash::from_bytes).map_err(|_| damaged(table, column)))
        .transpose()
}
