//! Sessions: the calls of a chat in the order they came in, and the exchanges behind them.
//!
//! Calls without a chat form sessions, too: a call whose messages go on from those of another of the same caller belongs
//! to its session. One that only repeats another begins a session of its own, unless it goes on from a third.

use std::collections::HashMap;

use super::{
    Error, Reader, chain,
    connection::Connection,
    query::{QueryBuilder, query_as, query_scalar},
    read::answer_parts,
    row::from_row,
};
use crate::domain::{
    anthropic::ApiHeaders,
    chain::Hash,
    exchange::{AnsweredBy, Api, CallId, Cost, ExchangeId, Micros, Outcome, Tokens, UnixMillis},
    recording::Recording,
};

/// A session and its calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// The chat as the client states it, else the id of the first call.
    pub id: String,
    /// In the order they came in; at least one.
    pub calls: Vec<CallSummary>,
}

/// A call, without its bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallSummary {
    pub id: CallId,
    /// The exchange that answered it.
    pub exchange: Option<ExchangeId>,
    /// The moment when it came in.
    pub at: UnixMillis,
    pub answered_by: AnsweredBy,
    /// The API that the client used.
    pub api: Api,
    /// The client's word for a background call.
    pub task: Option<String>,
    /// The client program.
    pub client: Option<String>,
    pub outcome: Outcome,
    /// The model that answered, else the requested one.
    pub model: String,
    /// The cost of this call.
    pub cost: Cost,
    /// Tokens of the answer.
    pub tokens: Tokens,
    /// Ours or Anthropic's kind of error, if it failed.
    pub error_kind: Option<String>,
    /// The reason why it went upstream.
    pub reason: Option<String>,
    /// Parts of the request that the translation dropped or changed, as JSON.
    pub notes: Option<String>,
    /// Time until the first byte of the answer.
    pub ttft_us: Option<Micros>,
    /// Time until its end.
    pub total_us: Option<Micros>,
    chat_id: Option<String>,
    user_id: Option<String>,
    client_key: Option<String>,
    client_frame: Option<Hash>,
    client_head: Option<Hash>,
}

from_row!(CallSummary {
    id,
    exchange,
    at,
    answered_by,
    api,
    task,
    client,
    outcome,
    model,
    cost: columns,
    tokens: columns,
    error_kind,
    reason,
    notes,
    ttft_us,
    total_us,
    chat_id,
    user_id,
    client_key,
    client_frame,
    client_head,
});

/// An exchange with its recording.
#[derive(Debug, Clone)]
pub struct ExchangeRow {
    pub id: ExchangeId,
    /// The exchange before in the same answer.
    pub continues: Option<ExchangeId>,
    pub outcome: Outcome,
    /// Anthropic's `error.type`, or ours.
    pub error_kind: Option<String>,
    /// The error, for people.
    pub error: Option<String>,
    /// Anthropic's `request-id`.
    pub upstream_request: Option<String>,
    /// The moment when it began.
    pub opened_at: UnixMillis,
    /// The moment when it ended.
    pub ended_at: UnixMillis,
    /// Anthropic's `stop_reason`.
    pub stop_reason: Option<String>,
    version: Option<String>,
    betas: Option<String>,
    status: Option<i64>,
    frame: Option<Hash>,
    head: Option<Hash>,
    /// The upstream response; `None` where no bodies were kept, or nothing came.
    pub recording: Option<Recording>,
}

from_row!(ExchangeRow {
    id,
    continues,
    outcome,
    error_kind,
    error,
    upstream_request,
    opened_at,
    ended_at,
    stop_reason,
    version,
    betas,
    status,
    frame,
    head,
    recording,
});

/// The sender of a call without a chat: user, client and key, as far as they are known.
pub(super) type Sender = [Option<String>; 3];

/// A query for calls, before its `from`.
pub(super) const CALLS: &str = "select call.id, call.exchange, call.at, call.answered_by, call.api, call.chat_id, \
     call.task, call.client, call.outcome, call.model, call.input, call.cache_write_5m, call.cache_write_1h, \
     call.cache_read, call.output, call.thinking, call.searches, call.cost, call.cost_is, call.error_kind, \
     call.reason, call.notes, call.ttft_us, call.total_us, call.user_id, call.client_key, call.client_frame, \
     call.client_head";

impl CallSummary {
    fn sender(&self) -> Sender {
        [&self.user_id, &self.client, &self.client_key].map(Clone::clone)
    }

    /// The chat, as the client states it.
    pub fn chat(&self) -> Option<&str> {
        self.chat_id.as_deref()
    }

    /// The user, as the client states it.
    pub fn user(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    /// The hashes of the client's request; `None` where no bodies were kept.
    pub fn request(&self) -> Option<(Hash, Option<Hash>)> {
        self.client_frame.map(|frame| (frame, self.client_head))
    }
}

impl ExchangeRow {
    /// The HTTP status of the upstream response.
    pub fn status(&self) -> Option<u16> {
        self.status.and_then(|status| u16::try_from(status).ok())
    }

    /// The hashes of the upstream request; `None` where no bodies were kept.
    pub fn request(&self) -> Option<(Hash, Option<Hash>)> {
        self.frame.map(|frame| (frame, self.head))
    }

    /// The headers of the request; `None` where they are not known any more.
    pub fn headers(&self) -> Option<ApiHeaders> {
        let (version, betas) = self.version.as_ref().zip(self.betas.as_ref())?;
        Some(ApiHeaders::new(version, [betas]))
    }
}

impl Reader {
    /// All sessions with a call that came in at `since` or later, those that began first first. Refused calls said nothing.
    pub async fn sessions(&self, since: UnixMillis) -> Result<Vec<SessionRow>, Error> {
        let mut query = QueryBuilder::new(CALLS);
        query.push(" from call where call.at >= ").push_bind(since);
        query.push(" and call.answered_by <> 'refused' order by call.at, call.id");
        let calls: Vec<CallSummary> = query.build_query_as().fetch_all(&self.pool()).await?;
        let parents = self.parents(since).await?;
        let mut sessions: Vec<SessionRow> = Vec::new();
        let mut chats: HashMap<String, usize> = HashMap::new();
        let mut heads: HashMap<(Sender, Hash), usize> = HashMap::new();
        for call in calls {
            let head = call.client_frame.and(call.client_head);
            let known = match (&call.chat_id, head) {
                (Some(chat), _) => chats.get(chat).copied(),
                (None, Some(head)) => continued(head, call.sender(), &heads, &parents),
                (None, None) => None,
            };
            let at = known.unwrap_or(sessions.len());
            match (&call.chat_id, head) {
                (Some(chat), _) => _ = chats.insert(chat.clone(), at),
                (None, Some(head)) => _ = heads.insert((call.sender(), head), at),
                (None, None) => {}
            }
            if known.is_none() {
                let id = call.chat_id.clone().unwrap_or_else(|| call.id.to_string());
                sessions.push(SessionRow { id, calls: Vec::new() });
            }
            sessions[at].calls.push(call);
        }
        Ok(sessions)
    }

    /// The messages of the calls since then that belong to no chat, each with the one before it. One query for all:
    /// one for each call would take a second for ten thousand.
    async fn parents(&self, since: UnixMillis) -> Result<HashMap<Hash, Hash>, Error> {
        const HEADS: &str = "select distinct client_head from call where at >= $1 and answered_by <> 'refused' \
             and chat_id is null and client_frame is not null and client_head is not null";
        let heads: Vec<Hash> = query_scalar(HEADS).bind(since).fetch_all(&self.pool()).await?;
        self.parents_of(&heads).await
    }

    /// The messages up to any of `heads`, each with the one before it.
    pub async fn parents_of(&self, heads: &[Hash]) -> Result<HashMap<Hash, Hash>, Error> {
        parents_of(&mut self.pool().acquire().await?, heads).await
    }

    /// The newest messages up to `head`, each as JSON: those after the last answer, and that answer without its long strings.
    /// `None`: they are not all kept any more.
    pub async fn newest_messages(&self, head: Hash) -> Result<Option<Vec<Vec<u8>>>, Error> {
        chain::load_newest(&mut self.pool().acquire().await?, head).await
    }

    /// The exchange `id` after those that it continues, as far as they are still there.
    pub async fn answer_parts(&self, id: ExchangeId) -> Result<Vec<ExchangeRow>, Error> {
        const SQL: &str = answer_parts!(
            "select exchange.id, exchange.continues, outcome, status, error_kind, error, upstream_request, \
             opened_at, ended_at, stop_reason, version, betas, frame, head, recording"
        );
        let mut parts: Vec<ExchangeRow> = query_as(SQL).bind(id).fetch_all(&self.pool()).await?;
        parts.reverse();
        Ok(parts)
    }
}

/// The messages up to any of `heads`, each with the one before it.
pub(super) async fn parents_of(
    conn: &mut Connection<'_>,
    heads: &[Hash],
) -> Result<HashMap<Hash, Hash>, Error> {
    const SQL: &str = "with recursive ancestor (hash, parent) as ( \
         select hash, parent from node where hash in (select unhex(value) from json_each($1)) \
         union \
         select node.hash, node.parent from node join ancestor on node.hash = ancestor.parent \
         ) select hash, parent from ancestor where parent is not null";
    if heads.is_empty() {
        return Ok(HashMap::new());
    }
    let heads = serde_json::json!(heads).to_string();
    let rows = query_as(SQL).bind(heads).fetch_all(conn).await?;
    Ok(rows.into_iter().collect())
}

/// The value of the nearest of the messages before `head` at which a call of the same sender ended.
pub(super) fn continued<T: Copy>(
    head: Hash,
    sender: Sender,
    heads: &HashMap<(Sender, Hash), T>,
    parents: &HashMap<Hash, Hash>,
) -> Option<T> {
    let mut key = (sender, head);
    while let Some(parent) = parents.get(&key.1) {
        key.1 = *parent;
        if let Some(session) = heads.get(&key) {
            return Some(*session);
        }
    }
    None
}
