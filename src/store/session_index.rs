//! The index of sessions: for each call the session that it belongs to, and for each session when it was used last, so
//! that a page of a list reads the sessions on it and no others.
//!
//! Reports bring it up to date before they read it ([`index_sessions`]), in short transactions beside the writer; requests
//! never do. Where it cannot be written, reports read all calls instead ([`Reader::sessions`]), by the same rules.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use serde_json::json;

use super::{
    Error, Reader,
    connection::Connection,
    database::{self, Database},
    query::{QueryBuilder, query, query_as, query_scalar, run_all},
    row::from_row,
    search,
    session_state::{self, IndexState, Indexed, WordIndex},
    sessions::{Sender, continued, parents_of},
};
use crate::domain::{
    chain::Hash,
    exchange::{AnsweredBy, CallId, UnixMillis},
};

/// Maximum number of calls that one transaction adds.
const CHUNK: i64 = 2_000;

/// Rows that one statement inserts.
const ROWS: usize = 500;

/// Time that new rows wait for the writer; a report then goes without the index.
const PATIENCE: Duration = Duration::from_secs(1);

/// A call that is not in the index yet.
#[derive(Debug)]
struct NewCall {
    seq: i64,
    id: CallId,
    at: UnixMillis,
    answered_by: AnsweredBy,
    chat_id: Option<String>,
    user_id: Option<String>,
    client: Option<String>,
    client_key: Option<String>,
    client_frame: Option<Hash>,
    client_head: Option<Hash>,
    model: String,
    task: Option<String>,
}

from_row!(NewCall {
    seq,
    id,
    at,
    answered_by,
    chat_id,
    user_id,
    client,
    client_key,
    client_frame,
    client_head,
    model,
    task,
});

impl NewCall {
    /// The newest message of a call without a chat, if it is kept.
    fn head(&self) -> Option<Hash> {
        self.client_frame.and(self.client_head).filter(|_| self.chat_id.is_none())
    }

    fn sender(&self) -> Sender {
        [&self.user_id, &self.client, &self.client_key].map(Clone::clone)
    }
}

/// A row of `session`.
#[derive(Debug)]
struct Session {
    number: i64,
    id: String,
    user: Option<String>,
    began_at: UnixMillis,
    last_at: UnixMillis,
    models: BTreeSet<String>,
    tasks: BTreeSet<String>,
}

struct SessionRow {
    number: i64,
    id: String,
    user_id: Option<String>,
    began_at: UnixMillis,
    last_at: UnixMillis,
    models: String,
    tasks: String,
}

from_row!(SessionRow { number, id, user_id, began_at, last_at, models, tasks });

impl From<SessionRow> for Session {
    fn from(row: SessionRow) -> Self {
        let SessionRow { number, id, user_id: user, began_at, last_at, models, tasks } = row;
        // A damaged list is made again from the calls that come.
        let list = |json: &str| serde_json::from_str(json).unwrap_or_default();
        Self { number, id, user, began_at, last_at, models: list(&models), tasks: list(&tasks) }
    }
}

impl Session {
    fn begin(number: i64, id: String, at: UnixMillis) -> Self {
        let (models, tasks) = (BTreeSet::new(), BTreeSet::new());
        Self { number, id, user: None, began_at: at, last_at: at, models, tasks }
    }

    fn add(&mut self, call: &NewCall) {
        self.user = self.user.take().or_else(|| call.user_id.clone());
        self.began_at = self.began_at.min(call.at);
        self.last_at = self.last_at.max(call.at);
        self.models.insert(call.model.clone());
        self.tasks.extend(call.task.clone());
    }
}

/// The rows that calls add to the index.
#[derive(Debug, Default)]
struct Rows {
    /// The sessions, by number.
    sessions: HashMap<i64, Session>,
    /// `seq` of the call, session, head.
    calls: Vec<(i64, i64, Option<Hash>)>,
}

/// Brings the index up to date with what is committed. `watch` is told how many of all calls are done. May run beside the
/// process that owns the ledger: the transactions are short. If it fails, reports stay right, only slower.
pub async fn index_sessions(
    url: &str,
    reader: &Reader,
    texts: WordIndex,
    watch: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Indexed, Error> {
    let indexed = Indexed(texts);
    if !is_behind(&IndexState::read(&mut reader.pool().acquire().await?).await?, texts) {
        return Ok(indexed);
    }
    let file = Database::parse(url)?;
    file.must_be_ledger().await?;
    let mut conn = file.beside(PATIENCE).await.map_err(Error::Open)?;
    database::check(&mut conn).await?;
    let done = catch_up(&mut conn, texts, watch).await;
    // Without a server, the last connection to close removes the write-ahead log.
    conn.close().await.map_err(Error::Write)?;
    done.map(|()| indexed)
}

fn is_behind(state: &IndexState, texts: WordIndex) -> bool {
    let texts_behind = match texts {
        WordIndex::Kept => state.texts_upto < state.newest,
        WordIndex::NotKept => state.texts_upto > 0,
    };
    state.is_void || state.upto < state.newest || texts_behind
}

async fn catch_up(
    conn: &mut Connection<'_>,
    texts: WordIndex,
    watch: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<(), Error> {
    let goal = IndexState::read(conn).await?.newest;
    loop {
        let state = IndexState::read(conn).await?;
        let total = u64::try_from(goal).unwrap_or(0);
        let done = if texts == WordIndex::Kept { state.texts_upto } else { state.upto };
        watch(u64::try_from(done).unwrap_or(0).min(total), total);
        if state.is_void {
            void(conn, &state).await.map_err(Error::Write)?;
        } else if state.upto < goal {
            next(conn, &state).await?;
        } else if texts == WordIndex::NotKept && state.texts_upto > 0 {
            search::clear(conn, &state).await.map_err(Error::Write)?;
        } else if texts == WordIndex::Kept && state.texts_upto < goal {
            search::next(conn, &state).await?;
        } else {
            return Ok(());
        }
    }
}

/// Empties the index.
pub(super) async fn void(conn: &mut Connection<'_>, state: &IndexState) -> Result<(), sqlx::Error> {
    let mut tx = conn.begin_write().await?;
    if session_state::claim(&mut tx, state).await? {
        search::delete_all(&mut tx).await?;
        let void = "delete from session; delete from session_call; \
             update session_state set upto = 0, upto_call = null";
        run_all(void, &mut tx).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Adds the next calls. Everything is read before the transaction that writes, so that it is short. If the index has
/// changed meanwhile, nothing is written.
async fn next(conn: &mut Connection<'_>, state: &IndexState) -> Result<(), Error> {
    const CALLS: &str = "select seq, id, at, answered_by, chat_id, user_id, client, client_key, client_frame, \
         client_head, model, task from call where seq > $1 order by seq limit $2";
    let calls: Vec<NewCall> =
        query_as(CALLS).bind(state.upto).bind(CHUNK).fetch_all(&mut *conn).await?;
    let Some(last) = calls.last().map(|call| (call.seq, call.id)) else { return Ok(()) };
    // Refused calls said nothing.
    let calls: Vec<NewCall> =
        calls.into_iter().filter(|call| call.answered_by != AnsweredBy::Refused).collect();
    let rows = assign(conn, &calls).await?;
    write(conn, state, &rows, last).await.map_err(Error::Write)
}

/// Finds the sessions of calls, which are in the order of their commits.
async fn assign(conn: &mut Connection<'_>, calls: &[NewCall]) -> Result<Rows, Error> {
    const HIGHEST: &str = "select coalesce(max(number), 0) from session";
    let mut highest: i64 = query_scalar(HIGHEST).fetch_one(&mut *conn).await?;
    let ends: Vec<Hash> = calls.iter().filter_map(NewCall::head).collect();
    let parents = parents_of(conn, &ends).await?;
    let mut heads = heads(conn, &parents).await?;
    let known = known(conn, calls, heads.values().copied()).await?;
    let mut chats: HashMap<String, i64> =
        known.iter().map(|session| (session.id.clone(), session.number)).collect();
    let mut rows = Rows::default();
    rows.sessions.extend(known.into_iter().map(|session| (session.number, session)));
    for call in calls {
        let found = match (&call.chat_id, call.head()) {
            (Some(chat), _) => chats.get(chat).copied(),
            (None, Some(head)) => continued(head, call.sender(), &heads, &parents),
            (None, None) => None,
        };
        let number = found.unwrap_or_else(|| {
            highest += 1;
            highest
        });
        if let Some(chat) = &call.chat_id {
            chats.insert(chat.clone(), number);
        }
        if let Some(head) = call.head() {
            heads.insert((call.sender(), head), number);
        }
        let begin = || {
            let id = call.chat_id.clone().unwrap_or_else(|| call.id.to_string());
            Session::begin(number, id, call.at)
        };
        rows.sessions.entry(number).or_insert_with(begin).add(call);
        rows.calls.push((call.seq, number, call.head()));
    }
    let touched: BTreeSet<i64> = rows.calls.iter().map(|(_, session, _)| *session).collect();
    rows.sessions.retain(|number, _| touched.contains(number));
    Ok(rows)
}

/// The sessions of the calls that end at one of these messages, the newest of each sender.
async fn heads(
    conn: &mut Connection<'_>,
    parents: &HashMap<Hash, Hash>,
) -> Result<HashMap<(Sender, Hash), i64>, Error> {
    struct Row {
        head: Hash,
        session: i64,
        user_id: Option<String>,
        client: Option<String>,
        client_key: Option<String>,
    }

    from_row!(Row { head, session, user_id, client, client_key });
    const SQL: &str = "select head, session, user_id, client, client_key \
         from session_call join call on call.seq = session_call.seq \
         where head in (select unhex(value) from json_each($1)) order by session_call.seq";
    if parents.is_empty() {
        return Ok(HashMap::new());
    }
    let before: Vec<&Hash> = parents.values().collect();
    let rows: Vec<Row> = query_as(SQL).bind(json!(before).to_string()).fetch_all(conn).await?;
    let by_head = |row: Row| (([row.user_id, row.client, row.client_key], row.head), row.session);
    Ok(rows.into_iter().map(by_head).collect())
}

/// The sessions in the index that these calls may belong to.
async fn known(
    conn: &mut Connection<'_>,
    calls: &[NewCall],
    numbers: impl Iterator<Item = i64>,
) -> Result<Vec<Session>, Error> {
    const SQL: &str = "select number, id, user_id, began_at, last_at, models, tasks from session \
         where id in (select value from json_each($1)) or number in (select cast(value as bigint) from json_each($2))";
    let chats: BTreeSet<&str> = calls.iter().filter_map(|call| call.chat_id.as_deref()).collect();
    let numbers: BTreeSet<i64> = numbers.collect();
    let rows = query_as::<SessionRow>(SQL);
    let rows = rows.bind(json!(chats).to_string()).bind(json!(numbers).to_string());
    Ok(rows.fetch_all(conn).await?.into_iter().map(Session::from).collect())
}

async fn write(
    conn: &mut Connection<'_>,
    state: &IndexState,
    rows: &Rows,
    (upto, upto_call): (i64, CallId),
) -> Result<(), sqlx::Error> {
    const MOVE: &str = "update session_state set upto = $1, upto_call = $2";
    let list = |list: &BTreeSet<String>| json!(list).to_string();
    let mut tx = conn.begin_write().await?;
    if !session_state::claim(&mut tx, state).await? {
        return Ok(());
    }
    let sessions: Vec<&Session> = rows.sessions.values().collect();
    for sessions in sessions.chunks(ROWS) {
        let mut query = QueryBuilder::new(
            "insert into session (number, id, user_id, began_at, last_at, models, tasks) ",
        );
        query.push_rows(sessions, |row, session| {
            row.value(session.number).value(&session.id).value(session.user.as_deref());
            row.value(session.began_at).value(session.last_at);
            row.value(list(&session.models)).value(list(&session.tasks));
        });
        query.push(
            " on conflict (number) do update set user_id = excluded.user_id, began_at = excluded.began_at, \
             last_at = excluded.last_at, models = excluded.models, tasks = excluded.tasks",
        );
        query.build().persistent(sessions.len() == ROWS).execute(&mut *tx).await?;
    }
    for calls in rows.calls.chunks(ROWS) {
        let mut query = QueryBuilder::new("insert into session_call (seq, session, head) ");
        query.push_rows(calls, |row, (seq, session, head)| {
            row.value(*seq).value(*session).value(*head);
        });
        query.build().persistent(calls.len() == ROWS).execute(&mut *tx).await?;
    }
    query(MOVE).bind(upto).bind(upto_call).execute(&mut *tx).await?;
    tx.commit().await
}

/// Removes calls that were deleted in the transaction that `conn` is in.
pub(super) async fn forget_calls(
    conn: &mut Connection<'_>,
    calls: &[i64],
) -> Result<(), sqlx::Error> {
    const LEFT: &str = "select distinct session from session_call where seq in (select cast(value as bigint) from json_each($1))";
    const CALLS: &str =
        "delete from session_call where seq in (select cast(value as bigint) from json_each($1))";
    const EMPTY: &str = "delete from session where number in (select cast(value as bigint) from json_each($1)) \
         and not exists (select 1 from session_call where session = number)";
    // Several columns of one row of a query, for each session.
    const REST: &str = "update session set \
         user_id = (select user_id from session_call join call on call.seq = session_call.seq \
         where session = number and user_id is not null order by at, id limit 1), \
         (began_at, last_at, models) = (select min(at), max(at), json_group_array(distinct model) \
         from session_call join call on call.seq = session_call.seq where session = number), \
         tasks = (select json_group_array(distinct task) \
         from session_call join call on call.seq = session_call.seq where session = number and task is not null) \
         where number in (select cast(value as bigint) from json_each($1))";
    const BACK: &str = "update session_state set version = version + 1, \
         upto = (select coalesce(max(seq), 0) from call where seq <= upto)";
    const CALL: &str = "update session_state set upto_call = (select id from call where seq = upto), \
         texts_upto = case when texts_upto < upto then texts_upto else upto end";
    let calls = json!(calls).to_string();
    search::delete(conn, &calls).await?;
    let left: Vec<i64> = query_scalar(LEFT).bind(&calls).fetch_all(&mut *conn).await?;
    let left = json!(left).to_string();
    query(CALLS).bind(&calls).execute(&mut *conn).await?;
    query(EMPTY).bind(&left).execute(&mut *conn).await?;
    query(REST).bind(&left).execute(&mut *conn).await?;
    query(BACK).execute(&mut *conn).await?;
    query(CALL).execute(conn).await.map(drop)
}

/// Removes the hashes of requests that were dropped in the transaction that `conn` is in.
pub(super) async fn forget_requests(
    conn: &mut Connection<'_>,
    calls: &[i64],
) -> Result<(), sqlx::Error> {
    let mut query = QueryBuilder::new(
        "update session_call set head = null where head is not null and seq in (select cast(value as bigint) from json_each(",
    );
    query.push_bind(json!(calls).to_string()).push("))").build().execute(&mut *conn).await?;
    session_state::change(conn).await
}
