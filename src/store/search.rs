//! The index of words: which calls said them, by SQLite's FTS5, or by Postgres' text search. All of its SQL is in this file.
//!
//! An entry is what is new in a call: the messages after the last answer and the results of tools, as far as they are text,
//! and the text of the answer, up to a limit. Background tasks have their answer only: their requests repeat the chat.
//! Entries are deleted with the bodies that they were made from ([`withdraw`]): what nobody may read in the ledger is not
//! found in it, and not in its file.

mod said;
mod terms;
mod words;

use std::collections::HashSet;

use futures_util::TryStreamExt;

use self::said::CallText;
use super::{
    Error, Reader,
    columns::{Body, compress},
    connection::Connection,
    query::{QueryBuilder, query, query_as, query_scalar, run_all},
    row::from_row,
    session_filter::SessionFilter,
    session_state::{self, IndexState},
};

/// Maximum number of calls, and of bytes of text, that one transaction adds.
const CHUNK: i64 = 500;
const CHUNK_BYTES: usize = 1 << 20;

/// Number of entries that one transaction removes: each of their words is removed from its place.
const BATCH: usize = 64;

/// A session with a call that says the words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The number of the session.
    pub session: i64,
    /// The `seq` of its newest call that says them.
    pub seq: i64,
    /// The text around the words.
    pub excerpt: String,
}

/// Indexes the texts of the next calls that have their sessions. Everything is read before the transaction that writes.
pub(super) async fn next(conn: &mut Connection<'_>, state: &IndexState) -> Result<(), Error> {
    const CALLS: &str = "select seq, exchange, answered_by, task, client_frame, client_head from call \
         where seq > $1 and seq <= $2 order by seq limit $3";
    let calls: Vec<said::Call> = query_as(CALLS)
        .bind(state.texts_upto)
        .bind(state.upto)
        .bind(CHUNK)
        .fetch_all(&mut *conn)
        .await?;
    let mut upto = state.upto;
    let mut bytes = 0;
    let mut entries = Vec::new();
    for call in &calls {
        let said = CallText::of(conn, call).await?;
        upto = call.seq;
        if !said.text.is_empty() {
            bytes += said.text.len();
            entries.push((call.seq, said));
        }
        if bytes >= CHUNK_BYTES {
            break;
        }
    }
    write(conn, state, upto, &entries).await.map_err(Error::Write)
}

async fn write(
    conn: &mut Connection<'_>,
    state: &IndexState,
    upto: i64,
    entries: &[(i64, CallText)],
) -> Result<(), sqlx::Error> {
    const WORDS: &str = "insert into said_index (rowid, body) values ($1, $2)";
    const MOVE: &str = "update session_state set texts_upto = $1";
    let mut tx = conn.begin_write().await?;
    if !session_state::claim(&mut tx, state).await? {
        return Ok(());
    }
    if !entries.is_empty() {
        let mut query =
            QueryBuilder::new("insert into said (seq, client, upstream, answer, body) ");
        query.push_rows(entries, |row, (seq, said)| {
            row.value(*seq).value(said.client).value(said.upstream).value(said.answer);
            row.value(compress(said.text.as_bytes()));
        });
        query.build().persistent(false).execute(&mut *tx).await?;
    }
    match &mut *tx {
        Connection::Sqlite(_) => {
            for (seq, said) in entries {
                query(WORDS).bind(seq).bind(&said.text).execute(&mut *tx).await?;
            }
        }
        Connection::Postgres(_) if entries.is_empty() => {}
        Connection::Postgres(_) => {
            let mut query = QueryBuilder::new(
                "insert into said_index (rowid, body) select seq, cast(words as tsvector) from (",
            );
            query.push_rows(entries, |row, (seq, said)| {
                row.value(*seq).value(words::vector(&said.text));
            });
            query.push(") as new (seq, words)");
            query.build().persistent(false).execute(&mut *tx).await?;
        }
    }
    query(MOVE).bind(upto).execute(&mut *tx).await?;
    tx.commit().await
}

/// Deletes the whole index.
pub(super) async fn clear(
    conn: &mut Connection<'_>,
    state: &IndexState,
) -> Result<(), sqlx::Error> {
    let mut tx = conn.begin_write().await?;
    if session_state::claim(&mut tx, state).await? {
        delete_all(&mut tx).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Deletes the whole index inside a transaction.
pub(super) async fn delete_all(conn: &mut Connection<'_>) -> Result<(), sqlx::Error> {
    const SQLITE: &str = "insert into said_index (said_index) values ('delete-all'); delete from said; \
         update session_state set texts_upto = 0";
    const POSTGRES: &str =
        "delete from said_index; delete from said; update session_state set texts_upto = 0";
    run_all(conn.pick(SQLITE, POSTGRES), conn).await
}

/// Deletes the entries of calls, given as a JSON list of their `seq`, inside a transaction.
pub(super) async fn delete(conn: &mut Connection<'_>, calls: &str) -> Result<u64, sqlx::Error> {
    const TEXTS: &str =
        "select seq, body from said where seq in (select cast(value as bigint) from json_each($1))";
    const WORDS: &str =
        "insert into said_index (said_index, rowid, body) values ('delete', $1, $2)";
    const ENTRIES: &str =
        "delete from said_index where rowid in (select cast(value as bigint) from json_each($1))";
    const SAID: &str =
        "delete from said where seq in (select cast(value as bigint) from json_each($1))";
    match conn {
        // An entry is removed by its text.
        Connection::Sqlite(_) => {
            let texts: Vec<(i64, Body)> = query_as(TEXTS).bind(calls).fetch_all(&mut *conn).await?;
            for (seq, Body(text)) in texts {
                let text =
                    String::from_utf8(text).map_err(|error| sqlx::Error::Decode(error.into()))?;
                query(WORDS).bind(seq).bind(text).execute(&mut *conn).await?;
            }
        }
        Connection::Postgres(_) => _ = query(ENTRIES).bind(calls).execute(&mut *conn).await?,
    }
    query(SAID).bind(calls).execute(conn).await
}

/// Finds the entries of which a body is not in the ledger any more, in batches for [`remove`]. What is read from now on
/// cannot be written by somebody who read such a body before.
pub(super) async fn withdraw(conn: &mut Connection<'_>) -> Result<Vec<String>, Error> {
    const GONE: &str = "select said.seq from said left join call on call.seq = said.seq \
         left join exchange on exchange.id = call.exchange \
         where call.seq is null or (said.client and call.client_frame is null) \
         or (said.upstream and exchange.frame is null) or (said.answer and exchange.recording is null)";
    session_state::change(conn).await.map_err(Error::Write)?;
    let gone: Vec<i64> = query_scalar(GONE).fetch_all(conn).await?;
    Ok(gone.chunks(BATCH).map(|batch| serde_json::json!(batch).to_string()).collect())
}

/// Deletes a batch of entries in a transaction; returns their number.
pub(super) async fn remove(conn: &mut Connection<'_>, batch: &str) -> Result<u64, Error> {
    let work = async {
        let mut tx = conn.begin_write().await?;
        let removed = delete(&mut tx, batch).await?;
        tx.commit().await?;
        Ok(removed)
    };
    work.await.map_err(Error::Write)
}

struct Hit {
    seq: i64,
    session: i64,
}

from_row!(Hit { seq, session });

impl Reader {
    /// The sessions of `filter` with a call that says all the `words`, those whose newest such call is newest first: at
    /// most `most`, from before the call `before` on. Also returns the call before which the next ones begin; `None`: there
    /// are no more. `"Several words"` in quotes must follow each other, and `beg*` stands for all words with this beginning.
    pub async fn search(
        &self,
        words: &str,
        filter: &SessionFilter,
        before: Option<i64>,
        most: usize,
    ) -> Result<(Vec<Found>, Option<i64>), Error> {
        const TEXT: &str = "select body from said where seq = $1";
        let pool = self.pool();
        let mut conn = pool.acquire().await?;
        let expression = match &conn {
            Connection::Sqlite(_) => terms::expression(words),
            Connection::Postgres(_) => words::expression(words),
        };
        let Some(expression) = expression else { return Ok((Vec::new(), None)) };
        let mut query = QueryBuilder::new(conn.pick(
            "select said_index.rowid as seq, session_call.session from said_index \
             cross join session_call on session_call.seq = said_index.rowid \
             cross join session on session.number = session_call.session where said_index match ",
            "select said_index.rowid as seq, session_call.session from said_index \
             join session_call on session_call.seq = said_index.rowid \
             join session on session.number = session_call.session \
             where said_index.body @@ cast(",
        ));
        query.push_bind(expression.clone()).push(conn.pick("", " as tsquery)"));
        query.push(" and said_index.rowid < ");
        query.push_bind(before.unwrap_or(i64::MAX));
        filter.push(&mut query);
        query.push(" order by said_index.rowid desc");
        let (mut seen, mut found, mut next) = (HashSet::new(), Vec::new(), None);
        {
            let mut hits = query.build_query_as::<Hit>().fetch(&mut conn);
            while let Some(Hit { seq, session }) = hits.try_next().await? {
                if !seen.insert(session) || self.is_before(&expression, session, before).await? {
                    continue;
                }
                if found.len() == most {
                    next = Some(seq + 1);
                    break;
                }
                found.push((session, seq));
            }
        }
        let mut results = Vec::with_capacity(found.len());
        for (session, seq) in found {
            let text: Option<Body> = query_scalar(TEXT).bind(seq).fetch_optional(&mut conn).await?;
            let text = text.map(|Body(text)| String::from_utf8_lossy(&text).into_owned());
            let excerpt = terms::excerpt(&text.unwrap_or_default(), words);
            results.push(Found { session, seq, excerpt });
        }
        Ok((results, next))
    }

    /// Tells whether a session was found by a newer call, and so on an earlier page.
    async fn is_before(
        &self,
        expression: &str,
        session: i64,
        before: Option<i64>,
    ) -> Result<bool, Error> {
        const SQLITE: &str = "select exists (select 1 from session_call \
             join said_index on said_index.rowid = session_call.seq \
             where session_call.session = $1 and session_call.seq >= $2 and said_index match $3)";
        const POSTGRES: &str = "select exists (select 1 from session_call \
             join said_index on said_index.rowid = session_call.seq \
             where session_call.session = $1 and session_call.seq >= $2 \
             and said_index.body @@ cast($3 as tsquery))";
        let Some(before) = before else { return Ok(false) };
        let mut conn = self.pool().acquire().await?;
        let newer = query_scalar(conn.pick(SQLITE, POSTGRES));
        Ok(newer.bind(session).bind(before).bind(expression).fetch_one(&mut conn).await?)
    }
}
